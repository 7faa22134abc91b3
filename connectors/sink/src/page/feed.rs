//! Reads the topics of the page, and tells whoever looks.

use super::model::Model;
use anyhow::Result;
use perfstream_log::{LogRecord, Place, Read, inbox};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;

/// Records of a partition that are read again at the start; older ones are not shown.
const PAST: i64 = 20_000;
/// Of the status topic fewer will do: every partition speaks every few seconds.
const PAST_STATUS: i64 = 2_000;
/// Of insights as many as the page keeps, more or less.
const PAST_INSIGHTS: i64 = 500;
const READ_BYTES: usize = 1 << 20;
/// A partition is asked for this long where asking waits.
const WAIT: Duration = Duration::from_millis(20);
const PAUSE: Duration = Duration::from_millis(100);
/// Topics and partitions that appear are seen after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Opens the log anew.
pub type Connect = Arc<dyn Fn() -> Result<Place> + Send + Sync>;

/// A thing to tell: its name among server-sent events, and its JSON text.
pub type Told = (&'static str, Arc<str>);

/// What a topic is to the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Dashboards,
    Status,
    Insights,
    Inbox,
}

/// The topics of the page, beside the pipelines' inboxes.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Dashboard records
    pub dashboards: String,
    /// Status records
    pub status: String,
    /// Insights, as `perfstream analyze` stores them
    pub insights: String,
}

/// The model, and who is told of its changes.
pub struct Feed {
    model: Mutex<Model>,
    tell: broadcast::Sender<Told>,
}

impl Feed {
    /// Empty; who falls `backlog` things behind begins anew.
    pub fn new(backlog: usize) -> Feed {
        Feed { model: Mutex::default(), tell: broadcast::Sender::new(backlog) }
    }

    /// The model; it is held for moments only.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot, and all changes from then on.
    pub fn join(&self, range_ms: i64) -> (String, broadcast::Receiver<Told>) {
        let model = self.model();
        let later = self.tell.subscribe();
        (model.snapshot(range_ms).to_string(), later)
    }

    /// How many look.
    pub fn viewers(&self) -> usize {
        self.tell.receiver_count()
    }

    fn take(&self, role: Role, record: &LogRecord) {
        let mut model = self.model();
        let told = match role {
            Role::Dashboards => match model.take_dashboard(&record.value) {
                Ok(true) => String::from_utf8(record.value.clone()).ok().map(|text| ("frame", text)),
                Ok(false) => None,
                Err(error) => {
                    tracing::warn!(offset = record.offset, "no record of a dashboard: {error}");
                    None
                }
            },
            Role::Status => model.take_status(&record.value).map(|shown| ("health", shown.to_string())),
            Role::Insights => model.take_insight(&record.value).map(|shown| ("event", shown.to_string())),
            Role::Inbox => model.take_verdict(&record.value).map(|shown| ("verdict", shown.to_string())),
        };
        // Sent while the model is held, so nobody misses what comes between a snapshot and joining. That
        // nobody listens is no error.
        if let Some((name, text)) = told {
            drop(self.tell.send((name, text.into())));
        }
    }
}

/// Reads until it is over. Whatever goes wrong is tried again: a page that is behind is better than none.
pub fn follow(feed: &Feed, connect: &Connect, topics: &Topics, is_over: impl Fn() -> bool) {
    let mut reader = Reader { feed, topics, log: None, places: BTreeMap::new(), looked: None };
    while !is_over() {
        match reader.step(connect) {
            Ok(true) => {}
            Ok(false) => std::thread::sleep(PAUSE),
            Err(error) => {
                tracing::warn!("the page cannot read, trying again: {error:#}");
                reader.log = None;
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }
}

struct Reader<'f> {
    feed: &'f Feed,
    topics: &'f Topics,
    log: Option<Place>,
    /// Next offset by topic and partition
    places: BTreeMap<(String, u32), (Role, i64)>,
    looked: Option<Instant>,
}

impl Reader<'_> {
    /// Reads each partition once; false if there was nothing.
    fn step(&mut self, connect: &Connect) -> Result<bool> {
        if self.log.is_none() {
            self.log = Some(connect()?);
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.look()?;
            self.looked = Some(Instant::now());
        }
        let Some(log) = &mut self.log else { return Ok(false) };
        let mut busy = false;
        for ((topic, partition), (role, next)) in &mut self.places {
            match log.read(topic, *partition, *next, READ_BYTES, WAIT)? {
                Read::Gap(gone) => *next = gone.end,
                Read::Records(records) => {
                    for record in &records {
                        self.feed.take(*role, record);
                        *next = record.offset + 1;
                    }
                    busy |= !records.is_empty();
                }
            }
        }
        Ok(busy)
    }

    /// Finds topics and partitions that are new.
    fn look(&mut self) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let inboxes = self.feed.model().pipelines().into_iter().map(|name| (inbox(&name), Role::Inbox));
        let Topics { dashboards, status, insights } = self.topics.clone();
        let own = [(dashboards, Role::Dashboards), (status, Role::Status), (insights, Role::Insights)];
        for (topic, role) in own.into_iter().chain(inboxes) {
            for partition in 0..log.partitions(&topic)?.unwrap_or(0) {
                let place = (topic.clone(), partition);
                if self.places.contains_key(&place) {
                    continue;
                }
                let extent = log.extent(&topic, partition)?;
                let past = match role {
                    Role::Status => PAST_STATUS,
                    Role::Insights => PAST_INSIGHTS,
                    Role::Dashboards | Role::Inbox => PAST,
                };
                self.places.insert(place, (role, extent.start.max(extent.end - past)));
            }
        }
        Ok(())
    }
}

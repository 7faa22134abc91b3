//! Values on dashboards to Prometheus and what speaks like it, by remote write 1.0.
//!
//! A thread for each store reads the topic of dashboards from where its journal says, sends, and
//! takes note when the store has accepted. A kill in between sends a request again, which changes nothing
//! there. A store that is not well delays; what it refuses is given up, counted and logged.

mod batch;
mod messages;

use crate::backoff;
use crate::config::RemoteWrite;
use crate::journal::{Journal, Position};
use crate::page::Connect;
use crate::secret::Secrets;
use crate::send::http::{Address, Request, Service};
use crate::send::{Failure, timeout};
use anyhow::{Context, Result};
use batch::{Batch, Value};
use perfstream_log::{Place, Read};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONTENT_TYPE: &str = "application/x-protobuf";
/// Read at once.
const READ_BYTES: usize = 1 << 20;
/// A cluster's partition is asked for this long.
const ASK: Duration = Duration::from_millis(20);
/// Where there is nothing, looks again after this.
const PAUSE: Duration = Duration::from_millis(200);
/// Partitions that appear are seen after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A request is cut in two at most so often to find the values that a store refuses.
const MAX_SPLITS: usize = 200;

/// Why a store does not want a request.
struct Refused {
    content: bool,
    message: String,
}

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Opens the log
    pub connect: Connect,
    /// Topic with dashboard records
    pub topic: String,
    /// End when all that is there was sent
    pub once: bool,
    /// On the first start, send also what is there already
    pub past: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Samples that the store has accepted
    pub samples: u64,
    /// Samples that it refused and that are given up
    pub refused: u64,
    /// Tries that failed and were repeated
    pub failures: u64,
    /// Records that are none of a dashboard
    pub bad: u64,
}

/// One store at work.
pub struct Writer {
    name: String,
    service: Service,
    journal: Journal,
    options: Options,
    batch: Batch,
    positions: BTreeMap<u32, Position>,
    looked: Option<Instant>,
    summary: Summary,
}

/// The journal of a store lies beside that of the sink.
pub fn journal_path(sink: &Path, name: &str) -> PathBuf {
    sink.with_extension(format!("{name}.db"))
}

impl Writer {
    /// Resolves secrets and makes a client.
    pub fn new(remote: &RemoteWrite, secrets: &Secrets, journal: Journal, options: Options) -> Result<Writer> {
        let mut headers = remote.headers.clone();
        headers.insert("Content-Encoding".into(), "snappy".into());
        headers.insert("X-Prometheus-Remote-Write-Version".into(), "0.1.0".into());
        let address = Address {
            url: &remote.url,
            headers: &headers,
            allow_http: remote.allow_http,
            allow_private: remote.allow_private,
            timeout: timeout(remote.timeout),
        };
        let service = Service::at(&address, secrets).with_context(|| format!("remote_write {}", remote.name))?;
        let (batch, positions, summary) = (Batch::default(), BTreeMap::new(), Summary::default());
        Ok(Writer { name: remote.name.clone(), service, journal, options, batch, positions, looked: None, summary })
    }

    /// Runs until `stop`, or with `once` to the end of what is there. An error is one of the journal, or with
    /// `once` one of the log.
    pub fn run(mut self, stop: &Arc<AtomicBool>) -> Result<Summary> {
        let mut log = None;
        while !stop.load(Ordering::SeqCst) {
            let read = match &mut log {
                Some(place) => self.read(place),
                None => (self.options.connect)().map(|place| {
                    log = Some(place);
                    true
                }),
            };
            match read {
                Ok(true) => self.send(stop)?,
                Ok(false) if self.options.once => break,
                Ok(false) => std::thread::sleep(PAUSE),
                Err(error) if self.options.once => return Err(error),
                Err(error) => {
                    tracing::warn!("remote_write {} cannot read, trying again: {error:#}", self.name);
                    (log, self.looked) = (None, None);
                    std::thread::sleep(LOOK_AGAIN);
                }
            }
        }
        Ok(self.summary)
    }

    /// Reads each partition once; false if there was nothing.
    fn read(&mut self, place: &mut Place) -> Result<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.look(place)?;
            self.looked = Some(Instant::now());
        }
        let mut busy = false;
        for position in self.positions.values_mut() {
            let (topic, partition) = (&self.options.topic, position.partition);
            match place.read(topic, partition, position.next, READ_BYTES, ASK)? {
                Read::Gap(gone) => {
                    tracing::error!("records {} to {} of {topic}/{partition} are gone", gone.start, gone.end);
                    position.next = gone.end;
                    busy = true;
                }
                Read::Records(records) => {
                    for record in &records {
                        position.next = record.offset + 1;
                        if self.batch.take(&record.value).is_err() {
                            self.summary.bad += 1;
                        }
                    }
                    busy |= !records.is_empty();
                }
            }
        }
        Ok(busy)
    }

    /// Finds partitions that are new.
    fn look(&mut self, place: &mut Place) -> Result<()> {
        let topic = &self.options.topic;
        for partition in 0..place.partitions(topic)?.unwrap_or(0) {
            if self.positions.contains_key(&partition) {
                continue;
            }
            let position = match self.journal.position(topic, partition)? {
                Some(position) => position,
                None => {
                    let extent = place.extent(topic, partition)?;
                    let from_start = self.options.past || self.looked.is_some();
                    let next = if from_start { extent.start } else { extent.end };
                    Position { topic: topic.clone(), partition, next, past: next }
                }
            };
            self.journal.commit(&[], std::slice::from_ref(&position))?;
            self.positions.insert(partition, position);
        }
        Ok(())
    }

    /// Sends what was read until it is accepted or refused, and takes note of it. What was not when it is
    /// stopped is read again at the next start.
    fn send(&mut self, stop: &Arc<AtomicBool>) -> Result<()> {
        let mut parts = vec![self.batch.drain()];
        let mut split = 0;
        while let Some(mut values) = parts.pop() {
            if values.is_empty() {
                continue;
            }
            let Some(answer) = self.deliver(&values, stop)? else { return Ok(()) };
            let samples = values.len() as u64;
            match answer {
                Ok(()) => {
                    self.summary.samples += samples;
                    self.count("perfstream_remote_write_samples_total", samples);
                }
                // A store refuses all of a request for one value of it, so the others are sent without it.
                Err(Refused { content: true, .. }) if values.len() > 1 && split < MAX_SPLITS => {
                    split += 1;
                    let rest = values.split_off(values.len() / 2);
                    parts.extend([rest, values]);
                }
                Err(Refused { message, .. }) => {
                    tracing::error!("remote_write {} has refused {samples} samples: {message}", self.name);
                    self.summary.refused += samples;
                    self.count("perfstream_remote_write_refused_total", samples);
                }
            }
        }
        let positions: Vec<Position> = self.positions.values().cloned().collect();
        self.journal.commit(&[], &positions)
    }

    /// Tries until there is an answer; None if it was stopped before.
    fn deliver(&mut self, values: &[Value], stop: &Arc<AtomicBool>) -> Result<Option<Result<(), Refused>>> {
        let body = batch::encode(values).context("a request is too large for Snappy")?;
        let key = blake3::hash(&body).to_hex().to_string();
        let mut failures = 0;
        while !stop.load(Ordering::SeqCst) {
            let request = Request { key: key.clone(), content_type: CONTENT_TYPE, body: body.clone() };
            match self.service.post(request) {
                Ok(()) => return Ok(Some(Ok(()))),
                Err(Failure::Never { content, message }) => return Ok(Some(Err(Refused { content, message }))),
                Err(Failure::Later { wait_ms, message }) => {
                    let pause_ms = backoff::pause_ms(failures, wait_ms);
                    failures += 1;
                    self.summary.failures += 1;
                    self.count("perfstream_remote_write_failures_total", 1);
                    tracing::warn!("remote_write {}: again in {pause_ms} ms: {message}", self.name);
                    let until = Instant::now() + Duration::from_millis(u64::try_from(pause_ms).unwrap_or_default());
                    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
                        std::thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
                    }
                }
            }
        }
        Ok(None)
    }

    fn count(&self, name: &'static str, n: u64) {
        metrics::counter!(name, "store" => self.name.clone()).increment(n);
    }
}

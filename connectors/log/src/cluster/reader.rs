//! The one reader of a topic partition: every record from an offset on, once, in order.
//!
//! Fluvio's own consumer loses records when it catches up: the SPU cuts its answer at `max_bytes`
//! inside a batch, and the consumer acknowledges the last offset that the header of the cut batch
//! names. This reader acknowledges the offset behind the last record that it used, so the SPU sends
//! the cut batch again, whole. A task fetches and decodes while the caller works; what it holds is
//! bounded by one answer of the SPU and a few MiB.

mod fetcher;
mod spu;

pub use spu::SpuReader;

use super::{Cluster, refuse_deduplication};
use crate::{LogRecord, Read, SpuChain};
use anyhow::{Context, Result, anyhow};
use fetcher::{Fetched, Fetcher};
use fluvio::Isolation;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Groups of batches, of about 1 MiB each, that may wait decoded for the caller.
const WAITING_GROUPS: usize = 2;

/// How a reader reads.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Which records are seen: by default those that are committed. On a partition with one replica
    /// all are, and this makes no difference
    pub isolation: Isolation,
    /// Size of one answer of the SPU; it grows by itself when a batch is larger
    pub fetch_bytes: i32,
    /// After this long without data the SPU is asked whether there is any: an SPU that does not
    /// answer, or that has more, means that the connection is dead
    pub silence: Duration,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        ReaderOptions { isolation: Isolation::ReadCommitted, fetch_bytes: 8 << 20, silence: Duration::from_secs(5) }
    }
}

/// What a reader met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderCounters {
    /// Cut batches that were not used and asked for again
    pub short_batches: u64,
    /// Batches at an offset that was not the expected one, not used and asked for again
    pub unexpected_offsets: u64,
    /// Connections that ended or were given up, and were made again
    pub reconnects: u64,
    /// Lost ranges that were reported
    pub gaps: u64,
}

/// What the fetching task tells besides records.
#[derive(Default)]
struct Progress {
    short_batches: AtomicU64,
    unexpected_offsets: AtomicU64,
    reconnects: AtomicU64,
    gaps: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Progress {
    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Reads one topic partition.
pub struct Reader {
    feed: Feed,
    /// Offset of the record that is handed out next
    position: i64,
    buffer: VecDeque<LogRecord>,
}

/// The task that fetches, and what it takes to start it.
struct Feed {
    cluster: Arc<Cluster>,
    topic: String,
    partition: u32,
    options: ReaderOptions,
    /// Modules that the SPU runs over the records
    chain: Option<Arc<SpuChain>>,
    progress: Arc<Progress>,
    task: Option<Task>,
}

struct Task {
    fetched: mpsc::Receiver<Result<Fetched>>,
    handle: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Feed {
    async fn open(
        cluster: Arc<Cluster>,
        topic: &str,
        partition: u32,
        chain: Option<Arc<SpuChain>>,
        options: ReaderOptions,
    ) -> Result<Feed> {
        let place = cluster
            .place(topic, partition)
            .await?
            .with_context(|| format!("the cluster has no partition {topic}/{partition}"))?;
        refuse_deduplication(topic, &place.spec)?;
        Ok(Feed { cluster, topic: topic.to_owned(), partition, options, chain, progress: Arc::default(), task: None })
    }

    /// What was fetched next, from `position` on if there is no task yet; None if nothing came in time.
    async fn receive(&mut self, position: i64, deadline: Instant) -> Result<Option<Fetched>> {
        let task = match &mut self.task {
            Some(task) => task,
            none => none.insert(start(Fetcher::new(
                self.cluster.clone(),
                (&self.topic, self.partition),
                position,
                self.chain.clone(),
                self.options.clone(),
                self.progress.clone(),
            ))),
        };
        let fetched = match tokio::time::timeout_at(deadline, task.fetched.recv()).await {
            Err(_) => return Ok(None),
            Ok(fetched) => fetched.unwrap_or_else(|| Err(anyhow!("the task that fetches has ended"))),
        };
        if matches!(fetched, Err(_) | Ok(Fetched::Refused(_))) {
            self.task = None;
        }
        fetched.map(Some).with_context(|| format!("reading {}/{} at {position}", self.topic, self.partition))
    }

    fn counters(&self) -> ReaderCounters {
        let progress = &self.progress;
        ReaderCounters {
            short_batches: progress.short_batches.load(Ordering::Relaxed),
            unexpected_offsets: progress.unexpected_offsets.load(Ordering::Relaxed),
            reconnects: progress.reconnects.load(Ordering::Relaxed),
            gaps: progress.gaps.load(Ordering::Relaxed),
        }
    }
}

fn start(fetcher: Fetcher) -> Task {
    let (sender, fetched) = mpsc::channel(WAITING_GROUPS);
    Task { fetched, handle: tokio::spawn(fetcher.run(sender)) }
}

impl Reader {
    /// A reader of a partition from offset `from` on; must be made inside a tokio runtime.
    ///
    /// Fails if there is no such topic or partition, or if the topic uses Fluvio's deduplication.
    pub async fn open(
        cluster: Arc<Cluster>,
        topic: &str,
        partition: u32,
        from: i64,
        options: ReaderOptions,
    ) -> Result<Reader> {
        let feed = Feed::open(cluster, topic, partition, None, options).await?;
        Ok(Reader { feed, position: from, buffer: VecDeque::new() })
    }

    /// Offset of the record that comes next.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// What happened since it was opened.
    pub fn counters(&self) -> ReaderCounters {
        self.feed.counters()
    }

    /// Why the reader is not connected at present; None while it is, or has not tried yet.
    pub fn trouble(&self) -> Option<String> {
        self.feed.progress.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next records, about `max_bytes` of them or one; waits up to `wait` for the first, and then
    /// gives none. Lost connections are made again without an error. After an error the next call
    /// starts again at [`position`](Reader::position). Dropping the future loses nothing.
    pub async fn next(&mut self, max_bytes: usize, wait: Duration) -> Result<Read> {
        let deadline = Instant::now() + wait;
        let mut gap = None;
        while self.buffer.is_empty() && gap.is_none() {
            match self.feed.receive(self.position, deadline).await? {
                Some(Fetched::Records(records)) => self.buffer.extend(records),
                Some(Fetched::Gap(range)) => gap = Some(range),
                Some(Fetched::Outputs(_)) => return Err(anyhow!("outputs of modules came unasked")),
                Some(Fetched::Refused(why)) => return Err(anyhow!(why)),
                None => return Ok(Read::Records(Vec::new())),
            }
        }
        match gap {
            Some(range) => {
                self.position = range.end;
                Ok(Read::Gap(range))
            }
            None => Ok(Read::Records(self.take(max_bytes)?)),
        }
    }

    fn take(&mut self, max_bytes: usize) -> Result<Vec<LogRecord>> {
        let mut bytes = 0;
        let mut count = 0;
        for record in &self.buffer {
            bytes += record.value.len() + record.key.as_ref().map_or(0, Vec::len);
            if count > 0 && bytes > max_bytes {
                break;
            }
            count += 1;
        }
        let taken: Vec<LogRecord> = self.buffer.drain(..count).collect();
        // The promise of this module, checked where it counts.
        for record in &taken {
            if record.offset != self.position {
                return Err(anyhow!("record {} came where {} was expected", record.offset, self.position));
            }
            self.position += 1;
        }
        Ok(taken)
    }
}

//! The one reader: every record of a partition, in order, once.
//!
//! Fluvio's own consumer takes a batch that the SPU has cut short for a whole one and goes on behind
//! it. Here a batch counts only if it holds as many records as its header says and begins where the
//! last one ended; what is cut is asked for again. A connection on which nothing comes although the
//! partition has grown is given up, as its other end may be gone without a word.

use super::connection::{Connection, FetchStream};
use super::{Cluster, refuse_deduplication};
use crate::{LogRecord, Read};
use anyhow::{Context, Result, anyhow, bail};
use fluvio::Isolation;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{Batch, RawRecords};
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How a reader reads.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Bytes of one answer; more than the largest batch (32 MiB), so that one is always whole
    pub max_bytes: i32,
    /// Committed records only, or all
    pub isolation: Isolation,
    /// After this long without an answer the partition is looked at
    pub silence: Duration,
    /// Errors in a row for longer than this are given to the caller
    pub patience: Duration,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        ReaderOptions {
            max_bytes: 34 << 20,
            isolation: Isolation::ReadCommitted,
            silence: Duration::from_secs(5),
            patience: Duration::from_secs(30),
        }
    }
}

/// What a reader has met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderCounters {
    /// Batches that were cut short, and read again
    pub cut_batches: u64,
    /// Batches that did not begin where the last one ended
    pub holes: u64,
    /// Streams begun anew
    pub reopened: u64,
}

/// Reads one partition.
pub struct Reader {
    cluster: Arc<Cluster>,
    topic: String,
    partition: u32,
    options: ReaderOptions,
    /// Offset behind the newest record in the queue
    position: i64,
    queue: VecDeque<LogRecord>,
    open: Option<Open>,
    failing_since: Option<Instant>,
    pause: Duration,
    counters: ReaderCounters,
}

struct Open {
    connection: Connection,
    stream: FetchStream,
    heard: Instant,
    /// Answers in a row that brought nothing new
    useless: u32,
}

/// What one look at the stream gave.
enum Look {
    /// Perhaps records in the queue
    Answer,
    /// Records that are gone
    Gap(std::ops::Range<i64>),
    /// Nothing until the deadline
    Nothing,
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Streams that bring nothing usable this often show a hole in the log itself.
const MAX_USELESS: u32 = 5;

impl Reader {
    /// A reader of records from offset `from` on; it connects when it is first used.
    pub fn new(cluster: Arc<Cluster>, topic: &str, partition: u32, from: i64, options: ReaderOptions) -> Reader {
        Reader {
            cluster,
            topic: topic.into(),
            partition,
            options,
            position: from,
            queue: VecDeque::new(),
            open: None,
            failing_since: None,
            pause: FIRST_PAUSE,
            counters: ReaderCounters::default(),
        }
    }

    /// Offset of the record that comes next.
    pub fn position(&self) -> i64 {
        self.queue.front().map_or(self.position, |r| r.offset)
    }

    /// What it has met so far.
    pub fn counters(&self) -> ReaderCounters {
        self.counters
    }

    /// The next records, about `max_bytes` of them or one; none if none come within `wait`.
    pub async fn next(&mut self, max_bytes: usize, wait: Duration) -> Result<Read> {
        let deadline = Instant::now() + wait;
        while self.queue.is_empty() {
            match self.look(deadline).await {
                Ok(Look::Answer) => (self.failing_since, self.pause) = (None, FIRST_PAUSE),
                Ok(Look::Gap(range)) => return Ok(Read::Gap(range)),
                Ok(Look::Nothing) => return Ok(Read::Records(Vec::new())),
                Err(error) => self.failed(error, deadline).await?,
            }
        }
        Ok(Read::Records(self.take(max_bytes)))
    }

    fn take(&mut self, max_bytes: usize) -> Vec<LogRecord> {
        let (mut bytes, mut taken) = (0, Vec::new());
        while let Some(record) = self.queue.front() {
            bytes += record.value.len() + record.key.as_ref().map_or(0, Vec::len);
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            taken.extend(self.queue.pop_front());
        }
        taken
    }

    /// Begins anew after a pause; an error that lasts is the caller's.
    async fn failed(&mut self, error: anyhow::Error, deadline: Instant) -> Result<()> {
        self.open = None;
        self.counters.reopened += 1;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.options.patience {
            return Err(error.context(format!("cannot read {}/{}", self.topic, self.partition)));
        }
        tracing::debug!("{}/{} at {}: {error:#}", self.topic, self.partition, self.position);
        let left = deadline.saturating_duration_since(Instant::now());
        sleep(self.pause.min(left.max(FIRST_PAUSE))).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    async fn look(&mut self, deadline: Instant) -> Result<Look> {
        if self.open.is_none() {
            match self.start(deadline).await? {
                Look::Answer => {}
                other => return Ok(other),
            }
        }
        let Some(open) = &mut self.open else { bail!("the stream is just opened") };
        let now = Instant::now();
        // A caller that does not wait takes what is there.
        let until = deadline.max(now + Duration::from_millis(1)).min(open.heard.max(now) + self.options.silence);
        match timeout(until - now, open.stream.next()).await {
            Ok(Some(answer)) => {
                open.heard = Instant::now();
                self.answer(answer?).await?;
                Ok(Look::Answer)
            }
            Ok(None) => Err(anyhow!("the SPU has ended the stream")),
            Err(_) => {
                if open.heard.elapsed() >= self.options.silence {
                    // Asking also finds a connection that is dead.
                    let end = open.connection.extent().await?.end;
                    open.heard = Instant::now();
                    if end > self.position {
                        bail!("nothing came, though the partition ends at {end}");
                    }
                }
                Ok(if Instant::now() >= deadline { Look::Nothing } else { Look::Answer })
            }
        }
    }

    /// Connects and starts a stream at the position, if the log has it.
    async fn start(&mut self, deadline: Instant) -> Result<Look> {
        let mut connection = Connection::open(&self.cluster, &self.topic, self.partition).await?;
        refuse_deduplication(&self.topic, &connection.spec)?;
        loop {
            let extent = connection.extent().await?;
            if self.position < extent.start {
                let gone = self.position..extent.start;
                self.position = extent.start;
                return Ok(Look::Gap(gone));
            }
            if self.position <= extent.end {
                break;
            }
            // Behind a restart of the SPU the committed end may come back later than the records.
            if Instant::now() >= deadline {
                return Ok(Look::Nothing);
            }
            sleep(Duration::from_millis(50)).await;
        }
        let stream = connection.fetch(self.position, self.options.max_bytes, self.options.isolation).await?;
        self.open = Some(Open { connection, stream, heard: Instant::now(), useless: 0 });
        Ok(Look::Answer)
    }

    async fn answer(
        &mut self,
        answer: fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchResponse,
    ) -> Result<()> {
        let partition = answer.partition;
        let before = self.position;
        for batch in partition.records.batches {
            if !self.enqueue(batch)? {
                break;
            }
        }
        match partition.error_code {
            ErrorCode::None => {}
            code => bail!("the SPU says: {code}"),
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.useless = if self.position > before { 0 } else { open.useless + 1 };
        if open.useless > MAX_USELESS {
            bail!("record {} does not come", self.position);
        }
        open.connection.acknowledge(answer.stream_id, self.position).await
    }

    /// Takes a batch's records; false if it cannot be used, and nothing behind it.
    fn enqueue(&mut self, batch: Batch<RawRecords>) -> Result<bool> {
        let (base, count) = (batch.get_base_offset(), i64::from(batch.last_offset_delta()) + 1);
        if base > self.position {
            self.counters.holes += 1;
            return Ok(false);
        }
        if base + count <= self.position {
            return Ok(true);
        }
        let first_ms = batch.get_base_timestamp();
        let Ok(batch): Result<Batch, _> = Batch::try_from(batch) else {
            // A cut batch that is compressed cannot even be unpacked.
            self.counters.cut_batches += 1;
            return Ok(false);
        };
        if batch.records().len() as i64 != count {
            self.counters.cut_batches += 1;
            return Ok(false);
        }
        for (n, record) in batch.own_records().into_iter().enumerate() {
            let offset = base + n as i64;
            if offset < self.position {
                continue;
            }
            let log_time_ms = match first_ms {
                ..0 => crate::NO_LOG_TIME,
                first => first + record.timestamp_delta(),
            };
            let key = record.key().map(|key| key.as_ref().to_vec());
            self.queue.push_back(LogRecord { offset, log_time_ms, key, value: record.value().as_ref().to_vec() });
        }
        self.position = base + count;
        Ok(true)
    }
}

/// The partitions of a topic; None if there is no such topic.
pub(super) async fn partitions(cluster: &Cluster, topic: &str) -> Result<Option<u32>> {
    let spec = cluster.topic(topic).await.with_context(|| format!("cannot look up topic `{topic}`"))?;
    Ok(spec.map(|spec| spec.partitions()))
}

//! The task behind a reader: holds the stream, refuses what is not whole, reconnects.

mod modules;

use super::super::connection::{Connection, FetchStream, NoPartition};
use super::super::{Cluster, refuse_deduplication};
use super::{Progress, ReaderOptions};
use crate::{LogRecord, NO_LOG_TIME, SpuChain, SpuOutput};
use anyhow::{Result, anyhow};
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{BATCH_HEADER_SIZE, BATCH_PREAMBLE_SIZE, Batch, RawRecords, Record};
use fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchResponse;
use futures_util::StreamExt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Pauses between attempts that bring nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Small batches are handed on together up to this size.
const HANDED_ON_BYTES: usize = 1 << 20;

/// Whole answers without a usable record, or look-ups that find no partition, after which it is no
/// accident.
const FRUITLESS_LIMIT: u32 = 8;

/// Silences in a row, of [`ReaderOptions::silence`] each, in which an SPU may be busy with modules.
const MODULES_MAY_TAKE: u32 = 6;

/// What the task hands over.
pub(super) enum Fetched {
    /// Records, each one offset behind the one before
    Records(Vec<LogRecord>),
    /// What modules made of batches, each beginning where the one before ended
    Outputs(Vec<SpuOutput>),
    /// The log has lost these
    Gap(Range<i64>),
    /// The SPU does not run the modules, or not well; the task has ended
    Refused(String),
}

/// Why a session ended.
enum End {
    /// The reader is gone
    Dropped,
    /// Try again at the position
    Again(anyhow::Error),
    /// The SPU answers, but not with what was asked for; try again, not for ever
    Fruitless(anyhow::Error),
    /// The SPU cannot run the modules
    Refused(anyhow::Error),
    /// Trying again is no use
    Fatal(anyhow::Error),
}

impl From<anyhow::Error> for End {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<NoPartition>() { End::Fruitless(error) } else { End::Again(error) }
    }
}

pub(super) struct Fetcher {
    cluster: Arc<Cluster>,
    topic: String,
    partition: u32,
    options: ReaderOptions,
    progress: Arc<Progress>,
    /// Offset of the record that is fetched next
    position: i64,
    fetch_bytes: i32,
    chain: Option<Arc<SpuChain>>,
}

impl Fetcher {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        (topic, partition): (&str, u32),
        position: i64,
        chain: Option<Arc<SpuChain>>,
        options: ReaderOptions,
        progress: Arc<Progress>,
    ) -> Fetcher {
        let fetch_bytes = options.fetch_bytes.max(1);
        Fetcher { cluster, topic: topic.to_owned(), partition, options, progress, position, fetch_bytes, chain }
    }

    /// Runs until the reader is dropped or an error that does not pass.
    pub(super) async fn run(mut self, out: Sender<Result<Fetched>>) {
        let (mut pause, mut fruitless) = (FIRST_PAUSE, 0);
        loop {
            let before = self.position;
            let end = self.session(&out).await;
            if self.position > before {
                (pause, fruitless) = (FIRST_PAUSE, 0);
            }
            let reason = match end {
                End::Dropped => return,
                End::Fatal(error) => return drop(out.send(Err(error)).await),
                End::Refused(error) => return drop(out.send(Ok(Fetched::Refused(format!("{error:#}")))).await),
                End::Fruitless(error) => {
                    fruitless += 1;
                    if fruitless >= FRUITLESS_LIMIT {
                        let told = match self.chain {
                            Some(_) => Ok(Fetched::Refused(format!("{error:#}"))),
                            None => Err(error),
                        };
                        return drop(out.send(told).await);
                    }
                    error
                }
                End::Again(error) => error,
            };
            tracing::debug!(topic = self.topic, partition = self.partition, position = self.position, %reason, "reconnecting");
            self.progress.reconnects.fetch_add(1, Ordering::Relaxed);
            self.progress.set_trouble(Some(format!("{reason:#}")));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = out.closed() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One connection and one stream, until they end.
    async fn session(&mut self, out: &Sender<Result<Fetched>>) -> End {
        match self.connected(out).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn connected(&mut self, out: &Sender<Result<Fetched>>) -> Result<std::convert::Infallible, End> {
        let mut connection = Connection::open(&self.cluster, &self.topic, self.partition).await?;
        refuse_deduplication(&self.topic, &connection.spec).map_err(End::Fatal)?;
        let extent = connection.extent().await?;
        if extent.start > self.position {
            let gap = self.position..extent.start;
            self.progress.gaps.fetch_add(1, Ordering::Relaxed);
            out.send(Ok(Fetched::Gap(gap))).await.map_err(|_| End::Dropped)?;
            self.position = extent.start;
        }
        let modules = match &self.chain {
            Some(chain) => modules::invocations(&self.cluster, chain).await?,
            None => Vec::new(),
        };
        let mut stream = connection.fetch(self.position, self.fetch_bytes, self.options.isolation, modules).await?;
        self.progress.set_trouble(None);
        loop {
            let response = self.respond(&connection, &mut stream, out).await?;
            let before = self.position;
            let id = response.stream_id;
            self.refuse_error(response.partition.error_code.clone(), extent.end)?;
            let cut = match self.chain.clone() {
                Some(chain) => self.use_outputs(&chain, response, out).await?,
                None => self.use_batches(response, out).await?,
            };
            if self.position == before {
                return Err(self.nothing_usable(cut));
            }
            connection.acknowledge(id, self.position).await?;
        }
    }

    /// The next answer of the SPU; a silent connection is checked.
    async fn respond(
        &self,
        connection: &Connection,
        stream: &mut FetchStream,
        out: &Sender<Result<Fetched>>,
    ) -> Result<DefaultStreamFetchResponse, End> {
        let mut silences = 0;
        loop {
            let answer = tokio::select! {
                answer = tokio::time::timeout(self.options.silence, stream.next()) => answer,
                () = out.closed() => return Err(End::Dropped),
            };
            match answer {
                Ok(Some(Ok(response))) => return Ok(response),
                Ok(Some(Err(error))) => return Err(End::Again(anyhow!(error).context("the stream broke"))),
                Ok(None) => return Err(End::Again(anyhow!("the SPU ended the stream"))),
                Err(_) => {
                    let end = connection.extent().await?.end;
                    silences = if end > self.position { silences + 1 } else { 0 };
                    let why = || anyhow!("the stream is silent at {} and the partition ends at {end}", self.position);
                    match self.chain {
                        None if silences > 0 => return Err(End::Again(why())),
                        // It compiles the modules, and goes through a whole segment before it answers.
                        Some(_) if silences > MODULES_MAY_TAKE => return Err(End::Refused(why())),
                        _ => {}
                    }
                }
            }
        }
    }

    fn refuse_error(&self, code: ErrorCode, end: i64) -> Result<(), End> {
        let error = anyhow!("the SPU says: {code}");
        match code {
            ErrorCode::None => Ok(()),
            ErrorCode::TopicDeleted | ErrorCode::PermissionDenied => Err(End::Fatal(error)),
            // A trap comes as `Other`.
            ErrorCode::SmartModuleError
            | ErrorCode::SmartModuleNotFound { .. }
            | ErrorCode::SmartModuleInvalid { .. }
            | ErrorCode::SmartModuleInvalidExports { .. }
            | ErrorCode::SmartModuleRuntimeError(_)
            | ErrorCode::SmartModuleChainInitError(_)
            | ErrorCode::Other(_)
                if self.chain.is_some() =>
            {
                Err(End::Refused(error))
            }
            // Behind the end there is no such record yet, and it may never come.
            _ if self.position > end => Err(End::Fruitless(error.context(format!(
                "offset {} is behind the end of {}/{}, which is {end}: the topic was made anew, or its SPU lost data",
                self.position, self.topic, self.partition
            )))),
            _ => Err(End::Again(error)),
        }
    }

    /// Hands on the records of whole batches; the size of the batch that was cut, if one was.
    async fn use_batches(
        &mut self,
        response: DefaultStreamFetchResponse,
        out: &Sender<Result<Fetched>>,
    ) -> Result<Option<i32>, End> {
        let (mut gathered, mut bytes, mut cut) = (Vec::new(), 0, None);
        let mut next = self.position;
        for batch in response.partition.records.batches {
            let offsets = batch.base_offset..batch.get_last_offset() + 1;
            if offsets.end <= next {
                continue;
            }
            if offsets.start > next {
                count(&self.progress.unexpected_offsets);
                break;
            }
            let Some(records) = whole(&batch) else {
                count(&self.progress.short_batches);
                cut = Some(batch.batch_len());
                break;
            };
            gathered.extend(log_records(&batch, records, (next - offsets.start) as usize));
            bytes += batch.batch_len() as usize;
            next = offsets.end;
            if bytes >= HANDED_ON_BYTES {
                self.hand_on(std::mem::take(&mut gathered), next, out).await?;
                bytes = 0;
            }
        }
        if !gathered.is_empty() {
            self.hand_on(gathered, next, out).await?;
        }
        Ok(cut)
    }

    async fn hand_on(&mut self, records: Vec<LogRecord>, next: i64, out: &Sender<Result<Fetched>>) -> Result<(), End> {
        out.send(Ok(Fetched::Records(records))).await.map_err(|_| End::Dropped)?;
        self.position = next;
        Ok(())
    }

    /// No batch of an answer could be used: it was too small for one, or the log has a hole.
    fn nothing_usable(&mut self, cut: Option<i32>) -> End {
        if self.chain.is_none() {
            let needed = cut.map_or(0, |bytes| bytes.saturating_add(BATCH_PREAMBLE_SIZE as i32));
            self.fetch_bytes = needed.max(self.fetch_bytes.saturating_mul(2));
        }
        End::Fruitless(anyhow!("the SPU sends no whole batch at offset {}", self.position))
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The records of a batch; None if bytes or records are missing.
fn whole(batch: &Batch<RawRecords>) -> Option<Vec<Record>> {
    let schema_bytes = if batch.header.has_schema() { 4 } else { 0 };
    let bytes = batch.records().0.len() + BATCH_HEADER_SIZE + schema_bytes;
    if bytes != usize::try_from(batch.batch_len()).ok()? {
        return None;
    }
    let records = batch.memory_records().ok()?;
    (records.len() == batch.records_len()).then_some(records)
}

fn log_records(batch: &Batch<RawRecords>, records: Vec<Record>, skipped: usize) -> Vec<LogRecord> {
    let (base, first_time) = (batch.base_offset, batch.get_base_timestamp());
    let numbered = records.into_iter().enumerate().skip(skipped);
    numbered
        .map(|(index, record)| LogRecord {
            offset: base + index as i64,
            // As Fluvio's own client reads it.
            log_time_ms: if first_time <= 0 { NO_LOG_TIME } else { first_time + record.timestamp_delta() },
            key: record.key().map(|key| key.as_ref().to_vec()),
            value: record.into_value().into_vec(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluvio::Compression;
    use fluvio::dataplane::bytes::Bytes;
    use fluvio::dataplane::{Decoder, Encoder};

    fn batch(compression: Compression) -> Result<Vec<u8>> {
        let records: Vec<Record> = (0..20).map(|n| Record::from((format!("key {n}"), format!("value {n}")))).collect();
        let mut batch = Batch::from(records);
        batch.set_base_offset(100);
        batch.header.first_timestamp = 7;
        batch.get_mut_header().set_compression(compression);
        Ok(Batch::<RawRecords>::try_from(batch)?.as_bytes(0)?.to_vec())
    }

    /// Cut at any byte, a batch is not used; nor is one with a record less than its header says.
    #[test]
    fn a_cut_batch_is_never_whole() -> Result<()> {
        for compression in [Compression::None, Compression::Gzip, Compression::Lz4, Compression::Zstd] {
            let bytes = batch(compression)?;
            for length in 0..=bytes.len() {
                let mut cut = Bytes::copy_from_slice(&bytes[..length]);
                // Without a whole header there is no batch at all.
                let Ok(decoded) = Batch::<RawRecords>::decode_from(&mut cut, 0) else { continue };
                assert_eq!(whole(&decoded).is_some(), length == bytes.len(), "{length} of {} bytes", bytes.len());
            }
            let mut decoded = Batch::<RawRecords>::decode_from(&mut Bytes::from(bytes), 0)?;
            decoded.header.last_offset_delta += 1;
            assert!(whole(&decoded).is_none());
        }
        Ok(())
    }

    #[test]
    fn records_before_the_position_are_left_out() -> Result<()> {
        let decoded = Batch::<RawRecords>::decode_from(&mut Bytes::from(batch(Compression::None)?), 0)?;
        let records = log_records(&decoded, whole(&decoded).unwrap_or_default(), 18);
        let record = |offset: i64| LogRecord {
            offset,
            log_time_ms: 7,
            key: Some(format!("key {}", offset - 100).into_bytes()),
            value: format!("value {}", offset - 100).into_bytes(),
        };
        assert_eq!(records, [record(118), record(119)]);
        Ok(())
    }
}

//! The one writer: appends to partitions, and says exactly what is known about each append.
//!
//! It speaks Fluvio's produce request itself, over the request's own types, because the library's
//! producer cannot say what became of a record: a batch that it could not send yet stays in its queue
//! and is sent when the SPU is back, after `append` has reported an error and recovery has read the
//! log; a dropped producer sends it too. Here one batch is one request, sent once; what is not
//! acknowledged when `append` returns is at most in flight.

use super::connection::{Connection, NoPartition};
use super::{ANSWER_WITHIN, Cluster};
use crate::NewRecord;
use anyhow::{Result, anyhow};
use fluvio::dataplane::Encoder;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{BATCH_FILE_HEADER_SIZE, Batch, RawRecords, Record, RecordData, RecordKey};
use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::topic::CompressionAlgorithm;
use fluvio::{Compression, Isolation};
use fluvio_spu_schema::produce::{DefaultPartitionRequest, DefaultProduceRequest, DefaultTopicRequest};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a batch besides its records: the header, and their count.
const BATCH_OVERHEAD_BYTES: usize = BATCH_FILE_HEADER_SIZE + 4;

/// The largest batch that an SPU takes, as Fluvio is built (`STORAGE_MAX_REQUEST_SIZE`).
const SPU_BATCH_MAX_BYTES: usize = 32 << 20;

/// Segment size of topics that state none.
const SEGMENT_DEFAULT_BYTES: u32 = 1 << 30;

/// How a writer writes.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Records are packed into batches of at most this size; a larger record goes alone
    pub batch_bytes: usize,
    /// How long to try to reach the SPU before anything is sent
    pub connect_within: Duration,
    /// How long the SPU may take to commit a batch
    pub commit_within: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            batch_bytes: 1 << 20,
            connect_within: Duration::from_secs(30),
            commit_within: Duration::from_secs(10),
        }
    }
}

/// Why an append failed, and what is in the log all the same.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written beyond the acknowledged records
    #[error("append to {topic}/{partition} refused after {} acknowledged records: {cause:#}", acknowledged_len(.acknowledged))]
    Refused {
        /// Topic
        topic: String,
        /// Partition
        partition: u32,
        /// Offsets of the records of this append that are written; they are its first ones
        acknowledged: Option<Range<i64>>,
        /// Reason
        cause: anyhow::Error,
    },
    /// The records behind the acknowledged ones may be written, wholly or in part, or may become so
    /// while the request is on its way; only reading the log tells
    #[error(
        "append to {topic}/{partition} has no known outcome after {} acknowledged records: {cause:#}; read the log before appending again",
        acknowledged_len(.acknowledged)
    )]
    Indefinite {
        /// Topic
        topic: String,
        /// Partition
        partition: u32,
        /// Offsets of the records of this append that are certainly written; they are its first ones
        acknowledged: Option<Range<i64>>,
        /// Reason
        cause: anyhow::Error,
    },
}

fn acknowledged_len(acknowledged: &Option<Range<i64>>) -> i64 {
    acknowledged.as_ref().map_or(0, |range| range.end - range.start)
}

/// What one request came to.
enum Failure {
    Refused(anyhow::Error),
    Indefinite(anyhow::Error),
}

/// Appends to any partition of a cluster, one request at a time.
pub struct Writer {
    cluster: Arc<Cluster>,
    options: WriterOptions,
    connections: BTreeMap<(String, u32), Connection>,
}

impl Writer {
    /// A writer; it connects when it is first used.
    pub fn new(cluster: Arc<Cluster>, options: WriterOptions) -> Writer {
        Writer { cluster, options, connections: BTreeMap::new() }
    }

    /// Appends records in their order and waits until they are committed: the offset of the first, to
    /// the one behind the last. After an error nothing more of the append is sent.
    pub async fn append(
        &mut self,
        topic: &str,
        partition: u32,
        records: &[NewRecord],
    ) -> Result<Range<i64>, AppendError> {
        let mut acknowledged: Option<Range<i64>> = None;
        match self.append_batches(topic, partition, records, &mut acknowledged).await {
            Ok(range) => Ok(range),
            Err(failure) => {
                // It may be half open; and closing it stops what is not sent yet.
                self.connections.remove(&(topic.to_owned(), partition));
                let topic = topic.to_owned();
                Err(match failure {
                    Failure::Refused(cause) => AppendError::Refused { topic, partition, acknowledged, cause },
                    Failure::Indefinite(cause) => AppendError::Indefinite { topic, partition, acknowledged, cause },
                })
            }
        }
    }

    /// The offset of the oldest kept record, to the one behind the newest committed.
    pub async fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        let connection = self.connection(topic, partition).await?;
        if let Ok(extent) = connection.extent().await {
            return Ok(extent);
        }
        self.connections.remove(&(topic.to_owned(), partition));
        self.connection(topic, partition).await?.extent().await
    }

    async fn append_batches(
        &mut self,
        topic: &str,
        partition: u32,
        records: &[NewRecord],
        acknowledged: &mut Option<Range<i64>>,
    ) -> Result<Range<i64>, Failure> {
        let (batch_bytes, commit_within) = (self.options.batch_bytes, self.options.commit_within);
        let connection = self.connection(topic, partition).await.map_err(Failure::Refused)?;
        let batches = pack(records, batch_bytes, &connection.spec).map_err(Failure::Refused)?;
        for batch in batches {
            let count = batch.len() as i64;
            let first = send(connection, topic, partition, batch, commit_within).await?;
            let start = acknowledged.as_ref().map_or(first, |range| range.start);
            *acknowledged = Some(start..first + count);
        }
        match acknowledged.clone() {
            Some(range) => Ok(range),
            // Nothing to append: the empty range at the end.
            None => connection.extent().await.map(|e| e.end..e.end).map_err(Failure::Refused),
        }
    }

    /// An open connection; tries for `connect_within`, which is safe because nothing was sent yet.
    async fn connection(&mut self, topic: &str, partition: u32) -> Result<&Connection> {
        let key = (topic.to_owned(), partition);
        if self.connections.get(&key).is_none_or(Connection::is_closed) {
            let opened = open(&self.cluster, topic, partition, self.options.connect_within).await?;
            self.connections.insert(key.clone(), opened);
        }
        self.connections.get(&key).ok_or_else(|| anyhow!("a connection was just made"))
    }
}

async fn open(cluster: &Cluster, topic: &str, partition: u32, limit: Duration) -> Result<Connection> {
    let end = tokio::time::Instant::now() + limit;
    let mut pause = Duration::from_millis(20);
    loop {
        let error = match Connection::open(cluster, topic, partition).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        // A topic that was just made has its partitions a little later.
        let missing = error.is::<NoPartition>()
            && cluster.topic(topic).await.is_ok_and(|found| found.is_none_or(|spec| partition >= spec.partitions()));
        if missing || tokio::time::Instant::now() + pause > end {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Cuts records into batches that the partition takes.
fn pack(records: &[NewRecord], batch_bytes: usize, spec: &PartitionSpec) -> Result<Vec<Vec<Record>>> {
    let segment = spec.storage.as_ref().and_then(|s| s.segment_size).unwrap_or(SEGMENT_DEFAULT_BYTES) as usize;
    let allowed = segment.min(SPU_BATCH_MAX_BYTES).saturating_sub(BATCH_OVERHEAD_BYTES);
    let target = batch_bytes.saturating_sub(BATCH_OVERHEAD_BYTES).min(allowed);
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (index, new) in records.iter().enumerate() {
        let key = new.key.clone().map(RecordData::from);
        let mut record = Record::new_key_value(RecordKey::from_option(key), new.value.clone());
        // The position in the batch is part of the size.
        record.get_mut_header().set_offset_delta(batch.len() as i64);
        let size = record.write_size(0);
        if size > allowed {
            return Err(anyhow!(
                "record {index} of the append has {size} bytes with its key; a segment of {segment} bytes and the \
                 SPU's limit of {SPU_BATCH_MAX_BYTES} allow {allowed}; make the record smaller, or the topic with \
                 larger segments"
            ));
        }
        if bytes + size > target && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += size;
        batch.push(record);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    Ok(batches)
}

/// Sends one batch; the offset of its first record.
async fn send(
    connection: &Connection,
    topic: &str,
    partition: u32,
    records: Vec<Record>,
    commit_within: Duration,
) -> Result<i64, Failure> {
    let batch = encode(records, &connection.spec).map_err(Failure::Refused)?;
    let request = produce_request(topic, partition, batch, commit_within);
    let response = connection.produce(request, commit_within + ANSWER_WITHIN).await.map_err(Failure::Indefinite)?;
    let Some(answer) = response.find_partition_response(topic, partition) else {
        return Err(Failure::Indefinite(anyhow!("the SPU's answer has nothing on this partition")));
    };
    match &answer.error_code {
        ErrorCode::None => Ok(answer.base_offset),
        // The SPU checks these before it writes.
        code @ (ErrorCode::MessageTooLarge
        | ErrorCode::CompressionError
        | ErrorCode::PartitionShortCircuited
        | ErrorCode::PermissionDenied
        | ErrorCode::TopicNotFound) => Err(Failure::Refused(anyhow!("the SPU says: {code}"))),
        code => Err(Failure::Indefinite(anyhow!("the SPU says: {code}"))),
    }
}

fn encode(records: Vec<Record>, spec: &PartitionSpec) -> Result<Batch<RawRecords>> {
    let mut batch = Batch::from(records);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    let header = batch.get_mut_header();
    header.first_timestamp = now;
    header.max_time_stamp = now;
    header.set_compression(match spec.compression_type {
        CompressionAlgorithm::Any | CompressionAlgorithm::None => Compression::None,
        CompressionAlgorithm::Gzip => Compression::Gzip,
        CompressionAlgorithm::Snappy => Compression::Snappy,
        CompressionAlgorithm::Lz4 => Compression::Lz4,
        CompressionAlgorithm::Zstd => Compression::Zstd,
    });
    Ok(Batch::<RawRecords>::try_from(batch)?)
}

fn produce_request(
    topic: &str,
    partition: u32,
    batch: Batch<RawRecords>,
    commit_within: Duration,
) -> DefaultProduceRequest {
    let mut in_partition = DefaultPartitionRequest { partition_index: partition, ..Default::default() };
    in_partition.records.batches.push(batch);
    let in_topic = DefaultTopicRequest { name: topic.to_owned(), partitions: vec![in_partition], ..Default::default() };
    DefaultProduceRequest {
        isolation: Isolation::ReadCommitted,
        timeout: commit_within,
        topics: vec![in_topic],
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluvio::metadata::topic::TopicStorageConfig;

    fn sizes(values: &[usize], batch_bytes: usize, segment_size: Option<u32>) -> Result<Vec<usize>> {
        let spec = PartitionSpec {
            storage: Some(TopicStorageConfig { segment_size, max_partition_size: None }),
            ..PartitionSpec::default()
        };
        let records: Vec<_> =
            values.iter().map(|n| NewRecord { log_time_ms: 0, key: None, value: vec![b'x'; *n] }).collect();
        Ok(pack(&records, batch_bytes, &spec)?.iter().map(Vec::len).collect())
    }

    #[test]
    fn batches_are_as_large_as_they_may_be_and_not_larger() -> Result<()> {
        assert_eq!(sizes(&[], 1000, None)?, [0usize; 0]);
        assert_eq!(sizes(&[100; 30], 1000, None)?, [8, 8, 8, 6], "61 bytes of header and some of each record");
        assert_eq!(sizes(&[10, 5000, 10], 1000, None)?, [1, 1, 1], "a large record goes alone");
        assert_eq!(sizes(&[100; 30], 1 << 20, Some(1024))?, [8, 8, 8, 6], "a batch fits a segment");
        Ok(())
    }

    #[test]
    fn packed_batches_have_the_size_that_was_reckoned() -> Result<()> {
        for batch_bytes in [200, 1000, 5000] {
            let records: Vec<_> =
                (0..300).map(|n| NewRecord { log_time_ms: 0, key: Some(vec![0; n % 9]), value: vec![0; n] }).collect();
            for batch in pack(&records, batch_bytes, &PartitionSpec::default())? {
                let alone = batch.len() == 1;
                let bytes = encode(batch, &PartitionSpec::default())?.write_size(0);
                assert!(bytes <= batch_bytes || alone, "{bytes} bytes of {batch_bytes}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_record_that_no_batch_takes_is_refused() {
        let error = sizes(&[10, 1000], 1 << 20, Some(1024)).unwrap_err().to_string();
        assert!(
            error.starts_with("record 1 of the append has 1009 bytes with its key; a segment of 1024 bytes"),
            "{error}"
        );
    }
}

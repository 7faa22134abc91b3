//! One TCP connection to the SPU that leads a partition.
//!
//! Every reader and writer has its own: the client library shares one connection per SPU and keeps
//! using it when it is half open, and one long answer on it holds up all others.

use super::{ANSWER_WITHIN, Cluster, Place, within};
use anyhow::{Context, Result, bail};
use fluvio::Isolation;
use fluvio::consumer::SmartModuleInvocation;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{RawRecords, RecordSet, ReplicaKey};
use fluvio::metadata::partition::PartitionSpec;
use fluvio_socket::{AsyncResponse, MultiplexerSocket, StreamSocket, VersionedSerialSocket};
use fluvio_spu_schema::fetch::{FetchPartition, FetchRequest, FetchableTopic};
use fluvio_spu_schema::produce::{DefaultProduceRequest, ProduceResponse};
use fluvio_spu_schema::server::fetch_offset::FetchOffsetsRequest;
use fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchRequest;
use fluvio_spu_schema::server::update_offset::{OffsetUpdate, UpdateOffsetsRequest};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// Enough for the headers of some batches.
const PEEK_BYTES: i32 = 64 << 10;

/// The batches of a partition as the SPU sends them, whole or cut.
pub(crate) type FetchStream = AsyncResponse<DefaultStreamFetchRequest>;

/// A connection to the leader of one partition.
pub(crate) struct Connection {
    pub(crate) spec: PartitionSpec,
    key: ReplicaKey,
    serial: VersionedSerialSocket,
    stream: StreamSocket,
}

/// The system controller knows no such partition.
#[derive(Debug)]
pub(crate) struct NoPartition(String);

impl fmt::Display for NoPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cluster has no partition {}", self.0)
    }
}

impl std::error::Error for NoPartition {}

impl Connection {
    /// Asks the system controller for the leader and connects to it.
    pub(crate) async fn open(cluster: &Cluster, topic: &str, partition: u32) -> Result<Connection> {
        let Some(Place { spec, spu }) = cluster.place(topic, partition).await? else {
            return Err(NoPartition(format!("{topic}/{partition}")).into());
        };
        let what =
            format!("cannot connect to SPU {} at {}, the leader of {topic}/{partition}", spec.leader, spu.addr());
        let (socket, config, versions) = within(ANSWER_WITHIN, spu.connect()).await.context(what)?.split();
        let mut stream = StreamSocket::new(config, MultiplexerSocket::shared(socket), versions);
        let serial = stream.create_serial_socket().await;
        Ok(Connection { spec, key: ReplicaKey::new(topic, partition), serial, stream })
    }

    /// True once the other side has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.serial.is_stale()
    }

    /// True if what its leader has appended is committed by that, for there is no other replica.
    fn is_alone(&self) -> bool {
        self.spec.replicas.len() <= 1
    }

    /// The offset of the oldest kept record, to the one behind the newest committed.
    ///
    /// An SPU that was killed comes back with an old high watermark and moves it at the next write
    /// only; until then acknowledged records lie behind it. On the only replica the log itself tells.
    pub(crate) async fn extent(&self) -> Result<Range<i64>> {
        let key = &self.key;
        let request = FetchOffsetsRequest::new(key.topic.clone(), key.partition);
        let response = within(ANSWER_WITHIN, self.serial.send_receive(request))
            .await
            .with_context(|| format!("cannot ask for the offsets of {}/{}", key.topic, key.partition))?;
        let Some(found) = response.find_partition(key) else {
            bail!("the SPU's answer about offsets has nothing on {}/{}", key.topic, key.partition);
        };
        if found.error_code != ErrorCode::None {
            bail!("the SPU gives no offsets of {}/{}: {}", key.topic, key.partition, found.error_code);
        }
        let end = found.last_stable_offset;
        let end = if self.is_alone() { self.log_end(end).await? } else { end };
        Ok(found.start_offset..end)
    }

    /// The end of the leader's log, which is at `from` or behind it.
    async fn log_end(&self, from: i64) -> Result<i64> {
        let mut end = from;
        loop {
            let response = within(ANSWER_WITHIN, self.serial.send_receive(self.peek(end))).await?;
            let Some(found) = response.find_partition(&self.key.topic, self.key.partition) else {
                bail!("the SPU's answer has nothing on {}/{}", self.key.topic, self.key.partition);
            };
            if found.error_code != ErrorCode::None {
                bail!("the SPU cannot read {}/{} at {end}: {}", self.key.topic, self.key.partition, found.error_code);
            }
            // The headers tell the offsets; of the last batch there may be no more than that.
            match found.records.batches.last().map(|batch| batch.get_last_offset() + 1) {
                Some(next) if next > end => end = next,
                _ => return Ok(end),
            }
        }
    }

    fn peek(&self, from: i64) -> FetchRequest<RecordSet<RawRecords>> {
        let partition = FetchPartition {
            partition_index: self.key.partition,
            fetch_offset: from,
            max_bytes: PEEK_BYTES,
            ..Default::default()
        };
        FetchRequest {
            max_bytes: PEEK_BYTES,
            isolation_level: Isolation::ReadUncommitted,
            topics: vec![FetchableTopic { name: self.key.topic.clone(), fetch_partitions: vec![partition] }],
            ..Default::default()
        }
    }

    /// Starts a stream of batches at `from`; after each answer the SPU waits for an acknowledgement.
    ///
    /// Of the only replica it streams the log and not up to the high watermark: see
    /// [`extent`](Connection::extent).
    /// With `modules` each batch goes through them, and `max_bytes` bounds what they make of it.
    pub(crate) async fn fetch(
        &mut self,
        from: i64,
        max_bytes: i32,
        isolation: Isolation,
        modules: Vec<SmartModuleInvocation>,
    ) -> Result<FetchStream> {
        let version = self
            .serial
            .versions()
            .lookup_version::<DefaultStreamFetchRequest>()
            .context("the SPU and this client have no version of stream fetch in common")?;
        let isolation = if self.is_alone() { Isolation::ReadUncommitted } else { isolation };
        let request = DefaultStreamFetchRequest::builder()
            .topic(self.key.topic.clone())
            .partition(self.key.partition)
            .fetch_offset(from)
            .max_bytes(max_bytes)
            .isolation(isolation)
            .smartmodules(modules)
            .build()?;
        within(ANSWER_WITHIN, self.stream.create_stream_with_version(request, version)).await
    }

    /// Tells the SPU which offset of a stream is wanted next.
    pub(crate) async fn acknowledge(&self, stream: u32, next: i64) -> Result<()> {
        let request = UpdateOffsetsRequest { offsets: vec![OffsetUpdate { offset: next, session_id: stream }] };
        let response = within(ANSWER_WITHIN, self.serial.send_receive(request)).await?;
        match response.status.into_iter().find(|s| s.error != ErrorCode::None) {
            Some(refused) => bail!("the SPU refuses an acknowledgement: {}", refused.error),
            None => Ok(()),
        }
    }

    /// Sends batches once and waits for the answer; there are no retries below this.
    pub(crate) async fn produce(&self, request: DefaultProduceRequest, limit: Duration) -> Result<ProduceResponse> {
        within(limit, self.serial.send_receive(request)).await
    }
}

//! A cluster as a worker thread uses it: calls that block.

use super::{Cluster, Reader, ReaderCounters, ReaderOptions, SpuReader, Target, TopicKeep, Writer, WriterOptions};
use crate::{NewRecord, Read, SpuChain, SpuRead, Topics};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Outputs of modules that are handed out together are of about so many records at most.
const SPU_RECORDS: i64 = 100_000;
/// The partitions of a new topic are there within this time.
const CREATE_WITHIN: Duration = Duration::from_secs(30);
/// Time between two looks at them.
const CREATE_PAUSE: Duration = Duration::from_millis(50);

/// The topics of a cluster. It keeps a [`Reader`] or [`SpuReader`] per partition that is read, and one [`Writer`].
///
/// Its calls block the thread, which must not be one of a tokio runtime. The runtime of the handle
/// must be one that runs by itself (multi-thread), and must outlive this.
pub struct ClusterTopics {
    cluster: Arc<Cluster>,
    runtime: Handle,
    reading: ReaderOptions,
    readers: BTreeMap<(String, u32), Reader>,
    spu_readers: BTreeMap<(String, u32), SpuReader>,
    writer: Writer,
}

impl ClusterTopics {
    /// The topics of a cluster with the default options.
    pub fn new(cluster: Arc<Cluster>, runtime: Handle) -> ClusterTopics {
        ClusterTopics::with_options(cluster, runtime, ReaderOptions::default(), WriterOptions::default())
    }

    /// Connects.
    pub fn connect(runtime: Handle, target: &Target) -> Result<ClusterTopics> {
        let cluster = Arc::new(runtime.block_on(Cluster::connect(target))?);
        Ok(ClusterTopics::new(cluster, runtime))
    }

    /// The connection, for what is neither reading nor writing.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Makes a topic, and waits until its partitions can be used.
    pub fn create(&mut self, name: &str, keep: &TopicKeep) -> Result<()> {
        self.runtime.block_on(self.cluster.create_topic(name, keep))?;
        // Its partitions come a little later; whoever runs next should find them.
        let until = Instant::now() + CREATE_WITHIN;
        for partition in 0..keep.partitions {
            while let Err(error) = self.extent(name, partition) {
                if Instant::now() > until {
                    return Err(
                        error.context(format!("partition {partition} of the new topic `{name}` does not come up"))
                    );
                }
                std::thread::sleep(CREATE_PAUSE);
            }
        }
        Ok(())
    }

    /// The topics of a cluster.
    pub fn with_options(
        cluster: Arc<Cluster>,
        runtime: Handle,
        reading: ReaderOptions,
        writing: WriterOptions,
    ) -> ClusterTopics {
        let writer = Writer::new(cluster.clone(), writing);
        ClusterTopics { cluster, runtime, reading, readers: BTreeMap::new(), spu_readers: BTreeMap::new(), writer }
    }

    /// What the reader of a partition met; None if it is not being read.
    pub fn counters(&self, topic: &str, partition: u32) -> Option<ReaderCounters> {
        self.readers.get(&(topic.to_owned(), partition)).map(Reader::counters)
    }

    /// Why the reader of a partition is not connected at present; None while all is well.
    pub fn trouble(&self, topic: &str, partition: u32) -> Option<String> {
        self.readers.get(&(topic.to_owned(), partition)).and_then(Reader::trouble)
    }
}

impl Topics for ClusterTopics {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        let spec = self.runtime.block_on(self.cluster.topic(topic))?;
        Ok(spec.map(|spec| spec.partitions()))
    }

    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        self.runtime.block_on(self.writer.extent(topic, partition))
    }

    fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, wait: Duration) -> Result<Read> {
        let key = (topic.to_owned(), partition);
        let open = self.readers.remove(&key).filter(|reader| reader.position() == from);
        let (cluster, options) = (self.cluster.clone(), self.reading.clone());
        let (reader, read) = self.runtime.block_on(async {
            let mut reader = match open {
                Some(reader) => reader,
                None => Reader::open(cluster, topic, partition, from, options).await?,
            };
            let read = reader.next(max_bytes, wait).await;
            anyhow::Ok((reader, read))
        })?;
        self.readers.insert(key, reader);
        read
    }

    fn read_spu(
        &mut self,
        topic: &str,
        partition: u32,
        from: i64,
        chain: &Arc<SpuChain>,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<SpuRead> {
        let key = (topic.to_owned(), partition);
        let open = self.spu_readers.remove(&key).filter(|reader| reader.position() == from);
        let (cluster, chain, options) = (self.cluster.clone(), chain.clone(), self.reading.clone());
        let (reader, read) = self.runtime.block_on(async {
            let mut reader = match open {
                Some(reader) => reader,
                None => SpuReader::open(cluster, topic, partition, from, chain, options).await?,
            };
            let read = reader.next(max_bytes, SPU_RECORDS, wait).await;
            anyhow::Ok((reader, read))
        })?;
        // A refused one would only be refused again by this connection.
        if !matches!(read, Ok(SpuRead::Refused(_))) {
            self.spu_readers.insert(key, reader);
        }
        read
    }

    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>> {
        self.runtime.block_on(self.writer.append(topic, partition, records)).context("append")
    }
}

//! [`Topics`] on a cluster, for threads that block.

use super::reader::{Reader, ReaderOptions, partitions};
use super::writer::{Writer, WriterOptions};
use super::{Cluster, Target};
use crate::{NewRecord, Read, Topics};
use anyhow::Result;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// One thread's reader and writer of any partition of a cluster.
pub struct ClusterTopics {
    runtime: Handle,
    cluster: Arc<Cluster>,
    writer: Writer,
    readers: BTreeMap<(String, u32), Reader>,
}

impl ClusterTopics {
    /// Connects; `runtime` must not be the one whose thread calls.
    pub fn connect(runtime: Handle, target: &Target) -> Result<ClusterTopics> {
        let cluster = Arc::new(runtime.block_on(Cluster::connect(target))?);
        let writer = Writer::new(Arc::clone(&cluster), WriterOptions::default());
        Ok(ClusterTopics { runtime, cluster, writer, readers: BTreeMap::new() })
    }

    /// The connection, for what is neither reading nor writing.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

impl Topics for ClusterTopics {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        self.runtime.block_on(partitions(&self.cluster, topic))
    }

    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        self.runtime.block_on(self.writer.extent(topic, partition))
    }

    fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, wait: Duration) -> Result<Read> {
        let key = (topic.to_string(), partition);
        if self.readers.get(&key).is_none_or(|reader| reader.position() != from) {
            let cluster = Arc::clone(&self.cluster);
            self.readers.insert(key.clone(), Reader::new(cluster, topic, partition, from, ReaderOptions::default()));
        }
        match self.readers.get_mut(&key) {
            Some(reader) => self.runtime.block_on(reader.next(max_bytes, wait)),
            None => Ok(Read::Records(Vec::new())),
        }
    }

    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>> {
        Ok(self.runtime.block_on(self.writer.append(topic, partition, records))?)
    }
}

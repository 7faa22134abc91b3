//! The log that records go to, as the writer thread uses it.

use anyhow::{Context, Result};
use perfstream_log::cluster::{ClusterTopics, Target};
use perfstream_log::embedded::Log;
use perfstream_log::{NewRecord, Topics, partition_of_key};
use std::collections::BTreeMap;
use std::path::Path;
use tokio::runtime::Handle;

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic
    pub topic: String,
    /// Key; without one it lies in the first partition
    pub key: Option<Vec<u8>>,
    /// JSON
    pub value: Vec<u8>,
}

impl Outgoing {
    /// A record of a JSON value.
    pub fn new(topic: &str, key: Option<&str>, value: &serde_json::Value) -> Outgoing {
        Outgoing {
            topic: topic.into(),
            key: key.map(|key| key.as_bytes().to_vec()),
            value: value.to_string().into_bytes(),
        }
    }

    /// What it takes of the queue, bytes.
    pub fn size_bytes(&self) -> usize {
        self.topic.len() + self.key.as_ref().map_or(0, Vec::len) + self.value.len()
    }
}

/// A topic's partition.
pub type Place = (String, u32);

/// The records of a commit, by place.
pub type Batches = BTreeMap<Place, Vec<NewRecord>>;

/// A log that takes records; its calls block.
pub trait Store: Send {
    /// Partitions of a topic; fails if it cannot be written.
    fn partitions(&mut self, topic: &str) -> Result<u32>;

    /// Writes; what failed, by place. When this returns, all other records are in the log.
    fn write(&mut self, batches: Batches) -> BTreeMap<Place, String>;
}

/// The partition of a record.
pub fn partition(record: &Outgoing, count: u32) -> u32 {
    record.key.as_ref().map_or(0, |key| partition_of_key(key, count))
}

/// The embedded log: all records of a commit in one transaction.
pub struct EmbeddedStore {
    log: Log,
    partitions: u32,
}

impl EmbeddedStore {
    /// Opens the log in `dir`; its topics have so many partitions.
    pub fn open(dir: &Path, partitions: u32) -> Result<EmbeddedStore> {
        Ok(EmbeddedStore { log: Log::open(dir)?, partitions: partitions.max(1) })
    }
}

impl Store for EmbeddedStore {
    fn partitions(&mut self, topic: &str) -> Result<u32> {
        // Read by key by no one: a dead letter may lie anywhere, and is looked for in the first.
        Ok(if topic == crate::options::DEAD_LETTERS { 1 } else { self.partitions })
    }

    fn write(&mut self, batches: Batches) -> BTreeMap<Place, String> {
        let done = self.log.commit(|writer| {
            batches
                .iter()
                .try_for_each(|((topic, partition), records)| writer.append(topic, *partition, records).map(drop))
        });
        match done {
            Ok(()) => BTreeMap::new(),
            Err(error) => batches.into_keys().map(|place| (place, format!("{error:#}"))).collect(),
        }
    }
}

/// A cluster: an append per topic and partition.
pub struct ClusterStore {
    target: Target,
    runtime: Handle,
    /// None after an error: the next write connects again
    topics: Option<ClusterTopics>,
    counts: BTreeMap<String, u32>,
}

impl ClusterStore {
    /// Connects. The runtime must be one with threads of its own, and outlive this.
    pub fn connect(runtime: Handle, target: Target) -> Result<ClusterStore> {
        let topics = ClusterTopics::connect(runtime.clone(), &target)?;
        Ok(ClusterStore { target, runtime, topics: Some(topics), counts: BTreeMap::new() })
    }

    fn connected(&mut self) -> Result<&mut ClusterTopics> {
        let topics = match self.topics.take() {
            Some(topics) => topics,
            None => ClusterTopics::connect(self.runtime.clone(), &self.target)?,
        };
        Ok(self.topics.insert(topics))
    }
}

impl Store for ClusterStore {
    fn partitions(&mut self, topic: &str) -> Result<u32> {
        if let Some(count) = self.counts.get(topic) {
            return Ok(*count);
        }
        let found = self.connected()?.partitions(topic);
        if found.is_err() {
            self.topics = None;
        }
        let count = found?.with_context(|| format!("there is no topic `{topic}`; `perfstream deploy` makes it"))?;
        self.counts.insert(topic.into(), count);
        Ok(count)
    }

    fn write(&mut self, batches: Batches) -> BTreeMap<Place, String> {
        let mut failed = BTreeMap::new();
        for ((topic, partition), records) in batches {
            let done = self.connected().and_then(|topics| topics.append(&topic, partition, &records).map(drop));
            if let Err(error) = done {
                self.topics = None;
                self.counts.clear();
                failed.insert((topic, partition), format!("{error:#}"));
            }
        }
        failed
    }
}

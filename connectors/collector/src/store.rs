//! The log that records go to, as the writer thread uses it; the one of a cluster is in `cluster`.

use crate::record::Outgoing;
use anyhow::Result;
use perfstream_log::embedded::Log;
use perfstream_log::{NewRecord, partition_of_key};
use std::collections::BTreeMap;
use std::path::Path;

/// A topic's partition.
pub type Place = (String, u32);

/// The records of a commit, by place.
pub type Batches = BTreeMap<Place, Vec<NewRecord>>;

/// A log that takes records; its calls block.
pub trait Store: Send {
    /// Partitions of a topic; None if there is no such topic, an error if that cannot be said now.
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>>;

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
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        // Read by key by no one: a dead letter may lie anywhere, and is looked for in the first.
        Ok(Some(if topic == crate::options::DEAD_LETTERS { 1 } else { self.partitions }))
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

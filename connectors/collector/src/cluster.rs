//! A Fluvio cluster as the log that records go to.

use crate::options::DEAD_LETTERS;
use crate::store::{Batches, Place, Store};
use anyhow::{Result, bail};
use perfstream_log::Topics;
use perfstream_log::cluster::{ClusterTopics, Target, TopicKeep};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// A topic that was not there is looked for again after this time.
const ABSENT: Duration = Duration::from_secs(10);

/// A cluster: an append per topic and partition.
pub struct ClusterStore {
    target: Target,
    runtime: Handle,
    /// None after an error: the next write connects again
    topics: Option<ClusterTopics>,
    counts: BTreeMap<String, u32>,
    absent: BTreeMap<String, Instant>,
}

impl ClusterStore {
    /// Connects. The runtime must be one with threads of its own, and outlive this.
    pub fn connect(runtime: Handle, target: Target) -> Result<ClusterStore> {
        let topics = ClusterTopics::connect(runtime.clone(), &target)?;
        let (counts, absent) = (BTreeMap::new(), BTreeMap::new());
        Ok(ClusterStore { target, runtime, topics: Some(topics), counts, absent })
    }

    /// Looks which of the topics are there and, with `create`, makes the others with so many partitions.
    /// Returns those that are missing then. Fails without `dead-letters`: bad events would have no place
    /// to be, and no request with one could be answered.
    pub fn prepare(&mut self, needed: &[String], create: Option<u32>) -> Result<Vec<String>> {
        let runtime = self.runtime.clone();
        let topics = self.connected()?;
        let known = runtime.block_on(topics.cluster().topics())?;
        let mut missing: Vec<String> = needed.iter().filter(|name| !known.contains_key(*name)).cloned().collect();
        if let Some(partitions) = create {
            for name in &missing {
                let partitions = if name == DEAD_LETTERS { 1 } else { partitions };
                topics.create(name, &TopicKeep::partitions(partitions))?;
                tracing::info!("made the topic `{name}`, {partitions} partitions");
            }
            missing.clear();
        }
        if missing.iter().any(|name| name == DEAD_LETTERS) {
            bail!(
                "the cluster has no topic `{DEAD_LETTERS}`, where bad events go; `perfstream deploy` makes it with the \
                 topics of a pipeline, `--create-topics` makes all that are missing: {}",
                missing.join(", ")
            );
        }
        Ok(missing)
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
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        if let Some(count) = self.counts.get(topic) {
            return Ok(Some(*count));
        }
        if self.absent.get(topic).is_some_and(|since| since.elapsed() < ABSENT) {
            return Ok(None);
        }
        let found = self.connected()?.partitions(topic);
        if found.is_err() {
            self.topics = None;
        }
        let found = found?;
        match found {
            Some(count) => drop(self.counts.insert(topic.into(), count)),
            None => drop(self.absent.insert(topic.into(), Instant::now())),
        }
        Ok(found)
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

//! Where topics are: the embedded log (`--data DIR`) or a cluster (`--cluster`), behind one type.

use crate::cluster::{ClusterTopics, Target, TopicKeep};
use crate::embedded::Log;
use crate::{NewRecord, Read, Topics};
use anyhow::{Result, bail};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// At most so many records of the embedded log are read at once.
const READ_RECORDS: usize = 1000;

/// The embedded log or a cluster; calls block. Who can do more in one of them (a commit over several
/// topics, say) matches on it.
pub enum Place {
    /// The embedded log
    Embedded(Box<Log>),
    /// A Fluvio cluster
    Cluster(Box<ClusterTopics>),
}

impl Place {
    /// The embedded log in a directory, which must be there.
    pub fn embedded(dir: &Path) -> Result<Place> {
        if !dir.join("log.db").exists() {
            bail!("there is no embedded log in {}", dir.display());
        }
        Ok(Place::Embedded(Box::new(Log::open(dir)?)))
    }

    /// Connects. The runtime must be one with threads of its own, and outlive this.
    pub fn cluster(runtime: Handle, target: &Target) -> Result<Place> {
        Ok(Place::Cluster(Box::new(ClusterTopics::connect(runtime, target)?)))
    }

    /// Number of partitions of a topic; None if there is no such topic. The embedded log makes a topic
    /// with its first record.
    pub fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        match self {
            Place::Embedded(log) => Ok(log.partitions(topic)?.last().map(|last| last + 1)),
            Place::Cluster(topics) => topics.partitions(topic),
        }
    }

    /// Makes a topic of one partition that is not there, kept as long as the cluster keeps topics by default.
    pub fn create(&mut self, topic: &str) -> Result<()> {
        match self {
            // Its first record makes it.
            Place::Embedded(_) => Ok(()),
            Place::Cluster(topics) => topics.create(topic, &TopicKeep::partitions(1)),
        }
    }

    /// Offset of the oldest record to the one behind the newest.
    pub fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        match self {
            // The embedded log keeps everything.
            Place::Embedded(log) => Ok(0..log.end(topic, partition)?),
            Place::Cluster(topics) => topics.extent(topic, partition),
        }
    }

    /// The next records from an offset on, about `max_bytes` of them or one; none if there are none now.
    /// A cluster is asked for as long as `wait`, the embedded log answers at once.
    pub fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, wait: Duration) -> Result<Read> {
        match self {
            Place::Embedded(log) => {
                Ok(Read::Records(log.read_bytes(topic, partition, from, READ_RECORDS, max_bytes)?))
            }
            Place::Cluster(topics) => topics.read(topic, partition, from, max_bytes, wait),
        }
    }

    /// Appends records; when it returns, the log has them. An error on a cluster may mean that it has
    /// them all the same.
    pub fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<()> {
        match self {
            Place::Embedded(log) => log.commit(|writer| writer.append(topic, partition, records).map(drop)),
            Place::Cluster(topics) => topics.append(topic, partition, records).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_log() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let error = Place::embedded(dir.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("there is no embedded log in"), "{error}");
        drop(Log::open(dir.path())?);
        let mut place = Place::embedded(dir.path())?;
        assert_eq!(place.partitions("t")?, None);
        assert_eq!(place.extent("t", 2)?, 0..0);
        let record = |text: &str| NewRecord { log_time_ms: 1, key: None, value: text.as_bytes().to_vec() };
        place.append("t", 2, &["one", "two", "three"].map(record))?;
        assert_eq!((place.partitions("t")?, place.extent("t", 2)?), (Some(3), 0..3));
        let mut read = |from, max_bytes| match place.read("t", 2, from, max_bytes, Duration::ZERO) {
            Ok(Read::Records(records)) => records.into_iter().map(|r| (r.offset, r.value.len())).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(0, 100), [(0, 3), (1, 3), (2, 5)]);
        assert_eq!(read(0, 6), [(0, 3), (1, 3)]);
        assert_eq!(read(2, 1), [(2, 5)], "one, however long");
        assert_eq!(read(3, 100), []);
        Ok(())
    }
}

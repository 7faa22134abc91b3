//! The log that alerts are read from.

use anyhow::{Context, Result};
use perfstream_log::embedded::Log;
use perfstream_log::{Read, Topics};
use std::ops::Range;
use std::time::Duration;

/// Read at once.
const READ_BYTES: usize = 1 << 20;
const READ_RECORDS: usize = 1000;
/// A cluster's partition is asked for this long.
const WAIT: Duration = Duration::from_millis(20);

/// The embedded log or a cluster.
pub enum Source {
    /// `--data DIR`
    Embedded(Box<Log>),
    /// `--cluster`
    Cluster(Box<dyn Topics + Send>),
}

impl Source {
    /// The partitions of a topic that there are now.
    pub fn partitions(&mut self, topic: &str) -> Result<Vec<u32>> {
        match self {
            Source::Embedded(log) => log.partitions(topic),
            Source::Cluster(topics) => {
                let count = topics.partitions(topic)?.with_context(|| format!("there is no topic {topic}"))?;
                Ok((0..count).collect())
            }
        }
    }

    /// Offset of the oldest record to the one behind the newest.
    pub fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        match self {
            // The embedded log keeps everything.
            Source::Embedded(log) => Ok(0..log.end(topic, partition)?),
            Source::Cluster(topics) => topics.extent(topic, partition),
        }
    }

    /// The next records from an offset on; none if there are none now.
    pub fn read(&mut self, topic: &str, partition: u32, from: i64) -> Result<Read> {
        match self {
            Source::Embedded(log) => Ok(Read::Records(log.read(topic, partition, from, READ_RECORDS)?)),
            Source::Cluster(topics) => topics.read(topic, partition, from, READ_BYTES, WAIT),
        }
    }
}

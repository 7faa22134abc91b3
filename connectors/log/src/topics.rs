//! What a worker needs of a log with topics.

use crate::{LogRecord, NewRecord, SpuChain, SpuRead};
use anyhow::{Result, bail};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A log of topics with partitions; calls block. A worker thread has one of its own.
///
/// After any error the caller must treat what it appended last as perhaps written (the answer may
/// be what was lost) and recover by reading.
pub trait Topics {
    /// Number of partitions of a topic; None if there is no such topic.
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>>;

    /// Offset of the oldest record that is kept, to the offset behind the newest.
    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>>;

    /// Records from offset `from` on, in order and without a hole, about `max_bytes` of them or one;
    /// waits up to `wait` for the first, and then gives none.
    fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, wait: Duration) -> Result<Read>;

    /// As [`read`](Topics::read), but what the SPU's modules make of the records. A log without SPUs
    /// refuses.
    fn read_spu(
        &mut self,
        _topic: &str,
        _partition: u32,
        _from: i64,
        _chain: &Arc<SpuChain>,
        _max_bytes: usize,
        _wait: Duration,
    ) -> Result<SpuRead> {
        Ok(SpuRead::Refused("this log has no SPU".into()))
    }

    /// Appends records and waits until the log has them: the offset of the first, to the one behind
    /// the last. Records of other writers may stand between them.
    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>>;
}

/// What a read gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next records; empty if none came in time
    Records(Vec<LogRecord>),
    /// The log no longer has the records `from..to`: retention was shorter than the absence
    Gap(Range<i64>),
}

/// Read at once by [`read_range`].
const READ_BYTES: usize = 4 << 20;
/// A record below the end of a partition must come within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// All records of a range that the log has; an error where one is gone or does not come.
pub fn read_range(log: &mut impl Topics, topic: &str, partition: u32, range: Range<i64>) -> Result<Vec<LogRecord>> {
    let (mut at, mut found) = (range.start, Vec::new());
    while at < range.end {
        match log.read(topic, partition, at, READ_BYTES, PATIENCE)? {
            Read::Gap(gone) => bail!("records {} to {} of {topic}/{partition} are gone", gone.start, gone.end),
            Read::Records(records) if records.is_empty() => bail!("record {at} of {topic}/{partition} did not come"),
            Read::Records(records) => {
                at = records.last().map_or(range.end, |r| r.offset + 1);
                found.extend(records.into_iter().filter(|r| r.offset < range.end));
            }
        }
    }
    Ok(found)
}

/// Where a pipeline takes requests of others: reference rows, verdicts, acknowledgements; one partition.
pub fn inbox(pipeline: &str) -> String {
    format!("{pipeline}-inbox")
}

//! What a worker needs of a log with topics.

use crate::{LogRecord, NewRecord, SpuChain, SpuRead};
use anyhow::Result;
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

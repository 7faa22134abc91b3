//! A pipeline over a log of topics with the effect of exactly once.
//!
//! Per input partition there is a control partition, written by one worker at a time. What the
//! chain sees, and in which order, stands there before it acts (*reserve before emit*):
//!
//! 1. A worker takes a partition with a `claim` of a higher epoch. From then on every entry of a
//!    lower epoch is void, so a paused predecessor that wakes finds itself fenced.
//! 2. Per batch it appends `advance { from, through, controls }`, makes sure that no higher claim
//!    stands before it, and only then processes the batch and writes its outputs. An advance also
//!    says how far every output partition was `written`, and which snapshot is the newest.
//! 3. A successor restores that snapshot, repeats all valid advances, and drops their outputs; only
//!    those of the last advance may be missing in part. It scans the output partitions from
//!    `written` to their ends and writes what is not there.
//!
//! As the chain is deterministic, whatever is written twice (by a predecessor that wakes between an
//! advance and its outputs) is an identical copy. So the set of output records is that of a run
//! without faults. Source and limits: Flink's and Kafka Streams' barriers and fencing, with the
//! output's own log in the place of transactions.

pub mod audit;
pub mod control;
pub mod outputs;
pub mod snapshot;
pub mod worker;

#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
pub(crate) mod tests;

pub use control::SkipReason;
pub use worker::{Job, PartitionWorker, Progress, RENEW_AFTER, Recovered, StageFailed};

use std::fmt;

/// Another worker has taken the partition; this one must stop and write nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// Epoch of the successor
    pub epoch: u64,
    /// Who it is
    pub instance: String,
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fenced: the worker {} took the partition over (epoch {})", self.instance, self.epoch)
    }
}

impl std::error::Error for Fenced {}

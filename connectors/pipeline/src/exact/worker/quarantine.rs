//! A record on which a stage fails (a trap, its memory at the limit) must not stop the partition.
//!
//! The advance that holds it is reserved already, so the record cannot be skipped by another advance.
//! A worker that comes back after such a failure feeds records one by one; on the one that fails it
//! writes a `quarantine` entry and ends. Its successor finds the entry before it repeats the advance,
//! and leaves the record out; a dead letter stands in its place.

use super::PartitionWorker;
use crate::exact::control::{Entry, Quarantine};
use crate::host::LogRecord;
use crate::output::Emission;
use crate::plan::PlanSpec;
use anyhow::{Error, Result};
use perfstream_core::Kind;
use perfstream_core::decode::SAMPLE_BYTES;
use perfstream_log::{NewRecord, Topics};
use std::fmt;

/// A stage failed on input.
#[derive(Debug)]
pub struct StageFailed {
    /// The record, or the first of the batch
    pub offset: i64,
    /// It was quarantined
    pub quarantined: bool,
    why: String,
}

impl fmt::Display for StageFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.quarantined { "and is quarantined" } else { "or on one of those after it in its batch" };
        write!(f, "a stage failed on the record {} {what}: {}", self.offset, self.why)
    }
}

impl std::error::Error for StageFailed {}

impl<T: Topics> PartitionWorker<T> {
    /// Gives records to the chain; a quarantined one becomes a dead letter.
    pub(super) fn feed(&mut self, records: &[LogRecord], send: &mut dyn FnMut(Emission)) -> Result<()> {
        self.misplaced +=
            records.iter().filter(|r| r.key.as_deref().is_some_and(|key| self.is_misplaced(key))).count() as u64;
        let mut rest = records;
        while let Some(at) = rest.iter().position(|r| self.quarantined.contains_key(&r.offset)) {
            self.process(&rest[..at], send)?;
            let detail = &self.quarantined[&rest[at].offset];
            let letter = dead_letter(&self.job.plan, self.partition, &rest[at], detail);
            self.plan.router.own(Kind::DeadLetter, letter).into_iter().for_each(&mut *send);
            rest = &rest[at + 1..];
        }
        self.process(rest, send)
    }

    fn process(&mut self, records: &[LogRecord], send: &mut dyn FnMut(Emission)) -> Result<()> {
        let size = if self.job.careful { 1 } else { records.len().max(1) };
        for batch in records.chunks(size) {
            if let Err(error) = traps(batch).and_then(|()| self.worker.process(self.partition, batch, send)) {
                return Err(self.failed(batch[0].offset, &error));
            }
        }
        Ok(())
    }

    /// A stage failed on what begins at `offset`.
    pub(super) fn failed(&mut self, offset: i64, error: &Error) -> Error {
        let mut failed = StageFailed { offset, quarantined: false, why: format!("{error:#}") };
        if self.job.careful {
            let entry = Quarantine { holder: self.holder.clone(), offset, detail: format!("{error:#}") };
            let written = serde_json::to_vec(&Entry::Quarantine(entry)).map_err(Error::from).and_then(|value| {
                let record = NewRecord { log_time_ms: 0, key: None, value };
                self.log.append(&self.job.control_topic, self.partition, &[record])
            });
            if let Err(error) = written {
                return error;
            }
            failed.quarantined = true;
            tracing::error!(partition = self.partition, offset, "quarantined: {error:#}");
        }
        failed.into()
    }
}

/// What stands for a record that no stage has seen.
pub(in crate::exact) fn dead_letter(plan: &PlanSpec, partition: u32, record: &LogRecord, detail: &str) -> Vec<u8> {
    let (pipeline, topic) = (&plan.chain.pipeline, &plan.input_topic);
    let place = format!("{partition}/{}", record.offset);
    let id = perfstream_core::id::id(&[pipeline.as_bytes(), b"quarantine", topic.as_bytes(), place.as_bytes()]);
    let sample = String::from_utf8_lossy(&record.value[..record.value.len().min(SAMPLE_BYTES)]);
    serde_json::json!({
        "kind": "dead_letter", "id": id, "pipeline": pipeline, "stage": "worker", "partition": partition,
        "offset": record.offset, "reason": "stage_failed", "detail": detail, "size_bytes": record.value.len(),
        "sample": sample,
    })
    .to_string()
    .into_bytes()
}

/// In tests of this crate a stage fails on records with this text.
#[cfg(test)]
pub(in crate::exact) fn traps(records: &[LogRecord]) -> Result<()> {
    let poison = |r: &LogRecord| r.value.windows(6).any(|w| w == b"POISON");
    match records.iter().any(poison) {
        true => anyhow::bail!("stage `filter`: a trap"),
        false => Ok(()),
    }
}

#[cfg(not(test))]
fn traps(_: &[LogRecord]) -> Result<()> {
    Ok(())
}

//! `placement: spu-prefilter`: the SPU runs the stateless front of the chain.
//!
//! What it made of a batch is taken in the place of the records, if it is what the front here would have
//! made. In all other cases the records are read and the whole chain runs here: when the SPU refuses or
//! fails, where reading begins inside a batch, when a record may be too far in the future, and whenever an
//! advance is repeated. The front keeps no state, so the outputs are the same bytes.

use super::{BATCH_BYTES, Job, PartitionWorker, same_clock};
use crate::chain::ChainOptions;
use crate::chain::front::{FrontBatch, front_len, spu_chain};
use crate::host::LogRecord;
use crate::output::Emission;
use anyhow::Result;
use perfstream_log::{Read, SpuChain, SpuRead, Topics};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// For how long records are read after the SPU refused, microseconds: at first, and at most.
const PAUSE: (i64, i64) = (1_000_000, 60_000_000);

/// The front in the SPU, and whether it is used at present.
pub(super) struct Front {
    chain: Arc<SpuChain>,
    stages: usize,
    /// Records are read up to this offset
    pause_through: i64,
    /// and until then, microseconds since the epoch
    pause_until: i64,
    pause: i64,
    /// The chain here would not take a batch
    disagreed: bool,
}

impl Front {
    /// None if the front is not wanted there, or is nothing. After a failure each record is fed alone.
    pub(super) fn new(job: &Job, partition: u32) -> Result<Option<Front>> {
        let stages = front_len(&job.plan.chain)?;
        if !job.prefilter || job.careful || stages == 0 {
            return Ok(None);
        }
        let options = ChainOptions { partition, ..job.chain.clone() };
        let chain = Arc::new(spu_chain(&job.plan.chain, &options)?);
        Ok(Some(Front { chain, stages, pause_through: 0, pause_until: i64::MIN, pause: PAUSE.0, disagreed: false }))
    }

    fn pause(&mut self, now: i64, why: &str) {
        tracing::warn!(seconds = self.pause / 1_000_000, "the worker runs the whole chain for a while: {why}");
        self.pause_until = now.saturating_add(self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    fn is_paused(&self, next: i64, now: i64) -> bool {
        next < self.pause_through || now < self.pause_until
    }
}

/// What is next in the input.
pub(super) enum Input {
    Records(Vec<LogRecord>),
    /// From the SPU
    Batches(Vec<FrontBatch>),
    /// The log no longer has these
    Gap(Range<i64>),
}

impl Input {
    pub(super) fn is_empty(&self) -> bool {
        self.through().is_none()
    }

    /// Offset behind its last record.
    pub(super) fn through(&self) -> Option<i64> {
        match self {
            Input::Records(records) => records.last().map(|r| r.offset + 1),
            Input::Batches(batches) => batches.last().map(|b| b.range.end),
            Input::Gap(range) => Some(range.end),
        }
    }

    pub(super) fn newest_log_time_ms(&self) -> Option<i64> {
        match self {
            Input::Records(records) => records.iter().map(|r| r.log_time_ms).max(),
            Input::Batches(batches) => batches.iter().map(|b| b.progress.log_time.div_euclid(1000)).max(),
            Input::Gap(_) => None,
        }
    }
}

impl<T: Topics> PartitionWorker<T> {
    /// The next input, by way of the SPU's modules if they are to be used; waits up to `wait`.
    pub(super) fn read(&mut self, now: i64, wait: Duration) -> Result<Input> {
        let topic = &self.job.plan.input_topic;
        if let Some(front) = &mut self.front {
            if std::mem::take(&mut front.disagreed) {
                front.pause(now, "the front here would treat a record in another way than the SPU");
            }
            if !front.is_paused(self.next, now) {
                match self.log.read_spu(topic, self.partition, self.next, &front.chain, BATCH_BYTES, wait)? {
                    SpuRead::Outputs(outputs) => {
                        let batches = outputs.into_iter().map(FrontBatch::new).collect::<Result<_>>()?;
                        return Ok(Input::Batches(batches));
                    }
                    // A copy of them may be spilled here.
                    SpuRead::Gap(range) => front.pause_through = range.end,
                    SpuRead::Refused(why) => front.pause(now, &why),
                }
            }
        }
        Ok(match self.log.read(topic, self.partition, self.next, BATCH_BYTES, wait)? {
            Read::Gap(range) => Input::Gap(range),
            Read::Records(mut records) => {
                same_clock(&mut records);
                Input::Records(records)
            }
        })
    }

    /// Nothing came, though records are there: the SPU is still busy with them. Asked only when a tick is
    /// due, for that would close windows before their events are read.
    pub(super) fn waits_for_spu(&mut self, now: i64) -> Result<bool> {
        let asked = self.front.as_ref().is_some_and(|front| !front.is_paused(self.next, now)) && self.is_tick_due(now);
        Ok(asked && self.log.extent(&self.job.plan.input_topic, self.partition)?.end > self.next)
    }

    /// Gives batches of the SPU to the chain, or their records where those must be read; the number of
    /// records that the SPU's modules saw in the place of the front here.
    pub(super) fn feed_batches(&mut self, batches: &[FrontBatch], send: &mut dyn FnMut(Emission)) -> Result<u64> {
        let (mut rest, mut prefiltered) = (batches, 0);
        while let Some(first) = rest.first() {
            let usable = self.is_usable(first);
            let len = rest.iter().position(|b| self.is_usable(b) != usable).unwrap_or(rest.len());
            let (run, after) = rest.split_at(len);
            let through = run.last().map_or(self.next, |b| b.range.end);
            if usable && self.take_batches(run, send)? {
                prefiltered += (through - self.next) as u64;
                self.next = through;
            } else {
                self.feed_range(through, send)?;
            }
            rest = after;
        }
        Ok(prefiltered)
    }

    fn is_usable(&self, batch: &FrontBatch) -> bool {
        let stages = self.front.as_ref().map_or(0, |front| front.stages);
        batch.is_whole(stages) && self.quarantined.range(batch.range.clone()).next().is_none()
    }

    fn take_batches(&mut self, run: &[FrontBatch], send: &mut dyn FnMut(Emission)) -> Result<bool> {
        let taken = match self.worker.process_front(self.partition, run, send) {
            Ok(taken) => taken,
            Err(error) => return Err(self.failed(run[0].range.start, &error)),
        };
        if let Some(front) = &mut self.front {
            front.disagreed = !taken;
            front.pause = if taken { PAUSE.0 } else { front.pause };
        }
        if taken && self.job.plan.partition_by.is_some() {
            let mut misplaced = 0;
            run.iter().for_each(|batch| batch.keys(&mut |key| misplaced += self.is_misplaced(key) as u64));
            self.misplaced += misplaced;
        }
        Ok(taken)
    }
}

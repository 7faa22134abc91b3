//! Recovery: from the last advance to where its outputs are all written.

use super::{BATCH_BYTES, PATIENCE, PartitionWorker, StageFailed, TAIL, entries, same_clock};
use crate::exact::control::{Advance, ControlEvent, Entry, Fold, SkipReason, SnapshotRef};
use crate::exact::outputs::drop_written;
use crate::model::Recovery;
use crate::output::Emission;
use crate::run::Totals;
use anyhow::{Context, Result, bail, ensure};
use perfstream_log::{Read, Topics};
use std::time::{Duration, Instant};

/// What a recovery did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Bytes of the stages' states that were read back; 0 without a snapshot
    pub state_bytes: u64,
    /// Input records that were processed again
    pub replayed: u64,
    /// Time to compile the stages, or to find them compiled, and to start them
    pub compile: Duration,
    /// Time to read the snapshot and give it to the stages
    pub restore: Duration,
    /// Time to process again
    pub replay: Duration,
}

impl<T: Topics> PartitionWorker<T> {
    pub(super) fn recover(&mut self, claimed_at: i64, now: i64) -> Result<()> {
        let Some((at, last)) = self.last_advance(claimed_at)? else { return self.begin() };
        self.written = last.written.clone();
        self.know_ends()?;
        (self.kept, self.inbox) = (last.snapshots.clone(), last.inbox);
        let started = Instant::now();
        let replay_from = self.restore(&last)?;
        self.recovered.restore = started.elapsed().saturating_sub(self.recovered.compile);
        if let Some(from) = replay_from {
            self.know_quarantined(from, claimed_at)?;
        }
        let started = Instant::now();
        let replayed = replay_from.map(|control| self.replay(control, at)).transpose();
        self.recovered.replay = started.elapsed();
        self.ahead = Vec::new();
        match replayed {
            Ok(Some(sent)) => self.complete(sent)?,
            Ok(None) => self.give_up(&last, "no snapshot can be used, and the control topic begins later")?,
            Err(error) if error.is::<StageFailed>() => return Err(error),
            Err(error) => self.give_up(&last, &format!("{error:#}"))?,
        }
        // A worker that dies again soon must not leave its successor ever more to process again.
        self.last_snapshot = (self.recovered.replayed == 0).then_some(now);
        self.change_if_due()
    }

    /// The first start of this pipeline.
    fn begin(&mut self) -> Result<()> {
        self.know_ends()?;
        self.next = self.log.extent(&self.job.plan.input_topic, self.partition)?.start;
        self.cut_to(Some(self.next))
    }

    /// The last advance that holds, among the entries before `claimed_at`.
    fn last_advance(&mut self, claimed_at: i64) -> Result<Option<(i64, Advance)>> {
        let start = self.log.extent(&self.job.control_topic, self.partition)?.start;
        let mut length = TAIL;
        loop {
            let from = (claimed_at - length).max(start);
            let (mut fold, mut last) = (Fold::default(), None);
            for (at, entry) in entries(&mut self.log, &self.job.control_topic, self.partition, from..claimed_at)? {
                if let (true, Entry::Advance(advance)) = (fold.accept(&entry), entry) {
                    last = Some((at, advance));
                }
            }
            if last.is_some() || from == start {
                return Ok(last);
            }
            length *= 4;
        }
    }

    /// Restores the newest snapshot that can be used; from which control offset to repeat. Without one
    /// from the first, if it is still there.
    fn restore(&mut self, last: &Advance) -> Result<Option<i64>> {
        for reference in &last.snapshots {
            match self.try_restore(reference) {
                Ok(()) => return Ok(Some(reference.control)),
                Err(error) => {
                    tracing::warn!(at = reference.at, "a snapshot cannot be used, trying the one before: {error:#}");
                }
            }
        }
        let extent = self.log.extent(&self.job.control_topic, self.partition)?;
        self.fold = Fold::default();
        Ok((extent.start == 0).then_some(0))
    }

    fn try_restore(&mut self, reference: &SnapshotRef) -> Result<()> {
        let loaded = self.snapshots.load(&mut self.log, reference)?;
        let states = &loaded.states;
        let cut = entries(&mut self.log, &self.job.control_topic, self.partition, states.cut..states.cut + 1)?;
        let Some((at, Entry::Advance(advance))) = cut.into_iter().next() else {
            bail!("its configuration, entry {} of the control topic, is gone", states.cut)
        };
        let plan = advance.controls.iter().find_map(|event| match event {
            ControlEvent::Cut { plan, .. } => Some(plan),
            _ => None,
        });
        self.change(at, plan.context("the entry holds no configuration")?, Some(states.next))?;
        let started = Instant::now();
        self.worker.chain(self.partition)?;
        self.recovered.compile += started.elapsed();
        self.worker.chain(self.partition)?.restore(&states.stages)?;
        self.recovered.state_bytes = states.stages.iter().map(|s| s.len() as u64).sum();
        let totals = Totals::of(states.events_out, &states.written, states.skipped.clone());
        self.worker.set_totals(self.partition, totals);
        self.fold = Fold::after(loaded.holder().clone());
        self.snapshots.build_on(&mut self.log, loaded)
    }

    /// Records that are left out when the advances from control offset `from` on are repeated.
    fn know_quarantined(&mut self, from: i64, claimed_at: i64) -> Result<()> {
        let mut fold = self.fold.clone();
        for (_, entry) in entries(&mut self.log, &self.job.control_topic, self.partition, from..claimed_at)? {
            if let (true, Entry::Quarantine(found)) = (fold.accept(&entry), entry) {
                self.quarantined.insert(found.offset, found.detail);
            }
        }
        Ok(())
    }

    /// Repeats the advances from control offset `from` to `last`; the outputs of the last.
    fn replay(&mut self, from: i64, last: i64) -> Result<Vec<Emission>> {
        let mut outputs = Vec::new();
        for (at, entry) in entries(&mut self.log, &self.job.control_topic, self.partition, from..last + 1)? {
            if let (true, Entry::Advance(advance)) = (self.fold.accept(&entry), entry) {
                let sent = self.repeat(at, &advance)?;
                outputs = if suppresses() { sent } else { outputs.into_iter().chain(sent).collect() };
            }
        }
        // Everything up to the own claim was seen when it was made.
        self.fold = Fold::after(self.holder.clone());
        Ok(outputs)
    }

    fn repeat(&mut self, at: i64, advance: &Advance) -> Result<Vec<Emission>> {
        if self.cut.is_none() {
            // The first of all: it says where the pipeline began.
            self.next = advance.from;
        }
        ensure!(
            advance.from == self.next,
            "entry {at} of the control topic goes on at {}, but the state stands at {}",
            advance.from,
            self.next
        );
        if advance.skipped.is_some() {
            return Ok(self.skipped(advance));
        }
        let mut sent = Vec::new();
        self.feed_range(advance.through, &mut |e| sent.push(e))?;
        self.recovered.replayed += (advance.through - advance.from) as u64;
        self.see(at, &advance.controls, &mut |e| sent.push(e))?;
        Ok(sent)
    }

    /// Reads the records up to `through` and gives them to the chain. What was read beyond is kept for the
    /// next call: going back in a partition is a new stream each time.
    pub(super) fn feed_range(&mut self, through: i64, send: &mut dyn FnMut(Emission)) -> Result<()> {
        while self.next < through {
            let topic = self.job.plan.input_topic.clone();
            let mut records = std::mem::take(&mut self.ahead);
            if records.first().is_none_or(|r| r.offset != self.next) {
                records = match self.log.read(&topic, self.partition, self.next, BATCH_BYTES, PATIENCE)? {
                    Read::Records(records) => records,
                    Read::Gap(range) => bail!("records {} to {} of `{topic}` are gone", range.start, range.end),
                };
            }
            self.ahead = records.split_off(records.partition_point(|r| r.offset < through));
            same_clock(&mut records);
            let Some(end) = records.last().map(|r| r.offset + 1) else {
                bail!("record {} of `{topic}` did not come", self.next)
            };
            self.feed(&records, send)?;
            self.next = end;
        }
        Ok(())
    }

    /// Writes the outputs of the last advance that are missing.
    fn complete(&mut self, sent: Vec<Emission>) -> Result<()> {
        let mut batches = self.outputs.batches(self.plan.router.topics(), sent, self.partition)?;
        let scan = || {
            fail::fail_point!("id_scan_off", |_| false);
            true
        };
        if scan() {
            drop_written(&mut self.log, &mut batches, &self.written)?;
        }
        self.write(batches)
    }

    /// The state cannot be had again: a gap says which input it would have been made of.
    fn give_up(&mut self, last: &Advance, why: &str) -> Result<()> {
        tracing::error!(partition = self.partition, "the state is lost, going on without: {why}");
        self.fold = Fold::after(self.holder.clone());
        self.next = self.log.extent(&self.job.plan.input_topic, self.partition)?.start.min(last.through);
        self.cut_to(Some(self.next))?;
        self.skip(last.through, SkipReason::StateLost).map(drop)
    }

    /// A changed configuration takes effect at one offset, and `recovery` may want a new start.
    fn change_if_due(&mut self) -> Result<()> {
        let same = match self.cut {
            Some(cut) => {
                let entry = entries(&mut self.log, &self.job.control_topic, self.partition, cut..cut + 1)?;
                let config =
                    |e: &ControlEvent| matches!(e, ControlEvent::Cut { config, .. } if *config == self.job.config);
                entry.iter().any(|(_, e)| matches!(e, Entry::Advance(a) if a.controls.iter().any(config)))
            }
            None => false,
        };
        let restart = match self.job.recovery {
            Recovery::Latest => false,
            Recovery::Safe => !same,
            Recovery::Empty => true,
        };
        if restart {
            let start = self.log.extent(&self.job.plan.input_topic, self.partition)?.start;
            return self.cut_to(Some(start));
        }
        if same { Ok(()) } else { self.cut_to(None) }
    }

    /// Writes a cut to this job's configuration, and makes it.
    pub(super) fn cut_to(&mut self, reset: Option<i64>) -> Result<()> {
        let plan = Box::new(self.job.plan.clone());
        let mut advance =
            self.entry(self.next, vec![ControlEvent::Cut { config: self.job.config.clone(), plan, reset }]);
        advance.cut = None;
        let at = self.reserve(&advance)?;
        self.see(at, &advance.controls, &mut |_| {})?;
        self.know_ends()
    }

    /// Where an output partition is new to this pipeline, nothing of ours is before its end.
    fn know_ends(&mut self) -> Result<()> {
        for place in self.outputs.places().collect::<Vec<_>>() {
            if !self.written.contains_key(&place.name()) {
                let end = self.log.extent(&place.topic, place.partition)?.end;
                self.written.insert(place.name(), end);
            }
        }
        Ok(())
    }
}

/// Are the outputs of repeated advances dropped? The kill harness turns it off to prove itself.
fn suppresses() -> bool {
    fail::fail_point!("suppression_off", |_| false);
    true
}

//! What the outputs must be, from the input and the control topic alone.
//!
//! It repeats the entries that hold through a fresh chain, with nothing of claims, snapshots, scans
//! or recovery. Tests and the kill harness hold the output topics to it.

use super::control::{ControlEvent, Entry, Fold, parse};
use super::worker::{dead_letter, gap_records};
use crate::chain::ChainOptions;
use crate::host::LogRecord;
use crate::output::Emission;
use crate::plan::{Plan, PlanSpec};
use crate::run::Worker;
use crate::summary::Summary;
use anyhow::{Context, Result, bail, ensure};
use perfstream_core::{Kind, Tick};
use perfstream_log::{Topics, read_range};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// Topic and value of a record.
pub type Output = (String, Vec<u8>);

/// What the entries of a control partition come to.
#[derive(Debug)]
pub struct Repeated {
    /// Records that must stand in the outputs
    pub outputs: BTreeSet<Output>,
    /// What the worker must have counted
    pub summary: Summary,
    /// How often a configuration was written down
    pub cuts: usize,
}

/// The outputs of a partition, as the entries of its control topic say.
pub fn expected(
    log: &mut impl Topics,
    input_topic: &str,
    control_topic: &str,
    partition: u32,
    chain: &ChainOptions,
) -> Result<BTreeSet<Output>> {
    Ok(repeat(log, input_topic, control_topic, partition, chain)?.outputs)
}

/// Repeats the entries of a partition's control topic that hold.
pub fn repeat(
    log: &mut impl Topics,
    input_topic: &str,
    control_topic: &str,
    partition: u32,
    chain: &ChainOptions,
) -> Result<Repeated> {
    let mut audit = Audit { partition, chain, running: None, next: None, found: BTreeSet::new(), cuts: 0 };
    let mut fold = Fold::default();
    let extent = log.extent(control_topic, partition)?;
    let (mut advances, mut quarantined) = (Vec::new(), BTreeMap::new());
    for record in read_range(log, control_topic, partition, extent)? {
        let Ok(entry) = parse(&record) else { continue };
        match (fold.accept(&entry), entry) {
            (true, Entry::Advance(advance)) => advances.push((record, advance)),
            (true, Entry::Quarantine(found)) => drop(quarantined.insert(found.offset, found.detail)),
            _ => {}
        }
    }
    for (record, advance) in advances {
        ensure!(
            audit.next.is_none_or(|next| next == advance.from),
            "entry {} goes on at {}, the one before it ended at {:?}",
            record.offset,
            advance.from,
            audit.next
        );
        audit.next = Some(advance.through);
        match advance.skipped {
            Some(reason) => audit.skipped(&(advance.from..advance.through), reason)?,
            None => {
                let mut input = read_range(log, input_topic, partition, advance.from..advance.through)?;
                let left_out = input.extract_if(.., |r| quarantined.contains_key(&r.offset)).collect::<Vec<_>>();
                audit.left_out(&left_out, &quarantined);
                audit.batch(&input, &advance.controls)?;
            }
        }
    }
    let (_, _, mut worker) = audit.running.context("no configuration stands in the control topic")?;
    Ok(Repeated { outputs: audit.found, summary: worker.summary_of(partition)?, cuts: audit.cuts })
}

/// Every record of output topics, with the number of its copies.
pub fn written(log: &mut impl Topics, topics: &[String]) -> Result<BTreeMap<Output, usize>> {
    let mut found = BTreeMap::new();
    for topic in topics {
        let count = log.partitions(topic)?.with_context(|| format!("no topic `{topic}`"))?;
        for partition in 0..count {
            let extent = log.extent(topic, partition)?;
            for record in read_range(log, topic, partition, extent)? {
                *found.entry((topic.clone(), record.value)).or_default() += 1;
            }
        }
    }
    Ok(found)
}

/// The most void advances that any one worker wrote: 1 at most, as it stops at the first.
pub fn void_advances(log: &mut impl Topics, control_topic: &str, partition: u32) -> Result<usize> {
    let (mut fold, mut void) = (Fold::default(), BTreeMap::<String, usize>::new());
    let extent = log.extent(control_topic, partition)?;
    for record in read_range(log, control_topic, partition, extent)? {
        let Ok(entry) = parse(&record) else { continue };
        if let (false, Entry::Advance(advance)) = (fold.accept(&entry), entry) {
            *void.entry(advance.holder.instance).or_default() += 1;
        }
    }
    Ok(void.into_values().max().unwrap_or(0))
}

struct Audit<'c> {
    partition: u32,
    chain: &'c ChainOptions,
    running: Option<(PlanSpec, Arc<Plan>, Worker)>,
    next: Option<i64>,
    found: BTreeSet<Output>,
    cuts: usize,
}

impl Audit<'_> {
    fn left_out(&mut self, records: &[LogRecord], details: &BTreeMap<i64, String>) {
        let Some((spec, plan, _)) = &self.running else { return };
        for record in records {
            let letter = dead_letter(spec, self.partition, record, &details[&record.offset]);
            let sent = plan.router.own(Kind::DeadLetter, letter);
            self.found.extend(sent.into_iter().map(|e| (plan.router.topics()[e.topic].clone(), e.record.value)));
        }
    }

    fn batch(&mut self, input: &[LogRecord], controls: &[ControlEvent]) -> Result<()> {
        if let Some((_, plan, worker)) = &mut self.running {
            let (plan, found) = (Arc::clone(plan), &mut self.found);
            let mut send = |e: Emission| {
                found.insert((plan.router.topics()[e.topic].clone(), e.record.value));
            };
            worker.process(self.partition, input, &mut send)?;
        }
        let offset = self.next.unwrap_or(0) - 1;
        for event in controls {
            if let ControlEvent::Cut { plan, reset, .. } = event {
                self.cut(plan, *reset)?;
                continue;
            }
            let Some((_, plan, worker)) = &mut self.running else { bail!("an entry before the first configuration") };
            let (plan, found) = (Arc::clone(plan), &mut self.found);
            let mut send = |e: Emission| {
                found.insert((plan.router.topics()[e.topic].clone(), e.record.value));
            };
            match event {
                ControlEvent::Tick { time } => {
                    worker.tick(self.partition, &Tick { time: *time, offset, end_of_input: false }, &mut send)?
                }
                ControlEvent::Clock { time } => worker.chain(self.partition)?.clock(*time)?,
                ControlEvent::Control { record } => worker.control(self.partition, record)?,
                ControlEvent::Cut { .. } => {}
            }
        }
        Ok(())
    }

    fn cut(&mut self, spec: &PlanSpec, reset: Option<i64>) -> Result<()> {
        self.cuts += 1;
        let plan = Arc::new(Plan::of(spec)?);
        let mut worker = Worker::new(Arc::clone(&plan), self.chain);
        if let (None, Some((_, before, old))) = (reset, &mut self.running) {
            let states = old.chain(self.partition)?.snapshot()?;
            worker.chain(self.partition)?.adopt(&before.spec, &states)?;
            worker.set_totals(self.partition, old.totals(self.partition));
        }
        if reset.is_some() {
            self.next = reset;
        }
        self.running = Some((spec.clone(), plan, worker));
        Ok(())
    }

    fn skipped(&mut self, lost: &Range<i64>, reason: super::control::SkipReason) -> Result<()> {
        let (spec, plan, worker) = self.running.as_mut().context("a gap before the first configuration")?;
        worker.skip(self.partition, reason, (lost.end - lost.start) as u64);
        for (kind, json) in gap_records(spec, self.partition, lost, reason) {
            if let Some(emission) = plan.router.own(kind, json) {
                self.found.insert((plan.router.topics()[emission.topic].clone(), emission.record.value));
            }
        }
        Ok(())
    }
}

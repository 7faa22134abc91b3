//! One pipeline over its partitions: a chain each, created when its first record comes.

use crate::chain::front::FrontBatch;
use crate::chain::{Chain, ChainOptions};
use crate::exact::SkipReason;
use crate::host::{Lines, LogRecord};
use crate::output::Emission;
use crate::plan::Plan;
use crate::summary::{Balance, StageCounters, Summary};
use anyhow::Result;
use perfstream_core::stage::Control;
use perfstream_core::{Kind, Tick};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Runs a plan.
pub struct Worker {
    plan: Arc<Plan>,
    options: ChainOptions,
    chains: BTreeMap<u32, Chain>,
    totals: BTreeMap<u32, Totals>,
    started: Instant,
}

/// What has left the chain, and what has not come to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events that passed the whole chain
    pub events_out: u64,
    /// Records written by kind
    pub written: BTreeMap<Kind, u64>,
    /// Input records that were left out
    pub skipped: BTreeMap<SkipReason, u64>,
}

impl Totals {
    /// Of what a snapshot holds; a kind that is not known is left out.
    pub fn of(events_out: u64, written: &BTreeMap<String, u64>, skipped: BTreeMap<SkipReason, u64>) -> Totals {
        let written = written.iter().filter_map(|(word, n)| Some((Kind::parse(word)?, *n))).collect();
        Totals { events_out, written, skipped }
    }

    /// Records written, by the kind's word.
    pub fn by_word(&self) -> BTreeMap<String, u64> {
        self.written.iter().map(|(kind, n)| (kind.name().to_string(), *n)).collect()
    }

    /// As a snapshot of the embedded log holds them, behind the states of the stages. Nothing is left out there.
    pub fn save(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(&(self.events_out, self.by_word()))?)
    }

    /// Of a snapshot of the embedded log.
    pub fn load(bytes: &[u8]) -> Result<Totals> {
        let (events_out, written) = serde_json::from_slice(bytes)?;
        Ok(Totals::of(events_out, &written, BTreeMap::new()))
    }
}

impl Worker {
    /// A worker without chains yet.
    pub fn new(plan: Arc<Plan>, options: &ChainOptions) -> Worker {
        Worker {
            plan,
            options: options.clone(),
            chains: BTreeMap::new(),
            totals: BTreeMap::new(),
            started: Instant::now(),
        }
    }

    /// The chain of a partition.
    pub fn chain(&mut self, partition: u32) -> Result<&mut Chain> {
        if !self.chains.contains_key(&partition) {
            let options = ChainOptions { partition, ..self.options.clone() };
            let chain = Chain::new(&self.plan.spec, &options)?.with_fields(self.plan.router.fields().clone());
            self.chains.insert(partition, chain);
        }
        Ok(self.chains.entry(partition).or_insert_with(|| unreachable!("just inserted")))
    }

    /// Starts the chain now.
    pub fn warm_up(&mut self, partition: u32) -> Result<()> {
        self.chain(partition)?;
        self.start_clock();
        Ok(())
    }

    /// The rate is measured from here on: compiling is no part of it.
    pub fn start_clock(&mut self) {
        self.started = Instant::now();
    }

    /// Records of one partition, in offset order.
    pub fn process(&mut self, partition: u32, records: &[LogRecord], send: &mut dyn FnMut(Emission)) -> Result<()> {
        self.with(partition, send, |chain, emit| chain.process(records, emit))
    }

    /// What the front made of batches in an SPU; see [`Chain::process_front`].
    pub fn process_front(
        &mut self,
        partition: u32,
        batches: &[FrontBatch],
        send: &mut dyn FnMut(Emission),
    ) -> Result<bool> {
        let mut taken = false;
        self.with(partition, send, |chain, emit| {
            taken = chain.process_front(batches, emit)?;
            Ok(())
        })?;
        Ok(taken)
    }

    /// Lines of a file, for one partition.
    pub fn process_lines(&mut self, partition: u32, lines: &mut Lines, send: &mut dyn FnMut(Emission)) -> Result<()> {
        self.with(partition, send, |chain, emit| chain.process_lines(lines, emit))
    }

    /// Time passes in one partition.
    pub fn tick(&mut self, partition: u32, tick: &Tick, send: &mut dyn FnMut(Emission)) -> Result<()> {
        self.with(partition, send, |chain, emit| chain.tick(tick, emit))
    }

    fn with(
        &mut self,
        partition: u32,
        send: &mut dyn FnMut(Emission),
        work: impl FnOnce(&mut Chain, &mut dyn FnMut(&perfstream_core::Row<'_>)) -> Result<()>,
    ) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        self.chain(partition)?;
        let mut totals = self.totals.remove(&partition).unwrap_or_default();
        let chain = self.chain(partition)?;
        let result = work(chain, &mut |row| {
            totals.events_out += (row.meta.kind == Kind::Event) as u64;
            plan.router.route(row, partition, &mut |emission| {
                *totals.written.entry(emission.kind).or_default() += 1;
                send(emission);
            });
        });
        self.totals.insert(partition, totals);
        result
    }

    /// A reference or feedback record for one partition.
    pub fn control(&mut self, partition: u32, control: &Control) -> Result<()> {
        self.chain(partition)?.control(control)
    }

    /// Counts of what has left a partition's chain, which no stage remembers.
    pub fn totals(&self, partition: u32) -> Totals {
        self.totals.get(&partition).cloned().unwrap_or_default()
    }

    /// Input records of a partition are left out.
    pub fn skip(&mut self, partition: u32, reason: SkipReason, records: u64) {
        *self.totals.entry(partition).or_default().skipped.entry(reason).or_default() += records;
    }

    /// Goes on from the counts of an earlier run.
    pub fn set_totals(&mut self, partition: u32, totals: Totals) {
        self.totals.insert(partition, totals);
    }

    /// Forgets the chain of a partition, and with it its state and its counts.
    pub fn discard(&mut self, partition: u32) {
        self.chains.remove(&partition);
        self.totals.remove(&partition);
    }

    /// The numbers so far.
    pub fn summary(&mut self) -> Result<Summary> {
        let mut sum: Option<Summary> = None;
        for partition in self.chains.keys().copied().collect::<Vec<_>>() {
            let own = self.summary_of(partition)?;
            match &mut sum {
                Some(sum) => sum.add(&own),
                empty => *empty = Some(own),
            }
        }
        Ok(sum.unwrap_or_else(|| self.summary_from(Vec::new(), Totals::default())))
    }

    /// The numbers of one partition.
    pub fn summary_of(&mut self, partition: u32) -> Result<Summary> {
        let stages = self.chain(partition)?.counters()?;
        Ok(self.summary_from(stages, self.totals(partition)))
    }

    fn summary_from(&self, stages: StageCounters, totals: Totals) -> Summary {
        Summary {
            pipeline: self.plan.spec.pipeline.clone(),
            balance: Balance::new(&stages, totals.events_out),
            written: totals.written,
            skipped: totals.skipped,
            stages,
            elapsed: self.started.elapsed(),
        }
    }
}

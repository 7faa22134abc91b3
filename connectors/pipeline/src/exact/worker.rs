//! One worker on one partition: claim, recover, and then reserve, process, emit, for ever.

mod front;
mod quarantine;
mod recovery;

pub use quarantine::StageFailed;
pub(in crate::exact) use quarantine::dead_letter;
#[cfg(test)]
pub(in crate::exact) use quarantine::traps;
pub use recovery::Recovered;

use super::Fenced;
use super::control::{Advance, ControlEvent, Entry, Fold, Holder, SkipReason, SnapshotRef, parse};
use super::outputs::{Batches, OutputTopics};
use super::snapshot::{PARTITION_BYTES, Room, Snapshots, States};
use crate::chain::ChainOptions;
use crate::host::LogRecord;
use crate::model::Recovery;
use crate::output::Emission;
use crate::plan::{Plan, PlanSpec};
use crate::run::Worker;
use crate::run::recent::Recent;
use crate::run::requests::request;
use crate::summary::Summary;
use anyhow::{Context, Result, bail, ensure};
use front::{Front, Input};
use perfstream_core::{Kind, Tick};
use perfstream_log::{NewRecord, Read, Topics, partition_of_key};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Input read at once.
const BATCH_BYTES: usize = 1 << 20;
/// Requests read at once.
const INBOX_BYTES: usize = 256 << 10;
/// Entries of the control topic read at once.
const CONTROL_BYTES: usize = 4 << 20;
/// Control entries after which a worker writes its configuration down again: at ten a second, within six hours; so
/// even entries of 40 kB are far from what the topic can hold (`deploy`: 8 GiB).
pub const RENEW_AFTER: i64 = 200_000;
/// Entries at the end of the control topic in which the last advance is looked for first.
const TAIL: i64 = 1000;
/// A record below the end of a partition must come within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two ticks, microseconds.
const TICK_EVERY: i64 = 1_000_000;
/// Input is read up when its newest record is younger than this, microseconds.
const CAUGHT_UP: i64 = 2_000_000;

/// What a worker runs, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The pipeline
    pub plan: PlanSpec,
    /// Hash of the pipeline and of the modules
    pub config: String,
    /// How the chain runs
    pub chain: ChainOptions,
    /// Topic of the control entries
    pub control_topic: String,
    /// Topic of the snapshots
    pub state_topic: String,
    /// Topic of requests (reference rows, feedback), which the worker copies into its control topic
    pub inbox_topic: Option<String>,
    /// Between two snapshots
    pub checkpoint: Duration,
    /// Snapshots that can be gone back to
    pub retain: u32,
    /// From what a start goes on
    pub recovery: Recovery,
    /// Control entries after which the configuration is written down again, see [`RENEW_AFTER`]
    pub renew_after: i64,
    /// Skip the oldest records when more than so many wait
    pub keep_waiting: Option<i64>,
    /// Let the SPU run the stateless front of the chain
    pub prefilter: bool,
    /// Feed records one by one, and quarantine the one on which a stage fails: after it failed on a batch
    pub careful: bool,
    /// Name of this worker, unlike any other's
    pub instance: String,
}

impl Job {
    fn room(&self) -> Room {
        Room { partition_bytes: PARTITION_BYTES, retain: self.retain }
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Input records processed
    pub records: u64,
    /// of them, those that the SPU's modules have seen in the place of this worker's
    pub prefiltered: u64,
    /// Outputs written, by kind
    pub written: BTreeMap<Kind, u64>,
    /// The newest alerts, insights and forecasts among them
    pub recent: Recent,
    /// Log time of the newest input record, milliseconds since the epoch
    pub newest_log_time_ms: Option<i64>,
    /// Input records left out, and why
    pub skipped: Option<(SkipReason, u64)>,
    /// A snapshot was taken
    pub snapshot: bool,
    /// A tick was written
    pub tick: bool,
}

/// A worker that holds a partition.
pub struct PartitionWorker<T> {
    log: T,
    job: Job,
    partition: u32,
    fold: Fold,
    holder: Holder,
    plan: Arc<Plan>,
    worker: Worker,
    outputs: OutputTopics,
    snapshots: Snapshots,
    /// Next input offset
    next: i64,
    /// Next control offset
    control: i64,
    /// Control offset of the configuration
    cut: Option<i64>,
    written: BTreeMap<String, i64>,
    /// Next inbox offset
    inbox: i64,
    kept: Vec<SnapshotRef>,
    last_tick: i64,
    last_snapshot: Option<i64>,
    partitions: u32,
    misplaced: u64,
    /// Input records that no stage shall see, by offset
    quarantined: BTreeMap<i64, String>,
    recovered: Recovered,
    /// Input beyond what a recovery repeats at the moment
    ahead: Vec<LogRecord>,
    /// `placement: spu-prefilter`
    front: Option<Front>,
}

impl<T: Topics> PartitionWorker<T> {
    /// Takes the partition and comes to where its predecessor stood. `now` is the clock, in
    /// microseconds since the epoch.
    pub fn start(mut log: T, job: Job, partition: u32, now: i64) -> Result<PartitionWorker<T>> {
        let partitions = partitions_of(&mut log, &job.plan.input_topic)?;
        for topic in [&job.control_topic, &job.state_topic] {
            let found = partitions_of(&mut log, topic)?;
            ensure!(
                found == partitions,
                "the topic `{topic}` has {found} partitions, the input `{}` {partitions}: a pipeline's state \
                 belongs to a partition count; deploy it under another name to change it",
                job.plan.input_topic
            );
        }
        let (fold, claimed_at) = claim(&mut log, &job, partition)?;
        let holder = fold.holder().cloned().context("just claimed")?;
        let plan = Arc::new(Plan::of(&job.plan)?);
        let mut worker = PartitionWorker {
            worker: Worker::new(Arc::clone(&plan), &job.chain),
            outputs: OutputTopics::find(&mut log, plan.router.topics())?,
            snapshots: Snapshots::new(&job.state_topic, partition, holder.clone(), job.room()),
            plan,
            log,
            partition,
            fold,
            holder,
            next: 0,
            control: claimed_at + 1,
            cut: None,
            written: BTreeMap::new(),
            inbox: 0,
            kept: Vec::new(),
            last_tick: i64::MIN,
            last_snapshot: None,
            partitions,
            misplaced: 0,
            quarantined: BTreeMap::new(),
            recovered: Recovered::default(),
            ahead: Vec::new(),
            front: Front::new(&job, partition)?,
            job,
        };
        worker.recover(claimed_at, now)?;
        worker.worker.start_clock();
        Ok(worker)
    }

    /// The next batch, or a tick; waits up to `wait` for input.
    pub fn step(&mut self, now: i64, wait: Duration) -> Result<Progress> {
        self.renew()?;
        if let Some(progress) = self.drop_oldest(now)? {
            return Ok(progress);
        }
        let input = self.read(now, wait)?;
        fail::fail_point!("after_read");
        let mut progress = match input {
            Input::Gap(range) => self.skip(range.end, SkipReason::Retention)?,
            input => {
                let newest = input.newest_log_time_ms();
                let behind = match newest {
                    Some(ms) => ms.saturating_mul(1000) < now - CAUGHT_UP,
                    None => self.waits_for_spu(now)?,
                };
                let controls = self.due(now, behind)?;
                if input.is_empty() && controls.is_empty() {
                    return Ok(Progress::default());
                }
                let mut progress = self.advance(&input, controls)?;
                progress.newest_log_time_ms = newest;
                progress
            }
        };
        let interval = self.job.checkpoint.as_micros() as i64;
        if self.last_snapshot.is_none_or(|last| now - last >= interval) {
            self.last_snapshot = Some(now);
            self.snapshot()?;
            progress.snapshot = true;
        }
        Ok(progress)
    }

    /// Writes the configuration down again where its entry lies far behind: a snapshot is of no use without it, and the
    /// control topic does not keep everything.
    fn renew(&mut self) -> Result<()> {
        match self.cut {
            Some(cut) if self.control - cut > self.job.renew_after => self.cut_to(None),
            _ => Ok(()),
        }
    }

    /// `backpressure: drop-oldest`: skips what is beyond the records that may wait.
    fn drop_oldest(&mut self, now: i64) -> Result<Option<Progress>> {
        let Some(keep) = self.job.keep_waiting.filter(|_| self.is_tick_due(now)) else {
            return Ok(None);
        };
        let end = self.log.extent(&self.job.plan.input_topic, self.partition)?.end;
        match end - keep > self.next {
            true => self.skip(end - keep, SkipReason::DropOldest).map(Some),
            false => Ok(None),
        }
    }

    /// Leaves out the input up to `end`; a `gap` record and an alert say so.
    pub fn skip(&mut self, end: i64, reason: SkipReason) -> Result<Progress> {
        let mut advance = self.entry(end, Vec::new());
        advance.skipped = Some(reason);
        self.reserve(&advance)?;
        let (from, sent) = (self.next, self.skipped(&advance));
        let skipped = Some((reason, (end - from) as u64));
        Ok(Progress { skipped, ..self.emit(sent)? })
    }

    /// A snapshot of where it stands; the next advance names it.
    pub fn snapshot(&mut self) -> Result<()> {
        let totals = self.worker.totals(self.partition);
        let states = States {
            stages: self.worker.chain(self.partition)?.snapshot()?,
            next: self.next,
            control: self.control,
            cut: self.cut.context("a configuration stands in the control topic")?,
            events_out: totals.events_out,
            written: totals.by_word(),
            skipped: totals.skipped,
        };
        let at = self.snapshots.save(&mut self.log, &states)?;
        fail::fail_point!("after_snapshot");
        let (room, state_bytes) = (self.job.room(), states.bytes());
        if !room.holds(state_bytes) {
            tracing::error!(
                partition = self.partition,
                state_bytes,
                "the state is too large for its topic, which holds {} bytes a partition: a restart may lose it",
                room.partition_bytes
            );
        }
        self.kept.insert(0, at);
        self.kept.truncate(room.kept(state_bytes) as usize);
        Ok(())
    }

    /// Takes a last snapshot and names it, for a successor to go on from.
    pub fn finish(mut self) -> Result<Summary> {
        self.snapshot()?;
        let advance = self.entry(self.next, Vec::new());
        self.reserve(&advance)?;
        self.summary()
    }

    /// The numbers so far, of all incarnations.
    pub fn summary(&mut self) -> Result<Summary> {
        self.worker.summary()
    }

    /// Offset of the next input record.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Offset of the first input record that the newest snapshot does not cover.
    pub fn snapshot_at(&self) -> Option<i64> {
        self.kept.first().map(|s| s.next)
    }

    /// What its start had to do.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Records seen that belong in another partition by their key.
    pub fn misplaced(&self) -> u64 {
        self.misplaced
    }

    /// The log, for what a worker does beside its work.
    pub fn log(&mut self) -> &mut T {
        &mut self.log
    }

    fn is_tick_due(&self, now: i64) -> bool {
        now.saturating_sub(self.last_tick) >= TICK_EVERY
    }

    /// What time brings: a tick when all input is read, else the clock alone.
    fn due(&mut self, now: i64, behind: bool) -> Result<Vec<ControlEvent>> {
        if !self.is_tick_due(now) {
            return Ok(Vec::new());
        }
        self.last_tick = now;
        let mut controls = self.requests()?;
        controls.push(match behind {
            true => ControlEvent::Clock { time: now },
            false => ControlEvent::Tick { time: now },
        });
        Ok(controls)
    }

    /// New requests of the inbox.
    fn requests(&mut self) -> Result<Vec<ControlEvent>> {
        let Some(topic) = self.job.inbox_topic.clone() else { return Ok(Vec::new()) };
        let mut controls = Vec::new();
        match self.log.read(&topic, 0, self.inbox, INBOX_BYTES, Duration::ZERO)? {
            Read::Gap(range) => self.inbox = range.end,
            Read::Records(records) => {
                for record in records {
                    self.inbox = record.offset + 1;
                    controls.extend(request(&topic, &record).map(|record| ControlEvent::Control { record }));
                }
            }
        }
        Ok(controls)
    }

    fn entry(&self, through: i64, controls: Vec<ControlEvent>) -> Advance {
        Advance {
            holder: self.holder.clone(),
            from: self.next,
            through,
            skipped: None,
            controls,
            written: self.written.clone(),
            cut: self.cut,
            inbox: self.inbox,
            snapshots: self.kept.clone(),
        }
    }

    /// Reserve, process, emit.
    fn advance(&mut self, input: &Input, controls: Vec<ControlEvent>) -> Result<Progress> {
        let from = self.next;
        let through = input.through().unwrap_or(from);
        let tick = controls.iter().any(|c| matches!(c, ControlEvent::Tick { .. }));
        let advance = self.entry(through, controls);
        let at = self.reserve(&advance)?;
        let (mut sent, mut prefiltered) = (Vec::new(), 0);
        match input {
            Input::Records(records) => self.feed(records, &mut |e| sent.push(e))?,
            Input::Batches(batches) => prefiltered = self.feed_batches(batches, &mut |e| sent.push(e))?,
            Input::Gap(_) => {}
        }
        self.next = through;
        fail::fail_point!("mid_batch");
        self.see(at, &advance.controls, &mut |e| sent.push(e))?;
        let mut progress = self.emit(sent)?;
        progress.records = (through - from) as u64;
        (progress.prefiltered, progress.tick) = (prefiltered, tick);
        Ok(progress)
    }

    /// Appends the advance and makes sure that it holds; its control offset.
    fn reserve(&mut self, advance: &Advance) -> Result<i64> {
        fail::fail_point!("before_reserve");
        let value = serde_json::to_vec(&Entry::Advance(advance.clone()))?;
        let record = NewRecord { log_time_ms: 0, key: None, value };
        let at = self.log.append(&self.job.control_topic, self.partition, &[record])?;
        let between = entries(&mut self.log, &self.job.control_topic, self.partition, self.control..at.start)?;
        for (_, entry) in between {
            self.fold.accept(&entry);
        }
        self.control = at.end;
        fail::fail_point!("epoch_check_off", |_| Ok(at.start));
        match self.fold.holder() {
            Some(now) if *now == self.holder => {}
            Some(now) => bail!(Fenced { epoch: now.epoch, instance: now.instance.clone() }),
            None => bail!("nobody holds the partition"),
        }
        fail::fail_point!("after_reserve");
        Ok(at.start)
    }

    fn is_misplaced(&self, key: &[u8]) -> bool {
        self.job.plan.partition_by.is_some() && partition_of_key(key, self.partitions) != self.partition
    }

    /// The chain sees control events; `at` is the entry they stand in.
    fn see(&mut self, at: i64, controls: &[ControlEvent], send: &mut dyn FnMut(Emission)) -> Result<()> {
        for event in controls {
            match event {
                ControlEvent::Tick { time } => {
                    let tick = Tick { time: *time, offset: self.next - 1, end_of_input: false };
                    self.worker.tick(self.partition, &tick, send)?;
                }
                ControlEvent::Clock { time } => self.worker.chain(self.partition)?.clock(*time)?,
                ControlEvent::Control { record } => self.worker.control(self.partition, record)?,
                ControlEvent::Cut { plan, reset, .. } => self.change(at, plan, *reset)?,
            }
        }
        Ok(())
    }

    /// From here on the chain is that of `plan`. Its stages keep the state of those of the same name,
    /// unless it starts anew.
    fn change(&mut self, at: i64, plan: &PlanSpec, reset: Option<i64>) -> Result<()> {
        let old = match (reset, self.cut) {
            (None, Some(_)) => Some((self.plan.spec.clone(), self.worker.chain(self.partition)?.snapshot()?)),
            _ => None,
        };
        let totals = self.worker.totals(self.partition);
        self.plan = Arc::new(Plan::of(plan)?);
        self.worker = Worker::new(Arc::clone(&self.plan), &self.job.chain);
        self.outputs = OutputTopics::find(&mut self.log, self.plan.router.topics())?;
        if let Some((spec, states)) = old {
            self.worker.chain(self.partition)?.adopt(&spec, &states)?;
            self.worker.set_totals(self.partition, totals);
        }
        if let Some(at) = reset {
            self.next = at;
        }
        self.cut = Some(at);
        Ok(())
    }

    /// Writes outputs and waits for every acknowledgement.
    fn emit(&mut self, sent: Vec<Emission>) -> Result<Progress> {
        let mut progress = Progress::default();
        for emission in &sent {
            *progress.written.entry(emission.kind).or_default() += 1;
        }
        progress.recent = Recent::of(&sent);
        let batches = self.outputs.batches(self.plan.router.topics(), sent, self.partition)?;
        self.write(batches)?;
        Ok(progress)
    }

    fn write(&mut self, batches: Batches) -> Result<()> {
        fail::fail_point!("before_emit");
        for (place, records) in batches {
            let range = self.log.append(&place.topic, place.partition, &records)?;
            self.written.insert(place.name(), range.end);
            fail::fail_point!("mid_emit");
        }
        fail::fail_point!("after_emit");
        Ok(())
    }

    fn skipped(&mut self, advance: &Advance) -> Vec<Emission> {
        let reason = advance.skipped.unwrap_or(SkipReason::Retention);
        let lost = self.next..advance.through;
        self.next = advance.through;
        self.worker.skip(self.partition, reason, (lost.end - lost.start) as u64);
        let records = gap_records(&self.job.plan, self.partition, &lost, reason);
        records.into_iter().filter_map(|(kind, json)| self.plan.router.own(kind, json)).collect()
    }
}

/// Takes the partition: the fold behind the own claim, and the claim's offset.
fn claim(log: &mut impl Topics, job: &Job, partition: u32) -> Result<(Fold, i64)> {
    for _ in 0..10 {
        let extent = log.extent(&job.control_topic, partition)?;
        let mut fold = Fold::default();
        let from = (extent.end - TAIL).max(extent.start);
        for (_, entry) in entries(log, &job.control_topic, partition, from..extent.end)? {
            fold.accept(&entry);
        }
        let epoch = fold.holder().map_or(1, |h| h.epoch + 1);
        let own = Entry::Claim(Holder { epoch, instance: job.instance.clone() });
        let record = NewRecord { log_time_ms: 0, key: None, value: serde_json::to_vec(&own)? };
        let at = log.append(&job.control_topic, partition, &[record])?;
        for (_, entry) in entries(log, &job.control_topic, partition, extent.end..at.start)? {
            fold.accept(&entry);
        }
        if fold.accept(&own) {
            return Ok((fold, at.start));
        }
    }
    bail!("another worker took partition {partition} of `{}` each time", job.plan.input_topic)
}

/// Entries of a control partition by offset. What is no entry is left out: it changes nothing.
fn entries(log: &mut impl Topics, topic: &str, partition: u32, range: Range<i64>) -> Result<Vec<(i64, Entry)>> {
    let (mut at, mut found) = (range.start, Vec::new());
    while at < range.end {
        match log.read(topic, partition, at, CONTROL_BYTES, PATIENCE)? {
            Read::Gap(gone) => bail!("entries {} to {} of `{topic}` are gone", gone.start, gone.end),
            Read::Records(records) if records.is_empty() => bail!("entry {at} of `{topic}` did not come"),
            Read::Records(records) => {
                at = records.last().map_or(range.end, |r| r.offset + 1);
                for record in records.iter().filter(|r| r.offset < range.end) {
                    match parse(record) {
                        Ok(entry) => found.push((record.offset, entry)),
                        Err(error) => tracing::warn!("{topic}/{partition}: {error:#}"),
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Number of partitions of a topic that must be there.
pub(crate) fn partitions_of(log: &mut impl Topics, topic: &str) -> Result<u32> {
    log.partitions(topic)?
        .with_context(|| format!("there is no topic `{topic}` on the cluster; `perfstream deploy` creates it"))
}

/// Ends the batch where records with a log time meet ones without.
fn same_clock(records: &mut Vec<LogRecord>) {
    let timed = records.first().is_some_and(|r| r.log_time_ms >= 0);
    let len = records.iter().position(|r| (r.log_time_ms >= 0) != timed).unwrap_or(records.len());
    records.truncate(len);
}

/// What says that input was left out: a `gap` record, and an alert.
pub(super) fn gap_records(
    plan: &PlanSpec,
    partition: u32,
    lost: &Range<i64>,
    reason: SkipReason,
) -> [(Kind, Vec<u8>); 2] {
    let (pipeline, topic) = (&plan.chain.pipeline, &plan.input_topic);
    let id = |what: &str| {
        let place = format!("{partition}/{}/{}/{}", lost.start, lost.end, reason.name());
        perfstream_core::id::id(&[pipeline.as_bytes(), what.as_bytes(), topic.as_bytes(), place.as_bytes()])
    };
    let summary = format!(
        "{} records of {topic}/{partition} were not analysed ({}): offsets {} to {}",
        lost.end - lost.start,
        reason.name(),
        lost.start,
        lost.end - 1
    );
    let gap = serde_json::json!({
        "kind": "gap", "id": id("gap"), "pipeline": pipeline, "topic": topic, "partition": partition,
        "from": lost.start, "to": lost.end, "reason": reason.name(), "summary": summary,
    });
    let alert = serde_json::json!({
        "kind": "alert", "id": id("alert"), "alert_id": id("alert_id"), "pipeline": pipeline, "stage": "worker",
        "rule": "Input gap", "state": "firing", "transition": "firing", "step": 0, "severity": "critical",
        "notification": [], "notify": true, "labels": { "topic": topic, "partition": partition },
        "values": { "lost_records": lost.end - lost.start }, "reason": reason.name(), "summary": summary,
    });
    [(Kind::Gap, gap.to_string().into_bytes()), (Kind::Alert, alert.to_string().into_bytes())]
}

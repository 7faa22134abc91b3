//! Pipelines over the embedded log (`--data DIR`): resumable, each output exactly once.
//!
//! Per batch one transaction holds the outputs and the position behind the batch; every
//! `checkpoint.interval` it holds a snapshot too. A restart takes the newest snapshot that can be
//! used, replays from there to the position and drops what that gives (it is in the log already),
//! then goes on. Ticks and requests are records of the pipeline's control topic, each with the offset
//! after which the chain saw it, so a replay sees them at the same place.

mod told;

use super::cluster::now;
use super::recent::Recent;
use super::records::State;
use super::requests::{Entry, request};
use super::status::PartitionStatus;
use super::{BATCH_RECORDS, RunOptions, Totals, Worker};
use crate::exact::Progress;
use crate::host::LogRecord;
use crate::output::Emission;
use crate::partition::partition_of;
use crate::plan::Plan;
use crate::summary::Summary;
use crate::topics;
use anyhow::{Context, Result, bail};
use perfstream_core::Tick;
use perfstream_log::NewRecord;
use perfstream_log::embedded::{Log, StoredSnapshot};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use told::Told;

/// Runs pipelines until the log's end, or with `--follow` until it is stopped.
pub fn run(plans: &[Plan], options: &RunOptions, dir: &Path) -> Result<Vec<Summary>> {
    let mut log = Log::open(dir)?;
    let _locks = plans.iter().map(|plan| lock(dir, &plan.spec.pipeline)).collect::<Result<Vec<_>>>()?;
    for (topic, path) in &options.inputs {
        let plan = plans.iter().find(|p| p.input_topic == *topic);
        // An inbox has one partition.
        let partitions = plan.map_or(1, |_| options.partitions.max(1));
        append_file(&mut log, topic, path, plan.and_then(|p| p.partition_by.as_deref()), partitions)?;
    }
    let events = plans.iter().any(|plan| options.inputs.contains_key(&plan.input_topic));
    let mut pipelines = plans.iter().map(|plan| Live::start(plan, &log, options)).collect::<Result<Vec<_>>>()?;
    let mut told = options.session.clone().map(Told::new);
    let stopped = || options.stop.load(Ordering::SeqCst);
    while !stopped() {
        let mut busy = false;
        for live in &mut pipelines {
            busy |= live.step(&mut log)?;
        }
        if let Some(told) = &mut told {
            told.tell_if_due(&mut pipelines, &mut log)?;
        }
        if !busy {
            // Verdicts on what the input before them brought.
            for live in &mut pipelines {
                busy |= live.take_requests(&mut log)?;
            }
        }
        if busy {
            continue;
        }
        if !options.follow {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        pipelines.iter_mut().try_for_each(|live| live.tick_if_due(&mut log))?;
    }
    // A run that goes on with its state later has not seen the end of its input.
    let ended = events && !stopped();
    if ended {
        pipelines.iter_mut().try_for_each(|live| live.tick_all(&mut log, 0, true))?;
    }
    if let Some(told) = &mut told {
        told.tell(&mut pipelines, State::Stopped, &mut log)?;
    }
    pipelines.iter_mut().map(|live| live.finish(&mut log, ended)).collect()
}

/// One process per pipeline and directory: a second one is refused.
fn lock(dir: &Path, pipeline: &str) -> Result<File> {
    let path = dir.join(format!("{pipeline}.lock"));
    let file = File::create(&path).with_context(|| format!("lock file {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!(
            "the pipeline `{pipeline}` is running on {} already: another process holds {}",
            dir.display(),
            path.display()
        );
    }
    Ok(file)
}

/// Appends a file's lines to a topic; they have no log time.
fn append_file(log: &mut Log, topic: &str, path: &Path, key: Option<&str>, partitions: u32) -> Result<()> {
    let reader: Box<dyn BufRead> = match path == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => {
            Box::new(std::io::BufReader::new(File::open(path).with_context(|| format!("input {}", path.display()))?))
        }
    };
    let mut batches: BTreeMap<u32, Vec<NewRecord>> = BTreeMap::new();
    let mut waiting = 0;
    for line in reader.split(b'\n') {
        let mut line = line.with_context(|| format!("input {}", path.display()))?;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let partition = partition_of(&line, key, partitions);
        let record = NewRecord { log_time_ms: crate::host::NO_LOG_TIME, key: None, value: line };
        batches.entry(partition).or_default().push(record);
        waiting += 1;
        if waiting >= 10_000 {
            append(log, topic, std::mem::take(&mut batches))?;
            waiting = 0;
        }
    }
    append(log, topic, batches)
}

fn append(log: &mut Log, topic: &str, batches: BTreeMap<u32, Vec<NewRecord>>) -> Result<()> {
    log.commit(|w| batches.iter().try_for_each(|(partition, records)| w.append(topic, *partition, records).map(drop)))
}

/// A pipeline on the log.
struct Live<'p> {
    plan: &'p Plan,
    worker: Worker,
    partitions: BTreeMap<u32, Place>,
    control_topic: String,
    inbox_topic: String,
    /// Next inbox offset
    inbox: i64,
    checkpoint: Duration,
    retain: u32,
    snapshot_at: Instant,
    tick_at: Instant,
}

/// Where a partition stands.
#[derive(Debug)]
struct Place {
    /// Next input offset
    next: i64,
    /// Next control offset
    control: i64,
    /// Outputs of input before this offset are in the log
    written: i64,
    /// Control records not yet applied
    entries: VecDeque<(i64, Entry)>,
    status: PartitionStatus,
}

impl<'p> Live<'p> {
    fn start(plan: &'p Plan, log: &Log, options: &RunOptions) -> Result<Live<'p>> {
        let now = Instant::now();
        let mut live = Live {
            plan,
            worker: Worker::new(Arc::new(plan.clone()), &options.chain),
            partitions: BTreeMap::new(),
            control_topic: topics::control(&plan.spec.pipeline),
            inbox: log.position(&topics::inbox(&plan.spec.pipeline), 0)?.unwrap_or(0),
            inbox_topic: topics::inbox(&plan.spec.pipeline),
            checkpoint: options.checkpoint,
            retain: options.retain,
            snapshot_at: now,
            tick_at: now,
        };
        live.find_partitions(log)?;
        live.worker.start_clock();
        Ok(live)
    }

    fn find_partitions(&mut self, log: &Log) -> Result<()> {
        for partition in log.partitions(&self.plan.input_topic)? {
            if !self.partitions.contains_key(&partition) {
                let place = self.recover(log, partition)?;
                self.partitions.insert(partition, place);
            }
        }
        Ok(())
    }

    /// The newest snapshot that can be used, or nothing.
    fn recover(&mut self, log: &Log, partition: u32) -> Result<Place> {
        let pipeline = &self.plan.spec.pipeline;
        let written = log.position(pipeline, partition)?.unwrap_or(0);
        let status = PartitionStatus::new(pipeline, &self.plan.input_topic, partition);
        let mut place = Place { next: 0, control: 0, written, entries: VecDeque::new(), status };
        for snapshot in log.snapshots(pipeline, partition)? {
            match self.restore(partition, &snapshot) {
                Ok(()) => {
                    (place.next, place.control) = (snapshot.next, snapshot.control);
                    place.status.snapshot = Some(snapshot.next);
                    break;
                }
                Err(error) => {
                    tracing::warn!(
                        pipeline,
                        partition,
                        at = snapshot.next,
                        "a snapshot cannot be used, trying the one before: {error:#}"
                    );
                    self.worker.discard(partition);
                }
            }
        }
        for record in log.read(&self.control_topic, partition, place.control, usize::MAX >> 1)? {
            place.entries.push_back((record.offset, Entry::of(&record)?));
        }
        Ok(place)
    }

    fn restore(&mut self, partition: u32, snapshot: &StoredSnapshot) -> Result<()> {
        let stages = self.plan.spec.stages.len();
        let (states, totals) = snapshot.states.split_at(stages.min(snapshot.states.len()));
        self.worker.chain(partition)?.restore(states)?;
        // Logs of the first days hold none.
        let totals = totals.first().map_or(Ok(Totals::default()), |bytes| Totals::load(bytes))?;
        self.worker.set_totals(partition, totals);
        Ok(())
    }

    /// Processes one batch per partition; false if there was nothing to do.
    fn step(&mut self, log: &mut Log) -> Result<bool> {
        self.find_partitions(log)?;
        let mut busy = false;
        for partition in self.partitions.keys().copied().collect::<Vec<_>>() {
            busy |= self.step_partition(log, partition)?;
        }
        Ok(busy)
    }

    fn step_partition(&mut self, log: &mut Log, partition: u32) -> Result<bool> {
        let Some(place) = self.partitions.get_mut(&partition) else { return Ok(false) };
        if let Some((at, entry)) = place.entries.pop_front_if(|(_, entry)| entry.offset() < place.next) {
            place.control = at + 1;
            match entry {
                // A replayed tick: its output is in the log.
                Entry::Tick(tick) => self.worker.tick(partition, &tick, &mut |_| {})?,
                Entry::Request { record, .. } => self.worker.control(partition, &record)?,
            }
            return Ok(true);
        }
        let mut batch = log.read(&self.plan.input_topic, partition, place.next, BATCH_RECORDS)?;
        let until = place.entries.front().map_or(i64::MAX, |(_, entry)| entry.offset() + 1);
        let until = if place.next < place.written { until.min(place.written) } else { until };
        cut(&mut batch, until);
        let Some(last) = batch.last() else { return Ok(false) };
        let next = last.offset + 1;
        let replay = place.next < place.written;
        let mut sent = Vec::new();
        self.worker.process(partition, &batch, &mut |emission| {
            if !replay {
                sent.push(emission);
            }
        })?;
        place.next = next;
        if !replay {
            place.written = next;
            let (records, newest_log_time_ms) = (batch.len() as u64, Some(last.log_time_ms));
            self.commit(log, partition, sent, None)?;
            let progress = Progress { records, newest_log_time_ms, ..Progress::default() };
            if let Some(place) = self.partitions.get_mut(&partition) {
                place.status.note(&progress, now());
            }
        }
        Ok(true)
    }

    /// Outputs, position, tick and, if it is time, the snapshot: all or nothing.
    fn commit(&mut self, log: &mut Log, partition: u32, sent: Vec<Emission>, tick: Option<&Tick>) -> Result<()> {
        let Some(place) = self.partitions.get_mut(&partition) else { return Ok(()) };
        place.status.recent.extend(&Recent::of(&sent));
        let due = self.snapshot_at.elapsed() >= self.checkpoint;
        let snapshot = match due {
            false => None,
            true => {
                self.snapshot_at = Instant::now();
                let mut states = self.worker.chain(partition)?.snapshot()?;
                states.push(self.worker.totals(partition).save()?);
                Some(StoredSnapshot { next: place.next, control: place.control, states })
            }
        };
        let mut by_topic: BTreeMap<usize, Vec<NewRecord>> = BTreeMap::new();
        for emission in sent {
            by_topic.entry(emission.topic).or_default().push(emission.record);
        }
        fail::fail_point!("live_before_commit");
        let committed = log.commit(|w| {
            for (topic, records) in &by_topic {
                w.append(&self.plan.router.topics()[*topic], partition, records)?;
            }
            if let Some(tick) = tick {
                w.append(&self.control_topic, partition, &[Entry::Tick(*tick).record()?])?;
            }
            w.set_position(&self.plan.spec.pipeline, partition, place.written)?;
            match &snapshot {
                Some(snapshot) => w.set_snapshot(&self.plan.spec.pipeline, partition, snapshot, self.retain),
                None => Ok(()),
            }
        });
        fail::fail_point!("live_after_commit");
        committed
    }

    /// Copies new requests into the control topic of every partition; they are applied from there. False
    /// if there were none, or there is no partition yet that could see them.
    fn take_requests(&mut self, log: &mut Log) -> Result<bool> {
        let records = log.read(&self.inbox_topic, 0, self.inbox, BATCH_RECORDS)?;
        let Some(last) = records.last().filter(|_| !self.partitions.is_empty()) else { return Ok(false) };
        let next = last.offset + 1;
        let requests: Vec<_> = records.iter().filter_map(|record| request(&self.inbox_topic, record)).collect();
        for place in self.partitions.values_mut() {
            let offset = place.next - 1;
            let entries = requests.iter().map(|record| Entry::Request { offset, record: record.clone() });
            place.entries.extend((place.control..).zip(entries));
        }
        log.commit(|w| {
            for (partition, place) in &self.partitions {
                let entries = place.entries.iter().map(|(_, entry)| entry.record()).collect::<Result<Vec<_>>>()?;
                w.append(&self.control_topic, *partition, &entries)?;
            }
            w.set_position(&self.inbox_topic, 0, next)
        })?;
        self.inbox = next;
        Ok(true)
    }

    /// A tick every second, in every partition.
    fn tick_if_due(&mut self, log: &mut Log) -> Result<()> {
        if self.tick_at.elapsed() < Duration::from_secs(1) {
            return Ok(());
        }
        self.tick_at = Instant::now();
        self.tick_all(log, now(), false)
    }

    fn tick_all(&mut self, log: &mut Log, time: i64, end_of_input: bool) -> Result<()> {
        for partition in self.partitions.keys().copied().collect::<Vec<_>>() {
            let Some(place) = self.partitions.get_mut(&partition) else { continue };
            let tick = Tick { time, offset: place.next - 1, end_of_input };
            place.control += 1;
            let mut sent = Vec::new();
            self.worker.tick(partition, &tick, &mut |emission| sent.push(emission))?;
            self.commit(log, partition, sent, Some(&tick))?;
        }
        Ok(())
    }

    /// The end of a run: with file input everything was closed and the state ends with it, else the state is
    /// saved for the next run.
    fn finish(&mut self, log: &mut Log, end_of_input: bool) -> Result<Summary> {
        let summary = self.worker.summary()?;
        self.checkpoint = Duration::ZERO;
        for partition in self.partitions.keys().copied().collect::<Vec<_>>() {
            if end_of_input {
                self.worker.discard(partition);
            }
            self.commit(log, partition, Vec::new(), None)?;
        }
        Ok(summary)
    }
}

/// Ends the batch before offset `until`, and where records with a log time meet ones without.
fn cut(batch: &mut Vec<LogRecord>, until: i64) {
    let timed = batch.first().is_some_and(|r| r.log_time_ms >= 0);
    let fits = |r: &LogRecord| r.offset < until && (r.log_time_ms >= 0) == timed;
    let len = batch.iter().position(|r| !fits(r)).unwrap_or(batch.len());
    batch.truncate(len);
}

//! Pipelines on a cluster: a thread per partition, each with a worker that holds it.
//!
//! A worker that meets an error is dropped, and a new one recovers from the log; that is the only
//! repair there is. Being fenced ends the process: somebody else does the work.

#[cfg(test)]
mod tests;

use super::load::Meter;
use super::recent::Recent;
use super::records::{PartitionRecord, Session, State, Status};
use super::status::PartitionStatus;
use crate::exact::{Fenced, Job, PartitionWorker, StageFailed};
use crate::model::Errors;
use crate::summary::Summary;
use crate::topics;
use anyhow::{Context, Result, anyhow};
use perfstream_log::spill::{SpillOptions, Spilling};
use perfstream_log::{NewRecord, Topics};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a worker waits for input before it looks at the clock.
const WAIT: Duration = Duration::from_millis(250);
/// Between two status records of a partition.
pub(super) const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Pause after the first error, and the longest one; tests do not wait so long.
const BACKOFF: (Duration, Duration) = match cfg!(test) {
    false => (Duration::from_millis(100), Duration::from_secs(10)),
    true => (Duration::from_millis(1), Duration::from_millis(10)),
};

/// A pipeline, ready for workers.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// What runs
    pub job: Job,
    /// Partitions of the input that this process works on
    pub partitions: Vec<u32>,
    /// What an error leads to
    pub errors: Errors,
    /// Where records that wait are copied to; None: they wait in the topic alone
    pub spill: Option<SpillOptions>,
}

/// How workers run.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// Set it, and every worker takes a last snapshot and ends
    pub stop: Arc<AtomicBool>,
    /// End when all input that is there is processed
    pub stop_at_end: bool,
    /// Name of this process in status records
    pub session: String,
    /// The session that status records tell of
    pub told: Session,
    /// What the threads do, added up
    pub meter: Arc<Meter>,
}

/// Runs workers until stopped; `connect` gives each thread a connection of its own.
pub fn run<T, C>(assignments: &[Assignment], running: &Running, connect: C) -> Result<Vec<Summary>>
where
    T: Topics + Send + 'static,
    C: Fn() -> Result<T> + Send + Sync,
{
    let (send, reports) = channel();
    let results: Mutex<Vec<(usize, Result<Summary>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        for (n, assignment) in assignments.iter().enumerate() {
            for partition in assignment.partitions.iter().copied() {
                let (send, connect, results) = (send.clone(), &connect, &results);
                scope.spawn(move || {
                    let supervised = Supervised { assignment, partition, running, connect, send };
                    let result = supervised.run();
                    if result.is_err() {
                        // One partition that ends in an error ends the process: nothing is left half alone.
                        running.stop.store(true, Ordering::SeqCst);
                    }
                    if let Ok(mut results) = results.lock() {
                        results.push((n, result));
                    }
                });
            }
        }
        drop(send);
        Teller { connect: &connect, log: None, session: running.told.clone(), id: &running.session }.tell(reports);
        Ok(())
    })?;
    let results = results.into_inner().map_err(|_| anyhow!("a worker thread died"))?;
    let mut summaries: Vec<Option<Summary>> = vec![None; assignments.len()];
    for (n, result) in results {
        let summary = result?;
        match &mut summaries[n] {
            Some(sum) => sum.add(&summary),
            empty => *empty = Some(summary),
        }
    }
    Ok(summaries.into_iter().flatten().collect())
}

/// What a partition tells: its status, and its newest alerts, insights and forecasts.
type Report = (PartitionRecord, Recent);

/// Writes status records. They are told as well as can be; the work does not hang on it.
struct Teller<'r, T, C> {
    connect: &'r C,
    log: Option<T>,
    session: Session,
    id: &'r str,
}

impl<T: Topics, C: Fn() -> Result<T>> Teller<'_, T, C> {
    /// Until no worker is left; the session is told at its start, every few seconds and at its end.
    fn tell(mut self, reports: Receiver<Report>) {
        self.tell_session();
        let mut session_at = Instant::now() + REPORT_EVERY;
        for (partition, recent) in reports {
            let key = format!("{}/{}", partition.pipeline, partition.partition);
            self.append(&key, &Status::Partition(partition.clone()));
            self.session.note(partition, &recent);
            if Instant::now() >= session_at {
                session_at = Instant::now() + REPORT_EVERY;
                self.tell_session();
            }
        }
        self.tell_session();
    }

    fn tell_session(&mut self) {
        let record = self.session.record(perfstream_core::time::format(now()));
        self.append(self.id, &Status::Session(record));
    }

    fn append(&mut self, key: &str, status: &Status) {
        if let Err(error) = self.try_append(key, status) {
            tracing::debug!("the status was not written: {error:#}");
            self.log = None;
        }
    }

    fn try_append(&mut self, key: &str, status: &Status) -> Result<()> {
        let log = match &mut self.log {
            Some(log) => log,
            none => none.insert((self.connect)()?),
        };
        let value = serde_json::to_vec(status)?;
        let record = NewRecord { log_time_ms: 0, key: Some(key.as_bytes().to_vec()), value };
        log.append(topics::STATUS, 0, &[record]).map(drop)
    }
}

/// Microseconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64
}

/// A partition's worker, and its successors after errors.
struct Supervised<'r, C> {
    assignment: &'r Assignment,
    partition: u32,
    running: &'r Running,
    connect: &'r C,
    send: Sender<Report>,
}

impl<T: Topics + Send + 'static, C: Fn() -> Result<T>> Supervised<'_, C> {
    fn run(&self) -> Result<Summary> {
        let pipeline = &self.assignment.job.plan.chain.pipeline;
        let mut status = PartitionStatus::new(pipeline, &self.assignment.job.plan.input_topic, self.partition);
        let mut pause = BACKOFF.0;
        let (mut careful, mut failures) = (false, 0);
        loop {
            let mut worked = false;
            let error = match self.incarnation(&mut status, careful, &mut worked) {
                Ok(summary) => {
                    self.running.meter.set_lag(pipeline, self.partition, None);
                    self.report(State::Stopped, &mut status);
                    return Ok(summary);
                }
                Err(error) => error,
            };
            status.last_error = Some(format!("{error:#}"));
            let fenced = error.is::<Fenced>();
            // A stage that fails again and again on the same input would do so for ever.
            failures = if error.is::<StageFailed>() { failures + 1 } else { 0 };
            careful = failures > self.retries();
            // A first start that fails is a mistake of the setup as often as a fault.
            let hopeless = fenced
                || self.assignment.errors == Errors::Fail
                || (!worked && failures == 0 && status.recoveries == 0);
            if hopeless || self.running.stop.load(Ordering::SeqCst) {
                self.report(if fenced { State::Fenced } else { State::Failed }, &mut status);
                return Err(error.context(format!("pipeline `{pipeline}`, partition {}", self.partition)));
            }
            tracing::warn!(pipeline, partition = self.partition, "recovers after an error: {error:#}");
            metrics::counter!("perfstream_recoveries_total", "pipeline" => pipeline.clone()).increment(1);
            status.recoveries += 1;
            self.report(State::Recovering, &mut status);
            pause = if worked { BACKOFF.0 } else { (pause * 2).min(BACKOFF.1) };
            self.sleep(pause);
        }
    }

    /// How often a failing stage is given the same input again before the record is looked for.
    fn retries(&self) -> u32 {
        match self.assignment.errors {
            Errors::SkipAndLog => 0,
            Errors::RetryWithBackoff => 5,
            Errors::Fail => u32::MAX,
        }
    }

    /// Until it is stopped or meets an error. `worked`: it came to processing.
    fn incarnation(&self, status: &mut PartitionStatus, careful: bool, worked: &mut bool) -> Result<Summary> {
        let started = Instant::now();
        let log = self.log().context("no connection to the log")?;
        let job = Job { careful, ..self.assignment.job.clone() };
        let mut worker = PartitionWorker::start(log, job, self.partition, now())?;
        tracing::info!(
            pipeline = status.pipeline,
            partition = self.partition,
            next = worker.next(),
            elapsed_ms = started.elapsed().as_millis() as u64,
            compile_ms = worker.recovered().compile.as_millis() as u64,
            restore_ms = worker.recovered().restore.as_millis() as u64,
            state_bytes = worker.recovered().state_bytes,
            replay_ms = worker.recovered().replay.as_millis() as u64,
            replayed = worker.recovered().replayed,
            "holds its partition"
        );
        let mut report_at = Instant::now();
        let mut idle = false;
        loop {
            if self.running.stop.load(Ordering::SeqCst) || (idle && self.running.stop_at_end) {
                break;
            }
            let progress = worker.step(now(), WAIT)?;
            *worked = true;
            status.next = worker.next();
            let latency_ms = status.note(&progress, now());
            self.running.meter.note(&progress, latency_ms);
            if let (true, Some(covered)) = (progress.snapshot, worker.snapshot_at()) {
                worker.log().release(covered);
            }
            idle = progress.records == 0 && worker.next() >= self.end(&mut worker)?;
            if report_at <= Instant::now() {
                report_at = Instant::now() + REPORT_EVERY;
                self.measure(&mut worker, status)?;
                self.report(State::Running, status);
            }
        }
        self.measure(&mut worker, status)?;
        let next = worker.next();
        let summary = worker.finish()?;
        status.snapshot = Some(next);
        Ok(summary)
    }

    /// The log, read through a file where records are to be spilled.
    fn log(&self) -> Result<Spilling<T>> {
        let log = (self.connect)()?;
        let plan = &self.assignment.job.plan;
        Ok(match self.assignment.spill.clone() {
            Some(options) => {
                let (ahead, owner) = ((self.connect)()?, &plan.chain.pipeline);
                Spilling::on(log, ahead, owner, &plan.input_topic, self.partition, options)
            }
            None => Spilling::off(log),
        })
    }

    fn end(&self, worker: &mut PartitionWorker<Spilling<T>>) -> Result<i64> {
        match self.running.stop_at_end {
            true => Ok(worker.log().extent(&self.assignment.job.plan.input_topic, self.partition)?.end),
            false => Ok(i64::MAX),
        }
    }

    fn measure(&self, worker: &mut PartitionWorker<Spilling<T>>, status: &mut PartitionStatus) -> Result<()> {
        status.end = worker.log().extent(&self.assignment.job.plan.input_topic, self.partition)?.end;
        self.running.meter.set_lag(&status.pipeline, self.partition, Some(status.lag_records() as u64));
        status.snapshot = worker.snapshot_at();
        status.misplaced = worker.misplaced();
        status.spilled_bytes = worker.log().spilled_bytes();
        status.summary = Some(worker.summary()?);
        if status.misplaced > 0 {
            tracing::warn!(
                pipeline = status.pipeline,
                partition = self.partition,
                misplaced = status.misplaced,
                "records lie in another partition than their key's: groups that are spread over partitions are \
                 analysed apart"
            );
        }
        Ok(())
    }

    fn report(&self, state: State, status: &mut PartitionStatus) {
        status.state = state;
        // The receiver lives as long as any worker does.
        let recent = std::mem::take(&mut status.recent);
        drop(self.send.send((status.report(&self.running.session, now()), recent)));
    }

    fn sleep(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.running.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50).min(pause));
        }
    }
}

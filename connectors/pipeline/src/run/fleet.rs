//! `scaling:` on one machine: a supervisor that starts and drains worker processes.
//!
//! The workers are this program with `--instance auto`: they share the partitions among themselves and
//! say how loaded they are on the topic `perfstream-members`. The supervisor listens there, so workers
//! on other machines count too. A worker is drained by the end of its standard input, which also comes
//! when the supervisor dies; it then takes a last snapshot, and the others take over its partitions.

use super::load::Load;
use super::members::Members;
use super::scale::{Decision, Policy, Scaler, fleet_load};
use crate::exact::worker::partitions_of;
use crate::topics;
use anyhow::{Context, Result, bail};
use perfstream_log::Topics;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A drained worker that has not ended by then is killed: its successor recovers from the log.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// A worker that ends sooner than this has not worked.
const SHORT_LIFE: Duration = Duration::from_secs(10);
/// So many short lives in a row are a mistake of the setup.
const SHORT_LIVES: u32 = 3;

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// How many workers
    pub policy: Policy,
    /// The arguments of this program that run the pipelines
    pub arguments: Vec<OsString>,
    /// Where the supervisor serves its metrics; the N-th worker, counted from 0, does at the N + 1st port after
    pub metrics: Option<SocketAddr>,
}

impl Fleet {
    /// The arguments of the worker `number`. Of an option that is given twice the last one holds.
    fn arguments_of(&self, number: u32) -> Vec<OsString> {
        let mut arguments = self.arguments.clone();
        arguments.extend(["--instance", "auto", "--stop-with-parent"].map(OsString::from));
        if let Some(mut address) = self.metrics {
            address.set_port(address.port().wrapping_add(number as u16 + 1));
            arguments.extend([OsString::from("--metrics"), address.to_string().into()]);
        }
        arguments
    }
}

struct Worker {
    process: Child,
    number: u32,
    started: Instant,
    /// Told to drain at this time
    told: Option<Instant>,
}

impl Worker {
    fn start(fleet: &Fleet, number: u32) -> Result<Worker> {
        let program = std::env::current_exe().context("where is this program?")?;
        let process = Command::new(program)
            .args(fleet.arguments_of(number))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("a worker process does not start")?;
        tracing::info!(worker = number, pid = process.id(), "started a worker");
        Ok(Worker { process, number, started: Instant::now(), told: None })
    }

    fn drain(&mut self) {
        tracing::info!(worker = self.number, "drains a worker");
        drop(self.process.stdin.take());
        self.told = Some(Instant::now());
    }
}

/// The processes, and what happened to them.
struct Supervisor<'r> {
    fleet: &'r Fleet,
    workers: Vec<Worker>,
    short_lives: u32,
}

/// Runs workers until a signal sets `stop`; ends when all have drained.
pub fn run<T: Topics>(log: T, fleet: &Fleet, group: &str, stop: &AtomicBool) -> Result<()> {
    let now_ms = super::cluster::now() / 1000;
    let mut members = Members::join(log, "", group, now_ms)?;
    let mut supervisor = Supervisor { fleet, workers: Vec::new(), short_lives: 0 };
    let mut scaler = Scaler::new(fleet.policy.clone());
    let started = Instant::now();
    let mut result = Ok(());
    while !stop.load(Ordering::SeqCst) && result.is_ok() {
        result = supervisor.look(&mut members, &mut scaler, started.elapsed());
        wait(LOOK_EVERY, stop);
    }
    supervisor.end().and(result)
}

fn wait(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Supervisor<'_> {
    fn look<T: Topics>(&mut self, members: &mut Members<T>, scaler: &mut Scaler, now: Duration) -> Result<()> {
        self.reap()?;
        // What the workers tell is of use, not a need: without it their number stays.
        let loads = members.loads().unwrap_or_else(|error| {
            tracing::warn!("the workers' loads are not heard: {error:#}");
            Vec::new()
        });
        self.show(&loads);
        match scaler.decide(now, self.working(), &loads) {
            Decision::Stay => Ok(()),
            Decision::Add => self.add(),
            Decision::Drain => {
                let newest = self.workers.iter_mut().filter(|w| w.told.is_none()).max_by_key(|w| w.number);
                newest.into_iter().for_each(Worker::drain);
                Ok(())
            }
        }
    }

    fn working(&self) -> u32 {
        self.workers.iter().filter(|w| w.told.is_none()).count() as u32
    }

    fn add(&mut self) -> Result<()> {
        let taken = |number: &u32| self.workers.iter().any(|w| w.number == *number);
        let number = (0..).find(|n| !taken(n)).unwrap_or(0);
        self.workers.push(Worker::start(self.fleet, number)?);
        Ok(())
    }

    fn show(&self, loads: &[Load]) {
        metrics::gauge!("perfstream_workers").set(f64::from(self.working()));
        if let Some(load) = fleet_load(loads) {
            metrics::gauge!("perfstream_fleet_load").set(load);
            tracing::debug!(workers = self.working(), load, "looked at the workers");
        }
    }

    /// Notices workers that have ended; the scaler sees that they are missing.
    fn reap(&mut self) -> Result<()> {
        let mut left = Vec::new();
        for mut worker in self.workers.drain(..) {
            let Some(status) = worker.process.try_wait()? else {
                if worker.told.is_some_and(|at| at.elapsed() > DRAIN_WITHIN) {
                    tracing::warn!(worker = worker.number, "does not drain, is killed");
                    worker.process.kill()?;
                }
                left.push(worker);
                continue;
            };
            match worker.told {
                Some(_) => tracing::info!(worker = worker.number, %status, "has drained"),
                None => tracing::warn!(worker = worker.number, %status, "has ended by itself"),
            }
            let short = worker.told.is_none() && worker.started.elapsed() < SHORT_LIFE;
            self.short_lives = if short { self.short_lives + 1 } else { 0 };
        }
        self.workers = left;
        if self.short_lives >= SHORT_LIVES {
            bail!("{SHORT_LIVES} workers in a row ended within seconds of their start; what they said stands above");
        }
        Ok(())
    }

    /// Drains all and waits for them.
    fn end(&mut self) -> Result<()> {
        self.workers.iter_mut().filter(|w| w.told.is_none()).for_each(Worker::drain);
        while !self.workers.is_empty() {
            self.reap()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// How many partitions there are to share: of the input that has most.
pub(super) fn partitions(log: &mut impl Topics, inputs: &[String]) -> Result<u32> {
    let mut most = 0;
    for topic in inputs {
        most = most.max(partitions_of(log, topic)?);
    }
    partitions_of(log, topics::MEMBERS)?;
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Targets;

    #[test]
    fn every_worker_serves_metrics_at_a_port_of_its_own() {
        let policy =
            Policy { min: 1, max: 2, scale_up: 0.8, scale_down: 0.3, metrics: Vec::new(), targets: Targets::default() };
        let arguments = ["run", "a.yaml", "--metrics=127.0.0.1:9464"].map(OsString::from).to_vec();
        let fleet = Fleet { policy, arguments, metrics: Some(([127, 0, 0, 1], 9464).into()) };
        let wanted = "run a.yaml --metrics=127.0.0.1:9464 --instance auto --stop-with-parent --metrics 127.0.0.1:9466";
        assert_eq!(fleet.arguments_of(1), wanted.split(' ').map(OsString::from).collect::<Vec<_>>());
    }
}

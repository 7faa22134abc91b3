//! How loaded a worker process is, for scaling: each metric as a share of its target, 1 = at it.
//!
//! `cpu`: processor time over what the partitions' threads could use (one core each, as far as there
//! are cores). `memory`: resident memory over the control group's limit, else the machine's memory.
//! The others: what was counted over the target of the pipeline's `scaling`.

use super::usage;
use crate::exact::Progress;
use crate::model::{Resource, Targets};
use anyhow::Result;
use perfstream_core::Kind;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use sysinfo::{Pid, System};

/// Shares by metric.
pub type Load = BTreeMap<Resource, f64>;

/// What the threads of a process have done since it was last read; all of them write to it.
#[derive(Debug, Default)]
pub struct Meter {
    records: AtomicU64,
    events: AtomicU64,
    sessions: AtomicU64,
    /// The slowest step
    latency_ms: AtomicU64,
    /// Records that wait, by pipeline and partition
    lag: Mutex<BTreeMap<(String, u32), u64>>,
}

/// The numbers of an interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Length of the interval
    pub elapsed: Duration,
    /// Partitions that are worked on
    pub partitions: u32,
    /// Input records
    pub records: u64,
    /// Of them, those that are no dead letters
    pub events: u64,
    /// Sessions that ended
    pub sessions: u64,
    /// The longest time from a record's log time to its outputs, milliseconds
    pub latency_ms: u64,
    /// Records that wait
    pub lag_records: u64,
    /// Processor time of the process
    pub cpu: Duration,
    /// Processor cores that it may use
    pub cores: u32,
    /// Resident memory, bytes
    pub memory_bytes: u64,
    /// Memory that it may use, bytes
    pub memory_limit_bytes: u64,
}

impl Meter {
    /// A step of a partition's worker.
    pub fn note(&self, progress: &Progress, latency_ms: Option<u64>) {
        let written = |kind| progress.written.get(&kind).copied().unwrap_or(0);
        self.records.fetch_add(progress.records, Ordering::Relaxed);
        self.events.fetch_add(progress.records.saturating_sub(written(Kind::DeadLetter)), Ordering::Relaxed);
        self.sessions.fetch_add(written(Kind::Session), Ordering::Relaxed);
        self.latency_ms.fetch_max(latency_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// How many records of a partition wait; None: the partition is no longer worked on.
    pub fn set_lag(&self, pipeline: &str, partition: u32, records: Option<u64>) {
        let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (pipeline.to_string(), partition);
        match records {
            Some(records) => drop(lag.insert(place, records)),
            None => drop(lag.remove(&place)),
        }
    }

    /// The numbers since the last call; those of the process are for the caller to add.
    fn take(&self) -> Measured {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        Measured {
            partitions: lag.len() as u32,
            records: take(&self.records),
            events: take(&self.events),
            sessions: take(&self.sessions),
            latency_ms: take(&self.latency_ms),
            lag_records: lag.values().sum(),
            ..Measured::default()
        }
    }
}

impl Measured {
    /// Its shares of what is wanted.
    pub fn load(&self, metrics: &[Resource], targets: &Targets) -> Load {
        metrics.iter().map(|metric| (*metric, self.share(*metric, targets))).collect()
    }

    fn share(&self, metric: Resource, targets: &Targets) -> f64 {
        let seconds = self.elapsed.as_secs_f64().max(1e-3);
        let per_second = |count: u64| count as f64 / seconds;
        let target = targets.of(metric);
        match metric {
            Resource::Cpu => {
                let usable = self.cores.min(self.partitions).max(1);
                self.cpu.as_secs_f64() / (seconds * f64::from(usable)) / target
            }
            Resource::Memory => self.memory_bytes as f64 / self.memory_limit_bytes.max(1) as f64 / target,
            Resource::Throughput => per_second(self.records) / target,
            Resource::EventRate => per_second(self.events) / target,
            Resource::SessionRate => per_second(self.sessions) / target,
            Resource::Latency => self.latency_ms as f64 / target,
            Resource::Lag => self.lag_records as f64 / target,
        }
    }
}

/// Reads a meter and the process at intervals.
pub struct Gauge {
    system: System,
    process: Pid,
    metrics: Vec<Resource>,
    targets: Targets,
    since: Instant,
    cpu: Duration,
}

impl Gauge {
    /// A gauge of these metrics, from now on. An error where the system does not tell about processes.
    pub fn new(metrics: Vec<Resource>, targets: Targets) -> Result<Gauge> {
        let process = Pid::from_u32(std::process::id());
        let (system, since) = (System::new()?, Instant::now());
        let mut gauge = Gauge { system, process, metrics, targets, since, cpu: Duration::ZERO };
        gauge.system.refresh_memory();
        gauge.cpu = usage::of(&mut gauge.system, process).0;
        Ok(gauge)
    }

    /// The load since the last call.
    pub fn read(&mut self, meter: &Meter) -> Load {
        let (cpu, memory_bytes) = usage::of(&mut self.system, self.process);
        let measured = Measured {
            elapsed: self.since.elapsed(),
            cpu: cpu.saturating_sub(self.cpu),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            memory_bytes,
            memory_limit_bytes: self.memory_limit_bytes(),
            ..meter.take()
        };
        (self.since, self.cpu) = (Instant::now(), cpu);
        let load = measured.load(&self.metrics, &self.targets);
        for (metric, share) in &load {
            metrics::gauge!("perfstream_load", "metric" => metric.name()).set(*share);
        }
        load
    }

    fn memory_limit_bytes(&self) -> u64 {
        let all = self.system.total_memory();
        match self.system.cgroup_limits() {
            Some(limits) if limits.total_memory > 0 => limits.total_memory.min(all),
            _ => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        Measured {
            elapsed: Duration::from_secs(2),
            partitions: 3,
            records: 100_000,
            events: 80_000,
            sessions: 500,
            latency_ms: 250,
            lag_records: 70_000,
            cpu: Duration::from_millis(3_600),
            cores: 2,
            memory_bytes: 3 << 30,
            memory_limit_bytes: 4 << 30,
        }
    }

    /// Every metric by itself, with the default targets and with others.
    #[test]
    fn shares_of_targets() {
        let half = Targets {
            cpu: Some(0.5),
            memory: Some(0.5),
            throughput: Some(25_000.0),
            latency: Some(500.0),
            lag: Some(50_000.0),
            event_rate: Some(25_000.0),
            session_rate: Some(500.0),
        };
        let cases = [
            // 3.6 s of processor time in 2 s on the 2 cores that 3 threads can use
            (Resource::Cpu, 0.9),
            (Resource::Memory, 0.75),
            (Resource::Throughput, 1.0),
            (Resource::EventRate, 0.8),
            (Resource::SessionRate, 0.25),
            (Resource::Latency, 0.25),
            (Resource::Lag, 0.7),
        ];
        for (metric, wanted) in cases {
            let close = |got: f64, wanted: f64| assert!((got - wanted).abs() < 1e-9, "{metric:?}: {got}");
            close(measured().load(&[metric], &Targets::default())[&metric], wanted);
            close(measured().load(&[metric], &half)[&metric], 2.0 * wanted);
        }
    }

    #[test]
    fn one_thread_uses_one_core() {
        let one = Measured { partitions: 1, cpu: Duration::from_secs(2), ..measured() };
        assert_eq!(one.share(Resource::Cpu, &Targets::default()), 1.0);
    }

    #[test]
    fn a_meter_counts_intervals() {
        let meter = Meter::default();
        let written = [(Kind::DeadLetter, 2), (Kind::Session, 3)].into();
        let progress = Progress { records: 10, written, ..Progress::default() };
        meter.note(&progress, Some(7));
        meter.note(&progress, None);
        meter.set_lag("lcp", 0, Some(5));
        meter.set_lag("lcp", 1, Some(6));
        let first = meter.take();
        assert_eq!((first.records, first.events, first.sessions, first.latency_ms), (20, 16, 6, 7));
        assert_eq!((first.lag_records, first.partitions), (11, 2));
        meter.set_lag("lcp", 0, None);
        let second = meter.take();
        assert_eq!((second.records, second.events, second.sessions, second.latency_ms), (0, 0, 0, 0));
        assert_eq!((second.lag_records, second.partitions), (6, 1));
    }

    #[test]
    fn a_gauge_reads_this_process() {
        let mut gauge = Gauge::new(vec![Resource::Cpu, Resource::Memory], Targets::default()).expect("a gauge");
        let load = gauge.read(&Meter::default());
        assert!(load[&Resource::Memory] > 0.0 && load[&Resource::Memory] < 1.0, "{load:?}");
        assert!(load[&Resource::Cpu] >= 0.0, "{load:?}");
    }
}

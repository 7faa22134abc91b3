//! `cargo xtask bench recovery`: how long a killed worker's work stands still, on a real cluster.
//!
//! A worker of the pipeline `tests/bench/recovery.yaml` gets a day of events, then some more while it is
//! killed (SIGKILL). Each partition then gets an event that breaks a rule, and a new process is started:
//! once with an empty cache of compiled modules, twice with what it left there. What is timed is from
//! starting the process to each partition's alert being read.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Read, Topics, partition_of_key};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PIPELINE: &str = "tests/bench/recovery.yaml";
const INPUT: &str = "recovery-stream";
const ALERTS: &str = "recovery-alerts";
const CONTROL: &str = "recovery-bench-control";
const DAY_MS: u64 = 86_400_000;
/// Events appended at once.
const BATCH: u64 = 20_000;
/// Events behind the day, that stand between the last snapshot and the death, as far as they come.
const TAIL: u64 = 40_000;
/// The targets: from modules compiled to the first output, and from the process's start.
const TARGET_MS: (u64, u64) = (1000, 5000);

#[derive(Parser)]
struct Args {
    /// Partitions
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Events of the day, all partitions together
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Groups, all partitions together
    #[arg(long, default_value_t = 20_000)]
    groups: u64,
    /// The binary `perfstream`
    #[arg(long)]
    perfstream: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = TestCluster::start().context("no Fluvio server")?;
    let partitions = args.partitions.to_string();
    cluster.create_topic(INPUT, args.partitions, TopicOptions::default())?;
    let deploy = ["deploy", PIPELINE, "--partitions", &partitions, "--cluster", cluster.address()];
    ensure!(Command::new(&args.perfstream).args(deploy).stdout(Stdio::null()).status()?.success(), "not deployed");
    let bench = Bench { start_ms: now_ms() - DAY_MS, cache: tempfile::tempdir()?, args, cluster };
    bench.day()?;
    println!(
        "start    state MB   compile ms   restore ms   replayed   replay ms   holds ms   first output ms   from modules compiled ms"
    );
    let mut within = true;
    for (n, cache) in ["cold", "cached", "cached"].into_iter().enumerate() {
        within &= bench.recovery(n as u64, cache)?;
    }
    println!(
        "targets: {} ms from modules compiled, {} ms from the start of the process: {}",
        TARGET_MS.0,
        TARGET_MS.1,
        if within { "held" } else { "MISSED" }
    );
    Ok(())
}

struct Bench {
    args: Args,
    cluster: TestCluster,
    /// Where compiled modules are kept
    cache: tempfile::TempDir,
    /// Where the day begins
    start_ms: u64,
}

impl Bench {
    /// A worker processes the day and takes a last snapshot.
    fn day(&self) -> Result<()> {
        let started = Instant::now();
        for from in (0..self.args.events).step_by(BATCH as usize) {
            self.produce(from..(from + BATCH).min(self.args.events))?;
        }
        let status = self.worker(&["--stop-at-end"], Stdio::null())?.0.wait()?;
        ensure!(status.success(), "the worker ended in an error");
        println!(
            "a day: {} events of {} groups in {} partitions, processed in {:.0} s",
            self.args.events,
            self.args.groups,
            self.args.partitions,
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    fn produce(&self, events: std::ops::Range<u64>) -> Result<()> {
        let mut log = self.cluster.topics();
        let mut batches: BTreeMap<u32, Vec<NewRecord>> = BTreeMap::new();
        for n in events {
            let page = format!("/page/{}", n.wrapping_mul(7919) % self.args.groups);
            let time_ms = self.start_ms + DAY_MS * n.min(self.args.events) / self.args.events;
            let text = format!("{{\"timestamp\":{time_ms},\"value\":{},\"page\":\"{page}\"}}", 500 + n * 31 % 4000);
            let partition = partition_of_key(page.as_bytes(), self.args.partitions);
            let record =
                NewRecord { log_time_ms: time_ms as i64, key: Some(page.into_bytes()), value: text.into_bytes() };
            batches.entry(partition).or_default().push(record);
        }
        batches.into_iter().try_for_each(|(partition, records)| log.append(INPUT, partition, &records).map(drop))
    }

    /// The process, which tells what it does as JSON.
    fn worker(&self, more: &[&str], out: Stdio) -> Result<Worker> {
        let mut command = Command::new(&self.args.perfstream);
        command.args(["--log", "json", "run", PIPELINE, "--cluster", self.cluster.address()]).args(more);
        command.env("XDG_CACHE_HOME", self.cache.path()).stdout(Stdio::null()).stderr(out);
        Ok(Worker(command.spawn()?))
    }

    /// Lets a worker work, kills it, and times the next one; are the targets held?
    fn recovery(&self, n: u64, cache: &str) -> Result<bool> {
        let first = self.worker(&[], Stdio::null())?;
        let advances = self.ends(CONTROL)?;
        // It is at work again on all partitions when each has a claim and an advance more.
        self.until(|| Ok(self.ends(CONTROL)?.iter().zip(&advances).all(|(now, then)| *now > then + 1)))?;
        let from = self.args.events + n * TAIL;
        for from in (from..from + TAIL).step_by(1000) {
            self.produce(from..from + 1000)?;
        }
        drop(first);
        let alerts = self.ends(ALERTS)?;
        self.breach(n)?;
        if cache == "cold" {
            clear(self.cache.path())?;
        }
        let started = Instant::now();
        let mut worker = self.worker(&[], Stdio::piped())?;
        let held = lines(&mut worker, started)?;
        let mut log = self.cluster.topics();
        let mut first_ms = Vec::new();
        for (partition, from) in alerts.iter().enumerate() {
            match log.read(ALERTS, partition as u32, *from, 1 << 20, Duration::from_secs(60))? {
                Read::Records(records) if !records.is_empty() => first_ms.push(started.elapsed().as_millis() as u64),
                _ => bail!("no alert came in partition {partition}"),
            }
        }
        let mut within = true;
        if let Some(first_ms) = first_ms.iter().max() {
            let mut all = Start::default();
            for _ in 0..self.args.partitions {
                all.add(&held.recv_timeout(Duration::from_secs(10)).context("a partition is not held")?);
            }
            // The claims before it are in it: an upper bound.
            let compiled_ms = first_ms.saturating_sub(all.holds_ms) + all.after_compiling_ms;
            println!(
                "{cache:<7}{:>10.1}{:>13}{:>13}{:>11}{:>12}{:>11}{first_ms:>18}{compiled_ms:>27}",
                all.state_bytes as f64 / 1e6,
                all.compile_ms,
                all.restore_ms,
                all.replayed,
                all.replay_ms,
                all.holds_ms
            );
            within &= compiled_ms <= TARGET_MS.0 && *first_ms <= TARGET_MS.1;
        }
        Ok(within)
    }

    /// An event that breaks the rule, in each partition.
    fn breach(&self, n: u64) -> Result<()> {
        let mut log = self.cluster.topics();
        for partition in 0..self.args.partitions {
            let mut pages = (0..).map(|k| format!("/breach/{k}"));
            let page = pages.find(|p| partition_of_key(p.as_bytes(), self.args.partitions) == partition);
            let page = page.context("a page for each partition")?;
            let time_ms = now_ms();
            let text = format!(
                "{{\"timestamp\":{time_ms},\"value\":60000,\"page\":\"{page}\",\"marker\":\"{n}/{partition}\"}}"
            );
            let record =
                NewRecord { log_time_ms: time_ms as i64, key: Some(page.into_bytes()), value: text.into_bytes() };
            log.append(INPUT, partition, &[record])?;
        }
        Ok(())
    }

    fn ends(&self, topic: &str) -> Result<Vec<i64>> {
        let mut log = self.cluster.topics();
        (0..self.args.partitions).map(|p| Ok(log.extent(topic, p)?.end)).collect()
    }

    fn until(&self, holds: impl Fn() -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !holds()? {
            ensure!(started.elapsed() < Duration::from_secs(120), "the worker does not come to work");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn clear(dir: &Path) -> Result<()> {
    for entry in dir.read_dir()? {
        std::fs::remove_dir_all(entry?.path())?;
    }
    Ok(())
}

/// What the start of a partition took; added up: state and records summed, times of the slowest.
#[derive(Default)]
struct Start {
    state_bytes: u64,
    replayed: u64,
    compile_ms: u64,
    restore_ms: u64,
    replay_ms: u64,
    /// From connecting to holding the partition, compiling left out
    after_compiling_ms: u64,
    /// From the start of the process to holding the partition
    holds_ms: u64,
}

impl Start {
    fn add(&mut self, other: &Start) {
        self.state_bytes += other.state_bytes;
        self.replayed += other.replayed;
        for (own, other) in [
            (&mut self.compile_ms, other.compile_ms),
            (&mut self.restore_ms, other.restore_ms),
            (&mut self.replay_ms, other.replay_ms),
            (&mut self.after_compiling_ms, other.after_compiling_ms),
            (&mut self.holds_ms, other.holds_ms),
        ] {
            *own = (*own).max(other);
        }
    }
}

/// Reads what the worker tells, to its end; gives each partition's start as soon as it is told.
fn lines(worker: &mut Worker, started: Instant) -> Result<Receiver<Start>> {
    let told = worker.0.stderr.take().context("its standard error")?;
    let (send, held) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(told).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
            let number = |name: &str| line["fields"][name].as_u64().unwrap_or(0);
            if line["fields"]["message"] == "holds its partition" {
                let start = Start {
                    state_bytes: number("state_bytes"),
                    replayed: number("replayed"),
                    compile_ms: number("compile_ms"),
                    restore_ms: number("restore_ms"),
                    replay_ms: number("replay_ms"),
                    after_compiling_ms: number("elapsed_ms").saturating_sub(number("compile_ms")),
                    holds_ms: started.elapsed().as_millis() as u64,
                };
                // Nobody listens any more when the figures are printed.
                drop(send.send(start));
            }
        }
    });
    Ok(held)
}

/// The process `perfstream run`; dropping it kills it.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

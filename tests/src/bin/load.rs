//! `cargo xtask bench cluster`: how fast an alert is out, and how much a worker takes, on a real cluster.
//!
//! One process produces events of the pipeline `tests/bench/cluster.yaml`, one worker runs it, and the
//! alerts are read as a downstream tool would, committed records only. Every hundredth event breaks the
//! rule, under a key of its own, and its way is timed: from before its produce request to its alert being read.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use hdrhistogram::Histogram;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Read, Topics, partition_of_key};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PIPELINE: &str = "tests/bench/cluster.yaml";
const INPUT: &str = "bench-stream";
const ALERTS: &str = "bench-alerts";
/// One produce request per partition in this time.
const LINGER: Duration = Duration::from_millis(10);
/// One event in so many breaks the rule.
const BREACH_EVERY: u64 = 100;

#[derive(Parser)]
struct Args {
    /// Events per second, all partitions together
    #[arg(long, default_value_t = 5000)]
    rate: u64,
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Partitions
    #[arg(long, default_value_t = 2)]
    partitions: u32,
    /// Raise the rate by half every ten seconds until the lag grows
    #[arg(long)]
    climb: bool,
    /// The binary `perfstream`
    #[arg(long)]
    perfstream: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cluster = Arc::new(TestCluster::start().context("no Fluvio server")?);
    // Half an hour of input is not kept: the disk is the machine's.
    let kept =
        TopicOptions { segment_bytes: Some(256 << 20), partition_bytes: Some(2 << 30), ..TopicOptions::default() };
    cluster.create_topic(INPUT, args.partitions, kept)?;
    let partitions = args.partitions.to_string();
    let deploy = ["deploy", PIPELINE, "--partitions", &partitions, "--cluster", cluster.address()];
    ensure!(Command::new(&args.perfstream).args(deploy).stdout(Stdio::null()).status()?.success(), "not deployed");
    let worker = Worker::start(&args, &cluster)?;
    let shared = Arc::new(Shared::default());
    let readers: Vec<_> = (0..args.partitions)
        .map(|partition| {
            let (cluster, shared) = (cluster.clone(), shared.clone());
            std::thread::spawn(move || alerts(&cluster, partition, &shared))
        })
        .collect();
    worker.wait_until_it_runs(&cluster)?;
    match args.climb {
        true => climb(&args, &cluster, &worker, &shared)?,
        false => steady(&args, &cluster, &worker, &shared)?,
    }
    shared.stop.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.join().map_err(|_| anyhow::anyhow!("a reader died"))??;
    }
    worker.stop()
}

/// What producer and readers share.
#[derive(Default)]
struct Shared {
    /// Events that break the rule, by marker: when they were sent
    sent: Mutex<BTreeMap<u64, Instant>>,
    taken_us: Mutex<Vec<u64>>,
    produced: AtomicU64,
    stop: AtomicBool,
}

/// One rate for a while; latency of alerts, lag and memory as it goes on.
fn steady(args: &Args, cluster: &TestCluster, worker: &Worker, shared: &Shared) -> Result<()> {
    let mut memory_mib = Vec::new();
    println!("  minute   events   lag   worker MiB");
    let minutes = args.seconds.div_ceil(60);
    for minute in 1..=minutes {
        let seconds = (args.seconds - (minute - 1) * 60).min(60);
        produce(cluster, args, args.rate, Duration::from_secs(seconds), shared)?;
        let (lag, mib) = (lag(cluster, args.partitions)?, worker.memory_mib()?);
        memory_mib.push(mib);
        println!("{minute:>8}{:>9}{lag:>6}{mib:>13.1}", shared.produced.load(Ordering::SeqCst));
    }
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until && !shared.sent.lock().map_err(|_| anyhow::anyhow!("a thread died"))?.is_empty() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let missing = shared.sent.lock().map_err(|_| anyhow::anyhow!("a thread died"))?.len();
    let mut latency = Histogram::<u64>::new(3)?;
    for us in shared.taken_us.lock().map_err(|_| anyhow::anyhow!("a thread died"))?.iter() {
        latency.record(*us)?;
    }
    let ms = |q: f64| latency.value_at_quantile(q) as f64 / 1000.0;
    println!(
        "{} alerts at {} events/s, from produce to read: p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, max {:.1} ms; \
         {missing} did not come; lag at the end {}",
        latency.len(),
        args.rate,
        ms(0.5),
        ms(0.95),
        ms(0.99),
        latency.max() as f64 / 1000.0,
        lag(cluster, args.partitions)?
    );
    if let (Some(first), Some(last)) = (memory_mib.get(memory_mib.len() / 4), memory_mib.last()) {
        println!("memory of the worker: {first:.1} MiB after a quarter of the time, {last:.1} MiB at the end");
    }
    ensure!(missing == 0, "alerts are missing");
    Ok(())
}

/// Raises the rate until a second's worth of events waits at the end of a step.
fn climb(args: &Args, cluster: &TestCluster, worker: &Worker, shared: &Shared) -> Result<()> {
    let mut rate = args.rate;
    let mut held = None;
    loop {
        let started = Instant::now();
        let before = shared.produced.load(Ordering::SeqCst);
        produce(cluster, args, rate, Duration::from_secs(10), shared)?;
        let lag = lag(cluster, args.partitions)?;
        let came = shared.produced.load(Ordering::SeqCst) - before;
        let real = came as f64 / started.elapsed().as_secs_f64();
        println!(
            "{rate:>9} events/s wanted, {real:>9.0} produced, lag {lag:>9}, worker {:.1} MiB",
            worker.memory_mib()?
        );
        if lag as f64 > real || real < rate as f64 * 0.9 {
            break;
        }
        held = Some(real);
        rate += rate / 2;
    }
    match held {
        Some(rate) => println!("sustained with flat lag: {rate:.0} events/s, producer, SPU and worker on this machine"),
        None => println!("not even the first rate was held"),
    }
    Ok(())
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// Produces at a rate, a request per partition and 10 ms.
fn produce(cluster: &TestCluster, args: &Args, rate: u64, time: Duration, shared: &Shared) -> Result<()> {
    let mut log = cluster.topics();
    let started = Instant::now();
    let mut made = 0u64;
    while started.elapsed() < time {
        let due = (started.elapsed().as_secs_f64() * rate as f64) as u64;
        let mut batches: BTreeMap<u32, Vec<NewRecord>> = BTreeMap::new();
        while made < due {
            let n = shared.produced.fetch_add(1, Ordering::SeqCst);
            made += 1;
            let page = format!("/p/{}", n * 7919 % 200);
            let partition = partition_of_key(page.as_bytes(), args.partitions);
            batches.entry(partition).or_default().push(event(n, page));
        }
        for (partition, records) in batches {
            let breaches = records.iter().filter_map(|r| marker(&r.value));
            let now = Instant::now();
            shared.sent.lock().map_err(|_| anyhow::anyhow!("a thread died"))?.extend(breaches.map(|n| (n, now)));
            log.append(INPUT, partition, &records)?;
        }
        let ticks = (started.elapsed().as_micros() / LINGER.as_micros()) as u32;
        std::thread::sleep((LINGER * (ticks + 1)).saturating_sub(started.elapsed()));
    }
    Ok(())
}

fn event(n: u64, page: String) -> NewRecord {
    let now = now_ms();
    let time = perfstream_core::time::format(now * 1000);
    let browser = ["chrome", "safari", "firefox"][(n % 3) as usize];
    let (value, marker) = match n % BREACH_EVERY {
        0 => (60_000, format!(",\"marker\":{n}")),
        _ => (500 + n * 31 % 4000, String::new()),
    };
    let text = format!(
        "{{\"timestamp\":\"{time}\",\"value\":{value},\"page\":\"{page}\",\"browser\":\"{browser}\",\"device\":\"mobile\"{marker}}}"
    );
    NewRecord { log_time_ms: now, key: Some(page.into_bytes()), value: text.into_bytes() }
}

fn marker(value: &[u8]) -> Option<u64> {
    let event: Value = serde_json::from_slice(value).ok()?;
    event["marker"].as_u64()
}

/// Reads the alerts of a partition as they come.
fn alerts(cluster: &TestCluster, partition: u32, shared: &Shared) -> Result<()> {
    let mut log = cluster.topics();
    let mut next = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        let Read::Records(records) = log.read(ALERTS, partition, next, 1 << 20, Duration::from_millis(200))? else {
            bail!("alerts are gone")
        };
        let now = Instant::now();
        for record in records {
            next = record.offset + 1;
            let alert: Value = serde_json::from_slice(&record.value)?;
            if alert["transition"] != "firing" {
                continue;
            }
            let marker = &alert["labels"]["marker"];
            let marker = marker.as_u64().or_else(|| marker.as_str()?.parse().ok());
            let mut sent = shared.sent.lock().map_err(|_| anyhow::anyhow!("a thread died"))?;
            if let Some(at) = marker.and_then(|n| sent.remove(&n)) {
                let mut taken = shared.taken_us.lock().map_err(|_| anyhow::anyhow!("a thread died"))?;
                taken.push((now - at).as_micros() as u64);
            }
        }
    }
    Ok(())
}

/// Input records behind the worker's newest advance.
fn lag(cluster: &TestCluster, partitions: u32) -> Result<i64> {
    let mut log = cluster.topics();
    let mut lag = 0;
    for partition in 0..partitions {
        let control = log.extent("cluster-bench-control", partition)?;
        let end = log.extent(INPUT, partition)?.end;
        let mut through = 0;
        let from = (control.end - 5).max(control.start);
        if let Read::Records(entries) =
            log.read("cluster-bench-control", partition, from, 1 << 20, Duration::from_secs(5))?
        {
            for entry in entries {
                let entry: Value = serde_json::from_slice(&entry.value)?;
                through = through.max(find_through(&entry).unwrap_or(0));
            }
        }
        lag += (end - through).max(0);
    }
    Ok(lag)
}

/// The field `through`, at whatever level of the entry.
fn find_through(entry: &Value) -> Option<i64> {
    let object = entry.as_object()?;
    object.get("through").and_then(Value::as_i64).or_else(|| object.values().find_map(find_through))
}

/// The process `perfstream run`.
struct Worker(Child);

impl Worker {
    fn start(args: &Args, cluster: &TestCluster) -> Result<Worker> {
        let mut command = Command::new(&args.perfstream);
        command.args(["run", PIPELINE, "--cluster", cluster.address()]);
        Ok(Worker(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// Every partition has an advance.
    fn wait_until_it_runs(&self, cluster: &TestCluster) -> Result<()> {
        let started = Instant::now();
        let mut log = cluster.topics();
        loop {
            let partitions = log.partitions("cluster-bench-control")?.unwrap_or(0);
            let mut all = partitions > 0;
            for partition in 0..partitions {
                all &= log.extent("cluster-bench-control", partition)?.end > 1;
            }
            if all {
                println!("the worker runs {:.1} s after its process was started", started.elapsed().as_secs_f64());
                return Ok(());
            }
            ensure!(started.elapsed() < Duration::from_secs(60), "the worker does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn memory_mib(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }

    fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM)?;
        ensure!(self.0.wait()?.success(), "the worker ended in an error");
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // After `stop` it is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

//! `cargo xtask bench collect`: how many events a second the collector acknowledges with the log
//! written, how long an acknowledgement takes, and what attackers on other addresses change of that.
//!
//! One process is the collector (`perfstream collect --data`), this one is all clients, on loopback.
//! A beacon has ten events, as the script sends them. Every acknowledged event must be in the log.
//! - `fixed`: beacons at a fixed rate on many connections, each from an address of its own; times
//!   count from when a beacon was due, so a server that falls behind shows it.
//! - `most`: every connection sends the next beacon when the last one is acknowledged.
//! - `no-op`: `most` against the same HTTP library with a handler that reads the body and answers 204.
//! - `attacked`: `fixed` beside slow clients, bodies of 10 MB and gzip bombs (`attack`).

mod attack;
mod client;
mod noop;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use client::{Outcome, Pace};
use perfstream_log::embedded::Log;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Events in a beacon.
pub const EVENTS: u64 = 10;

#[derive(Parser)]
struct Args {
    /// Events per second of `fixed` and `attacked`
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// How long each part takes
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Connections, each from an address of its own
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Slow clients
    #[arg(long, default_value_t = 1000)]
    slow: u32,
    /// The binary `perfstream`
    #[arg(long)]
    perfstream: PathBuf,
    /// Where the logs go, on a disk
    #[arg(long)]
    dir: PathBuf,
    /// Internal: be the server of `no-op`
    #[arg(long, hide = true)]
    noop: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if args.noop {
        return runtime.block_on(noop::serve());
    }
    let fixed = Pace::PerSecond(args.rate / EVENTS);
    let length = Duration::from_secs(args.seconds);
    let most = part(&args, "most", &["--rate-per-address", "0"], |address| {
        runtime.block_on(client::run(address, args.connections, Pace::Most, length))
    })?;
    let server = noop::Noop::start()?;
    let noop = runtime.block_on(client::run(server.address, args.connections, Pace::Most, length))?;
    drop(server);
    noop.show("no-op");
    println!(
        "  the collector acknowledges {:.2} of what the no-op handler does",
        most.per_second() / noop.per_second()
    );
    let alone =
        part(&args, "fixed", &[], |address| runtime.block_on(client::run(address, args.connections, fixed, length)))?;
    let attacked = part(&args, "attacked", &[], |address| {
        runtime.block_on(async {
            let attack = attack::start(address, args.slow);
            // Until the attackers have all places that they can get.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let outcome = client::run(address, args.connections, fixed, length).await;
            attack.stop_and_show().await;
            outcome
        })
    })?;
    println!("  attackers change the p99 by a factor of {:.2}", attacked.ms(0.99) / alone.ms(0.99));
    let held = most.per_second() >= args.rate as f64 && alone.ms(0.99) < 50.0;
    println!("at least {} events/s, p99 below 50 ms at that rate: {}", args.rate, if held { "yes" } else { "no" });
    Ok(())
}

/// Runs one part against a collector of its own, and holds the log against what was acknowledged.
fn part(args: &Args, name: &str, more: &[&str], run: impl FnOnce(SocketAddr) -> Result<Outcome>) -> Result<Outcome> {
    let dir = tempfile::Builder::new().prefix(name).tempdir_in(&args.dir)?;
    let collector = Collector::start(&args.perfstream, dir.path(), more)?;
    let outcome = run(collector.address)?;
    collector.stop()?;
    outcome.show(name);
    let stored = stored(dir.path())?;
    ensure!(outcome.failed == 0, "{} beacons were not acknowledged; the first: {}", outcome.failed, outcome.why);
    let acknowledged = outcome.acknowledged * EVENTS;
    ensure!(stored == acknowledged, "{acknowledged} events were acknowledged, the log has {stored}");
    Ok(outcome)
}

fn stored(dir: &Path) -> Result<u64> {
    let log = Log::open(dir)?;
    let mut found = 0;
    // What attackers send never is an event, so it leaves nothing.
    for topic in log.topics()? {
        for partition in log.partitions(&topic)? {
            found += log.end(&topic, partition)? as u64;
        }
    }
    Ok(found)
}

struct Collector {
    child: Child,
    address: SocketAddr,
}

impl Collector {
    fn start(perfstream: &Path, data: &Path, more: &[&str]) -> Result<Collector> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(perfstream);
        command.args(["collect", "--partitions", "4", "--listen", &address.to_string(), "--data"]).arg(data).args(more);
        let mut child = command.stderr(Stdio::piped()).spawn().context("perfstream collect")?;
        let lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        let (said, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end, or the collector would wait for its own log.
            for line in lines.map_while(Result::ok) {
                if line.contains("collecting at") {
                    let _ = said.send(());
                } else {
                    eprintln!("{line}");
                }
            }
        });
        ready.recv().context("the collector did not start")?;
        Ok(Collector { child, address })
    }

    /// SIGTERM, and all that was taken is in the log.
    fn stop(mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        ensure!(self.child.wait()?.success(), "the collector did not end well");
        Ok(())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Has no effect on one that has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

//! `cargo xtask bench`: figures, printed; nothing here is a test.

mod cluster;
mod collect;
mod lcp;
mod memory;
mod peer;
mod recovery;

use crate::command::cargo;
use anyhow::Result;
use clap::Subcommand;
use std::process::ExitCode;

/// What to measure.
#[derive(Subcommand)]
pub enum Bench {
    /// Speed of the windowed LCP job beside the same job by hand and in Flink
    #[command(after_help = "\
Examples:
  cargo xtask bench lcp
  cargo xtask bench lcp --events 200000 --rounds 3

Flink runs where it is installed (tests/bench/flink/install.sh). Windows are held against an exact
reference where python3 has numpy. Times are medians of rounds in which the engines take turns;
start-up is taken out by a run over one event.")]
    Lcp(lcp::LcpArgs),
    /// Latency of alerts, sustained throughput and a soak, on a Fluvio cluster of its own
    #[command(after_help = "\
Examples:
  cargo xtask bench cluster                            one minute at 5,000 events/s
  cargo xtask bench cluster --climb                    up to the rate that it just holds
  cargo xtask bench cluster --rate 20000 --seconds 1800

Needs `fluvio-run` at FLUVIO_RUN or on PATH. Producer, cluster and worker share the machine.")]
    Cluster(cluster::ClusterArgs),
    /// The collector: acknowledged events a second beside a handler that does nothing, and latency at a fixed
    /// rate, alone and beside attackers
    #[command(after_help = "\
Examples:
  cargo xtask bench collect
  cargo xtask bench collect --rate 5000 --seconds 60

Clients, attackers and collector share the machine. It fails when an acknowledged event is not in the log.")]
    Collect(collect::CollectArgs),
    /// Time from a killed worker's successor being started to its first output, with a day in its state
    #[command(after_help = "\
Examples:
  cargo xtask bench recovery
  cargo xtask bench recovery --partitions 1 --groups 50000

Needs `fluvio-run` at FLUVIO_RUN or on PATH. Cluster and worker share the machine.")]
    Recovery(recovery::RecoveryArgs),
    /// Cost per observation and bytes per series of the detection method `novelty`
    Novelty,
    /// Memory of the WASM stages: 20 million records, 100,000 groups, 2 million keys
    #[command(after_help = "Example:\n  cargo xtask bench memory --only groups")]
    Memory(memory::MemoryArgs),
}

impl Bench {
    /// Runs it. A failure is a wrong result or a broken bound, never a slow machine.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Bench::Lcp(args) => lcp::run(&args),
            Bench::Cluster(args) => cluster::run(&args),
            Bench::Collect(args) => collect::run(&args),
            Bench::Recovery(args) => recovery::run(&args),
            Bench::Novelty => novelty(),
            Bench::Memory(args) => memory::run(&args),
        }
    }
}

/// The example prints the table.
fn novelty() -> Result<ExitCode> {
    let mut bench = cargo();
    bench.args([
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "perfstream-core",
        "--example",
        "novelty_bench",
    ]);
    crate::command::run(&mut bench)?;
    Ok(ExitCode::SUCCESS)
}

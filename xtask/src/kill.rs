//! `cargo xtask kill`: the kill harness, `tests/src/bin/kill.rs`, with the modules built.

use crate::build;
use crate::command::{self, on_path};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Why tests on a cluster are skipped.
pub const NO_SERVER: &str = "no Fluvio server: `fluvio-run` is neither at FLUVIO_RUN nor on PATH";

/// What is killed, and how often.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask kill --rounds 500                      the embedded run
  cargo xtask kill --rounds 100 --cluster            workers on a cluster of its own (needs fluvio-run)
  cargo xtask kill --rounds 50 --cluster --spu       the cluster's SPU
  cargo xtask kill --rounds 20 --cluster --pause     workers are paused beside their successors
  cargo xtask kill --rounds 50 --cluster --network   the network between worker and SPU breaks
  cargo xtask kill --rounds 50 --cluster --placement spu-prefilter
  cargo xtask kill --rounds 50 --collector           the collector while clients send (--cluster: onto a cluster)
  cargo xtask kill --rounds 50 --sink                the sink while alerts come (--cluster: from a cluster)
  cargo xtask kill --cluster --without id_scan       proves the harness: it must see what is missing")]
pub struct Args {
    /// Kills
    #[arg(long, default_value_t = 25)]
    pub rounds: u32,
    /// On a Fluvio cluster instead of the embedded log
    #[arg(long)]
    pub cluster: bool,
    /// Kill the SPU instead of the worker
    #[arg(long, requires = "cluster")]
    pub spu: bool,
    /// Pause workers beside their successors instead of killing them
    #[arg(long, requires = "cluster")]
    pub pause: bool,
    /// Break the network between the worker and the SPU
    #[arg(long, requires = "cluster")]
    pub network: bool,
    /// Kill the collector instead: what it acknowledged must be in the log (`--without commit` proves the harness)
    #[arg(long, conflicts_with_all = ["spu", "pause", "network"])]
    pub collector: bool,
    /// Kill the sink instead: receivers must hear of everything, and of nothing twice (`--without journal` proves
    /// the harness)
    #[arg(long, conflicts_with_all = ["spu", "pause", "network", "collector"])]
    pub sink: bool,
    /// Where the stateless front of the chain runs: `worker` or `spu-prefilter`
    #[arg(long, default_value = "worker")]
    pub placement: String,
    /// Seed of all that is random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Switch a protection off: `id_scan`, `suppression` or `epoch_check`; the run must fail
    #[arg(long)]
    pub without: Option<String>,
}

/// Builds and runs the harness.
pub fn run(args: &Args) -> Result<()> {
    if args.cluster && server().is_none() {
        bail!("{NO_SERVER}");
    }
    build::wasm()?;
    let connector = [(args.collector, "kill_collector"), (args.sink, "kill_sink")].into_iter().find(|(is, _)| *is);
    if let Some((_, binary)) = connector {
        return command::run(&mut connector_harness(args, binary)?);
    }
    command::run(&mut harness(args)?)
}

/// The command for the run.
pub fn harness(args: &Args) -> Result<Command> {
    let mut command = built("kill", args)?;
    command.env("PERFSTREAM_MODULES", build::modules_dir());
    command.arg("--placement").arg(&args.placement);
    for (on, flag) in
        [(args.cluster, "--cluster"), (args.spu, "--spu"), (args.pause, "--pause"), (args.network, "--network")]
    {
        command.args(on.then_some(flag));
    }
    Ok(command)
}

/// The command for the collector (`kill_collector`) or the sink (`kill_sink`).
pub fn connector_harness(args: &Args, binary: &str) -> Result<Command> {
    let mut command = built(binary, args)?;
    command.args(args.cluster.then_some("--cluster"));
    Ok(command)
}

/// A program of the tests, with what all of them understand.
fn built(program: &str, args: &Args) -> Result<Command> {
    let mut command = Command::new(build::of_tests(program)?);
    command.arg("--rounds").arg(args.rounds.to_string()).arg("--seed").arg(args.seed.to_string());
    if let Some(without) = &args.without {
        command.arg("--without").arg(without);
    }
    Ok(command)
}

impl Args {
    /// Rounds of the embedded run, or on a cluster.
    pub fn rounds(rounds: u32, cluster: bool) -> Args {
        Args {
            rounds,
            cluster,
            spu: false,
            pause: false,
            network: false,
            collector: false,
            sink: false,
            placement: "worker".into(),
            seed: 1,
            without: None,
        }
    }
}

/// The Fluvio server's binary, `fluvio-run`: at FLUVIO_RUN, or on PATH.
pub fn server() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("FLUVIO_RUN") {
        return Some(PathBuf::from(path));
    }
    on_path("fluvio-run")
}

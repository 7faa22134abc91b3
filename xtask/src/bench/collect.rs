//! The collector under load and under attack, on loopback: `tests/src/bin/collect_load`.

use crate::build;
use crate::command::{cargo, root, run as run_command, stream, target};
use anyhow::Result;
use clap::Args;
use std::process::{Command, ExitCode};

/// Options of `cargo xtask bench collect`.
#[derive(Args)]
pub struct CollectArgs {
    /// Events per second of the parts with a fixed rate
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// How long each of the four parts takes, seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Slow clients
    #[arg(long, default_value_t = 1000)]
    slow: u32,
}

/// Builds `perfstream` and the program of the clients, and runs it.
pub fn run(args: &CollectArgs) -> Result<ExitCode> {
    let perfstream = build::all()?;
    let dir = target().join("bench");
    std::fs::create_dir_all(&dir)?;
    // The build of the tests may put failpoints into the binary.
    let copy = dir.join("perfstream");
    std::fs::copy(perfstream, &copy)?;
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "perfstream-tests", "--bin", "collect_load"]);
    run_command(build.env("PERFSTREAM_MODULES", build::modules_dir()))?;
    let mut load = Command::new(target().join("release/collect_load"));
    load.current_dir(root()).arg("--perfstream").arg(copy).arg("--dir").arg(dir);
    for (flag, value) in [("--rate", args.rate), ("--seconds", args.seconds), ("--slow", args.slow.into())] {
        load.arg(flag).arg(value.to_string());
    }
    let ran = stream(&mut load, &mut |_| {})?;
    Ok(if ran { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

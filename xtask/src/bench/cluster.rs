//! A worker on a real cluster under load: `tests/src/bin/load.rs`.

use crate::build;
use crate::command::{cargo, root, run as run_command, stream, target};
use crate::kill::{NO_SERVER, server};
use anyhow::{Result, bail};
use clap::Args;
use std::process::{Command, ExitCode};

/// Options of `cargo xtask bench cluster`.
#[derive(Args)]
pub struct ClusterArgs {
    /// Events per second
    #[arg(long, default_value_t = 5000)]
    rate: u64,
    /// How long, seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Partitions
    #[arg(long, default_value_t = 2)]
    partitions: u32,
    /// Raise the rate by half every ten seconds until the lag grows
    #[arg(long)]
    climb: bool,
}

/// Builds `perfstream` and the program `name` of the tests that drives it on a cluster; its command.
pub fn driver(name: &str) -> Result<Command> {
    let Some(server) = server() else { bail!("{NO_SERVER}") };
    let perfstream = build::all()?;
    // The build of the tests may put failpoints into the binary.
    let copy = target().join("bench/perfstream");
    std::fs::create_dir_all(target().join("bench"))?;
    std::fs::copy(perfstream, &copy)?;
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "perfstream-tests", "--bin", name]);
    run_command(build.env("PERFSTREAM_MODULES", build::modules_dir()))?;
    let mut driver = Command::new(target().join("release").join(name));
    driver.env("FLUVIO_RUN", server).current_dir(root()).arg("--perfstream").arg(copy);
    Ok(driver)
}

/// Runs the load.
pub fn run(args: &ClusterArgs) -> Result<ExitCode> {
    let mut load = driver("load")?;
    for (flag, value) in [("--rate", args.rate), ("--seconds", args.seconds), ("--partitions", args.partitions.into())]
    {
        load.arg(flag).arg(value.to_string());
    }
    let held = stream(load.args(args.climb.then_some("--climb")), &mut |_| {})?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `cargo xtask scenarios`: what `detect` finds in generated streams; `tests/src/bin/scenarios.rs` does
//! the work.

use crate::command::{cargo, root, stream, target};
use anyhow::Result;
use std::process::{Command, ExitCode};

/// Options, passed on.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask scenarios                          20 seeds of each fault, then 30 days without one
  cargo xtask scenarios --only step --seeds 5
  cargo xtask scenarios --detector ensemble --days 0")]
pub struct Args {
    /// Seeds of each scenario
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Id of a detector in pipelines/web-vitals.yaml, or `best`, `ensemble`
    #[arg(long, default_value = "page-speed")]
    detector: String,
    /// Days without a fault; 0 leaves them out
    #[arg(long, default_value_t = 30)]
    days: i64,
    /// Only scenarios whose name begins so
    #[arg(long)]
    only: Option<String>,
}

/// Builds and runs them.
pub fn run(args: &Args) -> Result<ExitCode> {
    crate::command::run(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "perfstream-tests",
        "--bin",
        "scenarios",
    ]))?;
    let mut command = Command::new(target().join("release/scenarios"));
    command.args(["--seeds", &args.seeds.to_string(), "--detector", &args.detector]);
    command.args(["--days", &args.days.to_string()]);
    command.args(args.only.iter().flat_map(|only| ["--only", only]));
    let held = stream(command.current_dir(root()), &mut |_| {})?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

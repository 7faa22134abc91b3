//! A worker with a day in its state is killed: `tests/src/bin/recovery.rs`.

use super::cluster::driver;
use crate::command::stream;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Options of `cargo xtask bench recovery`.
#[derive(Args)]
pub struct RecoveryArgs {
    /// Partitions
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// Events of the day, all partitions together
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Groups, all partitions together
    #[arg(long, default_value_t = 20_000)]
    groups: u64,
}

/// Builds both sides and runs them.
pub fn run(args: &RecoveryArgs) -> Result<ExitCode> {
    let mut recovery = driver("recovery")?;
    for (flag, value) in
        [("--partitions", args.partitions.into()), ("--events", args.events), ("--groups", args.groups)]
    {
        recovery.arg(flag).arg(value.to_string());
    }
    let held = stream(&mut recovery, &mut |_| {})?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `cargo xtask kill --collector`: `tests/src/bin/kill_collector.rs`.

use super::Args;
use crate::build;
use crate::command::{self, cargo, target};
use anyhow::Result;
use std::process::Command;

/// The command, its binary built as `cargo test --workspace` builds it.
pub fn harness(args: &Args) -> Result<Command> {
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--locked", "--package", "perfstream-tests", "--bin", "kill_collector"]);
    command::run(cargo.env("PERFSTREAM_MODULES", build::modules_dir()))?;
    let mut command = Command::new(target().join("release/kill_collector"));
    command.arg("--rounds").arg(args.rounds.to_string()).arg("--seed").arg(args.seed.to_string());
    command.args(args.cluster.then_some("--cluster"));
    if let Some(without) = &args.without {
        command.arg("--without").arg(without);
    }
    Ok(command)
}

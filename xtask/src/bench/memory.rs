//! Memory of the stages: `tests/src/bin/memory.rs` does the work, inside the process that hosts them.

use crate::build;
use crate::command::{cargo, root, stream, target};
use anyhow::Result;
use clap::Args;
use std::process::{Command, ExitCode};

/// Options of `cargo xtask bench memory`.
#[derive(Args)]
pub struct MemoryArgs {
    /// Only this part
    #[arg(long, value_parser = ["leak", "groups", "keys"])]
    only: Option<String>,
}

/// Builds the bench with the modules in it and runs it.
pub fn run(args: &MemoryArgs) -> Result<ExitCode> {
    let modules = build::wasm()?;
    let mut build = cargo();
    build.args(["build", "--release", "--locked", "--package", "perfstream-tests", "--bin", "memory"]);
    crate::command::run(build.env("PERFSTREAM_MODULES", modules))?;
    let mut bench = Command::new(target().join("release/memory"));
    let held = stream(bench.args(args.only.as_deref()).current_dir(root()), &mut |_| {})?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

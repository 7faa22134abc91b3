//! `cargo xtask`: everything that is done with this repository.

mod accuracy;
mod bench;
mod browser;
mod build;
mod command;
mod debian;
mod demo;
mod fuzz;
mod gen_files;
mod kill;
mod kubernetes;
mod lint;
mod peers;
mod scenarios;
mod tally;
mod test;
mod toolchain;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Builds, tests, shows and measures perfstream.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    after_help = "Examples:\n  cargo xtask demo\n  cargo xtask test\n  cargo xtask bench lcp"
)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the SmartModules and `target/release/perfstream` with the modules in it
    Build {
        /// Only the modules, into `target/modules/`, and the one that tests compare with
        #[arg(long)]
        modules_only: bool,
    },
    /// Builds, then runs every test, check and lint; the last line says how many passed and failed
    Test,
    /// Formatting, clippy, licences and advisories of dependencies
    Lint,
    /// Builds, then runs pipelines/web-vitals.yaml over recorded browser events and shows the results
    Demo,
    /// Measures speed and memory
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Precision, recall, F1 and delay of the detection presets beside peers, and the NAB score
    Accuracy(accuracy::Args),
    /// Fuzzes decoders, expressions, pipeline files, snapshots, batches, chains and requests to the collector
    Fuzz(fuzz::Args),
    /// Kills workers while they run a pipeline; outputs and counters must be those of a clean run
    Kill(kill::Args),
    /// What `detect` finds in generated streams with faults, what it leaves alone, and what it costs
    Scenarios(scenarios::Args),
    /// Writes the generated files anew: SmartModule.toml, parameter tables, pipelines/schema.json
    Gen,
}

fn main() -> Result<ExitCode> {
    let done = match Args::parse().task {
        Task::Build { modules_only: true } => build::wasm().and_then(|_| build::naive()),
        Task::Build { modules_only: false } => build::all().map(drop),
        Task::Test => return Ok(test::run()),
        Task::Lint => return Ok(lint::run()),
        Task::Demo => demo::run(),
        Task::Bench(bench) => return bench.run(),
        Task::Accuracy(args) => accuracy::accuracy(&args),
        Task::Fuzz(args) => fuzz::fuzz(&args),
        Task::Kill(args) => kill::run(&args),
        Task::Scenarios(args) => return scenarios::run(&args),
        Task::Gen => gen_files::write(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

//! `cargo xtask fuzz`: libFuzzer over the targets of `tests/src/fuzz_targets.rs`.
//!
//! Works with the stable compiler: coverage is LLVM's own pass, asked for by codegen flags, and
//! libFuzzer is built from the sources that `libfuzzer-sys` carries (a C++ compiler is needed).
//! Inputs that reach something new are kept in `target/fuzz/corpus/TARGET`; the small corpus under
//! `tests/fuzz/corpus` is read, never written. What crashes is in `target/fuzz/artifacts/TARGET`.

use crate::command::{cargo, output, root, run, target};
use anyhow::{Context, Result, anyhow, bail};
use std::fs::{File, create_dir_all, read_dir, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name and longest input in bytes: what a target sees in one execution is bounded.
const TARGETS: [(&str, u32); 15] = [
    ("record_decode", 2048),
    ("expression", 512),
    ("pipeline_yaml", 4096),
    ("snapshot_decode", 2048),
    ("packed_batch", 1024),
    ("chain", 512),
    ("collect_vitals", 2048),
    ("collect_otlp", 2048),
    ("collect_remote_write", 1024),
    ("collect_faro", 2048),
    ("collect_reports", 2048),
    ("collect_events", 1024),
    ("collect_gzip", 512),
    ("sink_alert", 2048),
    ("sink_words", 512),
];

/// Counters per edge, a table of their places, and the operands of comparisons.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

const TIMEOUT_S: u32 = 10;
const RSS_LIMIT_MB: u32 = 2048;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub struct Args {
    /// One target; all of them if not given
    target: Option<String>,
    /// Executions of each target
    #[arg(long, default_value_t = 1_000_000)]
    executions: u64,
    /// At most so many seconds for each target
    #[arg(long)]
    seconds: Option<u64>,
}

/// What one target came to.
struct Outcome {
    name: &'static str,
    executions: String,
    per_second: String,
    crashes: usize,
    corpus: usize,
}

/// Builds the fuzzers, runs them one after the other, prints the table. A crash is an error.
pub fn fuzz(args: &Args) -> Result<()> {
    let wanted: Vec<_> =
        TARGETS.into_iter().filter(|(name, _)| args.target.as_deref().is_none_or(|t| t == *name)).collect();
    if wanted.is_empty() {
        bail!("no such target; there are {}", TARGETS.map(|(name, _)| name).join(", "));
    }
    let binaries = build(&wanted)?;
    let mut outcomes = Vec::new();
    for (name, max_len) in wanted {
        outcomes.push(one(name, max_len, &binaries, args)?);
    }
    println!("| target | executions | execs/s | crashes | corpus size |\n|---|---:|---:|---:|---:|");
    for o in &outcomes {
        println!("| {} | {} | {} | {} | {} |", o.name, o.executions, o.per_second, o.crashes, o.corpus);
    }
    match outcomes.iter().map(|o| o.crashes).sum::<usize>() {
        0 => Ok(()),
        n => bail!("{n} crashing inputs under {}", home().join("artifacts").display()),
    }
}

fn home() -> PathBuf {
    target().join("fuzz")
}

/// Naming the host as `--target` keeps the flags away from build scripts and macros.
fn build(wanted: &[(&str, u32)]) -> Result<PathBuf> {
    let host = output(Command::new("rustc").args(["--print", "host-tuple"]))
        .ok_or_else(|| anyhow!("`rustc --print host-tuple` gave nothing"))?;
    let mut command = cargo();
    command.args(["build", "--locked", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--target", &host]);
    for (name, _) in wanted {
        command.args(["--bin", name]);
    }
    command.env("RUSTFLAGS", RUSTFLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").env("CARGO_TARGET_DIR", home());
    run(&mut command)?;
    Ok(home().join(host).join("release"))
}

fn one(name: &'static str, max_len: u32, binaries: &Path, args: &Args) -> Result<Outcome> {
    let corpus = home().join("corpus").join(name);
    let artifacts = home().join("artifacts").join(name);
    create_dir_all(&corpus)?;
    create_dir_all(&artifacts)?;
    let before = count(&artifacts)?;
    let log = home().join(format!("{name}.log"));
    let mut command = Command::new(binaries.join(name));
    command.current_dir(root()).arg(&corpus);
    let seeds = root().join("tests/fuzz/corpus").join(name);
    if seeds.exists() {
        command.arg(seeds);
    }
    let dictionary = root().join(format!("tests/fuzz/dict/{name}.dict"));
    if dictionary.exists() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([format!("-runs={}", args.executions), format!("-max_len={max_len}")])
        .args([format!("-timeout={TIMEOUT_S}"), format!("-rss_limit_mb={RSS_LIMIT_MB}")])
        .arg("-print_final_stats=1");
    if let Some(seconds) = args.seconds {
        command.arg(format!("-max_total_time={seconds}"));
    }
    eprintln!("{name}: up to {} executions, log in {}", args.executions, log.display());
    let status = command.stderr(File::create(&log)?).status().with_context(|| format!("{name} did not start"))?;
    let text = read_to_string(&log).unwrap_or_default();
    let stat = |key: &str| {
        let line = text.lines().rev().find_map(|l| l.strip_prefix("stat::")?.strip_prefix(key)).unwrap_or(": ?");
        line.trim_start_matches(':').trim().to_string()
    };
    let crashes = count(&artifacts)?.saturating_sub(before);
    if !status.success() {
        let why = text.lines().find(|l| l.contains("panicked at") || l.contains("ERROR: libFuzzer"));
        eprintln!("{name}: {status}: {}", why.unwrap_or("see the log"));
    }
    Ok(Outcome {
        name,
        executions: stat("number_of_executed_units"),
        per_second: stat("average_exec_per_sec"),
        crashes: crashes.max(!status.success() as usize),
        corpus: count(&corpus)?,
    })
}

fn count(dir: &Path) -> Result<usize> {
    Ok(read_dir(dir)?.count())
}

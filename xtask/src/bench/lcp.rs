//! Speed of the LCP job: `tests/bench/lcp.yaml` in perfstream, the same by hand, the same in Flink.

use super::peer::{Peer, core, median};
use crate::build;
use crate::command::{cargo, output, root, run as run_command, target};
use anyhow::{Context, Result};
use clap::Args;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Options of `cargo xtask bench lcp`.
#[derive(Args)]
pub struct LcpArgs {
    /// Events of the input, one hour of event time however many
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    events: u64,
    /// Seed of the input
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// This file instead of a generated one
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Rounds in which the engines take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Name of perfstream's line; ratios are against [`NATIVE`]'s.
const PERFSTREAM: &str = "perfstream (filter, aggregate)";
const NATIVE: &str = "native (serde_json, exact)";
const FLINK: &str = "Flink SQL, parallelism 1";
const CHAIN: &str = "perfstream, shipped lcp chain";

/// Builds, measures, prints; a failure if windows are wrong.
pub fn run(args: &LcpArgs) -> Result<ExitCode> {
    let perfstream = build::all()?;
    let native = build_native()?;
    let dir = target().join("bench");
    std::fs::create_dir_all(&dir)?;
    let input = match &args.data {
        Some(file) => file.canonicalize().with_context(|| file.display().to_string())?,
        None => generate(&dir, args.events, args.seed)?,
    };
    let (events, one) = (lines(&input)?, one_event(&dir, &input)?);
    let mut peers = peers(perfstream, native);
    for round in 1..=args.rounds {
        for peer in &mut peers {
            eprintln!("round {round} of {}: {}", args.rounds, peer.name);
            peer.round(&one, &input, &out(&dir, peer.name))?;
        }
    }
    let machine = match core() {
        Some(core) => format!("on core {core}"),
        None => "not pinned: no taskset".into(),
    };
    println!("\nLCP job, {events} events, JSON in and out, {machine}; medians of {} rounds\n", args.rounds);
    print!("{}", table(&peers, events));
    print!("{}", bars(&peers));
    let right = check(&dir, &input, &peers)?;
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build_native() -> Result<PathBuf> {
    let dir = target().join("bench/native");
    let manifest = root().join("tests/bench/native/Cargo.toml");
    let mut command = cargo();
    command.args(["build", "--quiet", "--release", "--locked", "--manifest-path"]).arg(manifest);
    run_command(command.arg("--target-dir").arg(&dir))?;
    Ok(dir.join("release/native-lcp"))
}

/// The input by `gen_lcp.py`, made once.
fn generate(dir: &Path, events: u64, seed: u64) -> Result<PathBuf> {
    let file = dir.join(format!("lcp-{events}-{seed}.jsonl"));
    if !file.exists() {
        // A broken-off run must not leave a file that looks whole.
        let part = file.with_extension("part");
        let mut command = Command::new("python3");
        command.arg(script("gen_lcp.py")).args(["--events", &events.to_string(), "--seed", &seed.to_string()]);
        run_command(command.arg("--out").arg(&part))
            .context("the input is made by python3; `--data FILE` does without")?;
        std::fs::rename(&part, &file)?;
    }
    Ok(file)
}

fn script(name: &str) -> PathBuf {
    root().join("tests/bench").join(name)
}

fn lines(file: &Path) -> Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(file)?);
    let mut count = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(count);
        }
        count += chunk.iter().filter(|b| **b == b'\n').count() as u64;
        let length = chunk.len();
        reader.consume(length);
    }
}

fn one_event(dir: &Path, input: &Path) -> Result<PathBuf> {
    let mut line = Vec::new();
    BufReader::new(std::fs::File::open(input)?).read_until(b'\n', &mut line)?;
    let file = dir.join("one.jsonl");
    std::fs::write(&file, line)?;
    Ok(file)
}

/// Where an engine writes.
fn out(dir: &Path, name: &str) -> PathBuf {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    dir.join(format!("out-{plain}"))
}

fn peers(perfstream: PathBuf, native: PathBuf) -> Vec<Peer> {
    let chain = root().join("pipelines/web-vitals.yaml");
    let runner = |pipeline: PathBuf, only: &'static str| {
        let binary = perfstream.clone();
        move |input: &Path, out: &Path| {
            let mut command = Command::new(&binary);
            command.args(["--log", "json", "run"]).arg(&pipeline).args(["--only", only, "--input"]);
            command.arg(input).arg("--out").arg(out);
            command
        }
    };
    let mut peers = vec![
        Peer::new(NATIVE, true, move |input, out| {
            let mut command = Command::new(&native);
            command.args([input, out]);
            command
        }),
        Peer::new(PERFSTREAM, true, runner(root().join("tests/bench/lcp.yaml"), "lcp-bench")),
    ];
    match flink() {
        // Not pinned: its compiler and collector threads would fight for the core.
        Some(command) => peers.push(Peer::new(FLINK, false, command)),
        None => println!("skipped Flink: not installed (tests/bench/flink/install.sh)"),
    }
    if chain.exists() {
        peers.push(Peer::new(CHAIN, true, runner(chain, "lcp")));
    }
    peers
}

/// The Flink job, where `install.sh` has put it.
fn flink() -> Option<impl Fn(&Path, &Path) -> Command + 'static> {
    let peers = match std::env::var_os("PEERS_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache/perfstream-peers"),
    };
    let job = peers.join("flink-job");
    let python = peers.join("venv-flink/lib").read_dir().ok()?.flatten().next()?.path();
    let lib = python.join("site-packages/pyflink/lib");
    (job.join("LcpJob.class").exists() && lib.exists()).then_some(())?;
    let log = format!("-Dlog4j2.configurationFile={}", script("flink/log4j2.properties").display());
    let classes = format!("{}:{}/*", job.display(), lib.display());
    Some(move |input: &Path, out: &Path| {
        let mut command = Command::new("java");
        command.args(["util", "lang", "time", "nio"].map(|p| format!("--add-opens=java.base/java.{p}=ALL-UNNAMED")));
        command.args([&log, "-cp", &classes, "LcpJob"]).arg(input).arg(out).arg("1");
        command
    })
}

/// One line per engine.
fn table(peers: &[Peer], events: u64) -> String {
    let rate = |seconds: f64| grouped(events as f64 / seconds);
    let native = seconds_of(peers, NATIVE).unwrap_or(f64::NAN);
    let mut text = format!("{:<32}{:>12}{:>12}{:>10}{:>11}\n", "", "events/s", "of native", "run s", "start s");
    for peer in peers {
        let seconds = peer.seconds();
        let start = median(&peer.times.start);
        text.push_str(&format!(
            "{:<32}{:>12}{:>12.2}{:>10.2}{:>11.2}\n",
            peer.name,
            rate(seconds),
            native / seconds,
            seconds,
            start
        ));
        if !peer.times.own.is_empty() {
            let own = median(&peer.times.own);
            text.push_str(&format!(
                "{:<32}{:>12}{:>12.2}{:>10.2}\n",
                "  by its own clock",
                rate(own),
                native / own,
                own
            ));
        }
    }
    text
}

/// What was asked for, and what was reached.
fn bars(peers: &[Peer]) -> String {
    let Some(own) = seconds_of(peers, PERFSTREAM) else {
        return String::new();
    };
    let mut text = String::from("\n");
    for (peer, what, bar) in [
        (NATIVE, "at least 0.3 × native", 0.3),
        (NATIVE, "stretch: 0.5 × native", 0.5),
        (FLINK, "at least 2 × Flink", 2.0),
    ] {
        let Some(theirs) = seconds_of(peers, peer) else {
            continue;
        };
        let ratio = theirs / own;
        let word = if ratio >= bar { "reached" } else { "not reached" };
        text.push_str(&format!("{what:<32}{ratio:>12.2}   {word}\n"));
    }
    text
}

fn seconds_of(peers: &[Peer], name: &str) -> Option<f64> {
    peers.iter().find(|p| p.name == name).map(Peer::seconds)
}

/// `480,123`
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Holds the windows of the last round against the exact reference.
fn check(dir: &Path, input: &Path, peers: &[Peer]) -> Result<bool> {
    println!();
    if output(Command::new("python3").args(["-c", "import numpy"])).is_none() {
        println!("skipped the check of the windows: python3 has no numpy");
        return Ok(true);
    }
    let expected = dir.join(format!("expected-{}", input.file_name().unwrap_or_default().to_string_lossy()));
    if !newer(&expected, input) {
        let mut make = Command::new("python3");
        run_command(make.arg(script("ref_lcp.py")).args(["make", "--in"]).arg(input).arg("--out").arg(&expected))?;
    }
    let mut right = true;
    for peer in peers.iter().filter(|p| p.name != CHAIN) {
        let got = joined(&out(dir, peer.name))?;
        let mut check = Command::new("python3");
        check.arg(script("ref_lcp.py")).arg("check").arg("--expected").arg(&expected).arg("--got").arg(got);
        if peer.name == PERFSTREAM {
            // Above 512 values it answers from a histogram.
            check.args(["--rank", "between", "--rel", "1e-3"]);
        }
        print!("{:<32}", peer.name);
        std::io::stdout().flush()?;
        right &= check.status()?.success();
    }
    Ok(right)
}

fn newer(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    time(file).zip(time(than)).is_some_and(|(file, than)| file > than)
}

/// An engine's output as one file: it may be a folder of topics or parts.
fn joined(out: &Path) -> Result<PathBuf> {
    if out.is_file() {
        return Ok(out.to_path_buf());
    }
    let mut parts: Vec<PathBuf> = out.read_dir()?.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    parts.sort();
    let all = out.with_extension("jsonl");
    let mut to = std::fs::File::create(&all)?;
    for part in parts {
        std::io::copy(&mut std::fs::File::open(part)?, &mut to)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_in_groups() {
        let cases = [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1234567.0, "1,234,567"), (100000.0, "100,000")];
        for (number, text) in cases {
            assert_eq!(super::grouped(number), text);
        }
    }
}

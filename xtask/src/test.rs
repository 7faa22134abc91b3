//! `cargo xtask test`: builds, then every test, check and lint; one closing line.

use crate::browser;
use crate::build;
use crate::command::{cargo, pipelines, root};
use crate::kill;
use crate::kubernetes;
use crate::lint::lint;
use crate::peers;
use crate::tally::Tally;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Runs everything; the last line of its output is `N passed, N failed`.
pub fn run() -> ExitCode {
    let started = Instant::now();
    let mut tally = Tally::default();
    match build::naive().and_then(|()| build::tested()) {
        Ok(perfstream) => {
            tally.pass();
            cargo_tests(&mut tally);
            shipped_pipelines(&mut tally, &perfstream);
            browser::check(&mut tally, &perfstream);
            fuzzed_front(&mut tally);
            kills(&mut tally);
            kubernetes::check(&mut tally);
            peers::check(&mut tally);
        }
        Err(error) => tally.fail("build", &format!("{error:#}")),
    }
    lint(&mut tally);
    let seconds = started.elapsed().as_secs();
    println!("took {} min {} s", seconds / 60, seconds % 60);
    tally.close()
}

/// Unit, property, case and documentation tests of the whole workspace. That generated files are
/// fresh is one of them (`connectors/pipeline/tests/docs.rs`).
fn cargo_tests(tally: &mut Tally) {
    let mut command = cargo();
    command.args(["test", "--workspace", "--release", "--locked", "--no-fail-fast"]);
    match kill::server() {
        // The tests that are ignored by default are those that need a server; other programs have steps of their own.
        Some(_) => {
            command.args(["--", "--include-ignored"]).args(peers::ALL.iter().flat_map(|tests| ["--skip", tests]));
            // Tests on a cluster wait most of their time.
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            command.env("RUST_TEST_THREADS", (2 * cores).to_string());
        }
        None => println!("tests on a cluster are skipped, counted as ignored: {}", kill::NO_SERVER),
    }
    tally.counted("cargo test", command.env("PERFSTREAM_MODULES", build::modules_dir()));
}

/// The fuzz targets are a workspace of their own, which takes source files of this one by name: it is
/// held to them here, without the fuzzer.
fn fuzzed_front(tally: &mut Tally) {
    let mut command = cargo();
    command.args(["check", "--locked", "--manifest-path", "tests/fuzz/Cargo.toml", "--package", "perfstream"]);
    tally.step("the front of perfstream that is fuzzed", command.current_dir(root()));
}

/// 25 kills of the embedded run and of the sink, and of workers and the sink on a cluster where there is a server.
fn kills(tally: &mut Tally) {
    let mut count = |name: &str, harness: anyhow::Result<Command>| match harness {
        Ok(mut harness) => tally.counted(name, &mut harness),
        Err(error) => tally.fail(name, &format!("{error:#}")),
    };
    count("cargo xtask kill", kill::harness(&kill::Args::rounds(25, false)));
    count("cargo xtask kill --sink", kill::connector_harness(&kill::Args::rounds(25, false), "kill_sink"));
    match kill::server() {
        Some(_) => {
            count("cargo xtask kill --cluster", kill::harness(&kill::Args::rounds(25, true)));
            count(
                "cargo xtask kill --sink --cluster",
                kill::connector_harness(&kill::Args::rounds(8, true), "kill_sink"),
            );
            kills_without(tally);
        }
        None => tally.skip("kills of workers on a cluster", kill::NO_SERVER),
    }
}

/// The harness proves itself: it must see that a protection is switched off.
fn kills_without(tally: &mut Tally) {
    for (without, pause) in [("id_scan", false), ("suppression", false), ("epoch_check", true)] {
        let args = kill::Args { without: Some(without.into()), pause, ..kill::Args::rounds(8, true) };
        let name = format!("cargo xtask kill --cluster --without {without}");
        match kill::harness(&args) {
            Ok(mut harness) => tally.step(&name, &mut harness),
            Err(error) => tally.fail(&name, &format!("{error:#}")),
        }
    }
}

/// What users copy is checked by the commands that users run.
fn shipped_pipelines(tally: &mut Tally, perfstream: &Path) {
    let files = pipelines();
    if files.is_empty() {
        return tally.fail("pipelines/*.yaml", "there are none");
    }
    for file in &files {
        let name = format!("perfstream check {}", file.display());
        tally.step(&name, Command::new(perfstream).arg("check").arg(file).current_dir(root()));
    }
    tally.counted("perfstream test", Command::new(perfstream).arg("test").args(&files).current_dir(root()));
}

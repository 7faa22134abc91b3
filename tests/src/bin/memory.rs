//! Memory of the WASM stages of `tests/bench/lcp.yaml`: `cargo xtask bench memory`.
//!
//! - `leak`: 20 million records through one chain instance; flat after the first 4 million
//! - `groups`: 100,000 groups with 20 values each, spread over the window's 10 slices, in 512 MiB
//! - `keys`: 2 million keys, each seen once; the cap holds and memory is flat
//!
//! Prints MiB of linear memory per stage (it never shrinks, so each figure is a high-water mark).
//! Exit status 1 when a bound does not hold.

use anyhow::{Context, Result, bail};
use perfstream::chain::{Chain, ChainOptions};
use perfstream::check::check_files;
use perfstream::host::{LogRecord, NO_LOG_TIME};
use perfstream::plan::Plan;
use perfstream_core::Tick;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

const MIB: f64 = (1 << 20) as f64;
const BATCH: usize = 1000;
/// 2026-01-01T00:00:00Z
const START_MS: u64 = 1_767_225_600_000;
const BROWSERS: [&str; 5] = ["chrome", "safari", "firefox", "edge", "opera"];

fn main() -> Result<ExitCode> {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    let mut held = true;
    for (name, part) in [("leak", leak as fn() -> Result<bool>), ("groups", groups), ("keys", keys)] {
        if wanted(name) {
            held &= part()?;
        }
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One event by its number: time, page number, browser.
type Event = fn(u64) -> (u64, u64, &'static str);

/// 20 million records, 1,000 groups, ten hours of event time.
fn leak() -> Result<bool> {
    println!("leak: 20 million records through one chain instance");
    let event: Event = |n| {
        let random = mix(n);
        (n * 9 / 5, random % 200, BROWSERS[(random >> 32) as usize % 5])
    };
    let mut run = Run::new(1 << 30)?;
    let mut after_warm_up = 0;
    for million in [1, 2, 4, 8, 12, 16, 20] {
        run.feed(event, million * 1_000_000)?;
        let total = run.show()?;
        if million == 4 {
            after_warm_up = total;
        }
    }
    let grown = run.memory()?.saturating_sub(after_warm_up);
    println!("  grown by {:.2} MiB in the last 16 million records", grown as f64 / MIB);
    // One byte lost per record would be 15 MiB.
    verdict("flat after warm-up (less than 1 MiB)", grown < 1 << 20)
}

/// 100,000 groups, two values each in every slice of 30 s.
fn groups() -> Result<bool> {
    println!("groups: 100,000 groups with 20 values each over 10 slices, cap 512 MiB per stage");
    let event: Event = |n| (n * 3 / 20, n % 20_000, BROWSERS[(n / 20_000) as usize % 5]);
    let mut run = Run::new(512 << 20)?;
    for part in [500_000, 1_000_000, 1_500_000, 2_000_000] {
        run.feed(event, part)?;
        run.show()?;
    }
    let live = run.counter("groups")?;
    run.finish()?;
    run.show()?;
    let other = run.counter("other")?;
    println!("  {live} groups live, {other} events in __other__, {} windows", run.rows);
    verdict("all groups have their windows within 512 MiB", live == 100_000 && other == 0 && run.rows == 1_900_000)
}

/// 2 million keys in 20 minutes: far more live at once than the cap of 100,000 groups.
fn keys() -> Result<bool> {
    println!("keys: 2 million keys, each seen once");
    let event: Event = |n| (n * 3 / 5, n, BROWSERS[0]);
    let mut run = Run::new(1 << 30)?;
    let mut after_warm_up = 0;
    let mut most = 0;
    for part in 1..=8 {
        run.feed(event, part * 250_000)?;
        let total = run.show()?;
        most = most.max(run.counter("groups")?);
        if part == 4 {
            after_warm_up = total;
        }
    }
    let grown = run.memory()?.saturating_sub(after_warm_up);
    let other = run.counter("other")?;
    println!(
        "  at most {most} groups live, {other} events in __other__, grown by {:.2} MiB in the second million",
        grown as f64 / MIB
    );
    verdict("the cap holds and memory is flat (less than 1 MiB)", other > 0 && grown < 1 << 20)
}

fn verdict(what: &str, holds: bool) -> Result<bool> {
    println!("  {what}: {}\n", if holds { "holds" } else { "DOES NOT HOLD" });
    Ok(holds)
}

/// A chain being fed.
struct Run {
    chain: Chain,
    next: u64,
    batch: Vec<LogRecord>,
    rows: u64,
}

impl Run {
    fn new(memory_limit_bytes: usize) -> Result<Run> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/lcp.yaml");
        let report = check_files(&[file]);
        if report.is_error() {
            bail!("{}", report.render(false));
        }
        let pipelines = report.into_pipelines();
        let plan = Plan::new(pipelines.first().context("no pipeline")?)?;
        // As `perfstream run --stage-memory` does: half of the memory is for a stage's own state.
        let max_state_bytes = memory_limit_bytes as u64 / 2;
        let options = ChainOptions { memory_limit_bytes, max_state_bytes, ..ChainOptions::default() };
        let chain = Chain::new(&plan.spec, &options)?.with_fields(plan.router.fields().clone());
        let empty = LogRecord { offset: 0, log_time_ms: NO_LOG_TIME, key: None, value: Vec::new() };
        Ok(Run { chain, next: 0, batch: vec![empty; BATCH], rows: 0 })
    }

    /// Events up to number `end`, a multiple of the batch.
    fn feed(&mut self, event: Event, end: u64) -> Result<()> {
        while self.next < end {
            for record in &mut self.batch {
                let n = self.next;
                let (time_ms, page, browser) = event(n);
                let value = 200 + mix(!n) % 9_000;
                record.offset = n as i64;
                record.value.clear();
                write!(
                    record.value,
                    r#"{{"timestamp":{},"value":{value}.5,"page":"/p/{page}","browser":"{browser}","device":"mobile"}}"#,
                    START_MS + time_ms
                )?;
                self.next += 1;
            }
            self.chain.process(&self.batch, &mut |_| self.rows += 1)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let tick = Tick { time: 0, offset: self.next as i64 - 1, end_of_input: true };
        self.chain.tick(&tick, &mut |_| self.rows += 1)
    }

    /// Bytes of all stages.
    fn memory(&mut self) -> Result<u64> {
        Ok(self.chain.counters()?.iter().filter_map(|(_, c)| c.get("memory_bytes")).sum())
    }

    /// A counter, over all stages.
    fn counter(&mut self, name: &str) -> Result<u64> {
        Ok(self.chain.counters()?.iter().filter_map(|(_, c)| c.get(name)).sum())
    }

    /// Prints the memory of each stage; gives the sum.
    fn show(&mut self) -> Result<u64> {
        let mut line = format!("  {:>10} records", self.next);
        for (stage, counters) in self.chain.counters()? {
            let bytes = *counters.get("memory_bytes").context("no counter memory_bytes")?;
            line.push_str(&format!("   {stage} {:.2} MiB", bytes as f64 / MIB));
        }
        println!("{line}");
        self.memory()
    }
}

/// SplitMix64: a number that looks random, from a counter.
fn mix(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

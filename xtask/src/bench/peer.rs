//! One engine that does the LCP job, as a command, and how long it takes.

use crate::command::{output, show};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Makes the command for an input file and an output path.
pub type MakeCommand = Box<dyn Fn(&Path, &Path) -> Command>;

/// An engine.
pub struct Peer {
    /// Its line in the table
    pub name: &'static str,
    /// Pinned to one core
    pub pinned: bool,
    /// The command for an input file and an output path
    pub command: MakeCommand,
    /// Times so far
    pub times: Times,
}

/// Seconds, one per round.
#[derive(Default)]
pub struct Times {
    /// Over the whole input
    pub whole: Vec<f64>,
    /// Over one event: start-up
    pub start: Vec<f64>,
    /// From the first record to the last, by perfstream's own clock
    pub own: Vec<f64>,
}

impl Peer {
    /// An engine that has not run yet.
    pub fn new(name: &'static str, pinned: bool, command: impl Fn(&Path, &Path) -> Command + 'static) -> Peer {
        Peer { name, pinned, command: Box::new(command), times: Times::default() }
    }

    /// One round: a run over one event, then one over the input.
    pub fn round(&mut self, one: &Path, input: &Path, out: &Path) -> Result<()> {
        let (start, _) = self.time(one, out)?;
        let (whole, own) = self.time(input, out)?;
        self.times.start.push(start);
        self.times.whole.push(whole);
        self.times.own.extend(own);
        Ok(())
    }

    /// Seconds of one run, and those by its own clock if it tells them.
    fn time(&self, input: &Path, out: &Path) -> Result<(f64, Option<f64>)> {
        let mut command = pin((self.command)(input, out), self.pinned);
        let shown = show(&command);
        clear(out)?;
        let started = Instant::now();
        let ran = command.stdin(Stdio::null()).output().with_context(|| format!("`{shown}` could not be started"))?;
        let seconds = started.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&ran.stderr);
        if !ran.status.success() {
            bail!("`{shown}` failed: {}\n{said}", ran.status);
        }
        let told = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = told.filter_map(|line| line["elapsed_ms"].as_f64()).next_back().map(|ms| ms / 1000.0);
        Ok((seconds, own))
    }

    /// Seconds for the input without start-up, median.
    pub fn seconds(&self) -> f64 {
        (median(&self.times.whole) - median(&self.times.start)).max(1e-9)
    }
}

/// Nothing of the run before may be taken for this one's.
fn clear(out: &Path) -> Result<()> {
    match (out.is_dir(), out.exists()) {
        (true, _) => std::fs::remove_dir_all(out)?,
        (false, true) => std::fs::remove_file(out)?,
        (false, false) => {}
    }
    Ok(())
}

/// The middle one; the mean of the two in the middle for an even count; not a number for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len() / 2), sorted.len() % 2) {
        (Some(&middle), 1) => middle,
        (Some(&above), _) => (above + sorted[sorted.len() / 2 - 1]) / 2.0,
        (None, _) => f64::NAN,
    }
}

/// The last core this process may use, if `taskset` is there to hold a command to it.
pub fn core() -> Option<String> {
    let allowed = output(Command::new("taskset").args(["-c", "-p", &std::process::id().to_string()]))?;
    // `pid 1's current affinity list: 0,2-5`
    let last = allowed.rsplit([' ', ',', '-']).next()?;
    last.parse::<u32>().ok().map(|core| core.to_string())
}

fn pin(command: Command, pinned: bool) -> Command {
    let Some(core) = core().filter(|_| pinned) else {
        return command;
    };
    let mut outer = Command::new("taskset");
    outer.args(["-c", &core]).arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}

#[cfg(test)]
mod tests {
    #[test]
    fn medians() {
        assert_eq!(super::median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(super::median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(super::median(&[]).is_nan());
    }
}

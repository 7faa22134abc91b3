//! Counts what passed and failed, over cargo's tests and single steps.

use crate::command::stream;
use std::process::{Command, ExitCode};

/// Passed, failed and skipped so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Tests and steps that held
    pub passed: u64,
    /// Those that did not
    pub failed: u64,
    /// Ignored tests, and steps whose tool is not installed
    pub skipped: u64,
}

impl Tally {
    /// One step: the command succeeds or fails as a whole.
    pub fn step(&mut self, name: &str, command: &mut Command) {
        match stream(command, &mut |_| {}) {
            Ok(true) => self.pass(),
            Ok(false) => self.fail(name, "see above"),
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
    }

    /// A command that prints its own counts. If it fails and counts no failure, it is one itself.
    pub fn counted(&mut self, name: &str, command: &mut Command) {
        let before = self.failed;
        let result = stream(command, &mut |line| self.line(line));
        match result {
            Ok(true) => {}
            Ok(false) if self.failed > before => {}
            Ok(false) => self.fail(name, "see above"),
            Err(error) => self.fail(name, &format!("{error:#}")),
        }
    }

    /// One more passed.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// One more failed, and why.
    pub fn fail(&mut self, name: &str, why: &str) {
        self.failed += 1;
        println!("FAILED {name}: {why}");
    }

    /// One more that could not run here, and why.
    pub fn skip(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        println!("skipped {name}: {why}");
    }

    /// Takes in `test result: ok. 3 passed; 0 failed; 1 ignored; …` (cargo), `3 passed, 0 failed` (perfstream) or
    /// `3 passed, 0 failed, 1 skipped` (the browser tests); other lines count nothing.
    fn line(&mut self, line: &str) {
        let is_closing = || {
            let counts = [" failed", " skipped"].iter().any(|word| line.ends_with(word));
            counts && line.starts_with(|c: char| c.is_ascii_digit())
        };
        let counts = match line.strip_prefix("test result: ") {
            Some(rest) => rest.split_once(". ").map_or(rest, |(_, counts)| counts),
            None if is_closing() => line,
            None => return,
        };
        for part in counts.split([';', ',']) {
            let Some((number, word)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" | "skipped" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// The closing line, alone on its line.
    pub fn closing(&self) -> String {
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        format!("{} passed, {} failed{skipped}", self.passed, self.failed)
    }

    /// Prints the closing line; the exit status is a failure when anything failed or nothing ran.
    pub fn close(&self) -> ExitCode {
        println!("{}", self.closing());
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_of_cargo_perfstream_and_the_browser() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
            "5 passed, 1 failed",
            "2 passed, 0 failed, 3 skipped",
            "skipped a test: 4 passed, 4 failed, 4 skipped, says why",
            "ok     lcp: 9 passed, 9 failed, says the name of a test",
            "9 passed the gate",
            "7 were skipped",
        ] {
            tally.line(line);
        }
        assert_eq!(tally, Tally { passed: 11, failed: 3, skipped: 4 });
        assert_eq!(tally.closing(), "11 passed, 3 failed, 4 skipped");
        assert_eq!(Tally { skipped: 0, ..tally }.closing(), "11 passed, 3 failed");
    }

    #[test]
    fn a_command_that_fails_without_counting_is_one_failure() {
        let mut tally = Tally::default();
        tally.counted("a build", &mut Command::new("false"));
        tally.counted("missing", &mut Command::new("/nonexistent/program"));
        tally.counted("tests", Command::new("sh").args(["-c", "echo '0 passed, 2 failed'; exit 1"]));
        tally.step("fine", &mut Command::new("true"));
        assert_eq!(tally, Tally { passed: 1, failed: 4, skipped: 0 });
    }
}

//! Tests of the live page and the collector's script in headless Chromium (`tests/browser`).

use crate::build;
use crate::command::root;
use crate::debian;
use crate::tally::Tally;
use std::path::Path;
use std::process::Command;

/// Runs them where there are Chromium and Node.js, or a registry has them. Those on a cluster are skipped by
/// themselves, and counted, where there is no Fluvio server.
pub fn check(tally: &mut Tally, perfstream: &Path) {
    let chromium = match debian::program("chromium", &["chromium"]) {
        Ok(path) => path,
        Err(why) => return tally.skip("browser tests", &format!("no Chromium: {why}")),
    };
    for program in ["node", "npm"] {
        if let Err(why) = debian::program(program, &["nodejs", "npm"]) {
            return tally.skip("browser tests", &format!("no {program}: {why}"));
        }
    }
    let dir = root().join("tests/browser");
    let installed = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&dir).status();
    if !installed.is_ok_and(|status| status.success()) {
        return tally.skip("browser tests", "`npm ci` found no registry");
    }
    let cluster = match build::of_tests("test_cluster") {
        Ok(path) => path,
        Err(error) => return tally.fail("browser tests", &format!("{error:#}")),
    };
    let mut tests = Command::new("node");
    tests.arg("run.mjs").current_dir(&dir).env("CHROMIUM", chromium).env("PERFSTREAM", perfstream);
    tally.counted("browser tests", tests.env("TEST_CLUSTER", cluster));
}

//! The sink against programs of others (`connectors/sink/tests/peers.rs`).

use crate::command::{cargo, output, succeeds, target};
use crate::debian;
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAIL: &str = "aiosmtpd::";
const MAIL_SERVER: &str = "aiosmtpd==1.4.6";
const ALERTMANAGER: &str = "prometheus_alertmanager::";
const PROMETHEUS: &str = "prometheus_server::";
/// Where these tests lie in their program, so that other runs can leave them out.
pub const ALL: [&str; 3] = [MAIL, ALERTMANAGER, PROMETHEUS];

/// Runs them; skipped where the program cannot be had.
pub fn check(tally: &mut Tally) {
    match python() {
        Some(python) => test(tally, "the sink against a mail server", MAIL, "PERFSTREAM_TEST_PYTHON", &python),
        None => tally.skip("mail to a real server", "needs python3 with venv and the package aiosmtpd"),
    }
    for (package, name, tests, variable) in [
        ("prometheus-alertmanager", "an Alertmanager", ALERTMANAGER, "PERFSTREAM_TEST_ALERTMANAGER"),
        ("prometheus", "a Prometheus", PROMETHEUS, "PERFSTREAM_TEST_PROMETHEUS"),
    ] {
        match debian::program(package, &[package]) {
            Ok(path) => test(tally, &format!("the sink against {name}"), tests, variable, &path),
            Err(why) => tally.skip(name, &why),
        }
    }
}

fn test(tally: &mut Tally, name: &str, tests: &str, variable: &str, program: &Path) {
    let mut command = cargo();
    command.args(["test", "--workspace", "--release", "--locked", "--test", "peers", "--", "--ignored", tests]);
    tally.counted(name, command.env(variable, program));
}

/// A Python with the mail server, in a virtual environment of its own, installed at the first use.
fn python() -> Option<PathBuf> {
    let venv = target().join("aiosmtpd");
    let python = venv.join("bin/python");
    let works = || succeeds(Command::new(&python).args(["-c", "import aiosmtpd"]));
    if !works() {
        output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut install = Command::new(&python);
        succeeds(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", MAIL_SERVER]))
            .then_some(())?;
    }
    works().then_some(python)
}

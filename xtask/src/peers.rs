//! The sink against programs of others (`connectors/sink/tests/peers.rs`).

use crate::command::{cargo, output, succeeds, target};
use crate::tally::Tally;
use std::path::PathBuf;
use std::process::Command;

/// Where these tests lie in their program, so that other runs can leave them out.
pub const MAIL: &str = "aiosmtpd::";
const MAIL_SERVER: &str = "aiosmtpd==1.4.6";

/// Runs them; skipped where the mail server cannot be had.
pub fn check(tally: &mut Tally) {
    let Some(python) = python() else {
        return tally.skip("mail to a real server", "needs python3 with venv and the package aiosmtpd");
    };
    let mut command = cargo();
    command.args(["test", "--workspace", "--release", "--locked", "--test", "peers", "--", "--ignored", MAIL]);
    tally.counted("the sink against a mail server", command.env("PERFSTREAM_TEST_PYTHON", python));
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

//! Programs of others: the sink against them (`connectors/sink/tests/peers.rs`), the shipped pipelines behind them while
//! faults happen (`connectors/pipeline/tests/live`).

use crate::build;
use crate::command::{cargo, output, succeeds, target};
use crate::debian;
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::process::Command;

const MAIL: &str = "aiosmtpd::";
const MAIL_SERVER: [&str; 1] = ["aiosmtpd==1.4.6"];
const ALERTMANAGER: &str = "prometheus_alertmanager::";
const PROMETHEUS: &str = "prometheus_server::";
const HOST: &str = "a_host_burns_its_processors";
const SERVICE: &str = "a_service_waits_for_its_slow_dependency";
const OPENTELEMETRY: [&str; 2] = ["opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2"];
/// What the names of these tests have in them, so that other runs can leave them out.
pub const ALL: [&str; 5] = [MAIL, ALERTMANAGER, PROMETHEUS, HOST, SERVICE];

/// Runs them; skipped where the program cannot be had.
pub fn check(tally: &mut Tally) {
    match python("aiosmtpd", "aiosmtpd", &MAIL_SERVER) {
        Some(python) => sink(tally, "a mail server", MAIL, ("PERFSTREAM_TEST_PYTHON", &python)),
        None => tally.skip("mail to a real server", "needs python3 with venv and the package aiosmtpd"),
    }
    for (package, name, tests, variable) in [
        ("prometheus-alertmanager", "an Alertmanager", ALERTMANAGER, "PERFSTREAM_TEST_ALERTMANAGER"),
        ("prometheus", "a Prometheus", PROMETHEUS, "PERFSTREAM_TEST_PROMETHEUS"),
    ] {
        match debian::program(package, &[package]) {
            Ok(path) => sink(tally, name, tests, (variable, &path)),
            Err(why) => tally.skip(name, &why),
        }
    }
    host(tally);
    match python("opentelemetry", "opentelemetry.sdk, opentelemetry.exporter.otlp", &OPENTELEMETRY) {
        Some(python) => {
            let variables = [("PERFSTREAM_TEST_OPENTELEMETRY", python.as_path())];
            test(tally, "a live service with a slow dependency", "live", SERVICE, &variables);
        }
        None => tally.skip("a live service", "needs python3 with venv and the packages of OpenTelemetry"),
    }
}

fn host(tally: &mut Tally) {
    let name = "a live host whose processors burn and whose disk fills";
    let program = |name: &str| debian::program(name, &[name]);
    match (program("prometheus-node-exporter"), program("prometheus")) {
        (Ok(exporter), Ok(prometheus)) => {
            let variables = [
                ("PERFSTREAM_TEST_NODE_EXPORTER", exporter.as_path()),
                ("PERFSTREAM_TEST_PROMETHEUS", prometheus.as_path()),
            ];
            test(tally, name, "live", HOST, &variables);
        }
        (Err(why), _) | (_, Err(why)) => tally.skip(name, &why),
    }
}

fn sink(tally: &mut Tally, peer: &str, tests: &str, program: (&str, &Path)) {
    test(tally, &format!("the sink against {peer}"), "peers", tests, &[program]);
}

fn test(tally: &mut Tally, name: &str, program: &str, tests: &str, variables: &[(&str, &Path)]) {
    let mut command = cargo();
    command.args(["test", "--workspace", "--release", "--locked", "--test", program, "--", "--ignored", tests]);
    command.env("PERFSTREAM_MODULES", build::modules_dir()).envs(variables.iter().copied());
    tally.counted(name, &mut command);
}

/// A Python that can import these modules, in a virtual environment of its own, installed at the first use.
fn python(name: &str, modules: &str, packages: &[&str]) -> Option<PathBuf> {
    let venv = target().join(name);
    let python = venv.join("bin/python");
    let works = || succeeds(Command::new(&python).args(["-c", &format!("import {modules}")]));
    if !works() {
        output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        succeeds(install.args(packages)).then_some(())?;
    }
    works().then_some(python)
}

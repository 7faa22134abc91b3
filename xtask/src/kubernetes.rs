//! The Kubernetes manifests against Kubernetes' own schemas, by a checker from PyPI.

use crate::command::{output, root, succeeds, target};
use crate::tally::Tally;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "connectors/pipeline/deploy/kubernetes.yaml";
const AUTOSCALING: &str = "connectors/pipeline/deploy/kubernetes-autoscaling.yaml";
/// Carries the schemas of Kubernetes 1.37.
const CHECKER: &str = "kubernetes-validate==1.37.0";

/// Checks the manifest; skipped where the checker cannot be had.
pub fn check(tally: &mut Tally) {
    match replicas_agree(&root().join(MANIFEST)) {
        true => tally.pass(),
        false => tally.fail(MANIFEST, "`replicas:` and the variable REPLICAS differ"),
    }
    match checker() {
        Some(checker) => {
            let mut command = Command::new(checker);
            tally.step("Kubernetes manifests", command.args(["--strict", MANIFEST, AUTOSCALING]).current_dir(root()));
        }
        None => tally.skip("Kubernetes manifests", "needs python3 with venv and the package kubernetes-validate"),
    }
}

/// The checker in a virtual environment of its own, installed at the first use.
fn checker() -> Option<PathBuf> {
    let venv = target().join("kubernetes-validate");
    let checker = venv.join("bin/kubernetes-validate");
    if !checker.exists() {
        output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut install = Command::new(venv.join("bin/python"));
        succeeds(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CHECKER]))
            .then_some(())?;
    }
    checker.exists().then_some(checker)
}

/// Does each pod know how many there are?
fn replicas_agree(manifest: &Path) -> bool {
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let find = |before: &str| {
        let rest = text.split_once(before)?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next().map(str::to_string).filter(|n| !n.is_empty())
    };
    let (replicas, told) = (find("replicas: "), find("name: REPLICAS, value: \""));
    replicas.is_some() && replicas == told
}

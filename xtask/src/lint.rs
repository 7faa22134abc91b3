//! Formatting, clippy, and the dependencies' licences and advisories.

use crate::command::{cargo, output, succeeds};
use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::ExitCode;

/// Licences a dependency may have; `deny.toml` has the same list.
const LICENCES: [&str; 13] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// `cargo xtask lint`.
pub fn run() -> ExitCode {
    let mut tally = Tally::default();
    lint(&mut tally);
    tally.close()
}

/// All lints; what is not installed is skipped with one line.
pub fn lint(tally: &mut Tally) {
    match succeeds(cargo().args(["fmt", "--version"])) {
        true => tally.step("formatting (mend it with `cargo fmt`)", cargo().args(["fmt", "--all", "--check"])),
        false => tally.skip("formatting", "no rustfmt; `rustup component add rustfmt` adds it"),
    }
    match succeeds(cargo().args(["clippy", "--version"])) {
        // The release profile shares what the tests have built of build scripts and macros.
        true => {
            let flags = ["clippy", "--workspace", "--all-targets", "--release", "--locked", "--", "-Dwarnings"];
            tally.step("clippy", cargo().args(flags));
            // Without the features that tests add: what users build.
            let flags = ["clippy", "--package", "perfstream", "--release", "--locked", "--", "-Dwarnings"];
            tally.step("clippy of perfstream as it is shipped", cargo().args(flags));
        }
        false => tally.skip("clippy", "no clippy; `rustup component add clippy` adds it"),
    }
    match licences() {
        Ok(count) => {
            println!("licences of {count} dependencies are allowed");
            tally.pass();
        }
        Err(error) => tally.fail("licences", &format!("{error:#}")),
    }
    match succeeds(cargo().args(["deny", "--version"])) {
        true => tally.step("cargo deny", cargo().args(["deny", "--log-level", "error", "check"])),
        false => tally.skip("cargo deny", "not installed; `cargo install cargo-deny --locked` adds it"),
    }
}

/// Every dependency's licence is one of the allowed; says how many there are.
fn licences() -> Result<usize> {
    let text = output(cargo().args(["metadata", "--locked", "--format-version", "1"])).context("no cargo metadata")?;
    let metadata: Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut refused = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none stated");
        if !allowed(licence) {
            refused.push(format!("{} {}: {licence}", package["name"], package["version"]));
        }
    }
    match refused.is_empty() {
        true => Ok(packages.len()),
        false => {
            bail!("not in the list of allowed licences (xtask/src/lint.rs, deny.toml):\n  {}", refused.join("\n  "))
        }
    }
}

/// Is there a choice of allowed licences? SPDX: AND binds closer than OR; one level of parentheses,
/// as much as occurs. What it cannot read it refuses.
fn allowed(expression: &str) -> bool {
    let inner = expression.trim();
    if let Some((before, rest)) = inner.split_once('(') {
        let Some((group, after)) = rest.split_once(')') else {
            return false;
        };
        // An allowed group stands for a licence that is allowed, any other for one that is not.
        let word = if allowed(group) { "MIT" } else { "none" };
        return allowed(&format!("{before}{word}{after}"));
    }
    let one = |licence: &str| LICENCES.contains(&licence.trim());
    inner.replace('/', " OR ").split(" OR ").any(|choice| choice.split(" AND ").all(one))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn reads_licence_expressions() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "Apache-2.0 WITH LLVM-exception",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Unlicense OR (GPL-2.0 AND MIT)",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "none stated", "(GPL-2.0 OR LGPL-3.0) AND MIT", "(MIT"] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn deny_toml_has_the_same_list() {
        let text = std::fs::read_to_string(crate::command::root().join("deny.toml")).expect("deny.toml");
        let (_, rest) = text.split_once("allow = [").expect("a list");
        let (list, _) = rest.split_once(']').expect("its end");
        let listed: Vec<&str> = list.split(',').map(|s| s.trim().trim_matches('"')).filter(|s| !s.is_empty()).collect();
        assert_eq!(listed, super::LICENCES);
    }
}

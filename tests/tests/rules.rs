//! Rules of the house that a compiler does not check.

use perfstream_tests::root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files longer than this are to be split.
const MAX_LINES: usize = 600;

/// The packages that `package` is built from, itself among them, without dev-dependencies.
fn built_from(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--all-features",
            "--package",
            package,
        ])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(String::from).collect()
}

#[test]
fn core_knows_no_fluvio_and_no_clock() {
    let core = built_from("perfstream-core");
    assert!(core.contains("serde"), "{core:?}");
    for name in ["tokio", "async-std", "rand", "getrandom", "chrono", "wasmtime"] {
        assert!(!core.contains(name), "perfstream-core depends on {name}");
    }
    let own: Vec<&String> = core.iter().filter(|n| n.starts_with("fluvio") || n.starts_with("perfstream")).collect();
    assert_eq!(own, ["perfstream-core"]);
}

#[test]
fn modules_depend_on_sdk_and_core_only() {
    for stage in perfstream_tests::STAGES {
        let package = format!("perfstream-{stage}");
        let all = built_from(&package);
        assert!(!all.contains("tokio") && !all.contains("fluvio-smartengine"), "{package}: {all:?}");
        let own: BTreeSet<&str> = all.iter().map(String::as_str).filter(|n| n.starts_with("perfstream")).collect();
        assert_eq!(own, BTreeSet::from([package.as_str(), "perfstream-core", "perfstream-sdk"]));
    }
}

#[test]
fn the_sink_knows_the_log_and_no_engine() {
    let all = built_from("perfstream-sink");
    assert!(!all.contains("fluvio-smartengine") && !all.contains("wasmtime") && !all.contains("openssl"), "{all:?}");
    let own: BTreeSet<&str> = all.iter().map(String::as_str).filter(|n| n.starts_with("perfstream")).collect();
    assert_eq!(own, BTreeSet::from(["perfstream-core", "perfstream-log", "perfstream-sink"]));
}

#[test]
fn the_collector_knows_no_pipeline() {
    let all = built_from("perfstream-collector");
    let own: Vec<&str> = all.iter().map(String::as_str).filter(|n| n.starts_with("perfstream")).collect();
    assert_eq!(own, ["perfstream-collector", "perfstream-core", "perfstream-log"]);
}

/// All `.rs` files under version control or about to be: everything but build output.
fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in dir.read_dir().expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
                    walk(&path, found);
                }
            } else if name.ends_with(".rs") {
                found.insert(path.clone(), std::fs::read_to_string(&path).expect("UTF-8"));
            }
        }
    }
    let mut found = BTreeMap::new();
    ["smartmodules", "connectors", "tests", "xtask"].iter().for_each(|dir| walk(&root().join(dir), &mut found));
    assert!(found.len() > 100, "{} files", found.len());
    found
}

/// Code without comments and texts in quotes, line by line; near enough for looking for words.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

fn has_word(code: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word)
        .any(|(at, _)| !part(code[..at].chars().last()) && !part(code[at + word.len()..].chars().next()))
}

#[test]
fn sources_are_tidy() {
    let unsafe_allowed = root().join("smartmodules/sdk");
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let mut fault = |line: usize, what: &str| faults.push(format!("{name}:{line}: {what}"));
        if !text.starts_with("//! ") {
            fault(1, "does not begin with //!");
        }
        if text.lines().count() > MAX_LINES {
            fault(MAX_LINES, "is too long: split it");
        }
        for (n, line) in text.lines().enumerate() {
            let code = code(line);
            for word in ["todo!", "unimplemented!", "dbg!"] {
                if code.contains(word) {
                    fault(n + 1, word);
                }
            }
            // Those are run by `cargo xtask test` wherever there is the server.
            let servers = [
                "a Fluvio server",
                "a mail server, aiosmtpd",
                "an Alertmanager",
                "a Prometheus",
                "Prometheus and node-exporter",
                "the SDK of OpenTelemetry",
            ];
            let on_a_server = servers.iter().any(|name| line.trim() == format!("#[ignore = \"needs {name}\"]"));
            if (code.trim_start().starts_with("#[ignore") && !on_a_server)
                || code.contains(", ignore") && code.contains("cfg_attr")
            {
                fault(n + 1, "a test that is ignored is none");
            }
            if has_word(&code, "unsafe") && !path.starts_with(&unsafe_allowed) {
                fault(n + 1, "unsafe outside of the SDK");
            }
            if !line.is_ascii()
                && line.chars().any(|c| matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{FEFF}'))
            {
                fault(n + 1, "an invisible character");
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_crate_shares_the_lints() {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() >= 10);
    for package in packages {
        let manifest = package["manifest_path"].as_str().expect("a path");
        let text = std::fs::read_to_string(manifest).expect("a manifest");
        // The SDK alone may say `unsafe`, so it repeats the lints.
        let own = package["name"] == "perfstream-sdk";
        assert!(own || text.contains("[lints]\nworkspace = true"), "{manifest} has lints of its own");
        assert_eq!(package["license"], "Apache-2.0", "{manifest}");
    }
}

/// Cases that no test reads say nothing.
#[test]
fn every_folder_of_cases_is_read() {
    let known = ["anomaly", "chains", "check", "harmless", "poison"];
    for path in perfstream_tests::files("cases") {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(known.contains(&name.as_str()), "nothing reads tests/cases/{name}");
    }
    let tests: String =
        sources().into_iter().filter(|(p, _)| p.starts_with(root().join("tests/tests"))).map(|(_, t)| t).collect();
    for path in perfstream_tests::files("cases/chains") {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let named = tests.contains(&format!("chains/{stem}.yaml")) || tests.contains(&format!("\"{stem}\""));
        assert!(named, "nothing reads {}", path.display());
    }
}

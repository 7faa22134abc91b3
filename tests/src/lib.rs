//! What the integration tests share: the built modules, pipelines from files, streams of steps,
//! and a run of a chain whose batches, restarts and form are chosen by the test.

pub mod alone;
pub mod feed;
pub mod fuzz_targets;
pub mod poison;
pub mod random;
pub mod run;

use perfstream::chain::ChainOptions;
use perfstream::check::check_files;
use perfstream::modules::{EMBEDDED, Modules};
use perfstream::plan::Plan;
use std::path::{Path, PathBuf};

/// The stages that have a module.
pub const STAGES: [&str; 11] = [
    "filter",
    "enrich",
    "sessionize",
    "aggregate",
    "classify",
    "detect",
    "forecast",
    "correlate",
    "alert",
    "respond",
    "dashboard",
];

/// The root of the workspace.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A path under `tests/`.
pub fn under_tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The built SmartModules: those of the directory `PERFSTREAM_MODULES`, or those in the library,
/// or those of `target/modules`.
///
/// # Panics
/// If there are none: the tests are about them.
pub fn modules() -> Modules {
    if let Some(dir) = std::env::var_os("PERFSTREAM_MODULES") {
        return Modules::new(Some(Path::new(&dir)));
    }
    if !EMBEDDED.is_empty() {
        return Modules::default();
    }
    let dir = root().join("target/modules");
    assert!(dir.join("filter.wasm").exists(), "the SmartModules are not built: run `cargo xtask build` first");
    Modules::new(Some(&dir))
}

/// The bytes of a stage's module.
///
/// # Panics
/// If it is not built.
pub fn module(stage: &str) -> Vec<u8> {
    match modules().load(stage) {
        Ok(bytes) => bytes.into_owned(),
        Err(error) => panic!("{error:#}; run `cargo xtask build` first"),
    }
}

/// The filter by Fluvio's macro, `tests/naive`.
///
/// # Panics
/// If it is not built.
pub fn naive() -> Vec<u8> {
    let dir = std::env::var_os("PERFSTREAM_MODULES").map_or_else(|| root().join("target/modules"), PathBuf::from);
    let path = dir.with_file_name("test-modules").join("naive.wasm");
    match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => panic!("{}: {error}; `cargo xtask build --modules-only` builds it", path.display()),
    }
}

/// Options for a chain of real modules.
pub fn wasm() -> ChainOptions {
    ChainOptions { modules: modules(), ..ChainOptions::default() }
}

/// The plan of the only pipeline of a file under `tests/`.
///
/// # Panics
/// If `check` finds anything wrong with it.
pub fn plan(path: &str) -> Plan {
    let report = check_files(&[under_tests(path)]);
    let pipelines: Vec<_> = report.documents.iter().filter_map(|d| d.pipeline.as_ref()).collect();
    let [pipeline] = pipelines[..] else { panic!("{}", report.render(false)) };
    Plan::new(pipeline).unwrap_or_else(|e| panic!("{path}: {e:#}"))
}

/// Files of a folder under `tests/`, sorted.
///
/// # Panics
/// If it cannot be read.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let dir = under_tests(folder);
    let entries = dir.read_dir().unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.sort();
    files
}

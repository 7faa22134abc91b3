//! Every input that the fuzzers' corpora keep runs here too, found by walking the folders.

use perfstream_tests::fuzz_targets::TARGETS;
use std::path::{Path, PathBuf};

/// At most so many files and bytes per target are kept.
const MAX_FILES: usize = 100;
const MAX_BYTES: u64 = 300_000;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_kept_input_replays() {
    for (name, target) in TARGETS {
        let files = files(&folder(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let data = std::fs::read(&file).expect("a readable file");
            let run = std::panic::catch_unwind(|| target(&data));
            assert!(run.is_ok(), "{} breaks {name}", file.display());
        }
    }
}

#[test]
fn corpora_stay_small_and_belong_to_a_target() {
    for folder in files(&folder("")) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "no target `{name}` for its corpus");
        let files = files(&folder);
        let bytes: u64 = files.iter().map(|f| f.metadata().expect("a file").len()).sum();
        assert!(files.len() <= MAX_FILES && bytes <= MAX_BYTES, "{name}: {} files, {bytes} bytes", files.len());
    }
}

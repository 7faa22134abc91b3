//! `tests/cases/check/CASE/`: files to check and what `check` must say, word for word.
//!
//! All `*.yaml` of a case are checked together, in order of their names (`files.txt` names others).
//! `UPDATE=1 cargo test` writes `expected.txt` anew. A file that nothing reads fails.

use perfstream::check::check_files;
use perfstream::diagnostic::CODES;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases/check")
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn says_what_is_wrong() {
    let update = std::env::var_os("UPDATE").is_some();
    let (mut failures, mut codes, mut cases) = (Vec::new(), BTreeSet::new(), 0);
    for case in entries(&root()) {
        assert!(case.is_dir(), "{} is no case", case.display());
        cases += 1;
        let files = entries(&case);
        let mut inputs = Vec::new();
        for file in files {
            match name(&file).as_str() {
                "expected.txt" => {}
                yaml if yaml.ends_with(".yaml") => inputs.push(file),
                "files.txt" => {
                    let list = fs::read_to_string(&file).expect("files.txt");
                    inputs.extend(list.lines().map(|line| case.join(line)));
                }
                other => failures.push(format!("{}: nothing reads `{other}`", name(&case))),
            }
        }
        let report = check_files(&inputs);
        codes.extend(report.diagnostics.iter().map(|d| d.code));
        let found = report.render(false).replace(&format!("{}/", case.display()), "");
        let expected = case.join("expected.txt");
        if update {
            fs::write(&expected, &found).expect("written");
        } else if fs::read_to_string(&expected).unwrap_or_default() != found {
            failures.push(format!("{}: `check` says\n{found}", name(&case)));
        }
        if report.json().as_array().map(Vec::len) != Some(report.diagnostics.len()) {
            failures.push(format!("{}: JSON has another number of diagnostics", name(&case)));
        }
    }
    assert!(failures.is_empty(), "{}\n(UPDATE=1 writes them anew)", failures.join("\n"));
    assert!(cases >= 30, "{cases} cases");
    // Too large a file and too many faults are made by a unit test.
    let unseen: Vec<_> =
        CODES.iter().map(|(code, _)| *code).filter(|c| !codes.contains(c) && !["E032", "E034"].contains(c)).collect();
    assert!(unseen.is_empty(), "no case shows {unseen:?}");
}

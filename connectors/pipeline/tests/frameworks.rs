//! The shipped frameworks: each has all eight parts, and a run of one is a session that names it.

use perfstream::check::check_files;
use perfstream::frameworks::PARTS;
use perfstream::model::DocumentKind;
use perfstream::run::records::SessionState;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn each_framework_has_all_eight_parts() {
    for (name, id) in [
        ("web-vitals", "web-vitals-real-time"),
        ("backend", "backend-real-time"),
        ("infrastructure", "infrastructure-real-time"),
    ] {
        let report = check_files(&[root().join(format!("pipelines/{name}.yaml"))]);
        assert!(!report.is_error(), "{}", report.render(false));
        let framework = report.documents.iter().find(|d| d.kind == DocumentKind::Framework).expect("a framework");
        assert_eq!(framework.name, name);
        assert_eq!(framework.node.get("id").and_then(|id| id.str()), Some(id));
        let parts = PARTS.map(|(key, _)| framework.node.get(key).map_or(0, |part| part.items().len()));
        assert!(parts.iter().all(|named| *named > 0), "{name}: {parts:?}");
        assert_eq!(parts.len(), 8);
    }
}

fn perfstream(args: &[&str]) -> String {
    let out =
        Command::new(env!("CARGO_BIN_EXE_perfstream")).args(args).current_dir(root()).output().expect("a program");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

#[test]
fn a_run_is_a_session_in_the_embedded_log() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().to_str().expect("a path");
    let input = "--input=metrics-stream=tests/recording/servers/metrics.jsonl";
    perfstream(&["run", "pipelines/infrastructure.yaml", "--only", "filesystems", "--data", data, input]);
    let text = perfstream(&["sessions", "--data", data, "--json"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "{text}");
    let session: perfstream::run::records::SessionRecord = serde_json::from_str(lines[0]).expect("a session");
    assert_eq!(session.frameworks, ["infrastructure"]);
    assert_eq!(
        (session.analyzers.as_slice(), session.status),
        (&["filesystems".to_string()][..], SessionState::Stopped)
    );
    assert_eq!(session.detectors, ["filesystems.detect"]);
    assert!(session.streams.contains(&"metrics-stream".to_string()), "{:?}", session.streams);
    assert_eq!(session.config.len(), 1);
    let events = std::fs::read_to_string(root().join("tests/recording/servers/metrics.jsonl")).expect("a recording");
    assert_eq!(session.statistics.events_processed, events.lines().count() as u64);
    // The recording's disk fills.
    assert!(session.statistics.alerts_triggered > 0);
    let fires = |alert: &&serde_json::Value| alert["state"] == "firing";
    assert!(session.alerts.iter().any(|alert| fires(&alert)), "{:?}", session.alerts);
    let status = perfstream(&["status", "filesystems", "--data", data, "--json"]);
    let partition: perfstream::run::records::PartitionRecord =
        serde_json::from_str(status.lines().next().expect("a partition")).expect("a status record");
    assert_eq!((partition.session.as_str(), partition.lag_records), (session.id.as_str(), 0));
    let stored = perfstream(&["cat", "perfstream-status", "--data", data]);
    assert!(stored.lines().count() >= 2);
}

//! Verdicts in a pipeline's inbox on the embedded log: seen once, at one place, and again by a replay.

mod common;

use perfstream::check::check_files;
use perfstream::plan::Plan;
use perfstream::run::{RunOptions, run};
use perfstream::summary::Summary;
use perfstream_log::NewRecord;
use perfstream_log::embedded::{Log, StoredSnapshot};
use serde_json::{Value, json};
use std::path::Path;

const PIPELINE: &str = r"
apiVersion: perfstream/v1
kind: Pipeline
meta: { name: speed, type: continuous }
input: { topic: windows, time: { field: timestamp } }
transforms:
  - uses: perfstream/detect@0.1.0
    with: { detector: ensemble }
output: { topic: judged }
routes: { anomaly: anomalies }
";

/// Half minutes of a page that is twice as slow in the last thirty.
fn rows() -> Vec<NewRecord> {
    let row = |n: usize| {
        let (time, value) = (1_767_600_000 + 30 * n, common::p75_lcp(n as i64));
        json!({ "kind": "window", "timestamp": time, "page": "/", "p75_lcp": value, "count": 50 })
    };
    (0..300).map(row).map(|row| record(&row)).collect()
}

fn record(value: &Value) -> NewRecord {
    NewRecord { log_time_ms: 1_767_600_000_000, key: None, value: value.to_string().into_bytes() }
}

fn append(dir: &Path, topic: &str, records: &[NewRecord]) {
    let mut log = Log::open(dir).expect("a log");
    log.commit(|writer| writer.append(topic, 0, records).map(drop)).expect("a commit");
}

fn go_on(dir: &Path, plan: &Plan) -> Summary {
    let options = RunOptions { data: Some(dir.into()), ..RunOptions::default() };
    run(std::slice::from_ref(plan), &options).expect("a run").remove(0)
}

fn counter(summary: &Summary, name: &str) -> u64 {
    let (_, counters) = summary.stages.iter().find(|(stage, _)| stage.starts_with("detect")).expect("detect");
    *counters.get(name).unwrap_or_else(|| panic!("{name}: {counters:?}"))
}

#[test]
fn a_verdict_is_learned_once_and_a_replay_learns_it_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("speed.yaml");
    std::fs::write(&file, PIPELINE).expect("a file");
    let report = check_files(&[file]);
    assert!(!report.is_error(), "{}", report.render(false));
    let plan = Plan::new(&report.into_pipelines()[0]).expect("a plan");

    // Requests before there is anything they could be about wait.
    append(dir.path(), "speed-inbox", &[record(&json!({ "type": "reference", "table": "pages", "rows": [] }))]);
    assert_eq!(go_on(dir.path(), &plan).stages.len(), 0);
    append(dir.path(), "windows", &rows());
    assert_eq!(counter(&go_on(dir.path(), &plan), "anomalies"), 1);
    let anomaly = Log::open(dir.path()).expect("a log").read("anomalies", 0, 0, 1).expect("a record").remove(0);
    let id = serde_json::from_slice::<Value>(&anomaly.value).expect("JSON")["anomaly_id"].clone();

    let verdict = json!({ "type": "feedback", "alert_id": id, "verdict": "false_positive" });
    let unknown = json!({ "type": "feedback", "alert_id": "nobody", "verdict": "false_positive" });
    append(dir.path(), "speed-inbox", &[record(&json!("no request")), record(&verdict), record(&unknown)]);
    let seen =
        |summary: &Summary| ["feedback", "false_positives", "feedback_ignored"].map(|name| counter(summary, name));
    let first = go_on(dir.path(), &plan);
    assert_eq!(seen(&first), [1, 1, 1]);
    // From its snapshot, and without one.
    let again = go_on(dir.path(), &plan);
    assert_eq!(seen(&again), [1, 1, 1]);
    assert!(again.balance.holds() && again.balance.counted == 300, "{:?}", again.balance);
    assert_eq!(again.written, first.written);
    let nothing = StoredSnapshot { next: 300, control: 3, states: Vec::new() };
    let mut log = Log::open(dir.path()).expect("a log");
    log.commit(|writer| writer.set_snapshot("speed", 0, &nothing, 1)).expect("a commit");
    assert_eq!(log.read("judged", 0, 0, 1000).expect("records").len(), 300);
    drop(log);
    assert_eq!(seen(&go_on(dir.path(), &plan)), [1, 1, 1]);
    let log = Log::open(dir.path()).expect("a log");
    assert_eq!(log.read("judged", 0, 0, 1000).expect("records").len(), 300, "a replay writes nothing");
    assert_eq!(log.read("speed-control", 0, 0, 1000).expect("records").len(), 3);
}

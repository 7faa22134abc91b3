//! Calls between services are learned from spans as OpenTelemetry's SDK sends them (recorded in the collector's
//! contracts): anomalies of a service and of what it calls are then one incident.

use perfstream_log::NewRecord;
use perfstream_log::embedded::Log;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const PIPELINES: &str = "
apiVersion: perfstream/v1
kind: Pipeline
meta: { name: calls, type: continuous }
input: { topic: spans-stream, dedupe: { key: [id], horizon: 1h }, time: { field: timestamp } }
transforms: [{ uses: perfstream/filter@0.1.0, with: { where: peer IS NOT NULL } }]
output: { topic: anomalies }
---
apiVersion: perfstream/v1
kind: Pipeline
meta: { name: causes, type: streaming }
input: { topic: anomalies, dedupe: { key: [id], horizon: 1h }, time: { field: timestamp, out_of_orderness: 1m } }
transforms:
  - uses: perfstream/correlate@0.1.0
    with: { service: service, traces: { from: service, to: peer }, kinds: { cpu: saturation, latency: latency }, update_every: 0s }
output: { topic: rows }
";

/// The records that the collector made of a recorded request.
fn spans() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/tests/contracts/otlp-traces.json");
    let contract: Value = serde_json::from_slice(&std::fs::read(path).expect("the contract")).expect("JSON");
    let records = contract["records"]["spans-stream"].as_array().expect("spans");
    records.iter().map(|record| record["value"].clone()).collect()
}

fn append(dir: &Path, topic: &str, values: &[Value]) {
    let record = |value: &Value| NewRecord { log_time_ms: -1, key: None, value: value.to_string().into_bytes() };
    let records: Vec<NewRecord> = values.iter().map(record).collect();
    Log::open(dir).and_then(|mut log| log.commit(|w| w.append(topic, 0, &records).map(drop))).expect("a commit");
}

/// Incidents of two anomalies, of a service and of its database, after these spans.
fn incidents(spans: &[Value]) -> Vec<Value> {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, data) = (dir.path().join("calls.yaml"), dir.path().join("log"));
    std::fs::write(&file, PIPELINES).expect("a file");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfstream"));
        let output = command.arg("run").arg(&file).arg("--data").arg(&data).output().expect("a run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    append(&data, "spans-stream", spans);
    run();
    let anomaly = |id: &str, service: &str, metric: &str| {
        json!({ "kind": "anomaly", "id": id, "anomaly_id": id, "state": "open", "metric": metric, "segment": { "service": service },
            "timestamp": "2026-11-28T05:02:00Z", "started_at": "2026-11-28T05:01:00Z", "value": 9, "expected": 1, "range": [0, 2] })
    };
    append(&data, "anomalies", &[anomaly("a", "db-1", "cpu"), anomaly("b", "cart", "latency")]);
    run();
    let log = Log::open(&data).expect("a log");
    let records = log.read("incidents", 0, 0, 100).expect("records");
    records.iter().map(|record| serde_json::from_slice(&record.value).expect("JSON")).collect()
}

#[test]
fn a_service_and_what_it_calls_are_one_incident() {
    let spans = spans();
    assert!(spans.iter().any(|span| span["service"] == "cart" && span["peer"] == "db-1"), "{spans:?}");
    let ids = |incidents: &[Value]| {
        incidents.iter().map(|incident| incident["incident_id"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    let found = incidents(&spans);
    assert_eq!(ids(&found).len(), 1, "{found:?}");
    let last = found.last().expect("an incident");
    assert_eq!((&last["anomalies"], &last["cause"]), (&json!(2), &json!("db-1")), "{last}");
    assert_eq!(last["services"], json!(["cart", "db-1"]));
    assert!(last["members"].to_string().contains("\"call\""), "{last}");
    // Nobody knows of the call without them.
    let strangers: Vec<Value> = spans.into_iter().filter(|span| span["peer"].is_null()).collect();
    let apart = incidents(&strangers);
    assert_eq!(ids(&apart).len(), 2, "{apart:?}");
}

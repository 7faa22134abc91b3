//! `perfstream analyze` and `report` over a topic of a cluster: what they find and store over an embedded log.

use perfstream_log::embedded::Log;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Topics};
use serde_json::{Value, json};
use std::process::Command;

const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines/web-vitals.yaml");
const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/recording/events/lcp.jsonl");

/// Milliseconds since the epoch. A cluster takes the time of its producer, and events are not of the future.
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(now.as_millis()).expect("a time before the end")
}

/// Recorded page views, as one producer had sent them at one time.
fn records() -> Vec<NewRecord> {
    let text = std::fs::read_to_string(RECORDING).expect("a recording");
    let log_time_ms = now_ms();
    let record = |line: &str| NewRecord { log_time_ms, key: None, value: line.as_bytes().to_vec() };
    text.lines().map(record).collect()
}

fn told(args: &[&str], place: &[&str]) -> Value {
    let out = Command::new(env!("CARGO_BIN_EXE_perfstream")).args(args).args(place).output().expect("a run");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[test]
#[ignore = "needs a Fluvio server"]
fn an_analysis_of_a_cluster_is_that_of_an_embedded_log() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let session = json!({ "scope": "session", "kind": "statistics", "timestamp": "2026-01-05T12:00:00Z", "id": "night-shift",
        "config": {}, "status": "stopped", "startTime": "2026-01-05T00:00:00Z", "analyzers": ["lcp"], "detectors": [],
        "processors": [], "streams": [], "statistics": { "eventsProcessed": 1, "anomaliesDetected": 0, "alertsTriggered": 0,
        "predictionsGenerated": 0, "latency": { "p50_ms": 0, "p95_ms": 0, "p99_ms": 0, "max_ms": 0 }, "throughput": 0.0 },
        "insights": [], "alerts": [], "predictions": [] });
    let session = NewRecord {
        log_time_ms: now_ms(),
        key: Some(b"night-shift".to_vec()),
        value: session.to_string().into_bytes(),
    };
    let mut topics = cluster.topics();
    let mut log = Log::open(dir.path()).expect("a log");
    for (topic, records) in [("lcp-stream", records()), ("perfstream-status", vec![session])] {
        cluster.create_topic(topic, 1, TopicOptions::default()).expect("a topic");
        topics.append(topic, 0, &records).expect("an append");
        log.commit(|writer| writer.append(topic, 0, &records).map(drop)).expect("a commit");
    }
    drop(log);
    for topic in ["analyses", "insights"] {
        cluster.create_topic(topic, 1, TopicOptions::default()).expect("a topic");
    }
    let (embedded, on_cluster) = (["--data", &dir.path().to_string_lossy()], ["--cluster", cluster.address()]);
    let analyze = ["analyze", "lcp-stream", PIPELINES, "--analyzer", "lcp", "--format", "json"];
    let (first, second) = (told(&analyze, &embedded), told(&analyze, &on_cluster));
    assert!(first["counts"]["processed"].as_u64().is_some_and(|results| results > 0), "{}", first["counts"]);
    assert!(first["counts"]["events"].as_u64().is_some_and(|events| events > 100), "{}", first["counts"]);
    for part in ["id", "data", "counts", "alerts", "recommendations", "timeWindow"] {
        assert!(
            first[part] == second[part],
            "{part}: {:.300} / {:.300}",
            first[part].to_string(),
            second[part].to_string()
        );
    }
    // Asked again it is stored once.
    told(&analyze, &on_cluster);
    assert_eq!(topics.extent("analyses", 0).expect("an extent").end, 1);
    let insights = first["counts"]["insights"].as_i64().expect("a count");
    assert_eq!(topics.extent("insights", 0).expect("an extent").end, insights);
    let report =
        ["report", "night-shift", PIPELINES, "--stream", "lcp-stream", "--analyzer", "lcp", "--format", "json"];
    let (first, second) = (told(&report, &embedded), told(&report, &on_cluster));
    for part in ["session", "summary", "patterns", "anomalies", "predictions", "recommendations"] {
        assert_eq!(first[part], second[part], "{part}");
    }
    assert_eq!(second["session"]["id"], "night-shift");
}

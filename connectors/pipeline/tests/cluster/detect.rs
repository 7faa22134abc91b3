//! `perfstream detect` over a topic of a cluster gives and stores what it does over an embedded log.

use perfstream_log::embedded::Log;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Topics};
use serde_json::{Value, json};
use std::process::Command;

const START_MS: i64 = 1_767_600_000_000;

/// Hours of two pages, one per partition, and minutes between them; `/1` becomes slow for two hours.
fn records(partition: u32) -> Vec<NewRecord> {
    let row = |n: i64| {
        let time = START_MS + 300_000 * n;
        let slow = if partition == 1 && (400..424).contains(&n) { 2.0 } else { 1.0 };
        let value = (1000 + n * 37 % 101) as f64 * slow;
        let hour = json!({ "kind": "window", "timestamp": time, "window": "hour", "page": format!("/{partition}"),
            "p75_lcp_1h": value, "count": 500 });
        let minute = json!({ "kind": "window", "timestamp": time, "window": "minute", "page": format!("/{partition}"),
            "p75_lcp_1h": 9e9, "count": 500 });
        [hour, minute]
    };
    let value = |row: Value| NewRecord { log_time_ms: START_MS, key: None, value: row.to_string().into_bytes() };
    (0..600).flat_map(row).map(value).collect()
}

fn detect(place: &[&str]) -> Value {
    let detector = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines/web-vitals.yaml");
    let out = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(["detect", detector, "--detector", "page-speed", "--topic", "windows", "--limit", "5"])
        .args(["--window", "hour", "--field", "lcp=p75_lcp_1h"])
        .args(place)
        .output()
        .expect("a run");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let mut found: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    // What differs from run to run.
    for name in ["id", "timestamp", "performance"] {
        found.as_object_mut().expect("an object").remove(name).expect(name);
    }
    found["statistics"].as_object_mut().expect("an object").remove("processingTime").expect("a time");
    found
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_cluster_and_an_embedded_log_give_the_same() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = Log::open(dir.path()).expect("a log");
    cluster.create_topic("windows", 2, TopicOptions::default()).expect("a topic");
    for name in ["anomalies", "alerts", "insights", "detections"] {
        cluster.create_topic(name, 1, TopicOptions::default()).expect("a topic");
    }
    let mut topics = cluster.topics();
    for partition in [0, 1] {
        topics.append("windows", partition, &records(partition)).expect("an append");
        log.commit(|writer| writer.append("windows", partition, &records(partition)).map(drop)).expect("a commit");
    }
    drop(log);
    let embedded = detect(&["--data", &dir.path().to_string_lossy()]);
    assert_eq!(embedded["statistics"]["totalDataPoints"], 1200);
    assert_eq!(embedded["statistics"]["anomaliesDetected"], 1);
    assert_eq!(embedded["anomalies"][0]["segment"]["page"], "/1");
    assert_eq!(detect(&["--cluster", cluster.address()]), embedded);
    for (name, count) in [("anomalies", 2), ("alerts", 2), ("detections", 1)] {
        assert_eq!(topics.extent(name, 0).expect("an extent").end, count, "{name}");
    }
}

//! `perfstream analyze` and `perfstream report` over an embedded log of generated page views with a labelled fault.

use perfstream_log::NewRecord;
use perfstream_log::embedded::Log;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const PIPELINES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines/web-vitals.yaml");
/// 2026-01-05T18:00:00Z
const FAULT_US: i64 = 1_767_636_000_000_000;
const ANALYZE: [&str; 5] = ["analyze", "lcp-stream", PIPELINES, "--analyzer", "lcp"];
const REPORT: [&str; 6] = [PIPELINES, "--stream", "lcp-stream", "--analyzer", "lcp", "--data"];

fn perfstream(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perfstream")).args(args).output().expect("a run")
}

fn told(args: &[&str]) -> String {
    let out = perfstream(args);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

fn refused(args: &[&str]) -> String {
    let out = perfstream(args);
    assert!(!out.status.success());
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A day of page views of two pages; from 18:00 on all take thrice as long, and the rendering is what takes long.
fn events(dir: &Path) -> Log {
    let (events, labels) = (dir.join("events.jsonl"), dir.join("labels.jsonl"));
    let path = |path: &Path| path.to_string_lossy().into_owned();
    told(&[
        "generate",
        "--metric",
        "lcp",
        "--duration",
        "24h",
        "--rate",
        "3000",
        "--seed",
        "3",
        "--pages",
        "2",
        "--start",
        "2026-01-05T00:00:00Z",
        "--fault",
        "step@18h+6h:3",
        "--out",
        &path(&events),
        "--labels",
        &path(&labels),
    ]);
    let record = |line: &str| {
        let mut event: Value = serde_json::from_str(line).expect("an event");
        let value = event["value"].as_f64().unwrap_or_default();
        for (part, share) in [
            ("timeToFirstByte", 0.2),
            ("resourceLoadDelay", 0.1),
            ("resourceLoadDuration", 0.2),
            ("elementRenderDelay", 0.5),
        ] {
            event[part] = json!(value * share);
        }
        NewRecord { log_time_ms: -1, key: None, value: event.to_string().into_bytes() }
    };
    let text = std::fs::read_to_string(&events).expect("events");
    let records: Vec<NewRecord> = text.lines().map(record).collect();
    let mut log = Log::open(&dir.join("log")).expect("a log");
    log.commit(|writer| writer.append("lcp-stream", 0, &records).map(drop)).expect("a commit");
    log
}

fn status(log: &mut Log) {
    let session = json!({
        "scope": "session", "kind": "statistics", "timestamp": "2026-01-05T12:00:00Z", "id": "night-shift", "config": { "lcp": "abc" },
        "status": "analyzing", "startTime": "2026-01-05T00:00:00Z", "analyzers": ["lcp"], "detectors": [], "processors": [],
        "streams": ["lcp-stream"], "insights": [], "alerts": [], "predictions": [],
        "statistics": { "eventsProcessed": 1, "anomaliesDetected": 0, "alertsTriggered": 0, "predictionsGenerated": 0, "throughput": 1.0,
            "latency": { "p50_ms": 1, "p95_ms": 1, "p99_ms": 1, "max_ms": 1 } },
    });
    let record =
        NewRecord { log_time_ms: 0, key: Some(b"night-shift".to_vec()), value: session.to_string().into_bytes() };
    log.commit(|writer| writer.append("perfstream-status", 0, &[record]).map(drop)).expect("a commit");
}

/// Every key of the user's document.
const KEYS: [&str; 17] = [
    "/id",
    "/streamId",
    "/analyzer",
    "/timestamp",
    "/data/processed",
    "/data/patterns",
    "/data/anomalies",
    "/data/insights",
    "/data/predictions",
    "/metrics/eventsPerSecond",
    "/metrics/averageLatency",
    "/metrics/anomalyRate",
    "/metrics/patternConfidence",
    "/alerts",
    "/performance/processingTime",
    "/performance/memoryUsage",
    "/performance/cpuUsage",
];

#[test]
fn the_fault_is_found_told_and_stored_once() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(events(dir.path()));
    let data = dir.path().join("log").to_string_lossy().into_owned();
    let json_of = |more: &[&str]| -> Value {
        let args = [&ANALYZE[..], &["--data", &data, "--format", "json"], more].concat();
        serde_json::from_str(&told(&args)).expect("JSON")
    };
    let first = json_of(&[]);
    for key in KEYS {
        assert!(first.pointer(key).is_some_and(|value| !value.is_null()), "{key}");
    }
    let all = first["data"]["patterns"].as_array().cloned().unwrap_or_default();
    let shifts: Vec<&Value> = all.iter().filter(|p| p["type"] == "level-shift" && p["metric"] == "p75_lcp").collect();
    // 18:00, within half an hour: small segments are noisy.
    let near = |p: &&&Value| (p["numbers"]["atUs"].as_i64().unwrap_or_default() - FAULT_US).abs() <= 1_800_000_000;
    let told = shifts.iter().filter(near).count();
    assert!(told >= 3 && 2 * told > shifts.len(), "{shifts:#?}");
    assert!(shifts.iter().all(|p| p["confidence"].as_f64().is_some_and(|x| x >= 0.99)));
    assert!(first["alerts"].as_array().is_some_and(|alerts| alerts.iter().any(|a| a["rule"] == "LCP Degradation")));
    let rules: Vec<&str> =
        first["recommendations"].as_array().into_iter().flatten().filter_map(|r| r["rule"].as_str()).collect();
    assert!(rules.contains(&"change-at-a-time"), "{rules:?}");
    // The same question is stored once; another range is another question.
    let again = json_of(&[]);
    assert_eq!(again["id"], first["id"]);
    assert_eq!(again["data"], first["data"]);
    let slow = json_of(&["--from", "2026-01-05T18:30:00Z"]);
    assert_ne!(slow["id"], first["id"]);
    let rules: Vec<&str> =
        slow["recommendations"].as_array().into_iter().flatten().filter_map(|r| r["rule"].as_str()).collect();
    assert!(rules.contains(&"lcp-element-render-delay"), "{rules:?}");
    let log = Log::open(Path::new(&data)).expect("a log");
    assert_eq!(log.read("analyses", 0, 0, 10).expect("records").len(), 2);
    let insights = log.read("insights", 0, 0, 10_000).expect("records").len() as u64;
    assert_eq!(
        insights,
        first["counts"]["insights"].as_u64().unwrap_or(0) + slow["counts"]["insights"].as_u64().unwrap_or(0)
    );
}

#[test]
fn a_report_in_three_formats() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = events(dir.path());
    let data = dir.path().join("log").to_string_lossy().into_owned();
    let report = |session: &'static str, format: &'static str| {
        [&["report", session][..], &REPORT, &[&*data, "--format", format]]
            .concat()
            .into_iter()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let run = |args: Vec<String>| told(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let fail = |args: Vec<String>| refused(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(fail(report("night-shift", "json")).contains("there is no topic `perfstream-status`"));
    status(&mut log);
    drop(log);
    assert!(fail(report("nobody", "json")).contains("there is no session `nobody`; there is night-shift"));
    let value: Value = serde_json::from_str(&run(report("night-shift", "json"))).expect("JSON");
    let schema: Value = serde_json::from_str(&told(&["schema", "--of", "report"])).expect("a schema");
    assert!(jsonschema::validator_for(&schema).expect("a schema").is_valid(&value));
    for key in KEYS {
        assert!(value.pointer(&format!("/streamAnalysis{key}")).is_some_and(|v| !v.is_null()), "{key}");
    }
    assert_eq!(value["session"]["id"], "night-shift");
    assert_eq!(value["appendices"]["statistics"], value["streamAnalysis"]["metrics"]);
    assert_eq!(value["appendices"]["configuration"]["session"], json!({ "lcp": "abc" }));
    let html = run(report("night-shift", "html"));
    // A line, and the marks of alerts; nothing from elsewhere.
    assert!(html.contains("<svg") && html.contains("#1F5FBF") && html.contains("#E68C00"));
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("<link"));
    let markdown = run(report("night-shift", "md"));
    assert!(markdown.starts_with("# Largest Contentful Paint") && markdown.contains("## Recommendations"));
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Log::open(dir.path()).expect("a log"));
    let data = dir.path().to_string_lossy().into_owned();
    let analyze =
        |stream: &str, name: &str| refused(&["analyze", stream, PIPELINES, "--analyzer", name, "--data", &data]);
    assert!(
        analyze("lcp-stream", "lpc")
            .contains("there is no analyzer `lpc` in these files; they have lcp (reads lcp-stream)")
    );
    assert!(analyze("cls-stream", "lcp").contains("`lcp` reads `lcp-stream`, not `cls-stream`"));
    assert!(analyze("lcp-stream", "lcp").contains("no topic `lcp-stream`"));
}

//! The shipped pipelines, as users run them.

use perfstream::chain::Chain;
use perfstream::check::check_files;
use perfstream::host::{LogRecord, NO_LOG_TIME};
use perfstream::model::Pipeline;
use perfstream::plan::Plan;
use perfstream_core::{Kind, Tick};
use perfstream_tests::{root, under_tests, wasm};
use serde_json::Value;

fn shipped() -> Vec<Pipeline> {
    let report = check_files(&[root().join("pipelines/web-vitals.yaml")]);
    assert!(!report.is_error(), "{}", report.render(false));
    report.into_pipelines()
}

/// Alerts of a pipeline over a file of events that ends.
fn alerts(name: &str, path: &str) -> Vec<Value> {
    let pipeline = shipped().into_iter().find(|p| *p.meta.name == *name).expect("a shipped pipeline");
    let plan = Plan::new(&pipeline).expect("a plan");
    let text = std::fs::read_to_string(under_tests(path)).expect("events");
    let record = |(at, line): (usize, &str)| LogRecord {
        offset: at as i64,
        log_time_ms: NO_LOG_TIME,
        key: None,
        value: line.as_bytes().to_vec(),
    };
    let records: Vec<LogRecord> = text.lines().enumerate().map(record).collect();
    let mut found = Vec::new();
    let mut emit = |row: &perfstream_core::Row<'_>| {
        if row.meta.kind == Kind::Alert {
            let mut json = Vec::new();
            perfstream_core::json::write_row(row, &mut json);
            found.push(serde_json::from_slice(&json).expect("JSON"));
        }
    };
    let mut chain = Chain::new(&plan.spec, &wasm()).expect("a chain").with_fields(plan.router.fields().clone());
    chain.process(&records, &mut emit).expect("process");
    let end = Tick { time: 0, offset: records.len() as i64 - 1, end_of_input: true };
    chain.tick(&end, &mut emit).expect("the end");
    found
}

#[test]
fn every_document_has_tests() {
    let pipelines = shipped();
    let names: Vec<&str> = pipelines.iter().map(|p| &*p.meta.name).collect();
    assert_eq!(names, ["lcp", "cls", "fcp", "inp", "inp-sessions", "ttfb", "fid", "cls-windows", "vitals"]);
    for pipeline in &pipelines {
        assert!(pipeline.tests.len() >= 4, "{} has {} tests", pipeline.meta.name, pipeline.tests.len());
    }
}

/// Four and a half minutes of usual page views, then half a minute of slower ones on phones: far
/// from 6000 ms, so the anomaly score is the only cause. (Too long for a `tests:` block.)
#[test]
fn lcp_critical_fires_through_the_anomaly_score_alone() {
    let alerts = alerts("lcp", "cases/anomaly/lcp.jsonl");
    let critical: Vec<&Value> =
        alerts.iter().filter(|a| a["rule"] == "LCP Critical" && a["transition"] == "firing").collect();
    let [alert] = critical[..] else { panic!("{alerts:?}") };
    let p75 = alert["values"]["p75_lcp"].as_f64().expect("a percentile");
    let score = alert["values"]["anomaly_score"].as_f64().expect("a score");
    assert!(p75 < 4000.0, "p75 {p75}");
    assert!(score > 0.8 && score <= 1.0, "score {score}");
    assert_eq!(alert["timestamp"], "2026-01-05T09:05:00Z");
    assert_eq!(alert["notification"], serde_json::json!(["pagerduty", "slack"]));
}

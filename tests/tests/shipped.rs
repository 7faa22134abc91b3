//! The shipped pipelines, as users run them.

use perfstream::chain::Chain;
use perfstream::check::check_files;
use perfstream::host::{LogRecord, NO_LOG_TIME};
use perfstream::model::Pipeline;
use perfstream::plan::Plan;
use perfstream_core::{Tick, time};
use perfstream_tests::random::Random;
use perfstream_tests::{root, under_tests, wasm};
use serde_json::{Value, json};

fn shipped() -> Vec<Pipeline> {
    let report = check_files(&[root().join("pipelines/web-vitals.yaml")]);
    assert!(!report.is_error(), "{}", report.render(false));
    report.into_pipelines()
}

/// What leaves a pipeline of events that end.
fn rows(name: &str, lines: &[String]) -> Vec<Value> {
    let pipeline = shipped().into_iter().find(|p| *p.meta.name == *name).expect("a shipped pipeline");
    let plan = Plan::new(&pipeline).expect("a plan");
    let record = |(at, line): (usize, &String)| LogRecord {
        offset: at as i64,
        log_time_ms: NO_LOG_TIME,
        key: None,
        value: line.as_bytes().to_vec(),
    };
    let records: Vec<LogRecord> = lines.iter().enumerate().map(record).collect();
    let mut found = Vec::new();
    let mut emit = |row: &perfstream_core::Row<'_>| {
        let mut json = Vec::new();
        perfstream_core::json::write_row(row, &mut json);
        found.push(serde_json::from_slice(&json).expect("JSON"));
    };
    let mut chain = Chain::new(&plan.spec, &wasm()).expect("a chain").with_fields(plan.router.fields().clone());
    chain.process(&records, &mut emit).expect("process");
    let end = Tick { time: 0, offset: records.len() as i64 - 1, end_of_input: true };
    chain.tick(&end, &mut emit).expect("the end");
    found
}

fn of_kind<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["kind"] == kind).collect()
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
    let text = std::fs::read_to_string(under_tests("cases/anomaly/lcp.jsonl")).expect("events");
    let rows = rows("lcp", &text.lines().map(String::from).collect::<Vec<_>>());
    let alerts = of_kind(&rows, "alert");
    let critical: Vec<&Value> =
        alerts.into_iter().filter(|a| a["rule"] == "LCP Critical" && a["transition"] == "firing").collect();
    let [alert] = critical[..] else { panic!("{critical:?}") };
    let p75 = alert["values"]["p75_lcp"].as_f64().expect("a percentile");
    let score = alert["values"]["anomaly_score"].as_f64().expect("a score");
    assert!(p75 < 4000.0, "p75 {p75}");
    assert!(score > 0.8 && score <= 1.0, "score {score}");
    assert_eq!(alert["timestamp"], "2026-01-05T09:05:00Z");
    assert_eq!(alert["notification"], json!(["pagerduty", "slack"]));
}

/// The user's detector over the window topic: LCP, CLS and INP (in place of FID) of a page and browser are looked at
/// together; where at the same time other people came, nobody is told.
#[test]
fn vitals_tell_what_has_become_slower_and_not_who_came() {
    let lines = |phones: f64| {
        let mut random = Random::new(4);
        let mut lines = Vec::new();
        for n in 0..300 {
            let late = n >= 270;
            let time = time::format((1_767_603_600 + 30 * n) * 1_000_000);
            let mut noise = || 0.9 + 0.002 * random.below(100) as f64;
            let mobile = if late { phones } else { 0.3 * noise() };
            let slow = if late { 2.5 } else { 1.0 };
            for (field, usual) in [("p75_lcp", 1500.0 * slow), ("p75_cls", 0.05), ("p75_inp", 150.0 * slow)] {
                let row = json!({
                    "timestamp": time, "window": "five_minutes", "page": "/", "browser": "chrome", "count": 50,
                    field: usual * noise(), "mobile_share": mobile, "slow_share": 0.05, "id": format!("{field}-{n}"),
                });
                lines.push(row.to_string());
            }
        }
        lines
    };
    let told = rows("vitals", &lines(0.3));
    let anomalies = of_kind(&told, "anomaly");
    let metrics: Vec<&Value> = anomalies.iter().map(|anomaly| &anomaly["metric"]).collect();
    assert!(metrics.contains(&&json!("largest-contentful-paint")), "{metrics:?}");
    assert!(!metrics.contains(&&json!("cumulative-layout-shift")), "{metrics:?}");
    assert!(anomalies.iter().all(|a| a["direction"] == "up"), "{anomalies:#?}");
    // INP comes last, and then all that is looked at is there.
    let inp = anomalies.iter().find(|a| a["metric"] == "interaction-to-next-paint").expect("an anomaly of INP");
    assert_eq!(inp["stand_ins"], json!({ "fid": "inp" }), "{inp:#}");
    assert!(!of_kind(&told, "alert").is_empty());
    let shifted = rows("vitals", &lines(0.8));
    assert_eq!(of_kind(&shifted, "anomaly").len() + of_kind(&shifted, "alert").len(), 0);
    assert_eq!(shifted.iter().filter(|row| row["kind"].is_null()).count(), 900);
}

//! A long-running worker on a real cluster: its metrics, requests to it, its session's numbers and records.

use crate::common::{Running, nobody, p75_lcp, scrape};
use perfstream_log::testing::TestCluster;
use perfstream_log::{NewRecord, Topics, read_range};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const ROWS: usize = 300;
const PIPELINE: &str = r#"
apiVersion: perfstream/v1
kind: Pipeline
meta: { name: speed, type: continuous }
input: { topic: windows, time: { field: timestamp } }
transforms:
  - uses: perfstream/enrich@0.1.0
    with: { tables: { teams: { key: [page], rows: [{ page: /none, team: nobody }] } }, lookups: [{ table: teams, on: [page], fields: [team] }] }
  - uses: perfstream/detect@0.1.0
    with: { detector: ensemble }
  - uses: perfstream/forecast@0.1.0
    with: { field: p75_lcp, step: 30s, horizons: [30s, 5m], season: 0s, group_by: [page], kinds: [event] }
  - uses: perfstream/alert@0.1.0
    with:
      kinds: [event]
      group_by: [page]
      rules: [{ name: Slow page, condition: p75_lcp > 1900, severity: critical, notification: [pager] }]
output: { topic: judged }
routes: { anomaly: anomalies, forecast: predictions, insight: insights }
checkpoint: { interval: 1s }
"#;

struct Case {
    cluster: TestCluster,
    dir: tempfile::TempDir,
    metrics: SocketAddr,
}

impl Case {
    fn new() -> Case {
        let cluster = TestCluster::start().expect("a Fluvio server");
        let case = Case { cluster, dir: tempfile::tempdir().expect("a directory"), metrics: nobody() };
        std::fs::write(case.file(), PIPELINE).expect("a file");
        let deployed = case.perfstream("deploy").stdout(Stdio::null()).status().expect("a run");
        assert!(deployed.success());
        case
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("speed.yaml")
    }

    fn perfstream(&self, command: &str) -> Command {
        let mut perfstream = Command::new(env!("CARGO_BIN_EXE_perfstream"));
        perfstream.arg(command).arg(self.file()).args(["--cluster", self.cluster.address()]);
        perfstream
    }

    fn worker(&self) -> Running {
        let mut command = self.perfstream("run");
        command.args(["--spill-limit", "0", "--metrics", &self.metrics.to_string()]);
        Running::of(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    fn append(&self, topic: &str, values: &[Value]) {
        let log_time_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_millis() as i64;
        let record = |value: &Value| NewRecord { log_time_ms, key: None, value: value.to_string().into_bytes() };
        let records: Vec<NewRecord> = values.iter().map(record).collect();
        self.cluster.topics().append(topic, 0, &records).expect("an append");
    }

    fn all(&self, topic: &str) -> Vec<Value> {
        let mut log = self.cluster.topics();
        let extent = log.extent(topic, 0).expect("an answer");
        let records = read_range(&mut log, topic, 0, extent).expect("records");
        records.iter().map(|r| serde_json::from_slice(&r.value).expect("JSON")).collect()
    }

    /// The newest status record of a scope, once one holds.
    fn told(&self, scope: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            if let Some(told) = self.all("perfstream-status").into_iter().rfind(|told| told["scope"] == scope) {
                if holds(&told) {
                    return told;
                }
                assert!(started.elapsed() < Duration::from_secs(60), "{told}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The worker's metrics by name and labels.
    fn scrape(&self) -> BTreeMap<String, f64> {
        let text = scrape(self.metrics);
        assert!(text.starts_with("HTTP/1.0 200"), "{text}");
        assert!(text.contains("# HELP perfstream_lag_records Input records that wait"), "{text}");
        let lines = text.lines().filter(|line| line.starts_with("perfstream_"));
        lines.filter_map(|l| l.rsplit_once(' ')).map(|(k, v)| (k.into(), v.parse().expect("a number"))).collect()
    }
}

/// Half minutes of a page that is twice as slow in the last thirty.
fn rows(range: std::ops::Range<usize>) -> Vec<Value> {
    let row = |n: usize| {
        let (time, value) = (1_767_600_000 + 30 * n, p75_lcp(n as i64));
        json!({ "kind": "window", "timestamp": time, "page": "/", "p75_lcp": value, "count": 50 })
    };
    range.map(row).collect()
}

/// Counters of a stage in a partition's status.
fn counter(told: &Value, stage: &str, name: &str) -> i64 {
    let stages = told["run"]["stages"].as_array().into_iter().flatten();
    let counters = stages.filter(|s| s["stage"] == stage).map(|s| &s["counters"][name]);
    counters.filter_map(Value::as_i64).sum()
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_session_tells_what_it_did() {
    let case = Case::new();
    case.append("windows", &rows(0..ROWS));
    let worker = case.worker();
    case.told("partition", |told| told["statistics"]["eventsProcessed"] == ROWS);
    let anomaly = case.all("anomalies").first().expect("an anomaly")["anomaly_id"].clone();

    // Requests: a verdict on it, the team of the page, and what is none.
    let verdict = json!({ "type": "feedback", "alert_id": anomaly, "verdict": "false_positive" });
    let team = json!({ "type": "reference", "table": "teams", "rows": [{ "page": "/", "team": "shop" }] });
    case.append("speed-inbox", &[json!("no request"), verdict, team]);
    let told = case.told("partition", |told| counter(told, "detect", "feedback") == 1);
    assert_eq!(counter(&told, "detect", "false_positives"), 1, "{told}");
    case.append("windows", &rows(ROWS..ROWS + 10));
    case.told("partition", |told| told["statistics"]["eventsProcessed"] == ROWS + 10);
    let judged = case.all("judged");
    assert!(judged.iter().take(ROWS).all(|row| row.get("team").is_none_or(Value::is_null)), "before the request");
    assert!(judged.iter().skip(ROWS).all(|row| row["team"] == "shop"), "{:?}", judged.last());

    let metrics = case.scrape();
    let metric = |name: &str| *metrics.get(name).unwrap_or_else(|| panic!("no {name}: {metrics:#?}"));
    let place = "{pipeline=\"speed\",partition=\"0\"}";
    assert_eq!(metric(&format!("perfstream_records_total{place}")), (ROWS + 10) as f64);
    assert_eq!(metric(&format!("perfstream_position{place}")), (ROWS + 10) as f64);
    assert_eq!(metric(&format!("perfstream_lag_records{place}")), 0.0);
    for (kind, topic) in [("anomaly", "anomalies"), ("alert", "alerts"), ("forecast", "predictions")] {
        let written = metric(&format!("perfstream_written_total{{pipeline=\"speed\",kind=\"{kind}\"}}"));
        assert_eq!(written, case.all(topic).len() as f64, "{kind}");
    }
    worker.stop();

    // The session's numbers are those of the topics, and it shows their newest records.
    let session = case.told("session", |told| told["status"] == "stopped");
    let statistics = &session["statistics"];
    for (name, topic) in
        [("anomaliesDetected", "anomalies"), ("alertsTriggered", "alerts"), ("predictionsGenerated", "predictions")]
    {
        let count = case.all(topic).len();
        assert!(count > 0 && statistics[name] == count, "{name}: {statistics} {count}");
    }
    assert_eq!(statistics["eventsProcessed"], ROWS + 10);
    for (shown, topic) in [("alerts", "alerts"), ("predictions", "predictions"), ("insights", "insights")] {
        let (shown, all) = (session[shown].as_array().expect("a list"), case.all(topic));
        assert!(!shown.is_empty() && *shown == all[all.len() - shown.len()..], "{topic}: {shown:?}");
    }
    let latencies: Vec<f64> = case
        .all("perfstream-status")
        .iter()
        .filter(|told| told["statistics"]["throughput"].as_f64().is_some_and(|rate| rate > 0.0))
        .filter_map(|told| told["statistics"]["latency"]["p99_ms"].as_f64())
        .collect();
    assert!(!latencies.is_empty() && latencies.iter().any(|ms| *ms > 0.0), "{latencies:?}");

    // A worker that goes on has heard the requests once.
    let worker = case.worker();
    case.append("windows", &rows(ROWS + 10..ROWS + 20));
    let told = case.told("partition", |told| told["statistics"]["eventsProcessed"] == ROWS + 20);
    assert_eq!((counter(&told, "detect", "feedback"), counter(&told, "detect", "feedback_ignored")), (1, 0));
    assert!(case.all("judged").iter().skip(ROWS).all(|row| row["team"] == "shop"));
    worker.stop();
}

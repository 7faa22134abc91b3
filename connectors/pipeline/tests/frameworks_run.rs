//! A framework runs whole over the embedded log: rows become anomalies, these an incident; an alert is answered by a
//! change of a flag, which somebody approves and the sink makes; all of it one session.

mod common;
mod whole;

use common::{Running, Service};
use perfstream_log::NewRecord;
use perfstream_log::embedded::Log;
use serde_json::{Value, json};

#[test]
fn from_rows_to_a_response_and_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (flags, data) = (Service::start("200 OK", "ok"), dir.path().join("log"));
    let log = || Log::open(&data).expect("a log");
    let all = |topic: &str| -> Vec<Value> {
        let records = log().read(topic, 0, 0, 10_000).expect("records");
        records.iter().map(|r| serde_json::from_slice(&r.value).expect("JSON")).collect()
    };
    let append = |topic: &str, values: &[String]| {
        let record = |value: &String| NewRecord { log_time_ms: -1, key: None, value: value.clone().into_bytes() };
        let records: Vec<NewRecord> = values.iter().map(record).collect();
        log().commit(|w| w.append(topic, 0, &records).map(drop)).expect("a commit");
    };
    let (file, config) = (whole::file(dir.path()), whole::receivers(dir.path(), &flags));
    let (file, config, place) = (file.display().to_string(), config.display().to_string(), data.display().to_string());
    // The sink wants a log that is there.
    drop(log());
    let worker = Running::start(&["run", &file, "--framework", "own-real-time", "--data", &place, "--follow"]);
    let sink = Running::start(&["sink", "--config", &config, "--data", &place]);
    whole::story(|| all("actions"), append, &flags);
    sink.stop();
    worker.stop();

    let anomaly = all("anomalies").first().expect("an anomaly")["anomaly_id"].clone();
    let incidents = all("incidents");
    let incident = incidents.first().expect("an incident");
    assert_eq!((&incident["state"], &incident["anomalies"]), (&json!("open"), &json!(1)));
    let mut members = incident["members"].as_array().into_iter().flatten();
    assert!(members.any(|member| member["anomaly_id"] == anomaly), "{incident}");

    let status = all("perfstream-status");
    let session = status.iter().rfind(|told| told["scope"] == "session").expect("a session");
    assert_eq!((&session["status"], &session["frameworks"]), (&json!("stopped"), &json!(["own"])));
    assert_eq!(session["analyzers"], json!(["speed", "responses", "incidents"]));
    for (numbers, topic) in
        [("anomaliesDetected", "anomalies"), ("alertsTriggered", "alerts"), ("predictionsGenerated", "forecasts")]
    {
        let count = all(topic).len();
        assert!(count > 0 && session["statistics"][numbers] == count, "{topic}: {} {count}", session["statistics"]);
    }

    // A report of that session.
    let id = session["id"].as_str().expect("an id");
    let args = ["report", id, &file, "--stream", "pages", "--analyzer", "speed", "--data", &place, "--format", "json"];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perfstream")).args(args).output().expect("a run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["session"]["id"], id, "{}", report["session"]);
    assert_eq!(report["anomalies"].as_array().map(Vec::len), Some(1), "{}", report["anomalies"]);
}

//! A framework on a real cluster: an alert is answered by a change of a flag that somebody approves, which the sink
//! makes, which does not help, and which is taken back.

use crate::common::{Running, Service};
use crate::whole;
use perfstream_log::testing::TestCluster;
use perfstream_log::{NewRecord, Topics, read_range};
use serde_json::Value;
use std::process::{Command, Stdio};

fn append(cluster: &TestCluster, topic: &str, values: &[String]) {
    let record = |value: &String| NewRecord { log_time_ms: 0, key: None, value: value.clone().into_bytes() };
    let records: Vec<NewRecord> = values.iter().map(record).collect();
    cluster.topics().append(topic, 0, &records).expect("an append");
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_response_is_approved_executed_found_useless_and_taken_back() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let flags = Service::start("200 OK", "ok");
    let (file, config) = (whole::file(dir.path()), whole::receivers(dir.path(), &flags));
    let (file, config) = (file.display().to_string(), config.display().to_string());
    let journal = dir.path().join("sink.db").display().to_string();
    let deployed = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(["deploy", &file, "--framework", "own", "--cluster", cluster.address()])
        .stdout(Stdio::null())
        .status();
    assert!(deployed.expect("a run").success());
    let at = |args: &[&str]| Running::start(&[args, &["--cluster", cluster.address()]].concat());
    let worker = at(&["run", &file, "--framework", "own", "--spill-limit", "0"]);
    let sink = at(&["sink", "--config", &config, "--journal", &journal]);
    let actions = || {
        let mut log = cluster.topics();
        let extent = log.extent("actions", 0).expect("an answer");
        let records = read_range(&mut log, "actions", 0, extent).expect("records");
        records.iter().map(|r| serde_json::from_slice(&r.value).expect("JSON")).collect::<Vec<Value>>()
    };
    whole::story(actions, |topic, values| append(&cluster, topic, values), &flags);
    let mut log = cluster.topics();
    assert!(log.extent("incidents", 0).expect("an answer").end > 0, "the anomaly is an incident");
    worker.stop();
    sink.stop();
}

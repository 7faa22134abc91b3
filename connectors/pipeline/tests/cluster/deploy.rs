//! `perfstream deploy` and `undeploy` on a real cluster.

use perfstream::run::records;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Read, Topics};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Status, and all that was printed.
fn perfstream(cluster: &TestCluster, args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(args)
        .args(["--cluster", cluster.address()])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("a run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn count(text: &str, word: &str) -> usize {
    text.lines().filter(|line| line.starts_with(word)).count()
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_deployment_is_made_once_changed_and_removed() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let deploy = ["deploy", "pipelines/web-vitals.yaml", "--only", "lcp", "--partitions", "2"];
    let both = [&deploy[..], &["--only", "cls"]].concat();

    let (ok, dry) = perfstream(&cluster, &[&both[..], &["--dry-run"]].concat());
    assert!(ok && count(&dry, "create") > 10 && count(&dry, "upload") == 9, "{dry}");
    let (ok, first) = perfstream(&cluster, &both);
    assert!(ok && count(&first, "create") == count(&dry, "create"), "a dry run has made nothing: {first}");
    let (ok, second) = perfstream(&cluster, &both);
    assert!(ok && count(&second, "create") + count(&second, "upload") == 0, "{second}");
    assert_eq!(count(&second, "keep"), count(&first, "create") + count(&first, "upload"));

    let (ok, pruned) = perfstream(&cluster, &[&deploy[..], &["--prune"]].concat());
    assert!(
        ok && pruned.contains("delete   topic   cls-state") && !pruned.contains("delete   topic   cls-stream"),
        "{pruned}"
    );
    assert!(pruned.contains("delete   module  perfstream/sessionize"), "{pruned}");

    let (ok, gone) = perfstream(&cluster, &["undeploy", "web-vitals"]);
    assert!(ok && gone.contains("delete   topic   lcp-control"), "{gone}");
    assert!(!gone.contains("delete   topic   alerts"), "outputs stay: {gone}");
    let (ok, again) = perfstream(&cluster, &["undeploy", "web-vitals"]);
    assert!(!ok && again.contains("nothing is deployed as `web-vitals`"), "{again}");
    let mut log = cluster.topics();
    assert_eq!(log.partitions("lcp-stream").expect("an answer"), Some(2), "inputs stay");
    assert_eq!(log.partitions("lcp-control").expect("an answer"), None);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn it_runs_as_a_connector() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let (ok, text) = perfstream(&cluster, &["deploy", "pipelines/web-vitals.yaml", "--only", "lcp"]);
    assert!(ok, "{text}");
    produce_recording(&cluster);
    let dir = tempfile::tempdir().expect("a directory");
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/web-vitals.yaml");
    let config = format!(
        "apiVersion: 0.1.0\nmeta: {{ version: 0.1.0, name: a, type: perfstream, topic: lcp-stream }}\n\
         perfstream: {{ pipelines: ['{}'], only: [lcp], cluster: '${{{{ secrets.SC }}}}' }}\n",
        pipeline.display()
    );
    std::fs::write(dir.path().join("config.yaml"), config).expect("a file");
    std::fs::write(dir.path().join("secrets.txt"), format!("SC={}\n", cluster.address())).expect("a file");
    // As `cdk deploy local` starts it, with one more flag so that it ends.
    let output = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .arg("--config")
        .arg(dir.path().join("config.yaml"))
        .arg("--secrets")
        .arg(dir.path().join("secrets.txt"))
        .arg("--stop-at-end")
        .output()
        .expect("a run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let mut log = cluster.topics();
    let extent = log.extent("lcp-control", 0).expect("an answer");
    assert!(extent.end > 2, "it claimed and advanced: {text}");
}

/// The recorded page views, in the topic of the pipeline `lcp`.
fn produce_recording(cluster: &TestCluster) -> usize {
    let lines = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recording/events/lcp.jsonl"))
        .expect("the recording");
    let lines = lines.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let record = |line: &[u8]| NewRecord { log_time_ms: 0, key: None, value: line.to_vec() };
    let records: Vec<NewRecord> = lines.map(record).collect();
    cluster.topics().append("lcp-stream", 0, &records).expect("an append");
    records.len()
}

#[test]
#[ignore = "needs a Fluvio server"]
fn status_and_sessions_tell_what_was_done() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let (ok, text) = perfstream(&cluster, &["deploy", "pipelines/web-vitals.yaml", "--only", "lcp"]);
    assert!(ok, "{text}");
    let events = produce_recording(&cluster);
    let (ok, text) = perfstream(&cluster, &["run", "pipelines/web-vitals.yaml", "--only", "lcp", "--stop-at-end"]);
    assert!(ok, "{text}");
    let mut log = cluster.topics();
    let end = log.extent("perfstream-status", 0).expect("an answer").end;
    let Read::Records(records) =
        log.read("perfstream-status", 0, 0, 64 << 20, Duration::from_secs(10)).expect("records")
    else {
        panic!("status records are gone")
    };
    assert_eq!(records.len() as i64, end);
    let validator = jsonschema::validator_for(&records::schema()).expect("a schema");
    let values: Vec<Value> = records.iter().map(|r| serde_json::from_slice(&r.value).expect("JSON")).collect();
    for value in &values {
        assert!(validator.is_valid(value), "{value}");
    }
    let last = |scope: &str| values.iter().rfind(|v| v["scope"] == scope).expect("a record");
    let (session, partition) = (last("session"), last("partition"));
    assert_eq!((&session["status"], &partition["status"]), (&"stopped".into(), &"stopped".into()));
    assert_eq!(session["statistics"]["eventsProcessed"], events);
    assert_eq!((&session["analyzers"], &session["id"]), (&serde_json::json!(["lcp"]), &partition["session"]));
    assert_eq!(partition["lag_records"], 0);
    assert_eq!(partition["offsets"]["snapshot"], partition["offsets"]["next"]);
    let id = session["id"].as_str().expect("an id");
    let (ok, text) = perfstream(&cluster, &["status", "lcp"]);
    assert!(ok && text.contains(&format!("lcp/0  stopped  session {id}")) && text.contains("  aggregate: {"), "{text}");
    let (ok, text) = perfstream(&cluster, &["sessions"]);
    assert!(ok && text.contains(&format!("{id}  stopped  since ")) && text.contains("analyzers lcp"), "{text}");
}

#[test]
#[ignore = "needs a Fluvio server"]
fn what_does_not_fit_is_refused_before_anything_is_done() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let deploy = ["deploy", "pipelines/web-vitals.yaml", "--only", "lcp", "--partitions", "2"];
    cluster
        .create_topic("lcp-stream", 3, TopicOptions { retention_seconds: Some(60), ..TopicOptions::default() })
        .expect("a topic");
    cluster
        .create_topic(
            "lcp-control",
            2,
            TopicOptions { retention_seconds: Some(400 * 86_400), ..TopicOptions::default() },
        )
        .expect("a topic");
    let year = TopicOptions { retention_seconds: Some(400 * 86_400), ..TopicOptions::default() };
    cluster.create_topic("lcp-state", 3, TopicOptions { partition_bytes: Some(1 << 30), ..year }).expect("a topic");
    let (ok, text) = perfstream(&cluster, &deploy);
    assert!(!ok && text.contains("3 refused; nothing was changed"), "{text}");
    assert!(text.contains("holds 1073741824 bytes a partition; snapshots of lcp need 4294967296"), "{text}");
    assert!(text.contains("is kept for 60 s; input of lcp needs 3 d"), "{text}");
    assert!(text.contains("has 2 partitions, its input 3"), "{text}");
    let mut log = cluster.topics();
    assert_eq!(log.partitions("lcp-inbox").expect("an answer"), None);

    let (ok, text) = perfstream(&cluster, &["run", "pipelines/web-vitals.yaml", "--only", "cls"]);
    assert!(
        !ok && text.contains("there is no topic `cls-stream` on the cluster; `perfstream deploy` creates it"),
        "{text}"
    );
}

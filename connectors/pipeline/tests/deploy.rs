//! `perfstream deploy` and `undeploy` on a real cluster.

use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Topics};
use std::path::Path;
use std::process::Command;

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
    assert!(ok && count(&dry, "create") > 10 && count(&dry, "upload") == 6, "{dry}");
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
    let lines = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recording/events/lcp.jsonl"))
        .expect("the recording");
    let records: Vec<NewRecord> = lines
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| NewRecord { log_time_ms: 0, key: None, value: line.to_vec() })
        .collect();
    cluster.topics().append("lcp-stream", 0, &records).expect("an append");
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
    let (ok, text) = perfstream(&cluster, &deploy);
    assert!(!ok && text.contains("2 refused; nothing was changed"), "{text}");
    assert!(text.contains("is kept for 60 s; input of lcp needs 3 d"), "{text}");
    assert!(text.contains("has 2 partitions, its input 3"), "{text}");
    let mut log = cluster.topics();
    assert_eq!(log.partitions("lcp-state").expect("an answer"), None);

    let (ok, text) = perfstream(&cluster, &["run", "pipelines/web-vitals.yaml", "--only", "cls"]);
    assert!(
        !ok && text.contains("there is no topic `cls-stream` on the cluster; `perfstream deploy` creates it"),
        "{text}"
    );
}

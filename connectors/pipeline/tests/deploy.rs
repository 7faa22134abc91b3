//! `perfstream deploy` and `undeploy` on a real cluster.

use perfstream_log::Topics;
use perfstream_log::testing::{TestCluster, TopicOptions};
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

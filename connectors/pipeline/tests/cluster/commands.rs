//! The commands on a real cluster: over TLS, what `status` shows, and modules of two builds.

use perfstream_log::testing::TestCluster;
use perfstream_log::{LogRecord, NewRecord, Topics, read_range};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const EVENTS: i64 = 500;

/// A pipeline with a window, an alert and a dead letter, in a directory of its own.
struct Case {
    cluster: TestCluster,
    dir: tempfile::TempDir,
}

impl Case {
    fn new(cluster: TestCluster) -> Case {
        let case = Case { cluster, dir: tempfile::tempdir().expect("a directory") };
        case.write("");
        case
    }

    /// Writes the pipeline, with `keys` at its end.
    fn write(&self, keys: &str) {
        let text = "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: { name: shown, type: windowed }\n\
            input: { topic: shown-in, partition_by: page, time: { field: timestamp } }\n\
            transforms:\n  - uses: perfstream/filter@0.1.0\n    with: { where: value > 0 }\n\
            \x20 - uses: perfstream/aggregate@0.1.0\n    with:\n      group_by: [page]\n      windows:\n\
            \x20       - { name: w, type: tumbling, size: 10s, functions: { n: { type: count } } }\n\
            \x20 - uses: perfstream/alert@0.1.0\n    with: { rules: [{ name: many, condition: n > 1, severity: warning, notification: [pager] }] }\n\
            output: { topic: shown-out }\n";
        std::fs::write(self.file(), format!("{text}{keys}")).expect("a file");
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("shown.yaml")
    }

    fn perfstream(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfstream"));
        command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        command
    }

    /// On the cluster's plain address; status, and all that was printed.
    fn run(&self, args: &[&str]) -> (bool, String) {
        ended(self.perfstream(args).args(["--cluster", self.cluster.address()]))
    }

    fn with_file(&self, args: &[&str]) -> (bool, String) {
        let file = self.file().display().to_string();
        self.run(&[args, &[&file]].concat())
    }

    fn produce(&self) {
        let event = |n: i64| match n % 50 {
            7 => b"{\"torn".to_vec(),
            _ => format!("{{\"timestamp\":{},\"value\":{},\"page\":\"/{}\"}}", 1_767_600_000 + n, n % 9, n % 3)
                .into_bytes(),
        };
        let records: Vec<NewRecord> =
            (0..EVENTS).map(|n| NewRecord { log_time_ms: 0, key: None, value: event(n) }).collect();
        self.cluster.topics().append("shown-in", 0, &records).expect("an append");
    }

    fn all(&self, topic: &str) -> Vec<LogRecord> {
        let mut log = self.cluster.topics();
        let end = log.extent(topic, 0).expect("an answer").end;
        read_range(&mut log, topic, 0, 0..end).expect("records")
    }

    fn snapshots(&self) -> usize {
        self.all("shown-state").iter().filter(|r| r.key.as_deref() == Some(b"manifest")).count()
    }

    fn control(&self) -> Vec<Value> {
        self.all("shown-control").iter().map(|r| serde_json::from_slice(&r.value).expect("JSON")).collect()
    }
}

fn ended(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("a run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Without a topic, without a worker, and after a run with bad records.
#[test]
#[ignore = "needs a Fluvio server"]
fn status_shows_how_a_worker_does() {
    let case = Case::new(TestCluster::start().expect("a Fluvio server"));
    let (ok, text) = case.run(&["status"]);
    assert!(!ok && text.contains("there is no topic `perfstream-status`"), "{text}");
    let (ok, text) = case.with_file(&["deploy"]);
    assert!(ok, "{text}");
    assert!(case.run(&["status"]).1.contains("no worker has reported"));
    case.produce();
    let (ok, text) = case.with_file(&["run", "--stop-at-end"]);
    assert!(ok, "{text}");

    let (ok, shown) = case.run(&["status"]);
    assert!(ok, "{shown}");
    for word in [
        "shown/0  stopped",
        "lag 0 records",
        "next 500",
        "end 500",
        "snapshot 500",
        "events 500",
        "dead letters 10",
        "filter:",
        "aggregate:",
        "alert:",
    ] {
        assert!(shown.contains(word), "`{word}` is not in\n{shown}");
    }
}

/// `checkpoint` and `recovery` get from the file to the worker.
#[test]
#[ignore = "needs a Fluvio server"]
fn checkpoint_and_recovery_of_the_file_are_followed() {
    let case = Case::new(TestCluster::start().expect("a Fluvio server"));
    let (ok, text) = case.with_file(&["deploy"]);
    assert!(ok, "{text}");
    case.produce();
    let (mut resets, mut taken) = (Vec::new(), Vec::new());
    for (interval, recovery) in [("1h", "latest"), ("1ms", "latest"), ("1h", "safe"), ("1h", "empty")] {
        case.write(&format!("checkpoint: {{ interval: {interval}, retain: 2 }}\nrecovery: {recovery}\n"));
        let (entries, snapshots) = (case.control().len(), case.snapshots());
        let (ok, text) = case.with_file(&["run", "--stop-at-end"]);
        assert!(ok, "{text}");
        let new = &case.control()[entries..];
        let controls = new.iter().filter_map(|e| e["controls"].as_array()).flatten();
        resets.push(controls.filter(|c| c["event"] == "cut").map(|c| c["reset"].clone()).collect::<Vec<_>>());
        taken.push(case.snapshots() - snapshots);
    }
    // The first start begins at the first record; `empty` does so again.
    assert_eq!(resets, [vec![Value::from(0)], vec![], vec![], vec![Value::from(0)]]);
    // One at the end of each run, one at the start of the state, and one where the interval was over.
    assert_eq!(taken, [2, 2, 1, 1]);
    let control = case.control();
    let kept: Vec<usize> = control.iter().filter_map(|e| Some(e["snapshots"].as_array()?.len())).collect();
    assert_eq!(kept.iter().max(), Some(&2), "{kept:?}");
}

/// A worker of another build than the deployed one would share its state.
#[test]
#[ignore = "needs a Fluvio server"]
fn modules_of_another_build_are_refused() {
    let case = Case::new(TestCluster::start().expect("a Fluvio server"));
    let (ok, text) = case.with_file(&["deploy"]);
    assert!(ok, "{text}");
    // The same filter with a custom section behind it: other bytes.
    let other = case.dir.path().join("modules");
    std::fs::create_dir(&other).expect("a directory");
    for (stage, wasm) in perfstream::modules::EMBEDDED {
        let mut wasm = wasm.to_vec();
        if *stage == "filter" {
            wasm.extend([0, 2, 1, b'x']);
        }
        std::fs::write(other.join(format!("{stage}.wasm")), wasm).expect("a file");
    }
    let other = other.display().to_string();
    let (ok, text) = case.with_file(&["run", "--stop-at-end", "--modules", &other]);
    assert!(
        !ok && text.contains("the cluster has other bytes under `perfstream/filter@0.1.0`")
            && !text.contains("aggregate"),
        "{text}"
    );
    assert_eq!(case.control().len(), 0, "it claimed nothing");
    let (ok, text) = case.with_file(&["deploy", "--modules", &other]);
    assert!(!ok && text.contains("1 refused; nothing was changed"), "{text}");
    let (ok, text) = case.with_file(&["deploy", "--replace-modules", "--modules", &other]);
    assert!(ok && text.contains("replace  module  perfstream/filter@0.1.0"), "{text}");
    let (ok, text) = case.with_file(&["run", "--stop-at-end", "--modules", &other]);
    assert!(ok, "{text}");
    let (ok, text) = case.with_file(&["run", "--stop-at-end"]);
    assert!(!ok && text.contains("perfstream/filter@0.1.0"), "now this build is the other one: {text}");
}

/// deploy, run and status by a profile with TLS on both sides.
#[test]
#[ignore = "needs a Fluvio server"]
fn it_works_over_tls() {
    let case = Case::new(TestCluster::start_with_tls().expect("a Fluvio server"));
    let file = case.file().display().to_string();
    let by = |profile: &Path, args: &[&str]| ended(case.perfstream(args).env("FLV_PROFILE_PATH", profile));
    let profile = case.cluster.profile(true);
    let (ok, text) = by(&profile, &["deploy", &file]);
    assert!(ok && text.contains("deployed `shown`"), "{text}");
    case.produce();
    let (ok, text) = by(&profile, &["run", &file, "--cluster", "--stop-at-end"]);
    assert!(ok, "{text}");
    let (ok, text) = by(&profile, &["status"]);
    assert!(ok && text.contains("events 500"), "{text}");
    assert!(!case.all("alerts").is_empty());

    let (ok, text) = by(&case.cluster.profile(false), &["status"]);
    assert!(!ok && text.contains("cannot connect to a Fluvio cluster at"), "{text}");
    assert!(text.contains("certificate"), "it says what is wrong: {text}");
    let (ok, text) = ended(&mut case.perfstream(&["status", "--cluster", case.cluster.address()]));
    assert!(!ok && text.contains("cannot connect to a Fluvio cluster at"), "without TLS: {text}");
}

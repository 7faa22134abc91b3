//! Workers with `--instance auto` share the partitions of a real cluster, and take over from each other.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use perfstream_log::testing::TestCluster;
use perfstream_log::{NewRecord, Read, Topics};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 4;
const PIPELINE: &str = "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: { name: many, type: continuous }\n\
                        input: { topic: many-in }\ntransforms: [{ uses: perfstream/filter@0.1.0, with: { where: n >= 0 } }]\n\
                        output: { topic: many-out }\n";

fn worker(cluster: &TestCluster, file: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .arg("run")
        .arg(file)
        .args(["--instance", "auto", "--cluster", cluster.address()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a worker")
}

fn all(log: &mut impl Topics, topic: &str, partition: u32) -> Vec<Value> {
    let extent = log.extent(topic, partition).expect("an answer");
    let (mut next, mut found) = (extent.start, Vec::new());
    while next < extent.end {
        let Read::Records(records) =
            log.read(topic, partition, next, 4 << 20, Duration::from_secs(10)).expect("records")
        else {
            panic!("records are gone")
        };
        next = records.last().expect("a record").offset + 1;
        found.extend(records.iter().map(|r| serde_json::from_slice::<Value>(&r.value).expect("JSON")));
    }
    found
}

/// The last worker that claimed each partition.
fn holders(log: &mut impl Topics) -> BTreeMap<u32, String> {
    let claim = |entry: &Value| (entry["type"] == "claim").then(|| entry["instance"].as_str().map(str::to_string))?;
    let last = |log: &mut _, p| all(log, "many-control", p).iter().filter_map(claim).next_back();
    (0..PARTITIONS).filter_map(|p| Some((p, last(log, p)?))).collect()
}

fn outputs(log: &mut impl Topics) -> BTreeMap<i64, BTreeSet<String>> {
    let mut found: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for value in all(log, "many-out", partition) {
            found.entry(value["n"].as_i64().expect("a number")).or_default().insert(value.to_string());
        }
    }
    found
}

fn produce(log: &mut impl Topics, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let record = NewRecord { log_time_ms: 0, key: None, value: format!("{{\"n\":{n}}}").into_bytes() };
        log.append("many-in", n as u32 % PARTITIONS, &[record]).expect("an append");
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(90), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "needs a Fluvio server"]
fn workers_share_and_take_over() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("many.yaml");
    std::fs::write(&file, PIPELINE).expect("a file");
    let deployed = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(["deploy", "--cluster", cluster.address(), "--partitions", &PARTITIONS.to_string()])
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .expect("a run");
    assert!(deployed.success());
    let mut log = cluster.topics();
    let mut first = worker(&cluster, &file);
    produce(&mut log, 0..100);
    until("one worker holds all", || holders(&mut log).len() == PARTITIONS as usize);
    let mut second = worker(&cluster, &file);
    let names = |log: &mut _| holders(log).into_values().collect::<Vec<String>>();
    until("two workers hold two each", || {
        let names = names(&mut log);
        let counts: BTreeSet<usize> = names.iter().map(|n| names.iter().filter(|m| *m == n).count()).collect();
        counts == [2].into()
    });
    produce(&mut log, 100..200);
    first.kill().expect("a kill");
    first.wait().expect("an end");
    produce(&mut log, 200..300);
    until("the second takes over", || {
        let names: BTreeSet<String> = names(&mut log).into_iter().collect();
        names.len() == 1
    });
    until("all is processed", || outputs(&mut log).len() == 300);
    kill(Pid::from_raw(second.id() as i32), Signal::SIGTERM).expect("a signal");
    assert!(second.wait().expect("an end").success());
    let found = outputs(&mut log);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    assert!(found.values().all(|values| values.len() == 1), "copies are identical");
}

//! Workers with `--instance auto` share the partitions of a real cluster, and take over from each other.

use crate::common::Running;
use perfstream_log::testing::TestCluster;
use perfstream_log::{NewRecord, Topics, read_range};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 4;
const PIPELINE: &str = "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: { name: many, type: continuous }\n\
                        input: { topic: many-in }\ntransforms: [{ uses: perfstream/filter@0.1.0, with: { where: n >= 0 } }]\n\
                        output: { topic: many-out }\n";

fn command(cluster: &TestCluster, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfstream"));
    command.arg("run").arg(file).args(["--spill-limit", "0", "--cluster", cluster.address()]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn worker(cluster: &TestCluster, file: &Path) -> Running {
    Running::of(command(cluster, file).args(["--instance", "auto"]))
}

fn deploy(cluster: &TestCluster, file: &Path) {
    let deployed = Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(["deploy", "--cluster", cluster.address(), "--partitions", &PARTITIONS.to_string()])
        .arg(file)
        .stdout(Stdio::null())
        .status()
        .expect("a run");
    assert!(deployed.success());
}

fn all(log: &mut impl Topics, topic: &str, partition: u32) -> Vec<Value> {
    let extent = log.extent(topic, partition).expect("an answer");
    let records = read_range(log, topic, partition, extent).expect("records");
    records.iter().map(|r| serde_json::from_slice(&r.value).expect("JSON")).collect()
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
        assert!(started.elapsed() < Duration::from_secs(120), "{what}");
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
    deploy(&cluster, &file);
    let mut log = cluster.topics();
    let first = worker(&cluster, &file);
    produce(&mut log, 0..100);
    until("one worker holds all", || holders(&mut log).len() == PARTITIONS as usize);
    let second = worker(&cluster, &file);
    let names = |log: &mut _| holders(log).into_values().collect::<Vec<String>>();
    until("two workers hold two each", || {
        let names = names(&mut log);
        let counts: BTreeSet<usize> = names.iter().map(|n| names.iter().filter(|m| *m == n).count()).collect();
        counts == [2].into()
    });
    produce(&mut log, 100..200);
    first.kill();
    produce(&mut log, 200..300);
    until("the second takes over", || {
        let names: BTreeSet<String> = names(&mut log).into_iter().collect();
        names.len() == 1
    });
    until("all is processed", || outputs(&mut log).len() == 300);
    second.stop();
    let found = outputs(&mut log);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    assert!(found.values().all(|values| values.len() == 1), "copies are identical");
}

/// Two processes with fixed shares, and then the two that `scaling` asks for.
#[test]
#[ignore = "needs a Fluvio server"]
fn as_many_workers_as_the_file_says() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("many.yaml");
    std::fs::write(&file, format!("{PIPELINE}scaling: {{ type: manual, instances: 2 }}\n")).expect("a file");
    deploy(&cluster, &file);
    let mut log = cluster.topics();
    let shares = |log: &mut _| {
        let mut shares: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        holders(log).into_iter().for_each(|(partition, name)| shares.entry(name).or_default().push(partition));
        let mut shares: Vec<Vec<u32>> = shares.into_values().collect();
        shares.sort();
        shares
    };
    let fixed = ["0/2", "1/2"].map(|share| Running::of(command(&cluster, &file).args(["--instance", share])));
    produce(&mut log, 0..100);
    until("each has its share", || shares(&mut log) == [[0, 2], [1, 3]]);
    until("all is processed", || outputs(&mut log).len() == 100);
    fixed.into_iter().for_each(Running::stop);

    let claims = |log: &mut _| (0..PARTITIONS).map(|p| all(log, "many-control", p).len()).sum::<usize>();
    let before = claims(&mut log);
    let fleet = Running::of(&mut command(&cluster, &file));
    until("two have joined", || living(&mut log, |_| true).len() == 2);
    until("they have taken the partitions", || claims(&mut log) > before && shares(&mut log).len() == 2);
    produce(&mut log, 100..200);
    until("all is processed", || outputs(&mut log).len() == 200);
    fleet.stop();
    assert!(living(&mut log, |_| true).is_empty(), "every worker has left");
    assert!(outputs(&mut log).values().all(|values| values.len() == 1), "copies are identical");
}

/// Workers that have joined and not left, of whose words one at least holds.
fn living(log: &mut impl Topics, holds: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let words = all(log, "perfstream-members", 0);
    let gone = |w: &Value| words.iter().any(|v| v["session"] == w["session"] && v["alive"] == false);
    let living = words.iter().filter(|w| holds(w) && !gone(w));
    living.filter_map(|w| w["session"].as_str().map(str::to_string)).collect()
}

fn loaded(log: &mut impl Topics) -> BTreeSet<String> {
    living(log, |word| word["load"].is_object())
}

/// A supervisor starts a worker when the load is high, and drains it when it is low.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_fleet_grows_and_shrinks() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("many.yaml");
    let scaling = "scaling: { type: auto, min: 1, max: 2, metrics: [throughput], targets: { throughput: 20 } }\n";
    std::fs::write(&file, format!("{PIPELINE}{scaling}")).expect("a file");
    deploy(&cluster, &file);
    let mut log = cluster.topics();
    let fleet = Running::of(&mut command(&cluster, &file));
    let mut produced = 0;
    let mut producing = |log: &mut _| {
        produce(log, produced..produced + 40);
        produced += 40;
    };
    until("a second worker comes under load", || {
        producing(&mut log);
        loaded(&mut log).len() == 2
    });
    until("it is drained without", || loaded(&mut log).len() == 1);
    until("all is processed", || outputs(&mut log).len() as i64 == produced);
    fleet.stop();
    assert!(loaded(&mut log).is_empty(), "every worker has left");
    let found = outputs(&mut log);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..produced).collect::<Vec<_>>());
    assert!(found.values().all(|values| values.len() == 1), "copies are identical");
}

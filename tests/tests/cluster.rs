//! Shipped pipelines on a real cluster: the outputs are those of an embedded run that is fed the
//! cluster's own input and control entries, whether the worker runs the whole chain or the SPU its front.

use perfstream::chain::front::{front_len, spu_chain};
use perfstream::exact::{Job, PartitionWorker, RENEW_AFTER, audit};
use perfstream::model::{Pipeline, Recovery};
use perfstream::plan::{Plan, PlanSpec};
use perfstream::run::cluster::now;
use perfstream::{check, docs, registry, topics};
use perfstream_log::cluster::ClusterTopics;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{LogRecord, NewRecord, Read, SpuRead, Topics};
use perfstream_tests::{module, root, wasm};
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 2;

/// Records that browsers and servers sent, by topic, and lines that are none.
fn recording(topic: &str) -> Vec<Vec<u8>> {
    let name = topic.strip_suffix("-stream").unwrap_or(topic);
    let recorded = ["events", "servers"].map(|kind| root().join(format!("tests/recording/{kind}/{name}.jsonl")));
    // Not every topic was recorded: then the lines that are no events are all.
    let text = recorded.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
    let mut lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect();
    lines.extend([b"{\"torn".to_vec(), b"\xff\x00".to_vec(), b"{\"kind\":\"tick\",\"time\":1}".to_vec()]);
    lines
}

/// Appends the entries of the control topic's first partition to a partition of the input.
fn forge(log: &mut ClusterTopics, control: &str, input: &str, partition: u32) {
    let extent = log.extent(control, 0).expect("an answer");
    if extent.is_empty() {
        return;
    }
    let Read::Records(entries) = log.read(control, 0, extent.start, 1 << 20, Duration::from_secs(10)).expect("entries")
    else {
        panic!("entries are gone")
    };
    assert!(entries.len() > 2);
    let record = |entry: LogRecord| NewRecord { log_time_ms: 0, key: None, value: entry.value };
    let records: Vec<NewRecord> = entries.into_iter().map(record).collect();
    log.append(input, partition, &records).expect("an append");
}

#[test]
#[ignore = "needs a Fluvio server"]
fn every_shipped_pipeline_gives_the_same_records_on_a_cluster() {
    conformance(false);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn every_front_gives_the_same_records_in_the_spu() {
    conformance(true);
}

/// The shipped pipelines; without `dedupe`, which keeps state, where the SPU is to run their fronts.
fn pipelines(prefilter: bool) -> Vec<Pipeline> {
    let files = ["web-vitals", "backend", "infrastructure", "incidents", "response"];
    let report = check::check_files(&files.map(|name| root().join(format!("pipelines/{name}.yaml"))));
    let mut pipelines = report.into_pipelines();
    if prefilter {
        pipelines.iter_mut().for_each(|p| p.input.dedupe = None);
        pipelines.retain(|p| front_len(&PlanSpec::new(p).expect("a plan").chain).expect("a front") > 0);
    }
    assert!(pipelines.len() > 5);
    pipelines
}

/// Waits until the SPU runs the front of a plan: it hears of a module some time after its upload.
fn spu_runs(log: &mut ClusterTopics, plan: &PlanSpec, partition: u32) {
    let chain = Arc::new(spu_chain(&plan.chain, &wasm()).expect("a front"));
    let from = log.extent(&plan.input_topic, partition).expect("an answer").start;
    for _ in 0..600 {
        let wait = Duration::from_millis(500);
        let read = log.read_spu(&plan.input_topic, partition, from, &chain, 1 << 20, wait).expect("an answer");
        match read {
            SpuRead::Outputs(outputs) if !outputs.is_empty() => return,
            SpuRead::Outputs(_) => {}
            SpuRead::Refused(_) => std::thread::sleep(Duration::from_millis(100)),
            SpuRead::Gap(range) => panic!("{range:?} are gone"),
        }
    }
    panic!("the SPU does not run the front");
}

fn conformance(prefilter: bool) {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let mut log = cluster.topics();
    if prefilter {
        for stage in ["filter", "enrich", "classify"] {
            let package = docs::smart_module_toml(registry::find(stage).expect("a stage"));
            cluster.block_on(cluster.cluster().upload_module(&package, &module(stage))).expect("an upload");
        }
    }
    let mut heard = std::collections::BTreeSet::new();
    for pipeline in pipelines(prefilter) {
        let name = pipeline.meta.name.to_string();
        let plan = PlanSpec::new(&pipeline).expect("a plan");
        let mut outputs = Plan::of(&plan).expect("a plan").router.topics().to_vec();
        // What the pipelines before wrote, and the forged entries below: `incidents` reads `anomalies`.
        outputs.retain(|topic| *topic != plan.input_topic);
        let (control, state) = (topics::control(&name), topics::state(&name));
        for topic in outputs.iter().chain([&plan.input_topic, &control, &state]) {
            if log.partitions(topic).expect("an answer").is_none() {
                cluster.create_topic(topic, PARTITIONS, TopicOptions::default()).expect("a topic");
            }
        }
        let before = audit::written(&mut log, &outputs).expect("outputs");
        let lines = recording(&plan.input_topic);
        for partition in 0..PARTITIONS {
            let share = lines.iter().skip(partition as usize).step_by(PARTITIONS as usize);
            let records: Vec<NewRecord> =
                share.map(|l| NewRecord { log_time_ms: 0, key: None, value: l.clone() }).collect();
            log.append(&plan.input_topic, partition, &records).expect("an append");
        }
        let (mut expected, mut from_spu) = (std::collections::BTreeSet::new(), 0);
        for partition in 0..PARTITIONS {
            // Claims, advances and all that the worker before wrote for itself, as input: data.
            forge(&mut log, &control, &plan.input_topic, partition);
            let job = Job {
                config: plan.hash().expect("a hash"),
                plan: plan.clone(),
                chain: wasm(),
                control_topic: control.clone(),
                state_topic: state.clone(),
                inbox_topic: None,
                checkpoint: Duration::from_millis(50),
                retain: 3,
                recovery: Recovery::Latest,
                renew_after: RENEW_AFTER,
                keep_waiting: None,
                prefilter,
                careful: false,
                instance: format!("{name}-{partition}"),
            };
            // It knows a module that it has run; each chain is compiled anew.
            let front = plan.chain.stages.iter().take(front_len(&plan.chain).expect("a front"));
            let heard_before = heard.len();
            heard.extend(front.map(|stage| stage.stage.clone()));
            if prefilter && heard.len() > heard_before {
                spu_runs(&mut log, &plan, partition);
            }
            let end = log.extent(&plan.input_topic, partition).expect("an answer").end;
            let mut prefiltered = 0u64;
            let connection = cluster.topics();
            let mut worker = PartitionWorker::start(connection, job, partition, now()).expect("a start");
            while worker.next() < end {
                prefiltered += worker.step(now(), Duration::from_millis(100)).expect("a step").prefiltered;
            }
            assert!(prefiltered as i64 <= end);
            from_spu += prefiltered;
            // The clock goes on by hours: what is open closes by ticks.
            for hour in 1..4 {
                worker.step(now() + hour * 3_600_000_000, Duration::ZERO).expect("a step");
            }
            let summary = worker.finish().expect("an end");
            assert!(summary.balance.holds(), "{name}: {:?}", summary.balance);
            assert_eq!(summary.balance.input as i64, end, "{name}");
            expected
                .extend(audit::expected(&mut log, &plan.input_topic, &control, partition, &wasm()).expect("an audit"));
        }
        // Not of each partition: windows that the hours of the pipeline before closed are too far in the future for
        // this one's SPU, as `slo` reads what `slo-windows` writes.
        assert_eq!(from_spu > 0, prefilter, "{name}: the SPU was asked in vain");
        let found = audit::written(&mut log, &outputs).expect("outputs");
        // Topics are shared by pipelines: those of the ones before are there too.
        let new: Vec<_> = found.keys().filter(|o| !before.contains_key(*o)).cloned().collect();
        assert!(expected.iter().any(|(topic, _)| topic == "dead-letters"), "{name}: the torn record is a dead letter");
        assert_eq!(new.len(), expected.len(), "{name}");
        assert!(expected.iter().all(|o| found.contains_key(o)), "{name}");
        println!("{name}: {} records", expected.len());
    }
}

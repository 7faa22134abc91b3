//! What Fluvio does to a chain that runs in the SPU (the hazards H1 to H6 that ARCHITECTURE.md names):
//! each test shows the loss with Fluvio's own consumer and the same modules, and that a worker has none.

use fluvio::Offset;
use fluvio::consumer::{
    ConsumerConfigExtBuilder, SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind,
};
use futures_util::StreamExt;
use perfstream::plan::PlanSpec;
use perfstream::{check, transforms};
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{LogRecord, NewRecord, Read, Topics};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A cluster on which one filter is deployed as a pipeline.
struct Case {
    cluster: TestCluster,
    plan: PlanSpec,
    file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Case {
    /// `with`: the filter's parameters; `input`: how the topic `in` is stored.
    fn new(with: &str, input: TopicOptions) -> Case {
        let cluster = TestCluster::start().expect("a Fluvio server");
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("hazard.yaml");
        let text = format!(
            "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: {{ name: hazard, type: continuous }}\n\
             input: {{ topic: in }}\ntransforms: [{{ uses: perfstream/filter@0.1.0, with: {with} }}]\n\
             output: {{ topic: out }}\n"
        );
        std::fs::write(&file, text).expect("a file");
        let report = check::check_files(std::slice::from_ref(&file));
        assert!(!report.is_error(), "{}", report.render(false));
        let plan = PlanSpec::new(&report.into_pipelines()[0]).expect("a plan");
        cluster.create_topic("in", 1, input).expect("a topic");
        let case = Case { cluster, plan, file, _dir: dir };
        case.perfstream(&["deploy"]);
        case
    }

    fn perfstream(&self, args: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_perfstream"))
            .args(args)
            .arg(&self.file)
            .args(["--cluster", self.cluster.address()])
            .output()
            .expect("a run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Appends records, all of them as one batch.
    fn produce(&self, values: impl IntoIterator<Item = Vec<u8>>) {
        let record = |value| NewRecord { log_time_ms: 1_767_225_600_000, key: None, value };
        let records: Vec<NewRecord> = values.into_iter().map(record).collect();
        self.cluster.topics().append("in", 0, &records).expect("an append");
    }

    /// What Fluvio's consumer gives with the filter in the SPU: offset, log time and value.
    fn naive(&self, start: i64) -> Vec<(i64, i64, Vec<u8>)> {
        let stage = &self.plan.chain.stages[0];
        let mut stateless = self.plan.clone();
        let keeps_state = stage.config.contains("dedupe");
        if keeps_state {
            // Only here: `transforms` would rightly refuse it.
            stateless.chain.stages[0].config = "{}".into();
        }
        let (steps, _) = transforms::front(&stateless).expect("a front");
        let mut params: BTreeMap<String, String> = steps[0].with.iter().cloned().collect();
        params.insert("config".into(), stage.config.clone());
        let filter = SmartModuleInvocation {
            wasm: SmartModuleInvocationWasm::Predefined(steps[0].uses.clone()),
            kind: SmartModuleKind::Generic(Default::default()),
            params: SmartModuleExtraParams::from(params),
            name: Some("filter".into()),
        };
        self.cluster.block_on(async {
            let mut config = ConsumerConfigExtBuilder::default();
            let start = Offset::absolute(start).expect("an offset");
            config.topic("in").partition(0).offset_start(start).smartmodule(vec![filter]);
            let client = self.cluster.cluster().client();
            let mut stream = client.consumer_with_config(config.build().expect("a config")).await.expect("a stream");
            let mut found = Vec::new();
            // The SPU compiles the module first. After that, what has not come in three seconds does not.
            let mut patience = Duration::from_secs(15);
            while let Ok(Some(Ok(record))) = tokio::time::timeout(patience, stream.next()).await {
                found.push((record.offset(), record.timestamp(), record.value().to_vec()));
                patience = Duration::from_secs(3);
            }
            found
        })
    }

    /// What a worker writes.
    fn ours(&self) -> Vec<LogRecord> {
        self.perfstream(&["run", "--stop-at-end"]);
        let mut log = self.cluster.topics();
        let (mut next, end) = (0, log.extent("out", 0).expect("an answer").end);
        let mut found = Vec::new();
        while next < end {
            let Read::Records(records) = log.read("out", 0, next, 8 << 20, Duration::from_secs(10)).expect("records")
            else {
                panic!("outputs are gone")
            };
            next = records.last().expect("a record").offset + 1;
            found.extend(records);
        }
        found
    }
}

fn event(n: usize, hit: bool, bytes: usize) -> Vec<u8> {
    let head = format!("{{\"n\":{n},\"hit\":{hit},\"pad\":\"");
    let pad = "x".repeat(bytes.saturating_sub(head.len() + 2));
    format!("{head}{pad}\"}}").into_bytes()
}

fn number(value: &[u8]) -> u64 {
    let value: Value = serde_json::from_slice(value).expect("JSON");
    value["n"].as_u64().expect("a number")
}

fn numbers(records: &[LogRecord]) -> Vec<u64> {
    records.iter().map(|r| number(&r.value)).collect()
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h1_rare_output_skips_segments() {
    let segments = TopicOptions { segment_bytes: Some(20_000), ..TopicOptions::default() };
    let case = Case::new("{ where: hit }", segments);
    for n in 0..400 {
        case.produce([event(n, n == 200 || n == 390, 150)]);
    }
    let naive = case.naive(0);
    assert!(naive.len() < 2, "Fluvio no longer skips segments: {} of 2 came", naive.len());
    assert_eq!(numbers(&case.ours()), [200, 390]);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h2_an_output_larger_than_an_answer_is_lost_with_what_follows() {
    let case = Case::new("{ where: hit }", TopicOptions::default());
    case.produce([event(0, true, 1 << 20)]);
    case.produce([event(1, true, 100)]);
    let naive = case.naive(0);
    assert!(naive.len() < 2, "Fluvio no longer loses large outputs");
    assert_eq!(numbers(&case.ours()), [0, 1]);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h3_an_answer_that_overflows_is_processed_twice() {
    let case = Case::new("{ dedupe: { key: [n], horizon: 1h } }", TopicOptions::default());
    case.produce((0..3).map(|n| event(n, true, 600_000)));
    let naive: Vec<u64> = case.naive(0).iter().map(|(_, _, value)| number(value)).collect();
    assert_ne!(naive, [0, 1, 2], "Fluvio no longer processes a batch twice");
    assert_eq!(numbers(&case.ours()), [0, 1, 2]);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h4_a_start_inside_a_batch_drops_what_is_found() {
    let case = Case::new("{ where: hit }", TopicOptions::default());
    case.produce((0..10).map(|n| event(n, n == 7, 100)));
    assert_eq!(case.naive(5).len(), 0, "Fluvio no longer drops the output of a batch that it enters in the middle");
    // A worker enters a batch in the middle when a predecessor stopped there; its reader cuts the batch.
    let Read::Records(records) =
        case.cluster.topics().read("in", 0, 5, 1 << 20, Duration::from_secs(10)).expect("records")
    else {
        panic!("records are gone")
    };
    assert_eq!(numbers(&records), [5, 6, 7, 8, 9]);
    assert_eq!(numbers(&case.ours()), [7]);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h5_and_h6_source_offset_and_log_time_are_lost() {
    let case = Case::new("{ where: hit }", TopicOptions::default());
    case.produce((0..20).map(|n| event(n, [7, 12, 14].contains(&n), 100)));
    let naive = case.naive(0);
    assert_eq!(naive.iter().map(|(_, _, v)| number(v)).collect::<Vec<_>>(), [7, 12, 14]);
    assert_eq!(naive.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [0, 1, 2], "Fluvio keeps offsets now");
    assert!(naive.iter().all(|(_, time, _)| *time == -1), "Fluvio keeps log times now");
    let ours = case.ours();
    let source = |r: &LogRecord| serde_json::from_slice::<Value>(&r.value).expect("JSON")["source_offset"].as_i64();
    assert_eq!(ours.iter().map(source).collect::<Vec<_>>(), [Some(7), Some(12), Some(14)]);
    assert!(ours.iter().all(|r| r.log_time_ms > 0));
}

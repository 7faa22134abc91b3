//! What Fluvio does to a chain that runs in the SPU (the hazards H1 to H8 that ARCHITECTURE.md names):
//! each test shows the loss with Fluvio's own consumer, and that a worker has none, nor one whose front
//! the SPU runs. H1 to H6 have the same module on both sides, H7 and H8 one that `#[smartmodule]` made
//! (`tests/naive`).

use fluvio::Offset;
use fluvio::consumer::{
    ConsumerConfigExtBuilder, RetryMode, SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm,
    SmartModuleKind,
};
use futures_util::StreamExt;
use perfstream::chain::ChainOptions;
use perfstream::chain::front::{FrontBatch, spu_chain};
use perfstream::plan::PlanSpec;
use perfstream::{check, topics, transforms};
use perfstream_log::cluster::{Cluster, ClusterTopics, ReaderOptions, Target, WriterOptions};
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{LogRecord, NewRecord, Read, SpuChain, SpuRead, Topics, read_range};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// What Fluvio's consumer does after an error unless told otherwise.
const FLUVIO_RETRIES: RetryMode = RetryMode::TryUntil(100);

/// A cluster on which one filter is deployed as a pipeline.
struct Case {
    cluster: TestCluster,
    plan: PlanSpec,
    /// Placed in the worker, and with the front in the SPU
    file: PathBuf,
    spu_file: PathBuf,
    _dir: tempfile::TempDir,
}

impl Case {
    /// `with`: the filter's parameters; `input`: how the topic `in` is stored.
    fn new(with: &str, input: TopicOptions) -> Case {
        let cluster = TestCluster::start().expect("a Fluvio server");
        let dir = tempfile::tempdir().expect("a directory");
        let write = |placement: &str| {
            let file = dir.path().join(format!("{placement}.yaml"));
            let text = format!(
                "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: {{ name: {placement}, type: continuous }}\n\
                 input: {{ topic: in }}\ntransforms: [{{ uses: perfstream/filter@0.1.0, with: {with} }}]\n\
                 output: {{ topic: out-{placement} }}\nplacement: {placement}\n"
            );
            std::fs::write(&file, text).expect("a file");
            file
        };
        let (file, spu_file) = (write("worker"), write("spu-prefilter"));
        let report = check::check_files(std::slice::from_ref(&file));
        assert!(!report.is_error(), "{}", report.render(false));
        let plan = PlanSpec::new(&report.into_pipelines()[0]).expect("a plan");
        cluster.create_topic("in", 1, input).expect("a topic");
        let case = Case { cluster, plan, file, spu_file, _dir: dir };
        case.perfstream(&["deploy"], &case.file);
        case
    }

    fn perfstream(&self, args: &[&str], file: &Path) {
        let output = Command::new(env!("CARGO_BIN_EXE_perfstream"))
            .args(args)
            .arg(file)
            .args(["--cluster", self.cluster.address()])
            .output()
            .expect("a run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Appends records, in batches of 1 MiB.
    fn produce(&self, values: impl IntoIterator<Item = Vec<u8>>) {
        self.produce_in(1 << 20, values);
    }

    fn produce_in(&self, batch_bytes: usize, values: impl IntoIterator<Item = Vec<u8>>) {
        let record = |value| NewRecord { log_time_ms: 1_767_225_600_000, key: None, value };
        let records: Vec<NewRecord> = values.into_iter().map(record).collect();
        let target = Target::Address(self.cluster.address().into());
        let cluster = Arc::new(self.cluster.block_on(Cluster::connect(&target)).expect("a connection"));
        let runtime = self.cluster.runtime().handle().clone();
        let writing = WriterOptions { batch_bytes, ..WriterOptions::default() };
        let mut log = ClusterTopics::with_options(cluster, runtime, ReaderOptions::default(), writing);
        log.append("in", 0, &records).expect("an append");
    }

    /// What Fluvio's consumer gives with the filter in the SPU: offset, log time and value.
    fn naive(&self, start: i64) -> Vec<(i64, i64, Vec<u8>)> {
        self.consume(start, self.filter(), FLUVIO_RETRIES)
    }

    /// The pipeline's filter, as `perfstream transforms` hands it to Fluvio.
    fn filter(&self) -> SmartModuleInvocation {
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
        SmartModuleInvocation {
            wasm: SmartModuleInvocationWasm::Predefined(steps[0].uses.clone()),
            kind: SmartModuleKind::Generic(Default::default()),
            params: SmartModuleExtraParams::from(params),
            name: Some("filter".into()),
        }
    }

    /// The filter by Fluvio's macro.
    fn macro_filter(&self) -> SmartModuleInvocation {
        let modules = std::env::var_os("PERFSTREAM_MODULES").map(PathBuf::from);
        let modules = modules.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/modules"));
        let path = modules.with_file_name("test-modules").join("naive.wasm");
        let wasm = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo xtask build --modules-only` builds it", path.display())
        });
        SmartModuleInvocation {
            wasm: SmartModuleInvocationWasm::adhoc_from_bytes(&wasm).expect("a module"),
            kind: SmartModuleKind::Generic(Default::default()),
            params: SmartModuleExtraParams::default(),
            name: None,
        }
    }

    fn consume(&self, start: i64, module: SmartModuleInvocation, retry: RetryMode) -> Vec<(i64, i64, Vec<u8>)> {
        self.cluster.block_on(async {
            let mut config = ConsumerConfigExtBuilder::default();
            let start = Offset::absolute(start).expect("an offset");
            config.topic("in").partition(0).offset_start(start).smartmodule(vec![module]).retry_mode(retry);
            let client = self.cluster.cluster().client();
            let mut stream = client.consumer_with_config(config.build().expect("a config")).await.expect("a stream");
            let mut found = Vec::new();
            // The SPU compiles the module first. After that, what has not come in three seconds does not.
            let mut patience = Duration::from_secs(15);
            while let Ok(Some(item)) = tokio::time::timeout(patience, stream.next()).await {
                // An error is an item of the stream; what follows it comes or not.
                found.extend(item.ok().map(|record| (record.offset(), record.timestamp(), record.value().to_vec())));
                patience = Duration::from_secs(3);
            }
            found
        })
    }

    /// What a worker writes.
    fn ours(&self) -> Vec<LogRecord> {
        self.ours_with(&[])
    }

    fn ours_with(&self, options: &[&str]) -> Vec<LogRecord> {
        self.perfstream(&[&["run", "--stop-at-end"], options].concat(), &self.file);
        self.all("out-worker")
    }

    /// What a worker writes whose front the SPU runs, and how many records went through that.
    fn with_spu(&self) -> (Vec<LogRecord>, i64) {
        self.perfstream(&["deploy"], &self.spu_file);
        self.spu_runs();
        self.perfstream(&["run", "--stop-at-end"], &self.spu_file);
        let status = self.all(topics::STATUS).into_iter().rev().find_map(|r| {
            let status: Value = serde_json::from_slice(&r.value).expect("JSON");
            (status["pipeline"] == "spu-prefilter").then_some(status)
        });
        let status = status.expect("a status");
        assert_eq!(status["run"]["balanced"], true, "{status}");
        (self.all("out-spu-prefilter"), status["prefiltered"].as_i64().expect("a number"))
    }

    fn chain(&self) -> SpuChain {
        spu_chain(&self.plan.chain, &ChainOptions::default()).expect("a front")
    }

    fn read_spu(&self, chain: SpuChain, from: i64) -> SpuRead {
        let wait = Duration::from_secs(30);
        self.cluster.topics().read_spu("in", 0, from, &Arc::new(chain), 1 << 20, wait).expect("an answer")
    }

    /// Waits until the SPU has heard of the modules.
    fn spu_runs(&self) {
        for _ in 0..300 {
            match self.read_spu(self.chain(), 0) {
                SpuRead::Refused(_) => std::thread::sleep(Duration::from_millis(100)),
                SpuRead::Outputs(outputs) if !outputs.is_empty() => return,
                read => panic!("{read:?}"),
            }
        }
        panic!("the SPU does not run the modules");
    }

    fn all(&self, topic: &str) -> Vec<LogRecord> {
        let mut log = self.cluster.topics();
        let end = log.extent(topic, 0).expect("an answer").end;
        read_range(&mut log, topic, 0, 0..end).expect("records")
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

/// The reason of each dead letter and the offset it is about.
fn letters(records: &[LogRecord]) -> Vec<(String, i64)> {
    let letter = |r: &LogRecord| {
        let letter: Value = serde_json::from_slice(&r.value).expect("JSON");
        (letter["reason"].as_str().expect("a reason").to_string(), letter["offset"].as_i64().expect("an offset"))
    };
    records.iter().map(letter).collect()
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
    let (found, prefiltered) = case.with_spu();
    assert_eq!((numbers(&found), prefiltered), (vec![200, 390], 400));
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h2_an_output_larger_than_an_answer_is_lost_with_what_follows() {
    let case = Case::new("{ where: hit }", TopicOptions::default());
    case.produce_in(2 << 20, (0..2).map(|n| event(n, true, 600_000)));
    case.produce([event(2, true, 100)]);
    let naive = case.naive(0);
    assert!(naive.len() < 3, "Fluvio no longer loses large outputs");
    assert_eq!(numbers(&case.ours()), [0, 1, 2]);
    let (found, prefiltered) = case.with_spu();
    assert_eq!((numbers(&found), prefiltered), (vec![0, 1, 2], 3));
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

/// More than one answer of the SPU holds, so that it processes batches twice; and a batch that becomes
/// more than the front may write, which the worker reads itself.
#[test]
#[ignore = "needs a Fluvio server"]
fn h3_answers_that_overflow_through_the_front() {
    let case = Case::new("{}", TopicOptions::default());
    for batch in 0..6 {
        case.produce_in(8 << 20, (0..10).map(|n| event(batch * 10 + n, true, 600_000)));
    }
    case.produce_in(30 << 20, (60..90).map(|n| event(n, true, 600_000)));
    case.produce([event(90, true, 100)]);
    let (found, prefiltered) = case.with_spu();
    assert_eq!(numbers(&found), (0..91).collect::<Vec<u64>>());
    assert_eq!(prefiltered, 61, "the large batch of 30 records is not taken");
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h7_a_front_that_fails_in_the_spu_is_refused() {
    let case = Case::new("{ where: hit }", TopicOptions::default());
    case.produce((0..20).map(|n| event(n, n % 5 == 0, 100)));
    case.spu_runs();
    let refusal = |change: &dyn Fn(&mut SpuChain)| {
        let mut chain = case.chain();
        change(&mut chain);
        match case.read_spu(chain, 0) {
            SpuRead::Refused(why) => why,
            read => panic!("{read:?}"),
        }
    };
    let why = refusal(&|chain| chain.modules[0].hash.insert(0, '0'));
    assert!(why.contains("has other bytes on the cluster than here"), "{why}");
    let why = refusal(&|chain| chain.modules[0].uses = "perfstream/filter@9.9.9".into());
    assert!(why.contains("is not on the cluster"), "{why}");
    // Its configuration cannot be used: the chain does not start.
    let why = refusal(&|chain| chain.modules[0].params[1].1 = "[".into());
    assert!(why.contains("the SPU says"), "{why}");
    // The second of two stages takes what the first writes, and nothing else: an error on every batch.
    let why = refusal(&|chain| {
        let runtime = &mut chain.modules[0].params[0].1;
        *runtime = runtime.replace("\"events_only\":true", "\"events_only\":false");
    });
    assert!(why.contains("the SPU says"), "{why}");
    // The worker then reads the records itself, so nothing stops: the module is taken off the cluster.
    let modules = case.cluster.block_on(case.cluster.cluster().modules()).expect("modules");
    case.perfstream(&["deploy"], &case.spu_file);
    for module in modules.values() {
        case.cluster.block_on(case.cluster.cluster().delete_module(&module.key)).expect("a deletion");
    }
    case.perfstream(&["run", "--stop-at-end"], &case.spu_file);
    assert_eq!(numbers(&case.all("out-spu-prefilter")), [0, 5, 10, 15]);
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
    let (found, prefiltered) = case.with_spu();
    assert_eq!((numbers(&found), prefiltered), (vec![7], 10));
    // What the SPU makes of such a batch is about the records before too: it is known, and not taken.
    let SpuRead::Outputs(outputs) = case.read_spu(case.chain(), 5) else { panic!("no outputs") };
    let cut = FrontBatch::new(outputs.into_iter().next().expect("an output")).expect("a batch");
    assert_eq!((cut.range.clone(), cut.progress.first, cut.is_whole(1)), (5..10, 0, false));
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
    let values = |records: &[LogRecord]| records.iter().map(|r| r.value.clone()).collect::<Vec<_>>();
    let (found, prefiltered) = case.with_spu();
    assert_eq!((values(&found), prefiltered), (values(&ours), 20));
    let source = |r: &LogRecord| serde_json::from_slice::<Value>(&r.value).expect("JSON")["source_offset"].as_i64();
    assert_eq!(ours.iter().map(source).collect::<Vec<_>>(), [Some(7), Some(12), Some(14)]);
    assert!(ours.iter().all(|r| r.log_time_ms > 0));
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h7_an_error_takes_the_rest_of_its_batch_with_it() {
    let case = Case::new("{ where: n >= 0 }", TopicOptions::default());
    case.produce((0..10).map(|n| if n == 3 { b"{\"n\":".to_vec() } else { event(n, true, 100) }));
    let of = |retry| -> Vec<u64> {
        case.consume(0, case.macro_filter(), retry).iter().map(|(_, _, value)| number(value)).collect()
    };
    assert_eq!(of(RetryMode::Disabled), [0, 1, 2], "Fluvio goes on behind a record that a module refuses now");
    // By default the client keeps the error to itself and begins again, at the same record.
    assert_eq!(of(FLUVIO_RETRIES), [0, 1, 2], "Fluvio's client gets past a record that a module refuses now");
    assert_eq!(numbers(&case.ours()), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!(letters(&case.all("dead-letters")), [("invalid_json".to_string(), 3)]);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn h8_a_trap_ends_the_stream_in_silence() {
    let case = Case::new("{ where: n >= 0 }", TopicOptions::default());
    case.produce((0..3).map(|n| event(n, true, 100)));
    case.produce([b"{\"hit\":true}".to_vec()]);
    case.produce((4..6).map(|n| event(n, true, 100)));
    for retry in [RetryMode::Disabled, FLUVIO_RETRIES] {
        let naive = case.consume(0, case.macro_filter(), retry);
        assert!(naive.iter().all(|(_, _, v)| number(v) < 4), "Fluvio's stream gets past a trap now");
    }
    // Ours does not trap on it. It does where its memory ends: the worker begins anew, finds the record
    // and sets it aside.
    case.produce([event(6, true, 6 << 20)]);
    case.produce([event(7, true, 100)]);
    assert_eq!(numbers(&case.ours_with(&["--stage-memory", "6"])), [0, 1, 2, 4, 5, 7]);
    assert_eq!(letters(&case.all("dead-letters")), [("stage_failed".to_string(), 6)]);
}

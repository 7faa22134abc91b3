//! `perfstream transforms`: what Fluvio's own reader of transforms files makes of the file, in
//! Fluvio's engine and on a cluster, is what the embedded chain gives.

use fluvio::Offset;
use fluvio::consumer::{
    ConsumerConfigExtBuilder, SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind,
};
use fluvio_smartengine::transformation::TransformationConfig;
use fluvio_smartengine::{SmartEngine, SmartModuleChainBuilder, SmartModuleConfig};
use fluvio_smartmodule::Record;
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInput;
use futures_util::StreamExt;
use perfstream::chain::{Chain, ChainOptions, ChainSpec};
use perfstream::check;
use perfstream::host::LogRecord;
use perfstream::modules::Modules;
use perfstream::plan::PlanSpec;
use perfstream::transforms;
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Topics};
use std::path::Path;
use std::time::Duration;

/// A pipeline whose table takes more than one parameter of Fluvio's wire.
fn pipeline(dir: &Path) -> PlanSpec {
    let rows: Vec<String> = (0..800)
        .map(|n| format!("          - {{ page: /p/{n}, owner: 'team {n}: \"web\" \\ ünit', tier: {} }}\n", n % 3))
        .collect();
    let text = format!(
        "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: {{ name: front, type: continuous }}\n\
         input: {{ topic: front-in, time: {{ field: timestamp }} }}\ntransforms:\n\
         \x20 - uses: perfstream/filter@0.1.0\n    with: {{ where: value > 10 }}\n\
         \x20 - uses: perfstream/enrich@0.1.0\n    with:\n      derive: [hour-of-day]\n      tables:\n        pages:\n\
         \x20         key: [page]\n          rows:\n{}      lookups:\n\
         \x20       - {{ table: pages, fields: [owner, tier] }}\n\
         \x20 - uses: perfstream/filter@0.1.0\n    name: once\n    with: {{ dedupe: {{ key: [page], horizon: 1m }} }}\n\
         output: {{ topic: front-out }}\n",
        rows.concat().replace("          - ", "            - ")
    );
    let path = dir.join("front.yaml");
    std::fs::write(&path, text).expect("a file");
    let report = check::check_files(&[path]);
    assert!(!report.is_error(), "{}", report.render(false));
    PlanSpec::new(&report.into_pipelines()[0]).expect("a plan")
}

fn events() -> Vec<Vec<u8>> {
    let line = |n: i64| {
        format!("{{\"timestamp\":\"2026-01-01T{:02}:00:00Z\",\"page\":\"/p/{}\",\"value\":{n}}}", n % 24, n * 7 % 900)
    };
    let mut lines: Vec<Vec<u8>> = (0..200).map(|n| line(n).into_bytes()).collect();
    lines.insert(50, b"{\"torn".to_vec());
    lines
}

/// The front of the chain alone, its JSON.
fn expected(plan: &PlanSpec, log_time_ms: i64) -> Vec<String> {
    let stages = plan.chain.stages[..2].to_vec();
    let spec = ChainSpec { stages, ..plan.chain.clone() };
    let mut chain = Chain::new(&spec, &ChainOptions { packed: false, ..ChainOptions::default() }).expect("a chain");
    let record = |(n, value): (usize, Vec<u8>)| LogRecord { offset: n as i64, log_time_ms, key: None, value };
    let records: Vec<LogRecord> = events().into_iter().enumerate().map(record).collect();
    let mut lines = Vec::new();
    let mut emit = |row: &perfstream_core::Row<'_>| {
        let mut text = Vec::new();
        perfstream_core::json::write_row(row, &mut text);
        lines.push(String::from_utf8(text).expect("UTF-8"));
    };
    chain.process(&records, &mut emit).expect("no trap");
    lines
}

fn read_back(plan: &PlanSpec, dir: &Path) -> TransformationConfig {
    let file = dir.join("transforms.yaml");
    std::fs::write(&file, transforms::file(plan).expect("a front")).expect("a file");
    let config = TransformationConfig::from_file(&file).expect("Fluvio reads it");
    let uses: Vec<&str> = config.transforms.iter().map(|t| t.uses.as_str()).collect();
    assert_eq!(uses, ["perfstream/filter@0.1.0", "perfstream/enrich@0.1.0"]);
    let table: usize = config.transforms[1].with.values().map(|v| v.as_ref().len()).sum();
    assert!(table > 40_000 && config.transforms[1].with.values().all(|v| v.as_ref().len() < 32_767), "{table}");
    config
}

#[test]
fn fluvios_engine_runs_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let plan = pipeline(dir.path());
    let modules = Modules::default();
    let mut builder = SmartModuleChainBuilder::default();
    for step in read_back(&plan, dir.path()).transforms {
        let mut config = SmartModuleConfig::builder();
        config.smartmodule_names(vec![step.uses.clone()]);
        for (key, value) in step.with {
            config.param(key, String::from(value));
        }
        let stage = step.uses.trim_start_matches("perfstream/").split('@').next().expect("a name").to_string();
        builder
            .add_smart_module(config.build().expect("a config"), modules.load(&stage).expect("a module").into_owned());
    }
    let mut chain = builder.initialize(&SmartEngine::new()).expect("it starts");
    let record = |(n, value): (usize, Vec<u8>)| {
        let mut record = Record::new(value);
        record.preamble.set_offset_delta(n as i64);
        record
    };
    let records: Vec<Record> = events().into_iter().enumerate().map(record).collect();
    let mut input = SmartModuleInput::try_from_records(records, 22).expect("an input");
    input.set_base_timestamp(1_767_225_600_000);
    let output = chain.process(input).expect("no trap");
    assert!(output.error.is_none());
    let found: Vec<String> =
        output.successes.iter().map(|r| String::from_utf8_lossy(r.value().as_ref()).into_owned()).collect();
    assert!(
        found.iter().any(|line| line.contains("\"owner\":\"team 77: \\\"web\\\" \\\\ ünit\"")),
        "{:?}",
        found.get(1)
    );
    for (found, expected) in found.iter().zip(expected(&plan, 1_767_225_600_000)) {
        assert_eq!(*found, expected);
    }
    assert_eq!(found.len(), 190);
}

#[test]
fn a_chain_that_begins_with_state_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut plan = pipeline(dir.path());
    plan.chain.stages.drain(..2);
    let error = transforms::file(&plan).expect_err("a stage with state");
    assert!(error.to_string().contains("begins with `once`, which keeps state"), "{error}");
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_real_consumer_gets_the_same_records() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let dir = tempfile::tempdir().expect("a directory");
    let plan = pipeline(dir.path());
    let deployed = std::process::Command::new(env!("CARGO_BIN_EXE_perfstream"))
        .args(["deploy", "--cluster", cluster.address()])
        .arg(dir.path().join("front.yaml"))
        .status()
        .expect("a run");
    assert!(deployed.success());
    cluster.create_topic("plain", 1, TopicOptions::default()).expect("a topic");
    let log_time_ms = 1_767_225_600_000;
    let records: Vec<NewRecord> =
        events().into_iter().map(|value| NewRecord { log_time_ms, key: None, value }).collect();
    cluster.topics().append("plain", 0, &records).expect("an append");
    let invocation = |step: fluvio_smartengine::transformation::TransformationStep| SmartModuleInvocation {
        wasm: SmartModuleInvocationWasm::Predefined(step.uses.clone()),
        kind: SmartModuleKind::Generic(Default::default()),
        params: SmartModuleExtraParams::from(
            step.with.into_iter().map(|(k, v)| (k, String::from(v))).collect::<std::collections::BTreeMap<_, _>>(),
        ),
        name: Some(step.uses),
    };
    let chain: Vec<_> = read_back(&plan, dir.path()).transforms.into_iter().map(invocation).collect();
    let wanted = expected(&plan, log_time_ms);
    let found = cluster.block_on(async {
        let mut config = ConsumerConfigExtBuilder::default();
        config.topic("plain").partition(0).offset_start(Offset::beginning()).smartmodule(chain);
        let mut stream =
            cluster.cluster().client().consumer_with_config(config.build().expect("a config")).await.expect("a stream");
        let mut found = Vec::new();
        while found.len() < wanted.len() {
            let next = tokio::time::timeout(Duration::from_secs(30), stream.next()).await.expect("in time");
            found.push(String::from_utf8_lossy(next.expect("a record").expect("no error").value()).into_owned());
        }
        found
    });
    assert_eq!(found, wanted);
}

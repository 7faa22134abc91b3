//! Fluvio's own consumer with one of the modules in the SPU: no worker, no word from a runner.

use fluvio::Offset;
use fluvio::consumer::{
    ConsumerConfigExtBuilder, SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind,
};
use futures_util::StreamExt;
use perfstream::host::wasmtime::WasmtimeHost;
use perfstream::{docs, registry};
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Topics, read_range};
use perfstream_tests::alone::{self, Alone};
use perfstream_tests::module;
use serde_json::Value;
use std::time::Duration;

/// What the SPU makes of a topic with the module of a case; None: it has not heard of the module yet.
async fn consume(cluster: &TestCluster, case: &Alone, count: usize) -> Option<Vec<Value>> {
    let invocation = SmartModuleInvocation {
        wasm: SmartModuleInvocationWasm::Predefined(format!("perfstream/{}@{}", case.stage, registry::VERSION)),
        kind: SmartModuleKind::Generic(Default::default()),
        params: SmartModuleExtraParams::from(case.params.iter().cloned().collect::<std::collections::BTreeMap<_, _>>()),
        name: Some(case.stage.into()),
    };
    let mut config = ConsumerConfigExtBuilder::default();
    config.topic(case.stage).partition(0).offset_start(Offset::beginning()).smartmodule(vec![invocation]);
    let config = config.build().expect("a config");
    let mut stream = cluster.cluster().client().consumer_with_config(config).await.expect("a stream");
    let mut found = Vec::new();
    while found.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await.expect("in time");
        match next.expect("a record") {
            Ok(record) => found.push(serde_json::from_slice(record.value()).expect("JSON")),
            Err(error) if found.is_empty() && error.to_string().contains("not found") => return None,
            Err(error) => panic!("{}: {error}", case.stage),
        }
    }
    Some(found)
}

#[test]
#[ignore = "needs a Fluvio server"]
fn every_module_works_for_fluvios_own_consumer() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let cases: Vec<Alone> = alone::all().into_iter().map(Alone::dated).collect();
    let mut log = cluster.topics();
    for case in &cases {
        let package = docs::smart_module_toml(registry::find(case.stage).expect("a stage"));
        cluster.block_on(cluster.cluster().upload_module(&package, &module(case.stage))).expect("an upload");
        cluster.create_topic(case.stage, 1, TopicOptions::default()).expect("a topic");
        let record =
            |r: perfstream_log::LogRecord| NewRecord { log_time_ms: r.log_time_ms, key: r.key, value: r.value };
        let records: Vec<NewRecord> = case.records().into_iter().map(record).collect();
        log.append(case.stage, 0, &records).expect("an append");
    }
    for case in &cases {
        let host = WasmtimeHost::new(&module(case.stage), &case.params, 1 << 30).expect("a module");
        let records = read_range(&mut log, case.stage, 0, 0..case.lines.len() as i64).expect("records");
        let wanted = case.run_on(Box::new(host), &records).expect("no trap");
        let wanted: Vec<Value> = wanted.into_iter().map(|(_, value)| value).collect();
        assert!(!wanted.is_empty(), "{}", case.stage);
        let found = (0..100).find_map(|_| {
            let found = cluster.block_on(consume(&cluster, case, wanted.len()));
            if found.is_none() {
                std::thread::sleep(Duration::from_millis(100));
            }
            found
        });
        assert_eq!(found.expect("the SPU hears of the module"), wanted, "{}", case.stage);
    }
}

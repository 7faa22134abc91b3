//! From an alert in the embedded log to a request that a receiver gets, and back: `respond` decides, the sink
//! executes, the outcome comes back through the inbox.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use perfstream::chain::ChainOptions;
use perfstream::check::check_text;
use perfstream::plan::Plan;
use perfstream::run::{RunOptions, run};
use perfstream_core::time;
use perfstream_log::embedded::Log;
use perfstream_log::{NewRecord, Place};
use perfstream_sink::act::{Executor, Options, Summary};
use perfstream_sink::config::Receivers;
use perfstream_sink::journal::Journal;
use perfstream_sink::secret::Secrets;
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Key and body of what the receiver got.
type Got = Arc<Mutex<Vec<(String, Value)>>>;

async fn hear(State(got): State<Got>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_string();
    let body = serde_json::from_slice(&body).expect("JSON");
    got.lock().expect("no panic before").push((key, body));
    StatusCode::OK
}

/// A log, a pipeline on it, a sink and its receiver.
struct World {
    dir: tempfile::TempDir,
    plan: Plan,
    receivers: Receivers,
    got: Got,
    /// When the alert fires, microseconds: half a minute ago, for requests expire
    start_us: i64,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(more: &str) -> World {
        let text = format!(
            "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: {{ name: response }}\n\
             input: {{ topic: alerts, time: {{ field: timestamp }} }}\n\
             transforms:\n  - uses: perfstream/respond@0.1.0\n    with:\n      dry_run: false\n      rules:\n        \
             - name: scale\n          on: alert\n          target: \"{{labels.service}}\"\n          \
             action: {{ kind: scale, receiver: scaler, name: \"{{labels.service}}\", replicas: 6 }}\n          \
             verify: {{ within: 10s }}\n{more}output: {{ topic: events }}\n"
        );
        let report = check_text("response.yaml", &text);
        assert!(!report.is_error(), "{}", report.render(false));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let got = Got::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}/scale", listener.local_addr().expect("an address"));
        let router = Router::new().route("/scale", post(hear)).with_state(got.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        let scaler = json!({ "name": "scaler", "allow_http": true, "allow_private": true,
            "webhook": { "url": url, "format": "json" } });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock behind 1970");
        World {
            dir: tempfile::tempdir().expect("a directory"),
            plan: Plan::new(&report.into_pipelines()[0]).expect("a plan"),
            receivers: serde_json::from_value(json!({ "receivers": [scaler], "allow_actions": true }))
                .expect("receivers"),
            got,
            start_us: now.as_micros() as i64 - 30_000_000,
            _runtime: runtime,
        }
    }

    fn append(&self, topic: &str, value: &Value) {
        let record = NewRecord { log_time_ms: -1, key: None, value: value.to_string().into_bytes() };
        let mut log = Log::open(self.dir.path()).expect("a log");
        log.commit(|writer| writer.append(topic, 0, &[record]).map(drop)).expect("a commit");
    }

    /// An alert's record, seconds after the start; then the pipeline, as a process of its own would.
    fn alert(&self, second: i64, id: &str, state: &str) {
        let timestamp = time::format(self.start_us + second * 1_000_000);
        self.append(
            "alerts",
            &json!({ "kind": "alert", "timestamp": timestamp, "id": format!("{id}-{state}-{second}"),
            "alert_id": id, "state": state, "rule": "Saturated", "labels": { "service": "cart" } }),
        );
        self.respond();
    }

    fn respond(&self) {
        let options = RunOptions {
            data: Some(self.dir.path().into()),
            chain: ChainOptions { modules: perfstream_tests::modules(), ..ChainOptions::default() },
            ..RunOptions::default()
        };
        run(std::slice::from_ref(&self.plan), &options).expect("a run");
    }

    /// The sink: executes what is requested, then the pipeline takes the outcomes.
    fn execute(&self) -> Summary {
        let dir = self.dir.path().to_path_buf();
        let options = Options { connect: Arc::new(move || Place::embedded(&dir)), topic: "actions".into(), once: true };
        let journal = Journal::open(&self.dir.path().join("sink.actions.db")).expect("a journal");
        let executor = Executor::new(&self.receivers, &Secrets::default(), journal, options).expect("an executor");
        let summary = executor.run(&AtomicBool::new(false)).expect("a run");
        self.respond();
        summary
    }

    fn records(&self) -> Vec<Value> {
        let log = Log::open(self.dir.path()).expect("a log");
        let records = log.read("actions", 0, 0, 100).expect("records");
        records.iter().map(|record| serde_json::from_slice(&record.value).expect("JSON")).collect()
    }

    fn steps(&self) -> Vec<String> {
        self.records().iter().map(|record| record["step"].as_str().unwrap_or_default().to_string()).collect()
    }

    fn got(&self) -> Vec<(String, Value)> {
        self.got.lock().expect("no panic before").clone()
    }
}

#[test]
fn an_alert_is_answered_once_and_recovers() {
    let world = World::new("");
    world.alert(0, "a", "firing");
    assert_eq!(world.steps(), ["requested"]);
    assert_eq!(world.execute().done, 1);
    assert_eq!(world.execute(), Summary::default(), "nothing is executed twice");
    world.alert(5, "a", "resolved");
    assert_eq!(world.steps(), ["requested", "done", "recovered"]);
    let records = world.records();
    let id = records[0]["action_id"].as_str().expect("an id");
    let got = world.got();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].0, format!("{id}:requested"));
    assert_eq!(got[0].1["spec"]["replicas"], 6);
    assert!(records.iter().all(|record| record["action_id"] == id), "{records:?}");
}

#[test]
fn what_does_not_help_is_rolled_back() {
    let world =
        World::new("          rollback: { kind: scale, receiver: scaler, name: \"{labels.service}\", replicas: 3 }\n");
    world.alert(0, "a", "firing");
    world.execute();
    // Somebody else's alert moves the clock beyond the ten seconds.
    world.alert(20, "b", "pending");
    assert_eq!(world.steps(), ["requested", "done", "not_recovered", "rollback_requested"]);
    assert_eq!(world.execute().done, 1);
    world.alert(21, "b", "pending");
    assert_eq!(world.steps().last().map(String::as_str), Some("rolled_back"));
    let replicas: Vec<Value> = world.got().into_iter().map(|(_, body)| body["spec"]["replicas"].clone()).collect();
    assert_eq!(replicas, [6, 3]);
}

#[test]
fn an_approval_in_the_inbox_lets_it_go() {
    let world = World::new("          approval: { timeout: 15m }\n");
    world.alert(0, "a", "firing");
    assert_eq!(world.execute(), Summary::default());
    let id = world.records()[0]["action_id"].clone();
    world.append("response-inbox", &json!({ "type": "approval", "action_id": id, "approved": true, "by": "ada" }));
    world.respond();
    world.alert(1, "b", "pending");
    assert_eq!(world.steps(), ["awaiting_approval", "approved", "requested"]);
    assert_eq!(world.records()[1]["by"], "ada");
    assert_eq!(world.execute().done, 1);
    assert_eq!(world.got().len(), 1);
}

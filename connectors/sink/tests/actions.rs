//! Actions: from records of the embedded log to an HTTP receiver, a program and a topic, and back to the inbox.

mod common;

use anyhow::{Context, Result};
use common::{Service, append_to};
use perfstream_log::embedded::Log;
use perfstream_log::{NewRecord, Place};
use perfstream_sink::act::{Executor, Options, Summary};
use perfstream_sink::config::Receivers;
use perfstream_sink::journal::Journal;
use perfstream_sink::secret::Secrets;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FAR: &str = "2999-01-01T00:00:00Z";
const PAST: &str = "2026-01-01T00:05:00Z";

fn receivers(url: &str, format: &str) -> Receivers {
    let hook = json!({ "name": "hook", "allow_http": true, "allow_private": true,
        "webhook": { "url": url, "format": format } });
    let program = json!({ "name": "program", "command": { "argv": ["sh", "-c", "exit 3"] } });
    let receivers = json!({ "receivers": [hook, program], "allow_actions": true, "allow_commands": true });
    let receivers: Receivers = serde_json::from_value(receivers).expect("receivers");
    assert!(receivers.lint().is_empty(), "{:?}", receivers.lint());
    receivers
}

/// A record of a step of an action.
fn action(id: &str, step: &str, until: &str, more: Value) -> NewRecord {
    let mut record = json!({ "kind": "action", "id": format!("{id}-{step}"), "action_id": id, "pipeline": "response",
        "stage": "respond", "rule": "r", "step": step, "target": "cart", "action": "webhook", "receiver": "hook",
        "timestamp": "2026-01-01T00:00:00Z", "until": until, "key": format!("{id}:{step}"), "body": { "go": id } });
    record.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    NewRecord { log_time_ms: 0, key: None, value: record.to_string().into_bytes() }
}

fn run_once(dir: &Path, receivers: &Receivers) -> Result<Summary> {
    let path = dir.to_path_buf();
    let options = Options { connect: Arc::new(move || Place::embedded(&path)), topic: "actions".into(), once: true };
    let journal = Journal::open(&dir.join("actions.db"))?;
    Executor::new(receivers, &Secrets::default(), journal, options)?.run(&AtomicBool::new(false))
}

/// Outcomes in the inbox: action, of its roll-back?, done?, message.
fn outcomes(dir: &Path) -> Result<Vec<(String, bool, bool, String)>> {
    let records = Log::open(dir)?.read("response-inbox", 0, 0, 100)?;
    let outcome = |value: &[u8]| {
        let value: Value = serde_json::from_slice(value)?;
        let text = |name: &str| value[name].as_str().map(String::from).context("a text");
        Ok((text("action_id")?, value["rollback"] == true, value["done"] == true, text("message")?))
    };
    records.iter().map(|record| outcome(&record.value)).collect()
}

#[test]
fn a_request_is_executed_once_and_its_outcome_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let service = Service::start(0);
    let receivers = receivers(&service.url, "json");
    let requested = || action("a", "requested", FAR, json!({}));
    let other_steps = ["awaiting_approval", "dry_run", "done"].map(|step| action("b", step, FAR, json!({})));
    append_to(dir.path(), "actions", &[&other_steps[..], &[requested(), requested()]].concat())?;
    append_to(dir.path(), "actions", &[NewRecord { log_time_ms: 0, key: None, value: b"\xff".to_vec() }])?;
    let summary = run_once(dir.path(), &receivers)?;
    assert_eq!((summary.done, summary.failed, summary.ignored, summary.bad), (1, 0, 1, 1));
    append_to(dir.path(), "actions", &[requested(), action("a", "rollback_requested", FAR, json!({}))])?;
    let summary = run_once(dir.path(), &receivers)?;
    assert_eq!((summary.done, summary.ignored), (1, 1), "a copy after a restart");
    let got = service.accepted();
    let keys: Vec<&str> = got.iter().map(|(_, key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a:requested", "a:rollback_requested"]);
    assert_eq!(got[0].2, json!({ "go": "a" }));
    let told: Vec<(bool, bool)> = outcomes(dir.path())?.iter().map(|o| (o.1, o.2)).collect();
    assert_eq!(told, [(false, true), (true, true)]);
    Ok(())
}

#[test]
fn a_receiver_that_is_not_well_is_asked_again_with_the_same_key() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let service = Service::start(1);
    let receivers = receivers(&service.url, "cloudevents");
    append_to(dir.path(), "actions", &[action("a", "requested", FAR, json!({ "body": null }))])?;
    let first = run_once(dir.path(), &receivers)?;
    assert_eq!((first.done, first.failed, first.retries), (0, 0, 1));
    assert_eq!(outcomes(dir.path())?, []);
    assert_eq!(run_once(dir.path(), &receivers)?.done, 1, "the journal has it");
    assert_eq!(service.tries.load(Ordering::SeqCst), 2);
    let (_, key, event) = service.accepted().remove(0);
    assert_eq!(
        (key.as_str(), &event["id"], &event["type"]),
        ("a:requested", &json!("a:requested"), &json!("perfstream.action.requested"))
    );
    assert_eq!(event["data"]["target"], "cart");
    Ok(())
}

#[test]
fn what_cannot_be_done_has_failed_and_says_why() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let service = Service::start(0);
    let receivers = receivers(&format!("{}/moved", service.url), "json");
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as i64;
    let just_now = perfstream_core::time::format((now_ms - 1000) * 1000);
    let records = [
        action("refused", "requested", FAR, json!({})),
        action("nobody", "requested", FAR, json!({ "receiver": "nobody" })),
        action("kind", "requested", FAR, json!({ "action": "command" })),
        action("program", "requested", FAR, json!({ "action": "command", "receiver": "program" })),
        action("own", "requested", FAR, json!({ "action": "record", "receiver": null, "topic": "lcp-control" })),
        action("late", "requested", &just_now, json!({})),
        action("old", "requested", PAST, json!({})),
    ];
    append_to(dir.path(), "actions", &records)?;
    let summary = run_once(dir.path(), &receivers)?;
    assert_eq!((summary.done, summary.failed, summary.ignored), (0, 6, 1), "nobody waits for the oldest");
    let mut told = outcomes(dir.path())?;
    told.sort();
    let why: Vec<(&str, &str)> = told.iter().map(|o| (o.0.as_str(), o.3.as_str())).collect();
    assert_eq!(
        why,
        [
            ("kind", "`hook` is no receiver for `command`"),
            ("late", "it could not be done in time"),
            ("nobody", "`nobody` is no receiver that takes actions"),
            ("own", "`lcp-control` is no topic that actions may write"),
            ("program", "sh ended with exit status: 3"),
            ("refused", "the answer is 302 Found; redirects are not followed"),
        ]
    );
    assert_eq!(Log::open(dir.path())?.end("lcp-control", 0)?, 0);
    Ok(())
}

/// A program gets the body on standard input, and its key; it is run once.
#[test]
fn a_program_is_run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let written = dir.path().join("written");
    let script = "cat >> \"$0\"; printf ' %s;' \"$PERFSTREAM_IDEMPOTENCY_KEY\" >> \"$0\"";
    let program = json!({ "name": "program", "command": { "argv": ["sh", "-c", script, written] } });
    let receivers = json!({ "receivers": [program], "allow_actions": true, "allow_commands": true });
    let receivers: Receivers = serde_json::from_value(receivers)?;
    let command = json!({ "action": "command", "receiver": "program", "body": { "service": "cart" } });
    append_to(dir.path(), "actions", &[action("a", "requested", FAR, command)])?;
    assert_eq!(run_once(dir.path(), &receivers)?.done, 1);
    assert_eq!(run_once(dir.path(), &receivers)?, Summary::default());
    assert_eq!(std::fs::read_to_string(&written)?, "{\"service\":\"cart\"} a:requested;");
    assert_eq!(outcomes(dir.path())?.iter().map(|o| (o.0.as_str(), o.2)).collect::<Vec<_>>(), [("a", true)]);
    Ok(())
}

#[test]
fn a_record_in_a_topic() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let receivers = receivers("http://127.0.0.1:1/", "json");
    let note = json!({ "action": "record", "receiver": null, "topic": "ops", "body": { "text": "hello" } });
    append_to(dir.path(), "actions", &[action("a", "requested", FAR, note)])?;
    assert_eq!(run_once(dir.path(), &receivers)?.done, 1);
    let records = Log::open(dir.path())?.read("ops", 0, 0, 10)?;
    assert_eq!((records.len(), records[0].key.as_deref()), (1, Some(&b"a:requested"[..])));
    assert_eq!(records[0].value, br#"{"text":"hello"}"#);
    Ok(())
}

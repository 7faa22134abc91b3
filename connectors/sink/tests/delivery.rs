//! From a topic of the embedded log to an HTTP receiver in this process, through a real client.

mod common;

use anyhow::{Context, Result};
use common::{Service, append, append_to, options, record};
use perfstream_log::{NewRecord, Place};
use perfstream_sink::config::Receivers;
use perfstream_sink::engine::Outcome;
use perfstream_sink::journal::Journal;
use perfstream_sink::run::{Options, Sink, Summary};
use perfstream_sink::secret::Secrets;
use perfstream_sink::silence::Silence;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn hook(receiver: Value) -> Receivers {
    let mut receiver = receiver;
    let base = json!({ "name": "hook", "allow_http": true, "allow_private": true });
    receiver.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
    let quick = json!({ "group_wait": "0s", "group_interval": "1s" });
    serde_json::from_value(json!({ "receivers": [receiver], "route": quick })).unwrap()
}

fn sink(dir: &Path, receivers: &Receivers, once: bool) -> Result<Sink> {
    let options = Options { once, ..options() };
    let place = Place::embedded(dir)?;
    Sink::new(receivers, &Secrets::default(), Journal::open(&dir.join("sink.db"))?, place, options)
}

fn run_once(dir: &Path, receivers: &Receivers) -> Result<Summary> {
    sink(dir, receivers, true)?.run(&AtomicBool::new(false))
}

fn delivery(id: &str) -> Result<perfstream_sink::engine::Delivery> {
    let value = record(id, "firing").value;
    let alert = perfstream_sink::alert::Alert::parse(&value, "alerts/0@0".into())?;
    Ok(perfstream_sink::engine::Delivery {
        key: "k".into(),
        receiver: "hook".into(),
        group_key: String::new(),
        group_labels: Default::default(),
        repeat_interval_ms: 1000,
        notices: vec![perfstream_sink::engine::Notice { alert, repeat: 0 }],
    })
}

#[test]
fn a_receiver_that_fails_for_a_while_loses_nothing_and_keeps_the_order() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let service = Service::start(2);
    let receivers = hook(json!({ "webhook": { "url": format!("{}/x", service.url), "format": "cloudevents" } }));
    assert!(receivers.lint().is_empty(), "{:?}", receivers.lint());
    append(dir.path(), &[record("a", "firing"), record("b", "firing"), record("a", "resolved")])?;
    append(dir.path(), &[NewRecord { log_time_ms: 0, key: None, value: b"\xff no record".to_vec() }])?;
    let (running, path) = (sink(dir.path(), &receivers, false)?, dir.path().to_path_buf());
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let thread = std::thread::spawn(move || running.run(&told));
    while service.accepted().len() < 3 {
        std::thread::yield_now();
    }
    append(&path, &[record("b", "resolved")])?;
    while service.accepted().len() < 4 {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    let summary = thread.join().expect("the sink ends")?;
    assert_eq!((summary.records, summary.bad, summary.notices, summary.failures), (5, 1, 4, 2));
    assert_eq!(summary.waiting, [""; 0]);
    let keys: Vec<String> = service.accepted().into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys, ["a:firing:0", "b:firing:0", "a:resolved:0", "b:resolved:0"]);
    // A restart tells nothing again.
    let again = run_once(&path, &receivers)?;
    assert_eq!((again.records, again.notices), (0, 0));
    Ok(())
}

fn silence(id: &str, matcher: &str, until_ms: i64) -> NewRecord {
    let silence = Silence::new(vec![matcher.into()], 0, until_ms, "ada".into(), "deploy".into());
    let value = serde_json::to_vec(&Silence { id: id.into(), ..silence }).expect("JSON");
    NewRecord { log_time_ms: 0, key: None, value }
}

#[test]
fn a_silence_in_the_log_holds_notices_back_until_a_record_ends_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let service = Service::start(0);
    let receivers = hook(json!({ "webhook": { "url": service.url, "format": "cloudevents" } }));
    append(dir.path(), &[record("a", "firing"), record("b", "firing"), record("c", "firing")])?;
    let far_ms = 4_000_000_000_000;
    let no_silence = NewRecord { log_time_ms: 0, key: None, value: b"{}".to_vec() };
    let silences = [silence("s", "page=/a", far_ms), no_silence, silence("old", "page=/b", 1)];
    append_to(dir.path(), "silences", &silences)?;
    let keys = || service.accepted().into_iter().map(|(_, key, _)| key).collect::<Vec<_>>();
    // The silence is known before anybody is told of anything.
    assert_eq!(run_once(dir.path(), &receivers)?.notices, 2);
    assert_eq!(keys(), ["b:firing:0", "c:firing:0"]);
    assert_eq!(run_once(dir.path(), &receivers)?.notices, 0, "the journal has it after a restart");
    append_to(dir.path(), "silences", &[silence("s", "page=/a", 1)])?;
    assert_eq!(run_once(dir.path(), &receivers)?.notices, 1);
    assert_eq!(keys(), ["b:firing:0", "c:firing:0", "a:firing:0"]);
    Ok(())
}

#[test]
fn what_failed_is_sent_with_the_same_key_after_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    append(dir.path(), &[record("a", "firing")])?;
    let service = Service::start(1);
    let receivers = hook(json!({ "webhook": { "url": service.url, "format": "alertmanager" } }));
    let first = run_once(dir.path(), &receivers)?;
    assert_eq!((first.notices, first.failures, first.waiting), (0, 1, vec!["hook".to_string()]));
    append(dir.path(), &[record("b", "firing")])?;
    let second = run_once(dir.path(), &receivers)?;
    assert_eq!((second.notices, second.failures), (2, 0));
    let bodies: Vec<usize> =
        service.accepted().iter().map(|(_, _, body)| body["alerts"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(bodies, [1, 1], "the delivery that was begun did not change");
    Ok(())
}

#[test]
fn every_kind_of_http_receiver() -> Result<()> {
    let secrets = tempfile::tempdir()?;
    let service = Service::start(0);
    for (name, text) in [("SLACK", format!("{}/slack", service.url)), ("KEY", "canary-key".into())] {
        let path = secrets.path().join(name);
        std::fs::write(&path, text)?;
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    for (receiver, path) in [
        (json!({ "slack": { "url": "${{ secrets.SLACK }}" } }), "/slack"),
        (json!({ "pagerduty": { "routing_key": "${{ secrets.KEY }}", "url": format!("{}/pd", service.url) } }), "/pd"),
        (json!({ "alertmanager": { "url": format!("{}/am/", service.url) } }), "/am/api/v2/alerts"),
    ] {
        let dir = tempfile::tempdir()?;
        append(dir.path(), &[record("a", "firing"), record("a", "resolved")])?;
        let receivers = hook(receiver);
        assert!(receivers.lint().is_empty(), "{:?}", receivers.lint());
        let place = Place::embedded(dir.path())?;
        let journal = Journal::open(&dir.path().join("sink.db"))?;
        let secrets = Secrets { dir: Some(secrets.path().into()) };
        let summary = Sink::new(&receivers, &secrets, journal, place, options())?.run(&AtomicBool::new(false))?;
        assert_eq!((summary.notices, summary.failures), (2, 0), "{path}");
        let got = service.accepted();
        assert!(got[got.len() - 2..].iter().all(|(url, ..)| url == path), "{got:?}");
        let bytes = std::fs::read(dir.path().join("sink.db"))?;
        assert!(!bytes.windows(6).any(|part| part == b"canary"), "a secret in the journal");
    }
    let got = service.accepted();
    assert_eq!(got[2].2["event_action"], "trigger");
    assert_eq!(got[2].2["routing_key"], "canary-key");
    assert_eq!(got[3].2["event_action"], "resolve");
    assert_eq!(got[2].2["dedup_key"], got[3].2["dedup_key"]);
    Ok(())
}

#[test]
fn an_acknowledgement_in_the_inbox_reaches_pagerduty() -> Result<()> {
    let (dir, secrets) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let service = Service::start(0);
    let key = secrets.path().join("KEY");
    std::fs::write(&key, "canary-key")?;
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let receivers = hook(json!({ "pagerduty": { "routing_key": "${{ secrets.KEY }}", "url": service.url } }));
    let run = || -> Result<Summary> {
        let journal = Journal::open(&dir.path().join("sink.db"))?;
        let secrets = Secrets { dir: Some(secrets.path().into()) };
        Sink::new(&receivers, &secrets, journal, Place::embedded(dir.path())?, options())?.run(&AtomicBool::new(false))
    };
    append(dir.path(), &[record("a", "firing"), record("b", "firing")])?;
    assert_eq!(run()?.notices, 2);
    let request = |verdict: &str| {
        let value = json!({ "type": "feedback", "alert_id": "a", "verdict": verdict });
        NewRecord { log_time_ms: 0, key: None, value: value.to_string().into_bytes() }
    };
    let requests = [request("true_positive"), request("acknowledged")];
    append_to(dir.path(), "lcp-inbox", &requests)?;
    assert_eq!(run()?.notices, 1);
    assert_eq!(run()?.notices, 0);
    let got = service.accepted();
    let (_, key, body) = got.last().context("an acknowledgement")?;
    assert_eq!((key.as_str(), &body["event_action"]), ("a:acknowledged:0", &json!("acknowledge")));
    assert_eq!(body["dedup_key"], got[0].2["dedup_key"]);
    Ok(())
}

#[test]
fn a_notice_tells_of_the_anomaly_that_its_alert_names() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let service = Service::start(0);
    let mut receivers = hook(json!({ "webhook": { "url": service.url, "format": "alertmanager" } }));
    receivers.page = Some("https://perf.example.com".into());
    let mut alert: Value = serde_json::from_slice(&record("a", "firing").value)?;
    alert["anomaly_id"] = "x".into();
    let record = |value: Value| NewRecord { log_time_ms: 0, key: None, value: value.to_string().into_bytes() };
    append(dir.path(), &[record(alert)])?;
    let anomaly = json!({ "kind": "anomaly", "anomaly_id": "x", "summary": "lcp is 53 % above 1002", "range": [900, 1100],
        "baseline": { "value": 1000, "from": "2026-01-05T08:00:00Z", "to": "2026-01-05T10:00:00Z", "n": 240 } });
    append_to(dir.path(), "anomalies", &[record(anomaly), record(json!([1]))])?;
    assert_eq!(run_once(dir.path(), &receivers)?.notices, 1);
    let told = &service.accepted()[0].2["alerts"][0];
    let text = told["annotations"]["description"].as_str().context("a text")?;
    let usual = "\nlcp is 53 % above 1002; 900 to 1100 is usual, by 240 values since 2026-01-05T08:00:00Z\n";
    assert!(text.contains(usual), "{text}");
    assert_eq!(told["generatorURL"], "https://perf.example.com/#alert=a");
    Ok(())
}

#[test]
fn a_redirect_is_not_followed_and_a_private_address_not_asked() -> Result<()> {
    let service = Service::start(0);
    let dir = tempfile::tempdir()?;
    append(dir.path(), &[record("a", "firing")])?;
    let receivers = hook(json!({ "webhook": { "url": format!("{}/moved", service.url), "format": "cloudevents" } }));
    let summary = run_once(dir.path(), &receivers)?;
    assert_eq!((summary.notices, summary.failures, summary.refused), (0, 0, 1));
    assert_eq!(summary.waiting, [""; 0], "what is refused does not wait");
    let tries = service.tries.load(Ordering::SeqCst);
    assert_eq!(tries, 1);
    // A name that stands for a private address is found out when it is looked up.
    let url = service.url.replace("127.0.0.1", "localhost");
    let mut receivers = hook(json!({ "webhook": { "url": url, "format": "cloudevents" } }));
    receivers.receivers[0].allow_private = false;
    assert!(receivers.lint().is_empty(), "{:?}", receivers.lint());
    let summary = run_once(dir.path(), &receivers)?;
    assert_eq!((summary.notices, summary.failures), (0, 1));
    assert_eq!(service.tries.load(Ordering::SeqCst), tries);
    Ok(())
}

#[test]
fn a_failure_shows_no_secret() -> Result<()> {
    let url = "http://127.0.0.1:1/canary-path";
    let receivers = hook(json!({ "webhook": { "url": url, "format": "cloudevents",
        "headers": { "X-Token": "canary-header" } } }));
    let sender = perfstream_sink::send::Sender::new(&receivers.receivers[0], None, &Secrets::default())?;
    let sent = sender.send(&delivery("a")?, 0);
    assert!(sent.outcome == Outcome::Unavailable { wait_ms: 0 } && !sent.message.is_empty(), "{sent:?}");
    assert!(!format!("{sent:?}").contains("canary"), "{sent:?}");
    Ok(())
}

#[test]
fn a_receiver_may_say_how_long_it_wants_to_be_left_in_peace() -> Result<()> {
    let service = Service::start(0);
    let receivers = hook(json!({ "webhook": { "url": format!("{}/busy", service.url), "format": "cloudevents" } }));
    let sender = perfstream_sink::send::Sender::new(&receivers.receivers[0], None, &Secrets::default())?;
    assert_eq!(sender.send(&delivery("a")?, 0).outcome, Outcome::Unavailable { wait_ms: 7000 });
    Ok(())
}

//! The sink's decoders on records that nobody promised anything about, and the bodies made of them.
//!
//! Input: one byte of settings, then a record. Held: what is read as an alert is told within the limits of each
//! service and without a control character, and survives the journal; silences end; addresses are public or refused.

use perfstream_sink::alert::{Alert, Anomaly, State};
use perfstream_sink::engine::{Delivery, Notice};
use perfstream_sink::format::{alertmanager, cloudevents, pagerduty, slack, webhook};
use perfstream_sink::guard;
use perfstream_sink::matcher::{Labels, Matcher};
use perfstream_sink::silence::Ready;
use perfstream_sink::text::Texts;
use serde_json::Value;

const NOW_MS: i64 = 1_767_225_600_000;

/// An alert or anomaly record, and every body that is made of it.
pub fn sink_alert(data: &[u8]) {
    let [settings, record @ ..] = data else { return };
    let anomaly = Anomaly::parse(record).ok();
    let alert = match (Alert::parse(record, "alerts/0@1".into()), anomaly) {
        (Ok(alert), anomaly) => Alert { anomaly: anomaly.filter(|_| settings & 1 == 0), ..alert },
        (Err(_), Some(anomaly)) => {
            let firing = br#"{"alert_id":"a","rule":"r","state":"firing","transition":"firing"}"#;
            let alert = Alert::parse(firing, "alerts/0@1".into()).expect("an alert");
            Alert { anomaly: Some(anomaly), ..alert }
        }
        _ => return,
    };
    let kept = serde_json::to_vec(&alert).expect("JSON");
    assert_eq!(serde_json::from_slice::<Alert>(&kept).expect("what was written"), alert, "the journal changes it");
    let notices = vec![Notice { alert, repeat: u32::from(settings >> 4) }; 1 + usize::from(settings & 0x0e) * 4];
    told(&Delivery {
        key: notices[0].key(),
        receiver: "r".into(),
        group_key: "{}".into(),
        group_labels: notices[0].alert.routing_labels(),
        repeat_interval_ms: 60_000,
        notices,
    });
}

fn told(delivery: &Delivery) {
    let texts = Texts::new(None, None).expect("templates").with_page(Some("https://perf.example"));
    let notice = &delivery.notices[0];
    for text in [texts.title("r", notice), texts.text("r", notice)] {
        assert!(!text.trim().is_empty() && text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    }
    let chars = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    let message = slack::body(delivery, &texts);
    let blocks = message["blocks"].as_array().expect("blocks");
    assert!(!blocks.is_empty() && blocks.len() <= 50);
    for block in blocks {
        let most = if block["type"] == "header" { 150 } else { 3000 };
        assert!(chars(&block["text"]["text"]) <= most, "{block}");
        // What is plain is shown as it is.
        let calls = block["text"]["type"] == "mrkdwn" && block["text"].to_string().contains("<!");
        assert!(!calls, "somebody is called: {block}");
    }
    assert!(!message["text"].to_string().contains("<!"), "somebody is called: {message}");
    let event = pagerduty::body("r", notice, &texts, "key");
    assert!(event.to_string().len() <= 512_000 && chars(&event["dedup_key"]) <= 255, "{event}");
    let payload = &event["payload"];
    assert!(chars(&payload["summary"]) <= 1024 && chars(&payload["source"]) <= 255, "{event}");
    let ended = notice.alert.state == State::Resolved;
    assert_eq!(event["event_action"] == "resolve", ended, "{event}");
    assert!(cloudevents::body(notice)["id"].is_string());
    assert_eq!(webhook::body(delivery, &texts)["version"], "4");
    for alert in alertmanager::body(delivery, &texts, NOW_MS).as_array().expect("alerts") {
        assert!(alert["labels"].as_object().is_some_and(|labels| labels.values().all(Value::is_string)), "{alert}");
    }
}

/// A silence, a matcher or an address, whichever the bytes are.
pub fn sink_words(data: &[u8]) {
    if let Ok(ready) = Ready::parse(data) {
        let again = serde_json::to_vec(&ready.silence).expect("JSON");
        assert_eq!(Ready::parse(&again).expect("what was written").silence, ready.silence);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(matcher) = Matcher::parse(text) {
        let again = Matcher::parse(matcher.text()).expect("what was read");
        let labels = [Labels::new(), Labels::from([("page".into(), "/a".into()), ("severity".into(), "info".into())])];
        assert!(labels.iter().all(|labels| matcher.matches(labels) == again.matches(labels)), "{text}");
    }
    if let Ok(url) = guard::check_url(text, false, false) {
        assert!(url.scheme() == "https" && url.username().is_empty() && url.password().is_none(), "{url}");
        let host = url.host_str().expect("a host").trim_matches(['[', ']']);
        assert!(host.parse().map_or(true, guard::is_public), "{url}");
    }
}

//! PagerDuty Events API v2: one event for an alert, `dedup_key` is its id.

use crate::alert::ACKNOWLEDGED;
use crate::engine::Notice;
use crate::text::{Texts, cut, pairs};
use serde_json::{Value, json};

/// Bytes of an event.
const MAX_EVENT_BYTES: usize = 512_000;

/// Where events go.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The body of one event. It holds the routing key: it must not be shown.
pub fn body(receiver: &str, notice: &Notice, texts: &Texts, routing_key: &str) -> Value {
    let alert = &notice.alert;
    let dedup_key = cut(&alert.alert_id, 255);
    let action = match alert.transition.as_str() {
        _ if notice.is_resolved() => Some("resolve"),
        ACKNOWLEDGED => Some("acknowledge"),
        _ => None,
    };
    if let Some(action) = action {
        return json!({ "routing_key": routing_key, "event_action": action, "dedup_key": dedup_key });
    }
    let severity = match alert.severity.as_str() {
        known @ ("critical" | "error" | "warning" | "info") => known,
        _ => "error",
    };
    let place = pairs(&alert.labels);
    let source = [place, alert.pipeline.clone(), "perfstream".into()].into_iter().find(|text| !text.is_empty());
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "perfstream",
        "payload": {
            "summary": cut(&texts.title(receiver, notice), 1024),
            "source": cut(&source.unwrap_or_default(), 255),
            "severity": severity,
            "component": alert.pipeline,
            "class": alert.rule,
            "custom_details": {
                "text": texts.text(receiver, notice),
                "labels": alert.labels,
                "values": alert.values,
                "condition": alert.condition,
                "record": alert.place,
                "input": alert.input(),
            },
        },
    });
    if !alert.timestamp.is_empty() {
        event["payload"]["timestamp"] = alert.timestamp.as_str().into();
    }
    if let Some(link) = texts.link(notice) {
        event["client_url"] = link.into();
    }
    // Larger events are refused; what is left says what broke and where.
    if event.to_string().len() > MAX_EVENT_BYTES {
        event["payload"]["custom_details"] = json!({ "record": alert.place, "condition": cut(&alert.condition, 1024) });
    }
    event
}

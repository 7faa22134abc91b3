//! PagerDuty Events API v2: one event for an alert, `dedup_key` is its id.

use crate::engine::Notice;
use crate::text::{Texts, cut, pairs};
use serde_json::{Value, json};

/// Where events go.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// The body of one event. It holds the routing key: it must not be shown.
pub fn body(receiver: &str, notice: &Notice, texts: &Texts, routing_key: &str) -> Value {
    let alert = &notice.alert;
    let dedup_key = cut(&alert.alert_id, 255);
    if notice.is_resolved() {
        return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key });
    }
    let severity = match alert.severity.as_str() {
        known @ ("critical" | "error" | "warning" | "info") => known,
        _ => "error",
    };
    let place = pairs(&alert.labels);
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "perfstream",
        "payload": {
            "summary": cut(&texts.title(receiver, notice), 1024),
            "source": if place.is_empty() { alert.pipeline.clone() } else { cut(&place, 255) },
            "severity": severity,
            "timestamp": alert.started_at,
            "component": alert.pipeline,
            "class": alert.rule,
            "custom_details": {
                "text": texts.text(receiver, notice),
                "labels": alert.labels,
                "values": alert.values,
                "condition": alert.condition,
                "record": alert.place,
            },
        },
    })
}

//! Alertmanager's API v2: `POST /api/v2/alerts`. There an alert is its set of labels.
//!
//! An alert that fires is said to end after two repeat intervals, since it is sent again before.
//! Severity is a label: when it rises, the label sets with lower ones are ended.

use crate::engine::{Delivery, Notice};
use crate::format::webhook::annotations;
use crate::matcher::Labels;
use crate::text::Texts;
use perfstream_core::time;
use serde_json::{Value, json};

const SEVERITIES: [&str; 4] = ["info", "warning", "error", "critical"];

/// The body for a group, sent at `now_ms`.
pub fn body(delivery: &Delivery, texts: &Texts, now_ms: i64) -> Value {
    let ends_ms = now_ms.saturating_add(delivery.repeat_interval_ms.saturating_mul(2));
    let now = time::format(now_ms.saturating_mul(1000));
    let ends = time::format(ends_ms.saturating_mul(1000));
    let mut alerts = Vec::new();
    for notice in &delivery.notices {
        let alert = &notice.alert;
        let annotations = annotations(&delivery.receiver, notice, texts);
        let labels = alert.routing_labels();
        for severity in lower(notice) {
            let mut labels = labels.clone();
            labels.insert("severity".into(), (*severity).into());
            alerts.push(one(notice, &labels, &annotations, &now));
        }
        let end = match notice.is_resolved() {
            true => alert.ended_at.as_deref().unwrap_or(&now),
            false => &ends,
        };
        alerts.push(one(notice, &labels, &annotations, end));
    }
    alerts.into()
}

fn lower(notice: &Notice) -> &'static [&'static str] {
    let alert = &notice.alert;
    let at = SEVERITIES.iter().position(|severity| *severity == alert.severity);
    match at {
        Some(at) if alert.transition == "escalated" && notice.repeat == 0 => &SEVERITIES[..at],
        _ => &[],
    }
}

fn one(notice: &Notice, labels: &Labels, annotations: &Labels, end: &str) -> Value {
    json!({ "labels": labels, "annotations": annotations, "startsAt": notice.alert.started_at, "endsAt": end })
}

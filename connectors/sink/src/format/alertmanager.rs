//! Alertmanager's API v2: `POST /api/v2/alerts`. There an alert is its set of labels.
//!
//! An alert that fires is said to end after two repeat intervals, since it is sent again before.
//! Severity is a label: when it rises, the label sets with lower ones are ended.

use crate::engine::{Delivery, Notice};
use crate::format::webhook::annotations;
use crate::matcher::Labels;
use crate::text::Texts;
use perfstream_core::time::{self, TimeParser};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SEVERITIES: [&str; 4] = ["info", "warning", "error", "critical"];

/// The body for a group, sent at `now_ms`. A set of labels is in it once: if one of its alerts fires, it fires.
pub fn body(delivery: &Delivery, texts: &Texts, now_ms: i64) -> Value {
    let ends_ms = now_ms.saturating_add(delivery.repeat_interval_ms.saturating_mul(2));
    let (now, ends) = (time::format(now_ms.saturating_mul(1000)), time::format(ends_ms.saturating_mul(1000)));
    let mut alerts: BTreeMap<Labels, (bool, Value)> = BTreeMap::new();
    let mut add = |labels: Labels, fires: bool, alert: Value| match alerts.get(&labels) {
        Some((true, _)) if !fires => {}
        _ => drop(alerts.insert(labels, (fires, alert))),
    };
    for notice in &delivery.notices {
        let alert = &notice.alert;
        let annotations = annotations(&delivery.receiver, notice, texts);
        let labels = label_names(alert.routing_labels());
        for severity in lower(notice) {
            let mut labels = labels.clone();
            labels.insert("severity".into(), (*severity).into());
            let over = one(notice, &labels, &annotations, &now, texts);
            add(labels, false, over);
        }
        let end = match notice.is_resolved() {
            true => alert.ended_at.as_deref().unwrap_or(&now),
            false => &ends,
        };
        let told = one(notice, &labels, &annotations, end, texts);
        add(labels, !notice.is_resolved(), told);
    }
    alerts.into_values().map(|(_, alert)| alert).collect()
}

/// Severities under which it may have been told of before. An escalation may not have been told of where its
/// end came soon after.
fn lower(notice: &Notice) -> &'static [&'static str] {
    let alert = &notice.alert;
    let risen = alert.transition == "escalated" && notice.repeat == 0 || notice.is_resolved() && alert.step > 0;
    let at = SEVERITIES.iter().position(|severity| *severity == alert.severity);
    at.filter(|_| risen).map_or(&[], |at| &SEVERITIES[..at])
}

/// Labels under names that Alertmanager has.
pub(super) fn label_names(labels: Labels) -> Labels {
    labels.into_iter().map(|(name, value)| (label_name(&name), value)).collect()
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: others are refused by many an Alertmanager, and the whole request with them.
fn label_name(name: &str) -> String {
    let mut name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

fn one(notice: &Notice, labels: &Labels, annotations: &Labels, end: &str, texts: &Texts) -> Value {
    let mut alert = json!({ "labels": labels, "annotations": annotations, "endsAt": end });
    if let Some(link) = texts.link(notice) {
        alert["generatorURL"] = link.into();
    }
    // The time of events may be ahead of the clock here; what ends before it begins is refused.
    let us = |text: &str| TimeParser::default().parse_text(text);
    if let (Some(start_us), Some(end_us)) = (us(&notice.alert.started_at), us(end)) {
        alert["startsAt"] = time::format(start_us.min(end_us)).into();
    }
    alert
}

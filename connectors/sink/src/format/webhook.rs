//! The body of Alertmanager's webhook, version 4, so that receivers made for it work.

use crate::engine::{Delivery, Notice};
use crate::format::alertmanager::label_names;
use crate::matcher::Labels;
use crate::text::Texts;
use serde_json::{Value, json};

/// The body for a group.
pub fn body(delivery: &Delivery, texts: &Texts) -> Value {
    let labels: Vec<Labels> =
        delivery.notices.iter().map(|notice| label_names(notice.alert.routing_labels())).collect();
    let annotations: Vec<Labels> = delivery.notices.iter().map(|n| annotations(&delivery.receiver, n, texts)).collect();
    let firing = delivery.notices.iter().any(|notice| !notice.is_resolved());
    let alerts = delivery.notices.iter().zip(labels.iter().zip(&annotations));
    let one = |(notice, (labels, annotations))| one(notice, labels, annotations, texts);
    let alerts: Vec<Value> = alerts.map(one).collect();
    json!({
        "version": "4",
        "groupKey": delivery.group_key,
        "truncatedAlerts": 0,
        "status": if firing { "firing" } else { "resolved" },
        "receiver": delivery.receiver,
        "groupLabels": label_names(delivery.group_labels.clone()),
        "commonLabels": common(&labels),
        "commonAnnotations": common(&annotations),
        "externalURL": texts.page(),
        "alerts": alerts,
    })
}

fn one(notice: &Notice, labels: &Labels, annotations: &Labels, texts: &Texts) -> Value {
    let alert = &notice.alert;
    json!({
        "status": alert.state.name(),
        "labels": labels,
        "annotations": annotations,
        "startsAt": time(Some(&alert.started_at)),
        "endsAt": time(alert.ended_at.as_deref()),
        "generatorURL": texts.link(notice).unwrap_or_default(),
        "fingerprint": alert.alert_id,
    })
}

/// Alertmanager writes the first year where there is no time.
fn time(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or("0001-01-01T00:00:00Z")
}

/// Texts of an alert beside its labels.
pub fn annotations(receiver: &str, notice: &Notice, texts: &Texts) -> Labels {
    [
        ("summary", texts.title(receiver, notice)),
        ("description", texts.text(receiver, notice)),
        ("condition", notice.alert.condition.clone()),
        ("record", notice.alert.place.clone()),
    ]
    .map(|(name, text)| (name.to_string(), text))
    .into()
}

/// What all of them have.
fn common(all: &[Labels]) -> Labels {
    let mut common = all.first().cloned().unwrap_or_default();
    common.retain(|name, value| all.iter().all(|labels| labels.get(name) == Some(value)));
    common
}

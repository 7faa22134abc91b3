//! Alert records: one per transition, with an id that a replay gives again.
//!
//! `alert_id` is a hash of pipeline, rule, group and the event time of the first breach: neither
//! the config nor the partition is in it, so a redeploy does not page again. `id` adds the
//! transition, its number in the alert's life, and the clock at the first breach.

use super::state::{Change, Reason, Transition};
use super::store::{Entry, Shown};
use super::text::plain_object;
use crate::row::{Kind, Meta, Output};
use crate::stage::Context;
use crate::time;
use crate::value::Value;

/// What all records of a rule have in common.
#[derive(Debug, Clone)]
pub(super) struct Face {
    pub(super) rule: Box<str>,
    pub(super) condition: Box<str>,
    /// JSON array
    pub(super) notification: Box<str>,
}

/// A transition of an alert, and what was known then.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) transition: Transition,
    /// Number of the rule; the one behind the last is the stage's own
    pub(super) rule: usize,
    pub(super) alert_id: Box<str>,
    pub(super) labels: Box<str>,
    pub(super) key: Option<Box<[u8]>>,
    pub(super) shown: Shown,
}

impl Record {
    pub(super) fn new(transition: Transition, entry: &Entry) -> Record {
        Record {
            transition,
            rule: entry.rule as usize,
            alert_id: entry.alert_id.clone(),
            labels: entry.labels.clone(),
            key: entry.record_key.clone(),
            shown: entry.shown.clone(),
        }
    }

    /// Writes it as a row that `offset` and `log_time` triggered.
    pub(super) fn write(&self, context: &Context, face: &Face, (offset, log_time): (i64, i64), out: &mut Output) {
        let Transition { change, time, start, step, severity, notify, .. } = self.transition;
        let (state, name) = names(change);
        let ended_at = matches!(change, Change::Resolved(_)).then(|| time::format(time));
        let id = self.id(context, name);
        let sentence = match &self.shown.summary {
            Some(text) => text.to_string(),
            None => self.sentence(face),
        };
        let meta = Meta { kind: Kind::Alert, offset, log_time, event_time: time };
        let mut row = out.row(meta, self.key.as_deref());
        row.field("id", &id)
            .field("alert_id", &*self.alert_id)
            .field("pipeline", &context.pipeline)
            .field("stage", &context.stage)
            .field("rule", &*face.rule)
            .field("state", state)
            .field("transition", name)
            .field("step", step as i64)
            .field("severity", severity.name())
            .field("notification", Value::Json(&face.notification))
            .field("notify", notify)
            .field("labels", Value::Json(&self.labels))
            .field("condition", &*face.condition)
            .field("values", Value::Json(&self.shown.values))
            .field("started_at", &time::format(start))
            .field("ended_at", ended_at.as_ref())
            .field("reason", reason(change))
            .field("summary", &sentence)
            .field("partition", i64::from(context.partition))
            .field("offset", offset);
        let windows = [
            ("window", &self.shown.window),
            ("window_start", &self.shown.window_start),
            ("window_end", &self.shown.window_end),
            ("anomaly_id", &self.shown.anomaly_id),
        ];
        for (name, value) in windows.into_iter().filter(|(_, value)| !value.as_value().is_null()) {
            row.field(name, value.as_value());
        }
    }

    fn id(&self, context: &Context, transition: &str) -> String {
        crate::id::id(&[
            self.alert_id.as_bytes(),
            &context.partition.to_le_bytes(),
            transition.as_bytes(),
            &self.transition.index.to_le_bytes(),
            &self.transition.opened.to_le_bytes(),
        ])
    }

    /// `LCP Critical is firing, browser=Chrome, page=/: p75_lcp=6200`
    fn sentence(&self, face: &Face) -> String {
        let mut text = face.rule.to_string();
        text.push_str(match self.transition.change {
            Change::Pending => " is pending",
            Change::Firing => " is firing",
            Change::Unthrottled => " is still firing",
            Change::Escalated => " is now ",
            Change::Resolved(Reason::ConditionFalse) => " is resolved",
            Change::Resolved(Reason::NoData) => " is resolved for lack of data",
        });
        if self.transition.change == Change::Escalated {
            text.push_str(self.transition.severity.name());
        }
        for (lead, object) in [(", ", &self.labels), (": ", &self.shown.values)] {
            let plain = plain_object(object);
            if !plain.is_empty() {
                text.push_str(lead);
                text.push_str(&plain);
            }
        }
        text
    }
}

/// State and transition, in the words of records.
fn names(change: Change) -> (&'static str, &'static str) {
    match change {
        Change::Pending => ("pending", "pending"),
        Change::Firing | Change::Unthrottled => ("firing", "firing"),
        Change::Escalated => ("firing", "escalated"),
        Change::Resolved(_) => ("resolved", "resolved"),
    }
}

fn reason(change: Change) -> Option<&'static str> {
    match change {
        Change::Resolved(Reason::ConditionFalse) => Some("condition_false"),
        Change::Resolved(Reason::NoData) => Some("no_data"),
        _ => None,
    }
}

/// The id of the alert of a rule and group whose first breach was at `start`.
pub(super) fn alert_id(context: &Context, rule: &str, group: &[u8], start: i64) -> Box<str> {
    crate::id::id(&[context.pipeline.as_bytes(), rule.as_bytes(), group, &start.to_le_bytes()]).into()
}

//! What a row says of an alert or an incident.
//!
//! Rows of these kinds, as `alert` and `correlate` write them in the same chain, and events whose field `kind`
//! says so: what a pipeline reads that has the topic of alerts or of incidents as its input. One that ends for
//! lack of data, or of word, or because it was one too many, has not recovered.

use super::config::On;
use crate::json::{write_str, write_value};
use crate::row::{Fields, Kind, Row, Slot};
use crate::value::Value;

/// An id of one is no longer.
const MAX_ID_BYTES: usize = 128;
/// A text of a reason is cut to this.
const MAX_REASON_BYTES: usize = 512;

/// What a row says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It fires, or is open
    Firing,
    /// It is over
    Over {
        /// Because all is well again?
        recovered: bool,
    },
    /// It goes on as another one
    MergedInto(Box<str>),
    /// Nothing that matters here
    Quiet,
}

/// A record of an alert or incident.
#[derive(Debug)]
pub(super) struct Heard {
    pub on: On,
    pub id: Box<str>,
    pub word: Word,
}

/// Reads rows.
#[derive(Debug)]
pub(super) struct Reader {
    kind: Slot,
    record_id: Slot,
    alert_id: Slot,
    incident_id: Slot,
    state: Slot,
    reason: Slot,
    merged_into: Slot,
    rule: Slot,
    severity: Slot,
    pipeline: Slot,
    labels: Slot,
    cause: Slot,
    summary: Slot,
}

impl Reader {
    pub fn new(fields: &mut Fields) -> Reader {
        Reader {
            kind: fields.slot("kind"),
            record_id: fields.slot("id"),
            alert_id: fields.slot("alert_id"),
            incident_id: fields.slot("incident_id"),
            state: fields.slot("state"),
            reason: fields.slot("reason"),
            merged_into: fields.slot("merged_into"),
            rule: fields.slot("rule"),
            severity: fields.slot("severity"),
            pipeline: fields.slot("pipeline"),
            labels: fields.slot("labels"),
            cause: fields.slot("cause"),
            summary: fields.slot("summary"),
        }
    }

    /// What the row is about; None if about neither.
    pub fn is_about(&self, row: &Row<'_>) -> Option<On> {
        let kind = match row.meta.kind {
            Kind::Event => Kind::parse(row.get(self.kind).as_str()?)?,
            kind => kind,
        };
        match kind {
            Kind::Alert => Some(On::Alert),
            Kind::Incident => Some(On::Incident),
            _ => None,
        }
    }

    /// What it says; None if it cannot be used.
    pub fn read(&self, on: On, row: &Row<'_>) -> Option<Heard> {
        let id = row.get(if on == On::Alert { self.alert_id } else { self.incident_id });
        let id = id.as_str().filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()))?;
        let reason = row.get(self.reason).as_str();
        let word = match (on, row.get(self.state).as_str()?) {
            (On::Alert, "firing") | (On::Incident, "open" | "updated") => Word::Firing,
            (On::Alert, "pending") => Word::Quiet,
            (On::Alert, "resolved") => Word::Over { recovered: reason != Some("no_data") },
            (On::Incident, "resolved") => match (reason, row.get(self.merged_into).as_str()) {
                (Some("merged"), Some(into)) if (1..=MAX_ID_BYTES).contains(&into.len()) => {
                    Word::MergedInto(into.into())
                }
                _ => Word::Over { recovered: reason == Some("all_ended") },
            },
            _ => return None,
        };
        Some(Heard { on, id: id.into(), word })
    }

    /// What tells the record from all others: its id, or else its place in the input.
    pub fn record_id(&self, row: &Row<'_>) -> Box<str> {
        match row.get(self.record_id).as_str() {
            Some(id) if id.len() <= MAX_ID_BYTES => id.into(),
            _ => format!("@{}", row.meta.offset).into(),
        }
    }

    /// What is told of it in records of the action, as a JSON object.
    pub fn reason(&self, heard: &Heard, row: &Row<'_>) -> String {
        let mut text = b"{".to_vec();
        let mut field = |name: &str, value: Value<'_>| {
            if !value.is_null() {
                if text.len() > 1 {
                    text.push(b',');
                }
                write_str(name, &mut text);
                text.push(b':');
                write_value(cut(value), &mut text);
            }
        };
        field("kind", Value::Str(heard.on.name()));
        field(if heard.on == On::Alert { "alert_id" } else { "incident_id" }, Value::Str(&heard.id));
        field("offset", Value::Int(row.meta.offset));
        let rest = [
            ("pipeline", self.pipeline),
            ("rule", self.rule),
            ("severity", self.severity),
            ("labels", self.labels),
            ("cause", self.cause),
            ("summary", self.summary),
        ];
        rest.into_iter().for_each(|(name, slot)| field(name, row.get(slot)));
        text.push(b'}');
        String::from_utf8(text).unwrap_or_else(|_| "{}".into())
    }
}

/// A long text's beginning; a long object is a text of its beginning.
fn cut(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Str(text) | Value::Json(text) if text.len() > MAX_REASON_BYTES => {
            Value::Str(&text[..text.floor_char_boundary(MAX_REASON_BYTES)])
        }
        other => other,
    }
}

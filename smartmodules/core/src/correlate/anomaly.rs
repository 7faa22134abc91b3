//! What a row says of an anomaly.
//!
//! Rows of kind anomaly, as `detect` writes them in the same chain, and events whose field `kind` is
//! `anomaly`: what a pipeline reads that has the topic of anomalies as its input. `state` `closed`, `ended`
//! or `resolved` is an end; any other is the beginning, or more of one that is known. Texts are cut to 256
//! bytes, labels to 8 of 128 bytes; a row without `anomaly_id`, or without a time, is none.

use super::config::CorrelateConfig;
use crate::alert::text::{MAX_TEXT_BYTES, Named, named};
use crate::clock::NEVER;
use crate::row::{Fields, Kind, Row, Slot};
use crate::time::TimeParser;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Labels of an anomaly that are kept: those that are compared, then the first by name.
pub(super) const MAX_LABELS: usize = 8;
/// A label's name or value, and a node, are kept up to this.
const MAX_LABEL_BYTES: usize = 128;
pub(super) const MAX_NODE_BYTES: usize = 256;
/// A distance from what was expected counts up to this many half-widths of the range.
pub(super) const MAX_Z: f64 = 1000.0;

/// Names and values, sorted by name.
pub(super) type Labels = BTreeMap<Box<str>, Box<str>>;

/// An anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Anomaly {
    pub id: Box<str>,
    pub pipeline: Box<str>,
    pub metric: Box<str>,
    pub labels: Labels,
    /// When it began, microseconds since the epoch
    pub onset: i64,
    pub value: Option<f64>,
    pub expected: Option<f64>,
    /// |value − expected| in half-widths of the expected range, 0 to 1000; 0 where nothing was expected
    pub z: f64,
    /// Events that the value stands for, above 0
    pub events: f64,
    /// It is put down to who the traffic came from
    pub mix: bool,
}

impl Anomaly {
    /// A node of the graph: the service, or what else it is about; a long text ends in a hash of all of it.
    pub fn node(&self, service: &str) -> Box<str> {
        if let Some(name) = self.labels.get(service) {
            return name.clone();
        }
        let about = self.about();
        match about.len() > MAX_NODE_BYTES {
            true => format!("{}…{}", cut(&about, 200), crate::id::id(&[about.as_bytes()])).into(),
            false => about.into(),
        }
    }

    /// `browser=chrome, page=/`, or the pipeline.
    fn about(&self) -> String {
        let parts: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        match parts.is_empty() {
            true => self.pipeline.to_string(),
            false => parts.join(", "),
        }
    }

    /// What tells its series from others.
    pub fn series(&self) -> Box<[u8]> {
        let mut key = Vec::new();
        for text in [&*self.pipeline, &*self.metric] {
            Value::Str(text).write_key(&mut key);
        }
        for (name, value) in &self.labels {
            Value::Str(name).write_key(&mut key);
            Value::Str(value).write_key(&mut key);
        }
        key.into()
    }

    /// Does the value lie above what was expected? None where that is not known.
    pub fn up(&self) -> Option<bool> {
        Some(self.value? > self.expected?)
    }

    /// Memory in bytes, at most.
    pub fn bytes(&self) -> u64 {
        let labels: usize = self.labels.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        (192 + self.id.len() + self.pipeline.len() + self.metric.len() + labels) as u64
    }

    /// Could a row have said it?
    pub fn is_sound(&self) -> bool {
        let number = |x: Option<f64>| x.is_none_or(f64::is_finite);
        let label = |text: &str| text.len() <= MAX_LABEL_BYTES;
        number(self.value)
            && number(self.expected)
            && (0.0..=MAX_Z).contains(&self.z)
            && (self.events > 0.0 && self.events.is_finite())
            && self.labels.len() <= MAX_LABELS
            && !self.id.is_empty()
            && self.onset != NEVER
            && [&self.id, &self.pipeline, &self.metric].iter().all(|text| text.len() <= MAX_TEXT_BYTES)
            && self.labels.iter().all(|(name, value)| label(name) && label(value))
    }
}

/// What a row of an anomaly is.
#[derive(Debug)]
pub(super) enum Word {
    /// It begins, or more is known of it
    Open(Anomaly),
    /// It has ended: its id, when, and the worst of it
    Ended(Box<str>, i64, Option<f64>, Option<f64>),
    /// It says nothing that can be used
    Unreadable,
}

/// Reads rows.
#[derive(Debug)]
pub(super) struct Reader {
    kind: Slot,
    state: Slot,
    id: Slot,
    pipeline: Slot,
    metric: Slot,
    segment: Slot,
    started: Slot,
    ended: Slot,
    value: Slot,
    expected: Slot,
    range: Slot,
    events: Slot,
    excluded: Slot,
    /// Fields that stand in for labels of their names
    dimensions: Vec<Named>,
    times: TimeParser,
}

impl Reader {
    pub fn new(config: &CorrelateConfig, fields: &mut Fields) -> Reader {
        Reader {
            kind: fields.slot("kind"),
            state: fields.slot("state"),
            id: fields.slot("anomaly_id"),
            pipeline: fields.slot("pipeline"),
            metric: fields.slot("metric"),
            segment: fields.slot("segment"),
            started: fields.slot("started_at"),
            ended: fields.slot("ended_at"),
            value: fields.slot("value"),
            expected: fields.slot("expected"),
            range: fields.slot("range"),
            events: fields.slot("events"),
            excluded: fields.slot("excluded"),
            dimensions: config.dimensions().into_iter().map(|name| named(name, fields)).collect(),
            times: TimeParser::default(),
        }
    }

    /// Is the row about an anomaly?
    pub fn is_asked(&self, row: &Row<'_>) -> bool {
        match row.meta.kind {
            Kind::Anomaly => true,
            Kind::Event => row.get(self.kind).as_str() == Some(Kind::Anomaly.name()),
            _ => false,
        }
    }

    /// What it says.
    pub fn read(&mut self, row: &Row<'_>) -> Word {
        let Some(id) = text(row.get(self.id), MAX_TEXT_BYTES) else { return Word::Unreadable };
        let number = |slot: Slot| row.get(slot).as_f64().filter(|x| x.is_finite());
        let (value, expected) = (number(self.value), number(self.expected));
        let time = |value: Value<'_>, times: &mut TimeParser| times.parse(value).unwrap_or(row.meta.event_time);
        if matches!(row.get(self.state).as_str(), Some("closed" | "ended" | "resolved")) {
            return Word::Ended(id, time(row.get(self.ended), &mut self.times), value, expected);
        }
        let onset = time(row.get(self.started), &mut self.times);
        if onset == NEVER {
            return Word::Unreadable;
        }
        Word::Open(Anomaly {
            id,
            pipeline: text(row.get(self.pipeline), MAX_TEXT_BYTES).unwrap_or_default(),
            metric: text(row.get(self.metric), MAX_TEXT_BYTES).unwrap_or_default(),
            labels: self.labels(row),
            onset,
            value,
            expected,
            z: distance(value, expected, row.get(self.range)),
            events: number(self.events).filter(|n| *n > 0.0).unwrap_or(1.0),
            mix: row.get(self.excluded).as_str() == Some("mix_shift"),
        })
    }

    /// What is compared, of `segment` or of the row's own fields; then the rest of `segment`.
    fn labels(&self, row: &Row<'_>) -> Labels {
        let mut segment = match row.get(self.segment) {
            Value::Json(text) => serde_json::from_str::<serde_json::Map<_, _>>(text).unwrap_or_default(),
            _ => serde_json::Map::new(),
        };
        let mut labels = Labels::new();
        for Named { name, slot } in &self.dimensions {
            let own = segment.remove(&**name);
            let value = own.as_ref().and_then(scalar).or_else(|| text(row.get(*slot), MAX_LABEL_BYTES));
            if let Some(value) = value {
                labels.insert(cut(name, MAX_LABEL_BYTES).into(), value);
            }
        }
        for (name, value) in &segment {
            if let (Some(value), true) = (scalar(value), labels.len() < MAX_LABELS) {
                labels.entry(cut(name, MAX_LABEL_BYTES).into()).or_insert(value);
            }
        }
        labels
    }
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A scalar as text; None for null, an empty text, a list or an object.
fn text(value: Value<'_>, most: usize) -> Option<Box<str>> {
    match value {
        Value::Str(text) => (!text.is_empty()).then(|| cut(text, most).into()),
        Value::Int(n) => Some(n.to_string().into()),
        // In full, a number next to zero has hundreds of digits.
        Value::Float(x) => Some(match x.to_string() {
            long if long.len() > most => format!("{x:e}").into(),
            short => short.into(),
        }),
        Value::Bool(yes) => Some(yes.to_string().into()),
        Value::Null | Value::Json(_) => None,
    }
}

fn scalar(value: &serde_json::Value) -> Option<Box<str>> {
    text(crate::value::OwnedValue::from(value).as_value(), MAX_LABEL_BYTES)
}

/// |value − expected| in half-widths of the range `[low, high]`; where there is none, in tenths of what
/// was expected.
pub(super) fn distance(value: Option<f64>, expected: Option<f64>, range: Value<'_>) -> f64 {
    let (Some(value), Some(expected)) = (value, expected) else { return 0.0 };
    let half = match range {
        Value::Json(text) => match serde_json::from_str::<[f64; 2]>(text) {
            Ok([low, high]) if high > low => (high - low) / 2.0,
            _ => expected.abs() / 10.0,
        },
        _ => expected.abs() / 10.0,
    };
    let z = (value - expected).abs() / half;
    if z.is_nan() { 0.0 } else { z.min(MAX_Z) }
}

//! The result row of one navigation of a session that has ended.

use crate::cls::Cls;
use crate::inp::Inp;
use crate::ratings::{self, Rating};
use crate::row::{Kind, Meta, Output, RowWriter};
use crate::sessionize::config::SessionizeConfig;
use crate::sessionize::functions::array;
use crate::sessionize::session::{Metric, Navigation, Plan, Session};
use crate::stage::Context;
use crate::value::{OwnedValue, Value};
use serde::{Deserialize, Serialize};

/// A session on its way out: some of its navigations may be written already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Leaving {
    pub(crate) session: Session,
    /// Offset and log time of the record or tick that ended it
    pub(crate) offset: i64,
    pub(crate) log_time: i64,
    pub(crate) closed_by: ClosedBy,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClosedBy {
    Timeout,
    MaxLength,
    Evicted,
    EndOfInput,
}

impl ClosedBy {
    fn name(self) -> &'static str {
        match self {
            ClosedBy::Timeout => "timeout",
            ClosedBy::MaxLength => "max_length",
            ClosedBy::Evicted => "evicted",
            ClosedBy::EndOfInput => "end_of_input",
        }
    }
}

/// Writes the row of `navigation`, which was one of the session's.
pub(crate) fn write(
    leaving: &Leaving,
    navigation: &Navigation,
    config: &SessionizeConfig,
    plan: &Plan,
    context: &Context,
    out: &mut Output,
) {
    let session = &leaving.session;
    let key = session.key.as_value();
    let meta =
        Meta { kind: Kind::Session, offset: leaving.offset, log_time: leaving.log_time, event_time: navigation.end_us };
    let id = row_id(session, navigation, context);
    let mut row = out.row(meta, Some(&key_text(key)));
    row.field("id", id.as_str());
    row.field("pipeline", context.pipeline.as_str());
    row.field("stage", context.stage.as_str());
    row.field(&config.key, key);
    if config.key != "page" {
        row.field("page", navigation.page.as_value());
    }
    match &navigation.id {
        OwnedValue::Null => row.field("navigation", navigation.ordinal as i64),
        id => row.field("navigation", id.as_value()),
    };
    row.field("navigationType", navigation.navigation_type.as_deref().unwrap_or("navigate"));
    row.field("session_start", session.start_us.div_euclid(1000));
    row.field("session_end", session.end_us.div_euclid(1000));
    row.field("events", navigation.events as i64);
    row.field("closed_by", leaving.closed_by.name());
    let cls = match &navigation.metric {
        Metric::None => None,
        Metric::Cls(cls) => Some(&**cls),
        Metric::Inp(inp) => {
            write_inp(inp, &mut row);
            None
        }
    };
    if let Some(cls) = cls {
        write_cls(cls, &mut row);
    }
    for (bound, state) in plan.functions.iter().zip(&navigation.functions) {
        bound.write(state, navigation.events, cls, &mut row);
    }
}

fn write_cls(cls: &Cls, row: &mut RowWriter<'_>) {
    let result = cls.result();
    let rating = ratings::rate("CLS", result.cls).map(Rating::name);
    let entries: Vec<Box<str>> = result.entries.iter().map(|i| i.to_string().into()).collect();
    row.field("cumulativeShift", result.cls);
    row.field("largestShift", result.largest.map_or(0.0, |s| s.value));
    row.field("largestShiftTarget", result.largest.and_then(|s| s.target.as_deref()));
    row.field("shiftSources", Value::Json(&array(result.sources)));
    row.field("window_entries", Value::Json(&array(&entries)));
    row.field("stability", rating);
    row.field("cls_rating", rating);
}

fn write_inp(inp: &Inp, row: &mut RowWriter<'_>) {
    let result = inp.result();
    let parts = result.and_then(|r| r.parts);
    row.field("inp", result.map(|r| number(r.inp_ms)));
    row.field("rating", result.and_then(|r| ratings::rate("INP", r.inp_ms)).map(Rating::name));
    row.field("interactionId", result.and_then(|r| r.interaction_id).map(number));
    row.field("inputDelay", parts.map(|p| number(p.input_delay_ms)));
    row.field("processingDuration", parts.map(|p| number(p.processing_duration_ms)));
    row.field("presentationDelay", parts.map(|p| number(p.presentation_delay_ms)));
    row.field("interactionCount", number(inp.interaction_count()));
}

/// Whole numbers are written without a fraction, as browsers do.
fn number(x: f64) -> Value<'static> {
    match x {
        x if x.fract() == 0.0 && x.abs() < 9e15 => Value::Int(x as i64),
        x => Value::Float(x),
    }
}

/// The session's key as the key of the record: its plain text.
fn key_text(key: Value<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    match key.as_str() {
        Some(s) => text.extend_from_slice(s.as_bytes()),
        None => crate::json::write_value(key, &mut text),
    }
    text
}

/// The first event's offset keeps two sessions of one key apart that start at the same time.
fn row_id(session: &Session, navigation: &Navigation, context: &Context) -> String {
    let (mut key, mut name) = (Vec::new(), Vec::new());
    session.key.as_value().write_key(&mut key);
    navigation.id.as_value().write_key(&mut name);
    crate::id::id(&[
        context.pipeline.as_bytes(),
        context.stage.as_bytes(),
        &context.partition.to_le_bytes(),
        &key,
        &navigation.ordinal.to_le_bytes(),
        &name,
        &session.first_us.to_le_bytes(),
        &session.first_offset.to_le_bytes(),
    ])
}

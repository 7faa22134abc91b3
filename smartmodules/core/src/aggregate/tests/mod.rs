//! Helpers of the tests: a stage from JSON, steps that feed it, rows as JSON.

mod batch;
mod bounds;
mod config;
mod forest;
mod functions;
mod late;
mod sessions;

use super::{Aggregate, AggregateConfig};
use crate::duration::Span;
use crate::row::{Fields, Kind, Meta, Output, Rows};
use crate::stage::{Context, Stage, Tick};
use crate::testing::json_rows;
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) const SECOND: i64 = 1_000_000;
/// A round time to count from: 2026-01-01T00:00:00Z
pub(super) const START: i64 = 1_767_225_600 * SECOND;

/// What a stage is fed.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Event time and log time in seconds from [`START`], fields
    Event(f64, f64, Json),
    /// Seconds from [`START`]
    Tick(f64),
    End,
}

/// An event whose log time is its event time.
pub(super) fn event(time_s: f64, fields: Json) -> Step {
    Step::Event(time_s, time_s, fields)
}

pub(super) fn us(time_s: f64) -> i64 {
    START + (time_s * 1e6).round() as i64
}

/// A stage of a config, with this much out-of-orderness.
pub(super) fn make(config: &Json, out_of_orderness_s: i64) -> (Aggregate, Fields) {
    let context = Context {
        pipeline: "test".into(),
        stage: "aggregate".into(),
        out_of_orderness: Span::seconds(out_of_orderness_s),
        ..Context::default()
    };
    make_in(config, &context)
}

pub(super) fn make_in(config: &Json, context: &Context) -> (Aggregate, Fields) {
    let config: AggregateConfig = serde_json::from_value(config.clone()).expect("a config");
    let mut fields = Fields::default();
    let stage = Aggregate::new(config, context, &mut fields).expect("a sound config");
    (stage, fields)
}

/// Feeds the steps; at most `limit` rows per drain.
pub(super) fn feed(stage: &mut Aggregate, fields: &Fields, from: usize, steps: &[Step], limit: usize) -> Vec<Json> {
    let mut rows = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let offset = (from + at) as i64;
        let mut out = Output::default();
        match step {
            Step::Event(time_s, log_s, event) => {
                let input = pack(us(*time_s), us(*log_s), offset, event);
                let batch = input.as_batch();
                out.begin(batch.names());
                let mut reader = Rows::new(&batch, fields, 0);
                stage.process(&reader.next().expect("one row").expect("a whole row"), &mut out);
            }
            Step::Tick(time_s) => {
                out.begin(&[]);
                stage.tick(&Tick { time: us(*time_s), offset, end_of_input: false }, &mut out);
            }
            Step::End => {
                out.begin(&[]);
                stage.tick(&Tick { time: START, offset, end_of_input: true }, &mut out);
            }
        }
        rows.extend(json_rows(&out));
        while stage.pending() {
            out.begin(&[]);
            stage.drain_until(&mut out, &|out| out.len() >= limit);
            assert!(out.len() <= limit);
            rows.extend(json_rows(&out));
        }
    }
    rows
}

fn pack(event_time: i64, log_time: i64, offset: i64, event: &Json) -> Output {
    let mut input = Output::default();
    input.begin(&[]);
    let mut row = input.row(Meta { kind: Kind::Event, offset, log_time, event_time }, None);
    for (name, value) in event.as_object().expect("an object") {
        let text = value.to_string();
        match value {
            Json::Null => row.field(name, Value::Null),
            Json::Bool(b) => row.field(name, *b),
            Json::Number(n) => match n.as_i64() {
                Some(n) => row.field(name, n),
                None => row.field(name, n.as_f64()),
            },
            Json::String(s) => row.field(name, s.as_str()),
            _ => row.field(name, Value::Json(&text)),
        };
    }
    drop(row);
    input
}

/// Runs the steps whole; then restored before every step; then with a drain of one row at a time,
/// restored before every drain. All must agree. Returns the rows.
pub(super) fn check(config: &Json, out_of_orderness_s: i64, steps: &[Step]) -> (Vec<Json>, Aggregate) {
    let (mut whole, fields) = make(config, out_of_orderness_s);
    let rows = feed(&mut whole, &fields, 0, steps, usize::MAX);
    let (mut small, fields) = make(config, out_of_orderness_s);
    assert_eq!(feed(&mut small, &fields, 0, steps, 1), rows, "drained row by row");
    let (mut stage, _) = make(config, out_of_orderness_s);
    let mut restored = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let state = stage.snapshot();
        let (mut next, fields) = make(config, out_of_orderness_s);
        next.restore(&state).expect("its own snapshot");
        assert_eq!(next.snapshot(), state);
        assert_eq!(next.groups.bytes(), stage.groups.bytes(), "the estimate of memory survives");
        restored.extend(feed(&mut next, &fields, at, std::slice::from_ref(step), 3));
        stage = next;
    }
    assert_eq!(restored, rows, "restored before every step");
    assert_eq!(stage.counters(), whole.counters());
    assert_eq!(stage.snapshot(), whole.snapshot());
    adds_up(&whole);
    (rows, whole)
}

pub(super) fn count(stage: &Aggregate, name: &str) -> u64 {
    crate::testing::counter(stage, name)
}

fn adds_up(stage: &Aggregate) {
    let passed = stage.counters().iter().find(|(n, _)| *n == "passed").map_or(0, |(_, n)| *n);
    let sum = count(stage, "counted") + count(stage, "late") + count(stage, "dead") + passed;
    assert_eq!(count(stage, "in"), sum);
}

/// The rows of a kind.
pub(super) fn of_kind<'r>(rows: &'r [Json], kind: &str) -> Vec<&'r Json> {
    rows.iter().filter(|r| r["kind"] == kind).collect()
}

/// Window rows as (window end in seconds from [`START`], given fields).
pub(super) fn brief(rows: &[Json], names: &[&str]) -> Vec<Json> {
    let of = |row: &Json| {
        let end = row["window_end"].as_i64().expect("a window end") - START / 1000;
        let mut cells = vec![json!(end as f64 / 1000.0)];
        cells.extend(names.iter().map(|n| row[*n].clone()));
        Json::Array(cells)
    };
    of_kind(rows, "window").into_iter().map(of).collect()
}

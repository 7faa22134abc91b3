//! Stage `dashboard`: what a live page shows of a pipeline, as records.
//!
//! Two types of records of kind `dashboard`. A `layout` holds the parameters; it is the first record and
//! comes again every 10 minutes of log time, so that whoever begins late finds it. A `frame` holds the
//! points (numbers of rows that a panel shows) and the events (alerts, anomalies, insights, as they stand)
//! since the last one, and comes `refreshRate` after its first of them, by log time. All rows pass.
//!
//! Expected ranges are those of the field `detection_expected` that the stage `detect` adds; a forecast is the field
//! `prediction`. Cost per row: a lookup per source of the panels, and one JSON text for each number shown.
//! Memory: the frame that waits, at most 256 entries or 128 KiB. Where it fails: an event above 32 KiB is
//! left out and counted; without ticks a frame waits for the next row.

mod config;
#[cfg(test)]
mod tests;

pub use config::{
    DashboardAlerting, DashboardConfig, Interactivity, Responsiveness, Theme, Visualization, VisualizationType,
};

use crate::alert::text::{Named, labels, named};
use crate::clock::NEVER;
use crate::config::{Issues, fail_on_errors};
use crate::json::{member, write_row, write_str, write_value};
use crate::row::{Fields, Kind, Meta, Output, Row, Slot};
use crate::stage::{Context, Counters, RestoreError, Stage, Tick, load, save};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A frame holds at most so many points and events.
const FRAME_ENTRIES: usize = 256;
/// A frame is full beyond so many bytes.
const FRAME_BYTES: usize = 128 << 10;
/// A longer event is left out.
const EVENT_BYTES: usize = 32 << 10;
/// The layout comes again after this much log time.
const LAYOUT_EVERY_US: i64 = 600_000_000;

/// The stage `dashboard`.
#[derive(Debug)]
pub struct Dashboard {
    context: Context,
    id: String,
    refresh_us: i64,
    events: bool,
    layout: String,
    sources: Vec<Source>,
    slots: Slots,
    state: State,
}

/// What some panels show: a field of some rows.
#[derive(Debug, PartialEq)]
struct Source {
    field: Named,
    window: Option<String>,
    metric: String,
    group: Vec<Named>,
}

#[derive(Debug)]
struct Slots {
    window: Slot,
    count: Slot,
    expected: Slot,
    /// Its value, ends of its range and time
    prediction: [Slot; 4],
    anomaly: Slot,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    /// Log time of the newest row or tick
    clock: i64,
    /// When the frame that waits is due
    due: i64,
    /// When the layout is due
    layout_due: i64,
    /// Offset of the newest row or tick
    offset: i64,
    points: Vec<String>,
    events: Vec<String>,
    bytes: u64,
    input: u64,
    counted: [u64; 4],
}

/// Of `State::counted`.
const FRAMES: usize = 0;
const POINTS: usize = 1;
const EVENTS: usize = 2;
const DROPPED: usize = 3;

impl Default for State {
    fn default() -> Self {
        State {
            clock: NEVER,
            due: i64::MAX,
            layout_due: NEVER,
            offset: -1,
            points: Vec::new(),
            events: Vec::new(),
            bytes: 0,
            input: 0,
            counted: [0; 4],
        }
    }
}

impl Stage for Dashboard {
    const NAME: &'static str = "dashboard";
    const STATE_VERSION: u32 = 1;
    type Config = DashboardConfig;

    fn new(config: DashboardConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        fail_on_errors(&config.errors())?;
        let mut sources: Vec<Source> = Vec::new();
        for panel in &config.visualizations {
            let Some(field) = &panel.field else { continue };
            let source = Source {
                field: named(field, fields),
                window: panel.window.clone(),
                metric: panel.metric.clone().unwrap_or_else(|| field.clone()),
                group: panel.group_by.iter().map(|name| named(name, fields)).collect(),
            };
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        Ok(Dashboard {
            context: context.clone(),
            refresh_us: config.refresh_rate.us(),
            events: config.alerting.enabled,
            layout: serde_json::to_string(&config).unwrap_or_default(),
            id: config.id,
            sources,
            slots: Slots {
                window: fields.slot("window"),
                count: fields.slot("count"),
                expected: fields.slot("detection_expected"),
                prediction: ["", "_low", "_high", "_time"].map(|end| fields.slot(&format!("prediction{end}"))),
                anomaly: fields.slot("anomaly"),
            },
            state: State::default(),
        })
    }

    fn warnings(config: &DashboardConfig) -> Issues {
        config.doubts()
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        self.state.input += (row.meta.kind == Kind::Event) as u64;
        self.advance((row.meta.offset, row.meta.log_time), out);
        match row.meta.kind {
            Kind::Window | Kind::Session => self.show_numbers(row),
            Kind::Alert | Kind::Anomaly | Kind::Insight | Kind::Incident | Kind::Action => self.show_event(row),
            _ => {}
        }
        out.pass(row);
        if self.state.points.len() + self.state.events.len() >= FRAME_ENTRIES || self.state.bytes >= FRAME_BYTES as u64
        {
            self.flush(out);
        }
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        if tick.end_of_input {
            self.flush(out);
        } else {
            self.advance((tick.offset, tick.time), out);
        }
    }

    fn counters(&self) -> Counters {
        let s = &self.state;
        vec![
            ("in", s.input),
            ("passed", s.input),
            ("frames", s.counted[FRAMES]),
            ("points", s.counted[POINTS]),
            ("events", s.counted[EVENTS]),
            ("dropped", s.counted[DROPPED]),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let state: State = load(bytes)?;
        let entries = state.points.len() + state.events.len();
        if entries > FRAME_ENTRIES || state.counted.iter().any(|n| n >> 62 != 0) || state.input >> 62 != 0 {
            return Err(RestoreError("a frame or a count beyond what the stage keeps".into()));
        }
        self.state = state;
        self.state.bytes = self.waiting().map(|text| text.len() as u64).sum();
        Ok(())
    }
}

impl Dashboard {
    fn waiting(&self) -> impl Iterator<Item = &String> {
        self.state.points.iter().chain(&self.state.events)
    }

    /// Log time passes; the layout and the frame that were due before come now.
    fn advance(&mut self, (offset, time): (i64, i64), out: &mut Output) {
        self.state.offset = offset;
        self.state.clock = self.state.clock.max(time);
        if self.state.clock >= self.state.layout_due {
            self.state.layout_due = self.state.clock.saturating_add(LAYOUT_EVERY_US);
            self.emit("layout", &[("layout", &self.layout)], out);
        }
        if self.state.clock >= self.state.due {
            self.flush(out);
        }
    }

    /// A point for each source that the row has a number for.
    fn show_numbers(&mut self, row: &Row<'_>) {
        for at in 0..self.sources.len() {
            let Some(point) = self.sources.get(at).and_then(|source| self.point(source, row)) else { continue };
            self.state.counted[POINTS] += 1;
            self.state.bytes += point.len() as u64;
            self.state.points.push(point);
            self.begin_frame();
        }
    }

    fn point(&self, source: &Source, row: &Row<'_>) -> Option<String> {
        let window = row.get(self.slots.window).as_str();
        if source.window.is_some() && window != source.window.as_deref() {
            return None;
        }
        let value = row.get(source.field.slot).as_f64().filter(|x| x.is_finite())?;
        let mut text = b"{\"field\":".to_vec();
        write_str(&source.field.name, &mut text);
        let mut add = |name: &str, value: Value<'_>| {
            text.extend_from_slice(b",\"");
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b"\":");
            write_value(value, &mut text);
        };
        add("metric", Value::Str(&source.metric));
        add("window", window.map_or(Value::Null, Value::Str));
        add("time_ms", Value::Int(row.meta.event_time.div_euclid(1000)));
        add("labels", Value::Json(&labels(&source.group, row, &BTreeMap::new())));
        add("value", Value::Float(value));
        for (name, value) in [("count", row.get(self.slots.count)), ("anomaly", row.get(self.slots.anomaly))] {
            if matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)) {
                add(name, value);
            }
        }
        if let Value::Json(expected) = row.get(self.slots.expected)
            && let Some(own) = member(expected, &source.metric)
        {
            add("expected", Value::Json(own));
        }
        let [prediction, low, high, at] = self.slots.prediction.map(|slot| row.get(slot));
        if let (Value::Float(_) | Value::Int(_), Value::Int(_)) = (prediction, at) {
            let mut said = b"{\"time_ms\":".to_vec();
            write_value(at, &mut said);
            for (name, value) in [("value", prediction), ("low", low), ("high", high)] {
                said.extend_from_slice(format!(",\"{name}\":").as_bytes());
                write_value(value, &mut said);
            }
            said.push(b'}');
            add("prediction", Value::Json(&String::from_utf8_lossy(&said)));
        }
        add("offset", Value::Int(row.meta.offset));
        text.push(b'}');
        String::from_utf8(text).ok()
    }

    fn show_event(&mut self, row: &Row<'_>) {
        if !self.events {
            return;
        }
        let mut text = Vec::with_capacity(1024);
        write_row(row, &mut text);
        // Where it came from, for whoever wants to see the records behind it.
        if text.pop() == Some(b'}') {
            let source = (self.context.partition, row.meta.offset);
            let source = format!(",\"source_partition\":{},\"source_offset\":{}}}", source.0, source.1);
            text.extend_from_slice(source.as_bytes());
        }
        match String::from_utf8(text) {
            Ok(text) if text.len() <= EVENT_BYTES => {
                self.state.counted[EVENTS] += 1;
                self.state.bytes += text.len() as u64;
                self.state.events.push(text);
                self.begin_frame();
            }
            _ => self.state.counted[DROPPED] += 1,
        }
    }

    fn begin_frame(&mut self) {
        if self.state.due == i64::MAX {
            self.state.due = self.state.clock.saturating_add(self.refresh_us);
        }
    }

    /// Writes the frame that waits.
    fn flush(&mut self, out: &mut Output) {
        self.state.due = i64::MAX;
        if self.waiting().next().is_none() {
            return;
        }
        let list = |of: &[String]| format!("[{}]", of.join(","));
        let (points, events) = (list(&self.state.points), list(&self.state.events));
        self.state.points.clear();
        self.state.events.clear();
        self.state.bytes = 0;
        self.state.counted[FRAMES] += 1;
        self.emit("frame", &[("points", &points), ("events", &events)], out);
    }

    fn emit(&self, r#type: &str, parts: &[(&str, &String)], out: &mut Output) {
        let State { clock, offset, .. } = self.state;
        let partition = self.context.partition.to_le_bytes();
        let mut of: Vec<&[u8]> = vec![self.context.pipeline.as_bytes(), self.context.stage.as_bytes(), &partition];
        let time = clock.to_le_bytes();
        of.extend([r#type.as_bytes(), &time]);
        of.extend(parts.iter().map(|(_, text)| text.as_bytes()));
        let id = crate::id::id(&of);
        let meta = Meta { kind: Kind::Dashboard, offset, log_time: clock, event_time: clock };
        let mut row = out.row(meta, None);
        row.field("id", id.as_str())
            .field("type", r#type)
            .field("dashboard", self.id.as_str())
            .field("pipeline", self.context.pipeline.as_str())
            .field("partition", i64::from(self.context.partition));
        for (name, text) in parts {
            row.field(name, Value::Json(text));
        }
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        self.name == other.name
    }
}

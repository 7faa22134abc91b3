//! Bytes of a log record to a row; what cannot be one becomes a dead letter with its reason.

mod plain;
mod visit;

use crate::clock::NEVER;
use crate::duration::Span;
use crate::row::{Kind, Meta, Output};
use crate::stage::{Context, Tick};
use crate::time::TimeParser;
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// Arrays and objects nest at most this deep; serde_json's own limit (128) is never reached.
pub const MAX_DEPTH: usize = 64;
/// What stages write nests a little deeper; still below serde_json's limit.
const DEPTH_BETWEEN_STAGES: usize = 120;
/// A record has at most this many fields.
pub const MAX_FIELDS: usize = 1024;
/// How much of a bad record its dead letter keeps.
pub const SAMPLE_BYTES: usize = 1024;

/// What the records of the input topic are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object per record
    #[default]
    Json,
    /// One CSV line per record; the columns are the fields of the schema, in order
    Csv,
    /// Any UTF-8 text; it becomes the field `message`
    Raw,
}

/// Where the time of an event stands and how far it is believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TimeConfig {
    /// Field with the event time: RFC 3339, epoch seconds or epoch milliseconds. Without it the
    /// log time is the event time.
    pub field: Option<String>,
    /// How far events may arrive out of order; the watermark stays this far behind the newest.
    pub out_of_orderness: Span,
    /// An event further in the future than this (against `receive_field`, or the last tick of a
    /// live log) is quarantined as a dead letter and moves no clock.
    pub max_future_skew: Span,
    /// Field with the time at which the event was received, by a clock that is trusted.
    pub receive_field: Option<String>,
    /// After this much silence the watermark follows processing time.
    pub idle_after: Span,
}

impl Default for TimeConfig {
    fn default() -> Self {
        TimeConfig {
            field: None,
            out_of_orderness: Span::ZERO,
            max_future_skew: Span::minutes(5),
            receive_field: None,
            idle_after: Span::seconds(30),
        }
    }
}

/// How the first stage reads records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeConfig {
    /// Format of the records
    pub format: Format,
    /// Names of CSV columns
    pub columns: Vec<String>,
    /// Event time
    pub time: TimeConfig,
    /// A record beyond this is a dead letter, unparsed
    pub max_record_bytes: usize,
    /// A record with more fields than this is a dead letter
    pub max_fields: usize,
    /// A record in which arrays and objects nest deeper than this is a dead letter
    pub max_depth: usize,
    /// Every object is an event, whatever its `kind` says: set for the first stage of a chain.
    pub events_only: bool,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        DecodeConfig {
            format: Format::Json,
            columns: Vec::new(),
            time: TimeConfig::default(),
            max_record_bytes: 1 << 20,
            max_fields: MAX_FIELDS,
            max_depth: MAX_DEPTH,
            events_only: false,
        }
    }
}

impl DecodeConfig {
    /// How a stage reads JSON that the stage before it wrote: any kind of row, and no limits, which
    /// are about input. A row may have grown by what a stage added to it.
    pub fn between_stages(&self) -> DecodeConfig {
        DecodeConfig {
            format: Format::Json,
            max_record_bytes: i32::MAX as usize,
            max_fields: 1 << 20,
            max_depth: DEPTH_BETWEEN_STAGES,
            events_only: false,
            ..self.clone()
        }
    }
}

/// A record as the log holds it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Offset in its partition
    pub offset: i64,
    /// Log time in microseconds since the epoch; [`NEVER`] if it has none
    pub log_time: i64,
    /// Key
    pub key: Option<&'a [u8]>,
    /// Value
    pub value: &'a [u8],
}

/// Turns records into rows.
#[derive(Debug, Default)]
pub struct Decoder {
    config: DecodeConfig,
    context: Context,
    last_tick: i64,
    /// Running maximum of event time: the log time of records that have none (files), so that a
    /// replay never depends on when it is run.
    event_max: i64,
    /// Newest time that was compared with the clock, see [`Decoder::take_newest`].
    newest: i64,
    times: TimeParser,
    names: visit::NameCache,
    counts: DecodeCounts,
}

/// What became of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DecodeCounts {
    /// Records read
    #[serde(deserialize_with = "crate::stage::count")]
    pub records: u64,
    /// of them, dead letters
    #[serde(deserialize_with = "crate::stage::count")]
    pub dead: u64,
}

/// The part of a decoder's state that outlives a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecodeState {
    last_tick: i64,
    event_max: i64,
    counts: DecodeCounts,
}

/// Why a record is no row: a reason word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// `invalid_json`, `duplicate_field`, …: stable, for counting
    pub reason: &'static str,
    /// For people
    pub detail: String,
}

impl Bad {
    /// A reason and its explanation.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Bad {
        Bad { reason, detail: detail.into() }
    }
}

impl Decoder {
    /// A decoder for one partition.
    pub fn new(config: DecodeConfig, context: &Context) -> Decoder {
        Decoder {
            config,
            context: context.clone(),
            last_tick: NEVER,
            event_max: NEVER,
            newest: NEVER,
            ..Decoder::default()
        }
    }

    /// Appends the row of `record`, or its dead letter.
    pub fn decode(&mut self, record: &Record<'_>, out: &mut Output) {
        self.counts.records += 1;
        if let Err(bad) = self.try_decode(record, out) {
            self.counts.dead += 1;
            let log_time = self.log_time(record, NEVER);
            let meta = Meta { kind: Kind::Event, offset: record.offset, log_time, event_time: NEVER };
            dead_letter(&self.context, &meta, record.key, &bad, record.value, out);
        }
    }

    /// Time passes: the skew check measures against it.
    pub fn tick(&mut self, tick: &Tick) {
        if !tick.end_of_input {
            self.clock(tick.time);
        }
    }

    /// The host's clock, microseconds since the epoch: as a tick, for the skew check alone.
    pub fn clock(&mut self, time: i64) {
        self.last_tick = self.last_tick.max(time);
    }

    /// The newest time (event or log time, microseconds since the epoch) that was compared with the
    /// clock since it was last asked for; [`NEVER`] if none was.
    pub fn take_newest(&mut self) -> i64 {
        std::mem::replace(&mut self.newest, NEVER)
    }

    /// Would it have read records as a decoder did that has no history and whose clock is at the end of
    /// time, when `newest` is what that one compared with its clock and all records have log times?
    pub fn agrees(&self, newest: i64) -> bool {
        let ticked = self.last_tick != NEVER;
        match self.config.time.receive_field {
            // Held to the time of receipt; log times only from the first tick on.
            Some(_) => ticked,
            None => !ticked || newest <= self.last_tick.saturating_add(self.config.time.max_future_skew.us()),
        }
    }

    /// Adds what such a decoder counted.
    pub fn count(&mut self, added: &DecodeCounts) {
        self.counts.records += added.records;
        self.counts.dead += added.dead;
    }

    /// Records read and dead so far.
    pub fn counts(&self) -> DecodeCounts {
        self.counts
    }

    /// What a restart needs.
    pub fn state(&self) -> DecodeState {
        DecodeState { last_tick: self.last_tick, event_max: self.event_max, counts: self.counts }
    }

    /// Goes on from a state.
    pub fn set_state(&mut self, state: DecodeState) {
        self.last_tick = state.last_tick;
        self.event_max = state.event_max;
        self.counts = state.counts;
    }

    fn try_decode(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), Bad> {
        let value = record.value;
        if value.len() > self.config.max_record_bytes {
            let limit = self.config.max_record_bytes;
            return Err(Bad::new("too_large", format!("{} bytes; at most {limit} are read", value.len())));
        }
        if value.is_empty() {
            return Err(Bad::new("empty", "the record has no bytes"));
        }
        match self.config.format {
            Format::Json => self.json(record, out),
            Format::Csv => self.csv(record, out),
            Format::Raw => self.raw(record, out),
        }
    }

    /// The record's log time, or the newest event time so far where it has none.
    fn log_time(&mut self, record: &Record<'_>, event_time: i64) -> i64 {
        if record.log_time != NEVER {
            return record.log_time;
        }
        self.event_max = self.event_max.max(event_time);
        self.event_max.max(0)
    }

    fn json(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), Bad> {
        let meta = event_meta(record);
        let mut row = out.row(meta, record.key);
        let time_field = self.config.time.field.as_deref();
        let receive_field = self.config.time.receive_field.as_deref();
        let wanted = visit::Wanted {
            time_field,
            receive_field,
            // An event whose first field is a `kind` of ours is written with a space in front.
            events_only: self.config.events_only || record.value.starts_with(b"{ "),
            max_fields: self.config.max_fields,
            max_depth: self.config.max_depth,
        };
        let plain = plain::object(record.value, &wanted, &mut self.names, &mut self.times, &mut row);
        let read = plain.map(Ok).unwrap_or_else(|| {
            row.clear_fields();
            visit::object(record.value, &wanted, &mut self.names, &mut self.times, &mut row)
        });
        match read {
            Ok(seen) => match self.checked_time(record, &seen) {
                Ok(event_time) => {
                    let log_time = self.log_time(record, event_time);
                    row.set_meta(seen.kind, log_time, event_time);
                    Ok(())
                }
                Err(bad) => {
                    row.cancel();
                    Err(bad)
                }
            },
            Err(bad) => {
                row.cancel();
                Err(bad)
            }
        }
    }

    fn csv(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), Bad> {
        let text = utf8(record.value)?;
        let cells = csv_cells(text.trim_end_matches(['\r', '\n']))?;
        if cells.len() != self.config.columns.len() {
            let want = self.config.columns.len();
            return Err(Bad::new("column_count", format!("{} columns; the schema has {want}", cells.len())));
        }
        let mut seen = visit::Seen::default();
        for (name, cell) in self.config.columns.iter().zip(&cells) {
            if Some(name.as_str()) == self.config.time.field.as_deref() {
                seen.time = Some(self.times.parse(csv_value(cell)));
            }
            if Some(name.as_str()) == self.config.time.receive_field.as_deref() {
                seen.receive = self.times.parse(csv_value(cell));
            }
        }
        let event_time = self.checked_time(record, &seen)?;
        let log_time = self.log_time(record, event_time);
        let mut row = out.row(Meta { event_time, log_time, ..event_meta(record) }, record.key);
        for (name, cell) in self.config.columns.iter().zip(&cells) {
            row.field(name, csv_value(cell));
        }
        Ok(())
    }

    fn raw(&mut self, record: &Record<'_>, out: &mut Output) -> Result<(), Bad> {
        let text = utf8(record.value)?;
        out.row(Meta { event_time: record.log_time.max(0), ..event_meta(record) }, record.key).field("message", text);
        Ok(())
    }

    /// The event time, if it is there and believable. Rows that are no events bring their own.
    fn checked_time(&mut self, record: &Record<'_>, seen: &visit::Seen) -> Result<i64, Bad> {
        if seen.kind != Kind::Event {
            return Ok(seen.time.flatten().unwrap_or(NEVER));
        }
        let Some(field) = &self.config.time.field else { return Ok(record.log_time.max(0)) };
        let time = match seen.time {
            None => return Err(Bad::new("missing_time", format!("no field `{field}`"))),
            Some(None) => {
                let expected = "RFC 3339, epoch seconds or epoch milliseconds";
                return Err(Bad::new("invalid_time", format!("`{field}` is not a time stamp ({expected})")));
            }
            Some(Some(time)) => time,
        };
        let now = match (&self.config.time.receive_field, self.last_tick) {
            (Some(_), _) => seen.receive.unwrap_or(NEVER),
            (None, tick) => tick,
        };
        let bound = now.saturating_add(self.config.time.max_future_skew.us());
        // Log times are the producer's clock, so they are held to the same bound, by ticks.
        let newest = if self.last_tick == NEVER { time } else { time.max(record.log_time) };
        self.newest = self.newest.max(newest);
        if now != NEVER && newest > bound {
            let skew = Span(newest - now);
            let allowed = self.config.time.max_future_skew;
            return Err(Bad::new("future_time", format!("{skew} ahead of the clock; at most {allowed} is believed")));
        }
        Ok(time)
    }
}

fn event_meta(record: &Record<'_>) -> Meta {
    Meta { kind: Kind::Event, offset: record.offset, log_time: record.log_time.max(0), event_time: NEVER }
}

fn utf8(bytes: &[u8]) -> Result<&str, Bad> {
    std::str::from_utf8(bytes).map_err(|e| Bad::new("not_utf8", e.to_string()))
}

/// A CSV cell: a number where it is one, null where it is empty, else text.
fn csv_value(cell: &str) -> Value<'_> {
    if cell.is_empty() {
        return Value::Null;
    }
    if let Ok(n) = cell.parse::<i64>() {
        return Value::Int(n);
    }
    match cell.parse::<f64>() {
        Ok(x) if x.is_finite() && cell.bytes().any(|b| b.is_ascii_digit()) => Value::Float(x),
        _ => match cell {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => Value::Str(cell),
        },
    }
}

/// The cells of one CSV line (RFC 4180).
fn csv_cells(line: &str) -> Result<Vec<String>, Bad> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let cell = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let cell = rest[..end].to_string();
                rest = &rest[end..];
                cell
            }
            Some(mut quoted) => {
                let mut cell = String::new();
                loop {
                    let end = quoted.find('"').ok_or_else(|| Bad::new("invalid_csv", "a quoted cell does not end"))?;
                    cell.push_str(&quoted[..end]);
                    quoted = &quoted[end + 1..];
                    match quoted.strip_prefix('"') {
                        Some(more) => {
                            cell.push('"');
                            quoted = more;
                        }
                        None => break,
                    }
                }
                rest = quoted;
                cell
            }
        };
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest.is_empty() => return Ok(cells),
            None => return Err(Bad::new("invalid_csv", "text behind a quoted cell")),
        }
        if cells.len() > MAX_FIELDS {
            return Err(Bad::new("too_many_fields", format!("more than {MAX_FIELDS} columns")));
        }
    }
}

/// Appends the dead letter of a record or row. Its `sample` is the first [`SAMPLE_BYTES`] bytes,
/// with what is not UTF-8 replaced.
pub fn dead_letter(context: &Context, meta: &Meta, key: Option<&[u8]>, bad: &Bad, sample: &[u8], out: &mut Output) {
    let cut = &sample[..sample.len().min(SAMPLE_BYTES)];
    let text = String::from_utf8_lossy(cut);
    let id = crate::id::id(&[
        context.pipeline.as_bytes(),
        context.stage.as_bytes(),
        &context.partition.to_le_bytes(),
        &meta.offset.to_le_bytes(),
        bad.reason.as_bytes(),
    ]);
    let meta = Meta { kind: Kind::DeadLetter, ..*meta };
    out.row(meta, key)
        .field("id", id.as_str())
        .field("pipeline", context.pipeline.as_str())
        .field("stage", context.stage.as_str())
        .field("partition", context.partition as i64)
        .field("offset", meta.offset)
        .field("reason", bad.reason)
        .field("detail", bad.detail.as_str())
        .field("size_bytes", sample.len() as i64)
        .field("sample", &*text);
}

//! Packed batches and whole module calls from any bytes.
//!
//! First byte: the stage. Second: even, the rest is one batch for `row::Batch` and `Rows`; odd, the
//! rest says a list of calls: torn or whole inputs, forged rows in a whole batch, control calls of
//! every kind. Held: no panic; an output is always whole; every row in it is a JSON object; a
//! module takes back the snapshot it gave.

use super::configs::{CONFIGS, STAGES};
use super::machine::{Machine, value_record};
use arbitrary::{Arbitrary, Unstructured};
use perfstream_core::row::{Batch, Fields, MAGIC, Rows};
use perfstream_core::{Context, Kind, Meta, Output, Tick, Value};
use perfstream_sdk::Call;
use perfstream_sdk::params::{OutputForm, Runtime};

const MAX_CALLS: usize = 12;
const MAX_ROWS: usize = 12;
const MAX_FIELDS: usize = 8;
const NAMES: [&str; 22] = [
    "value",
    "page",
    "browser",
    "sessionId",
    "id",
    "timestamp",
    "startTime",
    "sources",
    "navigationId",
    "reset",
    "window",
    "p",
    "odd",
    "cls",
    "hadRecentInput",
    "alert",
    "high",
    "anomaly",
    "anomaly_id",
    "service",
    "segment",
    "started_at",
];

/// One call to a module.
#[derive(Debug, Arbitrary)]
enum Op {
    /// Any bytes as the whole input
    Raw {
        bytes: Vec<u8>,
        version: i16,
    },
    /// A packed record of any bytes
    Torn {
        bytes: Vec<u8>,
        base_offset: i64,
        base_ms: i64,
    },
    /// A packed record of whole rows
    Rows {
        rows: Vec<RowSpec>,
        base_offset: i64,
        base_ms: i64,
    },
    /// JSON or other text
    Text {
        bytes: Vec<u8>,
        base_offset: i64,
        base_ms: i64,
    },
    Tick {
        time: i64,
        offset: i64,
        end_of_input: bool,
    },
    Drain,
    State(u32),
    Restore {
        chunk: Vec<u8>,
        last: bool,
    },
    Control(String),
    Counters,
    /// Any bytes as a control call
    RawControl(Vec<u8>),
    /// Takes a snapshot and goes on from it
    Restart,
}

#[derive(Debug, Arbitrary)]
struct RowSpec {
    kind: u8,
    offset: i64,
    log_time: i64,
    event_time: i64,
    key: Option<Vec<u8>>,
    fields: Vec<(u8, Datum)>,
}

#[derive(Debug, Arbitrary)]
enum Datum {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// JSON text as a stage would write it
    List(Vec<i16>),
    Object(String, i16),
}

/// See the module.
pub fn packed_batch(data: &[u8]) {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    if mode & 1 == 0 {
        return batch(rest);
    }
    let n = *which as usize % STAGES;
    let mut input = Unstructured::new(rest);
    let Ok(json) = bool::arbitrary(&mut input) else {
        return;
    };
    let output = if json { OutputForm::Json } else { OutputForm::Packed };
    let context = Context { max_state_bytes: 1 << 20, ..Context::default() };
    let runtime = Runtime { context, output, ..Runtime::default() };
    let mut machine = Machine::new(n, CONFIGS[n], &runtime);
    for op in input.arbitrary_iter::<Op>().into_iter().flatten().flatten().take(MAX_CALLS) {
        run(&mut machine, op, json, || Machine::new(n, CONFIGS[n], &runtime));
    }
    let end = Tick { time: 0, offset: 0, end_of_input: true };
    run(&mut machine, Op::Tick { time: end.time, offset: end.offset, end_of_input: true }, json, || {
        Machine::new(n, CONFIGS[n], &runtime)
    });
    machine.counters();
}

fn run(machine: &mut Machine, op: Op, json: bool, fresh: impl Fn() -> Machine) {
    let packed = |body: &[u8]| [&MAGIC[..], body].concat();
    let values = match op {
        Op::Raw { bytes, version } => machine.raw(&bytes, version),
        Op::RawControl(bytes) => {
            let control = perfstream_sdk::CONTROL_BASE_OFFSET;
            drop(machine.records(control, 0, &[value_record(&bytes)]));
            return;
        }
        Op::Torn { bytes, base_offset, base_ms } => {
            machine.records(base_offset, base_ms, &[value_record(&packed(&bytes))])
        }
        Op::Rows { rows, base_offset, base_ms } => {
            machine.records(base_offset, base_ms, &[value_record(&forged(&rows))])
        }
        Op::Text { bytes, base_offset, base_ms } => machine.records(base_offset, base_ms, &[value_record(&bytes)]),
        Op::Tick { time, offset, end_of_input } => machine.control(&Call::Tick(Tick { time, offset, end_of_input })),
        Op::Drain => machine.control(&Call::Drain),
        Op::State(chunk) => return drop(machine.control(&Call::State(chunk))),
        Op::Restore { chunk, last } => {
            return drop(machine.control(&Call::Restore { chunk, last }));
        }
        Op::Control(text) => return drop(machine.control(&Call::Control(text))),
        Op::Counters => {
            machine.counters();
            return;
        }
        Op::Restart => {
            let snapshot = machine.snapshot();
            *machine = fresh();
            machine.restore(&snapshot).expect("its own snapshot");
            return;
        }
    };
    let values = values.map(|v| machine.drained(v)).unwrap_or_default();
    for value in values {
        if json {
            assert_json(&value);
        } else {
            let batch = Batch::parse(&value).expect("a stage wrote a torn batch");
            each_row(&batch);
        }
    }
}

/// A whole batch of whole rows, whatever is in them.
fn forged(rows: &[RowSpec]) -> Vec<u8> {
    let mut out = Output::default();
    out.begin(&NAMES);
    for row in rows.iter().take(MAX_ROWS) {
        let kind = Kind::ALL[row.kind as usize % Kind::ALL.len()];
        let meta = Meta { kind, offset: row.offset, log_time: row.log_time, event_time: row.event_time };
        let mut writer = out.row(meta, row.key.as_deref());
        for (name, datum) in row.fields.iter().take(MAX_FIELDS) {
            let name = NAMES[*name as usize % NAMES.len()];
            match datum {
                Datum::Null => writer.field(name, Value::Null),
                Datum::Bool(b) => writer.field(name, *b),
                Datum::Int(n) => writer.field(name, *n),
                Datum::Float(x) => writer.field(name, *x),
                Datum::Text(s) => writer.field(name, s.as_str()),
                Datum::List(list) => {
                    writer.field(name, Value::Json(&serde_json::Value::from(list.clone()).to_string()))
                }
                Datum::Object(key, n) => {
                    let text = serde_json::json!({ key.as_str(): n }).to_string();
                    writer.field(name, Value::Json(&text))
                }
            };
        }
    }
    out.pack()
}

/// Any bytes as a batch: what can be read can be passed on and read again.
fn batch(bytes: &[u8]) {
    let forged = [&MAGIC[..], bytes].concat();
    for bytes in [bytes, &forged] {
        let Ok(batch) = Batch::parse(bytes) else {
            continue;
        };
        let mut fields = Fields::default();
        let slots = ["value", "page", "a.b", "", "value.x"].map(|name| fields.slot(name));
        let mut out = Output::default();
        out.begin(batch.names());
        let mut rows = Rows::new(&batch, &fields, 0);
        let mut texts = Vec::new();
        while let Some(Ok(row)) = rows.next() {
            assert!(slots.into_iter().all(|slot| row.has(slot) || row.get(slot) == Value::Null));
            texts.push(row.fields().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>());
            let mut text = Vec::new();
            perfstream_core::json::write_row(&row, &mut text);
            out.pass(&row);
        }
        let packed = out.pack();
        let again = Batch::parse(&packed).expect("what was passed on is whole");
        let mut rows = Rows::new(&again, &fields, 0);
        let mut at = 0;
        while let Some(row) = rows.next() {
            let row = row.expect("a whole row");
            assert_eq!(row.fields().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>(), texts[at]);
            at += 1;
        }
        assert_eq!(at, texts.len());
    }
}

fn each_row(batch: &Batch<'_>) {
    let none = Fields::default();
    let mut rows = Rows::new(batch, &none, 0);
    let mut text = Vec::new();
    // Forged rows pass through stages unread, so a torn one inside is no fault of theirs.
    while let Some(Ok(row)) = rows.next() {
        text.clear();
        perfstream_core::json::write_row(&row, &mut text);
    }
}

fn assert_json(text: &[u8]) {
    // A forged packed row may carry any bytes as JSON text; brackets are all that is promised.
    assert!(text.starts_with(b"{") && text.ends_with(b"}"), "{}", String::from_utf8_lossy(text));
}

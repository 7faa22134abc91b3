//! Snapshots that are not what the stage wrote: refused or taken, never a panic, then or later.
//!
//! A snapshot's checksum keeps torn ones out; this is about one that passes it, forged or of a
//! build with a fault. Input: the stage, the mode (even: the bytes are the state; odd: the bytes
//! are edits to a real state, four each), then the bytes. After the restore the stage works on: rows,
//! ticks, the end of the input, a snapshot, and that one must be taken again.

use super::configs::{CONFIGS, LINES, STAGES, START_US, stage_of};
use perfstream_core::decode::{DecodeConfig, Decoder, Record, TimeConfig};
use perfstream_core::row::{Batch, Fields, Rows};
use perfstream_core::{Context, Output, Stage, Tick};
use std::sync::LazyLock;

const MAX_EDITS: usize = 32;

/// The lines as a packed batch.
static ROWS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let time = TimeConfig { field: Some("timestamp".into()), ..TimeConfig::default() };
    let mut decoder = Decoder::new(DecodeConfig { time, ..DecodeConfig::default() }, &Context::default());
    let mut out = Output::default();
    out.begin(&[]);
    for (n, line) in LINES.iter().enumerate() {
        let (offset, log_time) = (n as i64, START_US + n as i64 * 2_000_000);
        decoder.decode(&Record { offset, log_time, key: None, value: line.as_bytes() }, &mut out);
    }
    out.pack()
});

/// A state of each stage in the middle of its work.
static REAL: LazyLock<[Vec<u8>; STAGES]> = LazyLock::new(|| std::array::from_fn(|n| stage_of!(n, real(n))));

/// See the module.
pub fn snapshot_decode(data: &[u8]) {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    let n = *which as usize % STAGES;
    let bytes = if mode & 1 == 0 { rest.to_vec() } else { edited(&REAL[n], rest) };
    stage_of!(n, forged(n, &bytes));
}

fn make<S: Stage>(n: usize) -> (S, Fields) {
    let config = serde_json::from_str(CONFIGS[n]).unwrap_or_else(|e| panic!("{}: {e}", S::NAME));
    let context = Context { stage: S::NAME.into(), max_state_bytes: 1 << 20, ..Context::default() };
    let mut fields = Fields::default();
    let stage = S::new(config, &context, &mut fields).unwrap_or_else(|e| panic!("{}: {e:?}", S::NAME));
    (stage, fields)
}

fn real<S: Stage>(n: usize) -> Vec<u8> {
    let (mut stage, fields) = make::<S>(n);
    feed(&mut stage, &fields, 9);
    stage.snapshot()
}

fn edited(real: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = real.to_vec();
    for edit in edits.chunks_exact(4).take(MAX_EDITS) {
        let at = u16::from_le_bytes([edit[0], edit[1]]) as usize % (bytes.len() + 1);
        match edit[2] % 4 {
            0 => bytes.insert(at, edit[3]),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(edit[3]),
            _ if at < bytes.len() => bytes[at] = edit[3],
            _ => bytes.push(edit[3]),
        }
    }
    bytes
}

fn forged<S: Stage>(n: usize, bytes: &[u8]) {
    let (mut stage, fields) = make::<S>(n);
    let taken = stage.restore(bytes).is_ok();
    if taken {
        let again = stage.snapshot();
        assert!(make::<S>(n).0.restore(&again).is_ok(), "{} refuses its own snapshot", S::NAME);
    }
    let offset = feed(&mut stage, &fields, LINES.len());
    tick(&mut stage, Tick { time: START_US + 60_000_000, offset, end_of_input: false });
    drop(stage.counters());
    drop(stage.snapshot());
    tick(&mut stage, Tick { time: 0, offset, end_of_input: true });
    drop(stage.snapshot());
}

/// Feeds the first `count` lines; returns the last offset.
fn feed<S: Stage>(stage: &mut S, fields: &Fields, count: usize) -> i64 {
    let batch = Batch::parse(&ROWS).expect("our own batch");
    let mut rows = Rows::new(&batch, fields, 0);
    let mut out = Output::default();
    out.begin(batch.names());
    let mut offset = -1;
    while let Some(row) = rows.next() {
        let row = row.expect("our own row");
        if row.meta.offset >= count as i64 {
            break;
        }
        offset = row.meta.offset;
        stage.process(&row, &mut out);
        while stage.pending() {
            stage.drain(&mut out);
        }
        out.begin(batch.names());
    }
    offset
}

fn tick<S: Stage>(stage: &mut S, tick: Tick) {
    let mut out = Output::default();
    out.begin(&[]);
    stage.tick(&tick, &mut out);
    while stage.pending() {
        out.begin(&[]);
        stage.drain(&mut out);
    }
}

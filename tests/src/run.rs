//! One run of a chain over a stream of steps, cut and restarted where the test says.

use anyhow::Result;
use perfstream::chain::{Chain, ChainOptions, ChainSpec};
use perfstream::host::LogRecord;
use perfstream::summary::{Balance, StageCounters};
use perfstream_core::stage::Control;
use perfstream_core::{Kind, Row, Tick, json};
use std::collections::BTreeSet;

/// What a chain is given, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A record of the log
    Record(LogRecord),
    /// Time passes: microseconds since the epoch
    Tick(i64),
    /// A request comes: a verdict, an approval, rows of a table
    Control(Control),
    /// No record follows
    End,
}

/// How a stream is run: where batches end and where the chain is stopped and started anew. A
/// number n stands for the place before step n.
#[derive(Debug, Clone, Default)]
pub struct Schedule {
    /// Batches end here
    pub cuts: BTreeSet<usize>,
    /// Here the chain is stopped; a new one goes on from its snapshot
    pub restarts: BTreeSet<usize>,
}

impl Schedule {
    /// A batch per record.
    pub fn singles(steps: usize) -> Schedule {
        Schedule { cuts: (0..steps).collect(), ..Schedule::default() }
    }
}

/// A row as it left the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is
    pub kind: Kind,
    /// Offset of the record that triggered it
    pub offset: i64,
    /// Log time in milliseconds, as a topic would have it
    pub log_time_ms: i64,
    /// Key
    pub key: Option<Vec<u8>>,
    /// The JSON text
    pub json: String,
}

impl Line {
    /// Copies a row.
    pub fn of(row: &Row<'_>) -> Line {
        let mut text = Vec::new();
        json::write_row(row, &mut text);
        Line {
            kind: row.meta.kind,
            offset: row.meta.offset,
            log_time_ms: row.meta.log_time / 1000,
            key: row.key.map(<[u8]>::to_vec),
            json: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// The parsed JSON.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.json).unwrap_or_else(|e| panic!("{e}: {}", self.json))
    }
}

/// What a run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// Rows that left the chain, in order
    pub lines: Vec<Line>,
    /// Counters of the stages, without `memory_bytes`
    pub counters: StageCounters,
    /// What became of the input
    pub balance: Balance,
}

impl Ran {
    /// How many rows of a kind left the chain.
    pub fn count(&self, kind: Kind) -> usize {
        self.lines.iter().filter(|l| l.kind == kind).count()
    }
}

/// Counters without what depends on the form and not on the records: the size of the memory, and
/// how many JSON rows a later stage read.
pub fn counters(chain: &mut Chain) -> Result<StageCounters> {
    let mut counters = chain.counters()?;
    for (n, (_, stage)) in counters.iter_mut().enumerate() {
        stage.remove("memory_bytes");
        if n > 0 {
            stage.remove("decode_records");
        }
    }
    Ok(counters)
}

/// Runs `steps` through a chain of `spec`.
pub fn run(spec: &ChainSpec, options: &ChainOptions, steps: &[Step], schedule: &Schedule) -> Result<Ran> {
    let mut fresh = || Chain::new(spec, options);
    run_with(&mut fresh, steps, schedule)
}

/// The same with chains from `fresh`.
pub fn run_with(fresh: &mut dyn FnMut() -> Result<Chain>, steps: &[Step], schedule: &Schedule) -> Result<Ran> {
    let mut chain = fresh()?;
    let mut lines = Vec::new();
    let mut batch: Vec<LogRecord> = Vec::new();
    let mut last = -1;
    for (at, step) in steps.iter().enumerate() {
        let mut emit = |row: &Row<'_>| lines.push(Line::of(row));
        let restart = schedule.restarts.contains(&at);
        let ends = restart || schedule.cuts.contains(&at) || !matches!(step, Step::Record(_));
        if ends {
            chain.process(&batch, &mut emit)?;
            batch.clear();
        }
        if restart {
            let state = chain.snapshot()?;
            chain = fresh()?;
            chain.restore(&state)?;
        }
        match step {
            Step::Record(record) => {
                last = record.offset;
                batch.push(record.clone());
            }
            Step::Tick(time) => chain.tick(&Tick { time: *time, offset: last, end_of_input: false }, &mut emit)?,
            Step::Control(control) => chain.control(control)?,
            Step::End => chain.tick(&Tick { time: 0, offset: last, end_of_input: true }, &mut emit)?,
        }
    }
    chain.process(&batch, &mut |row| lines.push(Line::of(row)))?;
    let counters = counters(&mut chain)?;
    let events_out = lines.iter().filter(|l| l.kind == Kind::Event).count() as u64;
    Ok(Ran { balance: Balance::new(&counters, events_out), lines, counters })
}

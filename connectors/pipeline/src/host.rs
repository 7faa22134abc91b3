//! Hosting a stage: one instance behind calls of bytes.

pub mod engine;
pub mod native;
pub mod wasmtime;

use anyhow::{Result, anyhow, bail};
use perfstream_core::Tick;
use perfstream_core::stage::Control;
use perfstream_sdk::call::{CONTROL_BASE_OFFSET, Call, MORE};
use perfstream_sdk::wire::{RawRecord, RecordWriter};
use std::collections::BTreeMap;

pub use perfstream_log::{LogRecord, NO_LOG_TIME};

/// Lines of a file in one buffer: a batch without an allocation per record.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// Offset of the first line
    pub first_offset: i64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    /// Adds a line.
    pub fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    /// The lines in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// No line?
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all lines.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for the lines that follow these.
    pub fn advance(&mut self) {
        self.first_offset += self.ends.len() as i64;
        self.bytes.clear();
        self.ends.clear();
    }
}

/// A record as a stage wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRecord {
    /// Offset relative to the base offset of the call
    pub offset_delta: i64,
    /// Log time relative to the base of the call, milliseconds
    pub timestamp_delta_ms: i64,
    /// Key
    pub key: Option<Vec<u8>>,
    /// Value: packed rows or JSON
    pub value: Vec<u8>,
}

/// One stage instance. `records` is an encoded `Vec<Record>` of Fluvio.
///
/// An error is the end of the instance (a trap, out of memory): its state is gone.
pub trait StageHost: Send {
    /// Calls the module with a batch.
    fn call(&mut self, base_offset: i64, base_timestamp_ms: i64, records: &[u8]) -> Result<Vec<StageRecord>>;
}

/// What a call gave: records, and whether more waits.
#[derive(Debug, Default)]
pub struct Reply {
    /// The output
    pub records: Vec<StageRecord>,
    /// Call [`Hosted::drain`] for the rest
    pub more: bool,
}

/// A stage instance with its control calls.
pub struct Hosted {
    /// Name in the pipeline
    pub name: String,
    host: Box<dyn StageHost>,
    writer: RecordWriter,
}

impl Hosted {
    /// A stage named `name`.
    pub fn new(name: impl Into<String>, host: Box<dyn StageHost>) -> Hosted {
        Hosted { name: name.into(), host, writer: RecordWriter::default() }
    }

    /// Log records: all with a log time, or all without.
    pub fn records(&mut self, records: &[LogRecord]) -> Result<Reply> {
        let Some(first) = records.first() else { return Ok(Reply::default()) };
        let (base_offset, base_ms) = (first.offset, first.log_time_ms);
        self.writer.clear();
        for record in records {
            self.writer.push(&RawRecord {
                offset_delta: record.offset - base_offset,
                timestamp_delta_ms: record.log_time_ms - base_ms,
                key: record.key.as_deref(),
                value: &record.value,
            });
        }
        self.call(base_offset, base_ms)
    }

    /// Lines of a file: records without key and log time, numbered from the first offset on.
    pub fn lines(&mut self, lines: &Lines) -> Result<Reply> {
        self.writer.clear();
        for (n, value) in lines.iter().enumerate() {
            self.writer.push(&RawRecord { offset_delta: n as i64, timestamp_delta_ms: 0, key: None, value });
        }
        self.call(lines.first_offset, NO_LOG_TIME)
    }

    /// Output of the stage before, of a call with the same base offset; a stage's output always
    /// has log times.
    pub fn forward(&mut self, base_offset: i64, base_ms: i64, records: &[StageRecord]) -> Result<Reply> {
        self.writer.clear();
        for record in records {
            self.writer.push(&RawRecord {
                offset_delta: record.offset_delta,
                timestamp_delta_ms: record.timestamp_delta_ms,
                key: record.key.as_deref(),
                value: &record.value,
            });
        }
        self.call(base_offset, base_ms.max(0))
    }

    fn call(&mut self, base_offset: i64, base_ms: i64) -> Result<Reply> {
        let mut records = self
            .host
            .call(base_offset, base_ms, self.writer.finish())
            .map_err(|e| e.context(format!("stage `{}`", self.name)))?;
        let more = records.last().is_some_and(|r| r.value == MORE);
        if more {
            records.pop();
        }
        Ok(Reply { records, more })
    }

    fn control(&mut self, call: &Call) -> Result<Reply> {
        self.writer.clear();
        let value = call.to_bytes();
        self.writer.push(&RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value: &value });
        self.call(CONTROL_BASE_OFFSET, 0)
    }

    /// Time passes.
    pub fn tick(&mut self, tick: &Tick) -> Result<Reply> {
        self.control(&Call::Tick(*tick))
    }

    /// The host's clock while input waits; see [`Call::Clock`].
    pub fn clock(&mut self, time: i64) -> Result<()> {
        self.control(&Call::Clock(time)).map(drop)
    }

    /// The rest of a reply that said more waits.
    pub fn drain(&mut self) -> Result<Reply> {
        self.control(&Call::Drain)
    }

    /// A reference or feedback record.
    pub fn reference(&mut self, control: &Control) -> Result<()> {
        self.control(&Call::Control(serde_json::to_string(control)?)).map(drop)
    }

    /// The counters by name; a WASM instance also tells its `memory_bytes`.
    pub fn counters(&mut self) -> Result<BTreeMap<String, u64>> {
        let reply = self.control(&Call::Counters)?;
        let record = reply.records.first().ok_or_else(|| anyhow!("stage `{}` gave no counters", self.name))?;
        Ok(serde_json::from_slice(&record.value)?)
    }

    /// The whole state, read in chunks.
    pub fn snapshot(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for chunk in 0.. {
            let reply = self.control(&Call::State(chunk))?;
            match reply.records.first() {
                Some(record) if !record.value.is_empty() => bytes.extend_from_slice(&record.value),
                _ => break,
            }
        }
        Ok(bytes)
    }

    /// Gives a fresh instance the state it goes on from.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        self.give(snapshot, |chunk, last| Call::Restore { chunk, last })
    }

    /// Gives a fresh instance the state of one that had the configuration `config`.
    pub fn adopt(&mut self, snapshot: &[u8], config: &str) -> Result<()> {
        let mut config = Some(config.to_string());
        self.give(snapshot, |chunk, last| match last {
            false => Call::Restore { chunk, last },
            true => Call::Adopt { chunk, config: config.take().unwrap_or_default() },
        })
    }

    fn give(&mut self, snapshot: &[u8], mut call: impl FnMut(Vec<u8>, bool) -> Call) -> Result<()> {
        let size = perfstream_sdk::call::STATE_CHUNK_BYTES;
        let count = snapshot.len().div_ceil(size).max(1);
        for n in 0..count {
            let chunk = snapshot[n * size..((n + 1) * size).min(snapshot.len())].to_vec();
            let reply = self.control(&call(chunk, n + 1 == count))?;
            if let Some(record) = reply.records.first().filter(|r| !r.value.is_empty()) {
                let why = String::from_utf8_lossy(&record.value).into_owned();
                bail!("the snapshot of stage `{}` cannot be used: {why}", self.name);
            }
        }
        Ok(())
    }
}

//! Hosting a stage: one instance behind calls of bytes.

pub mod engine;
pub mod native;
pub mod wasmtime;

use anyhow::{Result, anyhow, bail};
use perfstream_core::Tick;
use perfstream_core::stage::Control;
use perfstream_sdk::call::{CONTROL_BASE_OFFSET, Call, MORE};
use perfstream_sdk::front::Tally;
use perfstream_sdk::wire::{RawRecord, RecordWriter, Records, pop_value};
use std::collections::BTreeMap;

pub use perfstream_log::{LogRecord, NO_LOG_TIME};

/// Lines of a file as an encoded batch: without an allocation per record, each copied once.
#[derive(Debug, Default)]
pub struct Lines {
    /// Offset of the first line
    pub first_offset: i64,
    records: RecordWriter,
}

impl Lines {
    /// Adds a line.
    pub fn push(&mut self, value: &[u8]) {
        let offset_delta = self.len() as i64;
        self.records.push(&RawRecord { offset_delta, timestamp_delta_ms: 0, key: None, value });
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.records.count() as usize
    }

    /// No line?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all lines and what frames them.
    pub fn size_bytes(&self) -> usize {
        self.records.len_bytes()
    }

    /// Makes room for the lines that follow these.
    pub fn advance(&mut self) {
        self.first_offset += self.len() as i64;
        self.records.clear();
    }
}

/// One stage instance.
///
/// An error is the end of the instance (a trap, out of memory): its state is gone.
pub trait StageHost: Send {
    /// Calls the module with a batch. What goes in and what comes out is an encoded `Vec<Record>` of
    /// Fluvio, so one stage's output is the next one's input as it is.
    fn call(&mut self, base_offset: i64, base_timestamp_ms: i64, records: &[u8]) -> Result<Vec<u8>>;
}

/// What a call gave: records, and whether more waits.
#[derive(Debug, Default)]
pub struct Reply {
    /// The output, encoded
    pub records: Vec<u8>,
    /// Call [`Hosted::drain`] for the rest
    pub more: bool,
}

impl Reply {
    /// The records of the output.
    pub fn iter(&self) -> Result<impl Iterator<Item = Result<RawRecord<'_>>>> {
        let torn = |_| anyhow!("a stage wrote torn records");
        Ok(Records::new(&self.records).map_err(torn)?.map(move |record| record.map_err(torn)))
    }

    /// The first record's value.
    fn value(&self) -> Result<Option<&[u8]>> {
        self.iter()?.next().map(|record| Ok(record?.value)).transpose()
    }
}

/// A stage instance with its control calls.
pub struct Hosted {
    /// Name in the pipeline
    pub name: String,
    host: Box<dyn StageHost>,
}

impl Hosted {
    /// A stage named `name`.
    pub fn new(name: impl Into<String>, host: Box<dyn StageHost>) -> Hosted {
        Hosted { name: name.into(), host }
    }

    /// Log records: all with a log time, or all without.
    pub fn records(&mut self, records: &[LogRecord]) -> Result<Reply> {
        let Some(first) = records.first() else { return Ok(Reply::default()) };
        let (base_offset, base_ms) = (first.offset, first.log_time_ms);
        let mut writer = RecordWriter::default();
        for record in records {
            writer.push(&RawRecord {
                offset_delta: record.offset - base_offset,
                timestamp_delta_ms: record.log_time_ms - base_ms,
                key: record.key.as_deref(),
                value: &record.value,
            });
        }
        self.call(base_offset, base_ms, writer.finish())
    }

    /// Lines of a file: records without key and log time, numbered from the first offset on.
    pub fn lines(&mut self, lines: &mut Lines) -> Result<Reply> {
        self.call(lines.first_offset, NO_LOG_TIME, lines.records.finish())
    }

    /// Encoded output of the stage before, of a call with the same base offset; a stage's output
    /// always has log times.
    pub fn forward(&mut self, base_offset: i64, base_ms: i64, records: &[u8]) -> Result<Reply> {
        self.call(base_offset, base_ms.max(0), records)
    }

    fn call(&mut self, base_offset: i64, base_ms: i64, records: &[u8]) -> Result<Reply> {
        let of_stage = |e: anyhow::Error| e.context(format!("stage `{}`", self.name));
        let mut records = self.host.call(base_offset, base_ms, records).map_err(of_stage)?;
        let more = pop_value(&mut records, MORE).map_err(|_| of_stage(anyhow!("it wrote torn records")))?;
        Ok(Reply { records, more })
    }

    fn control(&mut self, call: &Call) -> Result<Reply> {
        let value = call.to_bytes();
        let mut writer = RecordWriter::default();
        writer.push(&RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value: &value });
        self.call(CONTROL_BASE_OFFSET, 0, writer.finish())
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

    /// Would it have made the same of a batch as an instance in an SPU did? See [`Call::Agree`].
    pub fn agrees(&mut self, newest: Option<i64>) -> Result<bool> {
        Ok(self.control(&Call::Agree(newest))?.value()? == Some(b"yes"))
    }

    /// Counts what that instance counted.
    pub fn count(&mut self, tally: Tally) -> Result<()> {
        self.control(&Call::Count(tally)).map(drop)
    }

    /// The counters by name; a WASM instance also tells its `memory_bytes`.
    pub fn counters(&mut self) -> Result<BTreeMap<String, u64>> {
        let reply = self.control(&Call::Counters)?;
        let text = reply.value()?.ok_or_else(|| anyhow!("stage `{}` gave no counters", self.name))?;
        Ok(serde_json::from_slice(text)?)
    }

    /// The whole state, read in chunks.
    pub fn snapshot(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for chunk in 0.. {
            let reply = self.control(&Call::State(chunk))?;
            match reply.value()? {
                Some(value) if !value.is_empty() => bytes.extend_from_slice(value),
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
            if let Some(why) = reply.value()?.filter(|why| !why.is_empty()) {
                let why = String::from_utf8_lossy(why);
                bail!("the snapshot of stage `{}` cannot be used: {why}", self.name);
            }
        }
        Ok(())
    }
}

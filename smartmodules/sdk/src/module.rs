//! One SmartModule: encoded input in, encoded output out. Everything but the pointers.

mod spu;

use crate::call::{CONTROL_BASE_OFFSET, Call, MORE, STATE_CHUNK_BYTES};
use crate::params::{self, OutputForm, Runtime};
use crate::wire::{self, Input, RawRecord, RecordWriter, Records};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleTransformErrorStatus as Status;
use perfstream_core::clock::NEVER;
use perfstream_core::decode::{Bad, DecodeState, Decoder, Record, dead_letter};
use perfstream_core::row::{Batch, Fields, MAGIC, Rows};
use perfstream_core::stage::{self, Control};
use perfstream_core::{Context, Issues, Kind, Meta, Output, Stage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;

/// Input that waits to be processed.
enum Work<'a> {
    /// Rows decoded from this call's records
    Decoded(Output),
    /// A packed record
    Packed(Cow<'a, [u8]>),
}

impl Work<'_> {
    /// To outlive the call.
    fn into_owned(self) -> Work<'static> {
        match self {
            Work::Decoded(rows) => Work::Decoded(rows),
            Work::Packed(bytes) => Work::Packed(Cow::Owned(bytes.into_owned())),
        }
    }
}

/// A stage behind the boundary.
pub struct Module<S: Stage> {
    stage: S,
    fields: Fields,
    runtime: Runtime,
    config_hash: [u8; 32],
    decoder: Decoder,
    /// Rows not yet processed: more than nothing only while the host drains.
    work: VecDeque<Work<'static>>,
    /// Where the first of `work` goes on.
    position: usize,
    out: Output,
    spare: Option<Output>,
    json: Vec<u8>,
    writer: RecordWriter,
    snapshot: Vec<u8>,
    incoming: Vec<u8>,
}

/// A snapshot as it leaves the module.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    stage: String,
    state_version: u32,
    config_hash: [u8; 32],
    decode: DecodeState,
    state: Vec<u8>,
}

impl<S: Stage> Module<S> {
    /// Builds the stage from its parameters; `get` looks one up.
    pub fn new<'p>(get: &impl Fn(&str) -> Option<&'p str>) -> Result<Module<S>, Issues> {
        let (config, text, mut runtime) = params::from_params::<S::Config>(get)?;
        let context = &mut runtime.context;
        if context.stage.is_empty() {
            context.stage = S::NAME.into();
        }
        context.out_of_orderness = runtime.decode.time.out_of_orderness;
        context.idle_after = runtime.decode.time.idle_after;
        let mut fields = Fields::default();
        let stage = S::new(config, &runtime.context, &mut fields)?;
        let mut decoder = Decoder::new(runtime.decode.clone(), &runtime.context);
        if runtime.output == OutputForm::Spu {
            // No tick comes there. What was compared with the clock goes to the worker, which has one.
            decoder.clock(i64::MAX);
        }
        Ok(Module {
            stage,
            fields,
            config_hash: config_hash(&text, &runtime.context),
            decoder,
            runtime,
            work: VecDeque::new(),
            position: 0,
            out: Output::default(),
            spare: None,
            json: Vec::new(),
            writer: RecordWriter::default(),
            snapshot: Vec::new(),
            incoming: Vec::new(),
        })
    }

    /// Takes an encoded `SmartModuleInput`; returns how many records [`Module::output`] holds.
    pub fn call(&mut self, bytes: &[u8], version: i16) -> Result<i32, Status> {
        let input = wire::read_input(bytes, version).map_err(|_| Status::DecodingBaseInput)?;
        self.writer.clear();
        self.out.begin(&[]);
        match input.base_offset {
            CONTROL_BASE_OFFSET => self.control(&input)?,
            _ if self.runtime.output == OutputForm::Spu => self.front(&input)?,
            _ => {
                let work = self.read(&input)?;
                self.run(&input, work);
            }
        }
        Ok(self.writer.count() as i32)
    }

    /// The encoded `SmartModuleOutput` of the last call.
    pub fn output(&mut self) -> &[u8] {
        self.writer.finish_output()
    }

    /// What waits from calls before, and the call's records as work.
    fn read<'a>(&mut self, input: &Input<'a>) -> Result<VecDeque<Work<'a>>, Status> {
        let mut work: VecDeque<Work<'a>> = std::mem::take(&mut self.work);
        let mut decoded: Option<Output> = None;
        for record in Records::new(input.records).map_err(|_| Status::DecodingRecords)? {
            let record = record.map_err(|_| Status::DecodingRecords)?;
            if !self.runtime.decode.events_only && record.value.starts_with(&MAGIC) {
                work.extend(decoded.take().map(Work::Decoded));
                work.push_back(Work::Packed(record.value.into()));
                continue;
            }
            let rows = decoded.get_or_insert_with(|| {
                let mut rows = self.spare.take().unwrap_or_default();
                rows.begin(&[]);
                rows
            });
            // Fluvio's "no timestamp" is -1.
            let log_time = match input.base_timestamp_ms {
                base if base < 0 => NEVER,
                base => base.saturating_add(record.timestamp_delta_ms).saturating_mul(1000),
            };
            let record = Record {
                offset: input.base_offset.saturating_add(record.offset_delta),
                log_time,
                key: record.key,
                value: record.value,
            };
            self.decoder.decode(&record, rows);
        }
        work.extend(decoded.map(Work::Decoded));
        Ok(work)
    }

    /// Processes `work` until it is done or, in packed form, the output is full; the rest waits.
    fn run(&mut self, input: &Input<'_>, mut work: VecDeque<Work<'_>>) {
        let limited = self.runtime.output == OutputForm::Packed;
        while let Some(first) = work.pop_front() {
            let mut more = false;
            if let Err(size) = self.run_batch(&first, limited, &mut more) {
                let meta = Meta { offset: input.base_offset, ..Meta::default() };
                let bad = Bad::new("corrupt_batch", "a packed batch that cannot be read");
                self.out.begin(&[]);
                dead_letter(&self.runtime.context, &meta, None, &bad, &size.to_le_bytes(), &mut self.out);
            }
            self.write_output(input, more);
            if more {
                work.push_front(first);
                self.work = work.into_iter().map(Work::into_owned).collect();
                return;
            }
            self.position = 0;
            if let Work::Decoded(rows) = first {
                self.spare = Some(rows);
            }
        }
    }

    /// One batch from `self.position` on. The error is a corrupt batch, of so many bytes.
    fn run_batch(&mut self, work: &Work<'_>, limited: bool, more: &mut bool) -> Result<(), u64> {
        let batch = match work {
            Work::Decoded(rows) => rows.as_batch(),
            Work::Packed(bytes) => Batch::parse(bytes).map_err(|_| bytes.len() as u64)?,
        };
        self.out.begin(batch.names());
        let mut rows = Rows::new(&batch, &self.fields, self.position);
        loop {
            // First what waits from the row before, or from the call before.
            while self.stage.pending() {
                self.stage.drain(&mut self.out);
                if limited && self.out.is_full() {
                    break;
                }
            }
            if limited && self.out.is_full() {
                self.position = rows.position();
                *more = true;
                return Ok(());
            }
            match rows.next() {
                None => return Ok(()),
                Some(Ok(row)) => self.stage.process(&row, &mut self.out),
                Some(Err(_)) => return Err(0),
            }
        }
    }

    /// Turns the rows of `out` into records of the call's output.
    fn write_output(&mut self, input: &Input<'_>, more: bool) {
        if !self.out.is_empty() {
            match self.runtime.output {
                OutputForm::Packed | OutputForm::Spu => {
                    let out = &self.out;
                    self.writer.push_with(&value_record(&[]), out.packed_len(), |dest| out.pack_into(dest));
                }
                OutputForm::Json => self.write_json(input),
            }
            self.out.begin(&[]);
        }
        if more {
            self.writer.push(&value_record(MORE));
        }
    }

    fn write_json(&mut self, input: &Input<'_>) {
        let batch = self.out.as_batch();
        let none = Fields::default();
        let mut rows = Rows::new(&batch, &none, 0);
        let base_ms = input.base_timestamp_ms.max(0);
        let base_offset = if input.base_offset == CONTROL_BASE_OFFSET { 0 } else { input.base_offset };
        while let Some(Ok(row)) = rows.next() {
            self.json.clear();
            perfstream_core::json::write_row(&row, &mut self.json);
            self.writer.push(&RawRecord {
                offset_delta: row.meta.offset.saturating_sub(base_offset),
                timestamp_delta_ms: (row.meta.log_time / 1000).saturating_sub(base_ms),
                key: row.key,
                value: &self.json,
            });
        }
    }

    fn control(&mut self, input: &Input<'_>) -> Result<(), Status> {
        let mut records = Records::new(input.records).map_err(|_| Status::DecodingRecords)?;
        let record = records.next().and_then(Result::ok).ok_or(Status::DecodingRecords)?;
        let call: Call = stage::load(record.value).map_err(|_| Status::DecodingRecords)?;
        match call {
            Call::Tick(tick) => {
                self.decoder.tick(&tick);
                self.stage.tick(&tick, &mut self.out);
                self.drain(input);
            }
            Call::Clock(time) => self.decoder.clock(time),
            Call::Drain if self.work.is_empty() => self.drain(input),
            Call::Drain => {
                let work = std::mem::take(&mut self.work);
                self.run(input, work);
            }
            Call::State(chunk) => self.state_chunk(chunk),
            Call::Restore { chunk, last } => {
                self.incoming.extend_from_slice(&chunk);
                let reply = match last {
                    false => String::new(),
                    true => self.restore(None).err().unwrap_or_default(),
                };
                self.writer.push(&value_record(reply.as_bytes()));
            }
            Call::Adopt { chunk, config } => {
                self.incoming.extend_from_slice(&chunk);
                let reply = self.restore(Some(&config)).err().unwrap_or_default();
                self.writer.push(&value_record(reply.as_bytes()));
            }
            Call::Control(text) => {
                let control: Control = serde_json::from_str(&text).map_err(|_| Status::DecodingRecords)?;
                self.stage.control(&control);
            }
            Call::Agree(newest) => {
                let agrees = self.stage.is_fresh() && newest.is_none_or(|newest| self.decoder.agrees(newest));
                let reply: &[u8] = if agrees { b"yes" } else { b"no" };
                self.writer.push(&value_record(reply));
            }
            Call::Count(tally) => {
                self.decoder.count(&tally.decode);
                self.stage.count(&tally.counters);
            }
            Call::Counters => {
                let text = self.counters();
                self.writer.push(&value_record(text.as_bytes()));
            }
        }
        Ok(())
    }

    /// Emits what waits after a tick.
    fn drain(&mut self, input: &Input<'_>) {
        let limited = self.runtime.output == OutputForm::Packed;
        while self.stage.pending() && !(limited && self.out.is_full()) {
            self.stage.drain(&mut self.out);
        }
        let more = self.stage.pending();
        self.write_output(input, more);
    }

    fn counters(&self) -> String {
        let decode = self.decoder.counts();
        let mut text = format!("{{\"decode_records\":{},\"decode_dead\":{}", decode.records, decode.dead);
        #[cfg(target_arch = "wasm32")]
        text.push_str(&format!(",\"memory_bytes\":{}", std::arch::wasm32::memory_size::<0>() as u64 * 65_536));
        for (name, value) in self.stage.counters() {
            text.push_str(&format!(",\"{name}\":{value}"));
        }
        text.push('}');
        text
    }

    fn state_chunk(&mut self, chunk: u32) {
        if chunk == 0 {
            self.snapshot = sealed(&Snapshot {
                stage: S::NAME.into(),
                state_version: S::STATE_VERSION,
                config_hash: self.config_hash,
                decode: self.decoder.state(),
                state: self.stage.snapshot(),
            });
        }
        let start = (chunk as usize).saturating_mul(STATE_CHUNK_BYTES).min(self.snapshot.len());
        let end = (start + STATE_CHUNK_BYTES).min(self.snapshot.len());
        self.writer.push(&value_record(&self.snapshot[start..end]));
        if start == end {
            self.snapshot = Vec::new();
        }
    }

    /// Restores what has come; with the configuration it was taken with, if that is another one.
    fn restore(&mut self, other: Option<&str>) -> Result<(), String> {
        let bytes = std::mem::take(&mut self.incoming);
        let snapshot = open(&bytes)?;
        if snapshot.stage != S::NAME {
            return Err(format!("it is a snapshot of the stage `{}`, not of `{}`", snapshot.stage, S::NAME));
        }
        if snapshot.state_version != S::STATE_VERSION {
            let (found, wanted) = (snapshot.state_version, S::STATE_VERSION);
            return Err(format!("its state version is {found}; this module reads {wanted}"));
        }
        match other {
            Some(config) => {
                let config = serde_json::from_str(config).map_err(|e| format!("its configuration: {e}"))?;
                self.stage.adopt(&snapshot.state, &config).map_err(|e| e.0)?;
            }
            None if snapshot.config_hash != self.config_hash => {
                return Err("it was taken with another configuration".into());
            }
            None => self.stage.restore(&snapshot.state).map_err(|e| e.0)?,
        }
        self.decoder.set_state(snapshot.decode);
        Ok(())
    }
}

fn value_record(value: &[u8]) -> RawRecord<'_> {
    RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value }
}

/// Config and place decide what a state means.
fn config_hash(config: &str, context: &Context) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(config.as_bytes());
    hasher.update(&[0]);
    hasher.update(&stage::save(context));
    *hasher.finalize().as_bytes()
}

/// A snapshot with its checksum in front.
fn sealed(snapshot: &Snapshot) -> Vec<u8> {
    let body = stage::save(snapshot);
    let mut bytes = blake3::hash(&body).as_bytes()[..16].to_vec();
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads a sealed snapshot; any changed byte is found.
fn open(bytes: &[u8]) -> Result<Snapshot, String> {
    let torn = || "its checksum does not match: it is torn or damaged".to_string();
    let (sum, body) = bytes.split_at_checked(16).ok_or_else(torn)?;
    if blake3::hash(body).as_bytes()[..16] != *sum {
        return Err(torn());
    }
    stage::load(body).map_err(|e| e.0)
}

/// Rows of a packed batch as (kind, JSON), for tests and tools.
pub fn rows_as_json(packed: &[u8]) -> Vec<(Kind, String)> {
    let Ok(batch) = Batch::parse(packed) else { return Vec::new() };
    let none = Fields::default();
    let mut rows = Rows::new(&batch, &none, 0);
    let mut lines = Vec::new();
    while let Some(Ok(row)) = rows.next() {
        let mut text = Vec::new();
        perfstream_core::json::write_row(&row, &mut text);
        lines.push((row.meta.kind, String::from_utf8_lossy(&text).into_owned()));
    }
    lines
}

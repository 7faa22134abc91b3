//! A stage behind its bytes, and a chain of them, as a host drives them but without a host.

use super::configs::stage_of;
use perfstream_core::row::Batch;
use perfstream_core::{Stage, Tick};
use perfstream_sdk::params::{Runtime, to_params};
use perfstream_sdk::wire::{RawRecord, RecordWriter, Records, write_input};
use perfstream_sdk::{CONTROL_BASE_OFFSET, Call, MORE, Module};

/// The ABI version both sides speak.
pub(super) const VERSION: i16 = 22;

/// A record of the input.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) offset: i64,
    /// -1: none
    pub(super) log_time_ms: i64,
    pub(super) value: Vec<u8>,
}

trait Bytes {
    fn call(&mut self, input: &[u8], version: i16) -> Option<Vec<u8>>;
}

impl<S: Stage> Bytes for Module<S> {
    fn call(&mut self, input: &[u8], version: i16) -> Option<Vec<u8>> {
        Module::call(self, input, version).ok()?;
        Some(self.output().to_vec())
    }
}

fn module<S: Stage + 'static>(params: &[(String, String)]) -> Box<dyn Bytes> {
    let get = |key: &str| params.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    Box::new(Module::<S>::new(&get).unwrap_or_else(|e| panic!("{}: {e:?}", S::NAME)))
}

/// One stage.
pub(super) struct Machine {
    module: Box<dyn Bytes>,
    writer: RecordWriter,
    input: Vec<u8>,
}

impl Machine {
    /// Stage number `n` of the list in `configs`.
    pub(super) fn new(n: usize, config: &str, runtime: &Runtime) -> Machine {
        let params = to_params(config, runtime);
        Machine { module: stage_of!(n, module(&params)), writer: RecordWriter::default(), input: Vec::new() }
    }

    /// Any bytes; the values of the output if they were taken. The output must be whole.
    pub(super) fn raw(&mut self, input: &[u8], version: i16) -> Option<Vec<Vec<u8>>> {
        let output = self.module.call(input, version)?;
        // The last byte says that there is no error.
        let records = Records::new(&output[..output.len() - 1]).expect("a whole output");
        Some(records.map(|r| r.expect("a whole record").value.to_vec()).collect())
    }

    /// Records with one base.
    pub(super) fn records(
        &mut self,
        base_offset: i64,
        base_ms: i64,
        records: &[RawRecord<'_>],
    ) -> Option<Vec<Vec<u8>>> {
        self.writer.clear();
        records.iter().for_each(|r| self.writer.push(r));
        let mut input = std::mem::take(&mut self.input);
        input.clear();
        write_input(&mut input, base_offset, base_ms, self.writer.finish(), VERSION);
        let values = self.raw(&input, VERSION);
        self.input = input;
        values
    }

    /// A control call.
    pub(super) fn control(&mut self, call: &Call) -> Option<Vec<Vec<u8>>> {
        let value = call.to_bytes();
        self.records(CONTROL_BASE_OFFSET, 0, &[value_record(&value)])
    }

    /// What a reply and the drains after it give.
    pub(super) fn drained(&mut self, reply: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut all = reply;
        while all.last().is_some_and(|v| v == MORE) {
            all.pop();
            all.extend(self.control(&Call::Drain).expect("a drain"));
        }
        all
    }

    /// The snapshot.
    pub(super) fn snapshot(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in 0.. {
            let reply = self.control(&Call::State(chunk)).expect("a state");
            match reply.first() {
                Some(part) if !part.is_empty() => bytes.extend_from_slice(part),
                _ => break,
            }
        }
        bytes
    }

    /// Goes on from a snapshot; the error text if it cannot.
    pub(super) fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let call = Call::Restore { chunk: snapshot.to_vec(), last: true };
        let reply = self.control(&call).expect("an answer");
        match reply.first() {
            Some(text) if !text.is_empty() => Err(String::from_utf8_lossy(text).into_owned()),
            _ => Ok(()),
        }
    }

    /// The counters by name.
    pub(super) fn counters(&mut self) -> Vec<(String, u64)> {
        let reply = self.control(&Call::Counters).expect("counters");
        let map: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&reply[0]).expect("JSON");
        map.into_iter().map(|(name, value)| (name, value.as_u64().unwrap_or(u64::MAX))).collect()
    }
}

pub(super) fn value_record(value: &[u8]) -> RawRecord<'_> {
    RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value }
}

/// Stages in a row; `out` gets every row that leaves the last as (kind, JSON).
pub(super) struct Line {
    pub(super) stages: Vec<Machine>,
    pub(super) out: Vec<(perfstream_core::Kind, String)>,
}

impl Line {
    /// A batch of records in offset order, with or without log times.
    pub(super) fn records(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let records: Vec<RawRecord<'_>> = entries
            .iter()
            .map(|e| RawRecord {
                offset_delta: e.offset - first.offset,
                timestamp_delta_ms: e.log_time_ms - first.log_time_ms,
                ..value_record(&e.value)
            })
            .collect();
        let reply = self.stages[0].records(first.offset, first.log_time_ms, &records).expect("whole records");
        let values = self.stages[0].drained(reply);
        self.forward(1, first.offset, first.log_time_ms.max(0), values);
    }

    /// Time passes, stage by stage.
    pub(super) fn tick(&mut self, tick: Tick) {
        for n in 0..self.stages.len() {
            let reply = self.stages[n].control(&Call::Tick(tick)).expect("a tick");
            let values = self.stages[n].drained(reply);
            self.forward(n + 1, 0, 0, values);
        }
    }

    fn forward(&mut self, n: usize, base_offset: i64, base_ms: i64, values: Vec<Vec<u8>>) {
        if values.is_empty() {
            return;
        }
        let Some(stage) = self.stages.get_mut(n) else {
            for value in &values {
                assert!(Batch::parse(value).is_ok(), "a torn batch");
                self.out.extend(perfstream_sdk::module::rows_as_json(value));
            }
            return;
        };
        let records: Vec<RawRecord<'_>> = values.iter().map(|v| value_record(v)).collect();
        let reply = stage.records(base_offset, base_ms, &records).expect("whole records");
        let values = stage.drained(reply);
        self.forward(n + 1, base_offset, base_ms, values);
    }
}

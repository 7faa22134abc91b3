//! A pipeline's stages in a row: records and ticks in, rows out.
//!
//! `process` is synchronous: when it returns, every stage stands at the same offset, so that is
//! where snapshots are taken.

pub mod front;

use crate::host::engine::EngineHost;
use crate::host::native::native;
use crate::host::wasmtime::WasmtimeHost;
use crate::host::{Hosted, Lines, LogRecord, NO_LOG_TIME, Reply};
use crate::modules::Modules;
use anyhow::{Context as _, Result, bail};
use fluvio_smartengine::SmartEngine;
use perfstream_core::decode::{DecodeConfig, Decoder, Record};
use perfstream_core::row::{Batch, Fields, Rows};
use perfstream_core::stage::Control;
use perfstream_core::{Context, Output, Row, Tick};
use perfstream_sdk::params::{OutputForm, Runtime, to_params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to run: stages with their configs, and how the first reads records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    /// Name of the pipeline
    pub pipeline: String,
    /// How records are read
    pub decode: DecodeConfig,
    /// The stages in order
    pub stages: Vec<StageSpec>,
}

/// One stage of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageSpec {
    /// Name in the pipeline, unique there
    pub name: String,
    /// Which module
    pub stage: String,
    /// JSON of the `with:` block
    pub config: String,
}

impl ChainSpec {
    /// The parameters of stage `n`, which runs at `context`: its name and that of the pipeline are set here.
    pub(crate) fn params(&self, n: usize, context: Context, output: OutputForm) -> Vec<(String, String)> {
        let stage = &self.stages[n];
        let context = Context { pipeline: self.pipeline.clone(), stage: stage.name.clone(), ..context };
        let decode = match n {
            0 => DecodeConfig { events_only: true, ..self.decode.clone() },
            _ => self.decode.between_stages(),
        };
        to_params(&stage.config, &Runtime { context, decode, output })
    }
}

/// Where stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// The `.wasm` modules in wasmtime
    #[default]
    Wasm,
    /// The `.wasm` modules in Fluvio's own engine, as an SPU runs them
    Engine,
    /// The same code, native: for comparison in tests
    Native,
}

/// How to run it.
#[derive(Debug, Clone)]
pub struct ChainOptions {
    /// Partition of the input
    pub partition: u32,
    /// WASM or native
    pub placement: Placement,
    /// Packed batches between stages (the default), or JSON
    pub packed: bool,
    /// Cap of each stage's linear memory, bytes
    pub memory_limit_bytes: usize,
    /// Cap of each stage's own state, bytes
    pub max_state_bytes: u64,
    /// Where modules come from
    pub modules: Modules,
}

impl Default for ChainOptions {
    fn default() -> Self {
        ChainOptions {
            partition: 0,
            placement: Placement::Wasm,
            packed: true,
            memory_limit_bytes: 1 << 30,
            max_state_bytes: 256 << 20,
            modules: Modules::default(),
        }
    }
}

impl ChainOptions {
    fn context(&self) -> Context {
        Context { partition: self.partition, max_state_bytes: self.max_state_bytes, ..Context::default() }
    }
}

/// A running chain for one partition.
pub struct Chain {
    stages: Vec<Hosted>,
    packed: bool,
    /// Reads JSON that stages wrote, where batches are not packed.
    reader: Decoder,
    rows: Output,
    /// Fields that the rows given to `emit` have bound.
    fields: Fields,
}

impl Chain {
    /// Compiles and initialises every stage.
    pub fn new(spec: &ChainSpec, options: &ChainOptions) -> Result<Chain> {
        if spec.stages.is_empty() {
            bail!("the pipeline `{}` has no transforms", spec.pipeline);
        }
        let engine = SmartEngine::new();
        let mut stages = Vec::new();
        for (n, stage) in spec.stages.iter().enumerate() {
            let output = if options.packed { OutputForm::Packed } else { OutputForm::Json };
            let params = spec.params(n, options.context(), output);
            let host = match options.placement {
                Placement::Native => native(&stage.stage, &params)?,
                Placement::Wasm => {
                    let wasm = options.modules.load(&stage.stage)?;
                    let host = WasmtimeHost::new(&wasm, &params, options.memory_limit_bytes);
                    Box::new(host.with_context(|| format!("stage `{}` did not start", stage.name))?)
                }
                Placement::Engine => {
                    let wasm = options.modules.load(&stage.stage)?;
                    let limit = options.memory_limit_bytes;
                    let host = EngineHost::new(&engine, &stage.name, &wasm, &params, limit);
                    Box::new(host.with_context(|| format!("stage `{}` did not start", stage.name))?)
                }
            };
            stages.push(Hosted::new(&stage.name, host));
        }
        // Between stages only perfstream's own rows travel; events keep the pipeline's time field.
        let reader = Decoder::new(spec.decode.between_stages(), &Context::default());
        Ok(Chain { stages, packed: options.packed, reader, rows: Output::default(), fields: Fields::default() })
    }

    /// Binds fields in the rows that `emit` gets.
    pub fn with_fields(self, fields: Fields) -> Chain {
        Chain { fields, ..self }
    }

    /// Feeds records in offset order; `emit` gets every row that leaves the last stage.
    pub fn process(&mut self, records: &[LogRecord], emit: &mut dyn FnMut(&Row<'_>)) -> Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        let base = (first.offset, first.log_time_ms);
        let reply = self.stages[0].records(records)?;
        self.finish(0, base, reply, emit)
    }

    /// Feeds lines of a file; as [`Chain::process`].
    pub fn process_lines(&mut self, lines: &mut Lines, emit: &mut dyn FnMut(&Row<'_>)) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let reply = self.stages[0].lines(lines)?;
        self.finish(0, (lines.first_offset, NO_LOG_TIME), reply, emit)
    }

    /// Time passes, for every stage in order: what one emits reaches the next before its tick.
    pub fn tick(&mut self, tick: &Tick, emit: &mut dyn FnMut(&Row<'_>)) -> Result<()> {
        for n in 0..self.stages.len() {
            let reply = self.stages[n].tick(tick)?;
            self.finish(n, (0, 0), reply, emit)?;
        }
        Ok(())
    }

    /// The host's clock (microseconds since the epoch) while input waits: only the first stage, which
    /// reads the records, needs it.
    pub fn clock(&mut self, time: i64) -> Result<()> {
        self.stages[0].clock(time)
    }

    /// A reference or feedback record, seen by every stage.
    pub fn control(&mut self, control: &Control) -> Result<()> {
        self.stages.iter_mut().try_for_each(|stage| stage.reference(control))
    }

    /// Carries stage `n`'s reply to the end of the chain, draining it until nothing waits.
    fn finish(&mut self, n: usize, base: (i64, i64), reply: Reply, emit: &mut dyn FnMut(&Row<'_>)) -> Result<()> {
        let mut reply = reply;
        loop {
            self.feed(n + 1, base, &reply, emit)?;
            if !reply.more {
                return Ok(());
            }
            reply = self.stages[n].drain()?;
        }
    }

    fn feed(&mut self, n: usize, base: (i64, i64), reply: &Reply, emit: &mut dyn FnMut(&Row<'_>)) -> Result<()> {
        if reply.iter()?.next().is_none() {
            return Ok(());
        }
        if n < self.stages.len() {
            let next = self.stages[n].forward(base.0, base.1, &reply.records)?;
            return self.finish(n, base, next, emit);
        }
        if self.packed {
            return reply.iter()?.try_for_each(|record| {
                let batch = Batch::parse(record?.value).ok().context("a stage wrote a torn batch")?;
                each_row(&batch, &self.fields, emit)
            });
        }
        self.rows.begin(&[]);
        for record in reply.iter()? {
            let record = record?;
            let record = Record {
                offset: base.0 + record.offset_delta,
                log_time: (base.1.max(0) + record.timestamp_delta_ms) * 1000,
                key: record.key,
                value: record.value,
            };
            self.reader.decode(&record, &mut self.rows);
        }
        each_row(&self.rows.as_batch(), &self.fields, emit)
    }

    /// The state of every stage, in order.
    pub fn snapshot(&mut self) -> Result<Vec<Vec<u8>>> {
        self.stages.iter_mut().map(Hosted::snapshot).collect()
    }

    /// Gives a fresh chain the states it goes on from.
    pub fn restore(&mut self, snapshots: &[Vec<u8>]) -> Result<()> {
        if snapshots.len() != self.stages.len() {
            bail!("the snapshot has {} stages, the pipeline {}", snapshots.len(), self.stages.len());
        }
        self.stages.iter_mut().zip(snapshots).try_for_each(|(stage, bytes)| stage.restore(bytes))
    }

    /// Takes over the states of a chain of another configuration: each stage that of the stage of its
    /// name, as far as it can; the others begin anew.
    pub fn adopt(&mut self, spec: &ChainSpec, snapshots: &[Vec<u8>]) -> Result<()> {
        for stage in &mut self.stages {
            let Some((old, bytes)) = spec.stages.iter().zip(snapshots).find(|(old, _)| old.name == stage.name) else {
                continue;
            };
            if let Err(why) = stage.restore(bytes).or_else(|_| stage.adopt(bytes, &old.config)) {
                tracing::info!(stage = stage.name, "begins anew with its changed configuration: {why:#}");
            }
        }
        Ok(())
    }

    /// Counters of every stage, in order.
    pub fn counters(&mut self) -> Result<Vec<(String, BTreeMap<String, u64>)>> {
        self.stages.iter_mut().map(|stage| Ok((stage.name.clone(), stage.counters()?))).collect()
    }
}

fn each_row(batch: &Batch<'_>, fields: &Fields, emit: &mut dyn FnMut(&Row<'_>)) -> Result<()> {
    let mut rows = Rows::new(batch, fields, 0);
    while let Some(row) = rows.next() {
        emit(&row.ok().context("a stage wrote a torn row")?);
    }
    Ok(())
}

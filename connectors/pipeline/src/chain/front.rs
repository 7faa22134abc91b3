//! The stateless front of a chain, which an SPU may run: what it is asked to run, and taking what it
//! made in the place of the records.
//!
//! The stages of the front stand in the worker's chain too. They judge whether what the SPU made is what
//! they would have made, and count what it counted, so their state is the same either way.

#[cfg(test)]
pub(crate) mod tests;

use super::{Chain, ChainOptions, ChainSpec, Placement, each_row};
use crate::host::{Hosted, Reply};
use crate::registry;
use anyhow::{Context as _, Result};
use perfstream_core::Row;
use perfstream_core::clock::NEVER;
use perfstream_core::row::{Batch, Fields, Rows};
use perfstream_log::{SpuChain, SpuModule, SpuOutput};
use perfstream_sdk::OutputForm;
use perfstream_sdk::front::{MAX_ROWS_BYTES, Progress, Tally};
use perfstream_sdk::wire::{RawRecord, RecordWriter};
use std::ops::Range;

/// Number of stages before the first one that keeps state.
pub fn front_len(spec: &ChainSpec) -> Result<usize> {
    for (n, stage) in spec.stages.iter().enumerate() {
        let entry = registry::find(&stage.stage).with_context(|| format!("no stage `{}`", stage.stage))?;
        if !(entry.stateless)(&serde_json::from_str(&stage.config)?) {
            return Ok(n);
        }
    }
    Ok(spec.stages.len())
}

/// The front of a chain as an SPU is asked to run it.
pub fn spu_chain(spec: &ChainSpec, options: &ChainOptions) -> Result<SpuChain> {
    let module = |n: usize| {
        let stage = &spec.stages[n].stage;
        let entry = registry::find(stage).with_context(|| format!("no stage `{stage}`"))?;
        let hash = match options.placement {
            // Of native code there is no module; no cluster's is the same.
            Placement::Native => String::new(),
            _ => perfstream_log::cluster::module_hash(&options.modules.load(stage)?),
        };
        Ok(SpuModule { uses: entry.uses(), hash, params: spec.params(n, options.context(), OutputForm::Spu) })
    };
    let modules = (0..front_len(spec)?).map(module).collect::<Result<_>>()?;
    // Room for the largest output and what frames it.
    Ok(SpuChain { modules, max_bytes: (MAX_ROWS_BYTES + (4 << 20)) as i32, range: Progress::range })
}

/// What the front made of a batch of the log.
#[derive(Debug, Clone)]
pub struct FrontBatch {
    /// The offsets that are next in it
    pub range: Range<i64>,
    /// What became of the batch
    pub progress: Progress,
    value: Vec<u8>,
    rows_at: usize,
}

impl FrontBatch {
    /// Of an output of the modules of [`spu_chain`].
    pub fn new(output: SpuOutput) -> Result<FrontBatch> {
        let SpuOutput { range, value } = output;
        let (progress, rows) = Progress::read(&value).context("the SPU sent something else than the modules write")?;
        let rows_at = value.len() - rows.len();
        Ok(FrontBatch { range, progress, value, rows_at })
    }

    /// Is it what `stages` stages made of just these offsets? Else the records must be read.
    pub fn is_whole(&self, stages: usize) -> bool {
        self.progress.first == self.range.start && self.progress.stages.len() == stages
    }

    /// The packed rows; nothing if none is left.
    fn rows(&self) -> &[u8] {
        &self.value[self.rows_at..]
    }

    /// The rows' keys.
    pub fn keys(&self, see: &mut dyn FnMut(&[u8])) {
        let (Ok(batch), none) = (Batch::parse(self.rows()), Fields::default()) else { return };
        let mut rows = Rows::new(&batch, &none, 0);
        while let Some(Ok(row)) = rows.next() {
            row.key.into_iter().for_each(&mut *see);
        }
    }
}

impl Chain {
    /// Takes what the front made of batches, each of them whole, in the place of their records; as
    /// [`Chain::process`]. False, and nothing has happened, if the front as it stands here would make
    /// something else of them: a record may be further in the future than is believed, or reference
    /// records have changed a table.
    pub fn process_front(&mut self, batches: &[FrontBatch], emit: &mut dyn FnMut(&Row<'_>)) -> Result<bool> {
        let Some(first) = batches.first() else { return Ok(true) };
        let len = first.progress.stages.len().min(self.stages.len());
        let newest = batches.iter().map(|b| b.progress.newest).max().unwrap_or(NEVER);
        for (n, stage) in self.stages[..len].iter_mut().enumerate() {
            if !stage.agrees((n == 0).then_some(newest))? {
                return Ok(false);
            }
        }
        for (n, stage) in self.stages[..len].iter_mut().enumerate() {
            let mut sum = Tally::default();
            batches.iter().filter_map(|b| b.progress.stages.get(n)).for_each(|tally| sum.add(tally));
            stage.count(sum)?;
        }
        let mut rows = batches.iter().map(FrontBatch::rows).filter(|rows| !rows.is_empty()).peekable();
        if rows.peek().is_none() {
            return Ok(true);
        }
        let base = (first.range.start, first.progress.log_time / 1000);
        match self.stages.get_mut(len) {
            Some(stage) => {
                let reply = forward(stage, base, rows)?;
                self.finish(len, base, reply, emit)?;
            }
            None => rows.try_for_each(|rows| {
                let batch = Batch::parse(rows).ok().context("the SPU sent a torn batch")?;
                each_row(&batch, &self.fields, emit)
            })?,
        }
        Ok(true)
    }
}

/// Packed rows as one call.
fn forward<'r>(stage: &mut Hosted, base: (i64, i64), rows: impl Iterator<Item = &'r [u8]>) -> Result<Reply> {
    let mut writer = RecordWriter::default();
    for value in rows {
        writer.push(&RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value });
    }
    stage.forward(base.0, base.1, writer.finish())
}

//! Isolation forests of windows: train on older rows, score the newest.
//!
//! A sliding window's rows older than its newest slide train a forest, which scores the newest
//! slide for the next `size` of time; a tumbling or session window is scored by the forest of the
//! group's window before it. The result is the mean rank of the scored rows among the training
//! rows, 0–1, 1 = anomalous; by chance it is 0.5. Null while warming up: below `min_training` or
//! `min_scored` rows. A corrected tumbling or session window has no score, for what was before it
//! is gone.
//!
//! Rows come from the reservoirs of the slices ([`super::sample`]), at most 64 each. Only training
//! rows are state; forests are a function of them, kept in at most [`CACHE_BYTES`] and grown again
//! on demand. Cost: growing ~1–3 ms per 100 trees, scoring a few µs per row. So beyond the groups
//! that fit (~160 of the largest forests, more of small ones) every scored window pays the growing.

use super::acc::value_bytes;
use super::plan::ForestPlan;
use super::sample::Sample;
use crate::clock::NEVER;
use crate::math::{Calibrated, Encoder};
use crate::value::OwnedValue;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Forests kept at most; the first ones stay, so that going round the groups does not thrash.
const CACHE_BYTES: usize = 64 << 20;

/// What a group keeps for one forest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// End of the window that gave the rows; [`NEVER`] without rows
    pub trained_at: i64,
    /// Of no use from this time on
    pub until: i64,
    /// Row-major
    cells: Vec<OwnedValue>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { trained_at: NEVER, until: NEVER, cells: Vec::new() }
    }
}

impl Memory {
    /// Estimated memory.
    pub fn bytes(&self) -> u64 {
        48 + self.cells.iter().map(value_bytes).sum::<u64>()
    }
}

/// Grown forests by group and forest; never saved, never seen in the output.
#[derive(Debug, Default)]
pub(super) struct Cache {
    forests: BTreeMap<(u64, usize), Grown>,
    bytes: usize,
}

#[derive(Debug)]
struct Grown {
    trained_at: i64,
    encoder: Encoder,
    forest: Calibrated,
    bytes: usize,
}

/// The window that is scored.
pub(super) struct Subject<'a> {
    pub group: u64,
    pub end: i64,
    /// How long training rows serve
    pub serve: i64,
    /// Samples that train, for a sliding window; None: the window before does
    pub older: Option<Vec<&'a Sample>>,
    pub newest: Vec<&'a Sample>,
}

/// Mean rank and share of anomalous rows.
pub(super) fn score(
    plan: &ForestPlan,
    subject: &Subject<'_>,
    memory: &mut Memory,
    cache: &mut Cache,
) -> Option<(f64, f64)> {
    match &subject.older {
        Some(older) => {
            let stale = memory.trained_at == NEVER || subject.end >= memory.until;
            if stale {
                *memory = Memory::default();
                train(plan, subject, older, memory);
            }
            ranks(plan, subject, memory, cache)
        }
        None => {
            let previous = memory.trained_at < subject.end;
            let result = if previous { ranks(plan, subject, memory, cache) } else { None };
            if previous {
                train(plan, subject, &subject.newest, memory);
            }
            result
        }
    }
}

fn train(plan: &ForestPlan, subject: &Subject<'_>, samples: &[&Sample], memory: &mut Memory) {
    let cells = samples.iter().map(|s| s.cells.len()).sum::<usize>();
    if cells / plan.features.max(1) < plan.min_training {
        return;
    }
    memory.cells = samples.iter().flat_map(|s| s.cells.iter().cloned()).collect();
    memory.trained_at = subject.end;
    memory.until = subject.end.saturating_add(subject.serve);
}

fn ranks(plan: &ForestPlan, subject: &Subject<'_>, memory: &Memory, cache: &mut Cache) -> Option<(f64, f64)> {
    let cells = subject.newest.iter().map(|s| s.cells.len()).sum::<usize>();
    let rows = cells / plan.features.max(1);
    if memory.trained_at == NEVER || rows < plan.min_scored.max(1) {
        return None;
    }
    let (mut sum, mut anomalous) = (0.0, 0u64);
    cache.with(plan, subject.group, memory, |grown| {
        for sample in &subject.newest {
            let numbers = grown.encoder.encode_rows(&sample.cells);
            for row in numbers.chunks_exact(plan.features.max(1)) {
                let rank = grown.forest.rank(row);
                sum += rank;
                anomalous += u64::from(rank > 1.0 - plan.threshold);
            }
        }
    })?;
    Some((sum / rows as f64, anomalous as f64 / rows as f64))
}

impl Cache {
    /// Calls `read` with the memory's forest, grown if need be.
    fn with(&mut self, plan: &ForestPlan, group: u64, memory: &Memory, read: impl FnOnce(&Grown)) -> Option<()> {
        let key = (group, plan.at);
        if let Some(grown) = self.forests.get(&key)
            && grown.trained_at == memory.trained_at
        {
            read(grown);
            return Some(());
        }
        if let Some(old) = self.forests.remove(&key) {
            self.bytes -= old.bytes;
        }
        let encoder = Encoder::fit(&memory.cells, plan.features)?;
        let forest = Calibrated::fit(&encoder.encode_rows(&memory.cells), plan.features, plan.params)?;
        let bytes = encoder.bytes() + forest.bytes();
        let grown = Grown { trained_at: memory.trained_at, encoder, forest, bytes };
        read(&grown);
        if self.bytes + bytes <= CACHE_BYTES {
            self.bytes += bytes;
            self.forests.insert(key, grown);
        }
        Some(())
    }

    /// Forgets the forests of groups that went.
    pub fn retain(&mut self, live: impl Fn(u64) -> bool) {
        let bytes = &mut self.bytes;
        self.forests.retain(|(group, _), grown| {
            let keep = live(*group);
            if !keep {
                *bytes -= grown.bytes;
            }
            keep
        });
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        *self = Cache::default();
    }
}

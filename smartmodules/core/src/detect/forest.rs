//! `isolation-forest`: one forest for all segments, over the metrics of a segment together.
//!
//! A row holds the metrics of a segment at one window end, each as (value − expected)/σ of its own
//! series, then what `training.features` asks for. So segments of any speed are alike, and one forest
//! of all of them is sound. A metric that is not there (not yet come, or young) is averaged out when
//! the row is scored (`Forest::path_sum_without`) and is the median when it is learned; `inp` stands
//! in for `fid`. The score comes from the rank r among the training rows: t = ln(1 − r)/ln(c), c the
//! contamination, so it is 0.5 for the top share c and rises with every power of it.
//!
//! Training rows: the newest `window_size`, thinned by a seeded coin to span a day once a day has more
//! than that; none older than `retention_period`. Grown anew every `update_frequency` of event time,
//! and at 64, 128, … rows while young. Only rows are state; the forest is a function of those it was
//! grown on and is grown again after a restore. Cost: a forest of 100 × 256 takes 3 ms to grow, 3 µs to
//! score a whole row, 0.1 ms one with gaps; it owns about 100 kB (420 kB at most), rows 24 bytes per
//! feature and their texts, all of it once per partition. Where it fails: what all segments do at once
//! is ordinary once it was learned; categories add features that tell nothing and dilute those that do.

use super::score::{Finding, score_of};
use crate::math::random::SplitMix64;
use crate::math::{Calibrated, Encoder, ForestParams};
use crate::value::{OwnedValue, Value};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Rows before the first forest.
const MIN_ROWS: usize = 64;
const DAY_US: i64 = 86_400_000_000;
/// ln of less than this is not asked for: a rank of 1 is as rare as half a training row.
const LEAST_TAIL: f64 = 1e-6;

/// How the forest learns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ForestPlan {
    pub params: ForestParams,
    pub contamination: f64,
    pub window: usize,
    pub update_us: i64,
    pub retention_us: i64,
    /// Names of the features of a row, in order
    pub features: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TrainingRow {
    time: i64,
    cells: Vec<OwnedValue>,
}

/// Rows, and the forest of some of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Learner {
    rows: VecDeque<TrainingRow>,
    /// Those the forest was grown on, row-major
    trained: Vec<OwnedValue>,
    trained_at: i64,
    seen: u64,
    /// Day since the epoch, rows in it and in the day before
    day: (i64, u64, u64),
    forests: u64,
    #[serde(skip)]
    grown: Option<Grown>,
}

#[derive(Debug)]
struct Grown {
    encoder: Encoder,
    forest: Calibrated,
}

impl Learner {
    /// Scores a row of features in the plan's order; `None` before the first forest. Null = not known.
    pub fn judge(&mut self, plan: &ForestPlan, row: &[Value<'_>]) -> Option<Finding> {
        let cells = self.encode(plan, row)?;
        let n = (self.trained.len() / plan.features.len().max(1)) as u64;
        let forest = &self.grown.as_ref()?.forest;
        let gaps = cells.iter().any(|x| x.is_nan());
        let rank = if gaps { forest.rank_without(&cells) } else { forest.rank(&cells) };
        let tail = (1.0 - rank).max(LEAST_TAIL).max(0.5 / n.max(1) as f64);
        let score = score_of(tail.ln() / plan.contamination.ln());
        Some(Finding { score, expected: None, range: None, parts: vec![rank], n })
    }

    /// How much each known feature sets the row apart: by how many steps its path is shorter than with
    /// the feature averaged out, as shares of 1. Features that do not are left out.
    pub fn contributions(&mut self, plan: &ForestPlan, row: &[Value<'_>]) -> Vec<(usize, f64)> {
        let Some(cells) = self.encode(plan, row) else { return Vec::new() };
        let Some(grown) = &self.grown else { return Vec::new() };
        let whole = grown.forest.forest().path_sum_without(&cells);
        let without = |at: usize| {
            let mut cells = cells.clone();
            cells[at] = f64::NAN;
            (grown.forest.forest().path_sum_without(&cells) - whole).max(0.0)
        };
        let known = (0..cells.len()).filter(|&at| !cells[at].is_nan());
        let mut shares: Vec<(usize, f64)> = known.map(|at| (at, without(at))).filter(|(_, s)| *s > 0.0).collect();
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        shares.iter_mut().for_each(|(_, share)| *share /= sum);
        shares
    }

    /// Learns a row, and grows the forest anew when it is time.
    pub fn learn(&mut self, plan: &ForestPlan, time: i64, row: &[Value<'_>]) {
        self.seen = self.seen.saturating_add(1);
        let day = time.div_euclid(DAY_US);
        if day > self.day.0 {
            self.day = (day, 0, if day == self.day.0 + 1 { self.day.1 } else { 0 });
        }
        self.day.1 = self.day.1.saturating_add(1);
        let share = plan.window as f64 / (self.day.2.max(1)) as f64;
        if SplitMix64::new(plan.params.seed ^ self.seen).unit() < share {
            if self.rows.len() >= plan.window {
                self.rows.pop_front();
            }
            self.rows.push_back(TrainingRow { time, cells: row.iter().map(|v| OwnedValue::from(*v)).collect() });
        }
        let count = self.trained.len() / plan.features.len().max(1);
        let due = time >= self.trained_at.saturating_add(plan.update_us);
        let doubled = self.rows.len() >= 2 * count && count < plan.window;
        if self.rows.len() >= MIN_ROWS && (due || doubled) {
            self.train(plan, time);
        }
    }

    /// Begins anew with the rows of the newest day, if they are enough.
    pub fn retrain(&mut self, plan: &ForestPlan, time: i64) {
        let newest = self.rows.iter().filter(|row| row.time >= time.saturating_sub(DAY_US)).count();
        if newest >= MIN_ROWS {
            self.rows.retain(|row| row.time >= time.saturating_sub(DAY_US));
            self.train(plan, time);
        }
    }

    /// Forests grown so far.
    pub fn forests(&self) -> u64 {
        self.forests
    }

    /// Training rows of the forest, and when it was grown.
    pub fn trained(&self, plan: &ForestPlan) -> (u64, i64) {
        ((self.trained.len() / plan.features.len().max(1)) as u64, self.trained_at)
    }

    /// Memory in bytes of its rows, without texts, and of the forest of them, grown or not yet after a restore.
    pub fn bytes(&self, plan: &ForestPlan) -> usize {
        let cells = |count: usize| count * 24;
        let rows: usize = self.rows.iter().map(|row| 32 + cells(row.cells.len())).sum();
        let sample = (self.trained.len() / plan.features.len().max(1)).min(plan.params.sub_sample as usize);
        // A tree of n rows has at most 2n − 1 nodes of 8 bytes.
        rows + cells(self.trained.len()) + plan.params.trees as usize * 16 * sample
    }

    /// Could this be a state of the plan?
    pub fn fits(&self, plan: &ForestPlan) -> bool {
        let width = plan.features.len();
        self.rows.iter().all(|row| row.cells.len() == width)
            && self.rows.len() <= plan.window
            && width > 0
            && self.trained.len().is_multiple_of(width)
            && self.trained.len() / width <= plan.window
    }

    fn train(&mut self, plan: &ForestPlan, time: i64) {
        while self.rows.front().is_some_and(|row| row.time < time.saturating_sub(plan.retention_us)) {
            self.rows.pop_front();
        }
        self.trained = self.rows.iter().flat_map(|row| row.cells.iter().cloned()).collect();
        self.trained_at = time;
        self.forests = self.forests.saturating_add(1);
        self.grown = None;
    }

    /// The row as numbers, NaN where it is not known; the forest is grown if it is not.
    fn encode(&mut self, plan: &ForestPlan, row: &[Value<'_>]) -> Option<Vec<f64>> {
        let width = plan.features.len();
        if self.grown.is_none() {
            let encoder = Encoder::fit(&self.trained, width)?;
            let forest = Calibrated::fit(&encoder.encode_rows(&self.trained), width, plan.params)?;
            self.grown = Some(Grown { encoder, forest });
        }
        let mut cells = Vec::with_capacity(width);
        self.grown.as_ref()?.encoder.encode(row, &mut cells);
        for (cell, value) in cells.iter_mut().zip(row) {
            if value.is_null() {
                *cell = f64::NAN;
            }
        }
        Some(cells)
    }
}

//! Which value of which dimension an incident lies in.
//!
//! Like Adtributor (Bhagwan et al. 2014, "Adtributor: Revenue Debugging in Advertising Systems", NSDI), over
//! the anomalies of one metric. What is added up is (value − expected) × events: how many units too much
//! there were. A value's share of it is its explanatory power; its surprise is the Jensen-Shannon divergence
//! between that share and its share of what was expected, expected × events. The value with the largest
//! surprise wins, if it holds half or more of the excess and more than its part of what was expected.
//!
//! Not misled by the mix of traffic: both sums have the same events, those that came, so a segment that
//! merely got more of them has no excess by that; and an anomaly that is put down to the mix
//! (`excluded: mix_shift`) does not count. `detect` never opens one of those.
//!
//! A dimension of which only one value is known explains nothing. Where all anomalies have one of several known
//! values, the known values are taken as equally large. Cost: linear in labels. Where it fails: segments
//! without an anomaly are not seen, so the share is of the anomalies' excess.

use super::anomaly::Anomaly;
use super::incident::Member;
use crate::stage::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A value that holds less of the excess explains nothing.
const LEAST_SHARE: f64 = 0.5;
/// Dimensions of which values are remembered, and values of each: more are not told apart.
const MAX_DIMENSIONS: usize = 64;
const MAX_VALUES: usize = 16;

/// The part that explains an incident.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Segment {
    pub pipeline: Box<str>,
    pub metric: Box<str>,
    pub dimension: Box<str>,
    pub value: Box<str>,
    /// Of the excess, 0 to 1
    pub share: f64,
    /// Of what was expected, 0 to 1
    pub expected_share: f64,
    /// Of Jensen and Shannon, 0 to about 0.35
    pub surprise: f64,
    /// Anomalies that count, and of them those of the value
    pub anomalies: usize,
    pub of_value: usize,
    /// Other values with an anomaly on the same side, and on the other
    pub others: usize,
    pub opposite: usize,
}

/// Values of dimensions that anomalies had, as hashes: how many are known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Known(BTreeMap<Box<str>, BTreeSet<u64>>);

impl Known {
    /// Remembers the labels of an anomaly.
    pub fn see(&mut self, anomaly: &Anomaly) {
        for (name, value) in &anomaly.labels {
            if self.0.len() >= MAX_DIMENSIONS && !self.0.contains_key(name) {
                continue;
            }
            let values = self.0.entry(name.clone()).or_default();
            if values.len() < MAX_VALUES {
                values.insert(hash(value));
            }
        }
    }

    fn values(&self, dimension: &str) -> usize {
        self.0.get(dimension).map_or(0, BTreeSet::len)
    }

    /// Refuses what [`Known::see`] cannot have made.
    pub fn check(&self) -> Result<(), RestoreError> {
        let fits = self.0.len() <= MAX_DIMENSIONS && self.0.values().all(|v| (1..=MAX_VALUES).contains(&v.len()));
        match fits {
            true => Ok(()),
            false => Err(RestoreError("more values of dimensions than are remembered".into())),
        }
    }
}

fn hash(text: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(text.as_bytes()).as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// An anomaly as a sum: labels, excess and what was expected.
struct Cell<'m> {
    anomaly: &'m Anomaly,
    excess: f64,
    expected: f64,
}

/// The segment of the metric with the most anomalies; `prefer` is a member's metric that wins a tie.
pub(super) fn segment(members: &[Member], prefer: Option<usize>, known: &Known) -> Option<Segment> {
    let mut metrics: BTreeMap<(&str, &str), Vec<Cell<'_>>> = BTreeMap::new();
    for member in members {
        let anomaly = &member.anomaly;
        if let (Some(value), Some(expected), false) = (anomaly.value, anomaly.expected, anomaly.mix) {
            let excess = (value - expected) * anomaly.events;
            let cell = Cell { anomaly, excess, expected: expected.abs() * anomaly.events };
            metrics.entry((&anomaly.pipeline, &anomaly.metric)).or_default().push(cell);
        }
    }
    let preferred = prefer.and_then(|at| members.get(at)).map(|m| (&*m.anomaly.pipeline, &*m.anomaly.metric));
    let best = metrics.iter().max_by_key(|(metric, cells)| (cells.len(), Some(**metric) == preferred))?;
    let (_, cells) = best;
    if cells.len() < 2 {
        return None;
    }
    let total: f64 = cells.iter().map(|cell| cell.excess).sum();
    let up = total > 0.0;
    let (same, opposite): (Vec<&Cell<'_>>, Vec<&Cell<'_>>) =
        cells.iter().filter(|cell| cell.excess != 0.0).partition(|cell| (cell.excess > 0.0) == up);
    let dimensions: BTreeSet<&str> = same.iter().flat_map(|cell| cell.anomaly.labels.keys()).map(|n| &**n).collect();
    surest(dimensions.into_iter().filter_map(|dimension| explain(dimension, &same, &opposite, known)))
}

/// Sums over the anomalies of one value: excess, what was expected, and how many.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    excess: f64,
    expected: f64,
    count: usize,
}

/// The value of a dimension that explains most, if one does.
fn explain(dimension: &str, same: &[&Cell<'_>], opposite: &[&Cell<'_>], known: &Known) -> Option<Segment> {
    let first = same.first().filter(|_| known.values(dimension) > 1)?.anomaly;
    let mut values: BTreeMap<&str, Sums> = BTreeMap::new();
    let mut all = Sums::default();
    for cell in same {
        all = all.with(cell);
        if let Some(value) = cell.anomaly.labels.get(dimension) {
            let sums = values.entry(value).or_default();
            *sums = sums.with(cell);
        }
    }
    let told = |(value, sums): (&&str, &Sums)| {
        let share = sums.excess / all.excess;
        let expected_share = match sums.count == all.count {
            true => 1.0 / known.values(dimension) as f64,
            false if all.expected > 0.0 => sums.expected / all.expected,
            false => sums.count as f64 / all.count as f64,
        };
        // A sum beyond what a float holds gives no share.
        (share.is_finite() && share >= LEAST_SHARE && share > expected_share).then(|| Segment {
            pipeline: first.pipeline.clone(),
            metric: first.metric.clone(),
            dimension: dimension.into(),
            value: (*value).into(),
            share,
            expected_share,
            surprise: surprise(expected_share, share),
            anomalies: all.count + opposite.len(),
            of_value: sums.count,
            others: values.len() - 1,
            opposite: opposite.len(),
        })
    };
    surest(values.iter().filter_map(told))
}

impl Sums {
    fn with(self, cell: &Cell<'_>) -> Sums {
        Sums { excess: self.excess + cell.excess.abs(), expected: self.expected + cell.expected, count: self.count + 1 }
    }
}

/// The one with the largest surprise; the first where several are the same, which `max_by` would not give.
fn surest(segments: impl Iterator<Item = Segment>) -> Option<Segment> {
    segments.fold(None, |best: Option<Segment>, next| match best {
        Some(best) if best.surprise >= next.surprise => Some(best),
        _ => Some(next),
    })
}

/// Jensen-Shannon divergence of one value's two shares, as Adtributor has it: 0 to ln 2 / 2.
fn surprise(p: f64, q: f64) -> f64 {
    let m = (p + q) / 2.0;
    let part = |x: f64| if x > 0.0 { x * libm::log(x / m) } else { 0.0 };
    0.5 * (part(p) + part(q))
}

//! From detections to anomalies: one series' run of observations that are not as they should be.
//!
//! A detection, or an observation within `fold` after one (novelty marks beginnings, and a window moves
//! slowly), that passes every gate (outside of the expected range, a change that matters, enough
//! events, no mix shift) begins a candidate; observations that stay outside, on the same side, go on
//! with it, detected again or not. After `min_count` of them over `min_duration` it is an anomaly; before
//! that, one that is as usual ends it. An anomaly ends when nothing was outside for `fold`, so
//! detections that lie closer together are one.

use super::baseline::Known;
use super::plan::Plan;
use super::score::Finding;
use serde::{Deserialize, Serialize};

/// A candidate or an anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Episode {
    /// Event time of the first observation, and of the last
    pub start: i64,
    pub last: i64,
    pub count: u32,
    pub up: bool,
    /// The observation with the largest distance from what was expected
    pub peak: Peak,
    /// Set once it is an anomaly
    pub anomaly_id: Option<Box<str>>,
    /// What its first record said, to be said again at its end
    pub told: Option<Box<Told>>,
}

/// What is known of an observation beside its value and what methods say. Features by their numbers in the plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Told {
    /// In the unit of the value
    pub range: Option<(f64, f64)>,
    /// Shares of 1
    pub contributions: Vec<(u16, f64)>,
    /// Features that the forest asked for and did not have
    pub absent: Vec<u16>,
    /// Features that another metric stood in for, and that metric
    pub stand_ins: Vec<(u16, u16)>,
    pub baseline: Option<Known>,
    /// Events that the observation stands for
    pub events: Option<u64>,
}

impl Told {
    /// Could a plan with so many features have made it?
    pub fn fits(&self, features: usize) -> bool {
        let known = |number: u16| usize::from(number) < features;
        self.contributions.iter().all(|(number, share)| known(*number) && share.is_finite())
            && self.absent.iter().chain(self.stand_ins.iter().map(|(feature, _)| feature)).all(|number| known(*number))
    }

    /// Memory in bytes: the struct and what it owns.
    fn bytes(&self) -> usize {
        EMPTY_TOLD_BYTES + 16 * self.contributions.len() + 2 * self.absent.len() + 4 * self.stand_ins.len()
    }
}

/// The strongest detection behind an episode: what found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Detection {
    pub time: i64,
    pub score: f64,
    pub threshold: f64,
    pub confidence: f64,
    /// By method, as they were
    pub weights: Vec<f64>,
    /// By method; nothing of one that said nothing
    pub findings: Vec<Option<Finding>>,
}

impl Detection {
    /// By method, 0 for one that said nothing.
    pub fn scores(&self) -> Vec<f32> {
        self.findings.iter().map(|finding| finding.as_ref().map_or(0.0, |f| f.score as f32)).collect()
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        let owned: usize = self.findings.iter().flatten().map(Finding::heap_bytes).sum();
        EMPTY_DETECTION_BYTES + METHOD_BYTES * self.findings.len() + owned
    }

    /// Could a plan with so many methods have made it?
    pub fn fits(&self, methods: usize) -> bool {
        let share = |x: f64| (0.0..=1.0).contains(&x);
        self.weights.len() == methods
            && self.findings.len() == methods
            && [self.score, self.threshold, self.confidence].into_iter().chain(self.weights.iter().copied()).all(share)
            && self.findings.iter().flatten().all(|finding| share(finding.score))
    }
}

/// Sizes without what they own; constants, for they differ between native and WASM.
const EMPTY_TOLD_BYTES: usize = 160;
const EMPTY_DETECTION_BYTES: usize = 88;
/// A weight and a finding.
const METHOD_BYTES: usize = 96;

/// The worst observation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Peak {
    pub time: i64,
    pub value: f64,
    pub expected: f64,
}

/// What an observation is to the episode of its series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Evidence {
    pub time: i64,
    /// Does it pass every gate and begin an episode?
    pub begins: bool,
    /// Is it outside, so that it goes on with one?
    pub outside: bool,
    pub up: bool,
    pub peak: Peak,
}

/// What became of the episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// It is an anomaly from now on
    Opened,
}

impl Episode {
    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        112 + self.anomaly_id.as_ref().map_or(0, |id| id.len()) + self.told.as_ref().map_or(0, |told| told.bytes())
    }
}

/// Takes an observation.
pub(super) fn step(episode: &mut Option<Box<Episode>>, evidence: &Evidence, plan: &Plan) -> Change {
    let Evidence { time, begins, outside, up, peak } = *evidence;
    match episode {
        Some(open) if outside && open.up == up => {
            // A row that comes twice is one observation.
            open.count = open.count.saturating_add(u32::from(time != open.last));
            open.last = open.last.max(time);
            let far = |p: &Peak| (p.value - p.expected).abs();
            if far(&peak) > far(&open.peak) {
                open.peak = peak;
            }
        }
        Some(open) if open.anomaly_id.is_some() => return Change::Nothing,
        _ if begins => {
            *episode =
                Some(Box::new(Episode { start: time, last: time, count: 1, up, peak, anomaly_id: None, told: None }))
        }
        _ => *episode = None,
    }
    match episode {
        Some(open)
            if open.anomaly_id.is_none()
                && open.count >= plan.validation.min_count
                && open.last.saturating_sub(open.start) >= plan.validation.min_duration.us() =>
        {
            Change::Opened
        }
        _ => Change::Nothing,
    }
}

//! From detections to anomalies: one series' run of observations that are not as they should be.
//!
//! A detection, or an observation within `fold` after one (novelty marks beginnings, and a window moves
//! slowly), that passes every gate (outside of the expected range, a change that matters, enough
//! events, no mix shift) begins a candidate; observations that stay outside, on the same side, go on
//! with it, detected again or not. After `min_count` of them over `min_duration` it is an anomaly; before
//! that, one that is as usual ends it. An anomaly ends when nothing was outside for `fold`, so
//! detections that lie closer together are one.

use super::plan::Plan;
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
    /// What its first record said, as a JSON object
    pub told: Option<Box<str>>,
}

/// The strongest detection behind an episode: what found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Detection {
    pub time: i64,
    pub score: f64,
    pub threshold: f64,
    pub confidence: f64,
    /// By method, 0 for one that said nothing
    pub scores: Vec<f32>,
    /// JSON list of what every method said
    pub methods: Box<str>,
}

impl Detection {
    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        88 + (4 + METHOD_BYTES) * self.scores.len()
    }
}

/// What a text of an anomaly, and of one method in it, counts as. Bounds, and not what they have: a float's
/// last digit may differ between native and WASM, and with it a text's length.
const TOLD_BYTES: usize = 2048;
const METHOD_BYTES: usize = 320;

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
        112 + self.anomaly_id.as_ref().map_or(0, |id| id.len()) + self.told.as_ref().map_or(0, |_| TOLD_BYTES)
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

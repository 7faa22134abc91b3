//! `best`: a causal anomaly scorer for one series.
//!
//! Each row is asked several questions of the same form: has this cell of a grid been seen before in
//! this series? The grids lie over the level, over pairs of successive levels and over the shift of
//! the mean. A novelty is worth −log10 of the running rate of novelties of that series and stream:
//! a noisy series that keeps producing them silences itself, a quiet one speaks. The score is the
//! mean over grids of several sizes and warm-ups, which takes away the luck of where cells begin.
//!
//! Score 0–1, 1 = anomalous; it marks the beginning: within `rest` rows only a row more anomalous
//! than all of them scores again. Whether a series is still abnormal is told by `range`.

mod baseline;
mod novelty;

use baseline::Baseline;
use novelty::Stream;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Parameters of the preset `best`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BestConfig {
    /// Observations before the first score, 20 to 10,000. Default: 200.
    pub warm_up: u32,
    /// Observations after a high score in which only a higher one is reported, 0 to 300.
    /// Default: 100.
    pub rest: u32,
}

impl Default for BestConfig {
    fn default() -> Self {
        BestConfig { warm_up: 200, rest: 100 }
    }
}

/// Which way an observation leaves the expected range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Above the range
    Up,
    /// Below the range
    Down,
    /// Inside, or there is none
    None,
}

/// What is said about one observation.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// 0–1, 1 = anomalous; `None` while warming up or if the value is missing
    pub score: Option<f64>,
    /// The value that was expected, in the value's unit; `None` before anything was seen
    pub expected: Option<f64>,
    /// Lower and upper bound of ordinary values, in the value's unit
    pub range: Option<(f64, f64)>,
    /// Where the value lies beside the range
    pub direction: Direction,
    /// Name and contribution of each stream to the score before rest, in decades of novelty rate
    pub parts: Vec<(&'static str, f64)>,
    /// Observations it was compared with
    pub n: u64,
}

const LAG: usize = 24;
const GRIDS: [u8; 4] = [7, 9, 11, 13];
const STREAMS: [&str; 3] = ["level", "pair", "shift"];

/// The state of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    warm_up: u32,
    rest: u32,
    seen: u64,
    /// Grid by grid, each with a stream per name in [`STREAMS`]
    streams: Vec<Stream>,
    /// The newest values, oldest first, at most twice [`LAG`]
    recent: VecDeque<f64>,
    /// Raw scores of the newest `rest` rows
    scores: VecDeque<f32>,
    baseline: Baseline,
    /// Values until the grids are laid
    early: Vec<(f64, f64)>,
}

impl Best {
    /// The empty state of a series. Parameters out of range are taken as the nearest that is in it.
    pub fn new(config: &BestConfig) -> Best {
        let streams = GRIDS.iter().flat_map(|&q| [Stream::new(q, false), Stream::new(q, true), Stream::new(q, false)]);
        Best {
            warm_up: config.warm_up.clamp(20, 10_000),
            rest: config.rest.min(300),
            seen: 0,
            streams: streams.collect(),
            recent: VecDeque::new(),
            scores: VecDeque::new(),
            baseline: Baseline::default(),
            early: Vec::new(),
        }
    }

    /// Scores the next observation of the series and learns it. The time is the observation's, in
    /// microseconds since 1970 UTC; any order is taken. A value that is not finite is missing.
    pub fn observe(&mut self, _time_us: i64, value: Option<f64>) -> Observation {
        let n = self.seen;
        let (expected, range) = (self.baseline.expected(), self.baseline.range());
        let Some(value) = value.filter(|v| v.is_finite()) else {
            return Observation { score: None, expected, range, direction: Direction::None, parts: Vec::new(), n };
        };
        let direction = match range {
            Some((_, upper)) if value > upper => Direction::Up,
            Some((lower, _)) if value < lower => Direction::Down,
            _ => Direction::None,
        };
        self.baseline.learn(value);
        self.seen += 1;
        let shift = self.shift(value);
        let parts = self.novelties(value, shift);
        let score = parts.as_ref().map(|parts| self.rested(parts.iter().map(|p| p.1).sum()));
        Observation { score, expected, range, direction, parts: parts.unwrap_or_default(), n }
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        size_of::<Best>()
            + self.streams.iter().map(Stream::bytes).sum::<usize>()
            + 8 * self.recent.capacity()
            + 4 * self.scores.capacity()
            + 16 * self.early.capacity()
    }

    /// Mean of the newest [`LAG`] values minus the mean of as many before.
    fn shift(&mut self, value: f64) -> f64 {
        if self.recent.len() == 2 * LAG {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
        if self.recent.len() < 2 * LAG {
            return 0.0;
        }
        let old: f64 = self.recent.iter().take(LAG).sum();
        let new: f64 = self.recent.iter().skip(LAG).sum();
        (new - old) / LAG as f64
    }

    fn novelties(&mut self, value: f64, shift: f64) -> Option<Vec<(&'static str, f64)>> {
        if self.seen <= u64::from(self.warm_up) {
            self.early.push((value, shift));
            if self.early.len() == self.warm_up as usize {
                let early = std::mem::take(&mut self.early);
                for (at, stream) in self.streams.iter_mut().enumerate() {
                    let values = early.iter().map(|&(value, shift)| if at % 3 == 2 { shift } else { value });
                    stream.lay(&values.collect::<Vec<_>>());
                }
            }
            return None;
        }
        let mut sums = [0.0; 3];
        for (at, stream) in self.streams.iter_mut().enumerate() {
            sums[at % 3] += stream.score(if at % 3 == 2 { shift } else { value });
        }
        Some(STREAMS.iter().zip(sums).map(|(&name, sum)| (name, sum / GRIDS.len() as f64)).collect())
    }

    /// The score of a row: 0 unless it is above all of the last `rest`.
    fn rested(&mut self, raw: f64) -> f64 {
        let highest = self.scores.iter().fold(0.0, |a, &b| f64::max(a, f64::from(b)));
        if self.scores.len() == self.rest as usize {
            self.scores.pop_front();
        }
        self.scores.push_back(raw as f32);
        if raw > highest { (raw / (3 * STREAMS.len()) as f64).min(1.0) } else { 0.0 }
    }
}

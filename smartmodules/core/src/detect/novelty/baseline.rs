//! Expected value and ordinary range: a profile of the day, a slow level on top, and how far values
//! lie above and below.
//!
//! Expected is the mean of the hour of day (24 bins, UTC, interpolated between their middles) plus a
//! level that follows what the profile leaves over within about a day. The range reaches
//! [`REACH`] mean deviations to each side, above and below apart, since performance values are
//! skewed: 3.2 σ if they are normal. An outlier is learned as if it lay `clip_spreads` away.
//! Weights go by time, not by observations, so that the slide of a window does not matter.
//! + − × / and comparisons only.

use super::constants::Constants;
use super::features::Features;
use serde::{Deserialize, Serialize};

/// Mean deviations from the expected value to the ends of the range
const REACH: f64 = 4.0;

/// Observations before outliers are clipped
const CLIP_AFTER: u64 = 50;

/// Observations before there is a range
const RANGE_AFTER: u64 = 20;

const BINS: usize = 24;

/// A running mean whose weights are those of a plain mean until the time constant sets in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    mean: f32,
    n: u16,
}

impl Mean {
    fn learn(&mut self, value: f64, hours: f64, constant: f64) {
        self.n = self.n.saturating_add(1);
        let weight = (hours / (hours + constant)).max(1.0 / f64::from(self.n)).max(1e-4);
        self.mean += (weight * (value - f64::from(self.mean))) as f32;
    }
}

/// The state of the baseline; values are relative to the series' origin.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    bins: [Mean; BINS],
    level: Mean,
    above: Mean,
    below: Mean,
    #[serde(deserialize_with = "crate::stage::count")]
    n: u64,
}

impl Baseline {
    /// Could values have made it? None of its means is without a bound.
    pub fn fits(&self) -> bool {
        let means = self.bins.iter().chain([&self.level, &self.above, &self.below]);
        means.into_iter().all(|m| m.mean.is_finite())
    }

    /// The value expected at a time, relative to the origin; `None` before anything was seen.
    pub fn expected(&self, time_us: i64) -> Option<f64> {
        (self.n > 0).then(|| self.profile(time_us) + f64::from(self.level.mean))
    }

    /// Lowest and highest ordinary value at a time, relative to the origin.
    pub fn range(&self, time_us: i64) -> Option<(f64, f64)> {
        let expected = self.expected(time_us).filter(|_| self.n >= RANGE_AFTER)?;
        Some((expected - REACH * f64::from(self.below.mean), expected + REACH * f64::from(self.above.mean)))
    }

    /// Mean deviation from what was expected, both sides together.
    pub fn deviation(&self) -> f64 {
        0.5 * (f64::from(self.above.mean) + f64::from(self.below.mean))
    }

    /// Learns a value, `hours` after the one before it, in a series of the given spread.
    pub fn learn(&mut self, time_us: i64, value: f64, hours: f64, spread: f64, constants: &Constants) {
        let most = constants.clip_spreads * spread;
        let over = value - self.expected(time_us).unwrap_or(value);
        let over = if self.n > CLIP_AFTER { over.clamp(-most, most) } else { over };
        let value = self.expected(time_us).unwrap_or(value) + over;
        self.n += 1;
        let bin = Features::hour_of_day(time_us) as usize % BINS;
        self.bins[bin].learn(value - f64::from(self.level.mean), hours, constants.profile_hours);
        self.level.learn(over + f64::from(self.level.mean), hours, constants.level_hours);
        let side = if over > 0.0 { &mut self.above } else { &mut self.below };
        side.learn(over.abs(), hours, constants.deviation_hours);
    }

    /// The profile at a time: between the middles of two bins, or of the one that has been seen.
    fn profile(&self, time_us: i64) -> f64 {
        let at = Features::hour_of_day(time_us) + BINS as f64 - 0.5;
        let (left, part) = (at as usize, at - at.floor());
        let (a, b) = (self.bins[left % BINS], self.bins[(left + 1) % BINS]);
        match (a.n > 0, b.n > 0) {
            (true, true) => f64::from(a.mean) + part * f64::from(b.mean - a.mean),
            (true, false) => f64::from(a.mean),
            (false, true) => f64::from(b.mean),
            (false, false) => self.nearest(at),
        }
    }

    /// The mean of the newest bin before that has been seen.
    fn nearest(&self, at: f64) -> f64 {
        let hour = at as usize;
        let seen = (0..BINS).map(|back| self.bins[(hour + BINS - back) % BINS]).find(|bin| bin.n > 0);
        seen.map_or(0.0, |bin| f64::from(bin.mean))
    }
}

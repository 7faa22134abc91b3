//! Patterns of a series of window values: trend, level shift, season, periodic spikes; and which series move
//! together.
//!
//! Each is a published test (see the files) at one stated error rate. A pattern's `confidence` is 1 − p: p is
//! the chance that a series without the pattern shows such a one or a stronger one, times the number of tests
//! made beside it (Bonferroni). Only patterns with p up to [`ALPHA`] are told, so of all that is told in an
//! analysis of a kind, noise makes something up in one of a hundred analyses. The tests suppose values that are
//! not computed from common events: give windows that do not overlap. Noise with memory is allowed for as an
//! AR(1) process or by the autocorrelation of ranks; noise with a longer memory is where they fail.
//!
//! A trend and a shift explain the same values, so the one that leaves less is told. Spikes and seasons likewise:
//! spikes that come back are told as spikes.

mod correlation;
mod ranks;
mod season;
pub mod sentence;
mod shift;
mod spikes;
#[cfg(test)]
mod tests;
mod trend;

pub use correlation::{Correlation, correlations};
pub use season::{Season, season};
pub use shift::{Shift, shift};
pub use spikes::{Spikes, spikes};
pub use trend::{Trend, trend};

use serde::Serialize;

/// The largest p that is told.
pub const ALPHA: f64 = 0.01;
/// A series with fewer values is not looked at.
pub const MIN_VALUES: usize = 24;
/// A longer one is made coarser by the medians of neighbours: the tests take n² steps.
pub const MAX_VALUES: usize = 2000;
/// A series may lack this share of its values.
const MAX_MISSING: f64 = 0.2;
/// A trend or shift below this share of the usual value does not matter to anybody.
pub const MIN_CHANGE: f64 = 0.05;

/// Values at equal distances.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Time of the first value, microseconds since the epoch
    pub start_us: i64,
    /// Distance of two values, microseconds
    pub step_us: i64,
    /// The values; None where there is none
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// From points in any order, at multiples of `step_us`; of two at one time the later one stands. Points
    /// beyond [`MAX_VALUES`] steps make the series coarser.
    pub fn new(points: &[(i64, f64)], step_us: i64) -> Series {
        let known = || points.iter().filter(|(_, x)| x.is_finite());
        let (Some(first), Some(last)) = (known().map(|p| p.0).min(), known().map(|p| p.0).max()) else {
            return Series::default();
        };
        let step_us = step_us.max(1);
        let slots = ((last - first) / step_us) as usize + 1;
        let fold = slots.div_ceil(MAX_VALUES);
        let step_us = step_us * fold as i64;
        let mut boxes: Vec<Vec<(i64, f64)>> = vec![Vec::new(); slots.div_ceil(fold)];
        for (time, value) in known() {
            let slot = &mut boxes[((time - first) / step_us) as usize];
            match slot.iter_mut().find(|p| p.0 == *time) {
                Some(point) => point.1 = *value,
                None => slot.push((*time, *value)),
            }
        }
        let values = boxes.into_iter().map(|slot| ranks::median(slot.into_iter().map(|p| p.1).collect())).collect();
        Series { start_us: first, step_us, values }
    }

    /// Time of a value, microseconds since the epoch.
    pub fn time(&self, at: usize) -> i64 {
        self.start_us + self.step_us * at as i64
    }

    /// Places and values of those that are there.
    pub fn points(&self) -> Vec<(usize, f64)> {
        self.values.iter().enumerate().filter_map(|(at, x)| Some((at, (*x)?))).collect()
    }

    /// Has it enough values, and few enough gaps, for the tests?
    pub fn is_testable(&self) -> bool {
        let n = self.values.iter().flatten().count();
        n >= MIN_VALUES && (self.values.len() - n) as f64 <= MAX_MISSING * self.values.len() as f64
    }

    /// With the gaps filled by straight lines.
    fn filled(&self) -> Vec<f64> {
        let points = self.points();
        let mut filled = Vec::with_capacity(self.values.len());
        for at in 0..self.values.len() {
            let next = points.partition_point(|p| p.0 < at);
            filled.push(match (next.checked_sub(1).map(|n| points[n]), points.get(next)) {
                (_, Some(p)) if p.0 == at => p.1,
                (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (at - a.0) as f64 / (b.0 - a.0) as f64,
                (Some(p), None) => p.1,
                (None, Some(p)) => p.1,
                (None, None) => 0.0,
            });
        }
        filled
    }
}

/// One pattern of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Pattern {
    /// It rises or falls all along
    Trend(Trend),
    /// It has another level from some time on
    LevelShift(Shift),
    /// It repeats itself
    Seasonality(Season),
    /// It has peaks at equal distances
    PeriodicSpikes(Spikes),
}

impl Pattern {
    /// 1 − p, 0–1.
    pub fn confidence(&self) -> f64 {
        1.0 - match self {
            Pattern::Trend(t) => t.p_value,
            Pattern::LevelShift(s) => s.p_value,
            Pattern::Seasonality(s) => s.p_value,
            Pattern::PeriodicSpikes(s) => s.p_value,
        }
    }

    fn p_value(&mut self) -> &mut f64 {
        match self {
            Pattern::Trend(t) => &mut t.p_value,
            Pattern::LevelShift(s) => &mut s.p_value,
            Pattern::Seasonality(s) => &mut s.p_value,
            Pattern::PeriodicSpikes(s) => &mut s.p_value,
        }
    }
}

/// The patterns of a series that is one of `tests` series looked at: their p values are multiplied by it.
pub fn patterns(series: &Series, tests: usize) -> Vec<Pattern> {
    if !series.is_testable() {
        return Vec::new();
    }
    let usual = ranks::median(series.values.iter().flatten().copied().collect()).unwrap_or_default().abs();
    let matters = |change: f64| change.abs() >= MIN_CHANGE * usual && change != 0.0;
    let is_told = |mut pattern: Pattern| {
        let p = pattern.p_value();
        *p = (*p * tests.max(1) as f64).min(1.0);
        (*p <= ALPHA).then_some(pattern)
    };
    let trend = trend(series).filter(|t| matters(t.change));
    let shift = shift(series).filter(|s| s.lasts && matters(s.after - s.before));
    // Whichever is told, what it leaves is looked at for what comes back.
    let trend = trend.map(Pattern::Trend).and_then(is_told);
    let shift = shift.map(Pattern::LevelShift).and_then(is_told);
    let (level, rest) = match (trend, shift) {
        (Some(Pattern::Trend(t)), Some(Pattern::LevelShift(s))) => {
            let (of_trend, of_shift) = (t.residual(series), s.residual(series));
            match total(&of_trend) <= total(&of_shift) {
                true => (Some(Pattern::Trend(t)), of_trend),
                false => (Some(Pattern::LevelShift(s)), of_shift),
            }
        }
        (Some(Pattern::Trend(t)), _) => (Some(Pattern::Trend(t.clone())), t.residual(series)),
        (_, Some(Pattern::LevelShift(s))) => (Some(Pattern::LevelShift(s.clone())), s.residual(series)),
        _ => (None, series.clone()),
    };
    let spikes = spikes(&rest).map(Pattern::PeriodicSpikes).and_then(is_told);
    let season = match spikes {
        Some(_) => None,
        None => season(&rest).map(Pattern::Seasonality).and_then(is_told),
    };
    [level, spikes, season].into_iter().flatten().collect()
}

/// Sum of the absolute values.
fn total(series: &Series) -> f64 {
    series.values.iter().flatten().map(|x| x.abs()).sum()
}

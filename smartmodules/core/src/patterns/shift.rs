//! Level shift: Pettitt's test of one change point (Pettitt, "A non-parametric approach to the change-point
//! problem", Applied Statistics 28, 1979).
//!
//! U(t) = 2 Σ ranks up to t − t(n+1); K = max |U(t)| at the change; p ≈ 2 exp(−6K²/(n³+n²)). As with the trend, K² is
//! divided by n/n* of what is left without the shift (Hamed and Rao 1998), since values with memory wander. K and the
//! place are held against pyhomogeneity. Cost: n log n. A level that does not last is no shift: the first quarter
//! before and the last quarter after must lie at their own level, else an anomaly tells it better.

use super::Series;
use super::ranks::{inflation, median, ranks};
use serde::Serialize;

/// A side with fewer values says nothing of a level.
const MIN_SIDE: usize = 6;

/// Another level from some time on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// Time of the first value of the new level, microseconds since the epoch
    pub at_us: i64,
    /// Median before it
    pub before: f64,
    /// Median from it on
    pub after: f64,
    /// Values before it
    pub n_before: usize,
    /// Values from it on
    pub n_after: usize,
    /// Pettitt's K
    pub statistic: f64,
    /// Approximate, two-sided
    pub p_value: f64,
    /// Do the ends of the series lie at these levels?
    #[serde(skip)]
    pub lasts: bool,
    #[serde(skip)]
    place: usize,
}

impl Shift {
    /// What is left of the series without it.
    pub(super) fn residual(&self, series: &Series) -> Series {
        let level = |at: usize| if at < self.place { self.before } else { self.after };
        let values = series.values.iter().enumerate().map(|(at, x)| x.map(|x| x - level(at))).collect();
        Series { values, ..series.clone() }
    }
}

/// The likeliest change of level, significant or not; None where a side would be too short.
pub fn shift(series: &Series) -> Option<Shift> {
    let points = series.points();
    let values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let n = values.len();
    let (mut sum, mut best) = (0.0, (0, 0.0));
    for (at, rank) in ranks(&values).into_iter().enumerate() {
        sum += 2.0 * rank - (n as f64 + 1.0);
        if f64::abs(sum) > best.1 {
            best = (at + 1, f64::abs(sum));
        }
    }
    let (split, statistic) = best;
    if split < MIN_SIDE || n - split < MIN_SIDE {
        return None;
    }
    let (left, right) = values.split_at(split);
    let (before, after) = (median(left.to_vec())?, median(right.to_vec())?);
    let rest: Vec<f64> = left.iter().map(|x| x - before).chain(right.iter().map(|x| x - after)).collect();
    let size = n as f64;
    let exponent = 6.0 * statistic * statistic / (size.powi(3) + size * size) / inflation(&rest);
    let (first, last) = (&left[..left.len().div_ceil(4)], &right[right.len() - right.len().div_ceil(4)..]);
    let is_at = |values: &[f64], own: f64, other: f64| {
        median(values.to_vec()).is_some_and(|m| (m - own).abs() < (m - other).abs())
    };
    Some(Shift {
        at_us: series.time(points[split].0),
        before,
        after,
        n_before: split,
        n_after: n - split,
        statistic,
        p_value: (2.0 * libm::exp(-exponent)).min(1.0),
        lasts: is_at(first, before, after) && is_at(last, after, before),
        place: points[split].0,
    })
}

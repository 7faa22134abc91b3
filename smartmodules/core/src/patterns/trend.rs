//! Trend: the Mann-Kendall test (Mann 1945, Kendall 1975) with the variance of Hamed and Rao 1998 (see `ranks`),
//! and the slope of Theil and Sen with Sen's interval (Sen, JASA 63, 1968), widened by the same factor.
//!
//! S = Σ sign(xⱼ − xᵢ) over all pairs i < j; its variance n(n−1)(2n+5)/18 less that of ties; two-sided p of
//! (S ∓ 1)/√Var. The slope is the median of all (xⱼ − xᵢ)/(j − i). Held against pymannkendall and scipy. Cost: n²/2
//! pairs in time and memory. Where it fails: a series that rises and falls again has no trend here.

use super::Series;
use super::ranks::{Z95, inflation, median, ties};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal};

/// A rise or a fall all along.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// Units of the value per hour
    pub slope_per_hour: f64,
    /// Its 95 % interval
    pub interval: [f64; 2],
    /// From the first value to the last, along the slope
    pub change: f64,
    /// Value of the line at the first value's time
    pub start_value: f64,
    /// Kendall's tau: −1 always falling, 1 always rising
    pub tau: f64,
    /// Two-sided
    pub p_value: f64,
    /// Values
    pub n: usize,
    /// Time of the first value, microseconds since the epoch
    pub from_us: i64,
    /// Time of the last value
    pub to_us: i64,
    #[serde(skip)]
    pub(super) slope: f64,
}

impl Trend {
    /// What is left of the series without it.
    pub(super) fn residual(&self, series: &Series) -> Series {
        let line = |at: usize| self.start_value + self.slope * at as f64;
        let values = series.values.iter().enumerate().map(|(at, x)| x.map(|x| x - line(at))).collect();
        Series { values, ..series.clone() }
    }
}

/// The trend of a series, whether significant or not; None of fewer than four values or equal ones.
pub fn trend(series: &Series) -> Option<Trend> {
    let points = series.points();
    let n = points.len();
    if n < 4 {
        return None;
    }
    let (mut score, mut slopes) = (0.0, Vec::with_capacity(n * (n - 1) / 2));
    for (i, (at, x)) in points.iter().enumerate() {
        for (later, y) in &points[i + 1..] {
            score += f64::from((y > x) as i8 - (y < x) as i8);
            slopes.push((y - x) / (later - at) as f64);
        }
    }
    slopes.sort_by(f64::total_cmp);
    let slope = middle(&slopes)?;
    let values: Vec<f64> = points.iter().map(|p| p.1).collect();
    let rest: Vec<f64> = points.iter().map(|(at, x)| x - slope * *at as f64).collect();
    let weight = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let variance = (weight(n as f64) - ties(&values).into_iter().map(weight).sum::<f64>()) / 18.0 * inflation(&rest);
    if variance <= 0.0 {
        return None;
    }
    let z = (score - f64::signum(score) * f64::from(score != 0.0)) / variance.sqrt();
    let p_value = 2.0 * Normal::standard().sf(z.abs());
    // Sen 1968: the slopes between which lie as many pairs as S may differ by chance.
    let half = Z95 * variance.sqrt();
    let pairs = slopes.len() as f64;
    let last = slopes.len() - 1;
    let lower = (((pairs - half) / 2.0).round() as usize).saturating_sub(1).min(last);
    let upper = (((pairs + half) / 2.0).round() as usize).min(last);
    let (first_at, last_at) = (points[0].0, points[n - 1].0);
    let per_hour = 3.6e9 / series.step_us as f64;
    Some(Trend {
        slope_per_hour: slope * per_hour,
        interval: [slopes[lower] * per_hour, slopes[upper] * per_hour],
        change: slope * (last_at - first_at) as f64,
        start_value: median(rest)?,
        tau: score / pairs,
        p_value,
        n,
        from_us: series.time(first_at),
        to_us: series.time(last_at),
        slope,
    })
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => Some(sorted.get(half.checked_sub(1)?)? / 2.0 + sorted.get(half)? / 2.0),
        _ => sorted.get(half).copied(),
    }
}

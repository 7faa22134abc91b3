//! Series that move together, now or some steps apart.
//!
//! Each series is prewhitened (Box and Jenkins; Haugh, JASA 71, 1976): x(t) − φ x(t−1) with its own φ, since two series
//! that merely wander correlate by themselves. What is left is compared by Spearman's rank correlation at lags up to
//! [`MAX_LAG`] steps; p by Student's t, times the number of pairs and lags (Bonferroni). As scipy.stats.spearmanr. Cost:
//! pairs × lags × n log n. Where it fails: memory longer than one step; three series that hang on a fourth are told as pairs.

use super::Series;
use super::ranks::{autocorrelation, ranks};
use super::{ALPHA, MIN_VALUES};
use crate::math::regression::p_value;
use serde::Serialize;

/// Steps that one may run ahead of the other.
pub const MAX_LAG: usize = 6;
/// A weaker one is of no use.
const MIN_RHO: f64 = 0.4;

/// Two series that move together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Correlation {
    /// Number of the series that moves first, or of the first one
    #[serde(skip)]
    pub first: usize,
    /// Number of the other
    #[serde(skip)]
    pub second: usize,
    /// By how much the first runs ahead, milliseconds
    pub lag_ms: i64,
    /// Spearman's coefficient of the changes, −1 to 1
    pub rho: f64,
    /// After all pairs and lags are allowed for
    pub p_value: f64,
    /// Pairs of values
    pub n: usize,
}

/// All pairs among `series` that `wanted` lets through and that are significant, the strongest lag of each; the
/// surest first. Series of another step, or that are not testable, are passed over.
pub fn correlations(series: &[Series], wanted: impl Fn(usize, usize) -> bool) -> Vec<Correlation> {
    let white: Vec<Option<Series>> = series.iter().map(|s| s.is_testable().then(|| prewhitened(s))).collect();
    let pairs: Vec<(usize, usize)> = (0..series.len())
        .flat_map(|a| (a + 1..series.len()).map(move |b| (a, b)))
        .filter(|(a, b)| white[*a].is_some() && white[*b].is_some() && series[*a].step_us == series[*b].step_us)
        .filter(|(a, b)| wanted(*a, *b))
        .collect();
    let tests = (pairs.len() * (2 * MAX_LAG + 1)) as f64;
    let told = |(a, b): &(usize, usize)| {
        let (x, y) = (white[*a].as_ref()?, white[*b].as_ref()?);
        let lags = -(MAX_LAG as i64)..=MAX_LAG as i64;
        let mut best = lags.filter_map(|lag| at_lag(x, y, lag)).min_by(|a, b| a.p_value.total_cmp(&b.p_value))?;
        (best.first, best.second) = if best.lag_ms < 0 { (*b, *a) } else { (*a, *b) };
        best.lag_ms = best.lag_ms.abs();
        best.p_value = (best.p_value * tests).min(1.0);
        (best.p_value <= ALPHA && best.rho.abs() >= MIN_RHO).then_some(best)
    };
    let mut found: Vec<Correlation> = pairs.iter().filter_map(told).collect();
    found.sort_by(|a, b| a.p_value.total_cmp(&b.p_value).then(b.rho.abs().total_cmp(&a.rho.abs())));
    found
}

/// The series without what the value before it foretells.
fn prewhitened(series: &Series) -> Series {
    let phi = autocorrelation(&series.filled(), 1).get(1).copied().unwrap_or(0.0);
    let changed = series.values.windows(2).map(|two| Some(two[1]? - phi * two[0]?));
    Series { values: std::iter::once(None).chain(changed).collect(), ..series.clone() }
}

/// The correlation where `x` runs `lag` steps ahead of `y`; its p is that of one test.
fn at_lag(x: &Series, y: &Series, lag: i64) -> Option<Correlation> {
    let offset = (x.start_us - y.start_us).div_euclid(x.step_us) + lag;
    let pair = |(at, x): (usize, f64)| {
        let other = usize::try_from(at as i64 + offset).ok()?;
        Some((x, (*y.values.get(other)?)?))
    };
    let (a, b): (Vec<f64>, Vec<f64>) = x.points().into_iter().filter_map(pair).unzip();
    let n = a.len();
    if n < MIN_VALUES {
        return None;
    }
    let rho = pearson(&ranks(&a), &ranks(&b))?;
    let p_value = p_value(rho * rho, n as f64 - 2.0)?;
    Some(Correlation { first: 0, second: 0, lag_ms: lag * x.step_us / 1000, rho, p_value, n })
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        (aa, bb, ab) = (aa + x * x, bb + y * y, ab + x * y);
    }
    (aa > 0.0 && bb > 0.0).then(|| (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
pub(super) fn spearman(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    let rho = pearson(&ranks(a), &ranks(b))?;
    Some((rho, p_value(rho * rho, a.len() as f64 - 2.0)?))
}

//! The newest values of a series, and the two methods that look at nothing else.
//!
//! `statistical-threshold`: how far a value lies outside of what the values before it span, in units
//! of its own boundary: beyond the quartiles by `multiplier` interquartile ranges (Tukey 1977; type 7
//! quartiles as numpy's), or from the mean by standard deviations, or from the median by 1.4826 MAD
//! (Iglewicz and Hoaglin 1993). `trend-analysis`: the p-value of the slope of a least-squares line
//! through the newest values and this one, corrected for residuals that depend on each other: n is
//! replaced by n(1 − r)/(1 + r), r their lag-1 autocorrelation (Santer et al. 2000), for windows that
//! overlap repeat each other. Both turn a statistic t, 1 at the boundary, into the score t²/(1 + t²).
//!
//! Values in the unit of the series. Cost: O(window) per value; 16 bytes per value. Where it fails: a
//! slow rise widens the span it is measured by; a trend of a few values is not told from chance.

use super::detector::Statistic;
use super::score::{Finding, score_of};
use crate::math::{Fit, Moments, exact_many};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::VecDeque;

/// Values below which nothing is said.
const MIN_N: usize = 16;
/// A statistic is cut here: 100 times the boundary is no surer than this.
const T_MAX: f64 = 100.0;

/// The newest values of a series with their times, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Newest {
    points: VecDeque<(i64, f64)>,
}

impl Newest {
    /// Takes a value and lets the oldest beyond `max` go.
    pub fn push(&mut self, time: i64, value: f64, max: usize) {
        while self.points.len() >= max.max(1) {
            self.points.pop_front();
        }
        self.points.push_back((time, value));
    }

    /// The newest `count` values.
    pub fn values(&self, count: usize) -> impl Iterator<Item = f64> + Clone + '_ {
        self.points.iter().skip(self.points.len().saturating_sub(count)).map(|p| p.1)
    }

    /// Could it hold the newest `max` values?
    pub fn fits(&self, max: usize) -> bool {
        self.points.len() <= max && self.points.iter().all(|p| p.1.is_finite())
    }

    /// Memory in bytes that it owns.
    pub fn bytes(&self) -> usize {
        16 * self.points.len()
    }
}

/// `statistical-threshold`, ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StatisticalPlan {
    pub statistic: Statistic,
    pub multiplier: f64,
    pub window: usize,
}

impl StatisticalPlan {
    /// Puts a value beside those before it; `None` below 16 of them.
    pub fn judge(&self, before: &Newest, value: f64, scratch: &mut Vec<f64>) -> Option<Finding> {
        scratch.clear();
        scratch.extend(before.values(self.window));
        let n = scratch.len();
        if n < MIN_N {
            return None;
        }
        let (centre, low, high) = match self.statistic {
            Statistic::Z => {
                let mean = scratch.iter().sum::<f64>() / n as f64;
                let squares: f64 = scratch.iter().map(|x| (x - mean) * (x - mean)).sum();
                let far = self.multiplier * (squares / (n - 1) as f64).sqrt();
                (mean, mean - far, mean + far)
            }
            Statistic::RobustZ => {
                let median = quantiles(scratch, &[0.5])[0];
                scratch.iter_mut().for_each(|x| *x = (*x - median).abs());
                let far = self.multiplier * 1.482_602_218_505_602 * quantiles(scratch, &[0.5])[0];
                (median, median - far, median + far)
            }
            Statistic::Iqr | Statistic::LinearRegression => {
                let q = quantiles(scratch, &[0.25, 0.5, 0.75]);
                let far = self.multiplier * (q[2] - q[0]);
                return Some(self.beyond(value, q[1], (q[0], q[2]), far, n));
            }
        };
        Some(self.beyond(value, centre, (centre, centre), (high - low) / 2.0, n))
    }

    /// Distance from the inner range in units of `far`.
    fn beyond(&self, value: f64, expected: f64, inner: (f64, f64), far: f64, n: usize) -> Finding {
        let out = (inner.0 - value).max(value - inner.1).max(0.0);
        let t = if out <= 0.0 { 0.0 } else { (out / far).min(T_MAX) };
        Finding {
            score: score_of(t),
            expected: Some(expected),
            range: Some((inner.0 - far, inner.1 + far)),
            parts: Vec::new(),
            n: n as u64,
        }
    }
}

/// Quantiles of reordered values; as many as asked for.
fn quantiles(values: &mut [f64], qs: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    exact_many(values, qs, &mut out);
    out.resize(qs.len(), 0.0);
    out
}

/// `trend-analysis`, ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TrendPlan {
    pub window: usize,
    /// Of the range expected next
    confidence: f64,
    /// Quantile of Student's distribution for it where the window is full
    t: f64,
    pub significance: f64,
}

impl TrendPlan {
    pub fn new(window: usize, confidence: f64, significance: f64) -> TrendPlan {
        TrendPlan { window, confidence, t: student(confidence, window.saturating_sub(1)), significance }
    }

    /// Is there a trend in the newest values and this one? `None` below 16 of them.
    pub fn judge(&self, before: &Newest, time: i64, value: f64) -> Option<Finding> {
        let skip = before.points.len().saturating_sub(self.window.saturating_sub(1));
        let points = || before.points.iter().skip(skip).copied();
        let seconds = |t: i64| (t.saturating_sub(time)) as f64 / 1e6;
        let n = points().count();
        if n < MIN_N {
            return None;
        }
        let mut moments = Moments::default();
        points().for_each(|(t, x)| moments.add(seconds(t), x));
        // What was expected before the value came.
        let ahead = moments.fit()?;
        moments.add(0.0, value);
        let fit = moments.fit()?;
        let rest = |line: &Fit, t: i64, x: f64| x - line.intercept - line.slope * seconds(t);
        let residuals = || points().chain([(time, value)]).map(|(t, x)| rest(&fit, t, x));
        let lagged: f64 = residuals().zip(residuals().skip(1)).map(|(a, b)| a * b).sum();
        let squares: f64 = residuals().map(|r| r * r).sum();
        let dependence = if squares > 0.0 { (lagged / squares).clamp(0.0, 0.999) } else { 0.0 };
        let effective = (n + 1) as f64 * (1.0 - dependence) / (1.0 + dependence);
        let p = p_of(fit.r2, effective);
        // 1 at the boundary, 2 at its square: a trend by chance once in 20 times, once in 400.
        let t = if p >= 1.0 { 0.0 } else { (p.max(1e-300).ln() / self.significance.ln()).min(T_MAX) };
        // The interval of a prediction (Draper and Smith 1998, 1.4): the value's own error, the mean's, the slope's.
        let spread = points().map(|(t, x)| rest(&ahead, t, x)).map(|r| r * r).sum::<f64>();
        let middle = points().map(|(t, _)| seconds(t)).sum::<f64>() / n as f64;
        let leverage = middle * ahead.slope_stderr.unwrap_or(0.0);
        let own = spread / (n - 2) as f64 * (1.0 + 1.0 / n as f64);
        let t_of_range = if n + 1 == self.window { self.t } else { student(self.confidence, n) };
        let far = t_of_range * (own + leverage * leverage).sqrt();
        Some(Finding {
            score: score_of(t),
            expected: Some(ahead.intercept),
            range: Some((ahead.intercept - far, ahead.intercept + far)),
            parts: vec![fit.slope * 60.0, p, effective],
            n: n as u64,
        })
    }
}

/// Quantile of Student's distribution that holds the share around its middle, for a line through n points.
fn student(confidence: f64, n: usize) -> f64 {
    let of = StudentsT::new(0.0, 1.0, n.saturating_sub(2).max(1) as f64);
    of.map_or(0.0, |of| of.inverse_cdf(0.5 + confidence / 2.0))
}

/// Two-sided p-value of a slope of which r² is known, from `n` independent points; 1 if there are
/// not more than two.
fn p_of(r2: f64, n: f64) -> f64 {
    let freedom = n - 2.0;
    if freedom <= 0.0 {
        return 1.0;
    }
    statrs::function::beta::checked_beta_reg(freedom / 2.0, 0.5, 1.0 - r2).map_or(1.0, |p| p.clamp(0.0, 1.0))
}

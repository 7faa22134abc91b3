//! Season: a peak of the periodogram against noise with memory.
//!
//! The ordinates are divided by the spectrum of an AR(1) process (Gilman, Fuglister and Mitchell 1963; as Torrence and
//! Compo 1998 do), whose coefficient is that of the series without its largest sinusoid, so that the season is not
//! taken for memory. The largest ordinate's share g of all is tested by Fisher's exact distribution (Fisher, "Tests of
//! significance in harmonic analysis", Proc. R. Soc. A 125, 1929): p = Σ (−1)^(j−1) C(m,j) (1−jg)^(m−1). Beside that
//! the autocorrelation at the period must leave its 95 % bound, and there must be three cycles. The period is the lag
//! of the largest autocorrelation within the resolution of the ordinate, or a multiple of it where that is larger: a
//! sharp profile has strong harmonics. Cost: n²/2. Where it fails: a period of fewer than 4 values is not looked for.

use super::Series;
use super::ranks::{Z95, autocorrelation, median};
use crate::math::Moments;
use serde::Serialize;
use std::f64::consts::TAU;

/// Cycles that a season needs.
const MIN_CYCLES: usize = 3;
/// Shortest period, in values
const MIN_PERIOD: usize = 4;
/// A multiple of the period must correlate better by this.
const BETTER: f64 = 0.1;
/// Parts of the period that its profile is made of.
const PROFILE: usize = 24;

/// A profile that repeats itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Season {
    /// Length, milliseconds
    pub period_ms: i64,
    /// Largest less smallest value of the profile (medians of up to 24 parts of the period)
    pub amplitude: f64,
    /// Time of a peak of the profile, microseconds since the epoch; others are whole periods away
    pub peak_us: i64,
    /// Autocorrelation at the period, −1 to 1
    pub autocorrelation: f64,
    /// Cycles in the series
    pub cycles: f64,
    /// Of Fisher's test
    pub p_value: f64,
    /// Values
    pub n: usize,
}

/// The strongest season of a series, significant or not; None where nothing comes back.
pub fn season(series: &Series) -> Option<Season> {
    let mut values = series.filled();
    let n = values.len();
    if n < MIN_CYCLES * MIN_PERIOD {
        return None;
    }
    remove_line(&mut values);
    let parts = periodogram(&values);
    let within = |k: &usize| n / k >= MIN_PERIOD && *k >= MIN_CYCLES;
    let raw = (1..=parts.len()).filter(within).max_by(|a, b| parts[a - 1].power.total_cmp(&parts[b - 1].power))?;
    let phi = memory(&values, &parts[raw - 1], raw);
    let white: Vec<f64> = parts.iter().enumerate().map(|(at, part)| part.power / ar1(phi, at + 1, n)).collect();
    let peak = (1..=white.len()).max_by(|a, b| white[a - 1].total_cmp(&white[b - 1]))?;
    let total: f64 = white.iter().sum();
    if !within(&peak) || total <= 0.0 {
        return None;
    }
    let p_value = fisher(white[peak - 1] / total, white.len());
    let rho = autocorrelation(&values, n / 2);
    let (period, at_period) = period(&rho, peak, n)?;
    if at_period <= Z95 / (n as f64).sqrt() {
        return None;
    }
    let (amplitude, peak_at) = profile(series, period)?;
    Some(Season {
        period_ms: period as i64 * series.step_us / 1000,
        amplitude,
        peak_us: series.time(peak_at),
        autocorrelation: at_period,
        cycles: n as f64 / period as f64,
        p_value,
        n: series.points().len(),
    })
}

fn remove_line(values: &mut [f64]) {
    let mut moments = Moments::default();
    values.iter().enumerate().for_each(|(at, x)| moments.add(at as f64, *x));
    if let Some(fit) = moments.fit() {
        values.iter_mut().enumerate().for_each(|(at, x)| *x -= fit.intercept + fit.slope * at as f64);
    }
}

/// The part of a series at one frequency.
struct Part {
    cosine: f64,
    sine: f64,
    power: f64,
}

/// |Σ x e^(−2πikt/n)|²/n for k = 1 … below n/2.
fn periodogram(values: &[f64]) -> Vec<Part> {
    let n = values.len();
    let turn: Vec<(f64, f64)> =
        (0..n).map(|t| TAU * t as f64 / n as f64).map(|a| (libm::cos(a), libm::sin(a))).collect();
    let part = |k: usize| {
        let (mut cosine, mut sine) = (0.0, 0.0);
        for (t, x) in values.iter().enumerate() {
            let (cos, sin) = turn[k * t % n];
            cosine += x * cos;
            sine += x * sin;
        }
        Part { cosine, sine, power: (cosine * cosine + sine * sine) / n as f64 }
    };
    (1..n.div_ceil(2)).map(part).collect()
}

/// Autocorrelation at lag 1 of the values without a sinusoid, 0 to 0.99.
fn memory(values: &[f64], part: &Part, k: usize) -> f64 {
    let n = values.len();
    let turn = |t: usize| TAU * (k * t % n) as f64 / n as f64;
    let wave = |t: usize| 2.0 / n as f64 * (part.cosine * libm::cos(turn(t)) + part.sine * libm::sin(turn(t)));
    let rest: Vec<f64> = values.iter().enumerate().map(|(t, x)| x - wave(t)).collect();
    autocorrelation(&rest, 1).get(1).copied().unwrap_or(0.0).clamp(0.0, 0.99)
}

/// Spectrum of an AR(1) process at the k-th of n frequencies, up to a factor.
fn ar1(phi: f64, k: usize, n: usize) -> f64 {
    1.0 / (1.0 + phi * phi - 2.0 * phi * libm::cos(TAU * k as f64 / n as f64))
}

/// P(the largest of m ordinates of white noise has a share of g or more). For small g the terms grow beyond what
/// doubles can add up; p is 1 there to four digits.
pub(super) fn fisher(g: f64, m: usize) -> f64 {
    let m_f = m as f64;
    let first = m_f * libm::pow(1.0 - g, m_f - 1.0);
    if first > 10.0 {
        return 1.0;
    }
    let (mut sum, mut choose, mut sign) = (0.0, 1.0, 1.0);
    for j in 1..=m {
        let j_f = j as f64;
        if j_f * g >= 1.0 {
            break;
        }
        choose *= (m_f - j_f + 1.0) / j_f;
        let term = choose * libm::pow(1.0 - j_f * g, m_f - 1.0);
        sum += sign * term;
        sign = -sign;
        if term < 1e-17 * first {
            break;
        }
    }
    sum.clamp(0.0, 1.0)
}

/// The period in values that the ordinate stands for, and its autocorrelation.
fn period(rho: &[f64], peak: usize, n: usize) -> Option<(usize, f64)> {
    let best = |times: f64| {
        let low = times * n as f64 / (peak as f64 + 0.5);
        let high = times * n as f64 / (peak as f64 - 0.5);
        let lags = (low.round() as usize).max(2)..=(high.round() as usize).min(n / MIN_CYCLES);
        lags.max_by(|a, b| rho[*a].total_cmp(&rho[*b])).map(|lag| (lag, rho[lag]))
    };
    let mut found = best(1.0)?;
    for times in 2..=12 {
        if let Some(other) = best(f64::from(times))
            && other.1 > found.1 + BETTER
        {
            found = other;
        }
    }
    Some(found)
}

/// Amplitude of the profile of a period, and the place of its first peak.
fn profile(series: &Series, period: usize) -> Option<(f64, usize)> {
    let parts = period.min(PROFILE);
    let mut boxes: Vec<Vec<f64>> = vec![Vec::new(); parts];
    for (at, x) in series.points() {
        boxes[at % period * parts / period].push(x);
    }
    let medians: Vec<f64> = boxes.into_iter().filter_map(median).collect();
    let top = (0..medians.len()).max_by(|a, b| medians[*a].total_cmp(&medians[*b]))?;
    let low = medians.iter().copied().min_by(f64::total_cmp)?;
    // The middle of the part.
    Some((medians[top] - low, (2 * top + 1) * period / (2 * parts)))
}

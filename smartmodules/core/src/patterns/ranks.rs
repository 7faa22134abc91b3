//! What the tests of ranks share: mid ranks, medians, autocorrelation, and how many independent values a series
//! with memory is worth.
//!
//! Hamed and Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of Hydrology 204 (1998):
//! the variance of S grows by n/n* = 1 + 2/(n(n−1)(n−2)) Σ (n−i)(n−i−1)(n−i−2) ρ(i), over the lags i at which the
//! autocorrelation ρ of the ranks of what is left without the trend leaves its 95 % bound. As pymannkendall has it. It
//! misses what lies within the bound, and noise with memory (φ = 0.5, n = 120) then shows trends five times too often; so
//! the factor of an AR(1) process, (1+ρ)/(1−ρ) (Bayley and Hammersley 1946; ρ without its bias of −(2+4ρ)/n, Marriott and
//! Pope 1954), stands where it is larger. Below 1 we take 1: a series is not worth more values than it has.

use std::cmp::Ordering;

/// Half-width of the 95 % bound of an autocorrelation, times √n.
pub(super) const Z95: f64 = 1.959_963_984_540_054;

/// The middle value, or the mean of the two; None of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let half = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    let lower = if even { below.iter().copied().max_by(f64::total_cmp) } else { None };
    Some(lower.map_or(upper, |lower| lower / 2.0 + upper / 2.0))
}

/// Ranks from 1; equal values share the mean of theirs.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|a, b| values[*a].partial_cmp(&values[*b]) == Some(Ordering::Equal)) {
        let rank = start as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|at| ranks[*at] = rank);
        start += tied.len();
    }
    ranks
}

/// How often each value that comes more than once comes.
pub(super) fn ties(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let runs = sorted.chunk_by(|a, b| a.partial_cmp(b) == Some(Ordering::Equal));
    runs.map(|run| run.len() as f64).filter(|n| *n > 1.0).collect()
}

/// Autocorrelations at the lags 0 to `lags`; zeros where the values do not vary.
pub(super) fn autocorrelation(values: &[f64], lags: usize) -> Vec<f64> {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n.max(1) as f64;
    let off: Vec<f64> = values.iter().map(|x| x - mean).collect();
    let all: f64 = off.iter().map(|x| x * x).sum();
    let at = |lag: usize| off.iter().zip(off.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
    (0..=lags.min(n.saturating_sub(1))).map(|lag| if all > 0.0 { at(lag) / all } else { 0.0 }).collect()
}

/// n/n* of Hamed and Rao, of what is left of a series without its trend.
pub(super) fn hamed_rao(rest: &[f64]) -> f64 {
    let n = rest.len();
    let bound = Z95 / (n as f64).sqrt();
    let rho = autocorrelation(&ranks(rest), n.saturating_sub(1));
    let term = |(lag, rho): (usize, &f64)| {
        let left = (n - lag) as f64;
        left * (left - 1.0) * (left - 2.0) * rho
    };
    let significant = rho.iter().enumerate().skip(1).filter(|(_, rho)| rho.abs() > bound);
    let sum: f64 = significant.map(term).sum();
    let n = n as f64;
    1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum
}

/// n/n* of an AR(1) process whose autocorrelation at lag 1 is that of the ranks, without its bias.
fn first_order(rest: &[f64]) -> f64 {
    let n = rest.len() as f64;
    let rho = autocorrelation(&ranks(rest), 1).get(1).copied().unwrap_or(0.0);
    // Marriott and Pope, for a series that a line was taken from.
    let rho = (rho + 2.0 / n) / (1.0 - 4.0 / n);
    if rho <= Z95 / n.sqrt() {
        return 1.0;
    }
    let rho = rho.min(0.99);
    (1.0 + rho) / (1.0 - rho)
}

/// How many values of what is left of a series say as much as one independent value, at least 1.
pub(super) fn inflation(rest: &[f64]) -> f64 {
    match rest.len() < 8 {
        true => 1.0,
        false => hamed_rao(rest).max(first_order(rest)).max(1.0),
    }
}

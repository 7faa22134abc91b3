//! Periodic spikes: high values that come back at equal distances.
//!
//! A spike is a value above its neighbours' median by more than 3.5 robust deviations (Iglewicz and Hoaglin 1993: 0.6745
//! (x − median)/MAD); neighbouring ones are one. Were they thrown at random, their distances would be geometric: of the
//! m − 1 distances the number within 5 % (at least one value) of their median is then binomial, one of them being spent
//! on finding the median. p is its upper tail times the number of different distances, any of which could have been the
//! median. The binomial tail is held against scipy. Cost: n. Where it fails: spikes of which every second is missing.

use super::Series;
use super::ranks::median;
use crate::math::binomial::tail;
use serde::Serialize;

/// Robust deviations that make a spike.
const HIGH: f64 = 3.5;
/// Fewer say nothing of a period.
const MIN_SPIKES: usize = 4;
/// Shortest period, in values
const MIN_PERIOD: usize = 4;
/// Values to each side that are the neighbours
const SIDE: usize = 6;

/// Spikes at equal distances.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spikes {
    /// Distance, milliseconds
    pub period_ms: i64,
    /// Spikes found
    pub count: usize,
    /// Of the distances between them, those that are the period
    pub regular: usize,
    /// Median of how far they rise above their neighbours
    pub height: f64,
    /// Time of the newest one, microseconds since the epoch
    pub last_us: i64,
    /// Of the binomial test
    pub p_value: f64,
    /// Values
    pub n: usize,
}

/// The spikes of a series, periodic or not; None below four.
pub fn spikes(series: &Series) -> Option<Spikes> {
    let values = series.filled();
    let near = |at: usize| {
        let around = at.saturating_sub(SIDE)..(at + SIDE + 1).min(values.len());
        median(around.filter(|n| *n != at).map(|n| values[n]).collect()).unwrap_or(values[at])
    };
    let above: Vec<f64> = (0..values.len()).map(|at| values[at] - near(at)).collect();
    let middle = median(above.clone())?;
    let spread = median(above.iter().map(|x| (x - middle).abs()).collect())?;
    let is_spike = |at: usize| 0.6745 * (above[at] - middle) > HIGH * spread && above[at] > middle;
    let mut peaks: Vec<usize> = Vec::new();
    for at in (0..values.len()).filter(|at| is_spike(*at)) {
        match peaks.last_mut() {
            Some(last) if at - *last == 1 => {
                if above[at] > above[*last] {
                    *last = at;
                }
            }
            _ => peaks.push(at),
        }
    }
    if peaks.len() < MIN_SPIKES {
        return None;
    }
    let gaps: Vec<usize> = peaks.windows(2).map(|two| two[1] - two[0]).collect();
    let period = median(gaps.iter().map(|gap| *gap as f64).collect())?.round() as usize;
    if period < MIN_PERIOD {
        return None;
    }
    let within = (period / 20).max(1);
    let regular = gaps.iter().filter(|gap| gap.abs_diff(period) <= within).count();
    let p_value = chance(&gaps, regular, period, within, peaks.len() as f64 / values.len() as f64);
    Some(Spikes {
        period_ms: period as i64 * series.step_us / 1000,
        count: peaks.len(),
        regular,
        height: median(peaks.iter().map(|at| above[*at]).collect())?,
        last_us: series.time(*peaks.last()?),
        p_value,
        n: series.points().len(),
    })
}

/// How likely spikes thrown at random, `rate` to a value, have so many distances alike.
fn chance(gaps: &[usize], regular: usize, period: usize, within: usize, rate: f64) -> f64 {
    let beyond = |gap: usize| libm::pow(1.0 - rate, gap as f64);
    let alike = beyond(period - within - 1) - beyond(period + within);
    let mut different = gaps.to_vec();
    different.sort_unstable();
    different.dedup();
    let spent = u32::try_from(regular.saturating_sub(1)).unwrap_or(u32::MAX);
    let p = tail(spent, (gaps.len() - 1) as u32, alike).unwrap_or(1.0);
    (p * different.len() as f64).min(1.0)
}

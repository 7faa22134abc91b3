//! Has a stream changed? Three published tests.
//!
//! - Page-Hinkley (Page 1954; Mouss and others 2004): has the mean risen? The sum of x − mean − δ, faded by
//!   α, is compared with its least; a change when it is λ above.
//! - ADWIN (Bifet and Gavaldà 2007): a window that forgets its older part whenever the means of two parts
//!   differ by more than chance allows at confidence δ. Buckets of 1, 2, 4, … values; of more than 2,555 values
//!   the oldest go.
//! - Kolmogorov and Smirnov's test of two samples: the largest distance between their distributions, and
//!   its asymptotic two-sided p-value.
//!
//! The first two give river's answers (PageHinkley, ADWIN), the third scipy's (`ks_2samp`, `asymp`; p
//! within 0.03 or a fifth). ADWIN and the p-value use `ln` and `exp`, so native and WASM may differ in the
//! last digits.

use super::tight;
use serde::{Deserialize, Serialize};

/// Page-Hinkley test of a rise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct PageHinkley {
    #[serde(deserialize_with = "crate::stage::count")]
    n: u64,
    mean: f64,
    sum: f64,
    least: f64,
}

/// Its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PageHinkleyPlan {
    /// Values before it speaks
    pub min_n: u64,
    /// A rise that is none, in the unit of the values
    pub delta: f64,
    /// λ, in the unit of the values
    pub threshold: f64,
    /// Weight of the sum from one value to the next
    pub alpha: f64,
}

impl PageHinkley {
    /// Could values have made it?
    pub fn fits(&self) -> bool {
        [self.mean, self.sum, self.least].iter().all(|x| x.is_finite())
    }

    /// Takes a value: has the mean risen? If so it begins anew.
    pub fn add(&mut self, x: f64, plan: &PageHinkleyPlan) -> bool {
        self.n += 1;
        self.mean += (x - self.mean) / self.n as f64;
        self.sum = plan.alpha * self.sum + (x - self.mean - plan.delta);
        self.least = if self.n == 1 { self.sum } else { self.least.min(self.sum) };
        let risen = self.n >= plan.min_n && self.sum - self.least > plan.threshold;
        if risen {
            *self = PageHinkley::default();
        }
        risen
    }
}

/// Values per row of buckets before two become one of the next row.
const BUCKETS: usize = 5;
/// Parts shorter than this are not compared.
const MIN_PART: f64 = 5.0;
/// Values before it speaks.
const GRACE: u64 = 10;

/// Rows at most; the window is at most 5 × 511 values, the oldest go.
const ROWS: usize = 9;

/// An adaptive window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Adwin {
    /// Oldest first
    buckets: Vec<Bucket>,
    /// Buckets of 2^i values in row i; those of the last row are the oldest
    rows: [u8; ROWS],
    #[serde(deserialize_with = "crate::stage::count")]
    width: u64,
    total: f64,
    /// Squared deviations of the whole window
    squares: f64,
    #[serde(deserialize_with = "crate::stage::count")]
    ticks: u64,
    changed: bool,
}

/// Some values: their sum and squared deviations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Bucket {
    sum: f64,
    squares: f64,
}

impl Adwin {
    /// Takes a value: did the window lose its older part? It looks every `clock` values, and begins
    /// anew with the value after a change.
    pub fn add(&mut self, x: f64, delta: f64, clock: u64) -> bool {
        if self.changed {
            *self = Adwin::default();
        }
        self.insert(x);
        self.ticks += 1;
        if self.ticks.is_multiple_of(clock.max(1)) && self.width > GRACE {
            while self.cut(delta) {
                self.changed = true;
            }
        }
        self.changed
    }

    /// Mean of the window.
    pub fn mean(&self) -> f64 {
        self.total / self.width.max(1) as f64
    }

    /// Memory in bytes that it owns.
    pub fn bytes(&self) -> usize {
        tight::bytes(&self.buckets)
    }

    /// Could values have made it? Its rows hold the window, and no more of each than is kept.
    pub fn fits(&self) -> bool {
        let buckets: usize = self.rows.iter().map(|n| usize::from(*n)).sum();
        self.buckets.len() == buckets
            && self.rows.iter().all(|n| usize::from(*n) <= BUCKETS)
            && self.rows.iter().enumerate().map(|(at, n)| u64::from(*n) << at).sum::<u64>() == self.width
    }

    fn insert(&mut self, x: f64) {
        if self.width > 0 {
            let before = self.width as f64;
            let off = x - self.total / before;
            self.squares += before * off * off / (before + 1.0);
        }
        self.width += 1;
        self.total += x;
        tight::push(&mut self.buckets, Bucket { sum: x, squares: 0.0 });
        self.rows[0] += 1;
        let mut end = self.buckets.len();
        for at in 0..ROWS {
            let row = usize::from(self.rows[at]);
            if row <= BUCKETS {
                break;
            }
            let start = end - row;
            if at + 1 == ROWS {
                self.drop_oldest();
                break;
            }
            self.merge(at, start);
            end = start + 1;
        }
    }

    /// The two oldest buckets of a row become one of the next.
    fn merge(&mut self, at: usize, start: usize) {
        let (a, b) = (self.buckets[start], self.buckets.remove(start + 1));
        let n = (1_u64 << at) as f64;
        let off = a.sum / n - b.sum / n;
        self.buckets[start] = Bucket { sum: a.sum + b.sum, squares: a.squares + b.squares + n * off * off / 2.0 };
        self.rows[at] -= 2;
        self.rows[at + 1] += 1;
    }

    /// Drops the oldest bucket if some older part differs from the rest.
    fn cut(&mut self, delta: f64) -> bool {
        let (mut n0, mut n1) = (0.0, self.width as f64);
        let (mut sum0, mut sum1) = (0.0, self.total);
        let rows = self.rows.iter().enumerate().rev().flat_map(|(at, n)| std::iter::repeat_n(at, usize::from(*n)));
        for (at, Bucket { sum, .. }) in rows.zip(&self.buckets) {
            let n = (1_u64 << at) as f64;
            (n0, n1) = (n0 + n, n1 - n);
            (sum0, sum1) = (sum0 + sum, sum1 - sum);
            if n1 < 1.0 {
                break;
            }
            if n0 >= MIN_PART && n1 >= MIN_PART && self.differ(n0, n1, sum0 / n0 - sum1 / n1, delta) {
                self.drop_oldest();
                return true;
            }
        }
        false
    }

    fn differ(&self, n0: f64, n1: f64, distance: f64, delta: f64) -> bool {
        let width = self.width as f64;
        let confidence = (2.0 * width.ln() / delta).ln();
        let part = 1.0 / (n0 - MIN_PART + 1.0) + 1.0 / (n1 - MIN_PART + 1.0);
        let variance = (self.squares / width).max(0.0);
        distance.abs() > (2.0 * part * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * part
    }

    fn drop_oldest(&mut self) {
        let Some(at) = self.rows.iter().rposition(|n| *n > 0) else { return };
        let Bucket { sum, squares } = self.buckets.remove(0);
        self.rows[at] -= 1;
        let n = (1_u64 << at) as f64;
        self.width = self.width.saturating_sub(1 << at);
        self.total -= sum;
        let rest = self.width as f64;
        if rest > 0.0 {
            let off = sum / n - self.total / rest;
            self.squares -= squares + n * rest * off * off / (n + rest);
        }
    }
}

/// Largest distance between two distributions and its two-sided asymptotic p-value; `None` for an
/// empty sample. Values must be finite.
pub(super) fn ks(a: &mut [f64], b: &mut [f64]) -> Option<(f64, f64)> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    a.sort_unstable_by(f64::total_cmp);
    b.sort_unstable_by(f64::total_cmp);
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let x = a[i].min(b[j]);
        i += a[i..].iter().take_while(|y| **y <= x).count();
        j += b[j..].iter().take_while(|y| **y <= x).count();
        distance = distance.max((i as f64 / n - j as f64 / m).abs());
    }
    // scipy's `kstwo.sf` at the rounded effective number.
    let effective = (n * m / (n + m)).round().max(1.0);
    Some((distance, kolmogorov_tail(distance, effective)))
}

/// P(D ≥ d) for n values, by the limit with Stephens' correction for small n (Stephens 1970).
fn kolmogorov_tail(d: f64, n: f64) -> f64 {
    let root = n.sqrt();
    let x = d * (root + 0.12 + 0.11 / root);
    let mut sum = 0.0;
    for k in 1..=100 {
        let k = f64::from(k);
        let term = (-2.0 * k * k * x * x).exp();
        sum += if k as u64 % 2 == 1 { term } else { -term };
        if term < 1e-16 {
            break;
        }
    }
    if x < 0.2 { 1.0 } else { (2.0 * sum).clamp(0.0, 1.0) }
}

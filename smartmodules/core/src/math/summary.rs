//! Count, sum, least, greatest, mean and spread of values, in their unit (variance: its square).
//!
//! The sum is compensated (Neumaier 1974): its error does not grow with the count. The squared
//! deviations are updated and merged as in Chan, Golub and LeVeque 1983; nothing cancels when the
//! mean is large against the spread. Cost: one division per value, 48 bytes. Sums beyond 1.8e308
//! are answered as `None`.

use serde::{Deserialize, Serialize};

/// Count, sum, extremes and squared deviations.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    count: u64,
    sum: f64,
    /// What rounding took from `sum`
    carry: f64,
    min: f64,
    max: f64,
    /// Sum of squared deviations from the mean
    squares: f64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary { count: 0, sum: 0.0, carry: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, squares: 0.0 }
    }
}

impl Summary {
    /// Takes a value. NaN and infinities are ignored.
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            return;
        }
        let x = x + 0.0; // -0.0 is 0.0
        if self.count > 0 {
            let n = self.count as f64;
            let off = x - (self.sum + self.carry) / n;
            self.squares += off * off * (n / (n + 1.0));
        }
        self.count = self.count.saturating_add(1);
        self.plus(x);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Summary) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let off = (other.sum + other.carry) / m - (self.sum + self.carry) / n;
        self.squares += other.squares + off * off * (n * m / (n + m));
        self.count = self.count.saturating_add(other.count);
        self.plus(other.sum);
        self.carry += other.carry;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum; 0 without values.
    pub fn sum(&self) -> Option<f64> {
        finite(self.sum + self.carry)
    }

    /// The least value.
    pub fn min(&self) -> Option<f64> {
        finite(self.min)
    }

    /// The greatest value.
    pub fn max(&self) -> Option<f64> {
        finite(self.max)
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> Option<f64> {
        finite((self.sum + self.carry) / self.count as f64)
    }

    /// The sample variance (divided by count − 1); needs two values.
    pub fn variance(&self) -> Option<f64> {
        match self.count {
            0 | 1 => None,
            n => finite(self.squares / (n - 1) as f64),
        }
    }

    /// The sample standard deviation; needs two values.
    pub fn stddev(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    fn plus(&mut self, x: f64) {
        let sum = self.sum + x;
        self.carry += if self.sum.abs() >= x.abs() { (self.sum - sum) + x } else { (x - sum) + self.sum };
        self.sum = sum;
    }
}

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

#[cfg(test)]
mod tests {
    use super::Summary;
    use crate::math::random::SplitMix64;

    fn of(values: &[f64]) -> Summary {
        let mut summary = Summary::default();
        values.iter().for_each(|&x| summary.add(x));
        summary
    }

    fn near(a: Option<f64>, b: f64) {
        let a = a.expect("a number");
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{a} {b}");
    }

    #[test]
    fn known_figures() {
        let summary = of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert_eq!((summary.count(), summary.sum(), summary.mean()), (8, Some(40.0), Some(5.0)));
        assert_eq!((summary.min(), summary.max()), (Some(2.0), Some(9.0)));
        near(summary.variance(), 32.0 / 7.0);
        near(summary.stddev(), (32.0f64 / 7.0).sqrt());
    }

    #[test]
    fn empty_one_and_not_finite() {
        let empty = of(&[f64::NAN, f64::INFINITY]);
        assert_eq!(
            (empty.count(), empty.sum(), empty.mean(), empty.min(), empty.max()),
            (0, Some(0.0), None, None, None)
        );
        let one = of(&[3.5]);
        assert_eq!((one.mean(), one.variance(), one.stddev()), (Some(3.5), None, None));
        assert_eq!(of(&[0.1, 0.1, 0.1]).stddev(), Some(0.0));
        let huge = of(&[1e308, 1e308]);
        assert_eq!((huge.sum(), huge.mean(), huge.max()), (None, None, Some(1e308)));
    }

    #[test]
    fn nothing_cancels() {
        near(of(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]).variance(), 30.0);
        assert_eq!(of(&[1e16, 1.0, -1e16, 1.0]).sum(), Some(2.0));
        let tenths = of(&[0.1; 1_000_000]);
        near(tenths.sum(), 100_000.0);
    }

    #[test]
    fn merged_slices_equal_the_whole() {
        let mut random = SplitMix64::new(3);
        let values: Vec<f64> = (0..5000).map(|_| random.unit() * 1e4 - 2e3).collect();
        let whole = of(&values);
        for slice in [1, 13, 4000, 6000] {
            let mut merged = Summary::default();
            merged.merge(&Summary::default());
            values.chunks(slice).for_each(|chunk| merged.merge(&of(chunk)));
            merged.merge(&Summary::default());
            assert_eq!((merged.count(), merged.min(), merged.max()), (whole.count(), whole.min(), whole.max()));
            near(merged.sum(), whole.sum().expect("finite"));
            near(merged.variance(), whole.variance().expect("finite"));
        }
    }
}

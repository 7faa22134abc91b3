//! Quantiles out of histograms. They are estimates: a histogram says how many values lie between two
//! bounds, not where.
//!
//! Explicit bounds: straight interpolation inside the bucket that holds the rank, as Prometheus'
//! `histogram_quantile` does for classic histograms. Buckets end at the point's `min` and `max` where
//! it says them; else the open ones end at 0 (if all bounds are positive) and at the last bound.
//! Exponential buckets: geometric interpolation, as Prometheus does for native histograms. The
//! result is in the unit of the metric; its error is at most the width of a bucket.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

/// Names of the fields, and their quantiles.
pub(super) const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// A range of values and how many lie in it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    from: f64,
    to: f64,
    count: u64,
    geometric: bool,
}

/// Buckets in ascending order.
#[derive(Debug, PartialEq)]
pub(super) struct Distribution {
    buckets: Vec<Bucket>,
    total: u64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Distribution {
    /// Of a histogram with explicit bounds; None where its bounds and counts do not fit together.
    pub(super) fn explicit(point: &HistogramDataPoint) -> Option<Distribution> {
        let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
        let ascending = bounds.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if counts.len() != bounds.len() + 1 || !ascending || bounds.iter().any(|bound| !bound.is_finite()) {
            return None;
        }
        let (min, max) = (finite(point.min), finite(point.max));
        let first = bounds.first().copied();
        let least = min.unwrap_or_else(|| first.map_or(0.0, |bound| bound.min(0.0)));
        let most = max.or(bounds.last().copied()).unwrap_or(least);
        let mut from = first.map_or(least, |bound| least.min(bound));
        let mut buckets = Vec::with_capacity(counts.len());
        for (n, count) in counts.iter().enumerate() {
            let to = bounds.get(n).copied().unwrap_or_else(|| most.max(from));
            buckets.push(Bucket { from, to, count: *count, geometric: false });
            from = to;
        }
        Some(Distribution::new(buckets, min, max))
    }

    /// Of an exponential histogram. Bucket i of scale s holds (b^i, b^(i+1)] with b = 2^(2^-s).
    pub(super) fn exponential(point: &ExponentialHistogramDataPoint) -> Distribution {
        let mut buckets = Vec::new();
        if let Some(negative) = &point.negative {
            let found = side(negative, point.scale).map(|b| Bucket { from: -b.to, to: -b.from, ..b });
            buckets.extend(found);
            buckets.reverse();
        }
        let zero = finite(Some(point.zero_threshold)).unwrap_or_default().max(0.0);
        let from = if point.negative.as_ref().is_some_and(|n| !n.bucket_counts.is_empty()) { -zero } else { 0.0 };
        buckets.push(Bucket { from, to: zero, count: point.zero_count, geometric: false });
        if let Some(positive) = &point.positive {
            buckets.extend(side(positive, point.scale));
        }
        Distribution::new(buckets, finite(point.min), finite(point.max))
    }

    fn new(buckets: Vec<Bucket>, min: Option<f64>, max: Option<f64>) -> Distribution {
        let total = buckets.iter().fold(0_u64, |sum, bucket| sum.saturating_add(bucket.count));
        let mut distribution = Distribution { buckets, total, min, max };
        let mut buckets = std::mem::take(&mut distribution.buckets);
        // All values lie between min and max, so no bucket need reach further: it matters where many lie in one.
        for bucket in &mut buckets {
            (bucket.from, bucket.to) = (distribution.clamp(bucket.from), distribution.clamp(bucket.to));
        }
        Distribution { buckets, ..distribution }
    }

    /// The value that the share `quantile` (0–1) of all does not exceed; None of an empty one.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let rank = quantile * self.total as f64;
        let mut below = 0.0;
        let mut last = None;
        for bucket in self.buckets.iter().filter(|bucket| bucket.count > 0) {
            let count = bucket.count as f64;
            if below + count >= rank {
                return Some(self.clamp(bucket.at((rank - below) / count)));
            }
            below += count;
            last = Some(bucket.to);
        }
        // Sums of large counts round; the rank then lies behind all of them.
        last.map(|value| self.clamp(value))
    }

    fn clamp(&self, value: f64) -> f64 {
        let value = self.min.map_or(value, |min| value.max(min));
        self.max.map_or(value, |max| value.min(max))
    }
}

impl Bucket {
    fn at(&self, fraction: f64) -> f64 {
        let fraction = fraction.clamp(0.0, 1.0);
        // Of one sign and not zero, or there is no logarithm.
        if self.geometric && self.from * self.to > 0.0 {
            let ratio = self.to / self.from;
            return if ratio.is_finite() { self.from * ratio.powf(fraction) } else { self.to };
        }
        self.from + (self.to - self.from) * fraction
    }
}

/// The buckets of one side that hold something, from 0 outwards.
fn side(buckets: &Buckets, scale: i32) -> impl Iterator<Item = Bucket> + '_ {
    let log2_base = 2_f64.powi(scale.saturating_neg());
    let bound = move |index: i64| {
        let bound = (index as f64 * log2_base).exp2();
        bound.clamp(f64::MIN_POSITIVE, f64::MAX)
    };
    buckets.bucket_counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(n, count)| {
        let index = i64::from(buckets.offset) + n as i64;
        Bucket { from: bound(index), to: bound(index + 1), count: *count, geometric: true }
    })
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explicit(bounds: &[f64], counts: &[u64], min: Option<f64>, max: Option<f64>) -> Option<Distribution> {
        Distribution::explicit(&HistogramDataPoint {
            explicit_bounds: bounds.to_vec(),
            bucket_counts: counts.to_vec(),
            min,
            max,
            ..Default::default()
        })
    }

    #[test]
    fn as_histogram_quantile_of_prometheus() {
        // Buckets (0, 10], (10, 20], (20, ∞) with 2, 2 and 1.
        let open = explicit(&[10.0, 20.0], &[2, 2, 1], None, None).unwrap();
        assert_eq!([0.2, 0.4, 0.5, 0.8, 0.99].map(|q| open.quantile(q).unwrap()), [5.0, 10.0, 12.5, 20.0, 20.0]);
        let closed = explicit(&[10.0, 20.0], &[2, 2, 1], Some(4.0), Some(30.0)).unwrap();
        assert_eq!([0.2, 0.9].map(|q| closed.quantile(q).unwrap()), [7.0, 25.0]);
        let narrow = explicit(&[5.0], &[20, 0], Some(0.0), Some(0.2)).unwrap();
        assert_eq!(narrow.quantile(0.5), Some(0.1));
        let negative = explicit(&[-10.0], &[4, 0], None, None).unwrap();
        assert_eq!(negative.quantile(0.5), Some(-10.0));
        let one = explicit(&[], &[4], Some(1.0), Some(3.0)).unwrap();
        assert_eq!(one.quantile(0.5), Some(2.0));
        assert_eq!(explicit(&[10.0], &[0, 0], None, None).unwrap().quantile(0.5), None);
        for (bounds, counts) in [(&[10.0][..], &[1][..]), (&[2.0, 1.0], &[1, 1, 1]), (&[f64::NAN], &[1, 1])] {
            assert_eq!(explicit(bounds, counts, None, None), None);
        }
    }

    #[test]
    fn exponential_buckets() {
        // Scale 0: base 2, offset 1: (2, 4] and (4, 8].
        let point = ExponentialHistogramDataPoint {
            scale: 0,
            zero_count: 2,
            positive: Some(Buckets { offset: 1, bucket_counts: vec![4, 4] }),
            ..Default::default()
        };
        let found = Distribution::exponential(&point);
        let near = |q: f64, want: f64| assert!((found.quantile(q).unwrap() - want).abs() < 1e-9, "{q}");
        near(0.1, 0.0);
        near(0.4, 2.0 * 2_f64.sqrt());
        near(0.6, 4.0);
        near(1.0, 8.0);
        let point =
            ExponentialHistogramDataPoint { negative: Some(Buckets { offset: 1, bucket_counts: vec![4, 4] }), ..point };
        let found = Distribution::exponential(&point);
        // Eight of eighteen are negative, the lowest (−8, −4].
        assert!(found.quantile(0.1).unwrap() < -4.0 && found.quantile(0.4).unwrap() > -4.0);
        let extreme = ExponentialHistogramDataPoint {
            scale: i32::MIN,
            positive: Some(Buckets { offset: i32::MAX, bucket_counts: vec![u64::MAX, u64::MAX] }),
            ..Default::default()
        };
        assert!(Distribution::exponential(&extreme).quantile(0.5).unwrap().is_finite());
    }
}

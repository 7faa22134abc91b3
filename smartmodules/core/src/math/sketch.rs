//! Quantiles of many values in little memory: a sparse log-linear histogram.
//!
//! Each power of two is cut into 1,024 equal buckets: a value's bucket is the exponent and the ten
//! top mantissa bits of its f64 form (the layout of HdrHistogram, Tene 2012, without its fixed
//! range or unit). A bucket answers with its midpoint, which is at most 2^-11 = 0.049 % off any
//! value in it. Negative values are mirrored; everything nearer to 0 than 1e-300 is one bucket.
//!
//! A quantile is interpolated between the buckets of its two neighbouring order statistics, so for
//! these, a ≤ b, the answer lies in a − 0.05 %·|a| … b + 0.05 %·|b|. The least and greatest value
//! are kept exactly and no answer lies outside them. The answer depends on the values alone, not
//! on their order nor on how they were merged.
//!
//! Memory: 8 bytes per occupied bucket and up to 1 kB of inserts that wait. Cost: an insert waits
//! in a buffer, then is sorted in with the others, about 40 ns each; a quantile is O(buckets).

use super::percentile::Ranks;
use serde::{Deserialize, Serialize};

/// Values nearer to zero than this are counted as zero.
pub const TINY: f64 = 1e-300;

/// Inserts that may wait, whatever the number of buckets
const PENDING_MIN: usize = 256;

/// A sparse log-linear histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sketch {
    count: u64,
    min: f64,
    max: f64,
    /// Bucket and count, ascending. A bucket that overflows u32 stands there again.
    buckets: Vec<(i32, u32)>,
    /// Buckets of the inserts that wait, in order of arrival
    pending: Vec<i32>,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, buckets: Vec::new(), pending: Vec::new() }
    }
}

impl Sketch {
    /// Counts a value. NaN and infinities are ignored.
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            return;
        }
        let x = x + 0.0; // -0.0 is 0.0
        self.count = self.count.saturating_add(1);
        self.min = self.min.min(x);
        self.max = self.max.max(x);
        if self.pending.len() >= self.pending_limit() {
            self.flush();
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(PENDING_MIN);
        }
        self.pending.push(bucket_of(x));
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Sketch) {
        self.count = self.count.saturating_add(other.count);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.absorb(other.buckets.iter().copied());
        for &bucket in &other.pending {
            if self.pending.len() >= self.pending_limit() {
                self.flush();
            }
            self.pending.push(bucket);
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// No value yet?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The least value, exactly.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value, exactly.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The quantile `q` (0–1); `None` without values. For several at once, or of several sketches,
    /// use [`super::quantiles`].
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let mut whole = self.clone();
        whole.flush();
        let mut ranks = Ranks::default();
        ranks.prepare(self.count, &[q]);
        let mut walk = Walk::new(&mut ranks, self.count, self.min, self.max);
        for &(bucket, count) in &whole.buckets {
            walk.step(bucket, u64::from(count));
        }
        walk.finish();
        let mut out = Vec::with_capacity(1);
        ranks.answer(&[q], &mut out);
        out.first().copied()
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        size_of::<Sketch>() + 8 * self.buckets.len() + 4 * self.pending.len().max(PENDING_MIN)
    }

    /// Sorted buckets and their counts, without what waits.
    pub(crate) fn buckets(&self) -> &[(i32, u32)] {
        &self.buckets
    }

    /// Buckets of the inserts that wait.
    pub(crate) fn pending(&self) -> &[i32] {
        &self.pending
    }

    /// More may wait where there are more buckets to walk: the walk costs 8 steps per insert.
    fn pending_limit(&self) -> usize {
        PENDING_MIN.max(self.buckets.len() / 8)
    }

    /// Sorts in what waits.
    fn flush(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.sort_unstable();
        self.absorb(pending.iter().map(|&bucket| (bucket, 1)));
        pending.clear();
        self.pending = pending;
    }

    /// Adds counts that come in ascending order of bucket.
    fn absorb(&mut self, counts: impl Iterator<Item = (i32, u32)>) {
        let mut fresh: Vec<(i32, u32)> = Vec::new();
        let mut at = 0;
        for (bucket, count) in counts {
            // The last entry of a bucket is the one with room.
            while self.buckets.get(at + 1).is_some_and(|next| next.0 <= bucket) {
                at += 1;
            }
            if !add_to(self.buckets.get_mut(at), bucket, count) && !add_to(fresh.last_mut(), bucket, count) {
                fresh.push((bucket, count));
            }
        }
        if !fresh.is_empty() {
            self.buckets.reserve_exact(fresh.len());
            self.buckets.append(&mut fresh);
            // Two sorted runs: a stable sort merges them in linear time.
            self.buckets.sort_by_key(|entry| entry.0);
        }
    }
}

/// Adds to the entry if it is the bucket's and has room.
fn add_to(entry: Option<&mut (i32, u32)>, bucket: i32, count: u32) -> bool {
    if let Some(entry) = entry
        && entry.0 == bucket
        && let Some(sum) = entry.1.checked_add(count)
    {
        entry.1 = sum;
        return true;
    }
    false
}

/// The bucket of a finite value; monotone in it.
pub(crate) fn bucket_of(x: f64) -> i32 {
    let size = x.abs();
    if size < TINY {
        return 0;
    }
    let bucket = (size.to_bits() >> 42) as i32;
    if x < 0.0 { -bucket } else { bucket }
}

/// The midpoint of a bucket.
pub(crate) fn midpoint(bucket: i32) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let size = f64::from_bits(u64::from(bucket.unsigned_abs()) << 42 | 1 << 41);
    if bucket < 0 { -size } else { size }
}

/// Finds wanted order statistics while buckets come by in ascending order.
pub(crate) struct Walk<'a> {
    ranks: &'a mut Ranks,
    count: u64,
    min: f64,
    max: f64,
    /// Values in the buckets so far
    seen: u64,
    /// The next wanted rank
    next: usize,
}

impl<'a> Walk<'a> {
    /// A walk over the buckets of `count` values between `min` and `max`.
    pub fn new(ranks: &'a mut Ranks, count: u64, min: f64, max: f64) -> Walk<'a> {
        Walk { ranks, count, min, max, seen: 0, next: 0 }
    }

    /// How many of the values that come next lie before the next wanted one; `None`: all found.
    pub fn ahead(&self) -> Option<u64> {
        self.ranks.wanted.get(self.next).map(|&(rank, _)| rank.saturating_sub(self.seen))
    }

    /// Passes over buckets that hold no wanted rank.
    pub fn skip(&mut self, count: u64) {
        self.seen = self.seen.saturating_add(count);
    }

    /// Passes a bucket.
    pub fn step(&mut self, bucket: i32, count: u64) {
        self.seen = self.seen.saturating_add(count);
        while let Some((rank, value)) = self.ranks.wanted.get_mut(self.next)
            && *rank < self.seen
        {
            *value = match *rank {
                0 => self.min,
                last if last + 1 == self.count => self.max,
                _ => midpoint(bucket).max(self.min).min(self.max),
            };
            self.next += 1;
        }
    }

    /// Ranks that no bucket held (a damaged snapshot) get the greatest value.
    pub fn finish(self) {
        for (_, value) in self.ranks.wanted.iter_mut().skip(self.next) {
            *value = self.max;
        }
    }
}

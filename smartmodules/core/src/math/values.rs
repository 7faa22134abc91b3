//! The values of one group in one slice of a window, and quantiles over several slices.
//!
//! Up to [`RAW_MAX`] values are kept as they are, more as a [`Sketch`]. Quantiles over slices are
//! exact when these hold at most [`RAW_MAX`] values together, else the sketch's answer (see there:
//! within 0.1 % of the neighbouring order statistics). Either way the answer depends on the values
//! alone, not on how they were cut into slices.
//!
//! Memory: 24 bytes for up to two values, 8 to 12 bytes per value up to 512, then the sketch's.

use super::percentile::{Ranks, exact_with};
use super::sketch::{Sketch, Walk, bucket_of};
use serde::{Deserialize, Serialize};

/// Up to this many values quantiles are exact.
pub const RAW_MAX: usize = 512;

/// Widest range of buckets that is merged in a dense array: 64 powers of two, 256 kB.
const DENSE_MAX: usize = 1 << 16;

/// Buckets that share one coarse counter
const COARSE: usize = 64;

/// Values for quantiles.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Values(Kept);

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
enum Kept {
    #[default]
    None,
    One(f64),
    Two([f64; 2]),
    Raw(Vec<f64>),
    Sketch(Box<Sketch>),
}

impl Values {
    /// Takes a value. NaN and infinities are ignored.
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            return;
        }
        let x = x + 0.0; // -0.0 is 0.0
        match &mut self.0 {
            Kept::None => self.0 = Kept::One(x),
            Kept::One(a) => self.0 = Kept::Two([*a, x]),
            Kept::Two([a, b]) => {
                let mut raw = Vec::with_capacity(4);
                raw.extend([*a, *b, x]);
                self.0 = Kept::Raw(raw);
            }
            Kept::Raw(raw) if raw.len() < RAW_MAX => {
                if raw.len() == raw.capacity() {
                    raw.reserve_exact(grown(raw.len()) - raw.len());
                }
                raw.push(x);
            }
            Kept::Raw(raw) => {
                let mut sketch = Sketch::default();
                raw.iter().for_each(|&x| sketch.add(x));
                sketch.add(x);
                self.0 = Kept::Sketch(Box::new(sketch));
            }
            Kept::Sketch(sketch) => sketch.add(x),
        }
    }

    /// Adds all values of `other`.
    pub fn merge_from(&mut self, other: &Values) {
        match (&mut self.0, &other.0) {
            (Kept::Sketch(ours), Kept::Sketch(theirs)) => ours.merge(theirs),
            (_, Kept::Sketch(theirs)) => {
                let mut sketch = theirs.clone();
                self.raw().iter().for_each(|&x| sketch.add(x));
                self.0 = Kept::Sketch(sketch);
            }
            _ => other.raw().iter().for_each(|&x| self.add(x)),
        }
    }

    /// How many values there are.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Kept::Sketch(sketch) => sketch.count(),
            _ => self.raw().len() as u64,
        }
    }

    /// No value yet?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        size_of::<Values>()
            + match &self.0 {
                Kept::None | Kept::One(_) | Kept::Two(_) => 0,
                // Not the capacity: it may differ after a restore, and what is evicted must not.
                Kept::Raw(raw) => 8 * grown(raw.len()),
                Kept::Sketch(sketch) => sketch.bytes(),
            }
    }

    /// The values as they are; empty for a sketch.
    fn raw(&self) -> &[f64] {
        match &self.0 {
            Kept::None | Kept::Sketch(_) => &[],
            Kept::One(x) => std::slice::from_ref(x),
            Kept::Two(two) => two,
            Kept::Raw(raw) => raw,
        }
    }
}

/// Capacity for more than `len` values: half as much again.
fn grown(len: usize) -> usize {
    (len + (len / 2).max(2)).min(RAW_MAX)
}

/// Quantiles of some values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Quantiles {
    /// In the order asked for; empty if there are no values
    pub values: Vec<f64>,
    /// From a sketch: within 0.1 % of the neighbouring order statistics
    pub approximate: bool,
}

/// Memory that calls of [`quantiles`] share; holds nothing between them.
#[derive(Debug, Default)]
pub struct Scratch {
    ranks: Ranks,
    raw: Vec<f64>,
    dense: Vec<u32>,
    coarse: Vec<u32>,
    sparse: Vec<(i32, u32)>,
}

/// The quantiles `qs` (0–1) of all values of `parts`.
///
/// Cost (native): about 1 µs per 150 values while exact; above it 4 ns per value that is kept raw and
/// 1 to 2 ns per bucket of a sketch.
pub fn quantiles(parts: &[&Values], qs: &[f64], scratch: &mut Scratch) -> Quantiles {
    let count = parts.iter().fold(0u64, |n, part| n.saturating_add(part.len()));
    let mut values = Vec::with_capacity(qs.len());
    let approximate = count > RAW_MAX as u64;
    if approximate {
        merge(parts, count, qs, scratch);
        scratch.ranks.answer(qs, &mut values);
    } else {
        scratch.raw.clear();
        parts.iter().for_each(|part| scratch.raw.extend_from_slice(part.raw()));
        exact_with(&mut scratch.ranks, &mut scratch.raw, qs, &mut values);
    }
    Quantiles { values, approximate }
}

/// Finds the wanted order statistics by buckets.
fn merge(parts: &[&Values], count: u64, qs: &[f64], scratch: &mut Scratch) {
    let (min, max) = extremes(parts);
    let base = bucket_of(min);
    let range = (i64::from(bucket_of(max)) - i64::from(base) + 1).max(0) as usize;
    scratch.ranks.prepare(count, qs);
    let mut walk = Walk::new(&mut scratch.ranks, count, min, max);
    if range <= DENSE_MAX && count <= u64::from(u32::MAX) {
        fill_dense(parts, base, range, &mut scratch.dense, &mut scratch.coarse);
        walk_dense(&mut walk, base, &scratch.dense, &scratch.coarse);
    } else {
        fill_sparse(parts, &mut scratch.sparse);
        scratch.sparse.iter().for_each(|&(bucket, count)| walk.step(bucket, u64::from(count)));
    }
    walk.finish();
}

/// The least and greatest value of all parts.
fn extremes(parts: &[&Values]) -> (f64, f64) {
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for part in parts {
        if let Kept::Sketch(sketch) = &part.0 {
            min = sketch.min().map_or(min, |x| x.min(min));
            max = sketch.max().map_or(max, |x| x.max(max));
        }
        for &x in part.raw() {
            min = if x < min { x } else { min };
            max = if x > max { x } else { max };
        }
    }
    (min, max)
}

/// Counts per bucket, from `base` on, and per [`COARSE`] buckets.
fn fill_dense(parts: &[&Values], base: i32, range: usize, dense: &mut Vec<u32>, coarse: &mut Vec<u32>) {
    let cells = range.div_ceil(COARSE);
    dense.clear();
    dense.resize(cells * COARSE, 0);
    coarse.clear();
    coarse.resize(cells, 0);
    let mut count = |bucket: i32, n: u32| {
        let at = bucket.wrapping_sub(base) as usize;
        if let (Some(cell), Some(sum)) = (dense.get_mut(at), coarse.get_mut(at / COARSE)) {
            *cell = cell.wrapping_add(n);
            *sum = sum.wrapping_add(n);
        }
    };
    for part in parts {
        if let Kept::Sketch(sketch) = &part.0 {
            sketch.buckets().iter().for_each(|&(bucket, n)| count(bucket, n));
            sketch.pending().iter().for_each(|&bucket| count(bucket, 1));
        }
        part.raw().iter().for_each(|&x| count(bucket_of(x), 1));
    }
}

/// Walks only the coarse cells that hold a wanted rank.
fn walk_dense(walk: &mut Walk<'_>, base: i32, dense: &[u32], coarse: &[u32]) {
    for (at, (cell, &sum)) in dense.chunks_exact(COARSE).zip(coarse).enumerate() {
        match walk.ahead() {
            None => return,
            Some(ahead) if ahead >= u64::from(sum) => walk.skip(u64::from(sum)),
            Some(_) => {
                for (within, &count) in cell.iter().enumerate() {
                    walk.step(base.wrapping_add((at * COARSE + within) as i32), u64::from(count));
                }
            }
        }
    }
}

/// All buckets of the parts, sorted. Sketches are sorted already: a stable sort merges such runs.
fn fill_sparse(parts: &[&Values], sparse: &mut Vec<(i32, u32)>) {
    sparse.clear();
    for part in parts {
        if let Kept::Sketch(sketch) = &part.0 {
            sparse.extend_from_slice(sketch.buckets());
            sparse.extend(sketch.pending().iter().map(|&bucket| (bucket, 1)));
        }
        sparse.extend(part.raw().iter().map(|&x| (bucket_of(x), 1)));
    }
    sparse.sort_by_key(|entry| entry.0);
}

//! Counters that only grow: what each has grown by, and how fast.
//!
//! A counter is told from others of its group by the fields in `series`. It may start anew: a value below
//! the one before it counts from 0, as in `increase` and `rate` of Prometheus, whose guess of what lies
//! beyond the first and the last sample is left out. Per slice a counter is its first sample, its last and
//! the increase between, so that slices follow each other without their samples. A sample older than the
//! last one, and no older than the first, is left out: what it says is in the two already, unless the
//! counter has started anew between them.
//!
//! Cost: a look-up per event. Bounds: [`SERIES_MAX`] counters per slice; samples of further ones are left out.

use crate::row::{Row, Slot};
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counters that a slice keeps.
const SERIES_MAX: usize = 1024;
/// A longer key is replaced by its hash.
const KEY_MAX: usize = 64;
/// Estimated memory of a counter beside its key.
const COUNTER_BYTES: u64 = 96;

/// The counters of a slice or session.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Counters {
    series: BTreeMap<Box<[u8]>, Counter>,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Counter {
    first: Sample,
    last: Sample,
    /// From the first to the last
    increase: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    /// Event time, microseconds
    time: i64,
    value: f64,
}

/// What all counters of a window say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// Sum of the counters' increases per second
    pub per_second: f64,
    /// Counters with two samples or more
    pub series: u64,
}

impl Counters {
    /// Takes a sample. Returns by how many bytes it grew.
    pub fn add(&mut self, value: f64, series: &[Slot], row: &Row<'_>, time: i64, room: bool) -> u64 {
        let sample = Sample { time, value };
        let key = key(series, row);
        if let Some(counter) = self.series.get_mut(&*key) {
            counter.take(sample);
            return 0;
        }
        if !room || self.series.len() >= SERIES_MAX {
            return 0;
        }
        let bytes = COUNTER_BYTES + key.len() as u64;
        self.series.insert(key.into(), Counter { first: sample, last: sample, increase: 0.0 });
        bytes
    }

    /// Adds what another session holds.
    pub fn merge(&mut self, other: Counters) {
        for (key, counter) in other.series {
            let room = self.series.len() < SERIES_MAX;
            if let Some(own) = self.series.get_mut(&key) {
                *own = own.and(counter);
            } else if room {
                self.series.insert(key, counter);
            }
        }
    }

    pub fn bytes(&self) -> u64 {
        self.series.keys().map(|key| COUNTER_BYTES + key.len() as u64).sum()
    }
}

/// The growth over slices in order of time; `None` if no counter has two samples.
pub(super) fn growth<'a>(slices: impl Iterator<Item = &'a Counters>) -> Option<Growth> {
    let mut all: BTreeMap<&[u8], Counter> = BTreeMap::new();
    for (key, counter) in slices.flat_map(|slice| &slice.series) {
        all.entry(key).and_modify(|known| *known = known.and(*counter)).or_insert(*counter);
    }
    let mut found = Growth { per_second: 0.0, series: 0 };
    for counter in all.values() {
        let seconds = counter.last.time.saturating_sub(counter.first.time) as f64 / 1e6;
        if seconds > 0.0 {
            found.per_second += counter.increase / seconds;
            found.series += 1;
        }
    }
    (found.series > 0).then_some(found)
}

impl Counter {
    fn take(&mut self, sample: Sample) {
        if sample.time > self.last.time {
            self.increase += step(self.last, sample);
            self.last = sample;
        } else if sample.time < self.first.time {
            self.increase += step(sample, self.first);
            self.first = sample;
        }
    }

    /// Both, where one is over before the other begins; else the one that lasts longer.
    fn and(self, other: Counter) -> Counter {
        let (a, b) = if self.first.time <= other.first.time { (self, other) } else { (other, self) };
        if a.last.time < b.first.time {
            let increase = a.increase + step(a.last, b.first) + b.increase;
            return Counter { first: a.first, last: b.last, increase };
        }
        let length = |c: &Counter| c.last.time.saturating_sub(c.first.time);
        if length(&b) > length(&a) { b } else { a }
    }
}

/// What a counter has grown by from one sample to the next.
fn step(from: Sample, to: Sample) -> f64 {
    if to.value >= from.value { to.value - from.value } else { to.value }
}

fn key(series: &[Slot], row: &Row<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    for slot in series {
        row.get(*slot).write_key(&mut key);
    }
    if key.len() > KEY_MAX {
        key = crate::id::id(&[&key]).into();
    }
    key
}

/// A counter's value: a number that is not negative.
pub(super) fn count_of(value: Value<'_>) -> Option<f64> {
    value.as_f64().filter(|x| (0.0..f64::INFINITY).contains(x))
}

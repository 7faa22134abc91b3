//! Accumulators: what a slice or session keeps of its events for the functions.
//!
//! Each takes events one by one and is read when a window is emitted ([`super::fold`]). Cost per
//! event: one field read and a push or a few additions; lists compare with what they hold (≤ 1000).
//! Bounds: a list keeps its `limit` of values, a sample [`super::sample::ROWS`] rows, a CLS
//! [`SHIFTS_MAX`] shifts, a percentile see [`crate::math::values`]; the rest is constant.

use super::counters::{Counters, count_of};
use super::plan::{AccKind, AccSpec};
use super::sample::Sample;
use crate::math::random::SplitMix64;
use crate::math::{Moments, Summary, Values};
use crate::row::{Row, Slot};
use crate::value::{OwnedValue, Value};
use serde::{Deserialize, Serialize};

/// Shifts that a slice keeps; further ones are left out.
pub(super) const SHIFTS_MAX: usize = 4096;
/// Estimates of memory: a percentile's value up to where its sketch stops growing, a shift
const VALUE_BYTES: u64 = 12;
const VALUES_MAX: u64 = 4096;
const SHIFT_BYTES: u64 = 24;
/// A longer text or object is left out of lists and reads as null in samples.
pub(super) const ITEM_BYTES: usize = 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Acc {
    Count(u64),
    Values(Values),
    Summary(Box<Summary>),
    Trend(Box<Moments>),
    List(Box<List>),
    Sample(Box<Sample>),
    Shifts(Vec<Shift>),
    Counters(Box<Counters>),
}

/// Values by number of arrival.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct List {
    pub items: Vec<(u64, OwnedValue)>,
}

/// A layout shift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Shift {
    pub time_ms: f64,
    pub arrival: u64,
    pub value: f64,
}

/// What an accumulator may know of an event beside its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub time: i64,
    /// Number of the event in the stage
    pub number: u64,
    /// Origin of the slice's or session's regressions
    pub base: i64,
    /// May lists and samples grow?
    pub room: bool,
}

impl Acc {
    /// An empty one. `salt` sets reservoirs of different groups and slices apart.
    pub fn new(kind: &AccKind, salt: u64) -> Acc {
        match kind {
            AccKind::Count => Acc::Count(0),
            AccKind::Values(_) => Acc::Values(Values::default()),
            AccKind::Summary(_) => Acc::Summary(Box::default()),
            AccKind::Trend { .. } => Acc::Trend(Box::default()),
            AccKind::List { .. } => Acc::List(Box::default()),
            AccKind::Sample { seed, .. } => {
                let salt = SplitMix64::new(salt ^ seed.rotate_left(32)).next_u64();
                Acc::Sample(Box::new(Sample::new(salt)))
            }
            AccKind::Shifts { .. } => Acc::Shifts(Vec::new()),
            AccKind::Counters { .. } => Acc::Counters(Box::default()),
        }
    }

    /// Takes an event. Returns by how many bytes it grew, as [`Acc::bytes`] counts them.
    pub fn add(&mut self, spec: &AccSpec, row: &Row<'_>, at: &Arrival) -> u64 {
        let number = |slot: Slot| row.get(slot).as_f64();
        match (self, &spec.kind) {
            (Acc::Count(n), AccKind::Count) => *n += 1,
            (Acc::Values(values), AccKind::Values(slot)) => {
                if let Some(x) = number(*slot) {
                    values.add(x);
                    return if values.len() <= VALUES_MAX { VALUE_BYTES } else { 0 };
                }
            }
            (Acc::Summary(summary), AccKind::Summary(slot)) => {
                if let Some(x) = number(*slot) {
                    summary.add(x);
                }
            }
            (Acc::Trend(moments), AccKind::Trend { y, x }) => {
                let seconds = at.time.saturating_sub(at.base) as f64 / 1e6;
                let x = x.map_or(Some(seconds), number);
                if let (Some(x), Some(y)) = (x, number(*y)) {
                    moments.add(x, y);
                }
            }
            (Acc::List(list), AccKind::List { field, distinct, limit }) if at.room => {
                return list.add(row.get(*field), *distinct, *limit, at.number);
            }
            (Acc::Sample(sample), AccKind::Sample { features, .. }) => {
                return sample.add(features, row, at.room);
            }
            (Acc::Shifts(shifts), AccKind::Shifts { field, time }) if at.room && shifts.len() < SHIFTS_MAX => {
                let time_ms = time.map_or(Some(at.time as f64 / 1e3), number);
                if let (Some(time_ms), Some(value)) = (time_ms, number(*field)) {
                    shifts.push(Shift { time_ms, arrival: at.number, value });
                    return SHIFT_BYTES;
                }
            }
            (Acc::Counters(counters), AccKind::Counters { field, series }) => {
                if let Some(x) = count_of(row.get(*field)) {
                    return counters.add(x, series, row, at.time, at.room);
                }
            }
            _ => {}
        }
        0
    }

    /// Adds what another session holds; its regressions' origin is `shift_s` seconds after ours.
    pub fn merge(&mut self, other: Acc, spec: &AccSpec, shift_s: f64) {
        match (self, other, &spec.kind) {
            (Acc::Count(n), Acc::Count(m), _) => *n += m,
            (Acc::Values(a), Acc::Values(b), _) => a.merge_from(&b),
            (Acc::Summary(a), Acc::Summary(b), _) => a.merge(&b),
            (Acc::Trend(a), Acc::Trend(mut b), AccKind::Trend { x, .. }) => {
                if x.is_none() {
                    b.shift_x(shift_s);
                }
                a.merge(&b);
            }
            (Acc::List(a), Acc::List(b), AccKind::List { distinct, limit, .. }) => {
                a.items = merged(&[a, &b], *distinct, *limit);
            }
            (Acc::Sample(a), Acc::Sample(b), AccKind::Sample { features, .. }) => a.merge(*b, features.len()),
            (Acc::Shifts(a), Acc::Shifts(b), _) => {
                a.extend(b.iter().take(SHIFTS_MAX.saturating_sub(a.len())));
            }
            (Acc::Counters(a), Acc::Counters(b), _) => a.merge(*b),
            _ => {}
        }
    }

    /// Estimated memory beside the accumulator itself; the same on every machine.
    pub fn bytes(&self) -> u64 {
        match self {
            Acc::Count(_) => 0,
            Acc::Values(values) => values.len().min(VALUES_MAX) * VALUE_BYTES,
            Acc::Summary(_) | Acc::Trend(_) => 64,
            Acc::List(list) => list.items.iter().map(|(_, v)| value_bytes(v)).sum(),
            Acc::Sample(sample) => 48 + sample.cells.iter().map(value_bytes).sum::<u64>(),
            Acc::Shifts(shifts) => SHIFT_BYTES * shifts.len() as u64,
            Acc::Counters(counters) => counters.bytes(),
        }
    }
}

/// Bytes of a kept value.
pub(super) fn value_bytes(value: &OwnedValue) -> u64 {
    match value {
        OwnedValue::Str(text) | OwnedValue::Json(text) => text.len() as u64 + 32,
        _ => 24,
    }
}

/// Is it small enough to be kept?
pub(super) fn fits(value: &OwnedValue) -> bool {
    value_bytes(value) <= ITEM_BYTES as u64 + 32
}

impl List {
    fn add(&mut self, value: Value<'_>, distinct: bool, limit: usize, arrival: u64) -> u64 {
        if self.items.len() >= limit {
            return 0;
        }
        match value {
            Value::Json(text) if text.starts_with('[') => {
                let items: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
                items.iter().map(|item| self.push(OwnedValue::from(item), distinct, limit, arrival)).sum()
            }
            one => self.push(one.into(), distinct, limit, arrival),
        }
    }

    fn push(&mut self, value: OwnedValue, distinct: bool, limit: usize, arrival: u64) -> u64 {
        let known = || distinct && self.items.iter().any(|(_, v)| *v == value);
        if value == OwnedValue::Null || !fits(&value) || self.items.len() >= limit || known() {
            return 0;
        }
        let bytes = value_bytes(&value);
        self.items.push((arrival, value));
        bytes
    }
}

/// The first `limit` values of several lists in order of arrival. The same however events were cut
/// into lists: what is among the first of all is among the first of its own list.
pub(super) fn merged(lists: &[&List], distinct: bool, limit: usize) -> Vec<(u64, OwnedValue)> {
    let mut all: Vec<&(u64, OwnedValue)> = lists.iter().flat_map(|l| &l.items).collect();
    all.sort_by_key(|(arrival, _)| *arrival);
    let mut first: Vec<(u64, OwnedValue)> = Vec::new();
    for item in all {
        if first.len() >= limit {
            break;
        }
        if !(distinct && first.iter().any(|(_, v)| *v == item.1)) {
            first.push(item.clone());
        }
    }
    first
}

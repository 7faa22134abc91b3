//! The rolling percentile of a series: what a segment is compared with.
//!
//! The window is cut into slots of `update_frequency`; the percentile (linear between order
//! statistics, type 7) of all slots is computed when a slot begins. A slot keeps at most 12 values (of
//! more than 24 slots fewer, at least 3), evenly thinned: when it is full every other value goes, and
//! from then on only every second comes in, then every fourth. So a day of five minutes is exact, and
//! beyond that a percentile is that of an even sample.
//!
//! In the unit of the series. Cost: O(1) per value, O(window) per slot; 1,400 bytes for 24 slots, at most
//! 2,500. Where it fails: a percentile of a sample of 6 to 12 values an hour is off by ± 3 percentage points
//! of rank.

use super::tight::{self, Rough};
use crate::math::exact;
use serde::{Deserialize, Serialize};

/// Most values that a slot keeps, and the least that is its most where there are many slots.
const SLOT_MAX: usize = 12;
const SLOT_MIN: usize = 3;
/// Values kept of all slots.
const KEPT: i64 = 300;
/// Slots at most.
pub(super) const SLOTS_MAX: i64 = 96;

/// How a baseline is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BaselinePlan {
    /// 0–1
    pub quantile: f64,
    pub window_us: i64,
    pub slot_us: i64,
}

impl BaselinePlan {
    /// Slots of a window.
    fn slots(&self) -> i64 {
        self.window_us / self.slot_us.max(1)
    }

    /// Values that one of them keeps.
    fn kept(&self) -> usize {
        (KEPT / (self.slots() + 1).max(1)).clamp(SLOT_MIN as i64, SLOT_MAX as i64) as usize
    }
}

/// Values of the window, and the percentile as last computed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// Oldest first
    slots: Vec<Slot>,
    /// Of one slot after the other
    values: Vec<Rough>,
    known: Option<Known>,
}

/// A computed baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    pub value: f64,
    /// Event time of the window
    pub from: i64,
    pub to: i64,
    /// Values in it, those that were thinned out included
    pub n: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// Number of the slot since the epoch
    index: i64,
    count: u32,
    /// One value in `1 << thinned` is kept
    thinned: u8,
    kept: u8,
}

impl Baseline {
    /// Takes a value; one older than the window is left out.
    pub fn add(&mut self, time: i64, value: f64, plan: &BaselinePlan) {
        let index = time.div_euclid(plan.slot_us.max(1));
        if self.slots.last().is_none_or(|last| index > last.index) {
            self.compute(index, plan);
            tight::push(&mut self.slots, Slot { index, count: 0, thinned: 0, kept: 0 });
        }
        let at = self.slots.partition_point(|slot| slot.index < index);
        if self.slots.get(at).is_some_and(|slot| slot.index == index) {
            self.add_to(at, Rough::new(value), plan.kept());
        }
    }

    /// The percentile of the window before this slot.
    pub fn known(&self) -> Option<Known> {
        self.known
    }

    /// All values that are kept.
    pub fn sample(&self) -> impl Iterator<Item = f64> + '_ {
        self.values.iter().map(|v| v.get())
    }

    /// Forgets what is older than the newest slot.
    pub fn restart(&mut self) {
        self.forget(self.slots.len().saturating_sub(1));
    }

    /// Could values have made it?
    pub fn fits(&self) -> bool {
        let kept: usize = self.slots.iter().map(|slot| usize::from(slot.kept)).sum();
        kept == self.values.len()
            && self.sample().all(f64::is_finite)
            && self.slots.len() <= SLOTS_MAX as usize + 1
            && self.slots.iter().all(|slot| usize::from(slot.kept) <= SLOT_MAX && slot.thinned <= 32)
            && self.slots.iter().is_sorted_by(|a, b| a.index < b.index)
            && self.known.is_none_or(|known| known.value.is_finite())
    }

    /// Memory in bytes that it owns.
    pub fn bytes(&self) -> usize {
        tight::bytes(&self.slots) + tight::bytes(&self.values)
    }

    fn add_to(&mut self, at: usize, value: Rough, most: usize) {
        let start: usize = self.slots[..at].iter().map(|slot| usize::from(slot.kept)).sum();
        let slot = &mut self.slots[at];
        let number = u64::from(slot.count);
        slot.count = slot.count.saturating_add(1);
        if number.is_multiple_of(1 << slot.thinned) && usize::from(slot.kept) >= most {
            for odd in (0..usize::from(slot.kept)).rev().filter(|n| n % 2 == 1) {
                self.values.remove(start + odd);
                slot.kept -= 1;
            }
            slot.thinned = (slot.thinned + 1).min(32);
        }
        if number.is_multiple_of(1 << slot.thinned) {
            tight::insert(&mut self.values, start + usize::from(slot.kept), value);
            slot.kept += 1;
        }
    }

    /// Forgets the oldest slots.
    fn forget(&mut self, count: usize) {
        let values: usize = self.slots.drain(..count).map(|slot| usize::from(slot.kept)).sum();
        self.values.drain(..values);
    }

    fn compute(&mut self, index: i64, plan: &BaselinePlan) {
        let oldest = index - plan.slots();
        self.forget(self.slots.partition_point(|slot| slot.index < oldest));
        let mut values: Vec<f64> = self.sample().collect();
        let to = index.saturating_mul(plan.slot_us);
        let from = self.slots.first().map_or(to, |slot| slot.index.saturating_mul(plan.slot_us));
        let n = self.slots.iter().map(|slot| u64::from(slot.count)).sum();
        self.known = exact(&mut values, plan.quantile).map(|value| Known { value, from, to, n });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const PLAN: BaselinePlan = BaselinePlan { quantile: 0.75, window_us: 24 * HOUR, slot_us: HOUR };

    #[test]
    fn a_day_of_hours() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.known(), None);
        for n in 0..20_i64 {
            baseline.add(n * HOUR / 10, n as f64, &PLAN);
        }
        // 0 … 9 fell into the first hour.
        assert_eq!(baseline.known(), Some(Known { value: 6.75, from: 0, to: HOUR, n: 10 }));
        for n in 20..2000_i64 {
            baseline.add(n * HOUR / 10, n as f64, &PLAN);
        }
        let known = baseline.known().unwrap();
        assert_eq!((known.n, known.to - known.from), (240, 24 * HOUR));
        // An old value changes nothing.
        let before = baseline.clone();
        baseline.add(0, 1e9, &PLAN);
        assert_eq!(baseline, before);
    }

    #[test]
    fn thinned_evenly_and_bounded() {
        let mut baseline = Baseline::default();
        for n in 0..100_000_i64 {
            baseline.add(n * HOUR / 50_000, (n % 50_000) as f64, &PLAN);
        }
        let known = baseline.known().unwrap();
        assert_eq!(known.n, 50_000);
        assert!((known.value / 50_000.0 - 0.75).abs() < 0.06, "{known:?}");
        assert!((12..=24).contains(&baseline.sample().count()));
    }

    #[test]
    fn it_is_bounded_by_slots_and_values() {
        for (slot_us, most) in [(HOUR, 1400), (HOUR / 4, 2500)] {
            let plan = BaselinePlan { slot_us, ..PLAN };
            let mut baseline = Baseline::default();
            for n in 0..5000_i64 {
                baseline.add(n * HOUR / 60, n as f64, &plan);
                assert!(baseline.bytes() <= most && baseline.fits(), "{}", baseline.bytes());
            }
        }
    }
}

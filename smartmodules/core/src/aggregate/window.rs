//! Tumbling and sliding windows: which are fired, which are still corrected, what is due when.
//!
//! A window is its end E, a multiple of `slide` (in microseconds), over `[E − size, E)`. All times
//! of one named window are on its trigger's clock. For the clock c:
//! - released(c): c, or the last multiple of `output_interval` at or before it;
//! - frontier(c): the last end that has fired, ⌊released(c)⌋ to the slide;
//! - dead(c): the last end that takes no more events, ⌊c − lateness⌋, never beyond the frontier.
//!
//! [`NEVER`] as a clock or an end means: none yet.

use super::plan::{Shape, WindowPlan};
use crate::clock::NEVER;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a named window remembers besides the slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Fired {
    /// Ends up to here have fired
    pub through: i64,
    /// When the clock crosses this, corrections come out.
    dirty_due: i64,
    /// Ends and groups that have to be corrected
    dirty: BTreeSet<(i64, u64)>,
    /// Their revisions, while they take events
    revisions: BTreeMap<(i64, u64), u32>,
}

impl Default for Fired {
    fn default() -> Self {
        Fired { through: NEVER, dirty_due: i64::MAX, dirty: BTreeSet::new(), revisions: BTreeMap::new() }
    }
}

/// The last multiple of `unit` at or before `time`.
pub(super) fn floor(time: i64, unit: i64) -> i64 {
    time.saturating_sub(time.rem_euclid(unit.max(1)))
}

/// The first multiple of `unit` at or after `time`.
pub(super) fn ceil(time: i64, unit: i64) -> i64 {
    match time.rem_euclid(unit.max(1)) {
        0 => time,
        rest => time.saturating_add(unit - rest),
    }
}

/// A named window's arithmetic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub size: i64,
    pub slide: i64,
    lateness: i64,
    interval: Option<i64>,
}

impl Ends {
    /// None for session windows.
    pub fn of(plan: &WindowPlan) -> Option<Ends> {
        match plan.shape {
            Shape::Time { size, slide } => Some(Ends { size, slide, lateness: plan.lateness, interval: plan.interval }),
            Shape::Session { .. } => None,
        }
    }

    /// The first window that holds `time`.
    pub fn first(&self, time: i64) -> i64 {
        floor(time, self.slide).saturating_add(self.slide)
    }

    /// The last window that holds `time`.
    pub fn last(&self, time: i64) -> i64 {
        floor(time, self.slide).saturating_add(self.size)
    }

    /// See the head of this file.
    pub fn released(&self, clock: i64) -> i64 {
        match self.interval {
            Some(interval) if clock != NEVER && clock != i64::MAX => floor(clock, interval),
            _ => clock,
        }
    }

    /// See the head of this file.
    pub fn frontier(&self, clock: i64) -> i64 {
        match clock {
            NEVER => NEVER,
            clock => floor(self.released(clock), self.slide),
        }
    }

    /// See the head of this file.
    pub fn dead(&self, clock: i64) -> i64 {
        match clock {
            NEVER => NEVER,
            clock => floor(clock.saturating_sub(self.lateness), self.slide).min(self.frontier(clock)),
        }
    }

    /// When the window `end` is due.
    pub fn due(&self, end: i64) -> i64 {
        self.interval.map_or(end, |interval| ceil(end, interval))
    }

    /// The first end after `through` of a window that holds data at or after slice time `start`.
    pub fn next(&self, through: i64, start: i64) -> i64 {
        match through {
            NEVER => self.first(start),
            through => self.first(start).max(through.saturating_add(self.slide)),
        }
    }

    /// The earliest time of which a window after `through` may hold data.
    pub fn needs_from(&self, through: i64) -> i64 {
        match through {
            NEVER => NEVER,
            through => through.saturating_add(self.slide).saturating_sub(self.size),
        }
    }

    /// From when on a slice at `start` is of no use.
    pub fn expires(&self, start: i64) -> i64 {
        let last = self.last(start);
        last.saturating_add(self.lateness).max(self.due(last))
    }

    /// How long ago, in microseconds, the last window that holds `time` stopped taking events.
    pub fn late_by(&self, time: i64, clock: i64) -> i64 {
        clock.saturating_sub(self.last(time).saturating_add(self.lateness)).max(0)
    }
}

impl Fired {
    /// An event has come into fired windows `from..=to` (ends) of a group; `had_data` tells for an
    /// end whether the group had been in it. Returns when the corrections are due.
    pub fn mark(
        &mut self,
        ends: &Ends,
        clock: i64,
        range: (i64, i64),
        group: u64,
        had_data: impl Fn(i64) -> bool,
    ) -> i64 {
        let (mut end, to) = range;
        let mut due = i64::MAX;
        while end <= to {
            due = due.min(end.saturating_add(ends.lateness));
            if !self.dirty.contains(&(end, group)) {
                if self.dirty.is_empty() {
                    let interval = ends.interval.unwrap_or(ends.slide);
                    self.dirty_due = floor(clock, interval).saturating_add(interval);
                }
                self.dirty.insert((end, group));
                let first = u32::from(had_data(end));
                self.revisions.entry((end, group)).and_modify(|n| *n = n.saturating_add(1)).or_insert(first);
            }
            end = end.saturating_add(ends.slide);
        }
        due.min(self.dirty_due)
    }

    /// The first correction that is due: end, group, revision.
    pub fn first_dirty(&self, ends: &Ends, clock: i64) -> Option<(i64, u64)> {
        let (end, group) = *self.dirty.first()?;
        let due = clock >= self.dirty_due || clock >= end.saturating_add(ends.lateness);
        due.then_some((end, group))
    }

    /// Takes a correction out; its revision.
    pub fn take(&mut self, end: i64, group: u64) -> u32 {
        self.dirty.remove(&(end, group));
        self.revisions.get(&(end, group)).copied().unwrap_or(0)
    }

    /// When the next correction is due.
    pub fn next_due(&self, ends: &Ends) -> Option<i64> {
        let (end, _) = self.dirty.first()?;
        Some(self.dirty_due.min(end.saturating_add(ends.lateness)))
    }

    /// Everything due is out: the windows up to the frontier have fired, dead ones are forgotten.
    pub fn settle(&mut self, ends: &Ends, clock: i64) {
        self.through = self.through.max(ends.frontier(clock));
        let dead = ends.dead(clock);
        if self.revisions.first_key_value().is_some_and(|((end, _), _)| *end <= dead) {
            self.revisions = self.revisions.split_off(&(dead.saturating_add(1), 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_negative_and_positive_times() {
        let ends = Ends { size: 300, slide: 30, lateness: 60, interval: None };
        for (time, first, last) in [(0, 30, 300), (29, 30, 300), (30, 60, 330), (-1, 0, 270)] {
            assert_eq!((ends.first(time), ends.last(time)), (first, last), "{time}");
        }
        assert_eq!((ends.frontier(89), ends.dead(89), ends.dead(90)), (60, 0, 30));
        assert_eq!((ends.frontier(NEVER), ends.dead(NEVER)), (NEVER, NEVER));
        assert!(ends.dead(i64::MAX) > i64::MAX - 200);
    }

    #[test]
    fn an_interval_holds_results_back() {
        let ends = Ends { size: 60, slide: 60, lateness: 0, interval: Some(100) };
        assert_eq!((ends.due(60), ends.due(120), ends.due(300)), (100, 200, 300));
        // Until it has been emitted, a window takes events whatever its lateness.
        assert_eq!((ends.frontier(199), ends.dead(199), ends.dead(200)), (60, 60, 180));
        assert_eq!((ends.frontier(99), ends.dead(99)), (0, 0));
    }

    #[test]
    fn revisions_count_per_group_and_end() {
        let ends = Ends { size: 60, slide: 30, lateness: 90, interval: None };
        let mut fired = Fired::default();
        let due = fired.mark(&ends, 100, (60, 90), 7, |end| end == 90);
        assert_eq!(due, 120);
        fired.mark(&ends, 101, (60, 90), 7, |_| true);
        assert_eq!(fired.first_dirty(&ends, 119), None);
        assert_eq!(fired.first_dirty(&ends, 120), Some((60, 7)));
        assert_eq!((fired.take(60, 7), fired.take(90, 7)), (0, 1));
        fired.mark(&ends, 130, (60, 60), 7, |_| true);
        assert_eq!(fired.take(60, 7), 1);
        fired.settle(&ends, 151);
        assert_eq!(fired.revisions.len(), 1);
    }
}

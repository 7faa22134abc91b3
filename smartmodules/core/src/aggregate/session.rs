//! Session windows: a group's events that follow each other within `gap`.
//!
//! Two events less than `gap` apart are of one session; one that bridges two sessions merges them,
//! unless the whole would span `max_length` or more. A session is over when the trigger's clock
//! reaches its last event + gap; it stays for `allowed_lateness` more, and an event that joins it
//! then leads to a row with a higher revision, at most once per `output_interval` (default: gap).
//!
//! Each session has one timer. An event that prolongs it does not touch the timer: one that runs
//! out early is set again, so the cost per event is the search among the group's live sessions.

use super::acc::Acc;
use super::groups::part_bytes;
use super::plan::{AccSpec, Shape, WindowPlan};
use super::window::{ceil, floor};
use crate::clock::NEVER;
use serde::{Deserialize, Serialize};

/// A live session of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    /// First and last event time
    pub start: i64,
    pub last: i64,
    /// Origin of its regressions: the first event that arrived
    pub base: i64,
    #[serde(deserialize_with = "crate::stage::count")]
    pub count: u64,
    /// Estimated memory
    pub bytes: u64,
    /// Of the next row
    pub revision: u32,
    /// Nothing new since the last row
    pub emitted: bool,
    /// The timer that counts; others are out of date
    pub timer: i64,
    pub accs: Box<[Acc]>,
}

/// A named session window's arithmetic, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub gap: i64,
    pub max_length: i64,
    lateness: i64,
    interval: Option<i64>,
}

/// Where an event went.
#[derive(Debug, PartialEq)]
pub(super) struct Placed {
    /// The session's position
    pub at: usize,
    /// A timer to set
    pub timer: Option<i64>,
    /// Memory of a new session
    pub bytes: u64,
}

/// What a timer that ran out means for its session.
#[derive(Debug, PartialEq)]
pub(super) enum Ring {
    /// It went on: set this timer
    Later(i64),
    /// It is over: emit
    Over,
    /// It takes no more events: forget it
    Gone,
}

impl Rules {
    /// None for windows over slices.
    pub fn of(plan: &WindowPlan) -> Option<Rules> {
        match plan.shape {
            Shape::Session { gap, max_length } => {
                Some(Rules { gap, max_length, lateness: plan.lateness, interval: plan.interval })
            }
            Shape::Time { .. } => None,
        }
    }

    /// The live session that an event at `time` belongs to; of two, the one that began later.
    pub fn joins(&self, sessions: &[Session], time: i64) -> Option<usize> {
        sessions.iter().rposition(|s| {
            time > s.start.saturating_sub(self.gap)
                && time < s.last.saturating_add(self.gap)
                && s.last.max(time).saturating_sub(s.start.min(time)) < self.max_length
        })
    }

    /// Would a session of this event alone be too late?
    pub fn is_late(&self, time: i64, clock: i64) -> bool {
        clock != NEVER && self.end(time).saturating_add(self.lateness) <= clock
    }

    /// By how much, in microseconds.
    pub fn late_by(&self, time: i64, clock: i64) -> i64 {
        clock.saturating_sub(self.end(time).saturating_add(self.lateness)).max(0)
    }

    /// When a session whose last event is at `last` ends.
    pub fn end(&self, last: i64) -> i64 {
        last.saturating_add(self.gap)
    }

    fn due(&self, last: i64) -> i64 {
        let end = self.end(last);
        self.interval.map_or(end, |interval| ceil(end, interval))
    }

    /// Puts an event's time into its session, or a new one, and merges what it bridges.
    pub fn place(&self, sessions: &mut Vec<Session>, time: i64, clock: i64, specs: &[AccSpec], salt: u64) -> Placed {
        let mut bytes = 0;
        let mut timer = None;
        let mut at = match self.joins(sessions, time) {
            Some(at) => at,
            None => {
                let accs: Box<[Acc]> = specs.iter().map(|spec| Acc::new(&spec.kind, salt)).collect();
                bytes = part_bytes(&accs);
                let at = sessions.partition_point(|s| s.start <= time);
                let due = self.due(time);
                timer = Some(due);
                let (start, last, base) = (time, time, time);
                let fresh =
                    Session { start, last, base, count: 0, bytes, revision: 0, emitted: false, timer: due, accs };
                sessions.insert(at, fresh);
                at
            }
        };
        if let Some(session) = sessions.get_mut(at) {
            session.start = session.start.min(time);
            session.last = session.last.max(time);
        }
        while self.bridged(sessions, at) {
            self.merge(sessions, at, specs);
            timer = Some(NEVER);
        }
        while at > 0 && self.bridged(sessions, at - 1) {
            at -= 1;
            self.merge(sessions, at, specs);
            timer = Some(NEVER);
        }
        if let Some(session) = sessions.get_mut(at) {
            if session.emitted {
                session.emitted = false;
                timer = Some(NEVER);
            }
            if timer == Some(NEVER) {
                session.timer = self.again(session, clock);
                timer = Some(session.timer);
            }
        }
        Placed { at, timer, bytes }
    }

    /// When a session that has been emitted, or merged, comes out next.
    fn again(&self, session: &Session, clock: i64) -> i64 {
        if session.revision == 0 {
            return self.due(session.last);
        }
        let interval = self.interval.unwrap_or(self.gap);
        let crossing = floor(clock, interval).saturating_add(interval);
        let end = self.end(session.last);
        end.max(crossing.min(end.saturating_add(self.lateness)))
    }

    /// Do this session and the next touch, and fit `max_length`?
    fn bridged(&self, sessions: &[Session], at: usize) -> bool {
        match (sessions.get(at), sessions.get(at + 1)) {
            (Some(a), Some(b)) => {
                let (start, last) = (a.start.min(b.start), a.last.max(b.last));
                b.start.saturating_sub(a.last) < self.gap && last.saturating_sub(start) < self.max_length
            }
            _ => false,
        }
    }

    /// Merges the session after `at` into it.
    fn merge(&self, sessions: &mut Vec<Session>, at: usize, specs: &[AccSpec]) {
        let next = sessions.remove(at + 1);
        let Some(session) = sessions.get_mut(at) else {
            return;
        };
        let shift_s = next.base.saturating_sub(session.base) as f64 / 1e6;
        session.start = session.start.min(next.start);
        session.last = session.last.max(next.last);
        session.count += next.count;
        session.bytes += next.bytes;
        session.revision = session.revision.max(next.revision);
        session.emitted = false;
        for ((acc, other), spec) in session.accs.iter_mut().zip(next.accs).zip(specs) {
            acc.merge(other, spec, shift_s);
        }
    }

    /// A timer has run out at `time`.
    pub fn ring(&self, session: &Session, time: i64) -> Ring {
        match (session.emitted, self.end(session.last) <= time) {
            (true, _) => Ring::Gone,
            (false, true) => Ring::Over,
            (false, false) => Ring::Later(self.due(session.last)),
        }
    }

    /// It has been emitted: the timer until which it is kept, if it is.
    pub fn keep_until(&self, session: &Session, clock: i64) -> Option<i64> {
        let until = self.end(session.last).saturating_add(self.lateness);
        (until > clock).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(max_length: i64) -> Rules {
        Rules { gap: 10, max_length, lateness: 20, interval: None }
    }

    fn spans(sessions: &[Session]) -> Vec<(i64, i64)> {
        sessions.iter().map(|s| (s.start, s.last)).collect()
    }

    #[test]
    fn joins_bridges_and_splits() {
        let rules = rules(i64::MAX);
        let mut sessions = Vec::new();
        for time in [0, 9, 25, 19, 60] {
            rules.place(&mut sessions, time, NEVER, &[], 0);
        }
        // 9 → 19 is a gap of 10: not less than it. 19 → 25 joins.
        assert_eq!(spans(&sessions), [(0, 9), (19, 25), (60, 60)]);
        rules.place(&mut sessions, 15, NEVER, &[], 0);
        assert_eq!(spans(&sessions), [(0, 25), (60, 60)]);
    }

    #[test]
    fn max_length_starts_another() {
        let rules = rules(20);
        let mut sessions = Vec::new();
        for time in [0, 8, 16, 24, 30] {
            rules.place(&mut sessions, time, NEVER, &[], 0);
        }
        assert_eq!(spans(&sessions), [(0, 16), (24, 30)]);
    }

    #[test]
    fn a_timer_that_runs_out_early_is_set_again() {
        let rules = rules(i64::MAX);
        let mut sessions = Vec::new();
        assert_eq!(rules.place(&mut sessions, 0, NEVER, &[], 0).timer, Some(10));
        assert_eq!(rules.place(&mut sessions, 5, NEVER, &[], 0).timer, None);
        assert_eq!(rules.ring(&sessions[0], 10), Ring::Later(15));
        assert_eq!(rules.ring(&sessions[0], 15), Ring::Over);
        assert_eq!(rules.keep_until(&sessions[0], 15), Some(35));
        assert_eq!(rules.keep_until(&sessions[0], 35), None);
    }
}

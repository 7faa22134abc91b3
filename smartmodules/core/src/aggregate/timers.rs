//! Sessions whose timers have run out: emitted, set again, or forgotten.

use super::Aggregate;
use super::emit::Place;
use super::fold::Part;
use super::session::{Ring, Rules};
use crate::clock::NEVER;
use crate::row::Output;

impl Aggregate {
    /// A timer of the group's sessions has run out: one session, so at most one row. The timer goes
    /// once no session has it any more.
    pub(super) fn ring(&mut self, window: usize, time: i64, number: u64, out: &mut Output) {
        let rules = self.plan.windows.get(window).and_then(Rules::of);
        let session = self.groups.position(number).and_then(|at| Some((at, self.session_at(at, window, time)?)));
        match (rules, session) {
            (Some(rules), Some((at, position))) => self.session_rings(&rules, (at, window, position), time, out),
            _ => {
                if let Some(timers) = self.state.timers.get_mut(window) {
                    timers.remove(&(time, number));
                }
            }
        }
    }

    /// The first session whose timer this is.
    fn session_at(&self, at: usize, window: usize, time: i64) -> Option<usize> {
        self.groups.get(at)?.sessions.get(window)?.iter().position(|s| s.timer == time)
    }

    fn session_rings(
        &mut self,
        rules: &Rules,
        (at, window, position): (usize, usize, usize),
        time: i64,
        out: &mut Output,
    ) {
        let clock = self.plan.windows.get(window).map_or(NEVER, |w| self.clock_of(w.trigger));
        let Some(group) = self.groups.get(at) else {
            return;
        };
        let Some(session) = group.sessions.get(window).and_then(|s| s.get(position)) else {
            return;
        };
        let number = group.number;
        let (until, over) = match rules.ring(session, time) {
            Ring::Later(due) => (Some(due), false),
            Ring::Over => (rules.keep_until(session, clock), true),
            Ring::Gone => (None, false),
        };
        if over {
            let (start, end) = (session.start, rules.end(session.last));
            let place = Place { window, start, end, revision: session.revision };
            self.emit(at, &place, out, |group, _| {
                let session = group.sessions.get(window).and_then(|s| s.get(position));
                let part = session.map(|s| Part { base: s.base, count: s.count, accs: &s.accs });
                (part.into_iter().collect(), 0)
            });
        }
        let Some(sessions) = self.groups.get_mut(at).and_then(|g| g.sessions.get_mut(window)) else {
            return;
        };
        match until {
            // Later than `time`, or the drain would not end; a damaged state might say otherwise.
            Some(until) if until > time => {
                if let Some(session) = sessions.get_mut(position) {
                    session.timer = until;
                    session.emitted = over;
                    session.revision = session.revision.saturating_add(u32::from(over));
                }
                if let Some(timers) = self.state.timers.get_mut(window) {
                    timers.insert((until, number));
                }
            }
            _ => {
                let freed = sessions.remove(position).bytes;
                self.groups.session_went(at, freed);
            }
        }
    }
}

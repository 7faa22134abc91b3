//! One event: is it in time, whose is it, and what takes it.

use super::Aggregate;
use super::acc::Arrival;
use super::admit::{OTHER, Reach};
use super::emit::has_data;
use super::plan::AccSpec;
use super::sample::salt_of;
use super::session::{Rules, Session};
use super::window::Ends;
use crate::clock::NEVER;
use crate::decode::{Bad, dead_letter};

use crate::json::write_row;
use crate::row::{Kind, Output, Row};
use crate::value::{OwnedValue, Value};

/// Event times that a decoder can give: years 0000 to 9999. Anything else is a forged batch.
const TIMES: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

impl Aggregate {
    pub(super) fn ingest(&mut self, row: &Row<'_>, out: &mut Output) {
        if row.meta.kind != Kind::Event {
            out.pass(row);
            return;
        }
        self.state.counts.seen += 1;
        let time = row.meta.event_time;
        if !TIMES.contains(&time) {
            self.dead(row, out);
            return;
        }
        self.write_key(row);
        let mut at = self.groups.find(&self.key);
        let other = at.is_none() && self.is_capped();
        if other {
            self.other_key();
            at = self.groups.find(&self.key);
        }
        let reach = self.reach(time, at);
        if reach.any {
            if other && !self.state.capped {
                self.state.capped = true;
                self.say_capped(&row.meta, out);
            }
            let at = at.unwrap_or_else(|| self.create(row, other));
            self.add(row, at, &reach);
            self.state.counts.counted += 1;
            self.state.counts.other += u64::from(other);
            self.state.counts.late_partly += u64::from(!reach.all);
            if self.pass_events {
                out.pass(row);
            }
        } else {
            self.state.counts.late += 1;
            let mut late = out.extend(row);
            late.field("late_by_ms", reach.late_by / 1000);
            late.set_meta(Kind::Late, row.meta.log_time, time);
        }
        self.state.clock.observe(&row.meta, self.context.out_of_orderness);
        self.state.look(row.meta.offset, row.meta.log_time);
    }

    fn dead(&mut self, row: &Row<'_>, out: &mut Output) {
        self.state.counts.dead += 1;
        let bad = match row.meta.event_time {
            NEVER => Bad::new("missing_time", "the event has no event time"),
            time => Bad::new("invalid_time", format!("{time} µs is outside the years 0000 to 9999")),
        };
        let mut sample = Vec::new();
        write_row(row, &mut sample);
        dead_letter(&self.context, &row.meta, row.key, &bad, &sample, out);
    }

    fn write_key(&mut self, row: &Row<'_>) {
        self.key.clear();
        for (_, slot) in &self.plan.group_by {
            row.get(*slot).write_key(&mut self.key);
        }
    }

    fn other_key(&mut self) {
        self.key.clear();
        for _ in &self.plan.group_by {
            Value::Str(OTHER).write_key(&mut self.key);
        }
    }

    /// A new group for the key that was just written.
    fn create(&mut self, row: &Row<'_>, other: bool) -> usize {
        let value = |value: Value<'_>| {
            if other { Value::Str(OTHER).into() } else { OwnedValue::from(value) }
        };
        let values = self.plan.group_by.iter().map(|(_, slot)| value(row.get(*slot))).collect();
        self.groups.create(&self.key, values)
    }

    fn add(&mut self, row: &Row<'_>, at: usize, reach: &Reach) {
        let time = row.meta.event_time;
        self.state.arrivals += 1;
        self.holds.clear();
        self.holds.extend(self.plan.conditions.iter().map(|c| c.test(row) == Some(true)));
        if reach.slices {
            self.mark_fired(time, at);
            self.add_to_slice(row, at);
        }
        for window in 0..self.plan.windows.len() {
            self.add_to_session(row, at, window);
        }
    }

    /// Windows that are out already and still live get a correction.
    fn mark_fired(&mut self, time: i64, at: usize) {
        let Some(group) = self.groups.get(at) else {
            return;
        };
        for (window, plan) in self.plan.windows.iter().enumerate() {
            let clock = self.clock_of(plan.trigger);
            if clock == NEVER || time >= clock {
                continue;
            }
            let (Some(ends), Some(fired)) = (Ends::of(plan), self.state.fired.get_mut(window)) else {
                continue;
            };
            // Nothing is pending, so what the frontier has passed is out or was empty.
            let frontier = ends.frontier(clock);
            fired.through = fired.through.max(frontier);
            let from = ends.first(time).max(ends.dead(clock).saturating_add(ends.slide));
            let to = ends.last(time).min(frontier);
            if from <= to {
                let had_data = |end: i64| has_data(group, &self.plan, end.saturating_sub(ends.size), end);
                let due = fired.mark(&ends, clock, (from, to), group.number, had_data);
                self.state.wake_at(plan.trigger, due);
            }
        }
    }

    fn add_to_slice(&mut self, row: &Row<'_>, at: usize) {
        let time = row.meta.event_time;
        let width = self.plan.slice_us;
        let index = time.div_euclid(width);
        let room = self.groups.bytes() < self.context.max_state_bytes;
        let arrival = Arrival { time, number: self.state.arrivals, base: index.saturating_mul(width), room };
        let Some((slice, first)) = self.groups.slice(at, index, &self.plan.accs) else {
            return;
        };
        slice.count = slice.count.saturating_add(1);
        let grown = add_all(&mut slice.accs, &self.plan.accs, &self.holds, row, &arrival);
        if grown > 0 {
            slice.grew(grown);
            self.groups.grew(grown);
        }
        if first {
            self.wake_for_slice(arrival.base);
        }
    }

    /// A slice of time has its first data: when is its first window due?
    fn wake_for_slice(&mut self, start: i64) {
        for (window, plan) in self.plan.windows.iter().enumerate() {
            let (Some(ends), Some(fired)) = (Ends::of(plan), self.state.fired.get(window)) else {
                continue;
            };
            let end = ends.next(fired.through, start);
            if end <= ends.last(start) {
                self.state.wake_at(plan.trigger, ends.due(end));
            }
        }
    }

    fn add_to_session(&mut self, row: &Row<'_>, at: usize, window: usize) {
        let time = row.meta.event_time;
        let Some(plan) = self.plan.windows.get(window) else {
            return;
        };
        let Some(rules) = Rules::of(plan) else { return };
        let clock = self.clock_of(plan.trigger);
        let room = self.groups.bytes() < self.context.max_state_bytes;
        let Some(group) = self.groups.get_mut(at) else {
            return;
        };
        if group.sessions.is_empty() {
            group.sessions.resize_with(self.plan.windows.len(), Vec::new);
        }
        let salt = salt_of(&group.key, time);
        let Some(sessions) = group.sessions.get_mut(window) else {
            return;
        };
        if rules.joins(sessions, time).is_none() && rules.is_late(time, clock) {
            return;
        }
        let placed = rules.place(sessions, time, clock, &plan.accs, salt);
        let Some(session) = sessions.get_mut(placed.at) else {
            return;
        };
        let arrival = Arrival { time, number: self.state.arrivals, base: session.base, room };
        let grown = add_to(session, &plan.accs, &self.holds, row, &arrival);
        if let (Some(timer), Some(timers)) = (placed.timer, self.state.timers.get_mut(window)) {
            timers.insert((timer, group.number));
            self.state.wake_at(plan.trigger, timer);
        }
        self.groups.grew(placed.bytes + grown);
    }
}

fn add_to(session: &mut Session, specs: &[AccSpec], holds: &[bool], row: &Row<'_>, arrival: &Arrival) -> u64 {
    session.count += 1;
    let grown = add_all(&mut session.accs, specs, holds, row, arrival);
    session.bytes += grown;
    grown
}

/// Each accumulator whose condition holds takes the event; returns the growth in bytes.
fn add_all(accs: &mut [super::acc::Acc], specs: &[AccSpec], holds: &[bool], row: &Row<'_>, arrival: &Arrival) -> u64 {
    let mut grown = 0;
    for (acc, spec) in accs.iter_mut().zip(specs) {
        if spec.condition.is_none_or(|at| holds.get(at).copied().unwrap_or(false)) {
            grown += acc.add(spec, row, arrival);
        }
    }
    grown
}

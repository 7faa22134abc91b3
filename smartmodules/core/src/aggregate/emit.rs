//! Emission: what is due, in order of window end, then window in the config, then group.
//!
//! A call may stop when the output is full and go on in the next one; where it stands is state.

use super::Aggregate;
use super::fold::{Part, Results, Window, array};
use super::forest::Memory;
use super::groups::Group;
use super::plan::{Plan, Trigger, WindowPlan};
use super::window::Ends;
use crate::clock::NEVER;
use crate::id::id;
use crate::row::{Kind, Meta, Output, RowWriter};
use crate::stage::Context;
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// A window that is firing: the groups from this number on are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Firing {
    window: usize,
    end: i64,
    from: u64,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A window's first result
    Fire,
    /// A correction for a group
    Correct(u64),
    /// A session's timer
    Timer(u64),
}

/// Where a result stands.
pub(super) struct Place {
    pub window: usize,
    pub start: i64,
    pub end: i64,
    pub revision: u32,
}

impl Aggregate {
    /// Emits what is due until nothing is, or `full` says to stop before the next row.
    pub(super) fn drain_until(&mut self, out: &mut Output, full: &dyn Fn(&Output) -> bool) {
        while self.state.due {
            if full(out) {
                return;
            }
            if let Some(firing) = self.state.firing {
                self.fire_next(firing, out);
                continue;
            }
            match self.first_due() {
                None => self.settle(),
                Some((end, window, Due::Fire)) => self.state.firing = Some(Firing { window, end, from: 0 }),
                Some((end, window, Due::Correct(group))) => self.correct(window, end, group, out),
                Some((time, window, Due::Timer(group))) => self.ring(window, time, group, out),
            }
        }
    }

    pub(super) fn clock_of(&self, trigger: Trigger) -> i64 {
        match trigger {
            Trigger::EventTime => self.state.clock.watermark(),
            Trigger::ProcessingTime => self.state.clock.processing(),
        }
    }

    /// The earliest of what is due: its time and window.
    fn first_due(&self) -> Option<(i64, usize, Due)> {
        let mut first: Option<(i64, usize, Due)> = None;
        for (at, plan) in self.plan.windows.iter().enumerate() {
            let clock = self.clock_of(plan.trigger);
            if clock == NEVER {
                continue;
            }
            for (time, due) in [self.due_window(at, plan, clock), self.due_timer(at, clock)].into_iter().flatten() {
                let due = (time, at, due);
                first = Some(first.map_or(due, |f| f.min(due)));
            }
        }
        first
    }

    fn due_window(&self, at: usize, plan: &WindowPlan, clock: i64) -> Option<(i64, Due)> {
        let ends = Ends::of(plan)?;
        let fired = self.state.fired.get(at)?;
        let correction = fired.first_dirty(&ends, clock).map(|(end, group)| (end, Due::Correct(group)));
        // A forged state may hold data at the end of time; what has fired never fires again.
        let live = |end: &i64| *end > fired.through && *end <= ends.released(clock);
        let next = self.next_end(&ends, fired.through).filter(live);
        match (correction, next.map(|end| (end, Due::Fire))) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn due_timer(&self, at: usize, clock: i64) -> Option<(i64, Due)> {
        let (time, group) = *self.state.timers.get(at)?.first()?;
        (time <= clock).then_some((time, Due::Timer(group)))
    }

    /// The first window end after `through` that holds data.
    pub(super) fn next_end(&self, ends: &Ends, through: i64) -> Option<i64> {
        let from = ends.needs_from(through).div_euclid(self.plan.slice_us);
        let index = self.groups.first_slice_from(from)?;
        Some(ends.next(through, index.saturating_mul(self.plan.slice_us)))
    }

    /// The next group's row of a window that is firing.
    fn fire_next(&mut self, firing: Firing, out: &mut Output) {
        let Firing { window, end, from } = firing;
        let Some(ends) = self.plan.windows.get(window).and_then(Ends::of) else {
            self.state.firing = None;
            return;
        };
        let start = end.saturating_sub(ends.size);
        let mut at = self.groups.position_from(from);
        while let Some(group) = self.groups.get(at) {
            let number = group.number;
            if !slices(group, &self.plan, start, end).is_empty() {
                self.emit_slices(at, &Place { window, start, end, revision: 0 }, out);
                self.state.firing = Some(Firing { from: number + 1, ..firing });
                return;
            }
            at += 1;
        }
        self.state.firing = None;
        if let Some(fired) = self.state.fired.get_mut(window) {
            fired.through = end;
        }
    }

    fn correct(&mut self, window: usize, end: i64, group: u64, out: &mut Output) {
        let Some(fired) = self.state.fired.get_mut(window) else {
            return;
        };
        let revision = fired.take(end, group);
        let ends = self.plan.windows.get(window).and_then(Ends::of);
        if let (Some(ends), Some(at)) = (ends, self.groups.position(group)) {
            let start = end.saturating_sub(ends.size);
            self.emit_slices(at, &Place { window, start, end, revision }, out);
        }
    }

    fn emit_slices(&mut self, at: usize, place: &Place, out: &mut Output) {
        let Some(plan) = self.plan.windows.get(place.window) else {
            return;
        };
        let Some(ends) = Ends::of(plan) else { return };
        let width = self.plan.slice_us;
        self.emit(at, place, out, |group, plan| {
            let range = slices(group, plan, place.start, place.end);
            let newest = place.end.saturating_sub(ends.slide);
            let parts = range.iter().map(|slice| Part {
                base: slice.index.saturating_mul(width),
                count: u64::from(slice.count),
                accs: &slice.accs,
            });
            (parts.collect(), range.partition_point(|s| s.index.saturating_mul(width) < newest))
        });
    }

    /// Folds and writes one row.
    pub(super) fn emit(
        &mut self,
        at: usize,
        place: &Place,
        out: &mut Output,
        parts: impl for<'g> Fn(&'g Group, &Plan) -> (Vec<Part<'g>>, usize),
    ) {
        let Some(plan) = self.plan.windows.get(place.window) else {
            return;
        };
        let Some(group) = self.groups.get_mut(at) else {
            return;
        };
        let mut memories = std::mem::take(&mut group.memories);
        let before: u64 = memories.iter().map(Memory::bytes).sum();
        if memories.is_empty() && !self.plan.forests.is_empty() {
            memories.resize_with(self.plan.forests.len(), Memory::default);
        }
        let (parts, newest) = parts(group, &self.plan);
        let window = Window { group: group.number, start: place.start, end: place.end, parts, newest };
        self.results.fold(plan, &window, &mut memories, &mut self.cache);
        let after: u64 = memories.iter().map(Memory::bytes).sum();
        let meta = Meta {
            kind: Kind::Window,
            offset: self.state.trigger.0,
            log_time: self.state.trigger.1,
            event_time: place.end,
        };
        write((&self.context, &self.plan, plan), group, place, &self.results, out.row(meta, None));
        group.memories = memories;
        self.groups.shrank(before);
        self.groups.grew(after);
        match place.revision {
            0 => self.state.counts.windows += 1,
            _ => self.state.counts.revisions += 1,
        }
    }
}

/// A group's slices in `[start, end)`.
fn slices<'g>(group: &'g Group, plan: &Plan, start: i64, end: i64) -> &'g [super::groups::Slice] {
    let (from, to) = (start.div_euclid(plan.slice_us), end.div_euclid(plan.slice_us));
    let first = group.slices.partition_point(|s| s.index < from);
    let after = group.slices.partition_point(|s| s.index < to);
    group.slices.get(first..after).unwrap_or_default()
}

/// Does a group have data in `[start, end)`?
pub(super) fn has_data(group: &Group, plan: &Plan, start: i64, end: i64) -> bool {
    !slices(group, plan, start, end).is_empty()
}

/// Writes the row of a result.
fn write(
    stage: (&Context, &Plan, &WindowPlan),
    group: &Group,
    place: &Place,
    results: &Results,
    mut row: RowWriter<'_>,
) {
    let (context, plan, window) = stage;
    let id = id(&[
        context.pipeline.as_bytes(),
        context.stage.as_bytes(),
        &context.partition.to_le_bytes(),
        window.name.as_bytes(),
        &group.key,
        &place.start.to_le_bytes(),
        &place.end.to_le_bytes(),
        &place.revision.to_le_bytes(),
    ]);
    row.field("id", id.as_str())
        .field("pipeline", context.pipeline.as_str())
        .field("stage", context.stage.as_str())
        .field("window", window.name.as_str())
        .field("window_start", place.start.div_euclid(1000))
        .field("window_end", place.end.div_euclid(1000));
    for ((name, _), value) in plan.group_by.iter().zip(&group.values) {
        row.field(name, value.as_value());
    }
    for (name, value) in window.columns.iter().zip(&results.cells) {
        row.field(name, value.as_value());
    }
    row.field("revision", i64::from(place.revision));
    if !results.approximate.is_empty() {
        let names = results.approximate.iter().filter_map(|c| window.columns.get(*c));
        let names = array(names.map(|name| Value::Str(name)));
        row.field("approximate", names.as_value());
    }
}

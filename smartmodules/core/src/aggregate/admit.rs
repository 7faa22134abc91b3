//! Who is let in: events in time, and groups while there is room.

use super::Aggregate;
use super::session::Rules;
use super::window::Ends;
use crate::clock::NEVER;
use crate::id::id;
use crate::row::{Kind, Meta, Output};

/// Stands for the values of groups beyond the cap.
pub(super) const OTHER: &str = "__other__";

/// How an event stands to the windows.
pub(super) struct Reach {
    /// A tumbling or sliding window takes it
    pub slices: bool,
    /// Any window takes it
    pub any: bool,
    /// All windows take it
    pub all: bool,
    /// By how much it is late for the window that waits longest, in microseconds
    pub late_by: i64,
}

impl Aggregate {
    /// The clocks are as they stood before this event.
    pub(super) fn reach(&self, time: i64, group: Option<usize>) -> Reach {
        let mut reach = Reach { slices: false, any: false, all: true, late_by: i64::MAX };
        for (at, plan) in self.plan.windows.iter().enumerate() {
            let clock = self.clock_of(plan.trigger);
            let (takes, takes_all, late_by) = if clock == NEVER || time >= clock {
                (true, true, 0)
            } else if let Some(ends) = Ends::of(plan) {
                let dead = ends.dead(clock);
                (ends.last(time) > dead, ends.first(time) > dead, ends.late_by(time, clock))
            } else if let Some(rules) = Rules::of(plan) {
                let live = group.and_then(|g| self.groups.get(g)).and_then(|g| g.sessions.get(at));
                let joins = live.is_some_and(|sessions| rules.joins(sessions, time).is_some());
                let takes = joins || !rules.is_late(time, clock);
                (takes, takes, rules.late_by(time, clock))
            } else {
                continue;
            };
            reach.any |= takes;
            reach.slices |= takes && Ends::of(plan).is_some();
            reach.all &= takes_all;
            reach.late_by = reach.late_by.min(late_by);
        }
        reach
    }

    /// No room for a new group?
    pub(super) fn is_capped(&self) -> bool {
        let full = self.groups.len() >= self.max_groups || self.groups.bytes() >= self.context.max_state_bytes;
        full && !self.plan.group_by.is_empty()
    }

    /// The one alert about it.
    pub(super) fn say_capped(&self, meta: &Meta, out: &mut Output) {
        let context = &self.context;
        let parts = [context.pipeline.as_bytes(), context.stage.as_bytes(), &context.partition.to_le_bytes()];
        let alert_id = id(&[parts[0], parts[1], parts[2], b"cardinality-cap"]);
        let id = id(&[alert_id.as_bytes(), b"firing"]);
        let reason = match self.groups.len() >= self.max_groups {
            true => format!("{} groups are live, as many as max_groups allows", self.groups.len()),
            false => format!("{} groups fill max_state_bytes = {}", self.groups.len(), context.max_state_bytes),
        };
        let summary = format!("{reason}: events of further groups are counted as {OTHER}");
        out.row(Meta { kind: Kind::Alert, ..*meta }, None)
            .field("id", id.as_str())
            .field("alert_id", alert_id.as_str())
            .field("rule", "cardinality-cap")
            .field("state", "firing")
            .field("severity", "warning")
            .field("summary", summary.as_str())
            .field("pipeline", context.pipeline.as_str())
            .field("stage", context.stage.as_str())
            .field("max_groups", self.max_groups as i64);
    }
}

//! `aggregate`: functions over windows of event time, per group.
//!
//! Time is cut into slices as wide as the greatest common divisor of all windows' slides. An event
//! goes into one slice of its group, once, however many windows cover it; a window is folded from
//! its slices when it is emitted (Li et al. 2005, "No pane, no gain"). Results come out when the
//! trigger's clock passes a window's end, in order of end, window, group; an event in a window that
//! is out already leads to a row with a higher `revision` while `allowed_lateness` lasts, after
//! that to a `late` row.
//!
//! Cost: per event one hash lookup of the group and one push per distinct accumulator; per result
//! the fold of size/slide slices. Memory: groups × live slices × (48 bytes + accumulators), bounded
//! by `max_groups` and `max_state_bytes`: beyond them new groups are counted as `__other__`, once
//! said by an alert, and lists and samples stop growing. It fails where one group takes all events:
//! nothing is sampled then, though percentiles stay small.

mod acc;
mod admit;
mod build;
mod check;
mod columns;
pub mod config;
mod counters;
mod emit;
mod fold;
mod forest;
pub mod functions;
mod groups;
mod ingest;
mod plan;
mod sample;
mod session;
mod settle;
mod spans;
#[cfg(test)]
mod tests;
mod timers;
mod window;

pub use config::{AggregateConfig, WindowConfig, WindowType};

use crate::clock::Clock;
use crate::config::Issues;
use crate::row::{Fields, Output, Row};
use crate::stage::{Context, Counters, RestoreError, Stage, Tick, load, save};
use emit::Firing;
use fold::Results;
use forest::Cache;
use groups::{Group, Groups, Saved};
use plan::{Plan, Trigger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use window::Fired;

/// The stage.
#[derive(Debug)]
pub struct Aggregate {
    plan: Plan,
    context: Context,
    pass_events: bool,
    max_groups: usize,
    groups: Groups,
    state: State,
    // Memory that is reused and holds nothing between calls, or what can be made again.
    key: Vec<u8>,
    holds: Vec<bool>,
    results: Results,
    cache: Cache,
}

/// Everything but the groups.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    clock: Clock,
    /// Events counted so far
    #[serde(deserialize_with = "crate::stage::count")]
    arrivals: u64,
    /// By window; unused for session windows
    fired: Vec<Fired>,
    /// By window: when sessions may be over, and of which group; unused for the others
    timers: Vec<BTreeSet<(i64, u64)>>,
    /// Watermark and processing time at which something may be due
    wake: [i64; 2],
    /// Something may be due
    due: bool,
    firing: Option<Firing>,
    /// Offset and log time of the record or tick that made it due
    trigger: (i64, i64),
    /// The cap has been reached and said
    capped: bool,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "crate::stage::count")]
    seen: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    counted: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    late: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    dead: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    late_partly: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    other: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    windows: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    revisions: u64,
}

impl State {
    fn new(windows: usize) -> State {
        State {
            clock: Clock::default(),
            arrivals: 0,
            fired: vec![Fired::default(); windows],
            timers: vec![BTreeSet::new(); windows],
            wake: [i64::MAX; 2],
            due: false,
            firing: None,
            trigger: (-1, 0),
            capped: false,
            counts: Counts::default(),
        }
    }

    /// Something may be due when the trigger's clock reaches `time`.
    fn wake_at(&mut self, trigger: Trigger, time: i64) {
        let [event, processing] = &mut self.wake;
        let wake = match trigger {
            Trigger::EventTime => event,
            Trigger::ProcessingTime => processing,
        };
        *wake = time.min(*wake);
    }

    /// The clock has moved: is anything due?
    fn look(&mut self, offset: i64, log_time: i64) {
        let [event, processing] = self.wake;
        let (watermark, now) = (self.clock.watermark(), self.clock.processing());
        if !self.due && (watermark >= event || now >= processing) {
            self.due = true;
            self.trigger = (offset, log_time);
        }
    }
}

impl Stage for Aggregate {
    const NAME: &'static str = "aggregate";
    const STATE_VERSION: u32 = 1;
    type Config = AggregateConfig;

    fn new(config: AggregateConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        let plan = Plan::new(&config, fields)?;
        let windows = plan.windows.len();
        Ok(Aggregate {
            plan,
            context: context.clone(),
            pass_events: config.pass_events,
            max_groups: config.max_groups as usize,
            groups: Groups::default(),
            state: State::new(windows),
            key: Vec::new(),
            holds: Vec::new(),
            results: Results::default(),
            cache: Cache::default(),
        })
    }

    fn warnings(config: &AggregateConfig) -> Issues {
        check::warnings(config)
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        // The host drains before the next row. If one does not, results are still right.
        self.drain_until(out, &|_| false);
        self.ingest(row, out);
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        self.drain_until(out, &|_| false);
        self.state.clock.tick(tick, self.context.idle_after);
        self.state.look(tick.offset, tick.time);
    }

    fn pending(&self) -> bool {
        self.state.due
    }

    fn drain(&mut self, out: &mut Output) {
        self.drain_until(out, &Output::is_full);
    }

    fn counters(&self) -> Counters {
        let counts = &self.state.counts;
        let (counted, passed) = if self.pass_events { (0, counts.counted) } else { (counts.counted, 0) };
        let mut list = vec![("in", counts.seen), ("counted", counted), ("late", counts.late), ("dead", counts.dead)];
        if self.pass_events {
            list.push(("passed", passed));
        }
        list.extend([
            ("late_partly", counts.late_partly),
            ("other", counts.other),
            ("windows", counts.windows),
            ("revisions", counts.revisions),
            ("groups", self.groups.len() as u64),
        ]);
        list
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(self.groups.saved(), &self.state))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let other = || RestoreError("the state is of another config".into());
        let (groups, state): (Saved<Vec<Group>>, State) = load(bytes)?;
        let windows = self.plan.windows.len();
        if state.fired.len() != windows || state.timers.len() != windows {
            return Err(other());
        }
        self.groups = Groups::restored(groups, &self.plan).ok_or_else(other)?;
        self.state = state;
        self.cache.clear();
        Ok(())
    }
}

//! The stage `sessionize`: groups events by a key into sessions and gives one result for each
//! navigation of a session when it ends.
//!
//! A session ends when the watermark reaches its last event time + `timeout`, or its first +
//! `max_length`, or when an event of its key comes that is so late after it, or at the end of the
//! input. Within a session event time orders nothing: entries are taken in order of arrival, as the
//! web-vitals library takes them in the browser. An event that finds no open session and whose own
//! session would have ended by the watermark is `late`.
//!
//! Methods: [`crate::cls`] (no unit, larger is worse) and [`crate::inp`] (milliseconds, larger is
//! worse). Output order: end of session, then order of opening; within a session its navigations.
//!
//! Cost: O(log sessions) per event. Memory: `max_sessions`, `max_navigations` and the stage's
//! limit in bytes; beyond them the session that would end first is ended early (`evicted`), so its
//! result may be too small and a second one for the same key may follow.

mod check;
pub mod config;
mod emit;
mod functions;
mod lifecycle;
mod read;
mod session;

pub use config::{Function, Method, SessionizeConfig};

use crate::clock::{Clock, NEVER};
use crate::config::{Issues, fail_on_errors};
use crate::row::{Fields, Kind, Output, Row};
use crate::stage::{Context, Counters, RestoreError, Stage, Tick};
use emit::Leaving;
use functions::Bound;
use lifecycle::{deadline, key_bytes};
use read::Reader;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use session::{Plan, Session};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The stage.
#[derive(Debug)]
pub struct Sessionize {
    config: SessionizeConfig,
    context: Context,
    reader: Reader,
    plan: Plan,
    state: State,
    /// Session numbers by key: only ever looked up.
    by_key: FxHashMap<Box<[u8]>, u64>,
    /// (end, session number). An end may have moved on since; it is corrected when it comes up.
    by_deadline: BTreeSet<(i64, u64)>,
    /// Sum of the open sessions' sizes
    bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    clock: Clock,
    /// By number, in order of opening
    sessions: BTreeMap<u64, Session>,
    #[serde(deserialize_with = "crate::stage::count")]
    next_number: u64,
    /// Ended, not yet written
    leaving: VecDeque<Leaving>,
    /// Offset and log time of the last record or tick
    offset: i64,
    log_time: i64,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "crate::stage::count")]
    entered: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    counted: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    passed: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    late: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    dead: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    results: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    evicted: u64,
}

impl Stage for Sessionize {
    const NAME: &'static str = "sessionize";
    const STATE_VERSION: u32 = 1;
    type Config = SessionizeConfig;

    fn new(config: SessionizeConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        fail_on_errors(&config.check())?;
        let reader = Reader::new(&config, fields);
        let bind = |(name, function): (&String, &Function)| Bound {
            name: name.as_str().into(),
            function: function.clone(),
            slot: function.field().map(|field| fields.slot(field)),
        };
        let plan = Plan { method: config.method, functions: config.functions.iter().map(bind).collect() };
        let state = State {
            clock: Clock::default(),
            sessions: BTreeMap::new(),
            next_number: 0,
            leaving: VecDeque::new(),
            offset: -1,
            log_time: 0,
            counts: Counts::default(),
        };
        let (by_key, by_deadline) = (FxHashMap::default(), BTreeSet::new());
        Ok(Sessionize { config, context: context.clone(), reader, plan, state, by_key, by_deadline, bytes: 0 })
    }

    fn warnings(config: &SessionizeConfig) -> Issues {
        config.doubts()
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        if row.meta.kind != Kind::Event {
            out.pass(row);
            return;
        }
        // What became due before this row goes before it, also if nobody drained it.
        self.flush(out, true);
        self.state.counts.entered += 1;
        self.state.clock.observe(&row.meta, self.context.out_of_orderness);
        (self.state.offset, self.state.log_time) = (row.meta.offset, row.meta.log_time);
        let time_us = if row.meta.event_time == NEVER { row.meta.log_time } else { row.meta.event_time };
        match self.reader.read(row, time_us) {
            Ok(event) => self.take(row, &event, time_us, out),
            Err(bad) => self.refuse(row, &bad, out),
        }
        self.flush(out, false);
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        self.flush(out, true);
        self.state.clock.tick(tick, self.context.idle_after);
        self.state.offset = tick.offset;
        if !tick.end_of_input {
            self.state.log_time = self.state.log_time.max(tick.time);
        }
        self.flush(out, false);
    }

    fn pending(&self) -> bool {
        let due = |(deadline, _): &(i64, u64)| *deadline <= self.state.clock.watermark();
        !self.state.leaving.is_empty() || self.by_deadline.first().is_some_and(due)
    }

    fn drain(&mut self, out: &mut Output) {
        self.flush(out, false);
    }

    fn counters(&self) -> Counters {
        let c = &self.state.counts;
        vec![
            ("in", c.entered),
            ("counted", c.counted),
            ("late", c.late),
            ("dead", c.dead),
            ("passed", c.passed),
            ("sessions", c.results),
            ("open", self.state.sessions.len() as u64),
            ("evicted", c.evicted),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        crate::stage::save(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.state = crate::stage::load(bytes)?;
        self.by_key.clear();
        self.by_deadline.clear();
        self.bytes = 0;
        for (number, session) in &self.state.sessions {
            self.by_key.insert(key_bytes(session), *number);
            self.by_deadline.insert((deadline(session, &self.config).0, *number));
            self.bytes = self.bytes.saturating_add(session.bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

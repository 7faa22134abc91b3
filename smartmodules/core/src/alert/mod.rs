//! Alerts: rules over the fields of rows, and the life of an alert per rule and group.
//!
//! Words and states are Alertmanager's (pending, firing, resolved, group_by, severity). The clock
//! is the running maximum of the rows' event times and the ticks; it never goes back, and the end
//! of the input does not move it. A deadline (`for`, escalation, throttle, no data) is acted on
//! when a tick reaches it or a row passes it; at the very time of a deadline the rows of the
//! alert's own group speak first. A row passes on with the field `alert` if a rule applied to it,
//! and the records of the transitions it caused come right behind it.
//!
//! Cost per row: one expression per rule; O(log n) more if the group has an alert, or gets one.
//! Memory: `max_alerts` alerts within `max_state_bytes`, about 1 KiB each. Where it fails: a group
//! is only remembered while its alert lives, so a row far out of order can open an alert about
//! the past; ticks far ahead of a stream that catches up make `for` and escalation run on the
//! ticks' time.

mod config;
mod judge;
mod overflow;
mod record;
mod rule;
mod state;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_limits;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_state;
#[cfg(test)]
mod tests_time;
pub(crate) mod text;

pub use config::{AlertConfig, Escalation, Level, RuleConfig, Severity};
pub use overflow::OVERFLOW_RULE;

use crate::clock::{NEVER, StageClock};
use crate::config::{Issues, fail_on_errors};
use crate::row::{Fields, Kind, Output, Row, Slot};
use crate::stage::{Context, Counters, RestoreError, Stage, Tick, load, save};
use judge::{Verdict, add, policies};
use record::Face;
use rule::Rule;
use serde::{Deserialize, Serialize};
use store::{Entry, Limit, Saved, Store};
use text::{Named, named};

/// The stage `alert`.
#[derive(Debug)]
pub struct AlertStage {
    context: Context,
    limit: Limit,
    looks_at: [bool; Kind::ALL.len()],
    window: Option<String>,
    emit_pending: bool,
    rules: Vec<Rule>,
    /// One per rule, then the stage's own
    faces: Vec<Face>,
    /// Sorted by name
    group_by: Vec<Named>,
    slots: Slots,
    store: Store,
    state: State,
    /// Scratch: the row's group
    group: Vec<u8>,
    /// Scratch: rule number, then the group
    key: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Slots {
    alert: Slot,
    window: Slot,
    window_start: Slot,
    window_end: Slot,
    anomaly_id: Slot,
}

/// What is remembered beside the alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    clock: StageClock,
    /// Since when too many alerts are live
    overflow: Option<i64>,
    /// When that was last so
    last_overflow: i64,
    input: u64,
    evaluated: u64,
    firing: u64,
    resolved: u64,
    escalated: u64,
    throttled: u64,
    dropped: u64,
}

impl Default for State {
    fn default() -> Self {
        State {
            clock: StageClock::default(),
            overflow: None,
            last_overflow: NEVER,
            input: 0,
            evaluated: 0,
            firing: 0,
            resolved: 0,
            escalated: 0,
            throttled: 0,
            dropped: 0,
        }
    }
}

impl Stage for AlertStage {
    const NAME: &'static str = "alert";
    const STATE_VERSION: u32 = 2;
    type Config = AlertConfig;

    fn new(config: AlertConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        let mut issues = config.errors();
        let mut rules = Vec::new();
        for (i, rule) in config.rules.iter().enumerate() {
            match Rule::new(rule, &config, &format!("rules[{i}]"), fields) {
                Ok(rule) => rules.push(rule),
                Err(wrong) => issues.extend(wrong),
            }
        }
        fail_on_errors(&issues)?;
        let mut group_by: Vec<Named> = config.group_by.iter().map(|name| named(name, fields)).collect();
        group_by.sort_by(|a, b| a.name.cmp(&b.name));
        group_by.dedup_by(|a, b| a.name == b.name);
        let mut faces: Vec<Face> = rules.iter().map(face).collect();
        faces.push(overflow::face(&config));
        Ok(AlertStage {
            context: context.clone(),
            limit: Limit { alerts: config.max_alerts, bytes: context.max_state_bytes },
            looks_at: Kind::ALL.map(|kind| config.looks_at(kind)),
            window: config.window,
            emit_pending: config.emit_pending,
            rules,
            faces,
            group_by,
            slots: Slots {
                alert: fields.slot("alert"),
                window: fields.slot("window"),
                window_start: fields.slot("window_start"),
                window_end: fields.slot("window_end"),
                anomaly_id: fields.slot("anomaly_id"),
            },
            store: Store::default(),
            state: State::default(),
            group: Vec::new(),
            key: Vec::new(),
        })
    }

    fn warnings(config: &AlertConfig) -> Issues {
        config.doubts()
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        // What the host did not drain belongs before this row.
        while self.step(out) {}
        add(&mut self.state.input, (row.meta.kind == Kind::Event) as u64);
        let mut verdict = Verdict::default();
        if self.window.as_deref().is_some_and(|name| row.get(self.slots.window).as_str() != Some(name)) {
            return self.pass(row, &verdict, out);
        }
        let event_time = self.observe(&row.meta);
        if self.looks_at[row.meta.kind as usize] {
            for rule in 0..self.rules.len() {
                self.judge(rule, row, event_time, &mut verdict);
            }
        }
        self.pass(row, &verdict, out);
        for record in &verdict.records {
            self.emit(record, out);
        }
        self.settle(out);
        self.drain(out);
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        while self.step(out) {}
        if tick.end_of_input {
            return;
        }
        self.state.clock.tick(tick);
        self.drain(out);
    }

    fn pending(&self) -> bool {
        self.store.is_due(self.state.clock.due_until)
    }

    fn drain(&mut self, out: &mut Output) {
        while !out.is_full() && self.step(out) {}
    }

    fn counters(&self) -> Counters {
        let s = &self.state;
        vec![
            ("in", s.input),
            ("passed", s.input),
            ("evaluated", s.evaluated),
            ("firing", s.firing),
            ("resolved", s.resolved),
            ("escalated", s.escalated),
            ("throttled", s.throttled),
            ("active", self.store.firing()),
            ("dropped", s.dropped),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(&self.state, self.store.saved()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (state, saved): (State, Saved<Entry>) = load(bytes)?;
        self.store = Store::restored(saved, policies(&self.rules))?;
        self.state = state;
        Ok(())
    }

    /// Alerts stay with the rule of their name, so a changed rule neither fires again nor forgets what
    /// is firing. Those of a rule that is gone end without a record.
    fn adopt(&mut self, bytes: &[u8], config: &AlertConfig) -> Result<(), RestoreError> {
        let mut before: Vec<&str> = config.group_by.iter().map(String::as_str).collect();
        let mut now: Vec<&str> = self.group_by.iter().map(|named| &*named.name).collect();
        before.sort_unstable();
        now.sort_unstable();
        if before != now {
            return Err(RestoreError("`group_by` has changed, so no alert is what it was".into()));
        }
        let (state, mut saved): (State, Saved<Entry>) = load(bytes)?;
        saved.renumber(|old| {
            let name = &config.rules.get(old as usize)?.name;
            self.rules.iter().position(|rule| *rule.name == **name).map(|new| new as u32)
        });
        self.store = Store::restored(saved, policies(&self.rules))?;
        self.state = state;
        Ok(())
    }
}

fn face(rule: &Rule) -> Face {
    Face { rule: rule.name.clone(), condition: rule.condition().into(), notification: rule.notification.clone() }
}

//! Responses: rules from alerts and incidents to actions, and what becomes of them.
//!
//! A rule answers a record of an alert that fires or an incident that is open ([`subject`]), once for each. Whether it may
//! is decided by its limits: cooldown, rate, blast radius ([`rule`]). Approval, dry run, outcome, verification
//! and roll-back are the life of an action ([`case`]); every step is a record of kind `action`. The stage
//! executes nothing: the sink does, and tells the outcome by a record in the pipeline's inbox, where
//! approvals come from too. They have no time of their own: a step that one causes is at the clock, and its
//! record follows with the next row or tick.
//!
//! The clock is the running maximum of event times and ticks. A deadline is acted on when a tick reaches it or a
//! row passes it, before that row is heard. The end of the input moves nothing.
//!
//! Cost: a row about neither costs a few field reads; a record that a rule answers is held against all
//! actions that are remembered. Memory: about 2 KiB per action, `max_actions` of them within
//! `max_state_bytes`. Where it fails: limits are per partition of the input; a suppressed action is not
//! queued, only a later record of its subject asks again.

mod act;
mod case;
mod check;
mod config;
mod hear;
mod record;
mod rule;
mod step;
mod store;
mod subject;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_random;

pub use config::{
    Act, Approval, BlastRadius, Call, Flag, Note, On, RateLimit, RespondConfig, RuleConfig, Scale, Verify, is_own_topic,
};

use crate::alert::text::shortened;
use crate::clock::StageClock;
use crate::config::{Issues, fail_on_errors};
use crate::row::{Fields, Kind, Output, Row};
use crate::stage::{Context, Control, Counters, RestoreError, Stage, Tick, count, load, save};
use crate::time::LAST_US;
use crate::value::Value;
use case::{Case, Policy};
use rule::Rule;
use serde::{Deserialize, Serialize};
use step::{Step, Told};
use store::{Saved, Store};
use subject::Reader;

/// The stage `respond`.
#[derive(Debug)]
pub struct RespondStage {
    context: Context,
    most: usize,
    reader: Reader,
    rules: Vec<Rule>,
    store: Store,
    state: State,
}

/// What is remembered beside the actions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    clock: StageClock,
    /// Steps that a control record caused, for the next row or tick
    waiting: Vec<(Case, Told)>,
    counts: Counts,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "count")]
    input: u64,
    #[serde(deserialize_with = "count")]
    heard: u64,
    #[serde(deserialize_with = "count")]
    unreadable: u64,
    #[serde(deserialize_with = "count")]
    decided: u64,
    #[serde(deserialize_with = "count")]
    ignored: u64,
    #[serde(deserialize_with = "count")]
    forgotten: u64,
    /// Records by [`Step`]
    steps: [u64; 15],
}

impl Stage for RespondStage {
    const NAME: &'static str = "respond";
    const STATE_VERSION: u32 = 1;
    type Config = RespondConfig;

    fn new(config: RespondConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        let mut issues = config.errors();
        let mut rules = Vec::new();
        for (i, rule) in config.rules.iter().enumerate() {
            match Rule::new(rule, rule.dry_run.unwrap_or(config.dry_run), fields) {
                Ok(rule) => rules.push(rule),
                Err(wrong) => issues.extend(wrong.into_iter().map(|issue| issue.under(&format!("rules[{i}]")))),
            }
        }
        fail_on_errors(&issues)?;
        Ok(RespondStage {
            context: context.clone(),
            most: config.max_actions as usize,
            reader: Reader::new(fields),
            rules,
            store: Store::default(),
            state: State::default(),
        })
    }

    fn warnings(config: &RespondConfig) -> Issues {
        config.doubts()
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        // What the host did not drain belongs before this row.
        while self.step(out) {}
        self.state.counts.input += u64::from(row.meta.kind == Kind::Event);
        out.pass(row);
        // A dead letter's time is not believed.
        if row.meta.kind != Kind::DeadLetter {
            let time = self.time_of(row);
            self.state.clock.reach(time);
            self.state.clock.caused_by(&row.meta);
        }
        let Some(on) = self.reader.is_about(row) else { return self.drain(out) };
        while self.step(out) {}
        match self.reader.read(on, row) {
            Some(heard) => self.hear(&heard, row, out),
            None => self.state.counts.unreadable += 1,
        }
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        while self.step(out) {}
        if !tick.end_of_input {
            self.state.clock.tick(&Tick { time: tick.time.min(LAST_US), ..*tick });
            self.drain(out);
        }
    }

    fn pending(&self) -> bool {
        !self.state.waiting.is_empty() || self.store.due(self.state.clock.due_until).is_some()
    }

    fn drain(&mut self, out: &mut Output) {
        while !out.is_full() && self.step(out) {}
    }

    fn control(&mut self, control: &Control) {
        let now = self.state.clock.now;
        let mut told = Vec::new();
        let (number, known) = match control {
            Control::Approval { action_id, approved, by, comment } => {
                let said = (by.as_deref().and_then(text), comment.as_deref().and_then(text));
                let answer = |case: &mut Case, policy: &Policy| case.answer(*approved, said, now, policy, &mut told);
                self.with(action_id, answer)
            }
            Control::Outcome { action_id, rollback, done, message } => {
                let message = message.as_deref().and_then(text);
                let outcome = |case: &mut Case, policy: &Policy| {
                    case.outcome((*rollback, *done), message, now, policy, &mut told)
                };
                self.with(action_id, outcome)
            }
            Control::Reference { .. } | Control::Feedback { .. } => return,
        };
        self.state.counts.ignored += u64::from(!known);
        if let Some(case) = number.and_then(|number| self.store.get(number)) {
            self.state.waiting.extend(told.into_iter().map(|told| (case.clone(), told)));
        }
    }

    fn counters(&self) -> Counters {
        let c = &self.state.counts;
        let step = |step: Step| c.steps[step as usize];
        vec![
            ("in", c.input),
            ("passed", c.input),
            ("heard", c.heard),
            ("unreadable", c.unreadable),
            ("decided", c.decided),
            ("suppressed", step(Step::Suppressed)),
            ("dry_runs", step(Step::DryRun)),
            ("approved", step(Step::Approved)),
            ("rejected", step(Step::Rejected) + step(Step::ApprovalExpired)),
            ("cancelled", step(Step::Cancelled)),
            ("requested", step(Step::Requested)),
            ("done", step(Step::Done)),
            ("failed", step(Step::Failed)),
            ("recovered", step(Step::Recovered)),
            ("not_recovered", step(Step::NotRecovered)),
            ("rollbacks", step(Step::RollbackRequested)),
            ("rolled_back", step(Step::RolledBack)),
            ("rollbacks_failed", step(Step::RollbackFailed)),
            ("ignored", c.ignored),
            ("in_progress", self.store.in_progress()),
            ("remembered", self.store.len() as u64),
            ("forgotten", c.forgotten),
            ("state_bytes", self.store.bytes()),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(&self.state, self.store.saved()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (state, saved): (State, Saved<Case>) = load(bytes)?;
        self.take_over(state, saved)
    }

    /// Actions stay with the rule of their name, so a changed rule neither acts again nor forgets what is in
    /// progress. Those of a rule that is gone end without a record.
    fn adopt(&mut self, bytes: &[u8], config: &RespondConfig) -> Result<(), RestoreError> {
        let (mut state, mut saved): (State, Saved<Case>) = load(bytes)?;
        let new = |old: u32| {
            let name = &config.rules.get(old as usize)?.name;
            self.rules.iter().position(|rule| *rule.name == **name).map(|new| new as u32)
        };
        saved.renumber(new);
        state.waiting.retain_mut(|(case, _)| new(case.rule).map(|rule| case.rule = rule).is_some());
        self.take_over(state, saved)
    }
}

impl RespondStage {
    /// Event time of a row. Later than can be said is the last that can, so that a row that came as JSON is at
    /// the same time.
    fn time_of(&self, row: &Row<'_>) -> i64 {
        self.state.clock.time_of(&row.meta).min(LAST_US)
    }

    fn take_over(&mut self, state: State, saved: Saved<Case>) -> Result<(), RestoreError> {
        let rules = &self.rules;
        let sound = |(case, _): &(Case, Told)| (case.rule as usize) < rules.len() && store::is_sound(case);
        if state.counts.steps.iter().any(|n| n >> 62 != 0) || !state.waiting.iter().all(sound) {
            return Err(RestoreError("steps that cannot be".into()));
        }
        self.store = Store::restored(saved, self.most, policies(rules))?;
        self.state = state;
        Ok(())
    }

    /// Lets a control record act on an action: its number, and whether it was expected.
    fn with(&mut self, action_id: &str, act: impl FnOnce(&mut Case, &Policy) -> bool) -> (Option<u64>, bool) {
        let found = self.store.of_id(action_id);
        let rule = found.and_then(|number| self.store.get(number)).map(|case| case.rule as usize);
        let (Some(number), Some(rule)) = (found, rule.and_then(|rule| self.rules.get(rule))) else {
            return (None, false);
        };
        let Some(mut case) = self.store.take(number, &rule.policy) else { return (None, false) };
        let known = act(&mut case, &rule.policy);
        self.store.put(number, case, &rule.policy);
        (Some(number), known)
    }

    /// Does one thing that waits or is due. False if nothing is.
    fn step(&mut self, out: &mut Output) -> bool {
        if !self.state.waiting.is_empty() {
            for (case, told) in std::mem::take(&mut self.state.waiting) {
                self.emit(&case, &[told], out);
            }
            return true;
        }
        let Some(number) = self.store.due(self.state.clock.due_until) else { return false };
        let rule = self.store.get(number).and_then(|case| self.rules.get(case.rule as usize));
        let Some(rule) = rule else { return false };
        let Some(mut case) = self.store.take(number, &rule.policy) else { return false };
        let mut told = Vec::new();
        case.act(&rule.policy, &mut told);
        self.store.put(number, case.clone(), &rule.policy);
        self.emit(&case, &told, out);
        true
    }

    /// Writes steps of an action.
    fn emit(&mut self, case: &Case, told: &[Told], out: &mut Output) {
        let Some(rule) = self.rules.get(case.rule as usize) else { return };
        for told in told {
            self.state.counts.steps[told.step as usize] += 1;
            record::write(case, told, rule, &self.context, self.state.clock.trigger, out);
        }
    }
}

fn policies<'r>(rules: &'r [Rule]) -> impl Fn(u32) -> Option<&'r Policy> {
    |rule| rules.get(rule as usize).map(|rule| &rule.policy)
}

/// What somebody said, bounded.
fn text(said: &str) -> Option<Box<str>> {
    match shortened(Value::Str(said)) {
        Value::Str(text) if !text.is_empty() => Some(text.into()),
        _ => None,
    }
}

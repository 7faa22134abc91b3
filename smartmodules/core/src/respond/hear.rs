//! What a record of an alert or incident does: to the actions about it, and which new ones it asks for.
//!
//! Its order is that of the actions' age, then that of the rules.

use super::case::{Case, Phase};
use super::rule::{Plan, Rule};
use super::step::Why;
use super::subject::{Heard, Word};
use super::{RespondStage, policies, record};
use crate::row::{Output, Row};

/// A record's key beyond this is not kept.
const MAX_KEY_BYTES: usize = 256;

impl RespondStage {
    /// Takes a record.
    pub(super) fn hear(&mut self, heard: &Heard, row: &Row<'_>, out: &mut Output) {
        self.state.counts.heard += 1;
        let about = self.store.about(&(heard.on, heard.id.clone()));
        for number in &about {
            self.hear_of(*number, heard, row, out);
        }
        if heard.word != Word::Firing {
            return;
        }
        for at in 0..self.rules.len() {
            let Some(rule) = self.rules.get(at).filter(|rule| rule.answers(heard.on, row)) else { continue };
            let of_rule = |number: &&u64| self.store.get(**number).is_some_and(|case| case.rule as usize == at);
            let before = about.iter().find(of_rule).copied();
            // What was decided about a subject is decided; what was suppressed is asked again.
            if before.is_none_or(|number| self.is_suppressed(number)) {
                let id = record::action_id(&self.context, &rule.name, &heard.id, &self.reader.record_id(row));
                self.ask(at, before, id, heard, row, out);
            }
        }
    }

    fn is_suppressed(&self, number: u64) -> bool {
        self.store.get(number).is_some_and(|case| matches!(case.phase, Phase::Suppressed(_)))
    }

    /// A record of the subject of an action.
    fn hear_of(&mut self, number: u64, heard: &Heard, row: &Row<'_>, out: &mut Output) {
        let now = self.state.clock.now;
        let Some(rule) = self.store.get(number).and_then(|case| self.rules.get(case.rule as usize)) else { return };
        let Some(mut case) = self.store.take(number, &rule.policy) else { return };
        let mut told = Vec::new();
        match &heard.word {
            Word::Over { recovered } => case.over(*recovered, now, &rule.policy, &mut told),
            Word::Firing if rule.says_recovered(row) => case.recovered(now, &rule.policy, &mut told),
            Word::MergedInto(into) => case.subject = into.clone(),
            Word::Firing | Word::Quiet => {}
        }
        self.store.put(number, case.clone(), &rule.policy);
        self.emit(&case, &told, out);
    }

    /// A rule wants to act: decides whether it may, and remembers that.
    fn ask(
        &mut self,
        at: usize,
        before: Option<u64>,
        action_id: Box<str>,
        heard: &Heard,
        row: &Row<'_>,
        out: &mut Output,
    ) {
        if self.store.of_id(&action_id).is_some_and(|number| Some(number) != before) {
            // A copy of a record whose subject has become another one.
            return;
        }
        let now = self.state.clock.now;
        let Some(rule) = self.rules.get(at) else { return };
        let plan = rule.plan(row);
        let limit = self.limit(at, rule, plan.as_ref(), row);
        let before = before.and_then(|number| Some((number, self.store.take(number, &rule.policy)?)));
        let (number, old) = before.map_or((None, None), |(number, case)| (Some(number), Some(case)));
        let mut case = Case { action_id, ..self.case(at, old, plan, heard, row) };
        let room = (self.most, self.context.max_state_bytes);
        let (forgotten, fits) = self.store.make_room(room, &case, now, policies(&self.rules));
        self.state.counts.forgotten += forgotten;
        let mut told = Vec::new();
        match limit.or((!fits).then_some(Why::Full)) {
            Some(why) => case.suppress(why, now, &mut told),
            None => {
                self.state.counts.decided += 1;
                case.decide(now, &rule.policy, &mut told);
            }
        }
        if fits {
            let number = number.unwrap_or_else(|| self.store.number());
            self.store.put(number, case.clone(), &rule.policy);
        }
        self.emit(&case, &told, out);
    }

    /// What forbids an action.
    fn limit(&self, at: usize, rule: &Rule, plan: Option<&Plan>, row: &Row<'_>) -> Option<Why> {
        let (now, Some(plan)) = (self.state.clock.now, plan) else { return Some(Why::MissingField) };
        if now.saturating_sub(self.time_of(row)) > rule.policy.expires_us {
            return Some(Why::Stale);
        }
        rule.limit(plan, now, self.store.iter().filter(|case| case.rule as usize == at))
    }

    /// A new action, or a suppressed one anew.
    fn case(&self, at: usize, old: Option<Case>, plan: Option<Plan>, heard: &Heard, row: &Row<'_>) -> Case {
        let now = self.state.clock.now;
        let plan = plan.unwrap_or_else(Plan::unknown);
        Case {
            rule: at as u32,
            on: heard.on,
            subject: heard.id.clone(),
            action_id: "".into(),
            target: plan.target,
            reach: plan.reach,
            body: plan.body,
            rollback: plan.rollback,
            reason: self.reader.reason(heard, row).into(),
            key: row.key.filter(|key| key.len() <= MAX_KEY_BYTES).map(Into::into),
            phase: old.as_ref().map_or(Phase::Gone, |case| case.phase),
            since: old.as_ref().map_or(now, |case| case.since),
            decided: now,
            steps: old.map_or(0, |case| case.steps),
            over: None,
        }
    }
}

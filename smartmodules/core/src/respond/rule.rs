//! One rule, ready: its texts bound to slots, its times in microseconds.

use super::act::Bound;
use super::case::{Case, Policy};
use super::config::{On, RuleConfig};
use super::step::Why;
use crate::alert::text::Template;
use crate::config::{Issue, Issues};
use crate::expr::Expr;
use crate::row::{Fields, Row};
use std::collections::BTreeSet;

/// A target's name is cut to this.
const MAX_TARGET_BYTES: usize = 256;

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub name: Box<str>,
    pub on: On,
    condition: Option<Expr>,
    target: Template,
    reach: Option<Template>,
    pub action: Bound,
    pub rollback: Option<Bound>,
    recovered: Option<Expr>,
    pub policy: Policy,
    cooldown_us: i64,
    rate: (usize, i64),
    blast: (usize, i64),
}

/// What an action would be about.
#[derive(Debug)]
pub(super) struct Plan {
    pub target: Box<str>,
    pub reach: Box<str>,
    pub body: Box<str>,
    pub rollback: Option<Box<str>>,
}

impl Plan {
    /// Of a record that lacks a field of it.
    pub fn unknown() -> Plan {
        Plan { target: "".into(), reach: "".into(), body: "null".into(), rollback: None }
    }
}

impl Rule {
    /// Binds a rule; everything wrong with its texts at once.
    pub fn new(config: &RuleConfig, dry: bool, fields: &mut Fields) -> Result<Rule, Issues> {
        let mut issues = Issues::new();
        let mut keep = |path: &str, issue: Issue| issues.push(issue.under(path));
        let condition = expression(config.condition.as_deref(), fields).map_err(|issue| keep("where", issue));
        let target = Template::parse(&config.target, fields).map_err(|issue| keep("target", issue));
        let of = config.blast_radius.of.as_deref();
        let reach = of.map(|text| Template::parse(text, fields)).transpose();
        let reach = reach.map_err(|issue| keep("blast_radius.of", issue));
        let action = Bound::new(&config.action, fields).map_err(|issue| keep("action", issue));
        let rollback = config.rollback.as_ref().map(|act| Bound::new(act, fields)).transpose();
        let rollback = rollback.map_err(|issue| keep("rollback", issue));
        let text = config.verify.as_ref().and_then(|verify| verify.recovered.as_deref());
        let recovered = expression(text, fields).map_err(|issue| keep("verify.recovered", issue));
        let (Ok(condition), Ok(target), Ok(reach), Ok(action), Ok(rollback), Ok(recovered)) =
            (condition, target, reach, action, rollback, recovered)
        else {
            return Err(issues);
        };
        let (cooldown_us, per_us) = (config.cooldown.us(), config.rate_limit.per.us());
        let within_us = config.blast_radius.within.us();
        Ok(Rule {
            name: config.name.as_str().into(),
            on: config.on,
            condition,
            target,
            reach,
            policy: Policy {
                dry,
                approval_us: config.approval.filter(|a| a.required).map(|a| a.timeout.us()),
                expires_us: config.expires.us(),
                verify_us: config.verify.as_ref().map(|verify| verify.within.us()),
                rolls_back: rollback.is_some(),
                memory_us: cooldown_us.max(per_us).max(within_us),
            },
            action,
            rollback,
            recovered,
            cooldown_us,
            rate: (config.rate_limit.count as usize, per_us),
            blast: (config.blast_radius.max as usize, within_us),
        })
    }

    /// Does it answer this record? Unknown is no.
    pub fn answers(&self, on: On, row: &Row<'_>) -> bool {
        self.on == on && self.condition.as_ref().is_none_or(|condition| condition.test(row) == Some(true))
    }

    /// Does a record of the subject say that it has recovered?
    pub fn says_recovered(&self, row: &Row<'_>) -> bool {
        self.recovered.as_ref().is_some_and(|recovered| recovered.test(row) == Some(true))
    }

    /// What would be done about the record; None if it lacks a field of that.
    pub fn plan(&self, row: &Row<'_>) -> Option<Plan> {
        let target = cut(self.target.fill_known(row)?);
        Some(Plan {
            reach: match &self.reach {
                Some(of) => cut(of.fill_known(row)?),
                None => target.clone(),
            },
            target,
            body: self.action.body(row)?,
            rollback: match &self.rollback {
                Some(rollback) => Some(rollback.body(row)?),
                None => None,
            },
        })
    }

    /// The limit that forbids it, if one does; `others` are the decisions of this rule.
    pub fn limit<'c>(&self, plan: &Plan, now: i64, others: impl Iterator<Item = &'c Case>) -> Option<Why> {
        let (mut in_rate, mut reached) = (0, BTreeSet::new());
        for case in others.filter(|case| case.counts()) {
            let age_us = now.saturating_sub(case.decided);
            if case.target == plan.target && (case.in_progress() || age_us < self.cooldown_us) {
                return Some(Why::Cooldown);
            }
            in_rate += usize::from(age_us < self.rate.1);
            if case.reach != plan.reach && (case.in_progress() || age_us < self.blast.1) {
                reached.insert(&case.reach);
            }
        }
        match (in_rate >= self.rate.0, reached.len() >= self.blast.0) {
            (true, _) => Some(Why::RateLimit),
            (_, true) => Some(Why::BlastRadius),
            _ => None,
        }
    }
}

fn expression(text: Option<&str>, fields: &mut Fields) -> Result<Option<Expr>, Issue> {
    let Some(text) = text else { return Ok(None) };
    let condition = Expr::parse(text, fields)?;
    match condition.is_condition() {
        true => Ok(Some(condition)),
        false => Err(Issue::error("", "expected a condition, found an expression that is never true or false")
            .hint("compare it, as in `severity = 'critical'`")),
    }
}

fn cut(text: String) -> Box<str> {
    text[..text.floor_char_boundary(MAX_TARGET_BYTES)].into()
}

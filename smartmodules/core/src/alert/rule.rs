//! One rule, ready to judge rows.
//!
//! A row speaks about a rule if it has a field of the condition that is not wholly unknown, and
//! comes from the rule's window. Cost per row: one expression.

use super::config::{AlertConfig, RuleConfig};
use super::state::Policy;
use super::text::{Named, Template};
use crate::config::{Issue, Issues};
use crate::expr::Expr;
use crate::forecast::{PREDICTION, TIME_TO_BREACH};
use crate::row::{Fields, Row, Slot};
use std::collections::BTreeMap;

/// A rule with its fields bound to slots.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) name: Box<str>,
    condition: Option<Expr>,
    /// What records say of it
    text: Box<str>,
    /// Fields of the condition
    pub(super) fields: Vec<Named>,
    window: Option<Box<str>>,
    pub(super) policy: Policy,
    /// JSON array
    pub(super) notification: Box<str>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) summary: Option<Template>,
}

impl Rule {
    /// Binds a rule; everything wrong with its texts at once, below `path`.
    pub(super) fn new(rule: &RuleConfig, stage: &AlertConfig, path: &str, fields: &mut Fields) -> Result<Rule, Issues> {
        let mut issues = Issues::new();
        let condition = rule
            .condition
            .as_deref()
            .map(|text| condition(text, fields))
            .transpose()
            .map_err(|issue| issues.push(issue.under(&format!("{path}.condition"))))
            .unwrap_or_default();
        let summary = rule
            .summary
            .as_deref()
            .map(|text| Template::parse(text, fields))
            .transpose()
            .map_err(|issue| issues.push(issue.under(&format!("{path}.summary"))))
            .unwrap_or_default();
        if !issues.is_empty() {
            return Err(issues);
        }
        Ok(Rule {
            name: rule.name.as_str().into(),
            fields: names(&spoken_of(condition.as_ref().map_or(&[], Expr::slots), fields), fields),
            text: said(rule).into(),
            condition,
            window: rule.window.as_deref().map(Into::into),
            policy: policy(rule, stage),
            notification: serde_json::to_string(&rule.notification).unwrap_or_default().into(),
            labels: rule.labels.clone(),
            summary,
        })
    }

    /// The condition as the user wrote it.
    pub(super) fn condition(&self) -> &str {
        &self.text
    }

    /// Is the row a breach? None: it says nothing about the rule. Unknown is no breach, unless
    /// nothing at all is known. To a rule of absence a row that counts is where silence may begin.
    pub(super) fn judge(&self, row: &Row<'_>, window: Slot) -> Option<bool> {
        if let Some(name) = &self.window
            && row.get(window).as_str() != Some(name)
        {
            return None;
        }
        let Some(condition) = &self.condition else {
            return Some(true);
        };
        if !self.fields.iter().any(|field| row.has(field.slot)) {
            return None;
        }
        match condition.test(row) {
            verdict if self.policy.absent => verdict.filter(|counts| *counts),
            Some(verdict) => Some(verdict),
            None => self.fields.iter().any(|field| !row.get(field.slot).is_null()).then_some(false),
        }
    }
}

fn said(rule: &RuleConfig) -> String {
    let condition = rule.condition.as_deref().unwrap_or_default();
    match rule.absent {
        Some(absent) if condition.is_empty() => format!("absent {absent}"),
        Some(absent) => format!("absent {absent}: {condition}"),
        None => condition.into(),
    }
}

fn condition(text: &str, fields: &mut Fields) -> Result<Expr, Issue> {
    let condition = Expr::parse(text, fields)?;
    if condition.slots().is_empty() {
        let issue = Issue::error("", "expected a condition on fields of the row, found none in it");
        return Err(issue.hint("name a field, as in `p75_lcp > 4000`"));
    }
    if !condition.is_condition() {
        let issue = Issue::error("", "expected a condition, found an expression that is never true or false");
        return Err(issue.hint("compare it, as in `p75_lcp > 4000`"));
    }
    Ok(condition)
}

/// The fields by which a row speaks about a condition. `time_to_breach` is absent where no breach is in sight;
/// then the prediction beside it says that the condition is not met.
fn spoken_of(slots: &[Slot], fields: &mut Fields) -> Vec<Slot> {
    let mut slots = slots.to_vec();
    if slots.iter().any(|slot| fields.names().nth(slot.0) == Some(TIME_TO_BREACH)) {
        let prediction = fields.slot(PREDICTION);
        if !slots.contains(&prediction) {
            slots.push(prediction);
        }
    }
    slots
}

fn names(slots: &[Slot], fields: &Fields) -> Vec<Named> {
    slots
        .iter()
        .filter_map(|slot| fields.names().nth(slot.0).map(|name| Named { name: name.into(), slot: *slot }))
        .collect()
}

fn policy(rule: &RuleConfig, stage: &AlertConfig) -> Policy {
    Policy {
        severity: rule.severity,
        absent: rule.absent.is_some(),
        hold_us: rule.absent.unwrap_or(rule.hold).us(),
        throttle_us: rule.throttle.us(),
        resolve_after_us: rule.resolved_after().us(),
        levels: stage.levels(rule).iter().map(|level| (level.duration.us(), level.severity)).collect(),
    }
}

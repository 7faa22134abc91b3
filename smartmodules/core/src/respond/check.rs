//! What can be wrong with the parameters, without parsing their texts.

use super::config::{Act, RespondConfig, RuleConfig, is_own_topic};
use crate::config::{Issue, Issues};
use crate::duration::Span;
use serde_json::Value;
use std::collections::BTreeSet;

const MAX_RULES: usize = 100;
/// The bound of `max_actions`.
const MAX_ACTIONS: u32 = 10_000;
/// A body in the file is no longer than this, as JSON.
const MAX_BODY_BYTES: usize = 8 << 10;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

impl RespondConfig {
    /// Everything wrong that can be seen without parsing texts.
    pub(super) fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        if self.rules.len() > MAX_RULES {
            issues.push(Issue::error("rules", format!("expected at most {MAX_RULES}, found {}", self.rules.len())));
        }
        number("max_actions", self.max_actions, 1, MAX_ACTIONS, &mut issues);
        let mut names = BTreeSet::new();
        for (i, rule) in self.rules.iter().enumerate() {
            let path = format!("rules[{i}]");
            issues.extend(rule.errors().into_iter().map(|issue| issue.under(&path)));
            if !names.insert(rule.name.as_str()) {
                let message = format!("expected names that differ, found `{}` twice", rule.name);
                let issue = Issue::error(format!("{path}.name"), message);
                issues.push(issue.hint("the name is part of the action's id; give each rule its own"));
            }
        }
        issues
    }

    /// What works but is doubtful.
    pub(super) fn doubts(&self) -> Issues {
        let mut issues = Issues::new();
        if self.rules.is_empty() {
            issues.push(Issue::warning("rules", "no rules: the stage passes everything and does nothing"));
        }
        for (i, rule) in self.rules.iter().enumerate() {
            if !rule.dry_run.unwrap_or(self.dry_run) && rule.verify.is_none() {
                let issue = Issue::warning(format!("rules[{i}].verify"), "nobody asks whether the action helps");
                issues.push(issue.hint("as `verify: { within: 10m }`"));
            }
        }
        issues
    }
}

impl RuleConfig {
    fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        if self.name.trim().is_empty() {
            issues.push(Issue::error("name", "expected a name, found nothing"));
        }
        if self.target.trim().is_empty() {
            let issue = Issue::error("target", "expected what is acted on, found nothing");
            issues.push(issue.hint("as `target: \"{labels.service}\"`"));
        }
        span("expires", self.expires, 10 * SECOND, HOUR, "`10s` to `1h`", &mut issues);
        span("cooldown", self.cooldown, 0, 7 * DAY, "`0s` to `7d`", &mut issues);
        number("rate_limit.count", self.rate_limit.count, 1, 1000, &mut issues);
        span("rate_limit.per", self.rate_limit.per, 60 * SECOND, 7 * DAY, "`1m` to `7d`", &mut issues);
        number("blast_radius.max", self.blast_radius.max, 1, 1000, &mut issues);
        span("blast_radius.within", self.blast_radius.within, 60 * SECOND, 7 * DAY, "`1m` to `7d`", &mut issues);
        if let Some(approval) = &self.approval {
            span("approval.timeout", approval.timeout, 60 * SECOND, 7 * DAY, "`1m` to `7d`", &mut issues);
        }
        if let Some(verify) = &self.verify {
            span("verify.within", verify.within, 10 * SECOND, DAY, "`10s` to `1d`", &mut issues);
        }
        self.action.errors("action", &mut issues);
        if let Some(rollback) = &self.rollback {
            rollback.errors("rollback", &mut issues);
            if self.verify.is_none() {
                let issue = Issue::error("rollback", "expected `verify` beside it, found none");
                issues.push(issue.hint("as `verify: { within: 10m }`: what has not recovered then is rolled back"));
            }
        }
        issues
    }
}

impl Act {
    fn errors(&self, path: &str, issues: &mut Issues) {
        let mut empty = |key: &str, text: &str| {
            if text.trim().is_empty() {
                issues.push(Issue::error(format!("{path}.{key}"), "expected a text, found nothing"));
            }
        };
        let body = match self {
            Act::Webhook(call) | Act::Command(call) => {
                empty("receiver", &call.receiver);
                call.body.as_ref().map(|body| ("body", Value::Object(body.clone())))
            }
            Act::FeatureFlag(flag) => {
                empty("receiver", &flag.receiver);
                empty("flag", &flag.flag);
                Some(("value", flag.value.clone()))
            }
            Act::Scale(scale) => {
                empty("receiver", &scale.receiver);
                empty("name", &scale.name);
                number(&format!("{path}.replicas"), scale.replicas, 0, 10_000, issues);
                None
            }
            Act::Record(note) => {
                empty("topic", &note.topic);
                if is_own_topic(&note.topic) {
                    let message = format!("expected a topic of yours, found `{}`", note.topic);
                    let issue = Issue::error(format!("{path}.topic"), message);
                    issues.push(issue.hint("only perfstream itself writes this one"));
                }
                note.body.as_ref().map(|body| ("body", Value::Object(body.clone())))
            }
        };
        if let Some((key, body)) = body {
            let bytes = body.to_string().len();
            if bytes > MAX_BODY_BYTES {
                let message = format!("expected at most {MAX_BODY_BYTES} bytes as JSON, found {bytes}");
                issues.push(Issue::error(format!("{path}.{key}"), message));
            }
        }
    }
}

fn number(path: &str, found: u32, low: u32, high: u32, issues: &mut Issues) {
    if !(low..=high).contains(&found) {
        issues.push(Issue::error(path, format!("expected {low} to {high}, found {found}")));
    }
}

fn span(path: &str, found: Span, low: i64, high: i64, words: &str, issues: &mut Issues) {
    if !(low..=high).contains(&found.us()) {
        issues.push(Issue::error(path, format!("expected {words}, found `{found}`")));
    }
}

//! The parameters of `alert`, and what can be wrong with them.

use crate::config::{Issue, Issues};
use crate::duration::Span;
use crate::row::Kind;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How bad it is; the order is the order of badness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know
    Info,
    /// Look at it today
    Warning,
    /// Look at it now
    Error,
    /// Wake somebody
    Critical,
}

impl Severity {
    /// The word in configs and records.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
            Severity::Critical => "critical",
        }
    }
}

/// Parameters of the stage `alert`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AlertConfig {
    /// The rules; each is evaluated on every row that says something about it. Default: none.
    pub rules: Vec<RuleConfig>,
    /// What becomes of an alert that keeps firing; a rule's own `escalation` goes before it.
    pub escalation: Escalation,
    /// Fields whose values make one alert of a rule; a row that lacks one (or has null) is grouped
    /// by the others. Default: `page`, `browser`, `sessionId`.
    pub group_by: Vec<String>,
    /// Alerts remembered at once (pending, firing, or resolved within the throttle), 1 to
    /// 1,000,000. Beyond it the oldest resolved, then the oldest pending is forgotten; if all
    /// fire, a new one is not opened. Counted in `dropped`, told by one alert. Default: 100000.
    pub max_alerts: u32,
    /// Name of the window that rules look at; rows of others, and of none, pass and are no clock. Default:
    /// all rows.
    pub window: Option<String>,
    /// Kinds of rows that rules look at. Default: every kind but `dead_letter`, `late`, `alert`,
    /// `progress`, `gap` and `statistics`.
    pub kinds: Option<Vec<String>>,
    /// Emit a record when an alert becomes pending (only rules with `for`). Default: false.
    pub emit_pending: bool,
}

impl Default for AlertConfig {
    fn default() -> Self {
        AlertConfig {
            rules: Vec::new(),
            escalation: Escalation::default(),
            group_by: ["page", "browser", "sessionId"].map(String::from).to_vec(),
            max_alerts: 100_000,
            window: None,
            kinds: None,
            emit_pending: false,
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Name, unique in the stage; part of every `alert_id`, so renaming a rule opens new alerts.
    pub name: String,
    /// Expression that is true in a breach. A row with none of its fields says nothing about it. Required
    /// without `absent`. Default: none.
    #[serde(default)]
    pub condition: Option<String>,
    /// The rule breaches when a group that was seen has had no row for this long, 1s or more; the next row
    /// ends it. With `condition`, only rows for which it is true count. Default: none.
    #[serde(default)]
    pub absent: Option<Span>,
    /// Severity when it fires: `info`, `warning`, `error` or `critical`. Default: `warning`.
    #[serde(default = "default_severity")]
    pub severity: Severity,
    /// Ids of the receivers to be told. Default: none.
    #[serde(default)]
    pub notification: Vec<String>,
    /// At most one firing notification per group in this time; one kept back is given at its end
    /// if the alert still fires. Default: `0s`, no limit.
    #[serde(default)]
    pub throttle: Span,
    /// The condition must hold this long before the alert fires. Default: `0s`, at once.
    #[serde(default, rename = "for")]
    pub hold: Span,
    /// After this long without a row about the group the alert is resolved with reason `no_data`;
    /// `0s`: never. Default: `15m`, never with `absent`.
    #[serde(default)]
    pub resolve_after: Option<Span>,
    /// Name of the window the rule looks at; rows of others say nothing about it. Default: all
    /// rows.
    #[serde(default)]
    pub window: Option<String>,
    /// Text for people, with `{field}` for a field of the row and `{{`, `}}` for braces. Default:
    /// a sentence with rule, group and the condition's values.
    #[serde(default)]
    pub summary: Option<String>,
    /// Labels added to the group's fields in every record of the alert. Default: none.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Escalation of this rule, in place of the stage's. Default: the stage's.
    #[serde(default)]
    pub escalation: Option<Escalation>,
}

/// Severity that rises while an alert fires.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Escalation {
    /// Are the levels in force? Default: false.
    pub enabled: bool,
    /// Levels, by ascending duration. Default: none.
    pub levels: Vec<Level>,
}

/// One level of an escalation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Firing for this long gives at least `severity`.
    pub duration: Span,
    /// Least severity from then on: `info`, `warning`, `error` or `critical`.
    pub severity: Severity,
}

fn default_severity() -> Severity {
    Severity::Warning
}

impl RuleConfig {
    /// `resolve_after`, or its default.
    pub(super) fn resolved_after(&self) -> Span {
        let default = if self.absent.is_some() { Span::default() } else { Span::minutes(15) };
        self.resolve_after.unwrap_or(default)
    }
}

/// The bound of `max_alerts`.
const MAX_ALERTS: u32 = 1_000_000;

impl AlertConfig {
    /// Does the stage look at rows of this kind?
    pub(super) fn looks_at(&self, kind: Kind) -> bool {
        match &self.kinds {
            Some(kinds) => kinds.iter().any(|name| name == kind.name()),
            None => !matches!(
                kind,
                Kind::DeadLetter | Kind::Late | Kind::Alert | Kind::Progress | Kind::Gap | Kind::Statistics
            ),
        }
    }

    /// The escalation in force for a rule: none if it is not enabled.
    pub(super) fn levels<'a>(&'a self, rule: &'a RuleConfig) -> &'a [Level] {
        let escalation = rule.escalation.as_ref().unwrap_or(&self.escalation);
        if escalation.enabled { &escalation.levels } else { &[] }
    }

    /// Everything wrong that can be seen without parsing the expressions.
    pub(super) fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        let mut names = BTreeSet::new();
        for (i, rule) in self.rules.iter().enumerate() {
            let path = format!("rules[{i}]");
            rule_errors(rule, &path, &mut issues);
            if !names.insert(rule.name.as_str()) {
                let message = format!("expected names that differ, found `{}` twice", rule.name);
                issues.push(
                    Issue::error(format!("{path}.name"), message)
                        .hint("the name is part of the alert's id; give each rule its own"),
                );
            }
        }
        level_errors(&self.escalation, "escalation", &mut issues);
        if !(1..=MAX_ALERTS).contains(&self.max_alerts) {
            let message = format!("expected 1 to {MAX_ALERTS}, found {}", self.max_alerts);
            issues.push(Issue::error("max_alerts", message));
        }
        for (i, name) in self.kinds.iter().flatten().enumerate() {
            if Kind::parse(name).is_none() {
                let known: Vec<&str> = Kind::ALL.iter().map(|k| k.name()).collect();
                let message = format!("expected a kind of row, found `{name}`");
                let hint = format!("one of {}", known.join(", "));
                issues.push(Issue::error(format!("kinds[{i}]"), message).hint(hint));
            }
        }
        for (i, name) in self.group_by.iter().enumerate() {
            if name.is_empty() {
                issues.push(Issue::error(format!("group_by[{i}]"), "expected the name of a field, found nothing"));
            }
        }
        issues
    }

    /// What works but is doubtful.
    pub(super) fn doubts(&self) -> Issues {
        let mut issues = Issues::new();
        if self.rules.is_empty() {
            issues.push(Issue::warning("rules", "no rules: the stage passes everything and tells nobody"));
        }
        for (i, rule) in self.rules.iter().enumerate() {
            self.rule_doubts(rule, &format!("rules[{i}]"), &mut issues);
        }
        if self.escalation.enabled && self.escalation.levels.is_empty() {
            issues.push(Issue::warning("escalation.levels", "escalation is enabled but has no levels"));
        }
        let mut users = self.rules.iter().filter(|rule| rule.escalation.is_none()).map(|rule| rule.severity).peekable();
        if users.peek().is_some() && self.escalation.raises_nothing(users) {
            let issue = Issue::warning("escalation.levels", "no level is above the severity of any rule");
            issues.push(issue.hint("add a level, lower a rule's severity, or switch the escalation off"));
        }
        for (i, name) in self.group_by.iter().enumerate() {
            if self.group_by.iter().take(i).any(|n| n == name) {
                issues.push(Issue::warning(format!("group_by[{i}]"), format!("`{name}` stands there twice")));
            }
        }
        issues
    }

    fn rule_doubts(&self, rule: &RuleConfig, path: &str, issues: &mut Issues) {
        if rule.notification.is_empty() {
            issues.push(
                Issue::warning(format!("{path}.notification"), "no receiver: nobody will be told")
                    .hint("list receiver ids, such as [slack, email]"),
            );
        }
        for name in rule.labels.keys().filter(|name| self.group_by.contains(name)) {
            let message = format!("label `{name}` hides the group's field of that name");
            issues.push(Issue::warning(format!("{path}.labels.{name}"), message));
        }
        if let Some(own) = &rule.escalation
            && own.raises_nothing(std::iter::once(rule.severity))
        {
            let message = format!("no level is above {}, with which the rule starts", rule.severity.name());
            let hint = "lower the rule's severity, add a level, or switch the escalation off";
            issues.push(Issue::warning(format!("{path}.escalation.levels"), message).hint(hint));
        }
    }
}

impl Escalation {
    /// Is it in force, and yet too low for every one of these severities?
    fn raises_nothing(&self, mut severities: impl Iterator<Item = Severity>) -> bool {
        let Some(highest) = self.levels.iter().map(|level| level.severity).max() else {
            return false;
        };
        self.enabled && severities.all(|severity| severity >= highest)
    }
}

fn rule_errors(rule: &RuleConfig, path: &str, issues: &mut Issues) {
    if rule.name.trim().is_empty() {
        issues.push(Issue::error(format!("{path}.name"), "expected a name, found nothing"));
    }
    match (&rule.condition, rule.absent) {
        (None, None) => {
            let issue = Issue::error(format!("{path}.condition"), "expected a condition, found none");
            issues.push(issue.hint("as `condition: p75_lcp > 4000`, or `absent: 5m` for groups that fall silent"));
        }
        (_, Some(absent)) if absent.us() < 1_000_000 => {
            issues.push(Issue::error(format!("{path}.absent"), format!("expected `1s` or more, found `{absent}`")));
        }
        (_, Some(absent)) if rule.hold.us() > 0 => {
            let message = format!("expected none beside `absent: {absent}`, found `{}`", rule.hold);
            issues.push(Issue::error(format!("{path}.for"), message).hint("`absent` is how long the silence lasts"));
        }
        (_, Some(absent)) if (1..=absent.us()).contains(&rule.resolved_after().us()) => {
            let message = format!("expected more than `absent: {absent}`, found `{}`", rule.resolved_after());
            issues.push(Issue::error(format!("{path}.resolve_after"), message).hint("or leave it out: never"));
        }
        _ => {}
    }
    if rule.window.as_deref() == Some("") {
        let issue = Issue::error(format!("{path}.window"), "expected the name of a window, found nothing");
        issues.push(issue.hint("leave `window` out to look at every row"));
    }
    for (i, receiver) in rule.notification.iter().enumerate() {
        if receiver.is_empty() {
            let path = format!("{path}.notification[{i}]");
            issues.push(Issue::error(path, "expected the id of a receiver, found nothing"));
        }
    }
    if let Some(escalation) = &rule.escalation {
        level_errors(escalation, &format!("{path}.escalation"), issues);
    }
}

fn level_errors(escalation: &Escalation, path: &str, issues: &mut Issues) {
    for (i, pair) in escalation.levels.windows(2).enumerate() {
        let [before, level] = pair else { continue };
        let path = format!("{path}.levels[{}]", i + 1);
        if level.duration <= before.duration {
            let message = format!("expected more than {}, found {}", before.duration, level.duration);
            issues.push(Issue::error(format!("{path}.duration"), message).hint("list levels by ascending duration"));
        }
        if level.severity < before.severity {
            let (least, found) = (before.severity.name(), level.severity.name());
            let message = format!("expected at least {least}, found {found}");
            issues
                .push(Issue::error(format!("{path}.severity"), message).hint("a severity never falls while it fires"));
        }
    }
}

//! Stage `filter`: which events go on. A typed schema (else dead letter), duplicates within a
//! horizon, a list of criteria, one condition; checked in this order, the first that refuses an
//! event decides its counter.
//!
//! Cost per event: one pass over the schema's fields, one 128-bit hash if `dedupe` is set, one
//! evaluation per criterion and condition; the row itself is copied, not rebuilt. Memory: none
//! but that of `dedupe`. Rows of other kinds are passed on unseen.

mod criteria;
mod dedupe;
mod schema;
#[cfg(test)]
mod tests;

pub use criteria::{Action, Composition, Criterion, Operator};
pub use dedupe::DedupeConfig;
pub use schema::{FieldSpec, FieldType, Schema};

use crate::config::{Issue, Issues, fail_on_errors};
use crate::decode::{Bad, dead_letter};
use crate::expr::Expr;
use crate::row::{Fields, Kind, Output, Row};
use crate::stage::{Context, Counters, RestoreError, Stage, load, save};
use criteria::Criteria;
use dedupe::{Dedupe, Verdict};
use serde::{Deserialize, Serialize};

/// Parameters of `filter`. All of them are optional; without any, every event passes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// Fields an event must or may have, with their types (`number`, `string`, `datetime`,
    /// `boolean`, `array`, `object`, or `{type: …, required: false}`). An event that does not fit
    /// becomes a dead letter with the reason `schema`; fields that are not listed are let through.
    /// Default: no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Schema>,
    /// Drops an event whose key was seen a short while ago. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<DedupeConfig>,
    /// Tests of single fields, put together by `composition`. Default: none.
    pub criteria: Vec<Criterion>,
    /// `and`: every criterion must hold; `or`: at least one. Default: `and`.
    pub composition: Composition,
    /// Condition that an event must meet, such as `value > 0 AND value < 60000`; where it is
    /// unknown (a field is null) the event is filtered out. Default: none.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// The stage.
pub struct Filter {
    context: Context,
    schema: schema::Checker,
    dedupe: Option<Dedupe>,
    criteria: Criteria,
    condition: Option<Expr>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "crate::stage::count")]
    events: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    passed: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    filtered: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    duplicate: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    dead: u64,
}

/// Why an event does not pass.
enum Refused {
    Dead(Bad),
    Duplicate,
    Filtered,
}

impl Stage for Filter {
    const NAME: &'static str = "filter";
    const STATE_VERSION: u32 = 1;
    type Config = FilterConfig;

    fn new(config: FilterConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        let mut issues = Issues::new();
        let schema = schema::Checker::new(config.schema.as_ref(), fields, &mut issues);
        let dedupe = config.dedupe.as_ref().map(|d| Dedupe::new(d, context, fields, &mut issues));
        let criteria = Criteria::new(&config.criteria, config.composition, fields, &mut issues);
        let condition = config.condition.as_deref().and_then(|text| condition(text, fields, &mut issues));
        fail_on_errors(&issues)?;
        Ok(Filter { context: context.clone(), schema, dedupe, criteria, condition, counts: Counts::default() })
    }

    fn warnings(config: &FilterConfig) -> Issues {
        let mut issues = criteria::warnings(&config.criteria);
        let mut fields = Fields::default();
        if let Some(text) = &config.condition
            && let Ok(expr) = Expr::parse(text, &mut fields)
            && expr.slots().is_empty()
        {
            issues.push(Issue::warning("where", "the condition reads no field: it keeps or drops every event"));
        }
        if let Some(schema) = &config.schema {
            let read = fields.names().map(|name| ("where".to_string(), name));
            let tested = config.criteria.iter().enumerate();
            let tested = tested.map(|(i, c)| (format!("criteria[{i}].field"), c.field.as_str()));
            issues.extend(read.chain(tested).filter_map(|(path, name)| schema.misspelt(&path, name)));
        }
        issues
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        if row.meta.kind != Kind::Event {
            return out.pass(row);
        }
        self.counts.events += 1;
        match self.check(row) {
            Ok(()) => {
                self.counts.passed += 1;
                out.pass(row);
            }
            Err(Refused::Filtered) => self.counts.filtered += 1,
            Err(Refused::Duplicate) => self.counts.duplicate += 1,
            Err(Refused::Dead(bad)) => {
                self.counts.dead += 1;
                let mut sample = Vec::new();
                crate::json::write_row(row, &mut sample);
                dead_letter(&self.context, &row.meta, row.key, &bad, &sample, out);
            }
        }
    }

    fn counters(&self) -> Counters {
        vec![
            ("in", self.counts.events),
            ("passed", self.counts.passed),
            ("filtered", self.counts.filtered),
            ("duplicate", self.counts.duplicate),
            ("dead", self.counts.dead),
            ("dedupe_evicted", self.dedupe.as_ref().map_or(0, Dedupe::evicted)),
        ]
    }

    fn is_fresh(&self) -> bool {
        self.dedupe.is_none()
    }

    fn count(&mut self, added: &[u64]) {
        let Counts { events, passed, filtered, duplicate, dead } = &mut self.counts;
        for (count, more) in [events, passed, filtered, duplicate, dead].into_iter().zip(added) {
            *count += more;
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(&self.counts, self.dedupe.as_ref().map(Dedupe::state)))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (counts, dedupe): (Counts, Option<dedupe::State>) = load(bytes)?;
        match (&mut self.dedupe, dedupe) {
            (Some(ours), Some(state)) => ours.restore(state)?,
            (None, None) => {}
            _ => {
                return Err(RestoreError("`dedupe` is set in one of snapshot and config only".into()));
            }
        }
        self.counts = counts;
        Ok(())
    }
}

impl Filter {
    fn check(&mut self, row: &Row<'_>) -> Result<(), Refused> {
        self.schema.check(row).map_err(Refused::Dead)?;
        if let Some(dedupe) = &mut self.dedupe
            && dedupe.see(row) == Verdict::Duplicate
        {
            return Err(Refused::Duplicate);
        }
        let wanted = self.criteria.hold(row) && self.condition.as_ref().is_none_or(|c| c.test(row) == Some(true));
        if wanted { Ok(()) } else { Err(Refused::Filtered) }
    }
}

fn condition(text: &str, fields: &mut Fields, issues: &mut Issues) -> Option<Expr> {
    match Expr::parse(text, fields) {
        Ok(expr) if expr.is_condition() => Some(expr),
        Ok(_) => {
            let issue = Issue::error("where", "expected a condition, found an expression that is never true or false");
            issues.push(issue.hint("compare it with something, as in `value > 0`"));
            None
        }
        Err(issue) => {
            issues.push(issue.under("where"));
            None
        }
    }
}

//! Criteria: an operator on one field, kept (`include`) or dropped (`exclude`).
//!
//! An `include` criterion holds if its operator is true; an `exclude` criterion holds unless it is.
//! On a null or absent field, and on a value of another type, the operator is unknown: `include`
//! fails, `exclude` holds. `exists` is never unknown.

use crate::config::{Issue, Issues};
use crate::expr::{Cmp, ConstSet, Expr, Node, pattern};
use crate::row::{Fields, Row, Slot};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How criteria are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Composition {
    /// Every criterion must hold
    #[default]
    And,
    /// At least one must hold
    Or,
}

/// What a criterion does with an event for which its operator is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Keeps it
    #[default]
    Include,
    /// Drops it
    Exclude,
}

/// A test of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// A number from the first to the second value, both included
    Between,
    /// None of the values
    NotIn,
    /// One of the values
    In,
    /// The value
    Equals,
    /// Another value
    NotEquals,
    /// Greater than the value
    Gt,
    /// Greater than the value or equal
    Gte,
    /// Less than the value
    Lt,
    /// Less than the value or equal
    Lte,
    /// A text in which one of the regular expressions is found
    Matches,
    /// There and not null; with the value `false`: absent or null
    Exists,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Field that is tested; a dotted name reaches into an object
    pub field: String,
    /// Test: `between`, `not-in`, `in`, `equals`, `not-equals`, `gt`, `gte`, `lt`, `lte`, `matches`
    /// or `exists`
    pub operator: Operator,
    /// What the field is tested against: two numbers for `between`; one value for `equals`,
    /// `not-equals`, `gt`, `gte`, `lt`, `lte`; at least one for `in`, `not-in` and `matches`; none,
    /// `[true]` or `[false]` for `exists`. Default: none.
    #[serde(default)]
    pub values: Vec<Json>,
    /// `include` keeps the events for which the operator is true, `exclude` drops them. Default:
    /// `include`.
    #[serde(default)]
    pub action: Action,
    /// For people; no effect. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The criteria bound to slots.
pub(super) struct Criteria {
    tests: Vec<(Expr, Action)>,
    composition: Composition,
}

impl Criteria {
    pub(super) fn new(
        criteria: &[Criterion],
        composition: Composition,
        fields: &mut Fields,
        issues: &mut Issues,
    ) -> Criteria {
        let mut tests = Vec::new();
        for (i, criterion) in criteria.iter().enumerate() {
            let path = format!("criteria[{i}]");
            if criterion.field.is_empty() {
                issues.push(Issue::error(format!("{path}.field"), "expected a field name, found an empty one"));
            }
            let slot = fields.slot(&criterion.field);
            match test(criterion, slot) {
                Ok(node) => tests.push((Expr::of_node(node, slot), criterion.action)),
                Err(issue) => issues.push(issue.under(&path)),
            }
        }
        Criteria { tests, composition }
    }

    /// Do they hold, taken together?
    pub(super) fn hold(&self, row: &Row<'_>) -> bool {
        let holds = |(test, action): &(Expr, Action)| (test.test(row) == Some(true)) == (*action == Action::Include);
        match self.composition {
            Composition::And => self.tests.iter().all(holds),
            Composition::Or => self.tests.is_empty() || self.tests.iter().any(holds),
        }
    }
}

/// The test as a node over the field.
fn test(criterion: &Criterion, slot: Slot) -> Result<Node, Issue> {
    let field = || Box::new(Node::Field(slot));
    let compare = |op| Ok(Node::Cmp(field(), op, Box::new(one(&criterion.values)?)));
    let contains = || {
        let values = constants(&criterion.values)?;
        let set = ConstSet::new(values.iter().filter_map(Node::constant));
        Ok(Node::In(field(), Box::new(set), Vec::new()))
    };
    match criterion.operator {
        Operator::Between => between(&criterion.values, slot),
        Operator::In => contains(),
        Operator::NotIn => contains().map(|node| Node::Not(Box::new(node))),
        Operator::Equals => compare(Cmp::Eq),
        Operator::NotEquals => compare(Cmp::Ne),
        Operator::Gt => compare(Cmp::Gt),
        Operator::Gte => compare(Cmp::Ge),
        Operator::Lt => compare(Cmp::Lt),
        Operator::Lte => compare(Cmp::Le),
        Operator::Matches => matches(&criterion.values, slot),
        Operator::Exists => {
            let absent = Node::IsNull(field());
            match criterion.values.as_slice() {
                [] | [Json::Bool(true)] => Ok(Node::Not(Box::new(absent))),
                [Json::Bool(false)] => Ok(absent),
                values => Err(found("no value, `[true]` or `[false]`", values)),
            }
        }
    }
}

fn between(values: &[Json], slot: Slot) -> Result<Node, Issue> {
    let [Json::Number(low), Json::Number(high)] = values else {
        return Err(found("two numbers", values));
    };
    let (Some(low), Some(high)) = (low.as_f64(), high.as_f64()) else {
        return Err(found("two numbers", values));
    };
    if low > high {
        let issue = found("the lower bound first", values);
        return Err(issue.hint("nothing lies between them in this order"));
    }
    Ok(Node::Between(Box::new([Node::Field(slot), Node::Num(low), Node::Num(high)])))
}

fn matches(values: &[Json], slot: Slot) -> Result<Node, Issue> {
    let mut tests = Vec::new();
    for (i, value) in values.iter().enumerate() {
        let Json::String(text) = value else {
            return Err(found("regular expressions as texts", values));
        };
        let regex = pattern(text).map_err(|error| {
            Issue::error(format!("values[{i}]"), format!("expected a regular expression, found `{text}`: {error}"))
        })?;
        tests.push(Node::Matches(Box::new(Node::Field(slot)), Box::new(regex)));
    }
    match tests.is_empty() {
        true => Err(found("at least one regular expression", values)),
        false => Ok(Node::Or(tests)),
    }
}

fn one(values: &[Json]) -> Result<Node, Issue> {
    let mut nodes = constants(values)?;
    match (nodes.pop(), nodes.is_empty()) {
        (Some(node), true) => Ok(node),
        _ => Err(found("one value", values).hint("`in` takes several")),
    }
}

fn constants(values: &[Json]) -> Result<Vec<Node>, Issue> {
    if values.is_empty() {
        return Err(found("at least one value", values));
    }
    let constant = |value: &Json| match value {
        Json::Bool(b) => Ok(Node::Bool(*b)),
        Json::Number(n) => n.as_f64().map(Node::Num).ok_or_else(|| found("numbers", values)),
        Json::String(s) => Ok(Node::Str(s.as_str().into())),
        Json::Null => Err(found("values other than null", values).hint("null equals nothing; use `exists`")),
        Json::Array(_) | Json::Object(_) => Err(found("numbers, texts, true or false", values)),
    };
    values.iter().map(constant).collect()
}

/// "expected …, found …" for the values.
fn found(expected: &str, values: &[Json]) -> Issue {
    let shown = match values {
        [] => "none".into(),
        _ => serde_json::to_string(values).unwrap_or_default().chars().take(80).collect::<String>(),
    };
    Issue::error("values", format!("expected {expected}, found {shown}"))
}

/// What works but is hardly meant.
pub(super) fn warnings(criteria: &[Criterion]) -> Issues {
    let mut issues = Issues::new();
    for (i, criterion) in criteria.iter().enumerate() {
        let plain = match criterion.operator {
            Operator::NotIn => "in",
            Operator::NotEquals => "equals",
            _ => continue,
        };
        if criterion.action == Action::Exclude {
            let values = serde_json::to_string(&criterion.values).unwrap_or_default();
            let field = &criterion.field;
            let message = format!(
                "a double negative: it drops every event except those whose `{field}` is listed ({values}) or null"
            );
            let fix = format!(
                "to drop the listed ones write `operator: {plain}, action: exclude`; to keep only them `operator: {plain}, action: include`"
            );
            issues.push(Issue::warning(format!("criteria[{i}].action"), message).hint(fix));
        }
    }
    issues
}

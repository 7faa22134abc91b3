//! Conditions and expressions over the fields of a row: `value > 0 AND value < 60000`,
//! `round(errors / requests * 100, 1)`, `page NOT IN ('/health', '/metrics')`.
//!
//! Loosest first: `OR`, `AND`, `NOT`, then one of `= == != <> < <= > >=`, `[NOT] IN (…)`,
//! `[NOT] BETWEEN a AND b`, `IS [NOT] NULL`, `[NOT] MATCHES 'regex'` (these do not chain), `+ -`,
//! `* / %`, unary `-`. Words in any case. Strings in `'…'` or `"…"`, other names than letters,
//! digits, `_` and dots in backticks; a quote inside quotes is doubled, a backslash is a backslash.
//!
//! A duration, `30m` or `1h30m`, is its number of milliseconds. `forecast(p75_lcp, 15m)` reads the field that
//! a step `forecast` writes for that field and horizon.
//!
//! Logic is that of SQL: a comparison with null is unknown, and so is one of unlike types;
//! `AND`, `OR` and `NOT` are Kleene's. Numbers are f64, as in JSON: integers beyond 2^53 compare
//! as their nearest float. What has no number (division by zero, `sqrt(-1)`, overflow) is null.
//!
//! Cost: a comparison of a field with a constant reads one slot and allocates nothing; `lower`,
//! `upper` and a nested string with escapes allocate. Refused with a position: texts over
//! [`MAX_BYTES`], nesting over [`MAX_DEPTH`], regular expressions over [`MAX_REGEX_BYTES`].

mod eval;
mod func;
mod lex;
mod node;
mod operand;
mod parse;
#[cfg(test)]
mod tests;

use crate::config::Issue;
use crate::row::{Fields, Row, Slot};
use crate::value::Value;
use std::borrow::Cow;

pub(crate) use node::{Cmp, ConstSet, Node, pattern};

/// An expression has at most this many bytes.
pub const MAX_BYTES: usize = 8 << 10;
/// Parentheses, calls, `NOT` and signs nest at most this deep.
pub const MAX_DEPTH: usize = 64;
/// A compiled regular expression takes at most this much memory.
pub const MAX_REGEX_BYTES: usize = 1 << 20;

/// A parsed expression whose fields are bound to slots.
#[derive(Debug, Clone)]
pub struct Expr {
    text: Box<str>,
    root: Node,
    slots: Vec<Slot>,
}

/// What an expression yields. Not a number and infinite never occur.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// Null, or unknown
    Null,
    /// true or false
    Bool(bool),
    /// A finite number
    Num(f64),
    /// Text
    Str(Cow<'a, str>),
    /// Compact JSON text of an array or object
    Json(&'a str),
}

impl<'a> From<Value<'a>> for Scalar<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Null => Scalar::Null,
            Value::Bool(b) => Scalar::Bool(b),
            Value::Int(n) => Scalar::Num(n as f64),
            Value::Float(x) => Scalar::number(x),
            Value::Str(s) => Scalar::Str(Cow::Borrowed(s)),
            // A path into an object gives a string with escapes as its JSON text.
            Value::Json(text) if text.starts_with('"') => match serde_json::from_str(text) {
                Ok(s) => Scalar::Str(Cow::Owned(s)),
                Err(_) => Scalar::Null,
            },
            Value::Json(text) => Scalar::Json(text),
        }
    }
}

impl Scalar<'_> {
    /// The number, or null if it is not finite.
    fn number(x: f64) -> Self {
        if x.is_finite() { Scalar::Num(x) } else { Scalar::Null }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Scalar::Num(x) => Some(*x),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Scalar::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Scalar::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Null or unknown?
    pub fn is_null(&self) -> bool {
        matches!(self, Scalar::Null)
    }

    /// The same as a row's value: what a computed field is written from.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Scalar::Null => Value::Null,
            Scalar::Bool(b) => Value::Bool(*b),
            Scalar::Num(x) => Value::Float(*x),
            Scalar::Str(s) => Value::Str(s),
            Scalar::Json(s) => Value::Json(s),
        }
    }
}

impl Expr {
    /// Parses `text` and binds each field it names to a slot. On an error `fields` stays as it was.
    pub fn parse(text: &str, fields: &mut Fields) -> Result<Expr, Issue> {
        let parsed = parse::parse(text, fields.clone())?;
        *fields = parsed.fields;
        Ok(Expr { text: text.into(), root: parsed.root, slots: parsed.slots })
    }

    /// An expression that was not written as text, over one field.
    pub(crate) fn of_node(root: Node, slot: Slot) -> Expr {
        Expr { text: Box::default(), root, slots: vec![slot] }
    }

    /// The value, with fields read through `get`.
    pub fn eval<'a>(&'a self, get: &impl Fn(Slot) -> Value<'a>) -> Scalar<'a> {
        eval::eval(&self.root, get)
    }

    /// The value for a row.
    pub fn eval_row<'a>(&'a self, row: &Row<'a>) -> Scalar<'a> {
        eval::eval(&self.root, &|slot| row.get(slot))
    }

    /// Does the row meet the condition? None: unknown, or not a truth value at all.
    pub fn test(&self, row: &Row<'_>) -> Option<bool> {
        eval::truth(&self.root, &|slot| row.get(slot))
    }

    /// [`Expr::test`] with fields read through `get`.
    pub fn test_with<'a>(&'a self, get: &impl Fn(Slot) -> Value<'a>) -> Option<bool> {
        eval::truth(&self.root, get)
    }

    /// The number that it compares a field with, and whether the field must be above it: of the first comparison
    /// of the field alone by `>`, `>=`, `<` or `<=`.
    pub fn bound_of(&self, field: Slot) -> Option<(f64, bool)> {
        self.root.bound_of(field)
    }

    /// The fields it reads: distinct, in the order of their first mention.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Can it be a condition? False if it never yields a truth value, as `value + 1`.
    pub fn is_condition(&self) -> bool {
        self.root.may_be_bool()
    }
}

//! Evaluation. Three entries, so that neither a truth value nor a number is boxed in a
//! [`Scalar`] on its way: [`truth`], [`number`], [`eval`].

use super::Scalar;
use super::func::{self, Func};
use super::node::{Cmp, Node};
use crate::row::Slot;
use crate::value::Value;

/// The node's truth value; None if unknown or none.
pub(super) fn truth<'a, G: Fn(Slot) -> Value<'a>>(node: &'a Node, get: &G) -> Option<bool> {
    match node {
        Node::Cmp(left, op, right) => compare(left, *op, right, get),
        Node::And(parts) => every(parts, true, get),
        Node::Or(parts) => every(parts, false, get),
        Node::Not(part) => truth(part, get).map(|b| !b),
        Node::Field(slot) => get(*slot).as_bool(),
        Node::Bool(b) => Some(*b),
        Node::In(value, constants, others) => {
            let value = eval(value, get);
            let mut found = constants.contains(&value);
            for other in others {
                if found == Some(true) {
                    break;
                }
                found = match compare_scalars(&value, Cmp::Eq, &eval(other, get)) {
                    Some(true) => Some(true),
                    Some(false) => found,
                    None => None,
                };
            }
            found
        }
        Node::Between(parts) => {
            let [value, low, high] = &**parts;
            let above = compare(value, Cmp::Ge, low, get);
            if above == Some(false) {
                return above;
            }
            and(above, compare(value, Cmp::Le, high, get))
        }
        Node::IsNull(part) => Some(eval(part, get).is_null()),
        Node::Matches(text, regex) => eval(text, get).as_str().map(|s| regex.is_match(s)),
        Node::Call(Func::Contains, args) => texts(args, get, |a, b| a.contains(b)),
        Node::Call(Func::StartsWith, args) => texts(args, get, |a, b| a.starts_with(b)),
        Node::Call(Func::If | Func::Coalesce, _) => eval(node, get).as_bool(),
        Node::Null | Node::Num(_) | Node::Str(_) | Node::Neg(_) | Node::Arith(..) | Node::Call(..) => None,
    }
}

/// Kleene's AND (`all`) or OR: decided by the first part that is `!all`, else unknown if one is.
fn every<'a, G: Fn(Slot) -> Value<'a>>(parts: &'a [Node], all: bool, get: &G) -> Option<bool> {
    let mut result = Some(all);
    for part in parts {
        let part = match part {
            // The usual part: not worth a call of `truth`.
            Node::Cmp(left, op, right) => compare(left, *op, right, get),
            other => truth(other, get),
        };
        match part {
            Some(b) if b != all => return Some(b),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

#[inline]
fn compare<'a, G: Fn(Slot) -> Value<'a>>(left: &'a Node, op: Cmp, right: &'a Node, get: &G) -> Option<bool> {
    match (left, right) {
        // The hot ones: a field and a constant.
        (Node::Field(slot), Node::Num(x)) => get(*slot).as_f64().map(|n| op.numbers(n, *x)),
        (Node::Field(slot), Node::Str(s)) => match get(*slot) {
            Value::Str(v) => Some(op.texts(v, s)),
            other => compare_scalars(&other.into(), op, &Scalar::Str((&**s).into())),
        },
        _ => compare_scalars(&eval(left, get), op, &eval(right, get)),
    }
}

/// Unknown for null and for unlike types. Arrays and objects are equal if their texts are, and
/// have no order.
fn compare_scalars(a: &Scalar<'_>, op: Cmp, b: &Scalar<'_>) -> Option<bool> {
    match (a, b) {
        (Scalar::Num(a), Scalar::Num(b)) => Some(op.numbers(*a, *b)),
        (Scalar::Str(a), Scalar::Str(b)) => Some(op.texts(a, b)),
        (Scalar::Bool(a), Scalar::Bool(b)) => Some(op.holds(a.cmp(b))),
        (Scalar::Json(a), Scalar::Json(b)) if matches!(op, Cmp::Eq | Cmp::Ne) => Some((a == b) == (op == Cmp::Eq)),
        _ => None,
    }
}

fn texts<'a, G: Fn(Slot) -> Value<'a>>(args: &'a [Node], get: &G, f: impl Fn(&str, &str) -> bool) -> Option<bool> {
    let [text, part] = args else { return None };
    Some(f(eval(text, get).as_str()?, eval(part, get).as_str()?))
}

/// The node's number, if it has one.
fn number<'a, G: Fn(Slot) -> Value<'a>>(node: &'a Node, get: &G) -> Option<f64> {
    match node {
        Node::Num(x) => Some(*x),
        Node::Field(slot) => get(*slot).as_f64(),
        Node::Neg(part) => number(part, get).map(|x| -x),
        Node::Arith(first, rest) => {
            let mut x = number(first, get)?;
            for (op, node) in rest {
                x = op.apply(x, number(node, get)?)?;
            }
            Some(x)
        }
        Node::Call(Func::Min, args) => extreme(args, get, f64::min),
        Node::Call(Func::Max, args) => extreme(args, get, f64::max),
        Node::Call(Func::Round, args) => {
            let digits = args.get(1).map_or(Some(0.0), |d| number(d, get))?;
            func::round(number(args.first()?, get)?, digits)
        }
        Node::Call(func @ (Func::Abs | Func::Floor | Func::Ceil | Func::Sqrt | Func::Ln), args) => {
            func::of_number(*func, number(args.first()?, get)?)
        }
        _ => eval(node, get).as_f64(),
    }
}

fn extreme<'a, G: Fn(Slot) -> Value<'a>>(args: &'a [Node], get: &G, pick: fn(f64, f64) -> f64) -> Option<f64> {
    let (first, rest) = args.split_first()?;
    rest.iter().try_fold(number(first, get)?, |x, arg| Some(pick(x, number(arg, get)?)))
}

/// The node's value.
pub(super) fn eval<'a, G: Fn(Slot) -> Value<'a>>(node: &'a Node, get: &G) -> Scalar<'a> {
    match node {
        Node::Null => Scalar::Null,
        Node::Bool(b) => Scalar::Bool(*b),
        Node::Num(x) => Scalar::Num(*x),
        Node::Str(s) => Scalar::Str((&**s).into()),
        Node::Field(slot) => get(*slot).into(),
        Node::Call(func, args) => call(*func, node, args, get),
        Node::Neg(_) | Node::Arith(..) => number(node, get).map_or(Scalar::Null, Scalar::Num),
        _ => truth(node, get).map_or(Scalar::Null, Scalar::Bool),
    }
}

fn call<'a, G: Fn(Slot) -> Value<'a>>(func: Func, node: &'a Node, args: &'a [Node], get: &G) -> Scalar<'a> {
    match func {
        Func::If => match args {
            [condition, then, otherwise] => match truth(condition, get) {
                Some(true) => eval(then, get),
                _ => eval(otherwise, get),
            },
            _ => Scalar::Null,
        },
        Func::Coalesce => args.iter().map(|arg| eval(arg, get)).find(|v| !v.is_null()).unwrap_or(Scalar::Null),
        Func::Lower | Func::Upper => match args.first().map(|arg| eval(arg, get)) {
            Some(Scalar::Str(s)) => Scalar::Str(func::change_case(s, func == Func::Upper)),
            _ => Scalar::Null,
        },
        Func::Length => args.first().map_or(Scalar::Null, |arg| func::length(&eval(arg, get))),
        Func::Contains | Func::StartsWith => truth(node, get).map_or(Scalar::Null, Scalar::Bool),
        _ => number(node, get).map_or(Scalar::Null, Scalar::Num),
    }
}

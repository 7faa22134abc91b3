//! Attributes of OTLP as JSON.

use crate::fields::Flat;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::{Map, Value};

/// Levels of lists within lists.
const DEPTH: usize = 4;

/// The value of an attribute; None for bytes and for a list of pairs (see [`put`]).
pub(super) fn value(any: &AnyValue) -> Option<Value> {
    of_depth(any, DEPTH)
}

fn of_depth(any: &AnyValue, depth: usize) -> Option<Value> {
    Some(match any.value.as_ref()? {
        Kind::StringValue(text) => text.as_str().into(),
        Kind::BoolValue(flag) => (*flag).into(),
        Kind::IntValue(number) => (*number).into(),
        Kind::DoubleValue(number) => Value::from(*number),
        Kind::ArrayValue(list) if depth > 0 => {
            list.values.iter().filter_map(|value| of_depth(value, depth - 1)).collect()
        }
        _ => return None,
    })
}

/// The text of an attribute.
pub(super) fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match find(attributes, key)?.value.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

/// A whole number, also one that is written as text.
pub(super) fn integer(attributes: &[KeyValue], key: &str) -> Option<i64> {
    match find(attributes, key)?.value.as_ref()? {
        Kind::IntValue(number) => Some(*number),
        Kind::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

/// The first attribute of that name.
pub(super) fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref()
}

/// Puts attributes into a record, but those that `fixed` names; a list of pairs gives a field for
/// each, `a.b` for the pair `b` of the attribute `a`.
pub(super) fn put(flat: &mut Flat, attributes: &[KeyValue], fixed: &[&str]) {
    for pair in attributes.iter().filter(|pair| !fixed.contains(&pair.key.as_str())) {
        if let Some(any) = &pair.value {
            put_one(flat, &pair.key, any, DEPTH);
        }
    }
}

fn put_one(flat: &mut Flat, name: &str, any: &AnyValue, depth: usize) {
    match any.value.as_ref() {
        Some(Kind::KvlistValue(list)) if depth > 0 => {
            for pair in &list.values {
                if let Some(any) = &pair.value {
                    put_one(flat, &format!("{name}.{}", pair.key), any, depth - 1);
                }
            }
        }
        _ => {
            if let Some(value) = value(any) {
                flat.attribute(name, value);
            }
        }
    }
}

/// A list of pairs as an object; empty for anything else.
pub(super) fn object(any: Option<&AnyValue>) -> Map<String, Value> {
    match any.and_then(|any| any.value.as_ref()) {
        Some(Kind::KvlistValue(list)) => {
            list.values.iter().filter_map(|pair| Some((pair.key.clone(), value(pair.value.as_ref()?)?))).collect()
        }
        _ => Map::new(),
    }
}

/// A value as a text: of a text itself, of anything else its JSON.
pub(super) fn shown(any: &AnyValue) -> Option<String> {
    match any.value.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        Kind::KvlistValue(_) => Some(Value::Object(object(Some(any))).to_string()),
        _ => value(any).map(|value| value.to_string()),
    }
}

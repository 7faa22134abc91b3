//! OTLP's JSON mapping, as far as the library's own reader does not follow it.
//!
//! The reader (`opentelemetry-proto` with serde) knows hexadecimal ids and numbers as texts. It
//! fails on what the mapping of protocol buffers allows beside that: `null` for a field that is not
//! set, a list without its `values`, an attribute without `key`, fields of a value that it does not
//! know, and `NaN` and `Infinity` as texts. These are put right here before it reads. A number that
//! is NaN or infinite is left out: no record could hold it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Members of a value of an attribute.
const KINDS: [&str; 7] =
    ["stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "bytesValue"];

/// Lists of attributes.
const ATTRIBUTES: [&str; 3] = ["attributes", "filteredAttributes", "metadata"];

/// Fields of floating-point numbers.
const FLOATS: [&str; 7] = ["asDouble", "doubleValue", "sum", "min", "max", "zeroThreshold", "quantile"];

/// The message of a JSON text.
pub(super) fn message<M: DeserializeOwned>(body: &[u8]) -> Result<M, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(body)?;
    clean(&mut value);
    serde_json::from_value(value)
}

/// Recursion is bounded: serde_json reads at most 128 levels.
fn clean(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(clean),
        Value::Object(object) => clean_object(object),
        _ => {}
    }
}

fn clean_object(object: &mut Map<String, Value>) {
    object.retain(|name, value| !value.is_null() && !is_lost(name, value));
    for (name, value) in object.iter_mut() {
        match (name.as_str(), value) {
            // In a summary's quantile `value` is a number, not an object.
            ("value" | "body", Value::Object(any)) => any_value(any),
            (name, Value::Array(list)) if ATTRIBUTES.contains(&name) => list.iter_mut().for_each(key_value),
            ("explicitBounds", Value::Array(list)) => list.iter_mut().for_each(number),
            (name, value) if FLOATS.contains(&name) && value.is_string() => number(value),
            (_, value) => clean(value),
        }
    }
}

fn any_value(any: &mut Map<String, Value>) {
    any.retain(|name, value| KINDS.contains(&name.as_str()) && !value.is_null() && !is_lost(name, value));
    for (name, value) in any.iter_mut() {
        match (name.as_str(), value) {
            ("arrayValue", Value::Object(list)) => values(list, |value| {
                if let Value::Object(any) = value {
                    any_value(any);
                }
            }),
            ("kvlistValue", Value::Object(list)) => values(list, key_value),
            ("doubleValue", value) if value.is_string() => number(value),
            _ => {}
        }
    }
}

fn values(list: &mut Map<String, Value>, each: impl Fn(&mut Value)) {
    let values = list.entry("values").or_insert_with(|| Value::Array(Vec::new()));
    match values {
        Value::Array(values) => values.iter_mut().for_each(each),
        null if null.is_null() => *null = Value::Array(Vec::new()),
        _ => {}
    }
}

fn key_value(pair: &mut Value) {
    let Value::Object(pair) = pair else { return };
    pair.retain(|_, value| !value.is_null());
    pair.entry("key").or_insert_with(|| "".into());
    if let Some(Value::Object(any)) = pair.get_mut("value") {
        any_value(any);
    }
}

/// Is it a number that JSON cannot hold?
fn is_lost(name: &str, value: &Value) -> bool {
    let float = FLOATS.contains(&name);
    float && matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
}

fn number(value: &mut Value) {
    let read = value.as_str().and_then(|text| text.parse::<f64>().ok()).filter(|number| number.is_finite());
    if let Some(number) = read {
        *value = number.into();
    }
}

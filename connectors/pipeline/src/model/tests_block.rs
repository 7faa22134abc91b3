//! The `tests:` block: records in, what must come out.

use super::{Ordered, Raw};
use perfstream_core::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// A test of the pipeline it stands in.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCase {
    /// What it shows, unique in the pipeline
    pub name: String,
    /// Records in order: an object is written as JSON, a text goes in as it is (for bad records)
    pub input: Vec<TestRecord>,
    /// Ticks among the records; the end of the input closes everything after them
    #[serde(default)]
    pub ticks: Vec<TestTick>,
    /// Does the input end, so that windows and sessions close? Default true
    #[serde(default = "yes")]
    pub end_of_input: bool,
    /// Records that must come out, in any order, each matched by another one: the named fields
    /// must be equal, others are not looked at. `{ approx: x, within: y }` matches a number from
    /// x − y to x + y. `kind` is a field like others.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    pub expect: Vec<Value>,
    /// Exact numbers of records per kind
    #[serde(default)]
    pub expect_count: KindCounts,
    /// Kinds of which no record may come out
    #[serde(default)]
    pub expect_none: Vec<KindName>,
}

fn yes() -> bool {
    true
}

/// Time passes, as the worker would say every second.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestTick {
    /// What the clock says, RFC 3339
    pub time: String,
    /// Number of input records before it; default all of them
    pub after: Option<u64>,
}

/// A record of a test's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestRecord {
    /// An object, as compact JSON
    Json(Box<str>),
    /// Any text
    Text(String),
}

impl TestRecord {
    /// The bytes of the record.
    pub fn bytes(&self) -> &[u8] {
        match self {
            TestRecord::Json(text) => text.as_bytes(),
            TestRecord::Text(text) => text.as_bytes(),
        }
    }
}

impl<'de> Deserialize<'de> for TestRecord {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Raw::deserialize(d)?.0;
        Ok(match serde_json::from_str::<String>(&raw) {
            Ok(text) => TestRecord::Text(text),
            Err(_) => TestRecord::Json(raw),
        })
    }
}

impl JsonSchema for TestRecord {
    fn schema_name() -> Cow<'static, str> {
        "TestRecord".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["object", "string"], "description": "An object is written as JSON, a text goes in as it is." })
    }
}

/// A kind of record by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindName(pub Kind);

impl<'de> Deserialize<'de> for KindName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        let unknown = || serde::de::Error::custom(format!("unknown kind of record `{name}`"));
        Kind::parse(&name).map(KindName).ok_or_else(unknown)
    }
}

impl JsonSchema for KindName {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        json_schema!({ "type": "string", "description": "A kind of record", "enum": names })
    }
}

/// Numbers of records per kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KindCounts(pub Vec<(Kind, u64)>);

impl<'de> Deserialize<'de> for KindCounts {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let pairs = Ordered::<u64>::deserialize(d)?.0;
        let kind = |name: &str| {
            Kind::parse(name).ok_or_else(|| serde::de::Error::custom(format!("unknown kind of record `{name}`")))
        };
        pairs.into_iter().map(|(name, count)| Ok((kind(&name)?, count))).collect::<Result<_, _>>().map(KindCounts)
    }
}

impl JsonSchema for KindCounts {
    fn schema_name() -> Cow<'static, str> {
        "KindCounts".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let count = |kind: &Kind| {
            let description = format!("Number of records of kind `{}`", kind.name());
            (
                kind.name().to_string(),
                serde_json::json!({ "type": "integer", "minimum": 0, "description": description }),
            )
        };
        let properties: serde_json::Map<_, _> = Kind::ALL.iter().map(count).collect();
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// Does `actual` have what `expected` says? The error names the first place where not.
pub fn matches(expected: &Value, actual: &Value) -> Result<(), String> {
    compare("", expected, actual)
}

fn compare(path: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    let differs = || {
        let at = if path.is_empty() { "the record" } else { path };
        Err(format!("{at}: expected {expected}, found {actual}"))
    };
    if let Some((approx, within)) = tolerance(expected) {
        return match actual.as_f64() {
            Some(x) if (x - approx).abs() <= within => Ok(()),
            _ => differs(),
        };
    }
    match (expected, actual) {
        (Value::Object(want), Value::Object(have)) => {
            for (key, value) in want {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                // What is expected to be null may be absent.
                compare(&path, value, have.get(key).unwrap_or(&Value::Null))?;
            }
            Ok(())
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            for (at, (want, have)) in want.iter().zip(have).enumerate() {
                compare(&format!("{path}[{at}]"), want, have)?;
            }
            Ok(())
        }
        (Value::Number(want), Value::Number(have)) if want.as_f64() == have.as_f64() => Ok(()),
        _ if expected == actual => Ok(()),
        _ => differs(),
    }
}

/// `{ approx: x, within: y }`
fn tolerance(expected: &Value) -> Option<(f64, f64)> {
    let map = expected.as_object().filter(|m| m.len() == 2)?;
    Some((map.get("approx")?.as_f64()?, map.get("within")?.as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subset_matches() {
        let actual =
            json!({ "kind": "window", "p75": 2500.4, "page": "/a", "list": [1, { "x": 2, "y": 3 }], "n": null });
        for expected in [
            json!({}),
            json!({ "kind": "window", "page": "/a" }),
            json!({ "p75": { "approx": 2500, "within": 0.5 } }),
            json!({ "list": [1.0, { "x": 2 }], "n": null, "absent": null }),
        ] {
            assert_eq!(matches(&expected, &actual), Ok(()), "{expected}");
        }
        for (expected, at) in [
            (json!({ "kind": "alert" }), "kind: expected \"alert\", found \"window\""),
            (json!({ "p75": { "approx": 2500, "within": 0.3 } }), "p75: expected"),
            (json!({ "list": [1] }), "list: expected"),
            (json!({ "list": [1, { "x": 3 }] }), "list[1].x: expected 3, found 2"),
            (json!({ "page": 1 }), "page: expected 1"),
        ] {
            assert!(matches(&expected, &actual).unwrap_err().starts_with(at), "{expected}");
        }
    }
}

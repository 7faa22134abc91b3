//! The typed schema: field by field, in the order written.

use crate::config::{Issue, Issues};
use crate::decode::Bad;
use crate::row::{Fields, Row, Slot};
use crate::time::TimeParser;
use crate::value::Value;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A dead letter names at most this many faults of an event.
const MAX_FAULTS: usize = 5;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Any JSON number
    Number,
    /// Text
    String,
    /// RFC 3339 text, epoch seconds or epoch milliseconds
    Datetime,
    /// true or false
    Boolean,
    /// A JSON array
    Array,
    /// A JSON object
    Object,
}

impl FieldType {
    const ALL: [(&'static str, FieldType); 6] = [
        ("number", FieldType::Number),
        ("string", FieldType::String),
        ("datetime", FieldType::Datetime),
        ("boolean", FieldType::Boolean),
        ("array", FieldType::Array),
        ("object", FieldType::Object),
    ];

    /// The word in the schema.
    pub fn name(self) -> &'static str {
        FieldType::ALL.iter().find(|(_, t)| *t == self).map_or("", |(name, _)| name)
    }

    fn fits(self, value: Value<'_>, times: &mut TimeParser) -> bool {
        match (self, value) {
            (FieldType::Number, Value::Int(_) | Value::Float(_)) => true,
            (FieldType::String, Value::Str(_)) => true,
            (FieldType::Boolean, Value::Bool(_)) => true,
            (FieldType::Datetime, value) => times.parse(value).is_some(),
            (FieldType::Array, Value::Json(text)) => text.starts_with('['),
            (FieldType::Object, Value::Json(text)) => text.starts_with('{'),
            // A string with escapes inside an object keeps its JSON form.
            (FieldType::String, Value::Json(text)) => text.starts_with('"'),
            _ => false,
        }
    }
}

/// Type of a field, and whether it must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldSpec {
    /// What it holds
    pub field_type: FieldType,
    /// Must it be there and not null? Default: true.
    pub required: bool,
}

/// Fields and their types, in the order written: `{ timestamp: datetime, value: number, page:
/// {type: string, required: false} }`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema(pub Vec<(String, FieldSpec)>);

impl Schema {
    /// A warning if `name` is no field of the schema but looks like one.
    pub(super) fn misspelt(&self, path: &str, name: &str) -> Option<Issue> {
        let first = name.split('.').next().unwrap_or(name);
        if self.0.iter().any(|(n, _)| n == name || n == first) {
            return None;
        }
        let near = |n: &str| strsim::damerau_levenshtein(n, first) <= 2.min(first.chars().count() / 3);
        let (near, _) = self.0.iter().find(|(n, _)| near(n))?;
        let issue = Issue::warning(path, format!("the schema has no field `{name}`"));
        Some(issue.hint(format!("did you mean `{near}`?")))
    }
}

/// The schema bound to slots.
pub(super) struct Checker {
    fields: Vec<(String, Slot, FieldSpec)>,
    times: TimeParser,
}

impl Checker {
    pub(super) fn new(schema: Option<&Schema>, fields: &mut Fields, issues: &mut Issues) -> Checker {
        let mut checked = Vec::new();
        for (name, spec) in schema.map_or(&[][..], |s| &s.0) {
            if name.is_empty() {
                issues.push(Issue::error("schema", "expected a field name, found an empty one"));
            }
            checked.push((name.clone(), fields.slot(name), *spec));
        }
        Checker { fields: checked, times: TimeParser::default() }
    }

    /// Does the row fit? If not, every fault of it, up to [`MAX_FAULTS`].
    pub(super) fn check(&mut self, row: &Row<'_>) -> Result<(), Bad> {
        for at in 0..self.fields.len() {
            if !self.fits(at, row) {
                return Err(self.explain(at, row));
            }
        }
        Ok(())
    }

    fn fits(&mut self, at: usize, row: &Row<'_>) -> bool {
        let Some((_, slot, spec)) = self.fields.get(at) else {
            return true;
        };
        match row.get(*slot) {
            Value::Null => !spec.required,
            value => spec.field_type.fits(value, &mut self.times),
        }
    }

    /// All faults from the first on.
    fn explain(&mut self, first: usize, row: &Row<'_>) -> Bad {
        let faults: Vec<usize> = (first..self.fields.len()).filter(|at| !self.fits(*at, row)).collect();
        let named = faults.iter().take(MAX_FAULTS).filter_map(|at| self.fields.get(*at));
        let mut text =
            named.map(|(name, slot, spec)| fault(name, *spec, row.get(*slot))).collect::<Vec<_>>().join("; ");
        if faults.len() > MAX_FAULTS {
            text += &format!("; and {} more", faults.len() - MAX_FAULTS);
        }
        Bad::new("schema", text)
    }
}

fn fault(name: &str, spec: FieldSpec, value: Value<'_>) -> String {
    let found = match value {
        Value::Null => "nothing".into(),
        Value::Str(s) if spec.field_type == FieldType::Datetime => {
            format!("the text `{}`", s.chars().take(40).collect::<String>())
        }
        Value::Int(_) | Value::Float(_) if spec.field_type == FieldType::Datetime => "a number out of range".into(),
        Value::Json(text) if text.starts_with('"') => "string".into(),
        value => value.type_name().to_string(),
    };
    format!("`{name}`: expected {}, found {found}", spec.field_type.name())
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct SchemaVisitor;
        impl<'de> Visitor<'de> for SchemaVisitor {
            type Value = Schema;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of field names to types")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schema, A::Error> {
                let mut fields: Vec<(String, FieldSpec)> = Vec::new();
                while let Some((name, spec)) = map.next_entry::<String, FieldSpec>()? {
                    if fields.iter().any(|(n, _)| *n == name) {
                        return Err(A::Error::custom(format!("the field `{name}` stands twice")));
                    }
                    fields.push((name, spec));
                }
                Ok(Schema(fields))
            }
        }
        d.deserialize_map(SchemaVisitor)
    }
}

impl<'de> Deserialize<'de> for FieldSpec {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct SpecVisitor;
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            r#type: FieldType,
            #[serde(default = "yes")]
            required: bool,
        }
        fn yes() -> bool {
            true
        }
        impl<'de> Visitor<'de> for SpecVisitor {
            type Value = FieldSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a type (number, string, datetime, boolean, array, object) or a map with `type` and `required`",
                )
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<FieldSpec, E> {
                let found = FieldType::ALL.iter().find(|(name, _)| *name == word);
                let unknown = || {
                    let words = FieldType::ALL.map(|(name, _)| name).join(", ");
                    E::custom(format!("expected one of {words}, found `{word}`"))
                };
                found.map(|(_, field_type)| FieldSpec { field_type: *field_type, required: true }).ok_or_else(unknown)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldSpec, A::Error> {
                let long = Long::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(FieldSpec { field_type: long.r#type, required: long.required })
            }
        }
        d.deserialize_any(SpecVisitor)
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(name, spec)| (name, spec)))
    }
}

impl Serialize for FieldSpec {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.required {
            return self.field_type.serialize(s);
        }
        let mut map = s.serialize_map(Some(2))?;
        map.serialize_entry("type", &self.field_type)?;
        map.serialize_entry("required", &false)?;
        map.end()
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Schema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FieldSchema".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let word = generator.subschema_for::<FieldType>();
        schemars::json_schema!({
            "type": "object",
            "description": "Field names and their types.",
            "additionalProperties": {
                "anyOf": [
                    word,
                    {
                        "type": "object",
                        "properties": {
                            "type": word,
                            "required": { "type": "boolean", "default": true, "description": "Must the field be there and not null?" }
                        },
                        "required": ["type"],
                        "additionalProperties": false
                    }
                ]
            }
        })
    }
}

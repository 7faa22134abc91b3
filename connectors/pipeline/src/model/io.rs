//! Input, output, routes and the schemas of records.

use super::{Ordered, Topic};
use perfstream_core::decode::{Format, TimeConfig};
use perfstream_core::{Kind, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

/// Where events come from.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Topic that is read
    pub topic: Topic,
    /// What its records are: `json` objects, `csv` lines (the columns are the fields of `schema`,
    /// in order) or `raw` text
    #[serde(default)]
    pub format: Format,
    /// Fields of an event: a type, or `{ type, required }`; a record that does not fit is a dead
    /// letter
    #[serde(default)]
    pub schema: Ordered<InputField>,
    /// Field by which records are spread over the partitions
    pub partition_by: Option<String>,
    /// Field that orders the events of a partition
    pub ordering: Option<String>,
    /// Drops events that were already seen
    pub dedupe: Option<Dedupe>,
    /// Event time: which field, and how far it is believed
    #[serde(default)]
    pub time: TimeConfig,
}

/// Drops events whose key was already seen.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// Fields that together identify an event
    #[schemars(length(min = 1))]
    pub key: Vec<String>,
    /// How long a key is remembered
    pub horizon: Span,
    /// How many keys are remembered at most; beyond it the oldest go first
    pub max_keys: Option<u64>,
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// A number
    Number,
    /// Text
    String,
    /// RFC 3339 text, epoch seconds or epoch milliseconds
    Datetime,
    /// true or false
    Boolean,
    /// A list
    Array,
    /// A map
    Object,
}

impl FieldType {
    /// The word in `schema:`.
    pub const fn name(self) -> &'static str {
        match self {
            FieldType::Number => "number",
            FieldType::String => "string",
            FieldType::Datetime => "datetime",
            FieldType::Boolean => "boolean",
            FieldType::Array => "array",
            FieldType::Object => "object",
        }
    }
}

/// A field of an event: its type alone (then it is required), or more about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum InputField {
    /// A required field of this type
    Type(FieldType),
    /// Type, and whether it must be there
    Spec(FieldSpec),
}

impl InputField {
    /// Its type.
    pub fn field_type(self) -> FieldType {
        match self {
            InputField::Type(t) => t,
            InputField::Spec(spec) => spec.field_type,
        }
    }

    /// Must it be there?
    pub fn required(self) -> bool {
        match self {
            InputField::Type(_) => true,
            InputField::Spec(spec) => spec.required,
        }
    }
}

/// A field of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// Its type
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// A record without it, or with null in it, is a dead letter
    #[serde(default = "yes")]
    pub required: bool,
}

fn yes() -> bool {
    true
}

/// Where the records of the analyzer go.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Topic that is written
    pub topic: Topic,
    /// How records are written
    #[serde(default)]
    pub format: Format,
    /// Fields of an output record, in order: a type (the field of the same name is taken), or
    /// `{ type, from, required }`. Without a schema the records go out as the chain made them.
    #[serde(default)]
    pub schema: Ordered<OutputField>,
    /// Name of the window whose results make up the stream; default the results of all windows
    pub window: Option<String>,
    /// Field whose value becomes the key of the record, which decides its partition
    pub partition_by: Option<String>,
    /// Field that orders the records of a partition
    pub ordering: Option<String>,
}

/// A field of an output record: its type alone, or more about it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OutputField {
    /// The field of the same name, or null
    Type(FieldType),
    /// Type and what it is computed from
    Spec(OutputSpec),
}

impl OutputField {
    /// Its type.
    pub fn field_type(&self) -> FieldType {
        match self {
            OutputField::Type(t) => *t,
            OutputField::Spec(spec) => spec.field_type,
        }
    }

    /// The expression it is computed from, if the file gives one.
    pub fn expression(&self) -> Option<&str> {
        match self {
            OutputField::Spec(spec) => spec.from.as_deref(),
            OutputField::Type(_) => None,
        }
    }

    /// Is a record without it a dead letter?
    pub fn required(&self) -> bool {
        matches!(self, OutputField::Spec(OutputSpec { required: true, .. }))
    }
}

/// A field of an output record.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Its type
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Expression over the fields of the record; without it the field of the same name
    pub from: Option<String>,
    /// A record without it is a dead letter instead of carrying null
    #[serde(default)]
    pub required: bool,
}

/// Topics of single kinds of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes(pub Vec<(Kind, Topic)>);

impl Routes {
    /// The topic of a kind that has its own.
    pub fn get(&self, kind: Kind) -> Option<&Topic> {
        self.0.iter().find(|(k, _)| *k == kind).map(|(_, topic)| topic)
    }
}

impl<'de> Deserialize<'de> for Routes {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let pairs = Ordered::<Topic>::deserialize(d)?.0;
        let kind = |name: &str| {
            Kind::parse(name).ok_or_else(|| serde::de::Error::custom(format!("unknown kind of record `{name}`")))
        };
        pairs.into_iter().map(|(name, topic)| Ok((kind(&name)?, topic))).collect::<Result<_, _>>().map(Routes)
    }
}

impl JsonSchema for Routes {
    fn schema_name() -> Cow<'static, str> {
        "Routes".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let topic = generator.subschema_for::<Topic>();
        let properties: serde_json::Map<_, _> = Kind::ALL
            .iter()
            .map(|kind| {
                let mut schema = topic.clone();
                schema.insert("description".into(), format!("Topic of the records of kind `{}`", kind.name()).into());
                (kind.name().to_string(), schema.into())
            })
            .collect();
        json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
    }
}

/// Where kinds go that no route names. Events go nowhere: they are in the input topic already.
pub fn default_topic(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Event | Kind::Window | Kind::Session | Kind::Analysis | Kind::Progress => return None,
        Kind::Anomaly => "anomalies",
        Kind::Forecast => "forecasts",
        Kind::Incident => "incidents",
        Kind::Insight => "insights",
        Kind::Alert => "alerts",
        Kind::Action => "actions",
        Kind::Dashboard => "dashboards",
        Kind::Statistics => "statistics",
        Kind::Late => "late-events",
        Kind::DeadLetter => "dead-letters",
        Kind::Gap => "gaps",
    })
}

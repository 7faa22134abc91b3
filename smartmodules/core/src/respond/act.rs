//! What is done, with the fields of a record in it.
//!
//! Bodies: of `webhook`, `command` and `record` the user's own; of `feature-flag`
//! `{"flagKey", "value", "variant"}`, in OpenFeature's words; of `scale` the object `Scale` of Kubernetes'
//! `autoscaling/v1`. A record without one of the fields gives no body: nothing is done to `null`.

use super::config::Act;
use crate::alert::text::{Template, shortened};
use crate::config::Issue;
use crate::json::write_value;
use crate::row::{Fields, Row, Slot};
use serde_json::{Map, Value, json};

/// An action, its fields bound to slots.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// `webhook`, `command`, …
    pub kind: &'static str,
    /// Whom it goes to
    pub receiver: Option<Box<str>>,
    /// Where a record goes
    pub topic: Option<Box<str>>,
    body: Option<Part>,
}

/// A part of a body.
#[derive(Debug, Clone)]
enum Part {
    Fixed(Value),
    Text(Template),
    Field(Slot),
    List(Vec<Part>),
    Map(Vec<(String, Part)>),
}

impl Bound {
    /// Binds an action; the issue's path is inside it.
    pub fn new(act: &Act, fields: &mut Fields) -> Result<Bound, Issue> {
        let object = |body: &Option<Map<String, Value>>, fields: &mut Fields| {
            let part = body.as_ref().map(|body| Part::new(&Value::Object(body.clone()), fields));
            part.transpose().map_err(|issue| issue.under("body"))
        };
        let to = |receiver: &String| (Some(receiver.as_str().into()), None);
        let (kind, (receiver, topic), body) = match act {
            Act::Webhook(call) => ("webhook", to(&call.receiver), object(&call.body, fields)?),
            Act::Command(call) => ("command", to(&call.receiver), object(&call.body, fields)?),
            Act::Record(note) => ("record", (None, Some(note.topic.as_str().into())), object(&note.body, fields)?),
            Act::FeatureFlag(flag) => {
                let mut body = json!({ "flagKey": flag.flag, "value": flag.value });
                if let Some(variant) = &flag.variant {
                    body["variant"] = variant.as_str().into();
                }
                ("feature-flag", to(&flag.receiver), Some(Part::new(&body, fields)?))
            }
            Act::Scale(scale) => {
                let metadata = json!({ "name": scale.name, "namespace": scale.namespace });
                let body = json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata,
                    "spec": { "replicas": scale.replicas } });
                ("scale", to(&scale.receiver), Some(Part::new(&body, fields)?))
            }
        };
        Ok(Bound { kind, receiver, topic, body })
    }

    /// The body as JSON for a record, `null` if it has none; None if the record lacks a field of it.
    pub fn body(&self, row: &Row<'_>) -> Option<Box<str>> {
        match &self.body {
            None => Some("null".into()),
            Some(part) => Some(part.fill(row)?.to_string().into()),
        }
    }
}

impl Part {
    fn new(value: &Value, fields: &mut Fields) -> Result<Part, Issue> {
        Ok(match value {
            Value::String(text) => {
                let template = Template::parse(text, fields)?;
                match template.field_alone() {
                    Some(slot) => Part::Field(slot),
                    None => Part::Text(template),
                }
            }
            Value::Array(items) => {
                let part = |(i, item)| Part::new(item, fields).map_err(|issue| issue.under(&format!("[{i}]")));
                Part::List(items.iter().enumerate().map(part).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => {
                let part = |(name, item): (&String, &Value)| {
                    Ok((name.clone(), Part::new(item, fields).map_err(|issue: Issue| issue.under(name))?))
                };
                Part::Map(map.iter().map(part).collect::<Result<_, Issue>>()?)
            }
            other => Part::Fixed(other.clone()),
        })
    }

    fn fill(&self, row: &Row<'_>) -> Option<Value> {
        Some(match self {
            Part::Fixed(value) => value.clone(),
            Part::Text(template) => template.fill_known(row)?.into(),
            Part::Field(slot) => {
                let value = row.get(*slot);
                let mut text = Vec::new();
                write_value(shortened(value), &mut text);
                serde_json::from_slice(&text).ok().filter(|value: &Value| !value.is_null())?
            }
            Part::List(parts) => parts.iter().map(|part| part.fill(row)).collect::<Option<_>>()?,
            Part::Map(parts) => {
                let fill = |(name, part): &(String, Part)| Some((name.clone(), part.fill(row)?));
                Value::Object(parts.iter().map(fill).collect::<Option<_>>()?)
            }
        })
    }
}

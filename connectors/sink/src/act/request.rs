//! A request of the stage `respond`, as its record says it, and what is told of its outcome.

use crate::format::cloudevents::percent;
use perfstream_core::time::TimeParser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An action record that asks for something: of the steps `requested` and `rollback_requested`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Names this execution for ever
    pub key: String,
    /// The action it is of
    pub action_id: String,
    /// Pipeline, in whose inbox the outcome goes
    pub pipeline: String,
    /// `requested` or `rollback_requested`
    pub step: String,
    /// `webhook`, `command`, `feature-flag`, `scale` or `record`
    pub action: String,
    /// Whom it goes to
    #[serde(default)]
    pub receiver: Option<String>,
    /// Where a record goes
    #[serde(default)]
    pub topic: Option<String>,
    /// What is sent; without it the record itself
    #[serde(default)]
    pub body: Value,
    /// When it must have begun, milliseconds since the epoch
    #[serde(default)]
    pub until_ms: i64,
    /// When it was requested, milliseconds since the epoch
    #[serde(default)]
    pub time_ms: i64,
    /// The whole record
    #[serde(default)]
    pub record: Value,
}

impl Request {
    /// Reads an action record: None if it is one of another step, which asks for nothing.
    pub fn parse(bytes: &[u8]) -> Result<Option<Request>, String> {
        let record: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let step = record["step"].as_str().ok_or("it has no `step`")?;
        if !["requested", "rollback_requested"].contains(&step) {
            return Ok(None);
        }
        let time = |name: &str| record[name].as_str().and_then(|text| TimeParser::default().parse_text(text));
        let until_ms = time("until").ok_or("it has no time in `until`")? / 1000;
        let time_ms = time("timestamp").map_or(until_ms, |us| us / 1000);
        let request: Request = serde_json::from_value(record.clone()).map_err(|error| error.to_string())?;
        Ok(Some(Request { until_ms, time_ms, record, ..request }))
    }

    /// What is sent to who wants it plain.
    pub fn plain(&self) -> &Value {
        if self.body.is_null() { &self.record } else { &self.body }
    }

    /// CloudEvents 1.0, structured JSON; `id` is the key.
    pub fn cloudevent(&self) -> Value {
        let text = |name: &str| self.record[name].as_str().unwrap_or_default();
        json!({
            "specversion": "1.0",
            "type": format!("perfstream.action.{}", self.step),
            "source": format!("/perfstream/{}/{}", percent(&self.pipeline), percent(text("stage"))),
            "id": self.key,
            "subject": self.action_id,
            "time": text("timestamp"),
            "datacontenttype": "application/json",
            "data": self.record,
        })
    }

    /// The request to the pipeline that says how it went.
    pub fn outcome(&self, done: bool, message: &str) -> Value {
        let rollback = self.step == "rollback_requested";
        json!({ "type": "outcome", "action_id": self.action_id, "rollback": rollback, "done": done, "message": message })
    }
}

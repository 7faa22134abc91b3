//! Detectors by id: documents of kind `Detector`, put into the steps that refer to them.

use crate::diagnostic::{did_you_mean, list};
use crate::yaml::Node;
use perfstream_core::Issue;
use perfstream_core::detect::Detector;
use perfstream_core::detect::detector::Preset;
use serde_json::Value;
use std::collections::BTreeMap;

/// Documents by id, without `apiVersion`, `kind` and `meta`.
pub type Detectors = BTreeMap<String, Value>;

/// Keys of every document, which are not the detector's.
pub const ENVELOPE: [&str; 3] = ["apiVersion", "kind", "meta"];

/// Id and content of a document of kind `Detector`.
pub fn of_document(node: &Node) -> Option<(String, Value)> {
    let name = node.get("meta")?.get("name")?.str()?.to_string();
    let mut document = node.to_value();
    let keys = document.as_object_mut()?;
    ENVELOPE.iter().for_each(|key| _ = keys.remove(*key));
    Some((name, document))
}

/// The detector of a document's content.
pub fn read(document: &Value) -> Result<Detector, serde_json::Error> {
    // From text: numbers keep their digits, and the error says more.
    serde_json::from_str(&document.to_string())
}

/// The config of a `detect` step with its detector inside; None if it refers to none by id.
pub fn inline(stage: &str, config: &str, detectors: &Detectors) -> Result<Option<String>, Issue> {
    if stage != "detect" {
        return Ok(None);
    }
    let Ok(mut config) = serde_json::from_str::<Value>(config) else { return Ok(None) };
    let Some(id) = config.get("detector").and_then(Value::as_str).map(String::from) else { return Ok(None) };
    let Some(document) = detectors.get(&id) else {
        if Preset::parse(&id).is_some() {
            return Ok(None); // the stage has it
        }
        let known = || detectors.keys().map(String::as_str);
        let hint = did_you_mean(&id, known()).unwrap_or_else(|| match detectors.is_empty() {
            true => "the files have no document of kind Detector".into(),
            false => format!("the files have {}", list(known())),
        });
        return Err(Issue::error("detector", format!("Detector not found: {id}")).hint(hint));
    };
    config["detector"] = serde_json::json!({ "id": id, "document": document });
    Ok(Some(config.to_string()))
}

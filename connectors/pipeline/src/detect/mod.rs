//! `perfstream detect`: a detector over a series in a CSV file, or over a topic, through the same WASM
//! stage that pipelines run.

pub mod csv;
pub mod plot;
pub mod topic;

use crate::chain::{ChainSpec, StageSpec};
use perfstream_core::decode::DecodeConfig;
use serde_json::{Value, json};

/// A step `detect` with its detector inside, as a chain of that one stage.
pub fn chain(pipeline: &str, id: &str, document: Value, step: Value, decode: DecodeConfig) -> ChainSpec {
    ChainSpec { pipeline: pipeline.into(), decode, stages: vec![stage(id, document, step)] }
}

fn stage(id: &str, document: Value, step: Value) -> StageSpec {
    let mut config = json!({ "detector": { "id": id, "document": document } });
    if let (Some(config), Value::Object(step)) = (config.as_object_mut(), step) {
        config.extend(step);
    }
    StageSpec { name: "detect".into(), stage: "detect".into(), config: config.to_string() }
}

//! A run as the document's analysis session: its name, its configuration, its record as it starts.

use super::records::SessionRecord;
use crate::chain::ChainOptions;
use crate::model::{Name, Pipeline};
use crate::plan::PlanSpec;
use anyhow::Result;

/// A name no other process has.
pub fn name() -> String {
    perfstream_core::id::id(&[
        &std::process::id().to_le_bytes(),
        &super::cluster::now().to_le_bytes(),
        &rand::random::<[u8; 16]>(),
    ])[..16]
        .to_string()
}

/// Hash of all that outputs depend on: the plan and the modules' bytes.
pub fn config(plan: &PlanSpec, chain: &ChainOptions) -> Result<String> {
    let mut parts = vec![plan.hash()?.into_bytes()];
    for stage in &plan.chain.stages {
        parts.push(blake3::hash(&chain.modules.load(&stage.stage)?).as_bytes().to_vec());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(perfstream_core::id::id(&parts))
}

/// The session of these pipelines, each with its plan and the hash of its configuration, that started then
/// (microseconds since the epoch).
pub fn start<'p>(
    name: &str,
    started: i64,
    pipelines: impl IntoIterator<Item = (&'p Pipeline, &'p PlanSpec, String)>,
) -> SessionRecord {
    let start_time = perfstream_core::time::format(started);
    let mut record = SessionRecord { id: name.into(), start_time, ..SessionRecord::default() };
    for (pipeline, plan, config) in pipelines {
        let name = &plan.chain.pipeline;
        record.config.insert(name.clone(), config);
        record.frameworks.extend(pipeline.meta.framework.as_ref().map(Name::to_string));
        record.analyzers.push(name.clone());
        for stage in &plan.chain.stages {
            let place = format!("{name}.{}", stage.name);
            if stage.stage == "detect" {
                record.detectors.push(place.clone());
            }
            record.processors.push(place);
        }
        record.streams.extend([plan.input_topic.clone(), plan.output_topic.clone()]);
        record.streams.extend(plan.routes.values().cloned());
    }
    for names in [&mut record.streams, &mut record.frameworks] {
        names.sort();
        names.dedup();
    }
    tracing::info!(
        session = record.id,
        analyzers = record.analyzers.len(),
        detectors = record.detectors.len(),
        streams = record.streams.len(),
        "analysis session started"
    );
    record
}

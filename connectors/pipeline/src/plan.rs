//! A pipeline document as something that can be run: the chain's spec and the router.

use crate::analysis::Analysis;
use crate::chain::{ChainSpec, StageSpec};
use crate::inlined::Named;
use crate::model::{AnalyzerType, OutputField, Pipeline, Uses};
use crate::output::Router;
use crate::thresholds;
use anyhow::{Context, Result, anyhow};
use perfstream_core::Kind;
use perfstream_core::decode::DecodeConfig;
use perfstream_core::row::Fields;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A pipeline as data: all that its output depends on, tables inlined. It stands in the control
/// topic, so that what an older configuration began can be finished with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanSpec {
    /// The stages
    pub chain: ChainSpec,
    /// Topic of the events
    pub input_topic: String,
    /// Field whose value decides the partition of an event
    pub partition_by: Option<String>,
    /// Topics of kinds, by the kind's word
    pub routes: BTreeMap<String, String>,
    /// Topic of the results
    pub output_topic: String,
    /// The kind that is a result
    pub results: String,
    /// Only results of this window
    pub window: Option<String>,
    /// Field whose value becomes the key of an output
    pub key: Option<String>,
    /// Columns of the output: name, type word, expression
    pub columns: Vec<(String, String, Option<String>)>,
}

impl PlanSpec {
    /// Of a pipeline that `check` found nothing wrong with.
    pub fn new(pipeline: &Pipeline) -> Result<PlanSpec> {
        let output = &pipeline.output;
        let column = |(name, field): &(String, OutputField)| {
            (name.clone(), field.field_type().name().to_string(), field.expression().map(str::to_string))
        };
        Ok(PlanSpec {
            chain: chain_spec(pipeline)?,
            input_topic: pipeline.input.topic.to_string(),
            partition_by: pipeline.input.partition_by.clone(),
            routes: pipeline.routes.0.iter().map(|(kind, topic)| (kind.name().into(), topic.to_string())).collect(),
            output_topic: output.topic.to_string(),
            results: result_kind(pipeline.meta.kind).name().into(),
            window: output.window.clone(),
            key: output.partition_by.clone(),
            columns: output.schema.0.iter().map(column).collect(),
        })
    }

    /// Another configuration has another hash: 32 hexadecimal digits.
    pub fn hash(&self) -> Result<String> {
        Ok(perfstream_core::id::id(&[&serde_json::to_vec(self)?]))
    }
}

/// What `run` and `test` need of a pipeline.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The stages
    pub spec: ChainSpec,
    /// Topics of rows
    pub router: Router,
    /// Topic of the events
    pub input_topic: String,
    /// Field whose value decides the partition
    pub partition_by: Option<String>,
}

impl Plan {
    /// Plans a pipeline that `check` found nothing wrong with.
    pub fn new(pipeline: &Pipeline) -> Result<Plan> {
        Plan::of(&PlanSpec::new(pipeline)?)
    }

    /// From its data.
    pub fn of(spec: &PlanSpec) -> Result<Plan> {
        let kind = |word: &str| Kind::parse(word).ok_or_else(|| anyhow!("unknown kind of record `{word}`"));
        let mut fields = Fields::default();
        let results = kind(&spec.results)?;
        let columns: Vec<_> = spec.columns.iter().map(|(n, w, e)| (n.as_str(), w.as_str(), e.as_deref())).collect();
        let analysis = match columns.is_empty() {
            true => None,
            false => {
                let made = Analysis::new(&spec.chain.pipeline, results, spec.window.as_deref(), &columns, &mut fields);
                Some(made.map_err(|issue| anyhow!("output.schema.{issue}"))?)
            }
        };
        let routes = spec.routes.iter().map(|(k, topic)| Ok((kind(k)?, topic.clone()))).collect::<Result<_>>()?;
        let router = Router::new(&routes, &spec.output_topic, results, spec.key.as_deref(), analysis, fields);
        Ok(Plan {
            spec: spec.chain.clone(),
            router,
            input_topic: spec.input_topic.clone(),
            partition_by: spec.partition_by.clone(),
        })
    }
}

/// What the results of an analyzer are.
fn result_kind(kind: AnalyzerType) -> Kind {
    match kind {
        AnalyzerType::Streaming | AnalyzerType::Windowed => Kind::Window,
        AnalyzerType::EventDriven => Kind::Session,
        AnalyzerType::Continuous => Kind::Event,
    }
}

/// The chain of a pipeline. `input.schema` and `input.dedupe` are work for the first filter; a
/// chain that does not start with one gets one in front.
fn chain_spec(pipeline: &Pipeline) -> Result<ChainSpec> {
    let input = &pipeline.input;
    let decode = DecodeConfig {
        format: input.format,
        columns: input.schema.0.iter().map(|(name, _)| name.clone()).collect(),
        time: input.time.clone(),
        ..DecodeConfig::default()
    };
    let mut stages = Vec::new();
    let rules = thresholds::of_pipeline(pipeline);
    for (transform, name) in pipeline.transforms.iter().zip(pipeline.stage_names()) {
        let uses = Uses::parse(&transform.uses).with_context(|| format!("`uses: {}`", transform.uses))?;
        let file = pipeline.origin.as_deref().map_or("", |origin| &origin.source.name);
        let named = Named { file, detectors: &pipeline.detectors, rules: &rules };
        let config = named.inline(uses.name, transform.with.0.to_string()).map_err(|issue| anyhow!("{issue}"))?;
        stages.push(StageSpec { name, stage: uses.name.to_string(), config });
    }
    let wanted = input_checks(pipeline);
    if !wanted.is_empty() {
        if stages.first().is_none_or(|s| s.stage != "filter") {
            stages.insert(0, StageSpec { name: "input".into(), stage: "filter".into(), config: "{}".into() });
        }
        stages[0].config = with_keys(&stages[0].config, &wanted)?;
    }
    Ok(ChainSpec { pipeline: pipeline.meta.name.to_string(), decode, stages })
}

/// `schema` and `dedupe` of the input as keys of a filter.
fn input_checks(pipeline: &Pipeline) -> Vec<(&'static str, String)> {
    let input = &pipeline.input;
    let mut keys = Vec::new();
    if !input.schema.0.is_empty() {
        let fields: Vec<String> = input
            .schema
            .0
            .iter()
            .map(|(name, field)| {
                let (word, required) = (field.field_type().name(), field.required());
                format!("{}:{{\"type\":\"{word}\",\"required\":{required}}}", serde_json::Value::from(name.as_str()))
            })
            .collect();
        keys.push(("schema", format!("{{{}}}", fields.join(","))));
    }
    if let Some(dedupe) = &input.dedupe {
        let mut value = serde_json::json!({ "key": dedupe.key, "horizon": dedupe.horizon.to_string() });
        if let Some(max_keys) = dedupe.max_keys {
            value["max_keys"] = max_keys.into();
        }
        keys.push(("dedupe", value.to_string()));
    }
    keys
}

/// A config object with more keys; what it says itself wins.
fn with_keys(config: &str, keys: &[(&'static str, String)]) -> Result<String> {
    let own: BTreeMap<String, &RawValue> = serde_json::from_str(config)?;
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in keys.iter().filter(|(key, _)| !own.contains_key(*key)) {
        parts.push(format!("\"{key}\":{value}"));
    }
    let body = config.trim();
    let body = body.strip_prefix('{').and_then(|b| b.strip_suffix('}')).unwrap_or_default().trim();
    if !body.is_empty() {
        parts.push(body.to_string());
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

//! The stage `detect` as a whole, and its statistics against other implementations.

mod bounds;
mod golden;
mod learning;
mod stage;

use crate::detect::{DetectConfig, DetectStage, DetectorRef};
use crate::math::random::SplitMix64;
use crate::row::Fields;
use crate::stage::{Context, Stage};
use serde_json::{Value, json};

/// A stage of a detector's document, with more keys of the step.
fn make(document: &Value, step: &Value) -> (DetectStage, Fields) {
    let mut config = json!({ "detector": { "id": "d", "document": document } });
    if let (Some(config), Some(step)) = (config.as_object_mut(), step.as_object()) {
        config.extend(step.clone());
    }
    let config: DetectConfig = serde_json::from_value(config).expect("a config");
    let mut fields = Fields::default();
    let context = Context { pipeline: "p".into(), stage: "detect".into(), ..Context::default() };
    let stage = DetectStage::new(config, &context, &mut fields).unwrap_or_else(|e| panic!("{e:?}"));
    (stage, fields)
}

/// The user's ensemble, for one metric.
fn ensemble() -> Value {
    json!({ "preset": "ensemble", "metrics": ["largest-contentful-paint"] })
}

/// Row `n` of a stream with one row in half a minute.
fn row(n: usize, fields: Value) -> String {
    let mut row = json!({ "timestamp": 1_767_600_000 + 30 * n });
    if let (Some(row), Value::Object(fields)) = (row.as_object_mut(), fields) {
        row.extend(fields);
    }
    row.to_string()
}

/// 1000 ± 50 or so, by a seeded generator.
fn usual(random: &mut SplitMix64) -> f64 {
    1000.0 + 100.0 * ((0..6).map(|_| random.unit()).sum::<f64>() - 3.0)
}

/// `count` rows of a page whose value is multiplied by `factor(n)`.
fn lcp(count: usize, seed: u64, factor: impl Fn(usize) -> f64) -> Vec<String> {
    let mut random = SplitMix64::new(seed);
    let value = |n: usize, random: &mut SplitMix64| usual(random) * factor(n);
    (0..count)
        .map(|n| row(n, json!({ "page": "/", "browser": "chrome", "p75_lcp": value(n, &mut random), "count": 50 })))
        .collect()
}

fn refs(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

fn of_kind<'r>(rows: &'r [Value], kind: &str) -> Vec<&'r Value> {
    rows.iter().filter(|row| row["kind"] == kind).collect()
}

fn unresolved(id: &str) -> DetectConfig {
    DetectConfig::new(DetectorRef::Id(id.into()))
}

//! The bodies that `respond` makes of the shipped rules, held against their JSON Schema.

use perfstream::chain::{Chain, ChainOptions, Placement};
use perfstream::check::check_files;
use perfstream::host::{LogRecord, NO_LOG_TIME};
use perfstream::plan::Plan;
use perfstream_core::{Kind, Row};
use serde_json::Value;
use std::path::Path;

#[test]
fn bodies_are_as_their_schema_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = std::fs::read_to_string(root.join("smartmodules/respond/bodies.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let report = check_files(&[root.join("pipelines/response.yaml")]);
    assert!(!report.is_error(), "{}", report.render(false));
    let mut bodies: Vec<Value> = Vec::new();
    for pipeline in report.into_pipelines() {
        let plan = Plan::new(&pipeline).expect("a plan");
        for case in &pipeline.tests {
            let native = ChainOptions { placement: Placement::Native, ..ChainOptions::default() };
            let mut chain = Chain::new(&plan.spec, &native).expect("a chain");
            let record = |(at, record): (usize, &perfstream::model::TestRecord)| {
                let value = record.bytes().to_vec();
                LogRecord { offset: at as i64, log_time_ms: NO_LOG_TIME, key: None, value }
            };
            let records: Vec<LogRecord> = case.input.iter().enumerate().map(record).collect();
            let mut take = |row: &Row<'_>| {
                let mut text = Vec::new();
                perfstream_core::json::write_row(row, &mut text);
                let record: Value = serde_json::from_slice(&text).expect("JSON");
                let kind = record["action"].as_str().unwrap_or_default();
                if row.meta.kind == Kind::Action
                    && ["scale", "feature-flag"].contains(&kind)
                    && !record["body"].is_null()
                {
                    bodies.push(record["body"].clone());
                }
            };
            chain.process(&records, &mut take).expect("no trap");
        }
    }
    for body in &bodies {
        assert!(validator.is_valid(body), "{body}");
    }
    for field in ["spec", "flagKey"] {
        assert!(bodies.iter().filter(|body| body.get(field).is_some()).count() > 1, "no body has {field}: {bodies:?}");
    }
    let wrong = serde_json::json!({ "flagKey": "hero" });
    assert!(!validator.is_valid(&wrong), "a flag without a value");
}

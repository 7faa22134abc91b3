//! `perfstream test`: the `tests:` blocks of pipeline files, through the real chain.

use crate::chain::{Chain, ChainOptions};
use crate::host::{LogRecord, NO_LOG_TIME};
use crate::model::{Pipeline, TestCase, matches};
use crate::plan::Plan;
use anyhow::{Context, Result};
use perfstream_core::time::TimeParser;
use perfstream_core::{Kind, Tick};
use std::collections::BTreeMap;

/// What a test found.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// Pipeline
    pub pipeline: String,
    /// Name of the test
    pub name: String,
    /// What did not hold; empty: it passed
    pub failures: Vec<String>,
}

/// Runs every test of a pipeline.
pub fn run(pipeline: &Pipeline, options: &ChainOptions) -> Result<Vec<TestResult>> {
    let plan = Plan::new(pipeline)?;
    pipeline
        .tests
        .iter()
        .map(|case| {
            let output = run_case(&plan, case, options).with_context(|| format!("test `{}`", case.name))?;
            let failures = compare(case, &output);
            Ok(TestResult { pipeline: plan.spec.pipeline.clone(), name: case.name.clone(), failures })
        })
        .collect()
}

/// A record that came out.
type Outcome = (Kind, serde_json::Value);

fn run_case(plan: &Plan, case: &TestCase, options: &ChainOptions) -> Result<Vec<Outcome>> {
    let mut chain = Chain::new(&plan.spec, options)?.with_fields(plan.router.fields().clone());
    let mut output = Vec::new();
    let mut emit = |row: &perfstream_core::Row<'_>| {
        let mut routed = false;
        plan.router.route(row, options.partition, &mut |emission| {
            routed |= emission.kind == row.meta.kind;
            output.push((emission.kind, serde_json::from_slice(&emission.record.value).unwrap_or_default()));
        });
        if !routed {
            // Not every kind has a topic, but a test may look at all of them.
            let mut text = Vec::new();
            perfstream_core::json::write_row(row, &mut text);
            output.push((row.meta.kind, serde_json::from_slice(&text).unwrap_or_default()));
        }
    };
    let mut times = TimeParser::default();
    for at in 0..=case.input.len() {
        let due = case.ticks.iter().filter(|tick| tick.after.map_or(case.input.len() as u64, |n| n) == at as u64);
        for tick in due {
            let time = times.parse_text(&tick.time).with_context(|| format!("`{}` is not RFC 3339", tick.time))?;
            chain.tick(&Tick { time, offset: at as i64 - 1, end_of_input: false }, &mut emit)?;
        }
        if let Some(record) = case.input.get(at) {
            let value = record.bytes().to_vec();
            let record = LogRecord { offset: at as i64, log_time_ms: NO_LOG_TIME, key: None, value };
            chain.process(std::slice::from_ref(&record), &mut emit)?;
        }
    }
    if case.end_of_input {
        chain.tick(&Tick { time: 0, offset: case.input.len() as i64 - 1, end_of_input: true }, &mut emit)?;
    }
    Ok(output)
}

fn compare(case: &TestCase, output: &[Outcome]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut left: Vec<&Outcome> = output.iter().collect();
    for expected in &case.expect {
        let hit = left.iter().position(|(kind, value)| matches(expected, &with_kind(*kind, value)).is_ok());
        match hit {
            Some(at) => drop(left.remove(at)),
            None => failures.push(nearest(expected, &left)),
        }
    }
    let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
    for (kind, _) in output {
        *counts.entry(*kind).or_default() += 1;
    }
    for (kind, want) in &case.expect_count.0 {
        let found = counts.get(kind).copied().unwrap_or(0);
        if found != *want {
            failures.push(format!(
                "expected {want} records of kind `{}`, found {found}{}",
                kind.name(),
                samples(*kind, output)
            ));
        }
    }
    for kind in &case.expect_none {
        if let Some(found) = counts.get(&kind.0) {
            failures.push(format!(
                "expected no record of kind `{}`, found {found}{}",
                kind.0.name(),
                samples(kind.0, output)
            ));
        }
    }
    failures
}

fn with_kind(kind: Kind, value: &serde_json::Value) -> serde_json::Value {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.entry("kind").or_insert_with(|| kind.name().into());
    }
    value
}

/// Says which record came nearest to what was expected, and where it differs.
fn nearest(expected: &serde_json::Value, left: &[&Outcome]) -> String {
    let mut text = format!("nothing matches {expected}");
    let same_kind = |kind: Kind| expected.get("kind").is_none_or(|k| k == kind.name());
    let candidates = left.iter().filter(|(kind, _)| same_kind(*kind)).take(3);
    for (kind, value) in candidates {
        if let Err(why) = matches(expected, &with_kind(*kind, value)) {
            text.push_str(&format!("\n      {why}\n        in {value}"));
        }
    }
    if text.lines().count() == 1 {
        let kinds: std::collections::BTreeSet<&str> = left.iter().map(|(kind, _)| kind.name()).collect();
        text.push_str(&format!("; what came out is of kind {kinds:?}"));
    }
    text
}

fn samples(kind: Kind, output: &[Outcome]) -> String {
    let shown = output.iter().filter(|(k, _)| *k == kind).take(3);
    shown.map(|(_, value)| format!("\n      {value}")).collect()
}

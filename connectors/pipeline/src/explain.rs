//! `perfstream explain`: a pipeline with every parameter, its value and where that comes from.

use crate::chain::front::front_len;
use crate::check::names::Known;
use crate::check::structure::first_sentence;
use crate::check::{pipeline_schema, stages};
use crate::inlined::Named;
use crate::model::{Origin, Pipeline, Placement, Uses};
use crate::params::{Shape, params, shape};
use crate::plan::PlanSpec;
use crate::registry::{self, StageEntry};
use crate::thresholds;
use crate::yaml::{Data, Node};
use anyhow::Result;
use perfstream_core::Context;
use serde_json::Value;
use std::fmt::Write;

/// Values longer than this are cut.
const MAX_VALUE_CHARS: usize = 44;

/// One line of a table.
struct Row {
    path: String,
    value: String,
    /// Line it was set in; None for a default
    line: Option<usize>,
    about: String,
}

/// The pipeline as a text with tables.
pub fn explain(pipeline: &Pipeline) -> String {
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = write(pipeline, &mut text);
    text
}

fn write(pipeline: &Pipeline, text: &mut String) -> std::fmt::Result {
    let name = &pipeline.meta.name;
    let title = pipeline.meta.title.as_deref().map_or_else(String::new, |t| format!(" · {t}"));
    writeln!(text, "pipeline {name}{title}")?;
    let Some(origin) = pipeline.origin.as_deref() else {
        return writeln!(text, "(made in memory: there is no file to explain)");
    };
    writeln!(text, "from {}:{}", origin.source.name, origin.source.line(origin.node.span.start))?;
    if let Some(about) = &pipeline.meta.description {
        writeln!(text, "{}", about.trim())?;
    }
    writeln!(text, "\n{}", chain(pipeline))?;
    section(text, "The pipeline", &pipeline_rows(origin))?;
    let mut known = Known::of_input(&origin.node);
    let limit = Context::default().max_state_bytes;
    let transforms = origin.node.get("transforms").map_or(&[][..], Node::items);
    for (at, (node, stage_name)) in transforms.iter().zip(pipeline.stage_names()).enumerate() {
        let uses = node.get("uses").and_then(Node::str).unwrap_or_default();
        let stage = Uses::parse(uses).and_then(|u| registry::find(u.name));
        writeln!(text, "\n{}. {stage_name} · {uses} · line {}", at + 1, origin.source.line(node.span.start))?;
        let Some(stage) = stage else {
            writeln!(text, "   a module that perfstream does not know; its parameters are handed on as they are")?;
            continue;
        };
        writeln!(text, "   {}.", stage.summary)?;
        writeln!(text, "   memory: at most {} of state per partition; {}", mebibytes(limit), stage.memory)?;
        let context = Context { pipeline: name.to_string(), stage: stage_name, ..Context::default() };
        let with = node.get("with");
        let before = known.made.len();
        known.pass(stage.name, with);
        let config = with.map_or_else(|| "{}".into(), Node::to_json);
        let rules = thresholds::of_pipeline(pipeline);
        let named = Named { file: &origin.source.name, detectors: &pipeline.detectors, rules: &rules };
        // What is named is there: `check` has seen it.
        let reads = stage.lint(&named.inline(stage.name, config.clone()).unwrap_or(config), &context).reads;
        writeln!(text, "   reads: {}", words(&reads))?;
        writeln!(text, "   adds: {}", words(&known.made[before..]))?;
        if !known.events_pass {
            writeln!(text, "   events end here; what goes on are its results")?;
        }
        section(text, "", &stage_rows(stage, with, origin))?;
    }
    Ok(())
}

/// `lcp-stream → filter → aggregate → lcp-analysis-stream`
fn chain(pipeline: &Pipeline) -> String {
    let mut parts = vec![pipeline.input.topic.to_string()];
    parts.extend(pipeline.stage_names());
    parts.push(pipeline.output.topic.to_string());
    let mut line = parts.join(" → ");
    if pipeline.placement == Placement::SpuPrefilter
        && let Ok((front, rest)) = PlanSpec::new(pipeline).and_then(|plan| stages_of(&plan))
    {
        let _ = write!(line, "\n  in the SPU: {front}\n  in the worker: {rest}");
    }
    for (kind, topic) in &pipeline.routes.0 {
        let _ = write!(line, "\n  {} → {topic}", kind.name());
    }
    line
}

/// The names of the stages that the SPU runs, and of the rest.
fn stages_of(plan: &PlanSpec) -> Result<(String, String)> {
    let names: Vec<String> = plan.chain.stages.iter().map(|s| s.name.clone()).collect();
    let (front, rest) = names.split_at(front_len(&plan.chain)?);
    Ok((words(front), words(rest)))
}

fn words(names: &[String]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for name in names {
        if !shown.contains(&name.as_str()) {
            shown.push(name);
        }
    }
    if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn pipeline_rows(origin: &Origin) -> Vec<Row> {
    let root = pipeline_schema();
    let mut rows = Vec::new();
    for param in params(root, root) {
        // The stages have tables of their own, routes stand above; tests are no parameters.
        if !matches!(param.name, "transforms" | "routes" | "tests" | "apiVersion" | "kind") {
            walk(
                root,
                param.schema,
                origin.node.get(param.name),
                param.name,
                (&param.about, &param.default),
                origin,
                &mut rows,
            );
        }
    }
    rows
}

fn stage_rows(stage: &StageEntry, with: Option<&Node>, origin: &Origin) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(structure) = stages::schema(stage.name) {
        let root = structure.schema();
        object(root, root, with, "", origin, &mut rows);
    }
    rows
}

fn object(root: &Value, schema: &Value, node: Option<&Node>, path: &str, origin: &Origin, rows: &mut Vec<Row>) {
    for param in params(root, schema) {
        let path = if path.is_empty() { param.name.to_string() } else { format!("{path}.{}", param.name) };
        let child = node.and_then(|n| n.get(param.name));
        walk(root, param.schema, child, &path, (&param.about, &param.default), origin, rows);
    }
}

/// Rows of a value: its own, or those of what it is made of.
fn walk(
    root: &Value,
    schema: &Value,
    node: Option<&Node>,
    path: &str,
    (about, default): (&str, &str),
    origin: &Origin,
    rows: &mut Vec<Row>,
) {
    match (shape(root, schema), node) {
        (Shape::Object(schema), Some(node)) if matches!(node.data, Data::Map(_)) => {
            return object(root, schema, Some(node), path, origin, rows);
        }
        // Not given, and all it holds has defaults of its own.
        (Shape::Object(schema), None) if default.starts_with('{') => {
            return object(root, schema, None, path, origin, rows);
        }
        (Shape::Tagged(branches), Some(node)) if matches!(node.data, Data::Map(_)) => {
            let is_meant = |(key, value, _): &&(&str, String, &Value)| node.get(key).and_then(Node::str) == Some(value);
            if let Some((_, _, schema)) = branches.iter().find(is_meant) {
                return object(root, schema, Some(node), path, origin, rows);
            }
        }
        (Shape::Map(values), Some(node)) if is_made_of(root, values, node) => {
            for (key, value) in node.pairs() {
                walk(root, values, Some(value), &format!("{path}.{}", key.name), (about, default), origin, rows);
            }
            return;
        }
        (Shape::List(items), Some(node)) if is_made_of(root, items, node) => {
            for (at, item) in node.items().iter().enumerate() {
                walk(root, items, Some(item), &format!("{path}[{at}]"), (about, default), origin, rows);
            }
            return;
        }
        _ => {}
    }
    let value = node.map_or_else(|| unquoted(default), |n| n.str().map_or_else(|| n.to_json(), str::to_string));
    let line = node.map(|n| origin.source.line(n.span.start));
    rows.push(Row { path: path.into(), value: cut(&value), line, about: first_sentence(about) });
}

/// Doc comments put words in backticks; alone in a cell they need none.
fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('`').and_then(|t| t.strip_suffix('`')).filter(|t| !t.contains('`'));
    inner.unwrap_or(text).to_string()
}

/// Is it a non-empty collection of things that have parameters?
fn is_made_of(root: &Value, schema: &Value, node: &Node) -> bool {
    let filled = !node.items().is_empty() || !node.pairs().is_empty();
    filled && matches!(shape(root, schema), Shape::Object(_) | Shape::Tagged(_))
}

fn cut(value: &str) -> String {
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match value.char_indices().nth(MAX_VALUE_CHARS) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value,
    }
}

fn section(text: &mut String, title: &str, rows: &[Row]) -> std::fmt::Result {
    if !title.is_empty() {
        writeln!(text, "\n{title}")?;
    }
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (paths, values) = (width(|r| r.path.chars().count()), width(|r| r.value.chars().count()));
    for row in rows {
        let from = row.line.map_or_else(|| "default".to_string(), |line| format!("line {line}"));
        let line = format!("   {:paths$}  {:values$}  {from:9}  {}", row.path, row.value, row.about);
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::check::check_text;

    #[test]
    fn says_every_parameter_and_its_source() {
        let report = check_text("lcp.yaml", include_str!("check/tests/lcp.yaml"));
        let text = super::explain(&report.into_pipelines()[0]);
        let has = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|p| line.contains(p)));
        assert!(has(&["where", "value > 0 AND value < 60000", "line 15"]), "{text}");
        assert!(has(&["criteria[0].operator", "in", "line 17"]), "{text}");
        assert!(has(&["time_zone", "UTC", "default"]), "{text}");
        assert!(has(&["checkpoint.retain", "3", "line 33"]), "{text}");
        assert!(has(&["input.dedupe.max_keys", "default"]), "{text}");
        assert!(has(&["adds: location, network, device-specs, hour-of-day, day-of-week, rating"]), "{text}");
        assert!(has(&["ranges[1].label", "poor"]), "{text}");
        assert!(has(&["memory: at most 256 MiB"]), "{text}");
    }
    #[test]
    fn says_which_stages_run_in_the_spu() {
        let text = "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: { name: a }\n\
                    input: { topic: a, schema: { value: number } }\ntransforms:\n\
                    - { uses: perfstream/enrich@0.1.0, with: { derive: [rating] } }\n\
                    - uses: perfstream/aggregate@0.1.0\n  with: { group_by: [], windows: [{ name: w, type: tumbling, \
                    size: 1m, functions: { n: { type: count } } }] }\n\
                    output: { topic: b }\nplacement: spu-prefilter\n";
        let report = check_text("f", text);
        assert!(!report.is_error(), "{}", report.render(false));
        let text = super::explain(&report.into_pipelines()[0]);
        // The filter stands there for the schema.
        assert!(text.contains("\n  in the SPU: input, enrich\n  in the worker: aggregate\n"), "{text}");
    }

    #[test]
    fn says_the_defaults_that_hold() {
        let text = "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: { name: a }\ninput: { topic: a }\n\
                    transforms: [{ uses: perfstream/filter@0.1.0 }]\noutput: { topic: b }\n";
        let report = check_text("f", text);
        let text = super::explain(&report.into_pipelines()[0]);
        for (path, value) in [
            ("meta.type", "streaming"),
            ("input.format", "json"),
            ("input.time.max_future_skew", "5m"),
            ("errors", "skip-and-log"),
            ("backpressure", "buffer-with-spill"),
            ("placement", "worker"),
            ("checkpoint.interval", "10s"),
            ("checkpoint.retain", "3"),
            ("recovery", "latest"),
            ("scaling", "manual"),
        ] {
            let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{path} ")));
            assert!(line.is_some_and(|l| l.contains(value) && l.contains("default")), "{path}: {line:?}");
        }
    }
}

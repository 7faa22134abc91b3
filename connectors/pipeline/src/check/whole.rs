//! How the parts of a pipeline fit together, and documents among each other.

use super::names::Known;
use super::stages::{inside, twice};
use super::{Document, stages};
use crate::diagnostic::{Diagnostic, did_you_mean, list};
use crate::model::{DocumentKind, Uses, default_topic, steps};
use crate::registry;
use crate::source::Source;
use crate::yaml::{Data, Node};
use perfstream_core::Kind;
use perfstream_core::expr::Expr;
use perfstream_core::row::Fields;
use perfstream_core::time::TimeParser;
use std::collections::HashMap;

/// Checks one pipeline as a whole.
pub fn check(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    loops(source, pipeline, out);
    default_loops(source, pipeline, out);
    csv_columns(source, pipeline, out);
    partition_key(source, pipeline, out);
    scaling(source, pipeline, out);
    placement(source, pipeline, out);
    output_expressions(source, pipeline, out);
    output_window(source, pipeline, out);
    tests(source, pipeline, out);
}

/// Records written to the input topic would be read again, for ever.
fn loops(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let Some(topic) = pipeline.get("input").and_then(|i| i.get("topic")) else { return };
    let routes = pipeline.get("routes").map_or(&[][..], Node::pairs).iter().map(|(_, node)| node);
    let output = pipeline.get("output").and_then(|o| o.get("topic"));
    for written in output.into_iter().chain(routes).filter(|n| n.str().is_some() && n.str() == topic.str()) {
        let name = topic.str().unwrap_or_default();
        let diagnostic = Diagnostic::new(
            "E014",
            source,
            written.mark(),
            format!("`{name}` is the input topic: what is written there would be read again"),
        );
        out.push(diagnostic.label("expected another topic").related(source, topic.mark(), "read here"));
    }
}

/// Kinds that go to a topic of their own where no route names them, and the step that makes them (None: any chain).
const MADE_BY: [(Kind, Option<&str>); 10] = [
    (Kind::Anomaly, Some("detect")),
    (Kind::Insight, Some("detect")),
    (Kind::Forecast, Some("forecast")),
    (Kind::Incident, Some("correlate")),
    (Kind::Alert, Some("alert")),
    (Kind::Action, Some("respond")),
    (Kind::Dashboard, Some("dashboard")),
    (Kind::Late, Some("aggregate")),
    (Kind::DeadLetter, None),
    (Kind::Gap, None),
];

/// The same without a route: the input topic is where a kind goes by default that the pipeline makes.
fn default_loops(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let Some(topic) = pipeline.get("input").and_then(|i| i.get("topic")) else { return };
    let routes = pipeline.get("routes").map_or(&[][..], Node::pairs);
    for (kind, stage) in MADE_BY {
        let step = stage.and_then(|stage| steps(pipeline, stage).next());
        let is_made = stage.is_none() || step.is_some();
        let name = default_topic(kind).filter(|name| topic.str() == Some(name));
        let routed = routes.iter().any(|(key, _)| key.name == kind.name());
        let Some(name) = name.filter(|_| is_made && !routed) else { continue };
        let kind = kind.name();
        let message =
            format!("`{name}` is the input topic, and where records of kind `{kind}` go: they would be read again");
        let diagnostic = Diagnostic::new("E014", source, topic.mark(), message).label("read here");
        let diagnostic = match step {
            Some(step) => diagnostic.related(source, step.get("uses").unwrap_or(step).mark(), "made here"),
            None => diagnostic,
        };
        out.push(diagnostic.hint(format!("send them elsewhere: `routes: {{ {kind}: another-topic }}`")));
    }
}

/// The columns of CSV are the fields of the schema.
fn csv_columns(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    for side in ["input", "output"] {
        let Some(node) = pipeline.get(side) else { continue };
        let Some(format) = node.get("format").filter(|f| f.str() == Some("csv")) else { continue };
        if node.get("schema").is_none_or(|s| s.pairs().is_empty()) {
            let message = format!("missing key `schema`: CSV has no names of its own, so `{side}` needs them");
            let diagnostic = Diagnostic::new("E002", source, format.mark(), message);
            out.push(
                diagnostic
                    .label("needs a `schema` beside it")
                    .hint("list the columns in their order: `schema: { time: datetime, value: number }`"),
            );
        }
    }
}

/// Groups must not be spread over partitions: each partition has a state of its own.
fn partition_key(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let partition = pipeline.get("input").and_then(|i| i.get("partition_by"));
    let Some((partition, key)) = partition.and_then(|p| Some((p, p.str()?))) else { return };
    let mut known = Known::of_input(pipeline);
    for transform in pipeline.get("transforms").map_or(&[][..], Node::items) {
        let Some(uses) = transform.get("uses").and_then(Node::str).and_then(Uses::parse) else { continue };
        let with = transform.get("with");
        let same = |name: &str| name == key || known.renamed.iter().any(|(old, new)| old == key && new == name);
        let found = match uses.name {
            "aggregate" => {
                let group_by = with.and_then(|w| w.get("group_by"));
                let names = group_by.map_or(&[][..], Node::items);
                let place = group_by.or(with).unwrap_or(transform);
                (!names.iter().filter_map(Node::str).any(same)).then_some((place, "group_by"))
            }
            "sessionize" => {
                with.and_then(|w| w.get("key")).filter(|k| k.str().is_some_and(|k| !same(k))).map(|k| (k, "key"))
            }
            _ => None,
        };
        if let Some((place, what)) = found {
            let message = format!(
                "`{what}` does not contain `{key}`, by which the input is partitioned: each partition would give its own part of a group"
            );
            let diagnostic =
                Diagnostic::new("E013", source, place.mark(), message).label(format!("expected `{key}` here"));
            let hint = match what {
                "key" => format!("set `partition_by: {}`, or sessionize by `{key}`", place.str().unwrap_or_default()),
                _ => format!("add `{key}` to `group_by`, or partition the input by a field of `group_by`"),
            };
            out.push(diagnostic.related(source, partition.mark(), "partitioned here").hint(hint));
        }
        known.pass(uses.name, with);
    }
}

/// The bounds of scaling, against each other.
fn scaling(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let Some(scaling) = pipeline.get("scaling") else { return };
    let number = |key: &str, default: f64| match scaling.get(key).map(|n| &n.data) {
        Some(Data::Number(digits)) => digits.parse().unwrap_or(default),
        _ => default,
    };
    for (low, high, low_default, high_default) in [("min", "max", 1.0, 10.0), ("scale_down", "scale_up", 0.3, 0.8)] {
        let (a, b) = (number(low, low_default), number(high, high_default));
        // Equal thresholds would add and remove workers in turn; equal counts are a fixed number.
        let wrong = if low == "min" { a > b } else { a >= b };
        if scaling.get("type").and_then(Node::str) == Some("auto") && wrong {
            let node = scaling.get(low).or(scaling.get(high)).unwrap_or(scaling);
            let message = format!("`{low}` is {a} and `{high}` is {b}");
            out.push(
                Diagnostic::new("E009", source, node.mark(), message)
                    .label(format!("`{low}` must be {} `{high}`", if low == "min" { "at most" } else { "below" })),
            );
        }
    }
}

/// The SPU keeps no state, loses offsets and skips silent segments: only a stateless front may run there.
fn placement(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let Some(placement) = pipeline.get("placement").filter(|p| p.str() == Some("spu-prefilter")) else { return };
    let refuse = |place: &Node, why: &str| {
        Diagnostic::new(
            "E016",
            source,
            place.mark(),
            format!("`placement: spu-prefilter` needs a stateless front: {why}"),
        )
        .label("keeps state")
        .related(source, placement.mark(), "placed on the SPU here")
        .hint("use `placement: worker`, or put a filter without dedupe in front")
    };
    if let Some(dedupe) = pipeline.get("input").and_then(|i| i.get("dedupe")) {
        out.push(refuse(dedupe, "`dedupe` remembers keys"));
    }
    let Some(first) = pipeline.get("transforms").and_then(|t| t.items().first()) else { return };
    let stage = first.get("uses").and_then(Node::str).and_then(Uses::parse).and_then(|u| registry::find(u.name));
    if let Some(stage) = stage
        && !(stage.stateless)(&first.get("with").map_or(serde_json::json!({}), Node::to_value))
    {
        out.push(refuse(
            first.get("uses").unwrap_or(first),
            &format!("`{}` keeps state as it is configured", stage.name),
        ));
    }
}

/// `from:` of output fields.
fn output_expressions(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let schema = pipeline.get("output").and_then(|o| o.get("schema")).map_or(&[][..], Node::pairs);
    for from in schema.iter().filter_map(|(_, field)| field.get("from")) {
        let Some(text) = from.str() else { continue };
        if let Err(issue) = Expr::parse(text, &mut Fields::default()) {
            let span = issue.at.map_or_else(|| from.mark(), |at| inside(source, from, at));
            out.push(Diagnostic::new("E008", source, span, issue.message).hint_if(issue.hint));
        }
    }
}

/// `output.window` names a window of the chain.
fn output_window(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let Some((node, name)) = pipeline.get("output").and_then(|o| o.get("window")).and_then(|n| Some((n, n.str()?)))
    else {
        return;
    };
    let transforms = pipeline.get("transforms").map_or(&[][..], Node::items).iter();
    let windows = transforms.filter_map(|t| t.get("with")?.get("windows")).flat_map(Node::items);
    let names: Vec<&str> = windows.filter_map(|w| w.get("name")?.str()).collect();
    if !names.contains(&name) {
        let message = format!("no stage has a window `{name}`");
        let label = match names.is_empty() {
            true => "there are no windows in this chain".to_string(),
            false => format!("expected one of {}", list(names.iter().copied())),
        };
        out.push(Diagnostic::new("E004", source, node.mark(), message).label(label).hint_if(did_you_mean(name, names)));
    }
}

/// Names, ticks and expectations of the `tests:` block.
fn tests(source: &Source, pipeline: &Node, out: &mut Vec<Diagnostic>) {
    let mut names: Vec<(&str, &Node)> = Vec::new();
    for test in pipeline.get("tests").map_or(&[][..], Node::items) {
        if let Some((node, name)) = test.get("name").and_then(|n| Some((n, n.str()?))) {
            if let Some((_, first)) = names.iter().find(|(n, _)| *n == name) {
                out.push(twice(source, "tests", name, node, first));
            }
            names.push((name, node));
        }
        let records = test.get("input").map_or(0, |i| i.items().len());
        for tick in test.get("ticks").map_or(&[][..], Node::items) {
            if let Some((node, time)) = tick.get("time").and_then(|t| Some((t, t.str()?)))
                && TimeParser::default().parse_text(time).is_none()
            {
                let message = format!("`{time}` is not a time");
                out.push(
                    Diagnostic::new("E009", source, node.mark(), message)
                        .label("expected RFC 3339, as `2026-01-01T00:00:30Z`"),
                );
            }
            if let Some(after) = tick.get("after")
                && let Data::Number(digits) = &after.data
                && digits.parse::<usize>().is_ok_and(|n| n > records)
            {
                let message = format!(
                    "`after` is {digits}, but the test has {records} record{}",
                    if records == 1 { "" } else { "s" }
                );
                out.push(
                    Diagnostic::new("E009", source, after.mark(), message).label(format!("expected at most {records}")),
                );
            }
        }
        let expects = ["expect", "expect_count", "expect_none"].iter().any(|k| test.get(k).is_some());
        if matches!(test.data, Data::Map(_)) && !expects {
            let diagnostic =
                Diagnostic::new("E002", source, test.get("name").unwrap_or(test).mark(), "missing key `expect`");
            out.push(
                diagnostic.label("this test expects nothing").hint("add `expect`, `expect_count` or `expect_none`"),
            );
        }
    }
}

/// Two documents of a kind with one name.
pub fn same_names(documents: &[Document], out: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<(DocumentKind, &str), &Document> = HashMap::new();
    for document in documents.iter().filter(|d| !d.name.is_empty()) {
        let first = *seen.entry((document.kind, document.name.as_str())).or_insert(document);
        if std::ptr::eq(first, document) {
            continue;
        }
        let place = |d: &Document| d.node.get("meta").and_then(|m| m.get("name")).cloned();
        let (Some(second_node), Some(first_node)) = (place(document), place(first)) else { continue };
        let what = format!("documents of kind {}", document.kind.name());
        let mut diagnostic = stages::twice(&document.source, &what, &document.name, &second_node, &first_node);
        if document.source.name != first.source.name {
            diagnostic.related.clear();
            let (line, _) = first.source.line_column(first_node.span.start);
            diagnostic.label = format!("the first is in {}:{line}", first.source.name);
        }
        out.push(diagnostic);
    }
}

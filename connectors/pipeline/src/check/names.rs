//! Names: fields that the input does not have, names in conditions that nothing produces.
//!
//! What an event has is followed along the chain: the input schema, then what the stages add. A
//! pipeline without an input schema says nothing about its events, so nothing is doubted there.

use super::stages::Reads;
use crate::diagnostic::{Diagnostic, did_you_mean, list};
use crate::source::Source;
use crate::yaml::{Data, Node};
use perfstream_core::Span;
use perfstream_core::forecast::{ForecastConfig, field_name};

/// Fields that records of perfstream's own kinds have, whatever was configured.
pub const OWN_FIELDS: [&str; 22] = [
    "id",
    "kind",
    "pipeline",
    "stage",
    "partition",
    "offset",
    "timestamp",
    "window",
    "window_start",
    "window_end",
    "revision",
    "events",
    "late",
    "count",
    "session_start",
    "session_end",
    "closed_by",
    "reason",
    "severity",
    "state",
    "rule",
    "group",
];

/// What is known of the rows at one place of the chain.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Fields of events; None: anything
    pub event: Option<Vec<String>>,
    /// Fields of records that stages have made
    pub made: Vec<String>,
    /// Do events still pass here?
    pub events_pass: bool,
    /// Fields under a new name: (old, new)
    pub renamed: Vec<(String, String)>,
}

impl Known {
    /// What the input says.
    pub fn of_input(pipeline: &Node) -> Known {
        let input = pipeline.get("input");
        let schema = input.and_then(|i| i.get("schema")).map(Node::pairs).filter(|p| !p.is_empty());
        let raw = input.and_then(|i| i.get("format")).and_then(Node::str) == Some("raw");
        let event = match raw {
            true => Some(vec!["message".to_string()]),
            false => schema.map(|pairs| pairs.iter().map(|(key, _)| key.name.clone()).collect()),
        };
        Known { event, events_pass: true, ..Known::default() }
    }

    /// Does an event have this field, as far as is known?
    fn event_has(&self, name: &str) -> bool {
        self.event.as_ref().is_none_or(|fields| has(fields, name)) || OWN_FIELDS.contains(&name)
    }

    /// Does any row have it?
    fn row_has(&self, name: &str) -> bool {
        (self.events_pass && self.event_has(name)) || has(&self.made, name) || OWN_FIELDS.contains(&first_part(name))
    }

    fn add(&mut self, name: impl Into<String>) {
        let name = name.into();
        self.made.push(name.clone());
        if let Some(event) = &mut self.event {
            event.push(name);
        }
    }

    /// What stage `with` does to it.
    pub fn pass(&mut self, stage: &str, with: Option<&Node>) {
        let texts = |key: &str| {
            let items = with.and_then(|w| w.get(key)).map_or(&[][..], Node::items);
            items.iter().filter_map(Node::str).map(str::to_string).collect::<Vec<_>>()
        };
        let text = |key: &str| with.and_then(|w| w.get(key)).and_then(Node::str);
        match stage {
            "enrich" => self.enrich(with, &texts("fields"), &texts("derive")),
            "detect" => ["anomaly", "anomaly_id", "detection_score", "detection_expected", "detection"]
                .into_iter()
                .for_each(|f| self.add(f)),
            "forecast" => self.forecast(with),
            "correlate" => self.made.extend(INCIDENT_FIELDS.map(String::from)),
            "classify" => {
                let field = text("field").unwrap_or_default();
                self.add(text("as").map_or_else(|| format!("{field}_class"), str::to_string));
            }
            "aggregate" | "sessionize" => {
                for name in texts("group_by").into_iter().chain(text("key").map(str::to_string)) {
                    self.made.push(name);
                }
                let windows = with.and_then(|w| w.get("windows")).map_or(&[][..], Node::items).iter();
                for functions in windows.chain(with).filter_map(|n| n.get("functions")) {
                    self.functions(functions);
                }
                if stage == "sessionize" {
                    self.made.extend(SESSION_FIELDS.map(String::from));
                }
                let passes = with.and_then(|w| w.get("pass_events")).is_some_and(|n| n.data == Data::Bool(true));
                self.events_pass &= passes;
            }
            _ => {}
        }
    }

    fn functions(&mut self, functions: &Node) {
        for (key, function) in functions.pairs() {
            self.made.push(key.name.clone());
            let more: &[&str] = match function.get("type").and_then(Node::str) {
                Some("linear-regression") => &["intercept", "r2", "p_value"],
                Some("isolation-forest") => &["ratio"],
                Some("counter-rate") => &["series"],
                _ => &[],
            };
            self.made.extend(more.iter().map(|suffix| format!("{}_{suffix}", key.name)));
        }
    }

    /// The fields of a prediction, by the configuration that the stage would have.
    fn forecast(&mut self, with: Option<&Node>) {
        if let Some(Ok(config)) = with.map(|w| serde_json::from_str::<ForecastConfig>(&w.to_json())) {
            config.written().into_iter().for_each(|field| self.add(field));
        }
    }

    fn enrich(&mut self, with: Option<&Node>, fields: &[String], derive: &[String]) {
        for (old, new) in with.and_then(|w| w.get("rename")).map_or(&[][..], Node::pairs) {
            if let Some(new) = new.str() {
                self.renamed.push((old.name.clone(), new.into()));
                self.add(new);
            }
        }
        for (field, _) in with.and_then(|w| w.get("default")).map_or(&[][..], Node::pairs) {
            self.add(field.name.clone());
        }
        if with.and_then(|w| w.get("source")).is_some() && fields.is_empty() {
            ["location", "network", "device-specs"].into_iter().for_each(|f| self.add(f));
        }
        for lookup in with.and_then(|w| w.get("lookups")).map_or(&[][..], Node::items) {
            let prefix = lookup.get("prefix").and_then(Node::str).unwrap_or_default();
            for field in lookup.get("fields").map_or(&[][..], Node::items).iter().filter_map(Node::str) {
                self.add(format!("{prefix}{field}"));
            }
        }
        fields.iter().chain(derive).for_each(|f| self.add(f.clone()));
    }
}

/// Results of `sessionize` that no function names.
const SESSION_FIELDS: [&str; 17] = [
    "page",
    "navigation",
    "navigationType",
    "cumulativeShift",
    "largestShift",
    "largestShiftTarget",
    "shiftSources",
    "window_entries",
    "stability",
    "cls_rating",
    "inp",
    "rating",
    "interactionId",
    "inputDelay",
    "processingDuration",
    "presentationDelay",
    "interactionCount",
];

/// What conditions can ask of an incident.
const INCIDENT_FIELDS: [&str; 9] =
    ["incident_id", "anomalies", "open", "services", "cause", "cause_metric", "cause_score", "segment", "merged_into"];

fn first_part(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn has(fields: &[String], name: &str) -> bool {
    fields.iter().any(|f| f == name || f == first_part(name))
}

/// Doubts fields and names of one pipeline.
pub fn check(source: &Source, pipeline: &Node, reads: &[Reads<'_>], out: &mut Vec<Diagnostic>) {
    let mut known = Known::of_input(pipeline);
    let mut consumer = "";
    input_names(source, pipeline, &known, out);
    for read in reads {
        let Some(stage) = read.stage else { return }; // a module we do not know may add anything
        let with = read.transform.get("with");
        match stage.name {
            "alert" => doubt_condition_names(source, with, read, &known, out),
            "enrich" => {}
            // Its fields stand in records of alerts and incidents, of whatever pipeline.
            "respond" => {}
            // A label may be put on events and on results alike.
            // Names of the user's stand in these alone; the rest are ids.
            "detect" => ["fields", "mix", "count"].iter().for_each(|key| {
                let part = with.and_then(|w| w.get(key));
                doubt(source, part, read, out, "W102", |name| known.row_has(name), &known);
            }),
            // Labels stand in anomalies, of whatever pipeline; calls in events.
            "correlate" => {
                let traces = with.and_then(|w| w.get("traces"));
                doubt(source, traces, read, out, "W101", |name| known.event_has(name), &known);
            }
            "classify" | "dashboard" | "forecast" => {
                doubt(source, with, read, out, "W102", |name| known.row_has(name), &known)
            }
            _ if known.events_pass => doubt(source, with, read, out, "W101", |name| known.event_has(name), &known),
            _ => {
                let uses = read.transform.get("uses").unwrap_or(read.transform);
                let message =
                    format!("no event reaches `{}`: the stage `{}` before it consumes them", stage.name, consumer);
                let diagnostic = Diagnostic::new("W105", source, uses.mark(), message).label("has nothing to do");
                out.push(
                    diagnostic.hint("give one stage all the windows, or set `pass_events: true` in the one before"),
                );
            }
        }
        let passed = known.events_pass;
        known.pass(stage.name, with);
        if passed && !known.events_pass {
            consumer = stage.name;
        }
    }
}

/// Names in `input:` itself.
fn input_names(source: &Source, pipeline: &Node, known: &Known, out: &mut Vec<Diagnostic>) {
    let Some(input) = pipeline.get("input") else { return };
    let time = input.get("time");
    let mut nodes: Vec<&Node> = [input.get("partition_by"), input.get("ordering")].into_iter().flatten().collect();
    nodes.extend(["field", "receive_field"].into_iter().filter_map(|k| time.and_then(|t| t.get(k))));
    nodes.extend(input.get("dedupe").and_then(|d| d.get("key")).map_or(&[][..], Node::items));
    for node in nodes {
        if let Some(name) = node.str()
            && !known.event_has(name)
        {
            out.push(unknown(source, node.mark(), name, "W101", known));
        }
    }
}

/// Doubts the fields that a stage reads and the user has written.
fn doubt(
    source: &Source,
    with: Option<&Node>,
    read: &Reads<'_>,
    out: &mut Vec<Diagnostic>,
    code: &'static str,
    is_known: impl Fn(&str) -> bool,
    known: &Known,
) {
    // A field that stands in `schema:` of a filter is said to be there.
    let declared = with.and_then(|w| w.get("schema"));
    for name in &read.fields {
        if is_known(name) || declared.is_some_and(|d| d.get(name).is_some()) {
            continue;
        }
        if let Some(span) = with.and_then(|w| place_of(source, w, name)) {
            out.push(unknown(source, span, name, code, known));
        }
    }
}

/// Names in the conditions of alert rules.
fn doubt_condition_names(
    source: &Source,
    with: Option<&Node>,
    read: &Reads<'_>,
    known: &Known,
    out: &mut Vec<Diagnostic>,
) {
    for rule in with.and_then(|w| w.get("rules")).map_or(&[][..], Node::items) {
        let Some(condition) = rule.get("condition") else { continue };
        for name in read.fields.iter().filter(|name| !known.row_has(name)) {
            if let Some((at, call)) = condition.str().and_then(|text| call_of(text, name)) {
                out.push(unpredicted(source, super::stages::inside(source, condition, at), call, known));
            } else if let Some(span) = place_of(source, condition, name) {
                out.push(unknown(source, span, name, "W102", known));
            }
        }
    }
}

/// The call `forecast(field, horizon)` in a condition that reads the field `name`, and where it stands.
fn call_of<'t>(text: &'t str, name: &str) -> Option<(usize, &'t str)> {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("forecast").find_map(|(at, word)| {
        let rest = text.get(at + word.len()..)?;
        let inner = rest.trim_start().strip_prefix('(')?;
        let end = inner.find(')')?;
        let (field, horizon) = inner.get(..end)?.rsplit_once(',')?;
        let horizon = Span::parse(horizon).ok()?;
        let call = text.get(at..text.len() - inner.len() + end + 1)?;
        (field_name(field.trim().trim_matches('`'), horizon) == name).then_some((at, call))
    })
}

/// A prediction that no step makes would leave the rule silent for ever: an error, not a doubt.
fn unpredicted(source: &Source, span: std::ops::Range<usize>, call: &str, known: &Known) -> Diagnostic {
    let mut made: Vec<&str> = known.made.iter().filter_map(|name| name.strip_prefix("forecast_")).collect();
    made.retain(|name| !name.ends_with("_low") && !name.ends_with("_high"));
    let calls = made.iter().filter_map(|name| name.rsplit_once('_'));
    let mut calls: Vec<String> = calls.map(|(field, horizon)| format!("forecast({field}, {horizon})")).collect();
    // Two steps may make the same one.
    let mut seen = std::collections::BTreeSet::new();
    calls.retain(|call| seen.insert(call.clone()));
    let label = match calls.is_empty() {
        true => "there is no step `forecast` before this one".into(),
        false => format!("made: {}", list(calls.iter().map(String::as_str))),
    };
    Diagnostic::new("E018", source, span, format!("no step before this one makes `{call}`"))
        .label(label)
        .hint("give a step `perfstream/forecast` that `field` and that horizon among its `horizons`")
}

/// Where in `node` the first text stands that is `name` or holds it as a word.
fn place_of(source: &Source, node: &Node, name: &str) -> Option<std::ops::Range<usize>> {
    let mut found = None;
    node.each_string(&mut |node, text| {
        if found.is_some() {
            return;
        }
        if text == name {
            found = Some(node.mark());
        } else if let Some(at) = word_at(text, name) {
            found = Some(super::stages::inside(source, node, at));
        }
    });
    found
}

fn word_at(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '\'' | '"');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back().is_some_and(part);
        let after = text[at + word.len()..].chars().next().is_some_and(part);
        !word.is_empty() && !before && !after
    })
}

fn unknown(source: &Source, span: std::ops::Range<usize>, name: &str, code: &'static str, known: &Known) -> Diagnostic {
    let event = known.event.iter().flatten().filter(|_| known.events_pass);
    let mut words: Vec<&str> = known.made.iter().chain(event).map(String::as_str).collect();
    words.sort_unstable();
    words.dedup();
    let (message, label) = match code {
        "W101" => {
            let fields = known.event.iter().flatten().map(String::as_str);
            (format!("the events have no field `{name}`"), format!("known: {}", list(fields)))
        }
        _ => {
            (format!("nothing before this stage produces `{name}`"), format!("known: {}", list(words.iter().copied())))
        }
    };
    let hint = did_you_mean(name, words.iter().copied());
    let default = (code == "W101").then(|| "add it to `input.schema`, if events do have it".to_string());
    Diagnostic::new(code, source, span, message).label(label).hint_if(hint.or(default))
}

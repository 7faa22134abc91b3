//! Everything wrong with pipeline files, at once.
//!
//! In this order, each step going as far as it can in spite of what the steps before found: YAML
//! (`yaml.rs`), keys and types against the schema of the model (`structure.rs`), every stage's own
//! schema and lint (`stages.rs`), names and how the parts fit together (`names.rs`), documents
//! among each other (here). No input makes it panic; its cost is linear in the file, which has at
//! most [`MAX_FILE_BYTES`].

mod frameworks;
pub mod names;
pub mod receivers;
pub mod stages;
pub mod structure;
mod whole;

use crate::detectors::{self, Detectors};
use crate::diagnostic::{Diagnostic, Severity, did_you_mean, list};
use crate::frameworks::Framework;
use crate::model::{DocumentKind, Origin, OtherDocument, Pipeline};
use crate::registry;
use crate::report::Report;
use crate::source::{MAX_FILE_BYTES, Source};
use crate::yaml::{self, Node};
use perfstream_core::detect::{Detector, check_detector};
use perfstream_sink::config::Receivers;
use schemars::JsonSchema;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use structure::Structure;

/// A file is given up after about this many findings.
pub const MAX_FINDINGS: usize = 500;

static PIPELINE: LazyLock<Structure> = LazyLock::new(|| Structure::new(registry::schema_of::<Pipeline>()));
static DETECTOR: LazyLock<Structure> = LazyLock::new(|| Structure::new(whole::<Detector>("perfstream detector")));
static RECEIVERS: LazyLock<Structure> = LazyLock::new(|| Structure::new(whole::<Receivers>("perfstream receivers")));
static FRAMEWORK: LazyLock<Structure> = LazyLock::new(|| Structure::new(whole::<Framework>("perfstream framework")));

/// The schema of a pipeline document.
pub fn pipeline_schema() -> &'static Value {
    PIPELINE.schema()
}

/// The schema of a document of kind `Detector`.
pub fn detector_schema() -> &'static Value {
    DETECTOR.schema()
}

/// The schema of a document of kind `Receivers`.
pub fn receivers_schema() -> &'static Value {
    RECEIVERS.schema()
}

/// A document's own keys beside those that every document has.
fn whole<T: JsonSchema>(title: &str) -> Value {
    let mut schema = registry::schema_of::<OtherDocument>();
    let content = registry::schema_of::<T>();
    for key in ["properties", "$defs"] {
        let more = content[key].as_object().cloned().unwrap_or_default();
        if let Some(own) = schema.as_object_mut() {
            let own = own.entry(key).or_insert_with(|| Value::Object(Default::default()));
            own.as_object_mut().into_iter().for_each(|own| own.extend(more.clone()));
        }
    }
    let required = content["required"].as_array().cloned().unwrap_or_default();
    schema["required"].as_array_mut().into_iter().for_each(|own| own.extend(required.clone()));
    schema["title"] = title.into();
    schema["description"] = content["description"].clone();
    schema["additionalProperties"] = false.into();
    schema["$defs"]["OtherMeta"]["additionalProperties"] = false.into();
    schema
}

/// The schema of a document of kind `Framework`.
pub fn framework_schema() -> &'static Value {
    FRAMEWORK.schema()
}

/// A document of a file.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file it stands in
    pub source: Source,
    /// What it is
    pub kind: DocumentKind,
    /// `meta.name`; empty if it has none
    pub name: String,
    /// What was written, with places
    pub node: Node,
    /// The pipeline, if it is one and nothing in it is wrong
    pub pipeline: Option<Pipeline>,
}

/// Checks files: everything that is wrong or doubtful, and the documents.
pub fn check_files<P: AsRef<Path>>(paths: &[P]) -> Report {
    let (mut sources, mut out) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.as_ref().display().to_string();
        if sources.iter().any(|s: &Source| *s.name == *name) {
            continue; // the same file named twice is one file
        }
        match read_file(path.as_ref(), &name) {
            Ok(source) => sources.push(source),
            Err(diagnostic) => out.push(*diagnostic),
        }
    }
    check_sources(sources, out)
}

/// Checks one text; `name` stands for the file in messages.
pub fn check_text(name: &str, text: &str) -> Report {
    check_sources(vec![Source::new(name, text)], Vec::new())
}

fn read_file(path: &Path, name: &str) -> Result<Source, Box<Diagnostic>> {
    let fail = |code, message: String, hint: &str| Box::new(Diagnostic::of_file(code, name, message).hint(hint));
    let unreadable = |e: std::io::Error| {
        let found =
            if e.kind() == std::io::ErrorKind::NotFound { "there is no such file".into() } else { e.to_string() };
        fail("E030", format!("cannot read `{name}`: {found}"), "give the path of a pipeline file")
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if meta.is_dir() {
        return Err(fail("E030", format!("`{name}` is a directory"), "give the files in it"));
    }
    let bytes = read_at_most(path, MAX_FILE_BYTES + 1).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("`{name}` has more than {} KiB", MAX_FILE_BYTES >> 10);
        return Err(fail("E032", message, "a pipeline file is written by people; is this the right file?"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, &text)),
        Err(e) => {
            let at = e.utf8_error().valid_up_to();
            Err(fail("E031", format!("`{name}` is not UTF-8 at byte {at}"), "save it as UTF-8"))
        }
    }
}

/// A pipe or device may have no length and no end.
fn read_at_most(path: &Path, bytes: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut all = Vec::new();
    std::fs::File::open(path)?.take(bytes).read_to_end(&mut all)?;
    Ok(all)
}

fn check_sources(sources: Vec<Source>, mut out: Vec<Diagnostic>) -> Report {
    let mut documents = Vec::new();
    let mut parsed = Vec::new();
    for source in &sources {
        if source.text.len() as u64 > MAX_FILE_BYTES {
            let message = format!("`{}` has more than {} KiB", source.name, MAX_FILE_BYTES >> 10);
            out.push(Diagnostic::of_file("E032", &source.name, message));
            continue;
        }
        let before = out.len();
        let nodes = yaml::parse(source, &mut out);
        if nodes.is_empty() && out.len() == before {
            let diagnostic = Diagnostic::of_file("E033", &source.name, format!("`{}` has no document", source.name));
            out.push(diagnostic.hint("a pipeline begins with `apiVersion: perfstream/v1` and `kind: Pipeline`"));
        }
        parsed.push((source, nodes, out.len() - before));
    }
    // A step may refer to a detector that stands behind it, or in another file.
    let all = || parsed.iter().flat_map(|(_, nodes, _)| nodes);
    let of_kind = |node: &&Node| node.get("kind").and_then(Node::str) == Some(DocumentKind::Detector.name());
    let detectors: Arc<Detectors> = Arc::new(all().filter(of_kind).filter_map(detectors::of_document).collect());
    for (source, nodes, found) in parsed {
        let before = out.len() - found;
        for node in nodes {
            if out.len() - before > MAX_FINDINGS {
                let message = format!("`{}` has too many faults: the rest of it was not checked", source.name);
                out.push(Diagnostic::of_file("E034", &source.name, message));
                break;
            }
            documents.extend(document(source, node, &detectors, &mut out));
        }
    }
    whole::same_names(&documents, &mut out);
    receivers::names(&documents, &mut out);
    frameworks::check(&documents, &mut out);
    let mut report = Report { diagnostics: out, sources, documents };
    report.sort();
    report
}

/// Checks one document.
fn document(source: &Source, node: Node, detectors: &Arc<Detectors>, out: &mut Vec<Diagnostic>) -> Option<Document> {
    if node.pairs().is_empty() {
        let message = format!("a document must be a map, found {}", node.describe());
        out.push(Diagnostic::new("E003", source, node.span.clone(), message).label("expected `apiVersion`, `kind`, …"));
        return None;
    }
    let before = out.iter().filter(|d| d.severity == Severity::Error).count();
    let kind = kind_of(source, &node, out)?;
    let name = node.get("meta").and_then(|m| m.get("name")).and_then(Node::str).unwrap_or_default().to_string();
    let structure = match kind {
        DocumentKind::Pipeline => &PIPELINE,
        DocumentKind::Detector => &DETECTOR,
        DocumentKind::Receivers => &RECEIVERS,
        DocumentKind::Framework => &FRAMEWORK,
    };
    let start = out.len();
    structure.check(&node, source, out);
    rename_codes(source, &node, &mut out[start..]);
    let mut pipeline = None;
    if kind == DocumentKind::Pipeline {
        let reads = stages::check(source, &node, &name, detectors, out);
        names::check(source, &node, &reads, out);
        whole::check(source, &node, out);
        if out.iter().filter(|d| d.severity == Severity::Error).count() == before {
            pipeline = deserialize(source, &node, detectors, out);
        }
    }
    let fits = out.iter().filter(|d| d.severity == Severity::Error).count() == before;
    match kind {
        DocumentKind::Detector if fits => detector(source, &node, out),
        DocumentKind::Receivers if fits => receivers::check(source, &node, out),
        _ => {}
    }
    Some(Document { source: source.clone(), kind, name, node, pipeline })
}

/// What the document is; None if that cannot be said.
fn kind_of(source: &Source, node: &Node, out: &mut Vec<Diagnostic>) -> Option<DocumentKind> {
    let known = || DocumentKind::ALL.iter().map(|k| k.name());
    let Some(kind) = node.get("kind") else {
        let first = node.pairs().first().map_or_else(|| node.mark(), |(key, _)| key.span.clone());
        // What has a chain is a pipeline, whatever it forgot to say; the schema reports the gap.
        if node.get("transforms").is_some() || node.get("input").is_some() {
            return Some(DocumentKind::Pipeline);
        }
        let diagnostic = Diagnostic::new("E002", source, first, "missing key `kind`");
        out.push(diagnostic.label("`kind` is required here").hint(format!("`kind` is one of {}", list(known()))));
        return None;
    };
    let found = kind.str().and_then(DocumentKind::parse);
    if found.is_none() {
        let message = format!("unknown kind of document: {}", kind.describe());
        let hint = did_you_mean(kind.str().unwrap_or_default(), known());
        let diagnostic = Diagnostic::new("E015", source, kind.mark(), message);
        out.push(diagnostic.label(format!("expected one of {}", list(known()))).hint_if(hint));
    }
    found
}

/// Some findings of the schema have a code of their own.
fn rename_codes(source: &Source, node: &Node, found: &mut [Diagnostic]) {
    let version = node.get("apiVersion").map(|n| source.first_line(&n.mark()));
    let routes: Vec<_> = node.get("routes").map_or(&[][..], Node::pairs).iter().collect();
    for diagnostic in found {
        if diagnostic.code == "E004" && diagnostic.span.is_some() && diagnostic.span == version {
            diagnostic.code = "E015";
        }
        if diagnostic.code == "E001"
            && let Some((key, _)) = routes.iter().find(|(key, _)| Some(source.first_line(&key.span)) == diagnostic.span)
        {
            diagnostic.code = "E011";
            diagnostic.message = format!("unknown kind of record `{}`", key.name);
        }
    }
}

/// What the stage would say of a detector, at its places in the document.
fn detector(source: &Source, node: &Node, out: &mut Vec<Diagnostic>) {
    let Some((_, document)) = detectors::of_document(node) else { return };
    let issues = match detectors::read(&document) {
        Ok(detector) => check_detector(&detector),
        Err(error) => vec![perfstream_core::Issue::error("", error.to_string())],
    };
    for issue in issues {
        let (place, exact) = node.at_path(&issue.path);
        let message = if exact { issue.message } else { format!("`{}`: {}", issue.path, issue.message) };
        let code = if issue.warning { "W103" } else { "E010" };
        out.push(Diagnostic::new(code, source, place.mark(), message).hint_if(issue.hint));
    }
}

/// The typed pipeline. The schema has accepted it, so a refusal is rare and said as it comes.
fn deserialize(
    source: &Source,
    node: &Node,
    detectors: &Arc<Detectors>,
    out: &mut Vec<Diagnostic>,
) -> Option<Pipeline> {
    match serde_json::from_str::<Pipeline>(&node.to_json()) {
        Ok(pipeline) => {
            let origin = Origin { source: source.clone(), node: node.clone() };
            Some(Pipeline { origin: Some(Arc::new(origin)), detectors: detectors.clone(), ..pipeline })
        }
        Err(error) => {
            let text = error.to_string();
            let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
            let code = if text.starts_with("expected a duration") { "E005" } else { "E003" };
            out.push(Diagnostic::new(code, source, node.at_json(error.column()).mark(), text));
            None
        }
    }
}

#[cfg(test)]
mod tests;

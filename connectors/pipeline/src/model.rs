//! A pipeline document: what stands between `---` and `---`.
//!
//! These structs are the one list of truth for keys, types and defaults: the JSON Schema, `check`,
//! `explain` and editors read them. Maps keep the order of the file ([`Ordered`]); what belongs to
//! a stage (`with:`) stays JSON text with the order and digits of the file ([`Raw`]).

mod io;
mod ordered;
mod run;
mod tests_block;

pub use io::{Dedupe, FieldSpec, FieldType, Input, InputField, Output, OutputField, OutputSpec, Routes, default_topic};
pub use ordered::{Name, Ordered, Raw, Topic};
pub use run::{Backpressure, Checkpoint, Errors, Lookback, Placement, Recovery, Resource, Scaling, Targets, Transform};
pub use tests_block::{KindCounts, KindName, TestCase, TestRecord, TestTick, matches};

use crate::detectors::Detectors;
use crate::source::Source;
use crate::yaml::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The `apiVersion` of all documents.
pub const API_VERSION: &str = "perfstream/v1";

/// One analyzer: a topic in, a chain of stages, topics out.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "perfstream pipeline")]
pub struct Pipeline {
    /// Version of this file format
    #[serde(rename = "apiVersion")]
    pub api_version: ApiVersion,
    /// What this document is
    pub kind: PipelineKind,
    /// Name and description
    pub meta: Meta,
    /// Where events come from
    pub input: Input,
    /// The stages, in the order in which a record passes them
    #[schemars(length(min = 1))]
    pub transforms: Vec<Transform>,
    /// Where the records of the analyzer go
    pub output: Output,
    /// Topics for single kinds of records, instead of the output topic
    #[serde(default)]
    pub routes: Routes,
    /// What happens when a write or a call fails: `skip-and-log` notes it and goes on,
    /// `retry-with-backoff` tries again with growing pauses, `fail` stops the pipeline. A bad
    /// record is a dead letter in all three.
    #[serde(default)]
    pub errors: Errors,
    /// What happens when records arrive faster than they are processed: `buffer-with-spill` keeps
    /// them on disk, `drop-oldest` skips a stated range (a `gap` record says which), `block` makes
    /// the source wait.
    #[serde(default)]
    pub backpressure: Backpressure,
    /// Where the stages run: `worker` is the perfstream process, `spu-prefilter` lets the cluster
    /// run the stateless front of the chain
    #[serde(default)]
    pub placement: Placement,
    /// How often the state is saved
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// From what a restart goes on: `latest` snapshot; `safe` = the newest one that matches this
    /// configuration, else from the start; `empty` = no state, from the start
    #[serde(default)]
    pub recovery: Recovery,
    /// How many workers share the partitions
    #[serde(default)]
    pub scaling: Scaling,
    /// Tests that `perfstream test` runs through the real chain
    #[serde(default)]
    pub tests: Vec<TestCase>,
    /// The file it was read from, with places
    #[serde(skip)]
    pub origin: Option<Arc<Origin>>,
    /// Detectors of all files, which steps refer to
    #[serde(skip)]
    pub detectors: Arc<Detectors>,
}

/// Where a pipeline was written.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The file
    pub source: Source,
    /// The document in it
    pub node: Node,
}

/// Two pipelines that say the same are equal, wherever they stand.
impl PartialEq for Origin {
    fn eq(&self, _: &Origin) -> bool {
        true
    }
}

impl Pipeline {
    /// Names of the stages, unique in the pipeline: what the file says, else the stage's own name,
    /// numbered from the second on (`filter`, `filter-2`).
    pub fn stage_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for transform in &self.transforms {
            let base = match &transform.name {
                Some(name) => name.0.clone(),
                None => Uses::parse(&transform.uses).map_or_else(|| "stage".into(), |u| u.name.to_string()),
            };
            names.push(unique_name(&base, &names));
        }
        names
    }
}

/// `base`, or `base-2`, `base-3`, … if it is taken.
pub fn unique_name(base: &str, taken: &[String]) -> String {
    let mut name = base.to_string();
    let mut n = 2;
    while taken.contains(&name) {
        name = format!("{base}-{n}");
        n += 1;
    }
    name
}

/// The parts of `group/name@version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uses<'a> {
    /// Whose it is
    pub group: &'a str,
    /// Which module
    pub name: &'a str,
    /// Which version of it
    pub version: &'a str,
}

impl<'a> Uses<'a> {
    /// Takes it apart; None if a part is missing.
    pub fn parse(text: &'a str) -> Option<Uses<'a>> {
        let (group, rest) = text.split_once('/')?;
        let (name, version) = rest.split_once('@')?;
        let whole = [group, name, version].iter().all(|p| !p.is_empty() && !p.contains(['/', '@', ' ']));
        whole.then_some(Uses { group, name, version })
    }
}

/// Steps of a pipeline's document that use a stage of this name.
pub fn steps<'n>(document: &'n Node, stage: &'static str) -> impl Iterator<Item = &'n Node> {
    let uses =
        move |step: &&Node| step.get("uses").and_then(Node::str).and_then(Uses::parse).is_some_and(|u| u.name == stage);
    document.get("transforms").into_iter().flat_map(Node::items).filter(uses)
}

/// The version of this file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first, and only
    #[serde(rename = "perfstream/v1")]
    V1,
}

/// A pipeline's `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum PipelineKind {
    /// One analyzer
    Pipeline,
}

/// The kinds of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
pub enum DocumentKind {
    /// One analyzer: [`Pipeline`]
    Pipeline,
    /// An ensemble of detectors that `detect` refers to
    Detector,
    /// People and tools that alerts go to
    Receivers,
    /// Several pipelines under one name
    Framework,
}

impl DocumentKind {
    /// All of them.
    pub const ALL: [DocumentKind; 4] =
        [DocumentKind::Pipeline, DocumentKind::Detector, DocumentKind::Receivers, DocumentKind::Framework];

    /// The word in `kind:`.
    pub const fn name(self) -> &'static str {
        match self {
            DocumentKind::Pipeline => "Pipeline",
            DocumentKind::Detector => "Detector",
            DocumentKind::Receivers => "Receivers",
            DocumentKind::Framework => "Framework",
        }
    }

    /// The kind of that word.
    pub fn parse(name: &str) -> Option<DocumentKind> {
        DocumentKind::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// Name and description of a document.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Name of the pipeline, unique among the selected files; `--only` and output ids use it
    pub name: Name,
    /// Framework it belongs to, as `web-vitals`
    pub framework: Option<Name>,
    /// When it gives results: `streaming` one per slide, `windowed` when a window closes,
    /// `event-driven` on an event or at the end of a session, `continuous` one per record
    #[serde(rename = "type", default)]
    pub kind: AnalyzerType,
    /// Title for people
    pub title: Option<String>,
    /// What it watches and why
    pub description: Option<String>,
}

/// When an analyzer gives results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnalyzerType {
    /// A result per slide
    #[default]
    Streaming,
    /// A result when a window closes
    Windowed,
    /// A result on an event or at the end of a session
    EventDriven,
    /// A result per record
    Continuous,
}

/// What every document has, whatever its kind.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct OtherDocument {
    /// Version of this file format
    #[serde(rename = "apiVersion")]
    pub api_version: ApiVersion,
    /// What this document is
    pub kind: DocumentKind,
    /// Name and description
    pub meta: OtherMeta,
}

/// Name of a document that is not a pipeline.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct OtherMeta {
    /// Name, unique among the documents of its kind
    pub name: Name,
    /// Title for people
    pub title: Option<String>,
}

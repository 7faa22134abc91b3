//! Documents of kind `Framework`: what watches one field, under one name, in the eight parts of the user's
//! document.
//!
//! Each part names documents, or what stands in them, of the same files and of `files`. A framework adds
//! nothing to what these do: `check` holds its lists to them, and a run tells in its session which
//! frameworks its pipelines belong to.

use crate::check::Document;
use crate::diagnostic::did_you_mean;
use crate::model::{DocumentKind, Name, steps};
use crate::yaml::Node;
use anyhow::{Result, bail};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One framework: what analyzes, detects, processes, alerts, shows, acts, correlates and predicts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Framework {
    /// Id of the framework, as `web-vitals-real-time`
    pub id: Name,
    /// Other files whose documents the parts may name, relative to this one; they run with `--framework`, or
    /// when they are given to `perfstream run` too
    #[serde(default)]
    pub files: Vec<String>,
    /// Pipelines that give results
    pub analyzers: Vec<Name>,
    /// Documents of kind `Detector`, or presets, that steps `detect` refer to
    pub detectors: Vec<Name>,
    /// Pipelines that run for it, also those that only prepare what others read
    pub processors: Vec<Name>,
    /// Pipelines with a step `alert`
    pub alerting: Vec<Name>,
    /// Dashboards, by the `id` of steps `dashboard`
    pub dashboards: Vec<Name>,
    /// Pipelines with a step `respond`
    pub automation: Vec<Name>,
    /// Pipelines with a step `correlate`
    pub correlation: Vec<Name>,
    /// Pipelines with a step `forecast`
    pub prediction: Vec<Name>,
}

/// What a framework runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// Files that it names beside the one it stands in
    pub files: Vec<PathBuf>,
    /// Names of its pipelines
    pub pipelines: Vec<String>,
}

/// What the framework of this name or id runs; an error says which ones there are.
pub fn members(documents: &[Document], name: &str) -> Result<Members> {
    let frameworks = || documents.iter().filter(|d| d.kind == DocumentKind::Framework);
    let is_it = |d: &&Document| d.name == name || d.node.get("id").and_then(Node::str) == Some(name);
    let Some(framework) = frameworks().find(is_it) else {
        let known: Vec<&str> = frameworks().map(|d| d.name.as_str()).collect();
        let hint = did_you_mean(name, known.iter().copied()).map(|hint| format!(" ({hint})")).unwrap_or_default();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        bail!("there is no framework `{name}` in these files; they have {known}{hint}");
    };
    let texts = |key| framework.node.get(key).map_or(&[][..], Node::items).iter().filter_map(Node::str);
    let place = Path::new(&*framework.source.name).parent().unwrap_or(Path::new(""));
    Ok(Members {
        files: texts("files").map(|path| place.join(path)).collect(),
        pipelines: texts("processors").map(str::to_string).collect(),
    })
}

/// What a part of a framework names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Pipelines
    Pipeline,
    /// Pipelines with a step of this stage
    With(&'static str),
    /// Detectors that steps `detect` use
    Detector,
    /// Dashboards that steps `dashboard` draw on
    Dashboard,
}

/// The eight parts, by the keys of the document.
pub const PARTS: [(&str, Part); 8] = [
    ("analyzers", Part::Pipeline),
    ("detectors", Part::Detector),
    ("processors", Part::Pipeline),
    ("alerting", Part::With("alert")),
    ("dashboards", Part::Dashboard),
    ("automation", Part::With("respond")),
    ("correlation", Part::With("correlate")),
    ("prediction", Part::With("forecast")),
];

impl Part {
    /// What it is, for people.
    pub fn what(self) -> String {
        match self {
            Part::Pipeline => "pipeline".into(),
            Part::With(stage) => format!("pipeline with a step `{stage}`"),
            Part::Detector => "detector that a step `detect` uses".into(),
            Part::Dashboard => "dashboard of a step `dashboard`".into(),
        }
    }

    /// The names of this part that a document of a file has.
    pub fn names(self, document: &Node) -> Vec<&str> {
        if document.get("kind").and_then(Node::str) != Some(DocumentKind::Pipeline.name()) {
            return Vec::new();
        }
        let name = || document.get("meta").and_then(|meta| meta.get("name")).and_then(Node::str);
        let with = |stage, key| steps(document, stage).filter_map(move |step| step.get("with")?.get(key)?.str());
        match self {
            Part::Pipeline => name().into_iter().collect(),
            Part::With(stage) => name().filter(|_| steps(document, stage).next().is_some()).into_iter().collect(),
            Part::Detector => with("detect", "detector").collect(),
            Part::Dashboard => with("dashboard", "id").collect(),
        }
    }
}

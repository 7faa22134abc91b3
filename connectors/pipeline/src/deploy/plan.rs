//! From what is there to what is wanted, as steps that can be shown before they are done.

use super::Deployment;
use crate::exact::snapshot;
use crate::model::{Pipeline, Uses};
use crate::modules::Modules;
use crate::plan::{Plan, PlanSpec};
use crate::{registry, topics};
use anyhow::{Result, bail};
use perfstream_core::Span;
use perfstream_log::cluster::{FoundModule, FoundTopic, TopicKeep, module_hash};
use std::collections::BTreeMap;
use std::fmt;

/// Control and state topics are kept this long: a pipeline that was stopped goes on after a year.
const OWN_RETENTION_S: u32 = 366 * 86_400;
/// Segments of control and state topics: small, as only full segments are ever let go.
const OWN_SEGMENT_BYTES: u32 = 32 << 20;
/// A partition of control entries: at ten a second of 1 kB each, 10 days; a recovery needs minutes.
const CONTROL_PARTITION_BYTES: u64 = 8 << 30;
/// Input beyond what windows need, so that a worker may be away over a weekend.
const MARGIN_S: i64 = 3 * 86_400;
/// Fluvio's own default.
const DEFAULT_RETENTION_S: u32 = 7 * 86_400;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of topics that are made
    pub partitions: u32,
    /// Copies of each partition
    pub replication: u32,
    /// Put other bytes in the place of a module of the same version
    pub replace_modules: bool,
    /// Remove what an earlier deployment of this name had and this one has not
    pub prune: bool,
    /// Remove output topics too
    pub data: bool,
}

/// What pipelines need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Topics in the order of making
    pub topics: Vec<WantedTopic>,
    /// `group/name@version` → hash of the WASM
    pub modules: BTreeMap<String, String>,
    /// What will be written down
    pub deployment: Deployment,
}

/// A topic that pipelines need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    name: String,
    what: String,
    keep: TopicKeep,
    /// An existing topic must be kept at least this long, seconds
    needs_s: u32,
    /// It must have as many partitions as this topic
    like: Option<String>,
}

impl WantedTopic {
    /// What a partition of an existing topic must hold: those of a pipeline's own, all of it.
    fn needs_bytes(&self) -> u64 {
        self.like.as_ref().and(self.keep.max_partition_bytes).unwrap_or(0)
    }
}

/// What is on the cluster.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Topics by name
    pub topics: BTreeMap<String, FoundTopic>,
    /// SmartModules by `group/name@version`
    pub modules: BTreeMap<String, FoundModule>,
    /// Deployments that stand
    pub deployments: Vec<Deployment>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done
    pub action: Action,
    /// `topic` or `module`
    pub kind: &'static str,
    /// Name of it
    pub name: String,
    /// Why, or how it will be
    pub reason: String,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is there as it should be
    Keep,
    /// Makes the topic
    CreateTopic(TopicKeep),
    /// Uploads the module, in the place of the one with this key
    UploadModule {
        /// Key of the module that goes first
        replace: Option<String>,
    },
    /// Removes the topic
    DeleteTopic,
    /// Removes the module
    DeleteModule {
        /// Its key
        key: String,
    },
    /// Cannot be done; nothing is
    Refuse,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.action {
            Action::Keep => "keep",
            Action::CreateTopic(_) => "create",
            Action::UploadModule { replace: None } => "upload",
            Action::UploadModule { replace: Some(_) } => "replace",
            Action::DeleteTopic | Action::DeleteModule { .. } => "delete",
            Action::Refuse => "REFUSE",
        };
        write!(f, "{word:<8} {:<7} {:<28} {}", self.kind, self.name, self.reason)
    }
}

/// The stage that `uses` names, if it is one of perfstream's.
pub fn stage_of(uses: &str) -> Option<&str> {
    Uses::parse(uses).filter(|u| u.group == registry::GROUP).map(|u| u.name)
}

/// What pipelines need.
pub fn wanted(name: &str, at: &str, pipelines: &[Pipeline], modules: &Modules, options: &Options) -> Result<Wanted> {
    let mut wanted = Wanted {
        deployment: Deployment { name: name.into(), at: at.into(), ..Deployment::default() },
        ..Wanted::default()
    };
    for pipeline in pipelines {
        let spec = PlanSpec::new(pipeline)?;
        wanted.add_topics(pipeline, &spec, options)?;
        wanted.deployment.pipelines.insert(pipeline.meta.name.to_string());
        for stage in &spec.chain.stages {
            let uses = format!("{}/{}@{}", registry::GROUP, stage.stage, registry::VERSION);
            wanted.modules.insert(uses, module_hash(&modules.load(&stage.stage)?));
        }
    }
    wanted.deployment.modules = wanted.modules.keys().cloned().collect();
    Ok(wanted)
}

impl Wanted {
    fn add_topics(&mut self, pipeline: &Pipeline, spec: &PlanSpec, options: &Options) -> Result<()> {
        let name = pipeline.meta.name.to_string();
        let keep = |partitions| TopicKeep {
            partitions,
            replication: options.replication,
            retention_s: None,
            segment_bytes: None,
            max_partition_bytes: None,
        };
        let input = &spec.input_topic;
        let needs_s = (needed_s(pipeline, spec) + MARGIN_S).min(i64::from(u32::MAX)) as u32;
        let input_keep = TopicKeep { retention_s: Some(needs_s.max(DEFAULT_RETENTION_S)), ..keep(options.partitions) };
        self.add(input, format!("input of {name}"), input_keep, needs_s, None);
        let own = |max_bytes| TopicKeep {
            retention_s: Some(OWN_RETENTION_S),
            segment_bytes: Some(OWN_SEGMENT_BYTES),
            max_partition_bytes: Some(max_bytes),
            ..keep(options.partitions)
        };
        let (control, state, inbox) = (topics::control(&name), topics::state(&name), topics::inbox(&name));
        let like = || Some(input.clone());
        self.add(&control, format!("control entries of {name}"), own(CONTROL_PARTITION_BYTES), OWN_RETENTION_S, like());
        self.add(&state, format!("snapshots of {name}"), own(snapshot::PARTITION_BYTES), OWN_RETENTION_S, like());
        self.add(&inbox, format!("requests to {name}"), keep(1), 0, None);
        self.deployment.own_topics.extend([control, state, inbox]);
        for output in Plan::of(spec)?.router.topics() {
            self.add(output, format!("output of {name}"), keep(options.partitions), 0, None);
            self.deployment.output_topics.insert(output.clone());
        }
        for shared in [topics::STATUS, topics::MEMBERS, topics::DEPLOYMENTS] {
            let keep = TopicKeep {
                retention_s: Some(OWN_RETENTION_S),
                segment_bytes: Some(OWN_SEGMENT_BYTES),
                max_partition_bytes: Some(1 << 30),
                ..keep(1)
            };
            self.add(shared, "shared by all pipelines".into(), keep, 0, None);
        }
        Ok(())
    }

    fn add(&mut self, name: &str, what: String, keep: TopicKeep, needs_s: u32, like: Option<String>) {
        match self.topics.iter_mut().find(|t| t.name == name) {
            Some(known) => {
                known.needs_s = known.needs_s.max(needs_s);
                known.keep.retention_s = known.keep.retention_s.max(keep.retention_s);
            }
            None => self.topics.push(WantedTopic { name: name.into(), what, keep, needs_s, like }),
        }
    }
}

/// How far back the input must reach: the longest span in the stages' configs, twice (a window and
/// its lateness), and two snapshots.
fn needed_s(pipeline: &Pipeline, spec: &PlanSpec) -> i64 {
    fn longest(value: &serde_json::Value) -> i64 {
        match value {
            serde_json::Value::String(text) => Span::parse(text).map_or(0, |s| s.us()),
            serde_json::Value::Array(items) => items.iter().map(longest).max().unwrap_or(0),
            serde_json::Value::Object(map) => map.values().map(longest).max().unwrap_or(0),
            _ => 0,
        }
    }
    let configs = spec.chain.stages.iter().filter_map(|s| serde_json::from_str(&s.config).ok());
    let span = configs.map(|c: serde_json::Value| longest(&c)).max().unwrap_or(0);
    (2 * span + 2 * pipeline.checkpoint.interval.us()) / 1_000_000 + 1
}

/// The steps from `found` to `wanted`.
pub fn steps(wanted: &Wanted, found: &Found, options: &Options) -> Vec<Step> {
    let mut steps: Vec<Step> = wanted.topics.iter().map(|topic| topic_step(topic, wanted, found)).collect();
    for (uses, hash) in &wanted.modules {
        steps.push(module_step(uses, hash, found, options));
    }
    if options.prune {
        let before = found.deployments.iter().find(|d| d.name == wanted.deployment.name);
        if let Some(before) = before {
            steps.extend(removals(before, Some(&wanted.deployment), found, options));
        }
    }
    steps
}

fn topic_step(topic: &WantedTopic, wanted: &Wanted, found: &Found) -> Step {
    let step = |action, reason| Step { action, kind: "topic", name: topic.name.clone(), reason };
    let partitions_of = |name: &str| match found.topics.get(name) {
        Some(there) => there.partitions,
        None => wanted.topics.iter().find(|t| t.name == name).map_or(1, |t| t.keep.partitions),
    };
    let partitions = topic.like.as_deref().map_or(topic.keep.partitions, partitions_of);
    let Some(there) = found.topics.get(&topic.name) else {
        let keep = TopicKeep { partitions, ..topic.keep.clone() };
        let reason = format!("{}: {}", topic.what, described(&keep));
        return step(Action::CreateTopic(keep), reason);
    };
    if topic.like.is_some() && there.partitions != partitions {
        return step(
            Action::Refuse,
            format!(
                "has {} partitions, its input {partitions}: a pipeline's state belongs to a partition count. Deploy the \
                 pipeline under another name, or undeploy it with --state first",
                there.partitions
            ),
        );
    }
    if there.deduplication && topic.needs_s > 0 {
        return step(
            Action::Refuse,
            "has Fluvio's `deduplication`, which leaves holes that cannot be told from lost records. Make the topic \
             without it, and use `input.dedupe` of the pipeline"
                .into(),
        );
    }
    let (needs_bytes, holds_bytes) = (topic.needs_bytes(), there.max_partition_bytes);
    if let Some(holds) = holds_bytes.filter(|holds| *holds < needs_bytes) {
        return step(
            Action::Refuse,
            format!(
                "holds {holds} bytes a partition; {} need {needs_bytes}. Undeploy the pipeline, and `deploy` makes the \
                 topic as it must be",
                topic.what
            ),
        );
    }
    if there.retention_s < topic.needs_s {
        return step(
            Action::Refuse,
            format!(
                "is kept for {}; {} needs {}. Give it more: `fluvio topic create … --retention-time {}s` on a new topic",
                days(there.retention_s),
                topic.what,
                days(topic.needs_s),
                topic.needs_s
            ),
        );
    }
    step(Action::Keep, format!("{}: {} partitions", topic.what, there.partitions))
}

fn module_step(uses: &str, hash: &str, found: &Found, options: &Options) -> Step {
    let step = |action, reason: String| Step { action, kind: "module", name: uses.into(), reason };
    match found.modules.get(uses) {
        None => step(Action::UploadModule { replace: None }, format!("hash {}", &hash[..12])),
        Some(there) if there.hash == hash => step(Action::Keep, format!("hash {}", &hash[..12])),
        Some(there) if options.replace_modules => step(
            Action::UploadModule { replace: Some(there.key.clone()) },
            format!("hash {} in the place of {}", &hash[..12], &there.hash[..12]),
        ),
        Some(there) => step(
            Action::Refuse,
            format!(
                "the cluster has other bytes under this version: hash {}, this perfstream {}. Use the perfstream that \
                 deployed it, or --replace-modules",
                &there.hash[..12],
                &hash[..12]
            ),
        ),
    }
}

/// What goes when `before` is undeployed, or becomes `after`. Inputs never go; outputs only with
/// `data`; a module only when no other deployment has it.
pub fn removals(before: &Deployment, after: Option<&Deployment>, found: &Found, options: &Options) -> Vec<Step> {
    let others = || found.deployments.iter().filter(|d| d.name != before.name).chain(after);
    let outputs = before.output_topics.iter().filter(|_| options.data);
    let mut steps = Vec::new();
    for topic in before.own_topics.iter().chain(outputs).filter(|t| found.topics.contains_key(*t)) {
        if others().any(|d| d.own_topics.contains(topic) || d.output_topics.contains(topic)) {
            continue;
        }
        let reason = format!("of the deployment of {}", before.at);
        steps.push(Step { action: Action::DeleteTopic, kind: "topic", name: topic.clone(), reason });
    }
    for uses in &before.modules {
        let Some(there) = found.modules.get(uses) else { continue };
        if others().any(|d| d.modules.contains(uses)) {
            continue;
        }
        let action = Action::DeleteModule { key: there.key.clone() };
        steps.push(Step { action, kind: "module", name: uses.clone(), reason: "no other deployment has it".into() });
    }
    steps
}

/// An error if any step is refused.
pub fn refused(steps: &[Step]) -> Result<()> {
    match steps.iter().filter(|s| s.action == Action::Refuse).count() {
        0 => Ok(()),
        n => bail!("{n} refused; nothing was changed"),
    }
}

fn described(keep: &TopicKeep) -> String {
    let mut text = format!("{} partitions", keep.partitions);
    if let Some(seconds) = keep.retention_s {
        text.push_str(&format!(", kept {}", days(seconds)));
    }
    if let Some(bytes) = keep.max_partition_bytes {
        text.push_str(&format!(", at most {} GiB each", bytes >> 30));
    }
    text
}

fn days(seconds: u32) -> String {
    match seconds {
        ..86_400 => format!("{seconds} s"),
        _ => format!("{} d", seconds / 86_400),
    }
}

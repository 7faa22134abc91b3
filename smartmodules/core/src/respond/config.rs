//! The parameters of `respond`.

use crate::duration::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Parameters of the stage `respond`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RespondConfig {
    /// The rules; each record of an alert or incident is put to all of them. Default: none.
    #[serde(default)]
    pub rules: Vec<RuleConfig>,
    /// Decide and record, and request nothing: a step `dry_run` stands where `requested` would; a rule's own
    /// `dry_run` goes before it. Default: true.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Actions remembered at once, 1 to 10,000. Beyond it the oldest suppressed, then the oldest that is over
    /// and no limit needs is forgotten; if there is none, new ones are suppressed with `why: full`.
    /// Default: 1000.
    #[serde(default = "default_actions")]
    pub max_actions: u32,
}

/// One rule: from what happened to what is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Name, unique in the stage; part of every `action_id`.
    pub name: String,
    /// What it answers: `alert` (one that fires) or `incident` (one that is open).
    pub on: On,
    /// Expression that must be true of the record, such as `rule = 'Saturated' AND labels.service = 'cart'`.
    /// Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
    /// What is acted on, as text with `{field}` for a field of the record: `{labels.service}`. The limits tell
    /// targets apart by it.
    pub target: String,
    /// What is done
    pub action: Act,
    /// How long after the request it may still be begun, `10s` to `1h`; also how old a record may be that asks
    /// for it. Default: `5m`.
    #[serde(default = "default_expires")]
    pub expires: Span,
    /// After a decision about a target this rule makes no other about it for this long, nor while one is in
    /// progress, `0s` to `7d`. Default: `15m`.
    #[serde(default = "default_cooldown")]
    pub cooldown: Span,
    /// How many decisions this rule makes in a time. Default: 10 per `1h`.
    #[serde(default)]
    pub rate_limit: RateLimit,
    /// How many different targets this rule has to do with at a time. Default: 3 within `1h`.
    #[serde(default)]
    pub blast_radius: BlastRadius,
    /// Decide and record, and request nothing. Default: the stage's.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// Somebody must approve first, by a record in the pipeline's inbox. Default: nobody must.
    #[serde(default)]
    pub approval: Option<Approval>,
    /// Did it help? Default: nobody asks.
    #[serde(default)]
    pub verify: Option<Verify>,
    /// What is done if it did not help; needs `verify`. Default: nothing.
    #[serde(default)]
    pub rollback: Option<Act>,
}

/// What a rule answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Records of the stage `alert`
    Alert,
    /// Records of the stage `correlate`
    Incident,
}

impl On {
    /// The word in configs and records.
    pub const fn name(self) -> &'static str {
        match self {
            On::Alert => "alert",
            On::Incident => "incident",
        }
    }
}

/// How many decisions in which time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Decisions, 1 to 1,000
    pub count: u32,
    /// The time, `1m` to `7d`
    pub per: Span,
}

impl Default for RateLimit {
    fn default() -> Self {
        RateLimit { count: 10, per: Span::minutes(60) }
    }
}

/// How many targets at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// Different values, 1 to 1,000, of decisions in progress or within `within`
    pub max: u32,
    /// What is counted, as text with `{field}`. Default: the rule's `target`.
    #[serde(default)]
    pub of: Option<String>,
    /// How long a decision counts, `1m` to `7d`. Default: `1h`.
    #[serde(default = "default_within")]
    pub within: Span,
}

impl Default for BlastRadius {
    fn default() -> Self {
        BlastRadius { max: 3, of: None, within: default_within() }
    }
}

/// Approval by a person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Must somebody approve? Default: true.
    #[serde(default = "yes")]
    pub required: bool,
    /// Without an answer in this time nothing is done, `1m` to `7d`. Default: `15m`.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

/// Verification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// The alert or incident must be over in this time after the action is done, `10s` to `1d`. One that ends
    /// for lack of data has not recovered.
    pub within: Span,
    /// Expression over a later record of the same alert or incident that says as much, such as `open = 1`.
    /// Default: only its end does.
    #[serde(default)]
    pub recovered: Option<String>,
}

/// What is done, by `kind`: `webhook`, `command`, `feature-flag`, `scale` or `record`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Act {
    /// A request to a receiver
    Webhook(Call),
    /// A program of a receiver
    Command(Call),
    /// A feature flag gets a value
    FeatureFlag(Flag),
    /// A workload gets a number of replicas
    Scale(Scale),
    /// A record in a topic
    Record(Note),
}

/// A request with a body, or a program with an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Name of the receiver, as in the document `Receivers`
    pub receiver: String,
    /// Body, with `{field}` in its texts for a field of the record; a text that is one `{field}` keeps the
    /// field's type. Default: the action's record.
    #[serde(default)]
    pub body: Option<Map<String, Value>>,
}

/// A change of a feature flag, in OpenFeature's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Flag {
    /// Name of the receiver
    pub receiver: String,
    /// Key of the flag; may hold `{field}`
    pub flag: String,
    /// Value that it gets: `false`, a text, a number or a map
    pub value: Value,
    /// Name of the variant that has this value. Default: none.
    #[serde(default)]
    pub variant: Option<String>,
}

/// A number of replicas, as Kubernetes' `Scale` of `autoscaling/v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Name of the receiver
    pub receiver: String,
    /// Name of the workload; may hold `{field}`
    pub name: String,
    /// Its namespace; may hold `{field}`. Default: `default`.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Replicas that it gets, 0 to 10,000
    pub replicas: u32,
}

/// A record in a topic of the same log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The topic; none of perfstream's own (`-control`, `-state`, `-inbox` at the end, `perfstream-` in front)
    pub topic: String,
    /// The record, as `body` of a webhook. Default: the action's record.
    #[serde(default)]
    pub body: Option<Map<String, Value>>,
}

fn yes() -> bool {
    true
}

fn default_actions() -> u32 {
    1000
}

fn default_expires() -> Span {
    Span::minutes(5)
}

fn default_cooldown() -> Span {
    Span::minutes(15)
}

fn default_timeout() -> Span {
    Span::minutes(15)
}

fn default_within() -> Span {
    Span::minutes(60)
}

fn default_namespace() -> String {
    "default".into()
}

/// Is it a topic that only perfstream itself may write?
pub fn is_own_topic(topic: &str) -> bool {
    topic.starts_with("perfstream-") || ["-control", "-state", "-inbox"].iter().any(|end| topic.ends_with(end))
}

//! The parameters of `correlate`, and what can be wrong with them.

use crate::config::{Issue, Issues};
use crate::duration::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Dimensions that `shared` may name: with `service` as many as an anomaly has labels.
const MAX_SHARED: usize = super::anomaly::MAX_LABELS - 1;
/// Edges that `dependencies` may hold.
const MAX_DEPENDENCIES: usize = 10_000;
/// Metrics that `kinds` may name.
const MAX_KINDS: usize = 1_000;

/// Groups anomalies that belong together into incidents and ranks what may have caused them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CorrelateConfig {
    /// How far an anomaly's beginning may lie from the newest (or oldest) beginning in an incident that it
    /// joins, `1s` to `1d`. Default: `10m`.
    #[serde(default = "default_window")]
    pub window: Span,
    /// Label or field whose value is a node of the dependency graph and a candidate for the cause; anomalies
    /// without it are told apart by all their labels. Default: service.
    #[serde(default = "default_service")]
    pub service: String,
    /// Labels or fields by which anomalies belong together when their values are the same, up to 7;
    /// `service` always counts. Default: `service`, `host`, `page`.
    #[serde(default = "default_shared")]
    pub shared: Vec<String>,
    /// The service map: who calls whom, as `{ from: CALLER, to: CALLEE }`, up to 10,000. Default: none.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// Fields of event rows that say a call, as those of spans: `{ from: service, to: peer }`; calls are
    /// learned from them. Default: none are learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces: Option<Traces>,
    /// How many calls may lie between two services whose anomalies belong together, 1 to 4; those between
    /// them had no anomaly that was detected. Default: 2.
    #[serde(default = "default_hops")]
    pub hops: u32,
    /// What a metric measures, by its name: `saturation` (cpu, memory, queue), `errors`, `latency` or
    /// `traffic`. Ranks causes; changes of traffic alone are taken for effects. Default: none, and all
    /// metrics count alike.
    #[serde(default)]
    pub kinds: BTreeMap<String, MetricKind>,
    /// Within this time after the beginning of one anomaly the beginning of another counts as its follower, for
    /// learned links and in the ranking of causes, `1s` to `1h`. Default: `5m`.
    #[serde(default = "default_lag")]
    pub lag: Span,
    /// Chance, among all pairs of series together (Bonferroni), that independent ones are taken for linked:
    /// above 0, up to 0.5; `0` learns no links. Default: 0.01.
    #[serde(default = "default_significance")]
    pub significance: f64,
    /// Coincidences before a link can be believed, 2 to 1,000. Default: 3.
    #[serde(default = "default_coincidences")]
    pub min_coincidences: u32,
    /// How long coincidences and learned calls are remembered: this time to twice of it, `1h` to `365d`.
    /// Default: `30d`.
    #[serde(default = "default_memory")]
    pub memory: Span,
    /// Anomalies that make an incident, 1 to 100; with fewer there is no record. Default: 1.
    #[serde(default = "default_min_anomalies")]
    pub min_anomalies: u32,
    /// Records of an open incident are at least this far apart, `0s` to `1h`. Default: `1m`.
    #[serde(default = "default_update")]
    pub update_every: Span,
    /// An incident whose anomalies have not all ended is resolved after this time without word of any, `1m`
    /// to `30d`. Default: `6h`.
    #[serde(default = "default_resolve")]
    pub resolve_after: Span,
    /// Incidents open at a time, 1 to 100,000; beyond it the one unheard of for longest is resolved.
    /// Default: 1000.
    #[serde(default = "default_incidents")]
    pub max_incidents: u32,
    /// Anomalies of an incident that are kept, 2 to 500; more are counted. Default: 128.
    #[serde(default = "default_members")]
    pub max_members: u32,
    /// Series whose beginnings of anomalies are remembered for links, 2 to 100,000; beyond it the one unseen
    /// for longest is forgotten. Default: 5000.
    #[serde(default = "default_series")]
    pub max_series: u32,
    /// Pairs of series that coincided, and learned calls, that are remembered, 1 to 1,000,000 each; beyond it
    /// the oldest is forgotten. Default: 20000.
    #[serde(default = "default_pairs")]
    pub max_pairs: u32,
}

/// A call of the service map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// Who calls
    pub from: String,
    /// Who is called
    pub to: String,
}

/// Fields that say a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Field with the caller
    pub from: String,
    /// Field with the callee
    pub to: String,
}

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// How full a resource is: cpu, memory, queue length
    Saturation,
    /// Requests that fail
    Errors,
    /// How long requests take
    Latency,
    /// How many requests there are
    Traffic,
}

impl MetricKind {
    /// The word in `kinds`.
    pub const fn name(self) -> &'static str {
        match self {
            MetricKind::Saturation => "saturation",
            MetricKind::Errors => "errors",
            MetricKind::Latency => "latency",
            MetricKind::Traffic => "traffic",
        }
    }
}

fn default_window() -> Span {
    Span::minutes(10)
}

fn default_service() -> String {
    "service".into()
}

fn default_shared() -> Vec<String> {
    ["service", "host", "page"].map(String::from).to_vec()
}

fn default_hops() -> u32 {
    2
}

fn default_lag() -> Span {
    Span::minutes(5)
}

fn default_significance() -> f64 {
    0.01
}

fn default_coincidences() -> u32 {
    3
}

fn default_memory() -> Span {
    Span::minutes(30 * 24 * 60)
}

fn default_min_anomalies() -> u32 {
    1
}

fn default_update() -> Span {
    Span::minutes(1)
}

fn default_resolve() -> Span {
    Span::minutes(6 * 60)
}

fn default_incidents() -> u32 {
    1000
}

fn default_members() -> u32 {
    128
}

fn default_series() -> u32 {
    5000
}

fn default_pairs() -> u32 {
    20_000
}

impl CorrelateConfig {
    /// Names of the labels that are compared, each once.
    pub(super) fn dimensions(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in std::iter::once(&self.service).chain(&self.shared) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// What cannot work.
    pub(super) fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        self.span_errors(&mut issues);
        self.number_errors(&mut issues);
        self.name_errors(&mut issues);
        issues
    }

    fn span_errors(&self, issues: &mut Issues) {
        let (second, hour, day) = (1_000_000, 3_600_000_000, 86_400_000_000);
        for (path, span, low, high, words) in [
            ("window", self.window, second, day, "`1s` to `1d`"),
            ("lag", self.lag, second, hour, "`1s` to `1h`"),
            ("memory", self.memory, hour, 365 * day, "`1h` to `365d`"),
            ("update_every", self.update_every, 0, hour, "`0s` to `1h`"),
            ("resolve_after", self.resolve_after, 60 * second, 30 * day, "`1m` to `30d`"),
        ] {
            if !(low..=high).contains(&span.us()) {
                issues.push(Issue::error(path, format!("expected {words}, found `{span}`")));
            }
        }
    }

    fn number_errors(&self, issues: &mut Issues) {
        if !(0.0..=0.5).contains(&self.significance) {
            let message = format!("expected 0 to 0.5, found {}", self.significance);
            issues.push(Issue::error("significance", message).hint("a chance: 0.01 for one in a hundred"));
        }
        for (path, number, low, high) in [
            ("hops", self.hops, 1, 4),
            ("min_coincidences", self.min_coincidences, 2, 1000),
            ("min_anomalies", self.min_anomalies, 1, 100),
            ("max_incidents", self.max_incidents, 1, 100_000),
            ("max_members", self.max_members, 2, 500),
            ("max_series", self.max_series, 2, 100_000),
            ("max_pairs", self.max_pairs, 1, 1_000_000),
        ] {
            if !(low..=high).contains(&number) {
                issues.push(Issue::error(path, format!("expected {low} to {high}, found {number}")));
            }
        }
    }

    fn name_errors(&self, issues: &mut Issues) {
        if self.service.is_empty() {
            issues.push(Issue::error("service", "expected the name of a label, found none"));
        }
        if self.shared.len() > MAX_SHARED {
            issues.push(Issue::error("shared", format!("expected at most {MAX_SHARED}, found {}", self.shared.len())));
        }
        if self.kinds.len() > MAX_KINDS {
            issues.push(Issue::error("kinds", format!("expected at most {MAX_KINDS}, found {}", self.kinds.len())));
        }
        if self.dependencies.len() > MAX_DEPENDENCIES {
            let message = format!("expected at most {MAX_DEPENDENCIES}, found {}", self.dependencies.len());
            issues.push(Issue::error("dependencies", message).hint("or learn calls from spans, by `traces`"));
        }
        for (i, edge) in self.dependencies.iter().enumerate() {
            let path = format!("dependencies[{i}]");
            if edge.from.is_empty() || edge.to.is_empty() {
                issues.push(Issue::error(path, "expected two services, found an empty name"));
            } else if edge.from == edge.to {
                issues.push(Issue::error(path, format!("`{}` calls itself", edge.from)));
            }
        }
        if let Some(traces) = &self.traces
            && (traces.from.is_empty() || traces.to.is_empty() || traces.from == traces.to)
        {
            issues.push(Issue::error("traces", "expected two fields, found one or an empty name"));
        }
    }

    /// What is doubtful though it works.
    pub(super) fn doubts(&self) -> Issues {
        let mut issues = Issues::new();
        if self.lag > self.window {
            let message =
                format!("`{}` is longer than `window` (`{}`): such links group nothing", self.lag, self.window);
            issues.push(Issue::warning("lag", message));
        }
        for (i, edge) in self.dependencies.iter().enumerate() {
            if self.dependencies.iter().take(i).any(|other| other == edge) {
                let message = format!("`{}` → `{}` stands there twice", edge.from, edge.to);
                issues.push(Issue::warning(format!("dependencies[{i}]"), message));
            }
        }
        issues
    }
}

//! Stages of a chain, and how the chain is run.

use super::{Name, Raw};
use perfstream_core::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One stage of the chain, in the shape of Fluvio's own transforms files.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// Which SmartModule: `perfstream/filter@0.1.0`
    pub uses: String,
    /// Parameters of the stage
    #[serde(default)]
    pub with: Raw,
    /// Records of the topic that Fluvio hands to a module before it starts; perfstream's own stages
    /// keep their state in snapshots and need none
    pub lookback: Option<Lookback>,
    /// Name of this stage in the pipeline, unique there; without it the stage's own, numbered from
    /// the second on
    pub name: Option<Name>,
}

/// Records before the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookback {
    /// At most this many records
    pub last: Option<u64>,
    /// No record older than this
    pub age: Option<Span>,
}

/// What happens when a write or a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Errors {
    /// Recover and go on; a record on which a stage fails becomes a dead letter at once
    #[default]
    SkipAndLog,
    /// Recover with growing pauses; a record becomes a dead letter after five more tries
    RetryWithBackoff,
    /// Stop the pipeline
    Fail,
}

/// What happens when records arrive faster than they are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Backpressure {
    /// They wait in the input topic, and a bounded copy of them on the worker's disk, in case the topic evicts them
    #[default]
    BufferWithSpill,
    /// Of more than 100,000 that wait in a partition the oldest are skipped; a `gap` record says which
    DropOldest,
    /// They wait in the input topic
    Block,
}

/// Where the stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// In the perfstream process
    #[default]
    Worker,
    /// The stateless front of the chain in the cluster, the rest in the perfstream process
    SpuPrefilter,
}

/// How often the state is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// Time between two snapshots; more often costs more writing, less often a longer replay
    pub interval: Span,
    /// How many snapshots are kept; an older one stands in for one that is corrupt
    #[schemars(range(min = 1, max = 100))]
    pub retain: u32,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Checkpoint { interval: Span::seconds(10), retain: 3 }
    }
}

/// From what a restart goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Recovery {
    /// The newest snapshot
    #[default]
    Latest,
    /// The newest snapshot that matches this configuration, else the start of the topic
    Safe,
    /// No state, from the start of the topic
    Empty,
}

/// How many workers share the partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Scaling {
    /// As many as the load asks for
    Auto {
        /// At least this many workers
        #[serde(default = "one")]
        #[schemars(range(min = 1, max = 1024))]
        min: u32,
        /// At most this many workers; more than partitions are idle
        #[serde(default = "ten")]
        #[schemars(range(min = 1, max = 1024))]
        max: u32,
        /// Add a worker above this share of the busiest metric, 0 to 1
        #[serde(default = "scale_up")]
        #[schemars(range(min = 0.0, max = 1.0))]
        scale_up: f64,
        /// Take a worker away below this share of the busiest metric, 0 to 1; less than `scale_up`
        #[serde(default = "scale_down")]
        #[schemars(range(min = 0.0, max = 1.0))]
        scale_down: f64,
        /// What is measured; the busiest counts
        #[serde(default = "cpu_and_lag")]
        metrics: Vec<Resource>,
        /// How much of a metric one worker is to bear, where the default does not fit
        #[serde(default)]
        targets: Targets,
    },
    /// A fixed number
    Manual {
        /// Number of workers
        #[schemars(range(min = 1, max = 1024))]
        instances: u32,
        /// What is measured and shown; it changes nothing
        #[serde(default)]
        metrics: Vec<Resource>,
    },
}

impl Default for Scaling {
    fn default() -> Self {
        Scaling::Manual { instances: 1, metrics: Vec::new() }
    }
}

fn one() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

fn scale_up() -> f64 {
    0.8
}

fn scale_down() -> f64 {
    0.3
}

fn cpu_and_lag() -> Vec<Resource> {
    vec![Resource::Cpu, Resource::Lag]
}

/// What one worker is to bear, by metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Targets {
    /// Share of the processor time that its partitions could use; default 1
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub cpu: Option<f64>,
    /// Share of the memory that the process may use; default 1
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub memory: Option<f64>,
    /// Records per second; default 50,000
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub throughput: Option<f64>,
    /// Milliseconds from the log to the output; default 1,000
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub latency: Option<f64>,
    /// Records not yet read; default 100,000
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub lag: Option<f64>,
    /// Records per second that are no dead letters; default 50,000
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub event_rate: Option<f64>,
    /// Sessions that end per second; default 1,000
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub session_rate: Option<f64>,
}

impl Targets {
    /// The target of a metric.
    pub fn of(&self, metric: Resource) -> f64 {
        let (target, default) = match metric {
            Resource::Cpu => (self.cpu, 1.0),
            Resource::Memory => (self.memory, 1.0),
            Resource::Throughput => (self.throughput, 50_000.0),
            Resource::Latency => (self.latency, 1_000.0),
            Resource::Lag => (self.lag, 100_000.0),
            Resource::EventRate => (self.event_rate, 50_000.0),
            Resource::SessionRate => (self.session_rate, 1_000.0),
        };
        target.unwrap_or(default)
    }

    /// The lower of two targets, where both set one.
    pub fn lower(&self, other: &Targets) -> Targets {
        let lower = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(b.map_or(a, |b| a.min(b))));
        Targets {
            cpu: lower(self.cpu, other.cpu),
            memory: lower(self.memory, other.memory),
            throughput: lower(self.throughput, other.throughput),
            latency: lower(self.latency, other.latency),
            lag: lower(self.lag, other.lag),
            event_rate: lower(self.event_rate, other.event_rate),
            session_rate: lower(self.session_rate, other.session_rate),
        }
    }
}

/// What scaling measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Processor time, as a share of what the worker's partitions could use
    Cpu,
    /// Resident memory, as a share of what the process may use
    Memory,
    /// Records per second
    Throughput,
    /// Longest time from the log to the output, milliseconds
    Latency,
    /// Records not yet read
    Lag,
    /// Records per second that are no dead letters
    EventRate,
    /// Sessions that end per second
    SessionRate,
}

impl Resource {
    /// Its word in pipeline files.
    pub const fn name(self) -> &'static str {
        match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
            Resource::Throughput => "throughput",
            Resource::Latency => "latency",
            Resource::Lag => "lag",
            Resource::EventRate => "event-rate",
            Resource::SessionRate => "session-rate",
        }
    }
}

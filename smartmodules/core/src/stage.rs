//! What a stage is: rows, ticks and control records in, rows out, a state that can be saved.

use crate::config::Issues;
use crate::duration::Span;
use crate::row::{Fields, Output, Row};
use serde::{Deserialize, Serialize};

/// Where a stage stands: set by whoever runs it, the same for every stage of a chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Context {
    /// Name of the pipeline document
    pub pipeline: String,
    /// Name of this stage in it, unique there
    pub stage: String,
    /// Partition of the input topic
    pub partition: u32,
    /// How far events may be out of order; the watermark stays this far behind
    pub out_of_orderness: Span,
    /// After this much silence the watermark follows processing time
    pub idle_after: Span,
    /// State beyond this many bytes is refused or evicted, by each stage's stated policy
    pub max_state_bytes: u64,
}

impl Default for Context {
    fn default() -> Self {
        Context {
            pipeline: "adhoc".into(),
            stage: String::new(),
            partition: 0,
            out_of_orderness: Span::ZERO,
            idle_after: Span::seconds(30),
            max_state_bytes: 256 << 20,
        }
    }
}

/// Time passes, as the log says: written by the host, seen by every stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Microseconds since the epoch
    pub time: i64,
    /// Offset of the last input record before it; -1 before the first
    pub offset: i64,
    /// No record follows: every window and session closes
    pub end_of_input: bool,
}

/// A control record that is not a tick, as the host copies it from the control topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// Rows of a reference table; a row replaces the one with its key.
    Reference {
        /// Name of the table
        table: String,
        /// JSON objects
        rows: Vec<serde_json::Value>,
    },
    /// A verdict on an alert or anomaly.
    Feedback {
        /// What it is about: an alert, or an anomaly
        alert_id: String,
        /// `true_positive`, `false_positive` or `resolved`; `acknowledged` tells people, and no stage
        verdict: String,
        /// The anomaly behind the alert, as the alert's record says it
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anomaly_id: Option<String>,
        /// How long it took until it was resolved, seconds
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resolution_time_s: Option<f64>,
    },
    /// A person's answer to an action that waits for approval.
    Approval {
        /// Which one, as its record says it
        action_id: String,
        /// May it be done?
        approved: bool,
        /// Who says so; nobody checks it
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// What became of an action that was requested.
    Outcome {
        /// Which one
        action_id: String,
        /// Is it about its roll-back?
        #[serde(default)]
        rollback: bool,
        /// Was it done?
        done: bool,
        /// What the receiver said
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
}

/// Counters of a stage by name, in a fixed order. Every event that enters a stage is in exactly
/// one of `passed`, `counted`, `filtered`, `late`, `duplicate`, `dead`; further names are the
/// stage's own.
pub type Counters = Vec<(&'static str, u64)>;

/// The state handed to [`Stage::restore`] is not one this stage can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreError(pub String);

/// One stage of a chain.
///
/// Deterministic: no clock, no unseeded randomness, no hash map's order; how records were cut into
/// batches does not show. A bad row becomes a dead letter through
/// [`crate::decode::dead_letter`], never an error.
pub trait Stage: Sized {
    /// `filter`, `aggregate`, …
    const NAME: &'static str;
    /// Grows when the snapshot's layout changes.
    const STATE_VERSION: u32;
    /// What stands under `with:`.
    type Config: serde::de::DeserializeOwned;

    /// Checks the config as a whole and builds the stage; every error at once. `fields` gives the
    /// slots of the fields it will read.
    fn new(config: Self::Config, context: &Context, fields: &mut Fields) -> Result<Self, Issues>;

    /// What is doubtful though it works: double negatives, overlaps, unused rules.
    fn warnings(_config: &Self::Config) -> Issues {
        Issues::new()
    }

    /// Takes one row. What the stage does not consume it passes on.
    fn process(&mut self, row: &Row<'_>, out: &mut Output);

    /// Time passes.
    fn tick(&mut self, _tick: &Tick, _out: &mut Output) {}

    /// Is there output that waits, because much became due at once?
    fn pending(&self) -> bool {
        false
    }

    /// Emits what waits until done or [`Output::is_full`].
    fn drain(&mut self, _out: &mut Output) {}

    /// Takes a control record.
    fn control(&mut self, _control: &Control) {}

    /// The counters.
    fn counters(&self) -> Counters;

    /// Does it treat rows as an instance without any history would? Then such an instance in an SPU
    /// may process them in its place.
    fn is_fresh(&self) -> bool {
        false
    }

    /// Adds what such an instance counted, in the order of [`Stage::counters`].
    fn count(&mut self, _added: &[u64]) {}

    /// Everything that [`Stage::restore`] needs to go on as if nothing had happened.
    fn snapshot(&self) -> Vec<u8>;

    /// Takes a snapshot of the same config and [`Stage::STATE_VERSION`].
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError>;

    /// Takes from a snapshot of another config, of the same [`Stage::STATE_VERSION`], what still has a
    /// meaning; an error if that is nothing, and the stage begins anew.
    fn adopt(&mut self, _bytes: &[u8], _config: &Self::Config) -> Result<(), RestoreError> {
        Err(RestoreError("a changed configuration begins with no state".into()))
    }
}

/// Writes a state. Never fails for the types that stages keep.
pub fn save<T: Serialize>(state: &T) -> Vec<u8> {
    postcard::to_allocvec(state).unwrap_or_default()
}

/// A count in a state, below 2^62: a forged larger one is refused, for counting on would overflow.
pub(crate) fn count<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let count = u64::deserialize(deserializer)?;
    match count {
        0..0x4000_0000_0000_0000 => Ok(count),
        _ => Err(serde::de::Error::custom("a count beyond 2^62")),
    }
}

/// Reads what [`save`] wrote.
pub fn load<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, RestoreError> {
    let (state, rest) = postcard::take_from_bytes(bytes).map_err(|e| RestoreError(e.to_string()))?;
    match rest.is_empty() {
        true => Ok(state),
        false => Err(RestoreError(format!("{} bytes left over", rest.len()))),
    }
}

//! What is remembered beside segments and models, and counted.

use crate::clock::StageClock;
use crate::stage::count;
use serde::{Deserialize, Serialize};

/// What is remembered beside segments and models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// What is due are anomalies that end
    pub clock: StageClock,
    /// When drift is looked for next
    pub adapt_at: i64,
    #[serde(deserialize_with = "count")]
    pub insights: u64,
    /// Insights not yet written: time, fields by name as JSON
    pub waiting: Vec<(i64, Vec<(String, String)>)>,
    pub counts: Counts,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    #[serde(deserialize_with = "count")]
    pub input: u64,
    #[serde(deserialize_with = "count")]
    pub rows: u64,
    #[serde(deserialize_with = "count")]
    pub observations: u64,
    #[serde(deserialize_with = "count")]
    pub missing: u64,
    #[serde(deserialize_with = "count")]
    pub revisions: u64,
    #[serde(deserialize_with = "count")]
    pub scored: u64,
    #[serde(deserialize_with = "count")]
    pub detections: u64,
    #[serde(deserialize_with = "count")]
    pub in_range: u64,
    #[serde(deserialize_with = "count")]
    pub small: u64,
    #[serde(deserialize_with = "count")]
    pub few_events: u64,
    #[serde(deserialize_with = "count")]
    pub mix_shift: u64,
    #[serde(deserialize_with = "count")]
    pub anomalies: u64,
    #[serde(deserialize_with = "count")]
    pub closed: u64,
    #[serde(deserialize_with = "count")]
    pub evicted: u64,
    #[serde(deserialize_with = "count")]
    pub feedback: u64,
    #[serde(deserialize_with = "count")]
    pub feedback_ignored: u64,
}

impl Default for State {
    fn default() -> Self {
        State {
            clock: StageClock::default(),
            adapt_at: i64::MIN,
            insights: 0,
            waiting: Vec::new(),
            counts: Counts::default(),
        }
    }
}

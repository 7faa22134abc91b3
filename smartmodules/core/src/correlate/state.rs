//! What the stage remembers beside incidents, calls and links.

use super::segment::Known;
use crate::clock::StageClock;
use crate::stage::count;
use serde::{Deserialize, Serialize};

/// Clock, deadlines, counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub clock: StageClock,
    /// The input has ended: what is new is told
    pub ending: bool,
    pub known: Known,
    pub counts: Counts,
}

/// The stage's counters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    #[serde(deserialize_with = "count")]
    pub input: u64,
    #[serde(deserialize_with = "count")]
    pub anomalies: u64,
    #[serde(deserialize_with = "count")]
    pub ended: u64,
    #[serde(deserialize_with = "count")]
    pub unreadable: u64,
    #[serde(deserialize_with = "count")]
    pub unknown: u64,
    #[serde(deserialize_with = "count")]
    pub incidents: u64,
    #[serde(deserialize_with = "count")]
    pub resolved: u64,
    #[serde(deserialize_with = "count")]
    pub merged: u64,
    #[serde(deserialize_with = "count")]
    pub not_kept: u64,
    #[serde(deserialize_with = "count")]
    pub calls: u64,
    #[serde(deserialize_with = "count")]
    pub evicted: u64,
    #[serde(deserialize_with = "count")]
    pub forgotten: u64,
}

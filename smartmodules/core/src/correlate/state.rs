//! What the stage remembers beside incidents, calls and links.

use super::segment::Known;
use crate::clock::NEVER;
use crate::stage::count;
use serde::{Deserialize, Serialize};

/// Clock, deadlines, counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub clock: i64,
    /// Deadlines up to here are due
    pub due_until: i64,
    /// Offset and log time of the newest row or tick
    pub trigger: (i64, i64),
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

impl Default for State {
    fn default() -> Self {
        State {
            clock: NEVER,
            due_until: NEVER,
            trigger: (-1, 0),
            ending: false,
            known: Known::default(),
            counts: Counts::default(),
        }
    }
}

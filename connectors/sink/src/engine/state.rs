//! What the engine knows of alerts, and of what receivers know of them. The journal holds it as JSON.

use super::Delivery;
use crate::alert::Alert;
use crate::matcher::Labels;
use crate::routing::Timing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An alert that is not over, or of which not all is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Open {
    /// Its newest record
    pub(super) alert: Alert,
    /// Its group at each receiver that is told of it
    pub(super) groups: BTreeMap<String, String>,
}

/// Alerts that a receiver is told of together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) receiver: String,
    pub(super) key: String,
    pub(super) labels: Labels,
    pub(super) timing: Timing,
    pub(super) members: BTreeMap<String, Member>,
    pub(super) last_sent_ms: Option<i64>,
    /// What follows at once: it is late already
    pub(super) hurry: bool,
    /// Begun and not accepted
    pub(super) sending: Option<Delivery>,
}

/// What a receiver knows of an alert, and what it is to be told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    /// Newest record in which it fires
    pub(super) current: Alert,
    /// It was told that it fires
    pub(super) told: bool,
    pub(super) repeats: u32,
    /// When the receiver was last asked; None in a journal of before is when its group was
    #[serde(default)]
    pub(super) asked_ms: Option<i64>,
    /// The receiver did not want to hear that it fires
    #[serde(default)]
    pub(super) refused: bool,
    pub(super) firing: Option<Waiting>,
    pub(super) resolved: Option<Waiting>,
    /// Somebody takes care of it: it is not said again
    #[serde(default)]
    pub(super) acknowledged: bool,
    /// Since when the receiver is to hear of that
    #[serde(default)]
    pub(super) acknowledgement_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) alert: Alert,
    pub(super) since_ms: i64,
}

/// A pause after failures. Not in the journal: after a restart the first try is at once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pause {
    pub(super) failures: u32,
    pub(super) until_ms: i64,
}

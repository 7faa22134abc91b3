//! The words of records: what happened to an action, and why.

use serde::{Deserialize, Serialize};

/// Why nothing is done, or nothing came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    Cooldown,
    RateLimit,
    BlastRadius,
    Full,
    Stale,
    MissingField,
    Over,
    NoOutcome,
    NoData,
    Time,
}

impl Why {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Why::Cooldown => "cooldown",
            Why::RateLimit => "rate_limit",
            Why::BlastRadius => "blast_radius",
            Why::Full => "full",
            Why::Stale => "stale",
            Why::MissingField => "missing_field",
            Why::Over => "over",
            Why::NoOutcome => "no_outcome",
            Why::NoData => "no_data",
            Why::Time => "time",
        }
    }
}

/// A step of a life: one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    Suppressed,
    AwaitingApproval,
    Approved,
    Rejected,
    ApprovalExpired,
    Cancelled,
    DryRun,
    Requested,
    Done,
    Failed,
    Recovered,
    NotRecovered,
    RollbackRequested,
    RolledBack,
    RollbackFailed,
}

impl Step {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Step::Suppressed => "suppressed",
            Step::AwaitingApproval => "awaiting_approval",
            Step::Approved => "approved",
            Step::Rejected => "rejected",
            Step::ApprovalExpired => "approval_expired",
            Step::Cancelled => "cancelled",
            Step::DryRun => "dry_run",
            Step::Requested => "requested",
            Step::Done => "done",
            Step::Failed => "failed",
            Step::Recovered => "recovered",
            Step::NotRecovered => "not_recovered",
            Step::RollbackRequested => "rollback_requested",
            Step::RolledBack => "rolled_back",
            Step::RollbackFailed => "rollback_failed",
        }
    }
}

/// What happened, with all that its record says of it beside the case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub step: Step,
    pub time: i64,
    /// Number of the step in the case's life
    pub index: u32,
    pub why: Option<Why>,
    /// Until when it may be answered or begun
    pub until: Option<i64>,
    /// Who answered
    pub by: Option<Box<str>>,
    /// What they, or the receiver, said
    pub message: Option<Box<str>>,
}

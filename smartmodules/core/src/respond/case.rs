//! The life of one action, as a pure machine over decisions, answers, outcomes and times.
//!
//! ```text
//!  decide ─┬─▶ suppressed ──(a later record of the subject)──▶ decide
//!          ├─▶ awaiting_approval ─┬─▶ rejected | approval_expired | cancelled (it was over before)
//!          │                      └─▶ approved ─┐
//!          └────────────────────────────────────┴─▶ requested (or dry_run) ─┬─▶ failed
//!                                                                           └─▶ done
//!  done, dry_run ──(verify)──┬─▶ recovered
//!                            └─▶ not_recovered ──▶ rollback_requested ─┬─▶ rolled_back
//!                                                                      └─▶ rollback_failed
//! ```
//!
//! Each arrow is a record. `requested` and `rollback_requested` are what the sink executes. A dry run goes the
//! same way without them: what it says of recovery is what happens when nothing is done. Times are
//! microseconds of the stage's clock. Cost: O(1) per call. It never fails; times saturate.

use super::config::On;
use super::step::{Step, Told, Why};
use serde::{Deserialize, Serialize};

/// An executor may begin until the request expires, and then needs at most so long to say how it went.
const ANSWER_US: i64 = 600_000_000;
/// A deadline that never comes.
const FAR: i64 = i64::MAX;

/// What a rule allows and demands, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Policy {
    pub dry: bool,
    /// How long an approval is waited for; None: nobody must approve
    pub approval_us: Option<i64>,
    pub expires_us: i64,
    /// How long recovery is waited for; None: nobody asks
    pub verify_us: Option<i64>,
    pub rolls_back: bool,
    /// How long the limits need to know of a decision
    pub memory_us: i64,
}

/// Where an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// A limit forbade it
    Suppressed(Why),
    /// Waits for approval
    Asking,
    /// Requested, no outcome yet
    Requested,
    /// Done: is the subject over in time?
    Verifying,
    /// Its roll-back is requested, no outcome yet
    RollingBack,
    /// Remembered for the limits, and so that its subject is not acted on again
    Ended,
    /// Nothing to remember
    Gone,
}

/// One action about one subject by one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Case {
    pub rule: u32,
    pub on: On,
    /// The alert or incident
    pub subject: Box<str>,
    pub action_id: Box<str>,
    pub target: Box<str>,
    /// What the blast radius counts
    pub reach: Box<str>,
    /// JSON
    pub body: Box<str>,
    /// JSON
    pub rollback: Option<Box<str>>,
    /// JSON object: what it answers
    pub reason: Box<str>,
    /// Key of the record that it answers
    pub key: Option<Box<[u8]>>,
    pub phase: Phase,
    /// Since when it is in its phase
    pub since: i64,
    /// When it was decided
    pub decided: i64,
    pub steps: u32,
    /// Is the subject over, and has it recovered?
    pub over: Option<bool>,
}

impl Case {
    /// Is something expected to happen?
    pub fn in_progress(&self) -> bool {
        matches!(self.phase, Phase::Asking | Phase::Requested | Phase::Verifying | Phase::RollingBack)
    }

    /// Was something decided, so that limits count it?
    pub fn counts(&self) -> bool {
        !matches!(self.phase, Phase::Suppressed(_) | Phase::Gone)
    }

    /// A limit forbids it. Said again only when the reason is another one.
    pub fn suppress(&mut self, why: Why, now: i64, out: &mut Vec<Told>) {
        if self.phase != Phase::Suppressed(why) {
            self.go(Phase::Suppressed(why), now);
            self.tell(Step::Suppressed, now, out).why = Some(why);
        }
    }

    /// It is to be done.
    pub fn decide(&mut self, now: i64, policy: &Policy, out: &mut Vec<Told>) {
        self.decided = now;
        match policy.approval_us {
            Some(timeout) => {
                self.go(Phase::Asking, now);
                self.tell(Step::AwaitingApproval, now, out).until = Some(now.saturating_add(timeout));
            }
            None => self.request(now, policy, out),
        }
    }

    /// Somebody answers; false if nobody had asked.
    pub fn answer(
        &mut self,
        approved: bool,
        said: (Option<Box<str>>, Option<Box<str>>),
        now: i64,
        policy: &Policy,
        out: &mut Vec<Told>,
    ) -> bool {
        if self.phase != Phase::Asking {
            return false;
        }
        let step = if approved { Step::Approved } else { Step::Rejected };
        let told = self.tell(step, now, out);
        (told.by, told.message) = said;
        match approved {
            true => self.request(now, policy, out),
            false => self.go(Phase::Ended, now),
        }
        true
    }

    /// An executor says what became of a request; false if none was open.
    pub fn outcome(
        &mut self,
        (rollback, done): (bool, bool),
        message: Option<Box<str>>,
        now: i64,
        policy: &Policy,
        out: &mut Vec<Told>,
    ) -> bool {
        let step = match (self.phase, rollback, done) {
            (Phase::Requested, false, true) => Step::Done,
            (Phase::Requested, false, false) => Step::Failed,
            (Phase::RollingBack, true, true) => Step::RolledBack,
            (Phase::RollingBack, true, false) => Step::RollbackFailed,
            _ => return false,
        };
        self.tell(step, now, out).message = message;
        match step {
            Step::Done => self.verify(now, policy, out),
            _ => self.go(Phase::Ended, now),
        }
        true
    }

    /// The subject is over; has it recovered?
    pub fn over(&mut self, recovered: bool, now: i64, policy: &Policy, out: &mut Vec<Told>) {
        self.over = Some(recovered);
        match self.phase {
            Phase::Suppressed(_) => self.go(Phase::Gone, now),
            Phase::Asking => {
                self.tell(Step::Cancelled, now, out).why = Some(Why::Over);
                self.go(Phase::Ended, now);
            }
            Phase::Verifying => self.judge(recovered, Why::NoData, now, policy, out),
            Phase::Requested | Phase::RollingBack | Phase::Ended | Phase::Gone => {}
        }
    }

    /// A record of the subject says that it has recovered, though it is not over.
    pub fn recovered(&mut self, now: i64, policy: &Policy, out: &mut Vec<Told>) {
        if self.phase == Phase::Verifying {
            self.judge(true, Why::NoData, now, policy, out);
        }
    }

    /// The next time at which something happens by itself.
    pub fn due(&self, policy: &Policy) -> Option<i64> {
        let due = match self.phase {
            Phase::Asking => self.since.saturating_add(policy.approval_us.unwrap_or(0)),
            Phase::Requested | Phase::RollingBack => {
                self.since.saturating_add(policy.expires_us).saturating_add(ANSWER_US)
            }
            Phase::Verifying => self.since.saturating_add(policy.verify_us.unwrap_or(0)),
            Phase::Ended if self.over.is_some() => self.remembered_until(policy),
            Phase::Suppressed(_) | Phase::Ended | Phase::Gone => FAR,
        };
        (due != FAR).then_some(due)
    }

    /// Does what is due then.
    pub fn act(&mut self, policy: &Policy, out: &mut Vec<Told>) {
        let Some(time) = self.due(policy) else { return };
        match self.phase {
            Phase::Asking => {
                self.tell(Step::ApprovalExpired, time, out).why = Some(Why::Time);
                self.go(Phase::Ended, time);
            }
            Phase::Requested | Phase::RollingBack => {
                let step = if self.phase == Phase::Requested { Step::Failed } else { Step::RollbackFailed };
                self.tell(step, time, out).why = Some(Why::NoOutcome);
                self.go(Phase::Ended, time);
            }
            // The rule may have been changed: nobody asks any more.
            Phase::Verifying if policy.verify_us.is_none() => self.go(Phase::Ended, time),
            Phase::Verifying => self.judge(false, Why::Time, time, policy, out),
            Phase::Ended => self.go(Phase::Gone, time),
            Phase::Suppressed(_) | Phase::Gone => {}
        }
    }

    /// Until when the limits count it, once it is over.
    pub fn remembered_until(&self, policy: &Policy) -> i64 {
        self.decided.saturating_add(policy.memory_us).max(self.since.saturating_add(1))
    }

    fn request(&mut self, now: i64, policy: &Policy, out: &mut Vec<Told>) {
        if policy.dry {
            self.tell(Step::DryRun, now, out);
            return self.verify(now, policy, out);
        }
        self.go(Phase::Requested, now);
        self.tell(Step::Requested, now, out).until = Some(now.saturating_add(policy.expires_us));
    }

    /// It is done: what is known of recovery already, or a wait for it.
    fn verify(&mut self, now: i64, policy: &Policy, out: &mut Vec<Told>) {
        self.go(if policy.verify_us.is_some() { Phase::Verifying } else { Phase::Ended }, now);
        if let (Phase::Verifying, Some(recovered)) = (self.phase, self.over) {
            self.judge(recovered, Why::NoData, now, policy, out);
        }
    }

    fn judge(&mut self, recovered: bool, why: Why, now: i64, policy: &Policy, out: &mut Vec<Told>) {
        if recovered {
            self.tell(Step::Recovered, now, out);
            return self.go(Phase::Ended, now);
        }
        self.tell(Step::NotRecovered, now, out).why = Some(why);
        if policy.dry || !policy.rolls_back {
            return self.go(Phase::Ended, now);
        }
        self.go(Phase::RollingBack, now);
        self.tell(Step::RollbackRequested, now, out).until = Some(now.saturating_add(policy.expires_us));
    }

    fn go(&mut self, phase: Phase, now: i64) {
        (self.phase, self.since) = (phase, now);
    }

    fn tell<'o>(&mut self, step: Step, time: i64, out: &'o mut Vec<Told>) -> &'o mut Told {
        let index = self.steps;
        self.steps = self.steps.saturating_add(1);
        out.push(Told { step, time, index, why: None, until: None, by: None, message: None });
        let last = out.len() - 1;
        &mut out[last]
    }
}

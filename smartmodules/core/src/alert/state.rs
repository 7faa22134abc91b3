//! The life of one alert, as a pure machine over verdicts and times.
//!
//! `Idle → Pending (breach) → Firing (held for `for`) → Idle (no breach, or no data)`, then `Gone`
//! once nothing about it needs to be remembered. Of a rule of absence each row ends what fires and begins
//! `Pending` anew. All times are microseconds of the stage's clock,
//! except `start` and `newest`, which are event times. Cost: O(1) per call. It never fails; times
//! saturate.

use super::config::Severity;
use crate::clock::NEVER;
use serde::{Deserialize, Serialize};

/// What a rule allows and demands, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Severity when it fires
    pub severity: Severity,
    /// Does each row begin a silence, which is a breach if it lasts?
    pub absent: bool,
    /// `for`, or `absent`
    pub hold_us: i64,
    /// At most one firing notification in this time
    pub throttle_us: i64,
    /// No row for this long ends it; 0 = never
    pub resolve_after_us: i64,
    /// (time in firing, least severity), ascending
    pub levels: Vec<(i64, Severity)>,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not in breach; remembered for the throttle and so that two alerts never share an id
    Idle,
    /// In breach, not yet for long enough
    Pending,
    /// In breach for long enough
    Firing,
    /// Nothing to remember
    Gone,
}

/// Why an alert ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A row said that the condition no longer holds
    ConditionFalse,
    /// No row said anything for `resolve_after`
    NoData,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// First breach
    Pending,
    /// Held long enough
    Firing,
    /// Still firing when the throttle ended that had kept its notification back
    Unthrottled,
    /// The severity rose
    Escalated,
    /// It ended
    Resolved(Reason),
}

/// One step of a life, with all that its record says about time and severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What happened
    pub change: Change,
    /// When, on the stage's clock
    pub time: i64,
    /// Event time of the first breach
    pub start: i64,
    /// Clock at the first breach
    pub opened: i64,
    /// Number of this transition in the alert's life, from 0
    pub index: u32,
    /// Number of the escalation level that gave the severity; 0 = the rule's own
    pub step: u32,
    /// Severity from now on
    pub severity: Severity,
    /// Are people to be told?
    pub notify: bool,
}

/// The life of the alert of one rule and group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Where it stands
    pub phase: Phase,
    /// Severity, while firing
    pub severity: Severity,
    start: i64,
    opened: i64,
    fired: i64,
    ended: i64,
    /// Event time of the newest row judged: an older one says nothing about now
    newest: i64,
    last_row: i64,
    /// Last firing notification
    notified: i64,
    told: bool,
    passed: u32,
    step: u32,
    transitions: u32,
}

impl Default for Life {
    fn default() -> Self {
        Life {
            phase: Phase::Idle,
            severity: Severity::Info,
            start: NEVER,
            opened: NEVER,
            fired: NEVER,
            ended: NEVER,
            newest: NEVER,
            last_row: NEVER,
            notified: NEVER,
            told: false,
            passed: 0,
            step: 0,
            transitions: 0,
        }
    }
}

impl Life {
    /// A row has spoken at `clock`: is the condition breached? Deadlines before `clock` come
    /// first, those at `clock` last, so a row that clears at the very deadline wins. Gives false
    /// for a row older than one before it: that is data, but says nothing about now.
    pub fn judge(
        &mut self,
        breach: bool,
        event_time: i64,
        clock: i64,
        policy: &Policy,
        out: &mut Vec<Transition>,
    ) -> bool {
        self.advance(clock.saturating_sub(1), policy, out);
        if self.phase == Phase::Gone {
            *self = Life::default();
        }
        self.last_row = clock;
        let news = event_time >= self.newest;
        if news {
            self.newest = event_time;
            match (self.phase, breach) {
                (Phase::Firing, _) if policy.absent => {
                    self.resolve(clock, Reason::ConditionFalse, out);
                    self.open(event_time, clock, policy, out);
                }
                (_, true) if policy.absent => self.open(event_time, clock, policy, out),
                (Phase::Idle, true) => self.open(event_time, clock, policy, out),
                (Phase::Pending, false) => self.end(clock),
                (Phase::Firing, false) => self.resolve(clock, Reason::ConditionFalse, out),
                _ => {}
            }
        }
        self.advance(clock, policy, out);
        news
    }

    /// Acts on every deadline up to and including `until`.
    pub fn advance(&mut self, until: i64, policy: &Policy, out: &mut Vec<Transition>) {
        while self.due(policy).is_some_and(|due| due <= until) {
            self.act(policy, out);
        }
    }

    /// The next time at which something happens without a row.
    pub fn due(&self, policy: &Policy) -> Option<i64> {
        match self.phase {
            Phase::Gone => None,
            Phase::Idle => Some(self.ended.saturating_add(1).max(self.throttled_until(policy))),
            Phase::Pending => Some(self.opened.saturating_add(policy.hold_us).min(self.no_data_at(policy))),
            Phase::Firing => {
                let next = self.escalation_at(policy).min(self.tell_at(policy)).min(self.no_data_at(policy));
                (next != FAR).then_some(next)
            }
        }
    }

    /// Acts on the next deadline. Silence goes first: what nobody hears of does not escalate.
    pub fn act(&mut self, policy: &Policy, out: &mut Vec<Transition>) {
        let Some(time) = self.due(policy) else { return };
        match self.phase {
            Phase::Gone => {}
            Phase::Idle => self.phase = Phase::Gone,
            Phase::Pending if self.no_data_at(policy) == time => self.end(time),
            Phase::Pending => self.fire(time, policy, out),
            Phase::Firing if self.no_data_at(policy) == time => self.resolve(time, Reason::NoData, out),
            Phase::Firing if self.escalation_at(policy) == time => self.escalate(time, policy, out),
            Phase::Firing => {
                (self.told, self.notified) = (true, time);
                self.push(Change::Unthrottled, time, true, out);
            }
        }
    }

    /// Since when it is in its phase, on the stage's clock.
    pub fn since(&self) -> i64 {
        match self.phase {
            Phase::Idle | Phase::Gone => self.ended,
            Phase::Pending => self.opened,
            Phase::Firing => self.fired,
        }
    }

    fn open(&mut self, event_time: i64, clock: i64, policy: &Policy, out: &mut Vec<Transition>) {
        self.phase = Phase::Pending;
        // Two breaches of one instant are two alerts.
        self.start = match self.start {
            NEVER => event_time,
            last => event_time.max(last.saturating_add(1)),
        };
        self.opened = clock;
        self.severity = policy.severity;
        (self.told, self.passed, self.step, self.transitions) = (false, 0, 0, 0);
        self.push(Change::Pending, clock, false, out);
    }

    fn fire(&mut self, time: i64, policy: &Policy, out: &mut Vec<Transition>) {
        self.phase = Phase::Firing;
        self.fired = time;
        self.told = self.notified == NEVER || self.throttled_until(policy) <= time;
        if self.told {
            self.notified = time;
        }
        self.push(Change::Firing, time, self.told, out);
    }

    fn escalate(&mut self, time: i64, policy: &Policy, out: &mut Vec<Transition>) {
        let level = policy.levels.get(self.passed as usize);
        self.passed = self.passed.saturating_add(1);
        if let Some((_, severity)) = level
            && *severity > self.severity
        {
            (self.severity, self.step, self.told) = (*severity, self.passed, true);
            self.push(Change::Escalated, time, true, out);
        }
    }

    fn resolve(&mut self, time: i64, reason: Reason, out: &mut Vec<Transition>) {
        self.push(Change::Resolved(reason), time, self.told, out);
        self.end(time);
    }

    fn end(&mut self, time: i64) {
        (self.phase, self.ended) = (Phase::Idle, time);
    }

    fn push(&mut self, change: Change, time: i64, notify: bool, out: &mut Vec<Transition>) {
        let Life { start, opened, step, severity, transitions: index, .. } = *self;
        out.push(Transition { change, time, start, opened, index, step, severity, notify });
        self.transitions = self.transitions.saturating_add(1);
    }

    fn throttled_until(&self, policy: &Policy) -> i64 {
        match self.notified {
            NEVER => NEVER,
            at => at.saturating_add(policy.throttle_us),
        }
    }

    fn no_data_at(&self, policy: &Policy) -> i64 {
        match policy.resolve_after_us {
            0 => FAR,
            after => self.last_row.saturating_add(after),
        }
    }

    fn escalation_at(&self, policy: &Policy) -> i64 {
        policy.levels.get(self.passed as usize).map_or(FAR, |(after, _)| self.fired.saturating_add(*after))
    }

    fn tell_at(&self, policy: &Policy) -> i64 {
        if self.told { FAR } else { self.throttled_until(policy) }
    }
}

/// A deadline that never comes.
const FAR: i64 = i64::MAX;

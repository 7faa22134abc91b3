//! The actions that are remembered: by number, id, subject, next deadline, and by what may be forgotten first.
//!
//! An action that is worked on is taken out and put back, so the indexes never lie. Cost: O(log n) per step;
//! the limits look at all n. Memory: bounded by a number of actions and of bytes; the oldest suppressed, then
//! the oldest that is over and no limit needs makes room; what is in progress stays.

use super::case::{Case, Phase, Policy};
use super::config::On;
use crate::clock::NEVER;
use crate::stage::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An action without its texts: its own size, the shares of tree nodes, the allocator's.
const FIXED_BYTES: u64 = 640;
/// What rows bring is cut before it comes here; a snapshot with more is none of ours.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// An alert or incident.
pub(super) type Subject = (On, Box<str>);

/// Actions.
#[derive(Debug, Default)]
pub(super) struct Store {
    cases: BTreeMap<u64, Case>,
    by_id: BTreeMap<Box<str>, u64>,
    by_subject: BTreeSet<(Subject, u64)>,
    deadlines: BTreeSet<(i64, u64)>,
    suppressed: BTreeSet<(i64, u64)>,
    /// Over, by when no limit needs them any more
    ended: BTreeSet<(i64, u64)>,
    in_progress: u64,
    /// Number of the next one
    next: u64,
    bytes: u64,
}

/// A store as a snapshot has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<C> {
    next: u64,
    cases: Vec<(u64, C)>,
}

impl Saved<Case> {
    /// Numbers the rules anew; actions of rules that are gone are left out.
    pub fn renumber(&mut self, new: impl Fn(u32) -> Option<u32>) {
        self.cases.retain_mut(|(_, case)| match new(case.rule) {
            Some(rule) => {
                case.rule = rule;
                true
            }
            None => false,
        });
    }
}

impl Store {
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Estimate of its memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Actions of which something is expected.
    pub fn in_progress(&self) -> u64 {
        self.in_progress
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Case> {
        self.cases.values()
    }

    /// Numbers of the actions about a subject, the oldest first.
    pub fn about(&self, subject: &Subject) -> Vec<u64> {
        let range = (subject.clone(), 0)..=(subject.clone(), u64::MAX);
        self.by_subject.range(range).map(|(_, number)| *number).collect()
    }

    /// The action of an id.
    pub fn of_id(&self, action_id: &str) -> Option<u64> {
        self.by_id.get(action_id).copied()
    }

    /// The action of a number.
    pub fn get(&self, number: u64) -> Option<&Case> {
        self.cases.get(&number)
    }

    /// The first action with a deadline at or before `until`.
    pub fn due(&self, until: i64) -> Option<u64> {
        self.deadlines.first().filter(|(time, _)| *time <= until).map(|(_, number)| *number)
    }

    /// Number for a new action.
    pub fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    /// Takes an action out.
    pub fn take(&mut self, number: u64, policy: &Policy) -> Option<Case> {
        let case = self.cases.remove(&number)?;
        self.by_id.remove(&case.action_id);
        self.by_subject.remove(&((case.on, case.subject.clone()), number));
        if let Some(due) = case.due(policy) {
            self.deadlines.remove(&(due, number));
        }
        match case.phase {
            Phase::Suppressed(_) => _ = self.suppressed.remove(&(case.since, number)),
            Phase::Ended => _ = self.ended.remove(&(case.remembered_until(policy), number)),
            _ => {}
        }
        self.in_progress -= u64::from(case.in_progress());
        self.bytes = self.bytes.saturating_sub(bytes(&case));
        Some(case)
    }

    /// Puts an action back, or lets it go if there is nothing to remember.
    pub fn put(&mut self, number: u64, case: Case, policy: &Policy) {
        if case.phase == Phase::Gone {
            return;
        }
        self.by_id.insert(case.action_id.clone(), number);
        self.by_subject.insert(((case.on, case.subject.clone()), number));
        if let Some(due) = case.due(policy) {
            self.deadlines.insert((due, number));
        }
        match case.phase {
            Phase::Suppressed(_) => _ = self.suppressed.insert((case.since, number)),
            Phase::Ended => _ = self.ended.insert((case.remembered_until(policy), number)),
            _ => {}
        }
        self.in_progress += u64::from(case.in_progress());
        self.bytes = self.bytes.saturating_add(bytes(&case));
        self.cases.insert(number, case);
    }

    /// Forgets what may be forgotten until one more action fits. Gives how many went, and whether it fits.
    pub fn make_room<'p>(
        &mut self,
        (most, most_bytes): (usize, u64),
        new: &Case,
        now: i64,
        policy_of: impl Fn(u32) -> Option<&'p Policy>,
    ) -> (u64, bool) {
        let mut forgotten = 0;
        while self.len() >= most || self.bytes.saturating_add(bytes(new)) > most_bytes {
            let suppressed = self.suppressed.first().map(|(_, number)| *number);
            let over = || self.ended.first().filter(|(until, _)| *until <= now).map(|(_, number)| *number);
            let Some(number) = suppressed.or_else(over) else { return (forgotten, false) };
            let policy = self.cases.get(&number).and_then(|case| policy_of(case.rule));
            if policy.and_then(|policy| self.take(number, policy)).is_none() {
                return (forgotten, false);
            }
            forgotten += 1;
        }
        (forgotten, true)
    }

    /// For a snapshot.
    pub fn saved(&self) -> Saved<&Case> {
        Saved { next: self.next, cases: self.cases.iter().map(|(number, case)| (*number, case)).collect() }
    }

    /// From a snapshot; refuses one that no store could have written.
    pub fn restored<'p>(
        saved: Saved<Case>,
        most: usize,
        policy_of: impl Fn(u32) -> Option<&'p Policy>,
    ) -> Result<Store, RestoreError> {
        let mut store = Store { next: saved.next, ..Store::default() };
        if saved.next >> 62 != 0 || saved.cases.len() > most {
            return Err(RestoreError("more actions than are remembered".into()));
        }
        for (number, case) in saved.cases {
            let policy = policy_of(case.rule).ok_or_else(|| RestoreError(format!("no rule {}", case.rule)))?;
            let twice = store.cases.contains_key(&number) || store.by_id.contains_key(&case.action_id);
            if number >= saved.next || twice || !is_sound(&case) {
                return Err(RestoreError(format!("action {number} cannot be")));
            }
            store.put(number, case, policy);
        }
        Ok(store)
    }
}

fn texts(case: &Case) -> [&str; 7] {
    let rollback = case.rollback.as_deref().unwrap_or_default();
    [&case.subject, &case.action_id, &case.target, &case.reach, &case.body, rollback, &case.reason]
}

fn bytes(case: &Case) -> u64 {
    let key = case.key.as_ref().map_or(0, |key| key.len());
    FIXED_BYTES + (texts(case).iter().map(|text| text.len()).sum::<usize>() + key) as u64
}

/// Could rows have made it? Its JSON texts are written into records as they are.
pub(super) fn is_sound(case: &Case) -> bool {
    let is_json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let rollback = case.rollback.as_deref().is_none_or(is_json);
    texts(case).iter().all(|text| text.len() <= MAX_TEXT_BYTES)
        && is_json(&case.body)
        && rollback
        && case.reason.starts_with('{')
        && is_json(&case.reason)
        && case.phase != Phase::Gone
        && case.since != NEVER
}

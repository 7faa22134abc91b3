//! The alerts that are remembered: by rule and group, by next deadline, and by what may be
//! forgotten first.
//!
//! An alert that is worked on is taken out and put back, so the indexes never lie. Cost:
//! O(log n) per step. Memory: bounded by a number of alerts and a number of bytes; the oldest
//! idle, then the oldest pending alert makes room for a new one; firing ones never do.

use super::state::{Life, Phase, Policy, Transition};
use crate::stage::RestoreError;
use crate::value::OwnedValue;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the newest row said, for records that no row triggers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Shown {
    /// JSON object of the condition's fields
    pub(super) values: Box<str>,
    pub(super) summary: Option<Box<str>>,
    pub(super) window: OwnedValue,
    pub(super) window_start: OwnedValue,
    pub(super) window_end: OwnedValue,
    /// The anomaly that `detect` found in the row
    pub(super) anomaly_id: OwnedValue,
}

/// The alert of one rule and group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Rule number, then the bytes of the group
    pub(super) key: Box<[u8]>,
    pub(super) rule: u32,
    pub(super) life: Life,
    pub(super) alert_id: Box<str>,
    /// JSON object
    pub(super) labels: Box<str>,
    /// Key of the record that opened it
    pub(super) record_key: Option<Box<[u8]>>,
    pub(super) shown: Shown,
}

impl Entry {
    /// Estimate of its memory, indexes included.
    fn bytes(&self) -> u64 {
        let texts = 2 * self.key.len()
            + self.alert_id.len()
            + self.labels.len()
            + self.record_key.as_ref().map_or(0, |k| k.len())
            + self.shown.values.len()
            + self.shown.summary.as_ref().map_or(0, |s| s.len());
        FIXED_BYTES + texts as u64
    }

    /// Are its JSON texts JSON? A damaged one would damage the output.
    fn is_sound(&self) -> bool {
        let object = |text: &str| text.starts_with('{') && is_json(text);
        let Shown { values, window, window_start, window_end, anomaly_id, .. } = &self.shown;
        let fields = [window, window_start, window_end, anomaly_id];
        object(&self.labels)
            && object(values)
            && fields.iter().all(|field| !matches!(field, OwnedValue::Json(text) if !is_json(text)))
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// An entry without its texts: its own size, four tree nodes' shares and the allocator's.
const FIXED_BYTES: u64 = 640;

/// Which alerts may be forgotten first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dispensable {
    Idle,
    Pending,
}

/// The alerts of a stage.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<u64, Entry>,
    by_key: BTreeMap<Box<[u8]>, u64>,
    deadlines: BTreeSet<(i64, u64)>,
    /// By class, then by when they came into it
    dispensable: BTreeSet<(Dispensable, i64, u64)>,
    /// Number of the next new alert
    next: u64,
    firing: u64,
    bytes: u64,
}

/// A store as a snapshot has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<E> {
    next: u64,
    entries: Vec<(u64, E)>,
}

impl Saved<Entry> {
    /// Numbers the rules anew; alerts of rules that are gone are left out.
    pub(super) fn renumber(&mut self, new: impl Fn(u32) -> Option<u32>) {
        self.entries.retain_mut(|(_, entry)| {
            let Some(rule) = new(entry.rule) else { return false };
            entry.rule = rule;
            if let Some(prefix) = entry.key.first_chunk_mut::<4>() {
                *prefix = rule.to_be_bytes();
            }
            true
        });
    }
}

#[cfg(test)]
impl Saved<Entry> {
    /// Gives the alerts of one rule to another, as no store would.
    pub(super) fn rules_changed(&mut self, from: u32, to: u32) {
        let entries = self.entries.iter_mut().map(|(_, entry)| entry);
        entries.filter(|entry| entry.rule == from).for_each(|entry| entry.rule = to);
    }
}

impl Store {
    /// Takes out the alert of a rule and group.
    pub(super) fn take_key(&mut self, key: &[u8], policy: &Policy) -> Option<(u64, Entry)> {
        let number = *self.by_key.get(key)?;
        self.take(number, policy)
    }

    /// Takes one step of the alert with the first deadline at or before `until`, if there is one.
    /// Gives its transition and the alert, if people can see the step.
    pub(super) fn step<'p>(
        &mut self,
        until: i64,
        policy_of: impl Fn(u32) -> Option<&'p Policy>,
    ) -> Option<Option<(Transition, Entry)>> {
        let (_, number) = *self.deadlines.first().filter(|(time, _)| *time <= until)?;
        let policy = self.entries.get(&number).and_then(|entry| policy_of(entry.rule))?;
        let (number, mut entry) = self.take(number, policy)?;
        let mut transitions = Vec::new();
        entry.life.act(policy, &mut transitions);
        let seen = transitions.pop().map(|transition| (transition, entry.clone()));
        self.put(number, entry, policy);
        Some(seen)
    }

    /// Is there a deadline at or before `until`?
    pub(super) fn is_due(&self, until: i64) -> bool {
        self.deadlines.first().is_some_and(|(time, _)| *time <= until)
    }

    fn take(&mut self, number: u64, policy: &Policy) -> Option<(u64, Entry)> {
        let entry = self.entries.remove(&number)?;
        self.by_key.remove(&entry.key);
        if let Some(due) = entry.life.due(policy) {
            self.deadlines.remove(&(due, number));
        }
        if let Some((class, since)) = dispensable(&entry.life) {
            self.dispensable.remove(&(class, since, number));
        }
        self.firing -= (entry.life.phase == Phase::Firing) as u64;
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        Some((number, entry))
    }

    /// Puts an alert back, or lets it go if there is nothing to remember.
    pub(super) fn put(&mut self, number: u64, entry: Entry, policy: &Policy) {
        if entry.life.phase == Phase::Gone {
            return;
        }
        self.by_key.insert(entry.key.clone(), number);
        if let Some(due) = entry.life.due(policy) {
            self.deadlines.insert((due, number));
        }
        if let Some((class, since)) = dispensable(&entry.life) {
            self.dispensable.insert((class, since, number));
        }
        self.firing += (entry.life.phase == Phase::Firing) as u64;
        self.bytes += entry.bytes();
        self.entries.insert(number, entry);
    }

    /// Number for a new alert.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    /// Forgets what may be forgotten until one more alert fits. Gives how many went, and whether
    /// it fits now. What is of this instant (`clock`) stays: forgotten and opened again it would
    /// have the same ids.
    pub(super) fn make_room<'p>(
        &mut self,
        limit: &Limit,
        new: &Entry,
        clock: i64,
        policy_of: impl Fn(u32) -> Option<&'p Policy>,
    ) -> (u64, bool) {
        let mut dropped = 0;
        while !self.fits(limit, new.bytes()) {
            let Some(number) = self.most_dispensable(clock) else {
                return (dropped, false);
            };
            let policy = self.entries.get(&number).and_then(|entry| policy_of(entry.rule));
            if policy.and_then(|policy| self.take(number, policy)).is_none() {
                return (dropped, false);
            }
            dropped += 1;
        }
        (dropped, true)
    }

    /// The oldest idle alert, else the oldest pending one; older than `clock`.
    fn most_dispensable(&self, clock: i64) -> Option<u64> {
        [Dispensable::Idle, Dispensable::Pending].into_iter().find_map(|class| {
            let (_, _, number) = self.dispensable.range((class, i64::MIN, 0)..(class, clock, 0)).next()?;
            Some(*number)
        })
    }

    fn fits(&self, limit: &Limit, more_bytes: u64) -> bool {
        self.entries.len() < limit.alerts as usize && self.bytes.saturating_add(more_bytes) <= limit.bytes
    }

    /// Alerts that fire.
    pub(super) fn firing(&self) -> u64 {
        self.firing
    }

    /// Is a tenth of what may be remembered free again?
    pub(super) fn is_calm(&self, limit: &Limit) -> bool {
        self.entries.len() as u64 * 10 <= u64::from(limit.alerts) * 9 && self.bytes <= limit.bytes / 10 * 9
    }

    /// For a snapshot.
    pub(super) fn saved(&self) -> Saved<&Entry> {
        Saved { next: self.next, entries: self.entries.iter().map(|(number, entry)| (*number, entry)).collect() }
    }

    /// From a snapshot; refuses one that no store could have written.
    pub(super) fn restored<'p>(
        saved: Saved<Entry>,
        policy_of: impl Fn(u32) -> Option<&'p Policy>,
    ) -> Result<Store, RestoreError> {
        let mut store = Store { next: saved.next, ..Store::default() };
        for (number, entry) in saved.entries {
            let policy = policy_of(entry.rule).ok_or_else(|| RestoreError(format!("no rule {}", entry.rule)))?;
            let twice = store.entries.contains_key(&number) || store.by_key.contains_key(&entry.key);
            // The policy that an alert is put and taken with is that of the rule in its key.
            let of_rule = entry.key.starts_with(&entry.rule.to_be_bytes());
            if number >= saved.next || twice || !of_rule || !entry.is_sound() {
                return Err(RestoreError(format!("alert {number} cannot be")));
            }
            store.put(number, entry, policy);
        }
        Ok(store)
    }
}

/// How much may be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) alerts: u32,
    pub(super) bytes: u64,
}

fn dispensable(life: &Life) -> Option<(Dispensable, i64)> {
    match life.phase {
        Phase::Idle => Some((Dispensable::Idle, life.since())),
        Phase::Pending => Some((Dispensable::Pending, life.since())),
        Phase::Firing | Phase::Gone => None,
    }
}

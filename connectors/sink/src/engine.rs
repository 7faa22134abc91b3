//! Which notice is due when: pure, deterministic, time is an argument (milliseconds since the epoch).
//!
//! [`Engine::take`] takes records, [`Engine::begin`] gives the deliveries that are due, [`Engine::done`]
//! hears what became of them, [`Engine::changes`] says what the journal must hold before anything else
//! happens. For each receiver and alert: firing before resolved, each step once, the newest step
//! only if several piled up, repeats only while it fires. A delivery, once begun, never changes
//! until it is accepted, so its key names the same content for ever.
//!
//! Cost: `take` logarithmic in the open alerts; `begin` linear in the groups and their members.

mod due;
mod inhibit;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_restart;

use crate::alert::{Alert, State};
use crate::matcher::Labels;
use crate::routing::{Routing, Timing, Told};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// So many alerts that are over are remembered, so that a late copy of a record tells nobody.
const MAX_CLOSED: usize = 100_000;

/// Something to be sent, with a key that never names anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same whenever this is sent
    pub key: String,
    /// To whom
    pub receiver: String,
    /// Route and values of its `group_by`
    pub group_key: String,
    /// These values
    pub group_labels: Labels,
    /// If it fires still, it is said again after this
    pub repeat_interval_ms: i64,
    /// What is said
    pub notices: Vec<Notice>,
}

/// One thing said of one alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The record it is said by
    pub alert: Alert,
    /// 0: it is new; else the how manieth time it is said again
    pub repeat: u32,
}

impl Notice {
    /// The same for the same alert, transition, step and repetition.
    pub fn key(&self) -> String {
        self.alert.key(self.repeat)
    }

    /// Is it over?
    pub fn is_resolved(&self) -> bool {
        self.alert.state == State::Resolved
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it
    Accepted,
    /// The receiver is not well: all that is for it waits
    Unavailable,
    /// The receiver does not want this: its group waits, others go on
    Refused,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is news
    News,
    /// It was there before, or is older than what is known of its alert
    Copy,
    /// It makes no noise
    Quiet,
}

/// One entry of the journal to be written, or removed if it has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `alert`, `group` or `closed`
    pub kind: &'static str,
    /// Which one
    pub key: String,
    /// JSON
    pub value: Option<String>,
}

/// An alert that is not over, or of which not all is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    /// Its newest record
    alert: Alert,
    /// Its group at each receiver that is told of it
    groups: BTreeMap<String, String>,
}

/// Alerts that a receiver is told of together.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Group {
    receiver: String,
    key: String,
    labels: Labels,
    timing: Timing,
    members: BTreeMap<String, Member>,
    last_sent_ms: Option<i64>,
    /// What follows at once: it is late already
    hurry: bool,
    /// Begun and not accepted
    sending: Option<Delivery>,
}

/// What a receiver knows of an alert, and what it is to be told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Member {
    /// Newest record in which it fires
    current: Alert,
    /// It was told that it fires
    told: bool,
    repeats: u32,
    firing: Option<Waiting>,
    resolved: Option<Waiting>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Waiting {
    alert: Alert,
    since_ms: i64,
}

/// A pause after failures. Not in the journal: after a restart the first try is at once.
#[derive(Debug, Clone, Copy, Default)]
struct Pause {
    failures: u32,
    until_ms: i64,
}

/// The state of the sink.
pub struct Engine {
    routing: Routing,
    alerts: BTreeMap<String, Open>,
    /// By receiver and group key
    groups: BTreeMap<(String, String), Group>,
    closed: BTreeMap<String, u64>,
    closed_order: BTreeMap<u64, String>,
    receivers_paused: BTreeMap<String, Pause>,
    groups_paused: BTreeMap<(String, String), Pause>,
    /// Receivers that a delivery is on its way to
    busy: BTreeSet<String>,
    dirty: BTreeSet<(&'static str, String, String)>,
}

impl Engine {
    /// Without any alert.
    pub fn new(routing: Routing) -> Engine {
        Engine {
            routing,
            alerts: BTreeMap::new(),
            groups: BTreeMap::new(),
            closed: BTreeMap::new(),
            closed_order: BTreeMap::new(),
            receivers_paused: BTreeMap::new(),
            groups_paused: BTreeMap::new(),
            busy: BTreeSet::new(),
            dirty: BTreeSet::new(),
        }
    }

    /// As the journal's entries (kind, value) say. What waits for receivers that are gone is given up
    /// with a word in the log.
    pub fn restore(routing: Routing, entries: &[(String, String)]) -> Result<Engine> {
        let mut engine = Engine::new(routing);
        for (kind, value) in entries {
            let what = || format!("an entry of kind {kind} in the journal");
            match kind.as_str() {
                "alert" => {
                    let open: Open = serde_json::from_str(value).with_context(what)?;
                    engine.alerts.insert(open.alert.alert_id.clone(), open);
                }
                "group" => {
                    let group: Group = serde_json::from_str(value).with_context(what)?;
                    engine.groups.insert((group.receiver.clone(), group.key.clone()), group);
                }
                "closed" => {
                    let (id, number): (String, u64) = serde_json::from_str(value).with_context(what)?;
                    engine.closed_order.insert(number, id.clone());
                    engine.closed.insert(id, number);
                }
                _ => {}
            }
        }
        engine.forget_receivers();
        Ok(engine)
    }

    fn forget_receivers(&mut self) {
        let gone: Vec<(String, String)> =
            self.groups.keys().filter(|(receiver, _)| !self.routing.knows(receiver)).cloned().collect();
        for id in gone {
            let Some(group) = self.groups.remove(&id) else { continue };
            let (receiver, key) = id;
            tracing::warn!(receiver, group = key, "the receiver is not configured any more: its notices are given up");
            for alert_id in group.members.into_keys() {
                if let Some(open) = self.alerts.get_mut(&alert_id) {
                    open.groups.remove(&receiver);
                }
                self.close_if_over(&alert_id);
                self.dirty.insert(("alert", alert_id, String::new()));
            }
            self.dirty.insert(("group", receiver, key));
        }
    }

    /// Takes the next record. `past`: it was there before this sink was first started, so an alert
    /// that is over by it is not told of.
    pub fn take(&mut self, alert: Alert, past: bool, now_ms: i64) -> Taken {
        let id = alert.alert_id.clone();
        if alert.state == State::Pending {
            return Taken::Quiet;
        }
        let known = self.alerts.get(&id);
        if self.closed.contains_key(&id) || known.is_some_and(|open| open.alert.rank() >= alert.rank()) {
            return Taken::Copy;
        }
        let mut groups = known.map(|open| open.groups.clone()).unwrap_or_default();
        let joins = alert.notify && (alert.state == State::Firing || (known.is_none() && !past));
        if joins {
            self.join(&alert, &mut groups);
        }
        let over_before = past && alert.state == State::Resolved;
        for (receiver, key) in groups.clone() {
            if !self.tell_member(&alert, (receiver.clone(), key), over_before, now_ms) {
                groups.remove(&receiver);
            }
        }
        let taken = if alert.notify { Taken::News } else { Taken::Quiet };
        self.dirty.insert(("alert", id.clone(), String::new()));
        self.alerts.insert(id.clone(), Open { alert, groups });
        self.close_if_over(&id);
        taken
    }

    /// Puts an alert into the groups of its receivers that do not have it.
    fn join(&mut self, alert: &Alert, groups: &mut BTreeMap<String, String>) {
        for Told { receiver, group_key, group_labels, timing } in self.routing.of(alert) {
            let key = groups.entry(receiver.clone()).or_insert(group_key).clone();
            let group = self.groups.entry((receiver.clone(), key.clone())).or_insert_with(|| Group {
                receiver,
                key,
                labels: group_labels,
                timing,
                members: BTreeMap::new(),
                last_sent_ms: None,
                hurry: false,
                sending: None,
            });
            group.timing = timing;
            group.members.entry(alert.alert_id.clone()).or_insert_with(|| Member {
                current: alert.clone(),
                told: false,
                repeats: 0,
                firing: None,
                resolved: None,
            });
        }
    }

    /// What a record means for one receiver; false if it has no more to do with the alert.
    fn tell_member(&mut self, alert: &Alert, group_id: (String, String), over_before: bool, now_ms: i64) -> bool {
        let Some(group) = self.groups.get_mut(&group_id) else { return false };
        self.dirty.insert(("group", group_id.0.clone(), group_id.1.clone()));
        let Some(member) = group.members.get_mut(&alert.alert_id) else { return false };
        let since_ms = member.firing.as_ref().map_or(now_ms, |waiting| waiting.since_ms);
        let resolved = alert.state == State::Resolved;
        if resolved && (!alert.notify || over_before && !member.told) {
            group.members.remove(&alert.alert_id);
            self.drop_if_empty(&group_id);
            return false;
        }
        if resolved {
            member.resolved = Some(Waiting { alert: alert.clone(), since_ms: now_ms });
            return true;
        }
        member.current = alert.clone();
        if alert.notify {
            member.firing = Some(Waiting { alert: alert.clone(), since_ms });
        }
        true
    }

    /// Hears what became of a delivery.
    pub fn done(&mut self, delivery: &Delivery, outcome: Outcome, now_ms: i64) {
        let id = (delivery.receiver.clone(), delivery.group_key.clone());
        self.busy.remove(&delivery.receiver);
        match outcome {
            Outcome::Accepted => {
                self.receivers_paused.remove(&delivery.receiver);
                self.groups_paused.remove(&id);
                self.accepted(delivery, &id, now_ms);
            }
            Outcome::Unavailable => {
                self.receivers_paused.entry(delivery.receiver.clone()).or_default().fail(now_ms);
            }
            Outcome::Refused => self.groups_paused.entry(id).or_default().fail(now_ms),
        }
    }

    fn accepted(&mut self, delivery: &Delivery, id: &(String, String), now_ms: i64) {
        let Some(group) = self.groups.get_mut(id) else { return };
        if group.sending.as_ref().map(|sending| &sending.key) != Some(&delivery.key) {
            return;
        }
        group.sending = None;
        group.last_sent_ms = Some(now_ms);
        let mut ended = Vec::new();
        for notice in &delivery.notices {
            let alert_id = &notice.alert.alert_id;
            if notice.is_resolved() {
                group.members.remove(alert_id);
                ended.push(alert_id.clone());
            } else if let Some(member) = group.members.get_mut(alert_id) {
                member.told = true;
                member.repeats = notice.repeat;
            }
        }
        let full = delivery.notices.len() >= due::MAX_NOTICES;
        group.hurry = full || group.members.values().any(|member| member.resolved.is_some());
        self.dirty.insert(("group", id.0.clone(), id.1.clone()));
        for alert_id in ended {
            if let Some(open) = self.alerts.get_mut(&alert_id) {
                open.groups.remove(&id.0);
                self.dirty.insert(("alert", alert_id.clone(), String::new()));
            }
            self.close_if_over(&alert_id);
        }
        self.drop_if_empty(id);
    }

    fn drop_if_empty(&mut self, id: &(String, String)) {
        if self.groups.get(id).is_some_and(|group| group.members.is_empty() && group.sending.is_none()) {
            self.groups.remove(id);
            self.groups_paused.remove(id);
            self.dirty.insert(("group", id.0.clone(), id.1.clone()));
        }
    }

    /// An alert that is over and told of is only remembered by its id.
    fn close_if_over(&mut self, id: &str) {
        let over = |open: &Open| open.alert.state == State::Resolved && open.groups.is_empty();
        if !self.alerts.get(id).is_some_and(over) {
            return;
        }
        self.alerts.remove(id);
        let number = self.closed_order.keys().next_back().map_or(0, |last| last + 1);
        self.closed.insert(id.into(), number);
        self.closed_order.insert(number, id.into());
        self.dirty.insert(("closed", id.into(), String::new()));
        while self.closed.len() > MAX_CLOSED {
            let Some((_, oldest)) = self.closed_order.pop_first() else { break };
            self.closed.remove(&oldest);
            self.dirty.insert(("closed", oldest, String::new()));
        }
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> Result<Vec<Change>> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().map(|(kind, first, second)| self.change(kind, first, second)).collect()
    }

    fn change(&self, kind: &'static str, first: String, second: String) -> Result<Change> {
        let json = |value: Option<serde_json::Result<String>>| value.transpose();
        let (key, value) = match kind {
            "group" => {
                let id = (first, second);
                let value = json(self.groups.get(&id).map(serde_json::to_string))?;
                (format!("{}\n{}", id.0, id.1), value)
            }
            "closed" => {
                let value = json(self.closed.get(&first).map(|number| serde_json::to_string(&(&first, number))))?;
                (first, value)
            }
            _ => {
                let value = json(self.alerts.get(&first).map(serde_json::to_string))?;
                (first, value)
            }
        };
        Ok(Change { kind, key, value })
    }

    /// Alerts that fire.
    pub fn firing(&self) -> usize {
        self.alerts.values().filter(|open| open.alert.state == State::Firing).count()
    }

    /// Receivers with a delivery begun and not accepted.
    pub fn undelivered(&self) -> Vec<String> {
        let waiting = |group: &&Group| group.sending.is_some() || group.has_news();
        let names: BTreeSet<&String> = self.groups.values().filter(waiting).map(|group| &group.receiver).collect();
        names.into_iter().cloned().collect()
    }
}

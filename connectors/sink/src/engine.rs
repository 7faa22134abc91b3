//! Which notice is due when: pure, deterministic, time is an argument (milliseconds since the epoch).
//!
//! [`Engine::take`] takes records, [`Engine::begin`] gives the deliveries that are due, [`Engine::done`]
//! hears what became of them, [`Engine::changes`] says what the journal must hold before anything else
//! happens. For each receiver and alert: firing before resolved, each step once, the newest step
//! only if several piled up, repeats only while it fires. What is inhibited, silenced or muted waits. A delivery, once begun, never changes
//! until it is accepted or refused, so its key names the same content for ever.
//!
//! Cost: `take` logarithmic in the open alerts; `begin` linear in the groups and their members.

mod anomalies;
mod done;
mod due;
mod inhibit;
mod journaled;
mod silences;
mod state;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_restart;

pub use done::Failed;
pub use journaled::Change;

use crate::alert::{Alert, State};
use crate::matcher::Labels;
use crate::routing::{Routing, Told};
use crate::silence;
use anomalies::Anomalies;
use serde::{Deserialize, Serialize};
use state::{Group, Member, Open, Pause, Waiting};
use std::collections::{BTreeMap, BTreeSet};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it
    Accepted,
    /// The receiver is not well: all that is for it waits, at least so long where it said so
    Unavailable {
        /// Milliseconds; 0 if it said nothing
        wait_ms: i64,
    },
    /// The receiver does not want some of it, and never will: that is given up, the rest it has
    Refused {
        /// Keys of these notices
        notices: Vec<String>,
        /// Its answer
        why: String,
    },
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

/// The state of the sink.
pub struct Engine {
    routing: Routing,
    alerts: BTreeMap<String, Open>,
    /// By receiver and group key
    groups: BTreeMap<(String, String), Group>,
    closed: BTreeMap<String, u64>,
    closed_order: BTreeMap<u64, String>,
    receivers_paused: BTreeMap<String, Pause>,
    failed: BTreeMap<u64, Failed>,
    anomalies: Anomalies,
    /// By id; none that is over
    silences: BTreeMap<String, silence::Ready>,
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
            failed: BTreeMap::new(),
            anomalies: Anomalies::default(),
            silences: BTreeMap::new(),
            busy: BTreeSet::new(),
            dirty: BTreeSet::new(),
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
                timing: timing.clone(),
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
                asked_ms: None,
                refused: false,
                firing: None,
                resolved: None,
                acknowledged: false,
                acknowledgement_ms: None,
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
        // Who did not want to hear that it fires does not hear that it is over.
        let unheard = !member.told && (over_before || member.refused && member.firing.is_none());
        if resolved && (!alert.notify || unheard) {
            group.members.remove(&alert.alert_id);
            self.drop_if_empty(&group_id);
            return false;
        }
        // It is over, or it has become worse since.
        if resolved || alert.notify {
            (member.acknowledged, member.acknowledgement_ms) = (false, None);
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

    /// Somebody takes care of an alert: it is not said again until it becomes worse, and receivers that
    /// understand that hear of it. False if no such alert fires.
    pub fn acknowledge(&mut self, alert_id: &str, now_ms: i64) -> bool {
        let Some(open) = self.alerts.get(alert_id).filter(|open| open.alert.state == State::Firing) else {
            return false;
        };
        for id in &open.groups {
            let id = (id.0.clone(), id.1.clone());
            let Some(member) = self.groups.get_mut(&id).and_then(|group| group.members.get_mut(alert_id)) else {
                continue;
            };
            if !member.acknowledged {
                member.acknowledged = true;
                member.acknowledgement_ms = self.routing.hears_acknowledgements(&id.0).then_some(now_ms);
                self.dirty.insert(("group", id.0, id.1));
            }
        }
        true
    }

    /// Pipelines of the alerts that are not over.
    pub fn pipelines(&self) -> BTreeSet<&str> {
        self.alerts.values().map(|open| open.alert.pipeline.as_str()).collect()
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

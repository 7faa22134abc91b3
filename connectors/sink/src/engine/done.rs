//! What became of deliveries, and what is forgotten then.

use super::state::Open;
use super::{Delivery, Engine, Outcome};
use crate::alert::{ACKNOWLEDGED, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// So many alerts that are over are remembered, so that a late copy of a record tells nobody.
const MAX_CLOSED: usize = 100_000;
/// So many refusals are kept, the newest.
const MAX_FAILED: usize = 1000;

/// Notices that a receiver did not want, and that are given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When, milliseconds since the epoch
    pub at_ms: i64,
    /// Who
    pub receiver: String,
    /// Key of the delivery
    pub key: String,
    /// Keys of the notices
    pub notices: Vec<String>,
    /// The receiver's answer
    pub why: String,
}

impl Failed {
    /// Key of the journal's entry with this number: their order is that of the numbers.
    pub(super) fn key(number: u64) -> String {
        format!("{number:020}")
    }
}

impl Engine {
    /// Hears what became of a delivery.
    pub fn done(&mut self, delivery: &Delivery, outcome: Outcome, now_ms: i64) {
        self.busy.remove(&delivery.receiver);
        let (refused, why) = match outcome {
            Outcome::Unavailable { wait_ms } => {
                self.receivers_paused.entry(delivery.receiver.clone()).or_default().fail(wait_ms, now_ms);
                return;
            }
            Outcome::Accepted => (BTreeSet::new(), String::new()),
            Outcome::Refused { notices, why } => (notices.into_iter().collect(), why),
        };
        self.receivers_paused.remove(&delivery.receiver);
        if self.settle(delivery, &refused, now_ms) && !refused.is_empty() {
            let (receiver, key) = (delivery.receiver.clone(), delivery.key.clone());
            self.fail(Failed { at_ms: now_ms, receiver, key, notices: refused.into_iter().collect(), why });
        }
    }

    /// Nothing of the delivery is sent again; false if it was settled before.
    fn settle(&mut self, delivery: &Delivery, refused: &BTreeSet<String>, now_ms: i64) -> bool {
        let id = (delivery.receiver.clone(), delivery.group_key.clone());
        let Some(group) = self.groups.get_mut(&id) else { return false };
        if group.sending.as_ref().map(|sending| &sending.key) != Some(&delivery.key) {
            return false;
        }
        group.sending = None;
        group.last_sent_ms = Some(now_ms);
        let mut ended = Vec::new();
        for notice in &delivery.notices {
            let alert_id = &notice.alert.alert_id;
            let is_refused = refused.contains(&notice.key());
            let Some(member) = group.members.get_mut(alert_id) else { continue };
            // Its end came meanwhile, and there is nobody to tell it to.
            let unheard = is_refused && !member.told && member.firing.is_none() && member.resolved.is_some();
            if notice.is_resolved() || unheard {
                group.members.remove(alert_id);
                ended.push(alert_id.clone());
                continue;
            }
            (member.told, member.refused) = (member.told || !is_refused, is_refused);
            if notice.alert.transition != ACKNOWLEDGED {
                (member.repeats, member.asked_ms) = (notice.repeat, Some(now_ms));
            }
        }
        let full = delivery.notices.len() >= self.routing.most_notices(&delivery.receiver);
        group.hurry = full && group.has_news() || group.members.values().any(|member| member.resolved.is_some());
        self.dirty.insert(("group", id.0.clone(), id.1.clone()));
        for alert_id in ended {
            if let Some(open) = self.alerts.get_mut(&alert_id) {
                open.groups.remove(&id.0);
                self.dirty.insert(("alert", alert_id.clone(), String::new()));
            }
            self.close_if_over(&alert_id);
        }
        self.drop_if_empty(&id);
        true
    }

    /// Takes note of what is given up.
    fn fail(&mut self, failed: Failed) {
        let number = self.failed.keys().next_back().map_or(0, |last| last + 1);
        self.failed.insert(number, failed);
        self.dirty.insert(("failed", Failed::key(number), String::new()));
        while self.failed.len() > MAX_FAILED {
            let Some((oldest, _)) = self.failed.pop_first() else { break };
            self.dirty.insert(("failed", Failed::key(oldest), String::new()));
        }
    }

    /// What receivers did not want, oldest first.
    pub fn failed(&self) -> impl Iterator<Item = &Failed> {
        self.failed.values()
    }

    pub(super) fn drop_if_empty(&mut self, id: &(String, String)) {
        if self.groups.get(id).is_some_and(|group| group.members.is_empty() && group.sending.is_none()) {
            self.groups.remove(id);
            self.dirty.insert(("group", id.0.clone(), id.1.clone()));
        }
    }

    /// An alert that is over and told of is only remembered by its id.
    pub(super) fn close_if_over(&mut self, id: &str) {
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
}

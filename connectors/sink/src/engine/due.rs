//! What is due, and the deliveries made of it.

use super::state::{Group, Member, Pause};
use super::{Delivery, Engine, Notice};
use perfstream_core::id;
use std::collections::BTreeSet;

/// A delivery has at most this many notices; the rest follows at once.
pub(super) const MAX_NOTICES: usize = 100;
/// Pauses after failures: this, doubled each time, without chance.
const FIRST_PAUSE_MS: i64 = 1000;
const LONGEST_PAUSE_MS: i64 = 300_000;

impl Pause {
    /// The next pause, or `wait_ms` where that is longer.
    pub(super) fn fail(&mut self, wait_ms: i64, now_ms: i64) {
        let pause = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(20)).min(LONGEST_PAUSE_MS).max(wait_ms);
        self.failures += 1;
        self.until_ms = now_ms.saturating_add(pause);
    }
}

impl Member {
    /// Is it said again from time to time? Who refused it is asked again then too.
    fn repeats(&self) -> bool {
        (self.told || self.refused) && self.resolved.is_none()
    }

    /// Since when there is something new to say.
    fn since_ms(&self, inhibited: bool) -> Option<i64> {
        let firing = self.firing.as_ref().filter(|_| !inhibited).map(|waiting| waiting.since_ms);
        // Of an alert that was never told of, the end is not told either while it is inhibited.
        let resolved = self.resolved.as_ref().filter(|_| self.told || !inhibited).map(|waiting| waiting.since_ms);
        firing.into_iter().chain(resolved).min()
    }
}

impl Group {
    pub(super) fn has_news(&self) -> bool {
        self.members.values().any(|member| member.firing.is_some() || member.resolved.is_some())
    }

    /// When its next delivery is due, by news or by repetition.
    fn due_ms(&self, inhibited: &BTreeSet<String>, waits: bool) -> Option<i64> {
        let news = self.members.iter().filter_map(|(id, member)| member.since_ms(inhibited.contains(id))).min();
        let news = news.map(|since_ms| match self.last_sent_ms {
            _ if !waits => since_ms,
            None => since_ms.saturating_add(self.timing.group_wait_ms),
            Some(_) if self.hurry => since_ms,
            Some(last_ms) => since_ms.max(last_ms.saturating_add(self.timing.group_interval_ms)),
        });
        news.into_iter().chain(self.repeat_ms(inhibited)).min()
    }

    fn repeat_ms(&self, inhibited: &BTreeSet<String>) -> Option<i64> {
        let repeats = self.members.iter().any(|(id, member)| member.repeats() && !inhibited.contains(id));
        let last_ms = self.last_sent_ms.filter(|_| repeats)?;
        Some(last_ms.saturating_add(self.timing.repeat_interval_ms))
    }

    /// Takes out of the members what is to be said now.
    fn notices(&mut self, inhibited: &BTreeSet<String>, now_ms: i64) -> Vec<Notice> {
        let repeat = self.repeat_ms(inhibited).is_some_and(|due_ms| due_ms <= now_ms);
        let mut notices = Vec::new();
        for (id, member) in &mut self.members {
            if notices.len() >= MAX_NOTICES {
                break;
            }
            let inhibited = inhibited.contains(id);
            // The end is known: an escalation in between is old, the first notice is not.
            if member.told && member.resolved.is_some() {
                member.firing = None;
            }
            if let Some(waiting) = member.firing.take_if(|_| !inhibited) {
                notices.push(Notice { alert: waiting.alert, repeat: 0 });
            } else if let Some(waiting) = member.resolved.take_if(|_| member.told || !inhibited) {
                notices.push(Notice { alert: waiting.alert, repeat: 0 });
            } else if repeat && member.repeats() && !inhibited {
                notices.push(Notice { alert: member.current.clone(), repeat: member.repeats + 1 });
            }
        }
        notices
    }
}

impl Engine {
    /// Begins what is due: at most one delivery for each receiver that none is on its way to. They
    /// must be in the journal ([`Engine::changes`]) before they are sent. Without `waits` the waiting
    /// times of groups are over.
    pub fn begin(&mut self, waits: bool, now_ms: i64) -> Vec<Delivery> {
        let inhibited = self.inhibited();
        self.drop_silent(&inhibited);
        let mut due: Vec<(i64, (String, String))> = Vec::new();
        for (id, group) in &self.groups {
            due.extend(self.due_of(id, group, &inhibited, waits).map(|due_ms| (due_ms, id.clone())));
        }
        due.sort();
        let mut begun = Vec::new();
        for (_, id) in due.into_iter().take_while(|(due_ms, _)| *due_ms <= now_ms) {
            if self.busy.contains(&id.0) {
                continue;
            }
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.sending.is_none() {
                group.begin(&inhibited, now_ms);
                self.dirty.insert(("group", id.0.clone(), id.1.clone()));
            }
            if let Some(delivery) = &group.sending {
                begun.push(delivery.clone());
                self.busy.insert(id.0);
            }
        }
        begun
    }

    /// When the next delivery is due, if nothing else happens and no receiver is busy.
    pub fn next_due_ms(&self) -> Option<i64> {
        let inhibited = self.inhibited();
        self.groups.iter().filter_map(|(id, group)| self.due_of(id, group, &inhibited, true)).min()
    }

    fn due_of(&self, id: &(String, String), group: &Group, inhibited: &BTreeSet<String>, waits: bool) -> Option<i64> {
        let due_ms = match &group.sending {
            Some(_) => i64::MIN,
            None => group.due_ms(inhibited, waits)?,
        };
        Some(self.receivers_paused.get(&id.0).map_or(due_ms, |pause| pause.until_ms.max(due_ms)))
    }

    /// Alerts that were inhibited from beginning to end are told to nobody.
    fn drop_silent(&mut self, inhibited: &BTreeSet<String>) {
        for id in inhibited {
            let Some(open) = self.alerts.get(id) else { continue };
            for (receiver, key) in open.groups.clone() {
                let group_id = (receiver, key);
                let Some(group) = self.groups.get_mut(&group_id) else { continue };
                let silent = |member: &Member| !member.told && member.firing.is_some() && member.resolved.is_some();
                let on_its_way = group.sending.iter().flat_map(|d| &d.notices).any(|n| n.alert.alert_id == *id);
                if !on_its_way && group.members.get(id).is_some_and(silent) {
                    group.members.remove(id);
                    self.dirty.insert(("group", group_id.0.clone(), group_id.1.clone()));
                    self.dirty.insert(("alert", id.clone(), String::new()));
                    if let Some(open) = self.alerts.get_mut(id) {
                        open.groups.remove(&group_id.0);
                    }
                    self.drop_if_empty(&group_id);
                    self.close_if_over(id);
                }
            }
        }
    }
}

impl Group {
    fn begin(&mut self, inhibited: &BTreeSet<String>, now_ms: i64) {
        let notices = self.notices(inhibited, now_ms);
        if notices.is_empty() {
            return;
        }
        let mut parts = vec![self.receiver.clone(), self.key.clone()];
        parts.extend(notices.iter().map(Notice::key));
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        self.sending = Some(Delivery {
            key: id::id(&parts),
            receiver: self.receiver.clone(),
            group_key: self.key.clone(),
            group_labels: self.labels.clone(),
            repeat_interval_ms: self.timing.repeat_interval_ms,
            notices,
        });
    }
}

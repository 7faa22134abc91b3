//! What is due, and the deliveries made of it.

use super::state::{Group, Member, Pause};
use super::{Delivery, Engine, Notice};
use crate::alert::{ACKNOWLEDGED, Alert};
use crate::backoff;
use perfstream_core::id;
use std::collections::BTreeSet;

impl Pause {
    /// The next pause, or `wait_ms` where that is longer.
    pub(super) fn fail(&mut self, wait_ms: i64, now_ms: i64) {
        self.until_ms = now_ms.saturating_add(backoff::pause_ms(self.failures, wait_ms));
        self.failures += 1;
    }
}

impl Member {
    /// Is it said again from time to time? Who refused it is asked again then too.
    fn repeats(&self) -> bool {
        (self.told || self.refused) && self.resolved.is_none() && !self.acknowledged
    }

    /// Since when there is something new to say.
    fn since_ms(&self, silent: bool) -> Option<i64> {
        let firing = self.firing.as_ref().filter(|_| !silent).map(|waiting| waiting.since_ms);
        // Of an alert that was never told of, the end is not told either while it is silent.
        let resolved = self.resolved.as_ref().filter(|_| self.told || !silent).map(|waiting| waiting.since_ms);
        let acknowledgement = self.acknowledgement_ms.filter(|_| self.told);
        firing.into_iter().chain(resolved).chain(acknowledgement).min()
    }
}

/// May an alert be told of now?
#[derive(Clone, Copy)]
struct Wanted {
    silent: bool,
    again: bool,
}

impl Member {
    fn take_firing(&mut self, wanted: Wanted) -> Option<Notice> {
        // The end is known: an escalation in between is old, the first notice is not.
        if self.told && self.resolved.is_some() {
            self.firing = None;
        }
        self.firing.take_if(|_| !wanted.silent).map(|waiting| Notice { alert: waiting.alert, repeat: 0 })
    }

    fn take_resolved(&mut self, wanted: Wanted) -> Option<Notice> {
        let told = self.told;
        let waiting = self.resolved.take_if(|_| told || !wanted.silent)?;
        Some(Notice { alert: waiting.alert, repeat: 0 })
    }

    fn take_acknowledgement(&mut self, _: Wanted) -> Option<Notice> {
        let told = self.told;
        self.acknowledgement_ms.take_if(|_| told)?;
        Some(Notice { alert: Alert { transition: ACKNOWLEDGED.into(), ..self.current.clone() }, repeat: 0 })
    }

    fn take_repeat(&mut self, wanted: Wanted) -> Option<Notice> {
        let repeats = wanted.again && self.repeats() && !wanted.silent;
        repeats.then(|| Notice { alert: self.current.clone(), repeat: self.repeats + 1 })
    }
}

impl Group {
    pub(super) fn has_news(&self) -> bool {
        self.members.values().any(|member| {
            member.firing.is_some()
                || member.resolved.is_some()
                || member.acknowledgement_ms.is_some_and(|_| member.told)
        })
    }

    /// When its next delivery is due, by news or by repetition.
    fn due_ms(&self, silent: &BTreeSet<String>, waits: bool) -> Option<i64> {
        let news = self.members.iter().filter_map(|(id, member)| member.since_ms(silent.contains(id))).min();
        let news = news.map(|since_ms| match self.last_sent_ms {
            _ if !waits => since_ms,
            None => since_ms.saturating_add(self.timing.group_wait_ms),
            Some(_) if self.hurry => since_ms,
            Some(last_ms) => since_ms.max(last_ms.saturating_add(self.timing.group_interval_ms)),
        });
        news.into_iter().chain(self.repeat_ms(silent)).min()
    }

    /// When the first of its members is to be said again.
    fn repeat_ms(&self, silent: &BTreeSet<String>) -> Option<i64> {
        let members = self.members.iter().filter(|(id, _)| !silent.contains(*id));
        members.filter_map(|(_, member)| self.member_repeat_ms(member)).min()
    }

    fn member_repeat_ms(&self, member: &Member) -> Option<i64> {
        let asked_ms = member.asked_ms.or(self.last_sent_ms).filter(|_| member.repeats())?;
        Some(asked_ms.saturating_add(self.timing.repeat_interval_ms))
    }

    /// Takes out of the members what is to be said now, at most so many things.
    fn notices(&mut self, most: usize, silent: &BTreeSet<String>, now_ms: i64) -> Vec<Notice> {
        // With the first that is due go those that would follow with the next notice.
        let first_is_due = self.repeat_ms(silent).is_some_and(|due_ms| due_ms <= now_ms);
        let until_ms = now_ms.saturating_add(self.timing.group_interval_ms);
        let due = |member: &Member| self.member_repeat_ms(member).is_some_and(|due_ms| due_ms <= until_ms);
        let again: BTreeSet<String> = match first_is_due {
            true => self.members.iter().filter(|(_, member)| due(member)).map(|(id, _)| id.clone()).collect(),
            false => BTreeSet::new(),
        };
        let mut notices: Vec<Notice> = Vec::new();
        let mut said: BTreeSet<String> = BTreeSet::new();
        // What fires is more urgent than what is over, and both than what was said before.
        let kinds = [Member::take_firing, Member::take_resolved, Member::take_acknowledgement, Member::take_repeat];
        for what in kinds {
            for (id, member) in &mut self.members {
                if notices.len() >= most {
                    break;
                }
                let wanted = Wanted { silent: silent.contains(id), again: again.contains(id) };
                if !said.contains(id)
                    && let Some(notice) = what(member, wanted)
                {
                    notices.push(notice);
                    said.insert(id.clone());
                }
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
        self.expire_silences(now_ms);
        let silent = self.silent(now_ms);
        self.drop_silent(&silent, now_ms);
        let mut due: Vec<(i64, (String, String))> = Vec::new();
        for (id, group) in &self.groups {
            due.extend(self.due_of(id, group, &silent, waits, now_ms).map(|due_ms| (due_ms, id.clone())));
        }
        due.sort();
        let mut begun = Vec::new();
        for (_, id) in due.into_iter().take_while(|(due_ms, _)| *due_ms <= now_ms) {
            if self.busy.contains(&id.0) {
                continue;
            }
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.sending.is_none() {
                let most = self.routing.most_notices(&id.0);
                let mut notices = group.notices(most, &silent, now_ms);
                notices.iter_mut().for_each(|notice| self.anomalies.explain(notice));
                group.begin(notices);
                self.dirty.insert(("group", id.0.clone(), id.1.clone()));
            }
            if let Some(delivery) = &group.sending {
                begun.push(delivery.clone());
                self.busy.insert(id.0);
            }
        }
        begun
    }

    /// When the next delivery is due, if nothing else happens, no receiver is busy, and what is silent
    /// stays so.
    pub fn next_due_ms(&self, now_ms: i64) -> Option<i64> {
        let silent = self.silent(now_ms);
        self.groups.iter().filter_map(|(id, group)| self.due_of(id, group, &silent, true, now_ms)).min()
    }

    /// Ids of the alerts that nobody is told of now.
    fn silent(&self, now_ms: i64) -> BTreeSet<String> {
        let mut silent = self.inhibited();
        silent.append(&mut self.silenced(now_ms));
        silent
    }

    fn due_of(
        &self,
        id: &(String, String),
        group: &Group,
        silent: &BTreeSet<String>,
        waits: bool,
        now_ms: i64,
    ) -> Option<i64> {
        let due_ms = match &group.sending {
            Some(_) => i64::MIN,
            None if self.routing.silent(&group.timing, now_ms).is_some() => return None,
            None => group.due_ms(silent, waits)?,
        };
        Some(self.receivers_paused.get(&id.0).map_or(due_ms, |pause| pause.until_ms.max(due_ms)))
    }

    /// Alerts that were silent from beginning to end are told to nobody.
    fn drop_silent(&mut self, silent: &BTreeSet<String>, now_ms: i64) {
        let mut gone = Vec::new();
        for (id, group) in &self.groups {
            let mute = |at_ms: i64| self.routing.silent(&group.timing, at_ms).is_some();
            let mute_now = mute(now_ms);
            for (alert_id, member) in group.members.iter().filter(|(_, member)| !member.told) {
                let (Some(firing), Some(_)) = (&member.firing, &member.resolved) else { continue };
                let on_its_way = group.sending.iter().flat_map(|d| &d.notices).any(|n| n.alert.alert_id == *alert_id);
                if !on_its_way && (silent.contains(alert_id) || mute_now && mute(firing.since_ms)) {
                    gone.push((id.clone(), alert_id.clone()));
                }
            }
        }
        for (group_id, alert_id) in gone {
            if let Some(group) = self.groups.get_mut(&group_id) {
                group.members.remove(&alert_id);
            }
            if let Some(open) = self.alerts.get_mut(&alert_id) {
                open.groups.remove(&group_id.0);
            }
            self.dirty.insert(("group", group_id.0.clone(), group_id.1.clone()));
            self.dirty.insert(("alert", alert_id.clone(), String::new()));
            self.drop_if_empty(&group_id);
            self.close_if_over(&alert_id);
        }
    }
}

impl Group {
    fn begin(&mut self, notices: Vec<Notice>) {
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

//! The incidents that are open: by number, by anomaly, and by when something is due.
//!
//! An incident that is worked on is taken out and put back, so the indexes never lie. Cost: O(log n) per
//! step. Bounded by a number of incidents and of bytes; the one unheard of for longest makes room.

use super::incident::{Incident, Pace};
use crate::stage::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Incidents by number, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Store {
    incidents: BTreeMap<u64, Incident>,
    by_anomaly: BTreeMap<Box<str>, u64>,
    by_due: BTreeSet<(i64, u64)>,
    by_heard: BTreeSet<(i64, u64)>,
    /// Those with news to tell
    news: BTreeSet<u64>,
    /// Number of the next one
    next: u64,
    bytes: u64,
}

/// Incidents as a snapshot has them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<I> {
    next: u64,
    incidents: Vec<(u64, I)>,
}

impl Store {
    pub fn len(&self) -> usize {
        self.incidents.len()
    }

    /// Estimate of its memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Incident)> {
        self.incidents.iter().map(|(number, incident)| (*number, incident))
    }

    /// The incident that an anomaly is in.
    pub fn of_anomaly(&self, id: &str) -> Option<u64> {
        self.by_anomaly.get(id).copied()
    }

    /// Number for a new incident.
    pub fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    /// Takes an incident out.
    pub fn take(&mut self, number: u64, pace: &Pace) -> Option<Incident> {
        let incident = self.incidents.remove(&number)?;
        for member in &incident.members {
            self.by_anomaly.remove(&member.anomaly.id);
        }
        self.by_due.remove(&(incident.due(pace), number));
        self.by_heard.remove(&(incident.heard, number));
        self.news.remove(&number);
        self.bytes = self.bytes.saturating_sub(incident.bytes());
        Some(incident)
    }

    /// Puts an incident back.
    pub fn put(&mut self, number: u64, incident: Incident, pace: &Pace) {
        for member in &incident.members {
            self.by_anomaly.insert(member.anomaly.id.clone(), number);
        }
        self.by_due.insert((incident.due(pace), number));
        self.by_heard.insert((incident.heard, number));
        if incident.record_due(pace) != i64::MAX {
            self.news.insert(number);
        }
        self.bytes = self.bytes.saturating_add(incident.bytes());
        self.incidents.insert(number, incident);
    }

    /// The first incident of which something is due at or before `until`, and when.
    pub fn due(&self, until: i64) -> Option<(i64, u64)> {
        self.by_due.first().filter(|(time, _)| *time <= until).copied()
    }

    /// The oldest incident with news to tell, whenever they are due.
    pub fn news(&self) -> Option<u64> {
        self.news.first().copied()
    }

    /// The incident unheard of for longest, if there are too many or they are too big; one always stays.
    pub fn surplus(&self, most: usize, bytes: u64) -> Option<u64> {
        let fits = self.len() < 2 || (self.len() <= most && self.bytes <= bytes);
        self.by_heard.first().filter(|_| !fits).map(|(_, number)| *number)
    }

    /// For a snapshot.
    pub fn saved(&self) -> Saved<&Incident> {
        Saved { next: self.next, incidents: self.iter().collect() }
    }

    /// From a snapshot; refuses one that could not have been written.
    pub fn restored(saved: Saved<Incident>, most: usize, pace: &Pace) -> Result<Store, RestoreError> {
        let mut store = Store { next: saved.next, ..Store::default() };
        if saved.next >> 62 != 0 || saved.incidents.len() > most {
            return Err(RestoreError("more incidents than are remembered".into()));
        }
        for (number, incident) in saved.incidents {
            let twice = store.incidents.contains_key(&number)
                || incident.members.iter().any(|member| store.by_anomaly.contains_key(&member.anomaly.id));
            let distinct: BTreeSet<&str> = incident.members.iter().map(|member| &*member.anomaly.id).collect();
            let own = distinct.len() == incident.members.len();
            if number >= saved.next || twice || !own || !incident.is_sound(pace) {
                return Err(RestoreError(format!("incident {number} cannot be")));
            }
            store.put(number, incident, pace);
        }
        Ok(store)
    }
}

#[cfg(test)]
impl Saved<Incident> {
    /// Changes the first incident, as no store would.
    pub(super) fn forge(&mut self, forge: fn(&mut Incident)) {
        self.incidents.iter_mut().take(1).for_each(|(_, incident)| forge(incident));
    }
}

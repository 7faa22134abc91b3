//! Which alerts people do not want to hear of.

use super::Engine;
use crate::matcher::Labels;
use crate::silence::{Phase, Ready};
use std::collections::BTreeSet;

/// So many silences that are not over are kept.
const MAX_SILENCES: usize = 10_000;

impl Engine {
    /// Takes the next record of a silence. An error says that there are too many.
    pub fn silence(&mut self, silence: Ready, now_ms: i64) -> Result<(), String> {
        let id = silence.silence.id.clone();
        if silence.phase(now_ms) == Phase::Expired {
            self.unsilence(&id);
            return Ok(());
        }
        if self.silences.len() >= MAX_SILENCES && !self.silences.contains_key(&id) {
            return Err(format!("there are {MAX_SILENCES} silences already"));
        }
        self.silences.insert(id.clone(), silence);
        self.dirty.insert(("silence", id, String::new()));
        Ok(())
    }

    fn unsilence(&mut self, id: &str) {
        if self.silences.remove(id).is_some() {
            self.dirty.insert(("silence", id.into(), String::new()));
        }
    }

    /// Forgets silences that are over.
    pub(super) fn expire_silences(&mut self, now_ms: i64) {
        let over = |silence: &Ready| silence.phase(now_ms) == Phase::Expired;
        let ids: Vec<String> = self.silences.iter().filter(|(_, s)| over(s)).map(|(id, _)| id.clone()).collect();
        ids.iter().for_each(|id| self.unsilence(id));
    }

    /// Silences that hold.
    pub fn silences(&self, now_ms: i64) -> impl Iterator<Item = &Ready> {
        self.silences.values().filter(move |silence| silence.phase(now_ms) == Phase::Active)
    }

    /// Ids of the alerts that a silence holds for.
    pub(super) fn silenced(&self, now_ms: i64) -> BTreeSet<String> {
        let active: Vec<&Ready> = self.silences(now_ms).collect();
        if active.is_empty() {
            return BTreeSet::new();
        }
        let silenced = |labels: &Labels| active.iter().any(|silence| silence.matches(labels));
        let alerts = self.alerts.iter().filter(|(_, open)| silenced(&open.alert.routing_labels()));
        alerts.map(|(id, _)| id.clone()).collect()
    }
}

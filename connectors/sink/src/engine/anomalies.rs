//! What detectors said of the anomalies that alerts name.

use super::{Engine, Notice};
use crate::alert::Anomaly;
use std::collections::BTreeMap;

/// So many are remembered, the newest.
const MAX_ANOMALIES: usize = 10_000;

/// Anomalies by id, and in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Anomalies {
    by_id: BTreeMap<String, (u64, Anomaly)>,
    order: BTreeMap<u64, String>,
}

impl Anomalies {
    pub(super) fn insert(&mut self, number: u64, anomaly: Anomaly) {
        let id = anomaly.anomaly_id.clone();
        self.order.insert(number, id.clone());
        if let Some((before, _)) = self.by_id.insert(id, (number, anomaly)) {
            self.order.remove(&before);
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&(u64, Anomaly)> {
        self.by_id.get(id)
    }

    /// Puts what is known of its anomaly on a notice.
    pub(super) fn explain(&self, notice: &mut Notice) {
        let id = notice.alert.anomaly_id.as_deref();
        notice.alert.anomaly = id.and_then(|id| self.by_id.get(id)).map(|(_, anomaly)| anomaly.clone());
    }
}

impl Engine {
    /// Takes the next record of an anomaly.
    pub fn anomaly(&mut self, anomaly: Anomaly) {
        if anomaly.anomaly_id.is_empty() {
            return;
        }
        let number = self.anomalies.order.keys().next_back().map_or(0, |last| last + 1);
        self.dirty.insert(("anomaly", anomaly.anomaly_id.clone(), String::new()));
        self.anomalies.insert(number, anomaly);
        while self.anomalies.order.len() > MAX_ANOMALIES {
            let Some((_, oldest)) = self.anomalies.order.pop_first() else { break };
            self.anomalies.by_id.remove(&oldest);
            self.dirty.insert(("anomaly", oldest, String::new()));
        }
    }
}

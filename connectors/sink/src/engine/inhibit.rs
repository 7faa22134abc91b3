//! Which alerts are silent because of others.

use super::Engine;
use crate::alert::State;
use crate::matcher::{self, Labels};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Ids of the alerts that an alert which fires inhibits. As in Alertmanager: a label that both
    /// lack is equal, nothing inhibits itself, and alerts that are source and target of a rule do
    /// not inhibit each other.
    pub(super) fn inhibited(&self) -> BTreeSet<String> {
        let mut inhibited = BTreeSet::new();
        if self.routing.inhibitions.is_empty() {
            return inhibited;
        }
        let labels: Vec<(&String, bool, Labels)> = self
            .alerts
            .iter()
            .map(|(id, open)| (id, open.alert.state == State::Firing, open.alert.routing_labels()))
            .collect();
        for rule in &self.routing.inhibitions {
            let values = |labels: &Labels| -> Vec<String> {
                rule.equal.iter().map(|name| labels.get(name).cloned().unwrap_or_default()).collect()
            };
            // For each set of values: is there a source at all, and one that is no target?
            let mut sources: BTreeMap<Vec<String>, bool> = BTreeMap::new();
            for (_, fires, labels) in &labels {
                if *fires && matcher::all(&rule.source, labels) {
                    *sources.entry(values(labels)).or_default() |= !matcher::all(&rule.target, labels);
                }
            }
            for (id, _, labels) in &labels {
                let source = matcher::all(&rule.source, labels);
                let by = || sources.get(&values(labels)).is_some_and(|pure| *pure || !source);
                if matcher::all(&rule.target, labels) && by() {
                    inhibited.insert((*id).clone());
                }
            }
        }
        inhibited
    }
}

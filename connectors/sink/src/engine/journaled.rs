//! The engine to entries of the journal, and back.

use super::state::{Group, Open, Waiting};
use super::{Engine, Failed};
use crate::alert::Anomaly;
use crate::routing::Routing;
use crate::silence;
use anyhow::{Context, Result};

/// One entry of the journal to be written, or removed if it has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `alert`, `group`, `closed`, `failed`, `silence` or `anomaly`
    pub kind: &'static str,
    /// Which one
    pub key: String,
    /// JSON
    pub value: Option<String>,
}

impl Engine {
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
                "failed" => {
                    let (number, failed): (u64, Failed) = serde_json::from_str(value).with_context(what)?;
                    engine.failed.insert(number, failed);
                }
                "anomaly" => {
                    let (number, anomaly): (u64, Anomaly) = serde_json::from_str(value).with_context(what)?;
                    engine.anomalies.insert(number, anomaly);
                }
                "silence" => {
                    let silence =
                        silence::Ready::parse(value.as_bytes()).map_err(anyhow::Error::msg).with_context(what)?;
                    engine.silences.insert(silence.silence.id.clone(), silence);
                }
                _ => {}
            }
        }
        engine.forget_receivers();
        engine.time_anew();
        engine.offer_again();
        Ok(engine)
    }

    /// Groups that were there before have the times that the configuration says now.
    fn time_anew(&mut self) {
        for group in self.groups.values_mut() {
            let Some(member) = group.members.values().next() else { continue };
            let told = self.routing.of(&member.current).into_iter();
            let mut same = told.filter(|told| told.receiver == group.receiver && told.group_key == group.key);
            if let Some(told) = same.next() {
                group.timing = told.timing;
            }
        }
    }

    /// The configuration may have been mended: what was refused and fires still is news again.
    fn offer_again(&mut self) {
        for member in
            self.groups.values_mut().filter(|group| group.sending.is_none()).flat_map(|g| g.members.values_mut())
        {
            if member.refused && member.resolved.is_none() && member.firing.is_none() {
                member.firing = Some(Waiting { alert: member.current.clone(), since_ms: 0 });
            }
        }
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
            "failed" => {
                let number: u64 = first.parse().context("the number of a refusal")?;
                let value = self.failed.get(&number).map(|failed| serde_json::to_string(&(number, failed)));
                (first, json(value)?)
            }
            "anomaly" => {
                let value = json(self.anomalies.get(&first).map(serde_json::to_string))?;
                (first, value)
            }
            "silence" => {
                let value = json(self.silences.get(&first).map(|ready| serde_json::to_string(&ready.silence)))?;
                (first, value)
            }
            _ => {
                let value = json(self.alerts.get(&first).map(serde_json::to_string))?;
                (first, value)
            }
        };
        Ok(Change { kind, key, value })
    }
}

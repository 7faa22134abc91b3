//! An alert record, as the stage `alert` writes it.

use crate::matcher::Labels;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A transition of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The alert it is about, from its first breach to its end
    pub alert_id: String,
    /// Pipeline that found it
    #[serde(default)]
    pub pipeline: String,
    /// Stage that found it
    #[serde(default)]
    pub stage: String,
    /// Rule it is of
    pub rule: String,
    /// What the alert is now
    pub state: State,
    /// What happened: `pending`, `firing`, `escalated` or `resolved`
    pub transition: String,
    /// Number of the escalation level, from 1; 0 is none
    #[serde(default)]
    pub step: i64,
    /// `info`, `warning`, `error` or `critical`
    #[serde(default)]
    pub severity: String,
    /// Receivers that the rule names
    #[serde(default)]
    pub notification: Vec<String>,
    /// Is somebody to be told?
    #[serde(default)]
    pub notify: bool,
    /// The group's fields and the rule's labels
    #[serde(default)]
    pub labels: Map<String, Value>,
    /// The rule's condition
    #[serde(default)]
    pub condition: String,
    /// Values of the condition's fields
    #[serde(default)]
    pub values: Map<String, Value>,
    /// Time of the transition, RFC 3339
    #[serde(default)]
    pub timestamp: String,
    /// Time of the first breach, RFC 3339
    #[serde(default)]
    pub started_at: String,
    /// Time of the end, RFC 3339
    #[serde(default)]
    pub ended_at: Option<String>,
    /// Why it ended: `condition_false` or `no_data`
    #[serde(default)]
    pub reason: Option<String>,
    /// A sentence for people
    #[serde(default)]
    pub summary: String,
    /// Window of the row that broke the rule
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Its start
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_start: Option<Value>,
    /// Its end
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end: Option<Value>,
    /// Partition of the pipeline's input
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i64>,
    /// Input record that brought the transition about: the last one before it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// The anomaly that the detector found in it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly_id: Option<String>,
    /// What the detector said of that; no part of the record
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<Anomaly>,
    /// The record in the log: `alerts/0@17`, topic, partition and offset
    #[serde(default)]
    pub place: String,
}

/// What is told of an anomaly record, as the stage `detect` writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Anomaly {
    /// Which one
    pub anomaly_id: String,
    /// A sentence for people
    pub summary: String,
    /// What was expected at least and at most
    pub range: Option<(f64, f64)>,
    /// What it was compared with
    pub baseline: Option<Baseline>,
    /// What it is made of
    pub contributions: Vec<Contribution>,
}

/// What an anomaly was compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Begin, RFC 3339
    pub from: String,
    /// Number of values
    pub n: u64,
}

/// Share of a feature in an anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Name
    pub feature: String,
    /// 0 to 1
    pub share: f64,
}

impl Anomaly {
    /// Reads a record.
    pub fn parse(bytes: &[u8]) -> Result<Anomaly, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// How bad against what: `lcp of page=/ is 53 % above 1002.1; 905.3 to 1098.9 is usual, by 240 values since …`
    pub fn usual(&self) -> String {
        let mut text = self.summary.clone();
        if let Some((low, high)) = self.range {
            text.push_str(&format!("; {} to {} is usual", short(low), short(high)));
        }
        if let Some(Baseline { from, n }) = &self.baseline {
            text.push_str(&format!(", by {n} values since {from}"));
        }
        text
    }

    /// What it mostly is, if it is of several things: `lcp 80 %, cls 20 %`
    pub fn cause(&self) -> String {
        // One feature may have several parts.
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        self.contributions.iter().for_each(|part| *shares.entry(&part.feature).or_default() += part.share);
        if shares.len() < 2 {
            return String::new();
        }
        let mut parts: Vec<(&str, f64)> = shares.into_iter().filter(|(_, share)| *share >= 0.1).collect();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        let parts: Vec<String> =
            parts.iter().map(|(feature, share)| format!("{feature} {:.0} %", share * 100.0)).collect();
        parts.join(", ")
    }
}

/// At most four digits that say something.
fn short(value: f64) -> String {
    let digits = if value.abs() >= 1000.0 { 0 } else { 3 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Transition of a notice that says that somebody takes care of the alert; no record has it.
pub const ACKNOWLEDGED: &str = "acknowledged";

/// State of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The condition holds, but not yet long enough
    Pending,
    /// It is wrong now
    Firing,
    /// It is over
    Resolved,
}

impl State {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Firing => "firing",
            State::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// Reads a record that stands at `place` of the log.
    pub fn parse(bytes: &[u8], place: String) -> Result<Alert, serde_json::Error> {
        Ok(Alert { place, ..serde_json::from_slice(bytes)? })
    }

    /// Later transitions of an alert have a higher rank; a copy has the same.
    pub(crate) fn rank(&self) -> (u8, i64, bool) {
        match self.state {
            State::Pending => (0, 0, false),
            State::Firing => (1, self.step, self.notify),
            State::Resolved => (2, 0, false),
        }
    }

    /// What routes look at: its labels, and `alertname` (the rule), `severity`, `pipeline`, `stage`.
    pub fn routing_labels(&self) -> Labels {
        let mut labels: Labels = self.labels.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        let own = [
            ("alertname", &self.rule),
            ("severity", &self.severity),
            ("pipeline", &self.pipeline),
            ("stage", &self.stage),
        ];
        labels.extend(own.map(|(name, value)| (name.to_string(), value.clone())));
        labels
    }

    /// The input record that brought it about, as partition@offset.
    pub fn input(&self) -> Option<String> {
        Some(format!("{}@{}", self.partition?, self.offset?))
    }

    /// Names one thing to be told: the same after every restart.
    pub fn key(&self, repeat: u32) -> String {
        let key = format!("{}:{}:{}", self.alert_id, self.transition, self.step);
        if repeat == 0 { key } else { format!("{key}:r{repeat}") }
    }
}

/// A value for people: text without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
pub(crate) fn example(id: &str, state: State) -> Alert {
    let firing = state != State::Resolved;
    let record = serde_json::json!({
        "kind": "alert", "id": format!("{id}-{}", state.name()), "alert_id": id, "pipeline": "lcp", "stage": "alert",
        "rule": "LCP Critical", "state": state, "transition": state.name(), "step": 0, "severity": "critical",
        "notification": [], "notify": true, "labels": { "browser": "Chrome", "page": "/checkout" },
        "condition": "p75_lcp > 6000", "values": { "p75_lcp": 6200 }, "timestamp": "2026-01-01T00:05:00Z",
        "started_at": "2026-01-01T00:05:00Z", "ended_at": (!firing).then_some("2026-01-01T00:20:00Z"),
        "reason": (!firing).then_some("condition_false"), "summary": format!("LCP Critical is {}", state.name()),
        "window": "one_minute", "partition": 0, "offset": 4711,
        "window_start": "2026-01-01T00:04:00Z", "window_end": "2026-01-01T00:05:00Z",
    });
    Alert::parse(record.to_string().as_bytes(), "alerts/0@17".into()).expect("an alert")
}

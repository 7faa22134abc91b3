//! What stands in the topic `perfstream-status`: how each partition does, and each session as a whole.
//!
//! One schema for both (`pipelines/status.schema.json`, `perfstream schema --of status`); `scope` tells
//! them apart. Fields that the user's document names keep its camelCase, our own are snake_case.

use super::recent::Recent;
use crate::summary::Summary;
use perfstream_core::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// A record of the topic `perfstream-status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "scope", rename_all = "snake_case")]
pub enum Status {
    /// Key: `PIPELINE/PARTITION`
    Partition(PartitionRecord),
    /// Key: the session's id
    Session(SessionRecord),
}

/// What the numbers of a status record are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusKind {
    /// As in every record of perfstream
    #[default]
    Statistics,
}

/// How a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has not come to work yet
    #[default]
    Starting,
    /// It works
    Running,
    /// It has met an error and comes back
    Recovering,
    /// It was told to stop, or all input is processed
    Stopped,
    /// Another worker has taken over
    Fenced,
    /// It has met an error that it does not come back from
    Failed,
}

impl State {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Recovering => "recovering",
            State::Stopped => "stopped",
            State::Fenced => "fenced",
            State::Failed => "failed",
        }
    }
}

/// The numbers of the user's document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Input records, of all incarnations
    pub events_processed: u64,
    /// Anomaly records written
    pub anomalies_detected: u64,
    /// Alert records written
    pub alerts_triggered: u64,
    /// Forecast records written
    pub predictions_generated: u64,
    /// From a record's log time to its outputs being acknowledged, since the last report
    pub latency: Latency,
    /// Input records per second since the last report
    pub throughput: f64,
}

/// Quantiles, milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Median
    pub p50_ms: u64,
    /// 95th percentile
    pub p95_ms: u64,
    /// 99th percentile
    pub p99_ms: u64,
    /// Longest
    pub max_ms: u64,
}

impl Statistics {
    /// Of the counts of all incarnations; `summary` is None before there are any.
    pub fn new(summary: Option<&Summary>, latency: Latency, throughput: f64) -> Statistics {
        let written = |kind| summary.and_then(|s| s.written.get(&kind)).copied().unwrap_or(0);
        Statistics {
            events_processed: summary.map_or(0, |s| s.balance.input),
            anomalies_detected: written(Kind::Anomaly),
            alerts_triggered: written(Kind::Alert),
            predictions_generated: written(Kind::Forecast),
            latency,
            throughput,
        }
    }

    /// Adds another partition's; of latencies the longer one stands.
    fn add(&mut self, other: &Statistics) {
        self.events_processed += other.events_processed;
        self.anomalies_detected += other.anomalies_detected;
        self.alerts_triggered += other.alerts_triggered;
        self.predictions_generated += other.predictions_generated;
        self.throughput += other.throughput;
        let (a, b) = (&mut self.latency, &other.latency);
        a.p50_ms = a.p50_ms.max(b.p50_ms);
        a.p95_ms = a.p95_ms.max(b.p95_ms);
        a.p99_ms = a.p99_ms.max(b.p99_ms);
        a.max_ms = a.max_ms.max(b.max_ms);
    }
}

/// One partition of one pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionRecord {
    /// `statistics`
    pub kind: StatusKind,
    /// RFC 3339
    pub timestamp: String,
    /// The process that works on it
    pub session: String,
    /// Name of the pipeline
    pub pipeline: String,
    /// Topic of the input
    #[serde(default)]
    pub input: String,
    /// Partition of the input
    pub partition: u32,
    /// How its worker does
    pub status: State,
    /// What went wrong last
    pub last_error: Option<String>,
    /// The numbers
    pub statistics: Statistics,
    /// Where it stands
    pub offsets: Offsets,
    /// Input records not yet processed
    pub lag_records: i64,
    /// Records that belong in another partition by their key
    pub misplaced: u64,
    /// Records that the SPU's modules have seen in the place of the worker's
    pub prefiltered: u64,
    /// Bytes of records that wait on the worker's disk
    pub spilled_bytes: u64,
    /// Times that it came back after an error
    pub recoveries: u64,
    /// The counts of the run, by stage too, of all incarnations; null before there are any
    pub run: Value,
}

/// Input offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offsets {
    /// Next record
    pub next: i64,
    /// Behind the newest record
    pub end: i64,
    /// First record that the newest snapshot does not cover; null before there is one
    pub snapshot: Option<i64>,
}

/// One worker process, as the document's analysis session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    /// `statistics`
    pub kind: StatusKind,
    /// RFC 3339
    pub timestamp: String,
    /// Name of the process, unlike any other's
    pub id: String,
    /// Hash of the configuration by pipeline
    pub config: BTreeMap<String, String>,
    /// Of all its partitions the worst
    pub status: SessionState,
    /// RFC 3339
    pub start_time: String,
    /// Frameworks that the pipelines belong to
    #[serde(default)]
    pub frameworks: Vec<String>,
    /// Names of the pipelines
    pub analyzers: Vec<String>,
    /// Names of the `detect` stages, as PIPELINE.STAGE
    pub detectors: Vec<String>,
    /// Names of all stages, as PIPELINE.STAGE
    pub processors: Vec<String>,
    /// Topics that are read and written
    pub streams: Vec<String>,
    /// Sums over its partitions
    pub statistics: Statistics,
    /// The newest `insight` records
    pub insights: VecDeque<Value>,
    /// The newest `alert` records
    pub alerts: VecDeque<Value>,
    /// The newest `forecast` records
    pub predictions: VecDeque<Value>,
}

/// How a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// All its workers have stopped
    Stopped,
    /// It works
    #[default]
    Analyzing,
    /// At least one partition comes back from an error
    Recovering,
    /// At least one partition has failed
    Failed,
}

/// A session and what its partitions have told.
#[derive(Debug, Clone, Default)]
pub struct Session {
    record: SessionRecord,
    partitions: BTreeMap<(String, u32), PartitionRecord>,
    recent: Recent,
}

impl Session {
    /// A session that starts; its record's `timestamp` and numbers are set as partitions report.
    pub fn new(record: SessionRecord) -> Session {
        Session { record, ..Session::default() }
    }

    /// Takes what a partition tells, with its newest records.
    pub fn note(&mut self, partition: PartitionRecord, recent: &Recent) {
        self.recent.extend(recent);
        self.partitions.insert((partition.pipeline.clone(), partition.partition), partition);
    }

    /// The record at `timestamp`.
    pub fn record(&mut self, timestamp: String) -> SessionRecord {
        self.record.timestamp = timestamp;
        self.record.statistics = Statistics::default();
        let mut worst = self.partitions.is_empty().then_some(SessionState::Analyzing);
        for partition in self.partitions.values() {
            self.record.statistics.add(&partition.statistics);
            worst = worst.max(Some(match partition.status {
                State::Starting | State::Running => SessionState::Analyzing,
                State::Recovering => SessionState::Recovering,
                State::Stopped | State::Fenced => SessionState::Stopped,
                State::Failed => SessionState::Failed,
            }));
        }
        self.record.status = worst.unwrap_or_default();
        self.record.insights = self.recent.of_kind(Kind::Insight);
        self.record.alerts = self.recent.of_kind(Kind::Alert);
        self.record.predictions = self.recent.of_kind(Kind::Forecast);
        self.record.clone()
    }
}

/// The schema of status records, JSON Schema draft 2020-12.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Status).to_value();
    schema["title"] = "perfstream status record".into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: u32, status: State, events: u64, p99_ms: u64) -> PartitionRecord {
        let latency = Latency { p99_ms, ..Latency::default() };
        let statistics = Statistics { events_processed: events, throughput: 2.0, latency, ..Statistics::default() };
        PartitionRecord { pipeline: "lcp".into(), partition, status, statistics, ..PartitionRecord::default() }
    }

    #[test]
    fn a_session_is_the_sum_of_its_partitions() {
        let mut session = Session::new(SessionRecord { id: "s".into(), ..SessionRecord::default() });
        assert_eq!(session.record("t".into()).status, SessionState::Analyzing);
        session.note(partition(0, State::Running, 5, 10), &Recent::default());
        session.note(partition(1, State::Stopped, 7, 30), &Recent::default());
        session.note(partition(0, State::Running, 6, 20), &Recent::default());
        let record = session.record("t".into());
        assert_eq!((record.id.as_str(), record.timestamp.as_str(), record.status), ("s", "t", SessionState::Analyzing));
        assert_eq!((record.statistics.events_processed, record.statistics.throughput), (13, 4.0));
        assert_eq!(record.statistics.latency.p99_ms, 30);
        for (state, wanted) in [
            (State::Recovering, SessionState::Recovering),
            (State::Failed, SessionState::Failed),
            (State::Fenced, SessionState::Stopped),
        ] {
            session.note(partition(0, state, 6, 20), &Recent::default());
            assert_eq!(session.record("t".into()).status, wanted);
        }
    }

    #[test]
    fn records_fit_the_schema_and_come_back() {
        let validator = jsonschema::validator_for(&schema()).expect("a schema");
        let mut session = Session::default();
        session.note(partition(0, State::Running, 1, 1), &Recent::default());
        let session = session.record("2026-01-05T09:00:00Z".into());
        for status in [Status::Session(session), Status::Partition(partition(3, State::Fenced, 2, 2))] {
            let value = serde_json::to_value(&status).expect("JSON");
            assert!(validator.is_valid(&value), "{value}");
            assert_eq!(value["kind"], "statistics");
            assert_eq!(serde_json::from_value::<Status>(value).expect("a status"), status);
        }
        assert!(!validator.is_valid(&serde_json::json!({ "scope": "session", "kind": "statistics" })));
    }
}

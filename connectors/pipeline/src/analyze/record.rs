//! The analysis record, in the words of the user's document, and its JSON Schema. Fields that the document does not
//! name are our own and snake_case inside of records of other kinds, which stand here as their stages wrote them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What kind of record it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisKind {
    /// As in every record of perfstream
    #[default]
    Analysis,
}

/// An analyzer over a stretch of its stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// `analysis`
    pub kind: AnalysisKind,
    /// The same of the same records, range and configuration
    pub id: String,
    /// Topic that was read
    pub stream_id: String,
    /// The pipeline
    pub analyzer: Analyzer,
    /// When it was made, RFC 3339
    pub timestamp: String,
    /// What range of event time it looks at
    pub time_window: TimeWindow,
    /// What was found; lists are as long as asked for, `counts` counts all
    pub data: Data,
    /// How many there are of each
    pub counts: Counts,
    /// Rates
    pub metrics: Metrics,
    /// Alerts as they stand at the end of the range: of each alert the newest record, with its first `started_at`
    pub alerts: Vec<Value>,
    /// What to do, by rules with sources; none where no rule holds
    pub recommendations: Vec<Recommendation>,
    /// What it cost
    pub performance: Performance,
}

/// The pipeline that analyzed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Analyzer {
    /// Its name
    pub name: String,
    /// Title for people
    pub title: Option<String>,
    /// streaming, windowed, event-driven or continuous
    pub r#type: String,
    /// Framework it belongs to
    pub framework: Option<String>,
    /// Its stages in order
    pub stages: Vec<String>,
    /// Hash of all that its output depends on
    pub config_hash: String,
    /// The window whose results are `processed`; null: all results
    pub window: Option<String>,
}

/// A range of event time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeWindow {
    /// As asked for, RFC 3339; null: from the first record
    pub from: Option<String>,
    /// As asked for; null: to the last record
    pub to: Option<String>,
    /// Time of the first result in it
    pub first: Option<String>,
    /// Time of the last result in it
    pub last: Option<String>,
    /// Offsets of the records that were read, by partition: the first, and the one behind the last
    pub offsets: Vec<[i64; 2]>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// The newest results (window, session or event records)
    pub processed: Vec<Value>,
    /// Patterns of series, the surest first
    pub patterns: Vec<FoundPattern>,
    /// Anomaly records as they opened, with `ended_at` where they have ended
    pub anomalies: Vec<Value>,
    /// What it says, as `insight` records
    pub insights: Vec<Insight>,
    /// The newest `forecast` record of each series
    pub predictions: Vec<Value>,
}

/// A pattern of a series, or of two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundPattern {
    /// trend, level-shift, seasonality, periodic-spikes or correlation
    pub r#type: String,
    /// Field of the results
    pub metric: String,
    /// Segment that it is of; empty: all
    pub segment: BTreeMap<String, Value>,
    /// The other series of a correlation
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub with: Option<Series>,
    /// 1 − p: p is the chance that noise shows such a pattern in any of the series looked at
    pub confidence: f64,
    /// The numbers of the test; times are microseconds since the epoch
    pub numbers: Value,
    /// In words
    pub summary: String,
}

/// A series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// Field of the results
    pub metric: String,
    /// Segment that it is of
    pub segment: BTreeMap<String, Value>,
}

/// What kind of record it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InsightKind {
    /// As in every record of perfstream
    #[default]
    Insight,
}

/// A sentence with numbers. The fields up to `summary` are those of the insights of `detect`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Insight {
    /// `insight`
    pub kind: InsightKind,
    /// The same of the same analysis
    pub id: String,
    /// Name of the pipeline
    pub pipeline: String,
    /// `analyze`
    pub stage: String,
    /// pattern, anomaly, alert or forecast
    pub insight: String,
    /// End of the range, RFC 3339
    pub timestamp: String,
    /// The sentence
    pub summary: String,
    /// 0–1; what it means says the record that it is made of; null where nothing was estimated
    pub confidence: Option<f64>,
    /// Field that it is about
    pub metric: Option<String>,
    /// Segment that it is about
    pub segment: BTreeMap<String, Value>,
    /// The analysis that it belongs to
    pub analysis_id: String,
}

/// How many there are of each, shown or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Input records read
    pub events: u64,
    /// Of them dead letters
    pub dead_letters: u64,
    /// Results in the range
    pub processed: u64,
    /// Segments with results
    pub segments: u64,
    /// Series that the tests looked at
    pub series: u64,
    /// Patterns
    pub patterns: u64,
    /// Anomalies that opened
    pub anomalies: u64,
    /// Alerts
    pub alerts: u64,
    /// Insights
    pub insights: u64,
    /// Series with a prediction
    pub predictions: u64,
    /// Series and records that were left out, beyond the bounds of memory
    pub left_out: u64,
}

/// Rates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Input records per second of this run
    pub events_per_second: f64,
    /// From a batch of records being read to its last output, mean over records, milliseconds; null without records
    pub average_latency: Option<f64>,
    /// Anomalies that opened per result; null without results
    pub anomaly_rate: Option<f64>,
    /// Mean confidence of the patterns, 0–1; null without patterns
    pub pattern_confidence: Option<f64>,
}

/// What an analysis cost, of the process that made it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Performance {
    /// From the first record to the last sentence, milliseconds
    pub processing_time: f64,
    /// Resident memory at the end, bytes
    pub memory_usage: u64,
    /// Processor time
    pub cpu_usage: CpuUsage,
}

/// Processor time of an analysis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CpuUsage {
    /// Milliseconds on all cores
    pub total_ms: f64,
    /// Over `processingTime`; 1 = one core all the time
    pub cores: f64,
}

/// What to do, and who says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recommendation {
    /// Id of the rule
    pub rule: String,
    /// What to do, in a few words
    pub title: String,
    /// Why, and how, with this segment's numbers
    pub text: String,
    /// The segment for which the condition holds
    pub segment: BTreeMap<String, Value>,
    /// Further segments for which it holds too
    pub others: u64,
    /// The condition that holds
    pub when: String,
    /// Address of the page that says what to do
    pub source: String,
}

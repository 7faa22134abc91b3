//! What stands under `functions:` of a window of `aggregate`.

use serde::{Deserialize, Serialize};

/// What a function computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Function {
    /// Number of events
    Count(OfEvents),
    /// Sum of a numeric field
    Sum(OfField),
    /// Least value of a numeric field
    Min(OfField),
    /// Greatest value of a numeric field
    Max(OfField),
    /// Arithmetic mean of a numeric field
    Mean(OfField),
    /// Sample standard deviation (n − 1) of a numeric field; null below two values
    Stddev(OfField),
    /// Percentile of a numeric field, interpolated between neighbours
    Percentile(Percentile),
    /// Least-squares line through a numeric field
    LinearRegression(LinearRegression),
    /// The values of a field, in order of arrival, as an array
    CollectList(CollectList),
    /// How unlike the window's older events its newest ones are, 0–1
    IsolationForest(IsolationForest),
    /// Cumulative Layout Shift of the window's shifts: the largest session window of web-vitals
    ClsWithSessionGaps(ClsWithSessionGaps),
    /// Arithmetic over other functions of the same window
    Expression(Expression),
    /// Share of events, 0–1, for which a condition holds
    Ratio(Ratio),
    /// Events per unit of time over the window's length
    Rate(Rate),
    /// How fast counters grow that start anew now and then, summed; `…_series` is their number
    CounterRate(CounterRate),
}

/// A function of whole events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OfEvents {
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

/// A function of one numeric field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OfField {
    /// The field; an event in which it is absent or not a number does not count here.
    pub field: String,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

/// A percentile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Percentile {
    /// Which one, 0 to 100: 75 is the value that three quarters of the events do not exceed.
    pub parameter: f64,
    /// The field; an event in which it is absent or not a number does not count here.
    pub field: String,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

/// A regression; besides the slope the row gets `…_intercept`, `…_r2` and `…_p_value`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LinearRegression {
    /// The field y that is explained.
    pub field: String,
    /// `timestamp` = event time, or a numeric field. Default: timestamp.
    #[serde(default = "timestamp")]
    pub over: String,
    /// The slope is y per this much time: `per_second`, `per_minute` or `per_hour` (default:
    /// per_minute); over a numeric field it is `per_unit` of that field.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// With fewer events the slope is null, 2 to 1,000,000: two points always lie on a line, and a
    /// rule on it would fire at nothing. Default: 2.
    #[serde(default = "min_events")]
    pub min_events: u32,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

fn min_events() -> u32 {
    2
}

fn timestamp() -> String {
    "timestamp".into()
}

/// What a slope or rate is per.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names)] // the words of the file: per_second, per_unit
pub enum Unit {
    /// Per second
    PerSecond,
    /// Per minute
    #[default]
    PerMinute,
    /// Per hour
    PerHour,
    /// Per one of the numeric field in `over`
    PerUnit,
}

impl Unit {
    /// Microseconds in the unit; 1 for `per_unit`.
    pub fn us(self) -> f64 {
        match self {
            Unit::PerSecond => 1e6,
            Unit::PerMinute => 60e6,
            Unit::PerHour => 3600e6,
            Unit::PerUnit => 1.0,
        }
    }
}

/// A list of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CollectList {
    /// The field; an array's items are taken one by one, null never.
    pub field: String,
    /// Each value once. Default: false.
    #[serde(default)]
    pub distinct: bool,
    /// The first so many values are kept, 1 to 1000. Default: 100.
    #[serde(default = "limit")]
    pub limit: u32,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

fn limit() -> u32 {
    100
}

/// An isolation forest (Liu, Ting, Zhou 2008), its score calibrated to the rank among the training
/// scores. A second field `…_ratio` is the share of events whose rank is above 1 − `threshold`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IsolationForest {
    /// Fields to look at, numbers and categories, 1 to 32.
    pub features: Vec<String>,
    /// Share of training events that counts as anomalous, above 0 to 0.5. Default: 0.1.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// Seed of every random choice. Default: 42.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Trees, 1 to 1000. Default: 100.
    #[serde(default = "trees")]
    pub trees: u32,
    /// Events per tree, 2 to 4096. Default: 256.
    #[serde(default = "sub_sample")]
    pub sub_sample: u32,
    /// With fewer training events the score is null, 2 to 4096. Default: 64.
    #[serde(default = "min_training")]
    pub min_training: u32,
    /// With fewer events to score the score is null, 1 to 64. Default: 16.
    #[serde(default = "min_scored")]
    pub min_scored: u32,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

fn threshold() -> f64 {
    0.1
}
fn seed() -> u64 {
    42
}
fn trees() -> u32 {
    100
}
fn sub_sample() -> u32 {
    256
}
fn min_training() -> u32 {
    64
}
fn min_scored() -> u32 {
    16
}

/// Cumulative Layout Shift over a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClsWithSessionGaps {
    /// Field with a shift's score. Default: value.
    #[serde(default = "value")]
    pub field: String,
    /// Field with the shift's time in milliseconds. Default: the event time.
    #[serde(default)]
    pub time: Option<String>,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

fn value() -> String {
    "value".into()
}

/// Arithmetic over other functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// Over the names of the window's functions, expressions only those above: `errors / count`.
    pub expression: String,
}

/// A share of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The condition, an expression over an event's fields.
    #[serde(rename = "where")]
    pub condition: String,
}

/// Events per time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// `per_second`, `per_minute` or `per_hour`. Default: per_minute.
    #[serde(default)]
    pub unit: Unit,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

/// The growth of counters per time, as `rate` of Prometheus without its extrapolation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CounterRate {
    /// Field with the counter's value, 0 or more.
    pub field: String,
    /// Fields that tell the counters of a group apart, up to 16: `cpu`, `mode`. Default: none, the group is one counter.
    #[serde(default)]
    pub series: Vec<String>,
    /// `per_second`, `per_minute` or `per_hour`. Default: per_second.
    #[serde(default = "per_second")]
    pub unit: Unit,
    /// Only events for which this expression over their fields holds. Default: all.
    #[serde(default, rename = "where")]
    pub condition: Option<String>,
}

fn per_second() -> Unit {
    Unit::PerSecond
}

//! What the page knows: layouts, points, events, the pipelines' health, verdicts. No IO, no clock.
//!
//! Everything is bounded; what goes first is said beside each bound. The same record twice changes nothing,
//! so copies in a topic do no harm.

mod newcomers;
#[cfg(test)]
mod tests;

use newcomers::Newcomers;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Series; beyond it the one whose newest point is oldest goes.
pub const MAX_SERIES: usize = 5000;
/// Points of a series; the oldest goes. A day of points every 30 s.
pub const MAX_POINTS: usize = 2880;
/// Events; the oldest goes.
pub const MAX_EVENTS: usize = 2000;
/// Insights; the oldest goes. They have a list of their own, for one analysis tells hundreds.
const MAX_INSIGHTS: usize = 500;
/// A longer insight is not shown, as the stage `dashboard` does not.
const MAX_INSIGHT_BYTES: usize = 32 << 10;
/// Verdicts; the oldest id goes.
const MAX_VERDICTS: usize = 2000;
/// Partitions of pipelines, and layouts; more are not shown.
const MAX_HEALTH: usize = 1000;

/// A number of a row, as the stage `dashboard` writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Incoming {
    field: String,
    metric: String,
    #[serde(default)]
    window: Option<String>,
    labels: Map<String, Value>,
    time_ms: i64,
    value: f64,
    #[serde(default)]
    count: Option<f64>,
    #[serde(default)]
    expected: Option<Expected>,
    #[serde(default)]
    prediction: Option<Prediction>,
    #[serde(default)]
    anomaly: Option<bool>,
    #[serde(default)]
    offset: Option<i64>,
}

/// What a detector expects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    value: f64,
    #[serde(default)]
    low: Option<f64>,
    #[serde(default)]
    high: Option<f64>,
}

/// What a series will be, as was said at the time of its point.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Prediction {
    time_ms: i64,
    value: f64,
    #[serde(default)]
    low: Option<f64>,
    #[serde(default)]
    high: Option<f64>,
}

/// Which series a point is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SeriesKey {
    /// Id of the dashboard
    pub dashboard: String,
    /// Name of the pipeline
    pub pipeline: String,
    /// Field of the rows
    pub field: String,
    /// Name of the metric
    pub metric: String,
    /// Name of the window
    pub window: Option<String>,
    /// Labels as one JSON object, by name
    pub labels: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Point {
    value: f64,
    count: Option<f64>,
    expected: Option<Expected>,
    prediction: Option<Prediction>,
    anomaly: Option<bool>,
    offset: Option<i64>,
}

#[derive(Debug, Clone, Default)]
struct Series {
    partition: u32,
    points: BTreeMap<i64, Point>,
}

/// A record of the topic of dashboards.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record {
    Layout {
        dashboard: String,
        pipeline: String,
        layout: Value,
    },
    Frame {
        dashboard: String,
        pipeline: String,
        #[serde(default)]
        partition: u32,
        points: Vec<Incoming>,
        events: Vec<Value>,
    },
}

/// Everything that the page shows.
#[derive(Debug, Default)]
pub struct Model {
    /// By dashboard and pipeline
    layouts: BTreeMap<(String, String), Value>,
    series: BTreeMap<SeriesKey, Series>,
    events: Newcomers<MAX_EVENTS>,
    insights: Newcomers<MAX_INSIGHTS>,
    /// By pipeline and partition
    health: BTreeMap<(String, i64), Value>,
    verdicts: BTreeMap<String, String>,
    dropped: u64,
}

/// The newest value of a series, for `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest<'m> {
    /// Which series
    pub key: &'m SeriesKey,
    /// Milliseconds since the epoch
    pub time_ms: i64,
    /// Its value
    pub value: f64,
    /// What was expected
    pub expected: Option<f64>,
}

/// A value of a series, for remote write.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Which series
    pub key: SeriesKey,
    /// Milliseconds since the epoch
    pub time_ms: i64,
    /// Its value
    pub value: f64,
    /// What was expected
    pub expected: Option<f64>,
}

/// The points of a record of the topic of dashboards; an error says why it is no such record.
pub fn points(record: &[u8]) -> Result<Vec<Sampled>, serde_json::Error> {
    let Record::Frame { dashboard, pipeline, points, .. } = serde_json::from_slice(record)? else {
        return Ok(Vec::new());
    };
    let plain = |point: Incoming| {
        let (key, time_ms, point) = point.parts(&dashboard, &pipeline);
        Sampled { key, time_ms, value: point.value, expected: point.expected.map(|expected| expected.value) }
    };
    Ok(points.into_iter().map(plain).collect())
}

impl Incoming {
    /// Its series, its time and the rest.
    fn parts(self, dashboard: &str, pipeline: &str) -> (SeriesKey, i64, Point) {
        // A map of labels is in the order of names, so its text is the key.
        let labels = Value::Object(self.labels).to_string();
        let (dashboard, pipeline) = (dashboard.to_string(), pipeline.to_string());
        let Incoming { field, metric, window, time_ms, value, count, expected, prediction, anomaly, offset, .. } = self;
        let key = SeriesKey { dashboard, pipeline, field, metric, window, labels };
        (key, time_ms, Point { value, count, expected, prediction, anomaly, offset })
    }
}

impl Model {
    /// Takes a record of the topic of dashboards. `Ok(true)` if it has changed what is shown; an error says
    /// why it is no such record.
    pub fn take_dashboard(&mut self, value: &[u8]) -> Result<bool, serde_json::Error> {
        match serde_json::from_slice(value)? {
            Record::Layout { dashboard, pipeline, layout } => {
                let key = (dashboard, pipeline);
                let new = self.layouts.get(&key) != Some(&layout);
                if new && (self.layouts.len() < MAX_HEALTH || self.layouts.contains_key(&key)) {
                    self.layouts.insert(key, layout);
                    return Ok(true);
                }
                Ok(false)
            }
            Record::Frame { dashboard, pipeline, partition, points, events } => {
                let mut changed = false;
                for point in points {
                    changed |= self.take_point(&dashboard, &pipeline, partition, point);
                }
                for event in events {
                    changed |= self.take_event(event);
                }
                Ok(changed)
            }
        }
    }

    fn take_point(&mut self, dashboard: &str, pipeline: &str, partition: u32, point: Incoming) -> bool {
        let (key, time_ms, point) = point.parts(dashboard, pipeline);
        if !self.series.contains_key(&key) && self.series.len() >= MAX_SERIES {
            self.make_room();
        }
        let series = self.series.entry(key).or_default();
        series.partition = partition;
        let before = series.points.insert(time_ms, point.clone());
        if series.points.len() > MAX_POINTS {
            series.points.pop_first();
        }
        before.as_ref() != Some(&point)
    }

    fn make_room(&mut self) {
        let oldest = self.series.iter().min_by_key(|(_, series)| series.points.last_key_value().map(|(time, _)| *time));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.series.remove(&key);
            self.dropped += 1;
        }
    }

    fn take_event(&mut self, event: Value) -> bool {
        match event["kind"] == "insight" {
            true => self.insights.take(event),
            false => self.events.take(event),
        }
    }

    /// Takes a record of the topic of insights; what is told of the page, if it is one that is new.
    pub fn take_insight(&mut self, value: &[u8]) -> Option<Value> {
        let insight: Value = serde_json::from_slice(value).ok().filter(|_| value.len() <= MAX_INSIGHT_BYTES)?;
        let new = insight["kind"] == "insight" && insight["id"].is_string() && self.take_event(insight.clone());
        new.then_some(insight)
    }

    /// Takes a record of the status topic; what is told of the page, if it is a partition's.
    pub fn take_status(&mut self, value: &[u8]) -> Option<Value> {
        let record: Value = serde_json::from_slice(value).ok()?;
        if record["scope"] != "partition" {
            return None;
        }
        let key = (record["pipeline"].as_str()?.to_string(), record["partition"].as_i64()?);
        let shown = json!({
            "pipeline": key.0,
            "partition": key.1,
            "input": record["input"],
            "status": record["status"],
            "timestamp": record["timestamp"],
            "events": record["statistics"]["eventsProcessed"],
            "per_second": record["statistics"]["throughput"],
            "latency_p99_ms": record["statistics"]["latency"]["p99_ms"],
            "lag": record["lag_records"],
            "dead": record["run"]["dead"],
            "last_error": record["last_error"],
        });
        if self.health.len() >= MAX_HEALTH && !self.health.contains_key(&key) {
            return None;
        }
        self.health.insert(key, shown.clone());
        Some(shown)
    }

    /// Takes a request of a pipeline's inbox; what is told of the page, if it is a verdict or an approval.
    pub fn take_verdict(&mut self, value: &[u8]) -> Option<Value> {
        let request: Value = serde_json::from_slice(value).ok()?;
        let (id, verdict) = match request["approved"].as_bool() {
            Some(approved) => (request["action_id"].as_str()?, if approved { "approved" } else { "rejected" }),
            None => (request["alert_id"].as_str()?, request["verdict"].as_str()?),
        };
        self.verdicts.insert(id.into(), verdict.into());
        if self.verdicts.len() > MAX_VERDICTS {
            self.verdicts.pop_first();
        }
        Some(json!({ "alert_id": id, "verdict": verdict }))
    }

    /// Names of the pipelines that are shown.
    pub fn pipelines(&self) -> Vec<String> {
        let mut names: Vec<String> = self.layouts.keys().map(|(_, pipeline)| pipeline.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Does a layout of this pipeline let viewers approve actions?
    pub fn lets_approve(&self, pipeline: &str) -> bool {
        let mut own = self.layouts.iter().filter(|((_, of), _)| of == pipeline);
        own.any(|(_, layout)| layout["interactivity"]["approve"] != false)
    }

    /// Event time of the newest point, milliseconds.
    pub fn newest_ms(&self) -> Option<i64> {
        self.series.values().filter_map(|series| series.points.last_key_value().map(|(time, _)| *time)).max()
    }

    /// The newest value of every series.
    pub fn newest(&self) -> impl Iterator<Item = Newest<'_>> {
        self.series.iter().filter_map(|(key, series)| {
            let (time, point) = series.points.last_key_value()?;
            let expected = point.expected.map(|expected| expected.value);
            Some(Newest { key, time_ms: *time, value: point.value, expected })
        })
    }

    /// Series, events, alerts that fire, and series that had to go.
    pub fn sizes(&self) -> (usize, usize, usize, u64) {
        let mut firing: BTreeMap<&str, bool> = BTreeMap::new();
        for event in self.events.records.iter().filter(|event| event["kind"] == "alert") {
            if let Some(id) = event["alert_id"].as_str() {
                firing.insert(id, event["state"] == "firing");
            }
        }
        (self.series.len(), self.events.records.len(), firing.values().filter(|firing| **firing).count(), self.dropped)
    }

    /// All of it as the page begins, with the points of the last `range_ms` before the newest.
    pub fn snapshot(&self, range_ms: i64) -> Value {
        let from = self.newest_ms().unwrap_or(0).saturating_sub(range_ms);
        let layouts = self.layouts.iter().map(
            |((dashboard, pipeline), layout)| json!({ "dashboard": dashboard, "pipeline": pipeline, "layout": layout }),
        );
        let series = self.series.iter().map(|(key, series)| {
            let points: Vec<Value> = series.points.range(from..).map(|(time, point)| point.shown(*time)).collect();
            json!({
                "dashboard": key.dashboard, "pipeline": key.pipeline, "partition": series.partition,
                "field": key.field, "metric": key.metric, "window": key.window,
                "labels": serde_json::from_str::<Value>(&key.labels).unwrap_or_default(), "points": points,
            })
        });
        let verdicts = self.verdicts.iter().map(|(id, verdict)| json!({ "alert_id": id, "verdict": verdict }));
        json!({
            "layouts": layouts.collect::<Vec<_>>(),
            "series": series.filter(|series| series["points"] != json!([])).collect::<Vec<_>>(),
            "events": self.events.records.iter().chain(&self.insights.records).collect::<Vec<_>>(),
            "health": self.health.values().collect::<Vec<_>>(),
            "verdicts": verdicts.collect::<Vec<_>>(),
        })
    }
}

impl Point {
    /// As a list, which is a third of an object's bytes.
    fn shown(&self, time: i64) -> Value {
        let (value, low, high) = match self.expected {
            Some(Expected { value, low, high }) => (Some(value), low, high),
            None => (None, None, None),
        };
        let prediction = self.prediction.map(|said| (said.time_ms, said.value, said.low, said.high));
        json!([time, self.value, self.count, value, low, high, prediction, self.anomaly, self.offset])
    }
}

//! Records of `detect`: anomalies with all that they were judged by, and insights.
//!
//! An anomaly has two records, `open` when it is validated and `closed` at its end, with one
//! `anomaly_id`: a hash of pipeline, detector, metric, segment and the first observation's time, so a
//! replay or another configuration gives it again. Each record has an `id` of its own.

use super::baseline::Known;
use super::detector::{MethodName, short_name};
use super::episode::{Detection, Episode, Peak};
use super::score::Finding;
use crate::row::{Kind, Meta, Output};
use crate::stage::Context;
use crate::time;
use crate::value::Value;
use serde_json::{Value as Json, json};

/// One observation, judged: what its record says.
#[derive(Debug)]
pub(super) struct Judged<'p> {
    pub metric: &'p str,
    pub value: f64,
    /// Events that the observation stands for
    pub events: Option<u64>,
    pub score: Option<f64>,
    pub threshold: f64,
    pub expected: Option<f64>,
    pub range: Option<(f64, f64)>,
    pub names: &'p [MethodName],
    pub weights: Vec<f64>,
    pub findings: Vec<Option<Finding>>,
    /// Feature and share
    pub contributions: Vec<(String, f64)>,
    /// Features that the forest asked for and did not have
    pub absent: Vec<String>,
    /// Features that another metric stood in for, and that metric
    pub stand_ins: Vec<(String, String)>,
    pub confidence: f64,
    pub baseline: Option<Known>,
    /// A detection; and why it is not validated
    pub detected: bool,
    pub excluded: Option<&'static str>,
}

impl Judged<'_> {
    /// `up`, `down`, or `none` where nothing was expected.
    pub fn direction(&self) -> &'static str {
        match self.expected {
            Some(expected) if self.value > expected => "up",
            Some(expected) if self.value < expected => "down",
            _ => "none",
        }
    }

    /// What found it, if it is a detection.
    pub fn detection(&self, time: i64) -> Detection {
        let score = |finding: &Option<Finding>| finding.as_ref().map_or(0.0, |f| f.score as f32);
        Detection {
            time,
            score: self.score.unwrap_or_default(),
            threshold: self.threshold,
            confidence: self.confidence,
            scores: self.findings.iter().map(score).collect(),
            methods: Json::from(self.methods()).to_string().into(),
        }
    }

    /// What is told of an anomaly that opens here: this observation, and what found it.
    pub fn told(&self, detection: &Detection) -> Json {
        let mut told = self.explanation();
        if let Some(fields) = told.as_object_mut() {
            fields.extend(detection.fields());
        }
        told
    }

    fn methods(&self) -> Vec<Json> {
        self.names.iter().zip(&self.weights).zip(&self.findings).map(method).collect()
    }

    /// The parts that a record and `detection` share.
    pub fn explanation(&self) -> Json {
        let share = |(name, share): &(String, f64)| json!({ "feature": name, "share": share });
        json!({
            "metric": self.metric,
            "value": self.value,
            "score": self.score,
            "threshold": self.threshold,
            "expected": self.expected,
            "range": self.range.map(|(low, high)| [low, high]),
            "direction": self.direction(),
            "methods": self.methods(),
            "contributions": self.contributions.iter().map(share).collect::<Vec<_>>(),
            "absent": self.absent,
            "stand_ins": self.stand_ins.iter().map(|(of, by)| (of.clone(), by.clone().into())).collect::<serde_json::Map<_, _>>(),
            "confidence": self.confidence,
            "baseline": self.baseline.map(baseline),
            "events": self.events,
            "detected": self.detected,
            "excluded": self.excluded,
        })
    }
}

fn method(((name, weight), finding): ((&MethodName, &f64), &Option<Finding>)) -> Json {
    let Some(finding) = finding else {
        return json!({ "name": name.name(), "weight": weight, "score": null, "vote": null });
    };
    let parts: serde_json::Map<String, Json> =
        finding.parts.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    json!({
        "name": name.name(),
        "weight": weight,
        "score": finding.score,
        "vote": finding.votes(),
        "expected": finding.expected,
        "range": finding.range.map(|(low, high)| [low, high]),
        "n": finding.n,
        "parts": parts,
    })
}

fn baseline(known: Known) -> Json {
    json!({ "value": known.value, "from": time::format(known.from), "to": time::format(known.to), "n": known.n })
}

/// A record that is written behind the row that caused it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub kind: Kind,
    pub time: i64,
    pub key: Option<Box<[u8]>>,
    pub fields: Vec<(&'static str, Json)>,
}

impl Record {
    /// Writes it as a row that `offset` and `log_time` triggered.
    pub fn write(&self, (offset, log_time): (i64, i64), out: &mut Output) {
        let meta = Meta { kind: self.kind, offset, log_time, event_time: self.time };
        let mut row = out.row(meta, self.key.as_deref());
        for (name, value) in &self.fields {
            match value {
                Json::Null => _ = row.field(name, Value::Null),
                Json::Bool(yes) => _ = row.field(name, *yes),
                Json::String(text) => _ = row.field(name, text.as_str()),
                Json::Number(n) => match n.as_i64() {
                    Some(n) => _ = row.field(name, n),
                    None => _ = row.field(name, n.as_f64().unwrap_or_default()),
                },
                Json::Array(_) | Json::Object(_) => _ = row.field(name, Value::Json(&value.to_string())),
            }
        }
    }
}

/// The id of the anomaly of a series that began at `start`.
pub(super) fn anomaly_id(context: &Context, detector: &str, metric: &str, segment: &[u8], start: i64) -> String {
    let parts = [context.pipeline.as_bytes(), detector.as_bytes(), metric.as_bytes(), segment, &start.to_le_bytes()];
    crate::id::id(&parts)
}

/// What all records of a stage begin with.
pub(super) fn head(context: &Context, detector: &str, parts: &[&[u8]]) -> Vec<(&'static str, Json)> {
    let mut all: Vec<&[u8]> = vec![context.stage.as_bytes()];
    let partition = context.partition.to_le_bytes();
    all.push(&partition);
    all.extend(parts);
    vec![
        ("id", crate::id::id(&all).into()),
        ("pipeline", context.pipeline.as_str().into()),
        ("stage", context.stage.as_str().into()),
        ("detector", detector.into()),
    ]
}

/// The record of an anomaly that opens, with what is told of it.
pub(super) fn opened(episode: &Episode, told: &Json, labels: &str) -> Vec<(&'static str, Json)> {
    let number = |name: &str| told[name].as_f64().unwrap_or_default();
    let metric = told["metric"].as_str().unwrap_or_default();
    let segment = parsed(labels);
    let summary = summary(metric, &segment, number("value"), number("expected"));
    let mut fields = common(episode, "open", segment, summary);
    fields.push(("ended_at", Json::Null));
    fields.extend(TOLD.iter().map(|name| (*name, told[*name].clone())));
    fields
}

/// What an anomaly's records say beside its state.
const TOLD: [&str; 15] = [
    "metric",
    "value",
    "expected",
    "range",
    "direction",
    "contributions",
    "absent",
    "stand_ins",
    "baseline",
    "events",
    "score",
    "threshold",
    "confidence",
    "methods",
    "detected_at",
];

/// The record of an anomaly's end: what was told of it, but for the peak and the strongest detection.
pub(super) fn closed(
    episode: &Episode,
    detection: Option<&Detection>,
    labels: &str,
    why: &str,
) -> Vec<(&'static str, Json)> {
    let Peak { time: at, value, expected } = episode.peak;
    let mut told = parsed(episode.told.as_deref().unwrap_or_default());
    if !told.is_object() {
        told = json!({});
    }
    if let (Some(told), Some(detection)) = (told.as_object_mut(), detection) {
        told.extend(detection.fields());
    }
    let segment = parsed(labels);
    let summary = summary(told["metric"].as_str().unwrap_or_default(), &segment, value, expected);
    let mut fields = common(episode, "closed", segment, format!("{summary} has ended"));
    fields.extend([
        ("ended_at", time::format(episode.last).into()),
        ("peak_at", time::format(at).into()),
        ("reason", why.into()),
    ]);
    (told["value"], told["expected"]) = (value.into(), expected.into());
    fields.extend(TOLD.iter().map(|name| (*name, told[*name].clone())));
    fields
}

fn common(episode: &Episode, state: &str, segment: Json, summary: String) -> Vec<(&'static str, Json)> {
    vec![
        ("anomaly_id", episode.anomaly_id.as_deref().unwrap_or_default().into()),
        ("state", state.into()),
        ("segment", segment),
        ("started_at", time::format(episode.start).into()),
        ("observations", episode.count.into()),
        ("summary", summary.into()),
    ]
}

impl Detection {
    /// As records say it.
    fn fields(&self) -> serde_json::Map<String, Json> {
        let fields = [
            ("score", self.score.into()),
            ("threshold", self.threshold.into()),
            ("confidence", self.confidence.into()),
            ("methods", parsed(&self.methods)),
            ("detected_at", time::format(self.time).into()),
        ];
        fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_default()
}

/// `lcp of browser=chrome, page=/ is 42 % above 1500`
fn summary(metric: &str, segment: &Json, value: f64, expected: f64) -> String {
    let share = (value - expected) / expected.abs() * 100.0;
    let plain = |label: &Json| label.as_str().map_or_else(|| label.to_string(), str::to_string);
    let labels: Vec<String> =
        segment.as_object().into_iter().flatten().map(|(name, label)| format!("{name}={}", plain(label))).collect();
    let of = if labels.is_empty() { String::new() } else { format!(" of {}", labels.join(", ")) };
    let side = if share < 0.0 { "below" } else { "above" };
    if share.is_finite() && share.abs() < 1e6 {
        format!("{}{of} is {:.0} % {side} {:.4}", short_name(metric), share.abs(), expected)
    } else {
        format!("{}{of} is {:.4}, expected {:.4}", short_name(metric), value, expected)
    }
}

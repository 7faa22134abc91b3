//! Records of `detect`: anomalies with all that they were judged by, and insights.
//!
//! An anomaly has two records, `open` when it is validated and `closed` at its end, with one
//! `anomaly_id`: a hash of pipeline, detector, metric, segment and the first observation's time, so a
//! replay or another configuration gives it again. Each record has an `id` of its own.

use super::baseline::Known;
use super::detector::{MethodName, short_name};
use super::episode::{Detection, Episode, Peak, Told};
use super::plan::Plan;
use super::score::Finding;
use crate::row::{Kind, Meta, Output};
use crate::stage::Context;
use crate::time;
use crate::value::Value;
use serde_json::{Value as Json, json};

/// One observation, judged.
#[derive(Debug)]
pub(super) struct Judged {
    /// By number
    pub metric: usize,
    pub value: f64,
    pub score: Option<f64>,
    pub expected: Option<f64>,
    pub told: Told,
    /// What found it, if it is a detection
    pub found: Detection,
    /// A detection; and why it is not validated
    pub detected: bool,
    pub excluded: Option<&'static str>,
}

impl Judged {
    /// What `detection` on a row says.
    pub fn explanation(&self, plan: &Plan) -> Json {
        let of_value = told(plan, self.metric, (self.value, self.expected), &self.told);
        let mut said = self.found.fields(plan);
        said.iter_mut().filter(|(name, _)| *name == "score").for_each(|(_, score)| *score = json!(self.score));
        let own = [("detected", self.detected.into()), ("excluded", json!(self.excluded))];
        // Who contributes is asked of anomalies, and when it was found is the row's own time.
        let all = of_value.into_iter().chain(said).chain(own);
        let fields = all.filter(|(name, _)| !["contributions", "detected_at"].contains(name));
        Json::Object(fields.map(|(name, value)| (name.to_string(), value)).collect())
    }
}

/// What an anomaly's records are made of.
pub(super) struct Anomaly<'a> {
    pub plan: &'a Plan,
    pub metric: usize,
    pub labels: &'a str,
    pub episode: &'a Episode,
    pub told: &'a Told,
    pub detection: &'a Detection,
}

impl Anomaly<'_> {
    /// The record of an anomaly that opens with an observation.
    pub fn opened(&self, value: f64, expected: Option<f64>) -> Vec<(&'static str, Json)> {
        let mut fields = self.common("open", (value, expected.unwrap_or(value)), "");
        fields.push(("ended_at", Json::Null));
        fields.extend(self.explained((value, expected)));
        fields
    }

    /// The record of an anomaly's end: what was told of it, but for the peak and the strongest detection.
    pub fn closed(&self, why: &str) -> Vec<(&'static str, Json)> {
        let Peak { time: at, value, expected } = self.episode.peak;
        let mut fields = self.common("closed", (value, expected), " has ended");
        fields.extend([
            ("ended_at", time::format(self.episode.last).into()),
            ("peak_at", time::format(at).into()),
            ("reason", why.into()),
        ]);
        fields.extend(self.explained((value, Some(expected))));
        fields
    }

    fn common(&self, state: &str, (value, expected): (f64, f64), ending: &str) -> Vec<(&'static str, Json)> {
        let segment: Json = serde_json::from_str(self.labels).unwrap_or_default();
        let metric = self.plan.metrics.get(self.metric).map_or("", |m| m);
        let summary = format!("{}{ending}", summary(metric, &segment, value, expected));
        vec![
            ("anomaly_id", self.episode.anomaly_id.as_deref().unwrap_or_default().into()),
            ("state", state.into()),
            ("segment", segment),
            ("started_at", time::format(self.episode.start).into()),
            ("observations", self.episode.count.into()),
            ("summary", summary.into()),
        ]
    }

    fn explained(&self, (value, expected): (f64, Option<f64>)) -> impl Iterator<Item = (&'static str, Json)> {
        told(self.plan, self.metric, (value, expected), self.told).into_iter().chain(self.detection.fields(self.plan))
    }
}

/// What is known of an observation.
fn told(plan: &Plan, metric: usize, (value, expected): (f64, Option<f64>), told: &Told) -> Vec<(&'static str, Json)> {
    let direction = match expected {
        Some(expected) if value > expected => "up",
        Some(expected) if value < expected => "down",
        _ => "none",
    };
    let feature = |number: u16| plan.feature(metric, number.into()).0;
    let share = |(number, share): &(u16, f64)| match plan.feature(metric, (*number).into()) {
        (feature, Some(part)) => json!({ "feature": feature, "part": part, "share": share }),
        (feature, None) => json!({ "feature": feature, "share": share }),
    };
    let name = |metric: u16| plan.metrics.get(usize::from(metric)).map_or("", |m| short_name(m));
    let stand_ins = told.stand_ins.iter().map(|(of, by)| (feature(*of), Json::from(name(*by))));
    vec![
        ("metric", plan.metrics.get(metric).map_or("", |m| m).into()),
        ("value", value.into()),
        ("expected", json!(expected)),
        ("range", json!(told.range.map(|(low, high)| [low, high]))),
        ("direction", direction.into()),
        ("contributions", told.contributions.iter().map(share).collect()),
        ("absent", told.absent.iter().map(|number| Json::from(feature(*number))).collect()),
        ("stand_ins", Json::Object(stand_ins.collect())),
        ("baseline", json!(told.baseline.map(baseline))),
        ("events", json!(told.events)),
    ]
}

impl Detection {
    /// As records say it.
    fn fields(&self, plan: &Plan) -> Vec<(&'static str, Json)> {
        let methods = plan.names.iter().zip(&self.weights).zip(&self.findings);
        vec![
            ("score", self.score.into()),
            ("threshold", self.threshold.into()),
            ("confidence", self.confidence.into()),
            ("methods", methods.map(method).collect()),
            ("detected_at", time::format(self.time).into()),
        ]
    }
}

fn method(((name, weight), finding): ((&MethodName, &f64), &Option<Finding>)) -> Json {
    let Some(finding) = finding else {
        return json!({ "name": name.name(), "weight": weight, "score": null, "vote": null });
    };
    let parts = name.parts().iter().zip(&finding.parts).map(|(name, value)| (name.to_string(), json!(value)));
    json!({
        "name": name.name(),
        "weight": weight,
        "score": finding.score,
        "vote": finding.votes(),
        "expected": finding.expected,
        "range": finding.range.map(|(low, high)| [low, high]),
        "n": finding.n,
        "parts": Json::Object(parts.collect()),
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

//! What an analysis says, as `insight` records: patterns, anomalies, alerts and forecasts as sentences with numbers.

use super::look::{Field, Look, segment};
use super::record::{FoundPattern, Insight, Series as Named};
use super::scan::{Found, SeriesKey};
use perfstream_core::Kind;
use perfstream_core::patterns::sentence::{Subject, moment, number, sentence, span, together};
use perfstream_core::patterns::{Series, correlations, patterns};
use perfstream_core::time::TimeParser;
use serde_json::Value;
use std::collections::BTreeMap;

/// Series whose pairs are compared: those with the most values.
const MAX_COMPARED: usize = 40;
/// Pairs that are told.
const MAX_PAIRS: usize = 10;

/// Which pattern of which series.
pub type Patterns = Vec<(SeriesKey, perfstream_core::patterns::Pattern)>;

/// The patterns of all series, and in words: those of fields that are rated, then the others, the surest first.
pub fn find(look: &Look, found: &Found) -> (Patterns, Vec<FoundPattern>, u64) {
    let all = found.series(look);
    let testable: Vec<&(SeriesKey, Series)> = all.iter().filter(|(_, series)| series.is_testable()).collect();
    let (mut raw, mut told) = (Patterns::new(), Vec::new());
    for (key, series) in &testable {
        for pattern in patterns(series, testable.len()) {
            let numbers = serde_json::to_value(&pattern).unwrap_or_default();
            told.push(FoundPattern {
                r#type: numbers["type"].as_str().unwrap_or_default().into(),
                metric: key.1.clone(),
                segment: labels(found, &key.0),
                with: None,
                confidence: pattern.confidence(),
                summary: sentence(&subject(look, key), &pattern),
                numbers,
            });
            raw.push((key.clone(), pattern));
        }
    }
    told.extend(pairs(look, found, &testable));
    // That there is more traffic by day is as sure as that a page became slow, and nobody asked.
    let rated = |metric: &str| look.fields.iter().any(|field| field.name == metric && field.poor.is_some());
    told.sort_by(|a, b| rated(&b.metric).cmp(&rated(&a.metric)).then(b.confidence.total_cmp(&a.confidence)));
    (raw, told, testable.len() as u64)
}

fn pairs(look: &Look, found: &Found, testable: &[&(SeriesKey, Series)]) -> Vec<FoundPattern> {
    let mut most = testable.to_vec();
    most.sort_by_key(|(key, series)| (std::cmp::Reverse(series.values.len()), key.clone()));
    most.truncate(MAX_COMPARED);
    let series: Vec<Series> = most.iter().map(|(_, series)| series.clone()).collect();
    let source = |n: usize| look.fields.iter().find(|field| field.name == most[n].0.1).map(|field| &field.source);
    // Two numbers of the same events move together by themselves; of two segments the same number is compared.
    let wanted = |a: usize, b: usize| match most[a].0.0 == most[b].0.0 {
        true => source(a) != source(b),
        false => most[a].0.1 == most[b].0.1,
    };
    let tell = |pair: perfstream_core::patterns::Correlation| {
        let (first, second) = (&most[pair.first].0, &most[pair.second].0);
        FoundPattern {
            r#type: "correlation".into(),
            metric: first.1.clone(),
            segment: labels(found, &first.0),
            with: Some(Named { metric: second.1.clone(), segment: labels(found, &second.0) }),
            confidence: 1.0 - pair.p_value,
            numbers: serde_json::to_value(&pair).unwrap_or_default(),
            summary: together(&subject(look, first), &subject(look, second), &pair),
        }
    };
    correlations(&series, wanted).into_iter().take(MAX_PAIRS).map(tell).collect()
}

fn labels(found: &Found, segment: &str) -> BTreeMap<String, Value> {
    found.segments.get(segment).cloned().unwrap_or_default()
}

fn subject(look: &Look, (segment, field): &SeriesKey) -> Subject {
    let unit = look.fields.iter().find(|known| known.name == *field).map_or(String::new(), |known| known.unit.clone());
    Subject { metric: field.clone(), unit, segment: segment.clone() }
}

/// Anomalies as they opened, with `ended_at` of those that have ended.
pub fn anomalies(found: &Found) -> Vec<Value> {
    let all = found.of(Kind::Anomaly);
    let closed: BTreeMap<&str, &Value> =
        all.iter().filter(|a| a["state"] == "closed").filter_map(|a| Some((a["anomaly_id"].as_str()?, a))).collect();
    let open = all.iter().filter(|a| a["state"] == "open").cloned();
    open.map(|mut anomaly| {
        if let Some(end) = anomaly["anomaly_id"].as_str().and_then(|id| closed.get(id)) {
            anomaly["ended_at"] = end["ended_at"].clone();
        }
        anomaly
    })
    .collect()
}

/// Of each alert the newest record, in the order of their beginning.
pub fn alerts(found: &Found) -> Vec<Value> {
    let mut newest: BTreeMap<(String, String), Value> = BTreeMap::new();
    for alert in found.of(Kind::Alert) {
        let text = |name: &str| alert[name].as_str().unwrap_or_default().to_string();
        newest.insert((text("started_at"), text("alert_id")), alert.clone());
    }
    newest.into_values().collect()
}

/// The newest forecast of each series.
pub fn predictions(found: &Found) -> Vec<Value> {
    found.forecasts.values().cloned().collect()
}

/// What the sentences are made of.
pub struct Told<'t> {
    /// Id of the analysis
    pub analysis: &'t str,
    /// Name of the pipeline
    pub pipeline: &'t str,
    /// End of the range, RFC 3339
    pub timestamp: &'t str,
    /// See [`find`]
    pub patterns: &'t [FoundPattern],
    /// See [`anomalies`]
    pub anomalies: &'t [Value],
    /// See [`alerts`]
    pub alerts: &'t [Value],
    /// See [`predictions`]
    pub predictions: &'t [Value],
}

/// The sentences: anomalies, patterns, forecasts that foresee a breach, alerts.
pub fn insights(look: &Look, told: &Told<'_>) -> Vec<Insight> {
    let map = |value: &Value| value.as_object().map(|m| m.clone().into_iter().collect()).unwrap_or_default();
    let mut list = Vec::new();
    let mut add = |what: &str, summary, confidence, metric: Option<&str>, segment: BTreeMap<String, Value>| {
        let number = (list.len() as u64).to_le_bytes();
        list.push(Insight {
            id: perfstream_core::id::id(&[told.analysis.as_bytes(), b"insight", &number]),
            pipeline: told.pipeline.into(),
            stage: "analyze".into(),
            insight: what.into(),
            timestamp: told.timestamp.into(),
            summary,
            confidence,
            metric: metric.map(String::from),
            segment,
            analysis_id: told.analysis.into(),
            ..Insight::default()
        });
    };
    for anomaly in told.anomalies {
        let labels = map(&anomaly["segment"]);
        add(
            "anomaly",
            of_anomaly(look, anomaly, &labels),
            anomaly["confidence"].as_f64(),
            anomaly["metric"].as_str(),
            labels,
        );
    }
    for pattern in told.patterns {
        add(
            "pattern",
            pattern.summary.clone(),
            Some(pattern.confidence),
            Some(&pattern.metric),
            pattern.segment.clone(),
        );
    }
    for forecast in told.predictions.iter().filter(|f| f["time_to_breach"].as_i64().is_some_and(|ms| ms > 0)) {
        let labels = map(&forecast["labels"]);
        add("forecast", of_forecast(look, forecast, &labels), None, forecast["field"].as_str(), labels);
    }
    for ((rule, labels), alerts) in by_rule(told.alerts) {
        let labels = serde_json::from_str(&labels).map(|value: Value| map(&value)).unwrap_or_default();
        add("alert", of_alerts(look, &rule, &labels, &alerts), None, None, labels);
    }
    list
}

fn of_anomaly(look: &Look, anomaly: &Value, labels: &BTreeMap<String, Value>) -> String {
    let text = |name: &str| anomaly[name].as_str().unwrap_or_default();
    let known = |name: &str| anomaly[name].as_f64().map_or_else(|| "unknown".into(), number);
    let end = match anomaly["ended_at"].as_str() {
        Some(end) => format!("until {}", short(end)),
        None => "and has not ended".into(),
    };
    let range = match (anomaly["range"][0].as_f64(), anomaly["range"][1].as_f64()) {
        (Some(low), Some(high)) => format!(" ({}–{})", number(low), number(high)),
        _ => String::new(),
    };
    format!(
        "{} of {} was {} instead of {}{range} from {} {end} (confidence {})",
        text("metric"),
        segment(&look.group_by, labels),
        known("value"),
        known("expected"),
        short(text("started_at")),
        known("confidence"),
    )
}

/// Alerts by rule and labels, in the order of their first.
fn by_rule(alerts: &[Value]) -> Vec<((String, String), Vec<&Value>)> {
    let mut groups: Vec<((String, String), Vec<&Value>)> = Vec::new();
    for alert in alerts.iter().filter(|alert| alert["state"] != "pending") {
        let key = (alert["rule"].as_str().unwrap_or_default().to_string(), alert["labels"].to_string());
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, list)) => list.push(alert),
            None => groups.push((key, vec![alert])),
        }
    }
    groups
}

fn of_alerts(look: &Look, rule: &str, labels: &BTreeMap<String, Value>, alerts: &[&Value]) -> String {
    let mut time = TimeParser::default();
    let mut length = |alert: &Value| {
        let (start, end) = (alert["started_at"].as_str()?, alert["ended_at"].as_str()?);
        Some((time.parse_text(end)? - time.parse_text(start)?) / 1000)
    };
    let total: i64 = alerts.iter().filter_map(|alert| length(alert)).sum();
    let open = alerts.iter().filter(|alert| alert["ended_at"].is_null()).count();
    let first = alerts.first().and_then(|alert| alert["started_at"].as_str()).unwrap_or_default();
    let times = match alerts.len() {
        1 => "once".to_string(),
        n => format!("{n} times"),
    };
    let still = if open > 0 { ", and still fires" } else { "" };
    let long = if total > 0 { format!(", {} in all", span(total)) } else { String::new() };
    let on = segment(&look.group_by, labels);
    format!("{rule} fired {times} on {on}, first at {}{long}{still}", short(first))
}

fn of_forecast(look: &Look, forecast: &Value, labels: &BTreeMap<String, Value>) -> String {
    let ms = forecast["time_to_breach"].as_i64().unwrap_or_default();
    // Of what is not below zero nothing is foreseen below it.
    let least = if forecast["value"].as_f64().is_some_and(|x| x >= 0.0) { 0.0 } else { f64::NEG_INFINITY };
    let known = |name: &str| forecast[name].as_f64().map_or_else(|| "unknown".into(), |x| number(x.max(least)));
    format!(
        "{} of {} is {} and is foreseen to pass {} in {} (first prediction {}, {}–{})",
        forecast["field"].as_str().unwrap_or_default(),
        segment(&look.group_by, labels),
        known("value"),
        known("threshold"),
        span((ms / 60_000 * 60_000).max(60_000)),
        known("prediction"),
        known("prediction_low"),
        known("prediction_high"),
    )
}

fn short(rfc3339: &str) -> String {
    TimeParser::default().parse_text(rfc3339).map_or_else(|| rfc3339.into(), moment)
}

/// good, needs improvement or poor by the field's thresholds.
pub fn rating(field: &Field, value: f64) -> Option<&'static str> {
    let (good, poor) = (field.good?, field.poor?);
    Some(match value {
        x if x <= good => "good",
        x if x <= poor => "needs improvement",
        _ => "poor",
    })
}

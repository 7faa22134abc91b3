//! `perfstream analyze`: an analyzer over what its stream has, in a range of event time: windows, anomalies, alerts,
//! predictions, patterns, insights and recommendations, as one record.
//!
//! The id is a hash of configuration, stream, range and the offsets read, so the same question about the same records
//! is stored once, in the topic `analyses`; its insights go to `insights`. Anomalies and alerts are the pipeline's own
//! records, which `run` has written or will: they are not written again, so nobody is called for the past.

pub mod insight;
pub mod look;
pub mod parts;
pub mod record;
pub mod report;
pub mod rules;
pub mod scan;

use crate::chain::ChainOptions;
use crate::detect::topic::{append, ids};
use crate::model::Pipeline;
use crate::plan::{Plan, PlanSpec};
use crate::run::usage::usage;
use anyhow::Result;
use look::Look;
use perfstream_core::patterns::Pattern;
use perfstream_core::patterns::sentence::moment;
use perfstream_core::time;
use perfstream_log::Place;
use record::{Analysis, Analyzer, Counts, CpuUsage, Data, Metrics, Performance, TimeWindow};
use scan::{Bounds, Found};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Topic of analyses.
pub const ANALYSES: &str = "analyses";
/// Topic of insights.
pub const INSIGHTS: &str = "insights";

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// Range of event time
    pub bounds: Bounds,
    /// Records shown of each list; all are counted
    pub limit: usize,
    /// Store what was found
    pub store: bool,
    /// Show a progress bar
    pub progress: bool,
}

/// An analysis, and what a report draws beside it.
pub struct Outcome {
    /// The record, its lists complete
    pub analysis: Analysis,
    /// What was looked at
    pub look: Look,
    /// What came out of the chain
    pub found: Found,
}

/// Analyzes the input topic of a pipeline that `check` found nothing wrong with.
pub fn run(request: &Request, pipeline: &Pipeline, place: &mut Place, options: &ChainOptions) -> Result<Outcome> {
    let (started, cpu_before) = (Instant::now(), usage()?.0);
    let spec = PlanSpec::new(pipeline)?;
    let look = Look::new(pipeline, &spec);
    let plan = Arc::new(Plan::of(&spec)?);
    let asked = (request.bounds, request.limit, request.progress);
    let (found, parts) = scan::scan(&plan, &look, asked, place, options)?;
    let hash = spec.hash()?;
    let mut analysis = about(request, pipeline, &spec, &look, &found, &hash);
    let (raw, patterns, series) = insight::find(&look, &found);
    let (anomalies, alerts) = (insight::anomalies(&found), insight::alerts(&found));
    let predictions = insight::predictions(&found);
    let told = insight::Told {
        analysis: &analysis.id,
        pipeline: &analysis.analyzer.name,
        timestamp: &found.span.map_or_else(|| time::format(0), |(_, last)| time::format(last)),
        patterns: &patterns,
        anomalies: &anomalies,
        alerts: &alerts,
        predictions: &predictions,
    };
    let insights = insight::insights(&look, &told);
    let segments = facts(&look, &found, (&raw, parts), (&anomalies, &alerts, &predictions));
    analysis.recommendations = rules::Rules::shipped()?.ask(&segments)?;
    analysis.counts = Counts {
        events: found.read,
        dead_letters: found.summary.balance.dead,
        processed: found.results,
        segments: found.segments.len() as u64,
        series,
        patterns: patterns.len() as u64,
        anomalies: anomalies.len() as u64,
        alerts: alerts.len() as u64,
        insights: insights.len() as u64,
        predictions: predictions.len() as u64,
        left_out: found.left_out,
    };
    let confidences: Vec<f64> = patterns.iter().map(|pattern| pattern.confidence).collect();
    analysis.metrics = Metrics {
        events_per_second: found.read as f64 / found.elapsed.as_secs_f64().max(1e-9),
        average_latency: found.latency_ms(),
        anomaly_rate: (found.results > 0).then(|| anomalies.len() as f64 / found.results as f64),
        pattern_confidence: (!confidences.is_empty())
            .then(|| confidences.iter().sum::<f64>() / confidences.len() as f64),
    };
    let processed = found.processed[found.processed.len().saturating_sub(request.limit)..].to_vec();
    analysis.data = Data { processed, patterns, anomalies, insights, predictions };
    analysis.alerts = alerts;
    let (cpu, memory) = usage()?;
    let (wall, cpu) = (started.elapsed().as_secs_f64() * 1e3, cpu.saturating_sub(cpu_before).as_secs_f64() * 1e3);
    analysis.performance = Performance {
        processing_time: wall,
        memory_usage: memory,
        cpu_usage: CpuUsage { total_ms: cpu, cores: cpu / wall.max(1e-9) },
    };
    if request.store {
        store(&analysis, request.limit, place)?;
    }
    Ok(Outcome { analysis, look, found })
}

/// Id, analyzer and range of an analysis.
fn about(request: &Request, pipeline: &Pipeline, spec: &PlanSpec, look: &Look, found: &Found, hash: &str) -> Analysis {
    let text = |us: Option<i64>| us.map(time::format);
    let offsets: Vec<[i64; 2]> = found.extents.iter().map(|extent| [extent.start, extent.end]).collect();
    let (from, to) = (text(request.bounds.from), text(request.bounds.to));
    let range = json!([from, to, offsets]).to_string();
    Analysis {
        id: perfstream_core::id::id(&[b"analysis", hash.as_bytes(), spec.input_topic.as_bytes(), range.as_bytes()]),
        stream_id: spec.input_topic.clone(),
        analyzer: Analyzer {
            name: pipeline.meta.name.to_string(),
            title: pipeline.meta.title.clone(),
            r#type: serde_json::to_value(pipeline.meta.kind)
                .ok()
                .and_then(|v| v.as_str().map(String::from))
                .unwrap_or_default(),
            framework: pipeline.meta.framework.as_ref().map(|name| name.to_string()),
            stages: look::stages(pipeline),
            config_hash: hash.into(),
            window: look.window.clone(),
        },
        timestamp: time::format(crate::run::cluster::now()),
        time_window: TimeWindow {
            from,
            to,
            first: text(found.span.map(|span| span.0)),
            last: text(found.span.map(|span| span.1)),
            offsets,
        },
        ..Analysis::default()
    }
}

/// Appends the analysis and its insights, unless they stand there already.
fn store(analysis: &Analysis, limit: usize, place: &mut Place) -> Result<()> {
    if ids(place, ANALYSES)?.contains(&analysis.id) {
        tracing::info!(id = analysis.id, "this analysis is stored already");
        return Ok(());
    }
    for topic in [ANALYSES, INSIGHTS] {
        if place.partitions(topic)?.is_none() {
            place.create(topic)?;
        }
    }
    let short = serde_json::to_value(shortened(analysis.clone(), limit))?;
    // Insights first: an analysis that stands there has all of them.
    let known = ids(place, INSIGHTS)?;
    let insights = analysis.data.insights.iter().filter(|insight| !known.contains(&insight.id));
    let insights = insights.map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    append(place, INSIGHTS, &insights.iter().collect::<Vec<_>>())?;
    append(place, ANALYSES, &[&short])
}

/// The record with at most `limit` entries in each list.
pub fn shortened(mut analysis: Analysis, limit: usize) -> Analysis {
    let data = &mut analysis.data;
    data.patterns.truncate(limit);
    data.anomalies.truncate(limit);
    data.insights.truncate(limit);
    data.predictions.truncate(limit);
    analysis.alerts.truncate(limit);
    analysis
}

/// What the rules are asked about.
fn facts(
    look: &Look,
    found: &Found,
    (patterns, mut parts): (&insight::Patterns, parts::PartFacts),
    (anomalies, alerts, predictions): (&[Value], &[Value], &[Value]),
) -> Vec<rules::Segment> {
    let main = look.main().map(|field| field.name.clone()).unwrap_or_default();
    // A greater value is worse only where the dashboard says so.
    let rises = look.main().is_some_and(|field| field.good < field.poor);
    let mut of = |(name, labels): (&String, &BTreeMap<String, Value>)| {
        let mut facts: rules::Facts = parts.remove(name).unwrap_or_default().into_iter().collect();
        let mut events = 0.0;
        for field in &look.fields {
            let mut values: Vec<f64> = found.points(name, &field.name).iter().map(|point| point.1).collect();
            let Some(last) = values.last().copied() else { continue };
            values.sort_by(f64::total_cmp);
            facts.insert(field.name.clone(), json!(values[values.len() / 2]));
            facts.insert(format!("{}_max", field.name), json!(values[values.len() - 1]));
            facts.insert(format!("{}_last", field.name), json!(last));
            if field.source == "count" {
                events = values.iter().sum();
            }
        }
        for ((_, field), pattern) in patterns.iter().filter(|((segment, _), _)| segment == name) {
            let mut add = |what: &str, value: Value| {
                facts.insert(format!("{field}_{what}"), value.clone());
                if *field == main && rises {
                    facts.insert(format!("main_{what}"), value);
                }
            };
            match pattern {
                Pattern::Trend(trend) => add("trend", json!(trend.slope_per_hour)),
                Pattern::LevelShift(shift) => {
                    add("shift", json!(shift.after - shift.before));
                    add("shift_share", json!((shift.after - shift.before) / shift.before.abs().max(1e-12)));
                    add("shift_at", json!(moment(shift.at_us)));
                }
                Pattern::Seasonality(season) => add("period_hours", json!(season.period_ms as f64 / 3.6e6)),
                Pattern::PeriodicSpikes(spikes) => add("spikes_minutes", json!(spikes.period_ms as f64 / 6e4)),
            }
        }
        let here = |value: &Value| labels.iter().all(|(key, known)| value[key] == *known);
        facts.insert("alerts".into(), json!(alerts.iter().filter(|alert| here(&alert["labels"])).count()));
        facts.insert("anomalies".into(), json!(anomalies.iter().filter(|a| here(&a["segment"])).count()));
        for forecast in predictions.iter().filter(|forecast| here(&forecast["labels"])) {
            if let (Some(field), Some(ms)) = (forecast["field"].as_str(), forecast["time_to_breach"].as_f64()) {
                facts.insert(format!("{field}_breach_minutes"), json!(ms / 6e4));
                if field == main {
                    facts.insert("main_breach_minutes".into(), json!(ms / 6e4));
                }
            }
        }
        rules::Segment { name: name.clone(), labels: labels.clone(), facts, events }
    };
    found.segments.iter().map(&mut of).collect()
}

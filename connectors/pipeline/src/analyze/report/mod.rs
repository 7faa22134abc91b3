//! `perfstream report`: an analysis of a session's stream for people, as HTML, Markdown or JSON.

mod plot;
mod sessions;
#[cfg(test)]
mod tests;

pub use sessions::session;

use super::insight::{alerts, rating};
use super::look::segment;
use super::record::{Analysis, Data, FoundPattern, Metrics, Performance, Recommendation};
use super::{Outcome, shortened};
use crate::model::Pipeline;
use crate::run::records::SessionRecord;
use anyhow::Result;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use perfstream_core::patterns::sentence::{moment, number};
use perfstream_core::time;
use perfstream_core::time::TimeParser;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Plots in a report: the segments with the most to tell.
const PLOTS: usize = 6;

/// The report, in the words of the user's document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The same of the same session and analysis
    pub id: String,
    /// The session's newest record
    pub session: SessionRecord,
    /// The analysis
    pub stream_analysis: Analysis,
    /// The most important in short
    pub summary: Summary,
    /// Patterns of the stream
    pub patterns: Vec<FoundPattern>,
    /// Anomalies of the stream
    pub anomalies: Vec<Value>,
    /// Newest forecast of each series
    pub predictions: Vec<Value>,
    /// What the analysis cost
    pub performance: Performance,
    /// What to do, with sources
    pub recommendations: Vec<Recommendation>,
    /// What stands behind it
    pub appendices: Appendices,
    /// RFC 3339
    pub generated_at: String,
}

/// The most important in short.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// One sentence
    pub headline: String,
    /// Further sentences: the first insights of each sort, at most twelve
    pub sentences: Vec<String>,
    /// Segments whose median is good, needs improvement, is poor; zero where no thresholds are known
    pub ratings: [u64; 3],
}

/// What stands behind a report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Appendices {
    /// The session's configuration (hash by pipeline) and the analyzer's document
    pub configuration: Value,
    /// Rates of the analysis
    pub statistics: Metrics,
    /// Alerts of the stream
    pub alerts: Vec<Value>,
}

impl Report {
    /// Of an analysis; lists with at most `limit` entries.
    pub fn new(session: SessionRecord, outcome: &Outcome, pipeline: &Pipeline, limit: usize) -> Report {
        let analysis = shortened(outcome.analysis.clone(), limit);
        let Data { patterns, anomalies, predictions, .. } = analysis.data.clone();
        let document = pipeline.origin.as_deref().map_or(Value::Null, |origin| origin.node.to_value());
        Report {
            id: perfstream_core::id::id(&[b"report", session.id.as_bytes(), analysis.id.as_bytes()]),
            summary: summary(outcome),
            patterns,
            anomalies,
            predictions,
            performance: analysis.performance.clone(),
            recommendations: analysis.recommendations.clone(),
            appendices: Appendices {
                configuration: json!({ "session": session.config, "analyzer": document }),
                statistics: analysis.metrics.clone(),
                alerts: analysis.alerts.clone(),
            },
            generated_at: time::format(crate::run::cluster::now()),
            session,
            stream_analysis: analysis,
        }
    }

    /// One self-contained page.
    pub fn html(&self, outcome: &Outcome) -> Result<String> {
        let plots = self.plots(outcome)?;
        render("report.html", &json!({ "report": self, "plots": plots, "facts": facts(&self.stream_analysis) }))
    }

    /// Markdown.
    pub fn markdown(&self) -> Result<String> {
        render("report.md", &json!({ "report": self, "facts": facts(&self.stream_analysis) }))
    }

    /// Pictures of the segments with the most to tell, each with its name.
    fn plots(&self, outcome: &Outcome) -> Result<Vec<Value>> {
        let (look, found) = (&outcome.look, &outcome.found);
        let told = |name: &str| {
            let labels = &found.segments[name];
            let of = |value: &Value| labels.iter().all(|(key, known)| value[key] == *known);
            let patterns = outcome.analysis.data.patterns.iter().filter(|pattern| pattern.segment == *labels).count();
            let anomalies = outcome.analysis.data.anomalies.iter().filter(|a| of(&a["segment"])).count();
            let alerts = outcome.analysis.alerts.iter().filter(|a| of(&a["labels"])).count();
            (anomalies, alerts, patterns)
        };
        let mut names: Vec<&String> = found.segments.keys().collect();
        names.sort_by_key(|name| (std::cmp::Reverse(told(name)), (*name).clone()));
        names.truncate(PLOTS);
        let title = look.plot.as_ref().map_or("", |plot| &plot.title);
        let mut plots = Vec::new();
        for name in names {
            if let Some(svg) = plot::draw(outcome, name)? {
                plots.push(json!({ "name": name, "title": title, "svg": svg }));
            }
        }
        Ok(plots)
    }
}

/// Numbers of an analysis, for people.
fn facts(analysis: &Analysis) -> Value {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
    let counts = &analysis.counts;
    let when =
        |text: &Option<String>| or_dash(text.as_deref().and_then(|t| TimeParser::default().parse_text(t)).map(moment));
    json!({
        "first": when(&analysis.time_window.first),
        "last": when(&analysis.time_window.last),
        "cards": [
            ["events", counts.events.to_string()],
            ["results", counts.processed.to_string()],
            ["segments", counts.segments.to_string()],
            ["anomalies", counts.anomalies.to_string()],
            ["alerts", counts.alerts.to_string()],
            ["patterns", counts.patterns.to_string()],
        ],
        "cost": [
            ["events per second", number(analysis.metrics.events_per_second)],
            ["average latency", or_dash(analysis.metrics.average_latency.map(|ms| format!("{} ms", number(ms))))],
            ["anomaly rate", or_dash(analysis.metrics.anomaly_rate.map(|x| format!("{:.3} %", x * 100.0)))],
            ["pattern confidence", or_dash(analysis.metrics.pattern_confidence.map(|x| format!("{x:.4}")))],
            ["processing time", format!("{} ms", number(analysis.performance.processing_time))],
            ["processor time", format!("{} ms", number(analysis.performance.cpu_usage.total_ms))],
            ["memory", format!("{} MiB", analysis.performance.memory_usage >> 20)],
            ["dead letters", counts.dead_letters.to_string()],
            ["left out", counts.left_out.to_string()],
        ],
    })
}

fn summary(outcome: &Outcome) -> Summary {
    let (analysis, look, found) = (&outcome.analysis, &outcome.look, &outcome.found);
    let mut ratings = [0; 3];
    let mut worst: Option<(f64, &str)> = None;
    if let Some(field) = look.main() {
        for name in found.segments.keys() {
            let mut values: Vec<f64> = found.points(name, &field.name).iter().map(|p| p.1).collect();
            values.sort_by(f64::total_cmp);
            let Some(median) = values.get(values.len() / 2).copied() else { continue };
            match rating(field, median) {
                Some("good") => ratings[0] += 1,
                Some("poor") => ratings[2] += 1,
                Some(_) => ratings[1] += 1,
                None => {}
            }
            if worst.is_none_or(|(most, _)| median > most) {
                worst = Some((median, name));
            }
        }
    }
    let counts = &analysis.counts;
    let some = |n: u64, one: &str, many: &str| match n {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    let mut headline = format!(
        "{}, {}, {} in {} of {}",
        some(counts.anomalies, "anomaly", "anomalies"),
        some(alerts(found).len() as u64, "alert", "alerts"),
        some(counts.patterns, "pattern", "patterns"),
        some(counts.segments, "segment", "segments"),
        analysis.stream_id,
    );
    if let (Some(field), Some((median, name))) = (look.main(), worst) {
        headline.push_str(&format!("; highest median {}: {} {} ({name})", field.name, number(median), field.unit));
    }
    let of = |what: &'static str, most| analysis.data.insights.iter().filter(move |i| i.insight == what).take(most);
    let shown = of("anomaly", 4).chain(of("pattern", 4)).chain(of("forecast", 2)).chain(of("alert", 2));
    let sentences = shown.map(|insight| insight.summary.clone()).collect();
    Summary { headline, sentences, ratings }
}

/// An analysis as sentences.
pub fn text(analysis: &Analysis) -> String {
    let counts = &analysis.counts;
    let mut text = format!(
        "analysis {}: {} over {}, {} events, {} results of {} segments, {} anomalies, {} alerts, {} predictions\n",
        analysis.id,
        analysis.analyzer.name,
        analysis.stream_id,
        counts.events,
        counts.processed,
        counts.segments,
        counts.anomalies,
        counts.alerts,
        counts.predictions,
    );
    for insight in &analysis.data.insights {
        text.push_str(&format!("  {}: {}\n", insight.insight, insight.summary));
    }
    for recommendation in &analysis.recommendations {
        let on = segment(&[], &recommendation.segment);
        let Recommendation { title, text: why, source, others, .. } = recommendation;
        let more = if *others > 0 { format!("; {others} more") } else { String::new() };
        text.push_str(&format!("  do: {title} ({on}{more}): {why} {source}\n"));
    }
    text.push_str(&format!(
        "  {:.0} events/s, {:.0} ms in all, {} MiB\n",
        analysis.metrics.events_per_second,
        analysis.performance.processing_time,
        analysis.performance.memory_usage >> 20
    ));
    text
}

fn render(name: &str, values: &Value) -> Result<String> {
    let mut pages = Environment::new();
    // Records bring users' text: it is escaped wherever the page is HTML, and inline code in Markdown keeps it whole.
    pages.set_auto_escape_callback(|name| if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None });
    pages.add_filter("plain", |text: String| plain(&text));
    pages.add_template("report.html", include_str!("report.html"))?;
    pages.add_template("report.md", include_str!("report.md"))?;
    Ok(pages.get_template(name)?.render(Serde(values))?)
}

/// Text on one line in which Markdown has nothing to read.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!' | '&' | '~' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// The schema of reports, JSON Schema draft 2020-12.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Report).to_value();
    schema["title"] = "perfstream report".into();
    schema
}

//! Sentences for people: what an incident is, and why a cause is thought one.

use super::incident::{Incident, Member, Reason};
use super::rank::Cause;
use super::segment::Segment;
use crate::time;

/// What a summary is about.
pub(super) struct Scene<'i> {
    pub incident: &'i Incident,
    /// The likeliest cause and its most telling anomaly
    pub cause: Option<(&'i Cause, &'i Member)>,
    pub segment: Option<&'i Segment>,
    pub reason: Option<Reason>,
    pub into: Option<&'i str>,
    pub service: &'i str,
}

/// `5 anomalies of 3 services since 2026-01-01T00:10:00Z, 4 open; likely cause: db, cpu 95 instead of 40, …`
pub(super) fn summary(scene: &Scene<'_>) -> String {
    let incident = scene.incident;
    let mut nodes: Vec<&str> = incident.members.iter().map(|member| &*member.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let services = incident.members.iter().all(|member| member.anomaly.labels.contains_key(scene.service));
    let place = if services { "service" } else { "segment" };
    let what = plural(incident.count as usize, "anomaly", "anomalies");
    let of = plural(nodes.len(), place, &format!("{place}s"));
    let begin = time::format(incident.first);
    let mut text = match scene.reason {
        None => format!("{what} of {of} since {begin}, {} open", incident.open()),
        Some(Reason::AllEnded) => format!("{what} of {of} from {begin} to {}", time::format(incident.ended)),
        Some(Reason::Silent) => format!("{what} of {of} since {begin}; no word of them any more"),
        Some(Reason::Evicted) => format!("{what} of {of} since {begin}; forgotten for newer incidents"),
        Some(Reason::Merged) => {
            return format!("{what} of {of} since {begin}, merged into {}", scene.into.unwrap_or_default());
        }
    };
    if let Some((cause, member)) = scene.cause {
        let why = reasons(cause, member).join(", ");
        text.push_str(&format!("; likely cause: {} ({why})", cause.node));
    }
    if let Some(segment) = scene.segment {
        let Segment { dimension, value, share, metric, .. } = segment;
        text.push_str(&format!("; {dimension}={value} has {:.0} % of the excess of {metric}", share * 100.0));
    }
    text
}

/// Why a cause is thought one, in words.
pub(super) fn reasons(cause: &Cause, member: &Member) -> Vec<String> {
    let anomaly = &member.anomaly;
    let mut reasons = Vec::new();
    if let (Some(value), Some(expected)) = (anomaly.value, anomaly.expected) {
        reasons.push(format!("{} {} instead of {}", anomaly.metric, short(value), short(expected)));
    }
    if let (followers @ 1.., others) = cause.followers {
        reasons.push(format!("{followers} of {} began soon after it", plural(others, "other", "others")));
    }
    if !cause.explains.is_empty() {
        let callers = plural(cause.explains.len(), "of them depends on it", "of them depend on it");
        reasons.push(callers);
    }
    reasons
}

fn plural(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// Three digits, or as many as stand before the point.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if !(1e-4..1e15).contains(&size) => format!("{x:.2e}"),
        size if size >= 100.0 => format!("{x:.0}"),
        size if size >= 10.0 => format!("{x:.1}"),
        size if size >= 1.0 => format!("{x:.2}"),
        _ => format!("{x:.4}"),
    }
}

//! Records of incidents.
//!
//! `incident_id` is a hash of the pipeline and the first anomaly's id: neither the config nor the partition is
//! in it. `id` adds partition and revision. Lists are cut: [`MOST_MEMBERS`] anomalies, the earliest first,
//! [`MOST_CAUSES`] causes with [`MOST_EXPLAINED`] names each, [`MOST_SERVICES`] names, so a record stays below
//! 128 KiB; 2 to 8 KiB are usual.

use super::incident::{Incident, Member, Reason};
use super::inhibit::inhibit;
use super::rank::Cause;
use super::segment::Segment;
use super::sentence::{Scene, reasons, summary};
use crate::clock::NEVER;
use crate::row::{Kind, Meta, Output};
use crate::stage::Context;
use crate::time;
use crate::value::Value;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

const MOST_MEMBERS: usize = 16;
const MOST_CAUSES: usize = 5;
const MOST_SERVICES: usize = 32;
const MOST_EXPLAINED: usize = 8;

/// What is told of an incident.
pub(super) struct Telling<'i> {
    pub incident: &'i Incident,
    /// Best first
    pub causes: &'i [Cause],
    pub segment: Option<&'i Segment>,
    /// Why it is resolved, if it is
    pub reason: Option<Reason>,
    /// Id of the incident that it is merged into
    pub into: Option<&'i str>,
    /// Label that names services
    pub service: &'i str,
    /// Labels that are compared
    pub dimensions: &'i [Box<str>],
}

/// The id of the incident that an anomaly begins.
pub(super) fn incident_id(context: &Context, anomaly: &str) -> Box<str> {
    crate::id::id(&[context.pipeline.as_bytes(), b"incident", anomaly.as_bytes()]).into()
}

impl Telling<'_> {
    /// Writes the record of `time` as a row that `offset` and `log_time` triggered.
    pub fn write(&self, context: &Context, time: i64, (offset, log_time): (i64, i64), out: &mut Output) {
        let incident = self.incident;
        let scene = self.scene();
        let meta = Meta { kind: Kind::Incident, offset, log_time, event_time: time };
        let mut row = out.row(meta, incident.key.as_deref());
        row.field("id", &self.id(context))
            .field("incident_id", &*incident.id)
            .field("pipeline", &context.pipeline)
            .field("stage", &context.stage)
            .field("state", self.state())
            .field("reason", self.reason.map(Reason::name))
            .field("merged_into", self.into)
            .field("revision", i64::from(incident.revision))
            .field("started_at", &time::format(incident.first))
            .field("ended_at", self.ended(time).as_ref())
            .field("summary", &summary(&scene))
            .field("anomalies", i64::from(incident.count))
            .field("open", incident.open() as i64)
            .field("services", Value::Json(&self.services().to_string()));
        if let Some(best) = scene.cause {
            row.field("cause", &*best.0.node).field("cause_metric", &*best.1.anomaly.metric);
            row.field("cause_score", best.0.score);
        }
        row.field("causes", Value::Json(&self.told_causes().to_string()));
        let segment = self.segment.map(told_segment);
        row.field("segment", segment.as_ref().map_or(Value::Null, |text| Value::Json(text)));
        let rule = inhibit(incident, self.causes, self.service, self.dimensions).map(|rule| rule.to_string());
        row.field("inhibit", rule.as_ref().map_or(Value::Null, |text| Value::Json(text)));
        row.field("members", Value::Json(&self.members().to_string()));
    }

    fn id(&self, context: &Context) -> String {
        let (partition, revision) = (context.partition.to_le_bytes(), self.incident.revision.to_le_bytes());
        crate::id::id(&[context.stage.as_bytes(), self.incident.id.as_bytes(), &partition, &revision])
    }

    fn state(&self) -> &'static str {
        match (self.reason, self.incident.is_told()) {
            (Some(_), _) => "resolved",
            (None, true) => "updated",
            (None, false) => "open",
        }
    }

    /// When it ended: with its last anomaly, where all have.
    fn ended(&self, time: i64) -> Option<String> {
        match self.reason? {
            Reason::AllEnded if self.incident.ended != NEVER => Some(time::format(self.incident.ended)),
            _ => Some(time::format(time)),
        }
    }

    fn scene(&self) -> Scene<'_> {
        let best = self.causes.first();
        Scene {
            incident: self.incident,
            cause: best.and_then(|cause| Some((cause, self.incident.members.get(cause.member)?))),
            segment: self.segment,
            reason: self.reason,
            into: self.into,
            service: self.service,
        }
    }

    fn services(&self) -> Json {
        let names: BTreeSet<&str> = self.incident.members.iter().map(|member| &*member.node).collect();
        names.into_iter().take(MOST_SERVICES).collect()
    }

    fn told_causes(&self) -> Json {
        let told = |cause: &Cause| {
            let member = self.incident.members.get(cause.member)?;
            let [graph, onset, strength] = cause.parts;
            Some(json!({
                "service": cause.node,
                "labels": member.anomaly.labels,
                "pipeline": member.anomaly.pipeline,
                "metric": member.anomaly.metric,
                "anomaly_id": member.anomaly.id,
                "score": cause.score,
                "parts": { "graph": graph, "onset": onset, "strength": strength },
                "explains": cause.explains.iter().take(MOST_EXPLAINED).collect::<Vec<_>>(),
                "reasons": reasons(cause, member),
            }))
        };
        self.causes.iter().take(MOST_CAUSES).filter_map(told).collect()
    }

    /// The earliest first.
    fn members(&self) -> Json {
        let mut members: Vec<&Member> = self.incident.members.iter().collect();
        members.sort_by_key(|member| (member.anomaly.onset, &member.anomaly.id));
        members.into_iter().take(MOST_MEMBERS).map(told_member).collect()
    }
}

fn told_member(member: &Member) -> Json {
    let anomaly = &member.anomaly;
    let direction = anomaly.up().map(|up| if up { "up" } else { "down" });
    json!({
        "anomaly_id": anomaly.id,
        "pipeline": anomaly.pipeline,
        "metric": anomaly.metric,
        "labels": anomaly.labels,
        "started_at": time::format(anomaly.onset),
        "ended_at": member.ended.map(time::format),
        "direction": direction,
        "value": anomaly.value,
        "expected": anomaly.expected,
        "z": anomaly.z,
        "linked_by": member.link.name(),
    })
}

fn told_segment(segment: &Segment) -> String {
    let mut of = BTreeMap::new();
    of.insert(&*segment.dimension, &*segment.value);
    json!({
        "pipeline": segment.pipeline,
        "metric": segment.metric,
        "labels": of,
        "share": segment.share,
        "expected_share": segment.expected_share,
        "surprise": segment.surprise,
        "anomalies": segment.of_value,
        "rest": {
            "share": 1.0 - segment.share,
            "anomalies": segment.anomalies - segment.of_value,
            "values": segment.others,
            "opposite": segment.opposite,
        },
    })
    .to_string()
}

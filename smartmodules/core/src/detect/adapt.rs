//! What happens by itself or on a verdict: adaptation to drift, learning from feedback, and the
//! `insight` records that say what it was before and after.

use super::detector::short_name;
use super::learning::{AdaptationMethod, Trigger};
use super::record::{Record, head};
use super::{DetectStage, WAITING_MAX};
use crate::row::Kind;
use crate::time;
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A distribution has changed if chance would give such a distance less often than this.
const KS_P: f64 = 0.001;
/// Series that an insight names.
const NAMED: usize = 10;

impl DetectStage {
    /// Once per period: has anything drifted since the last one? If so, acts on it.
    pub(super) fn adapt(&mut self) {
        let period = self.detector.adaptation.frequency.span().us();
        let clock = self.state.clock.now;
        if self.state.adapt_at == i64::MIN {
            self.state.adapt_at = clock.saturating_add(period);
        }
        if !self.detector.adaptation.enabled || clock < self.state.adapt_at {
            return;
        }
        self.state.adapt_at = clock.saturating_add(period);
        let triggers = &self.detector.adaptation.triggers;
        let wants = |trigger| triggers.contains(&trigger);
        let retrains = self.detector.adaptation.methods.contains(&AdaptationMethod::ModelRetraining);
        let (mut performance, mut concept, mut all) = (0_u64, 0_u64, 0_u64);
        let mut changed: Vec<Json> = Vec::new();
        let plan = Arc::clone(&self.plan);
        self.segments.each(|segment| {
            for (metric, series) in segment.series.iter_mut().enumerate() {
                let Some(series) = series else { continue };
                all += 1;
                let differs = || series.drift.distributions().is_some_and(|(_, p)| p < KS_P);
                let worse = wants(Trigger::PerformanceDrift) && series.drift.performance;
                let moved = wants(Trigger::ConceptDrift) && series.drift.concept;
                let other = wants(Trigger::ConceptDrift) && differs();
                performance += worse as u64;
                concept += (moved || other) as u64;
                let tests = [("page-hinkley", worse), ("adwin", moved), ("kolmogorov-smirnov", other)];
                if tests.iter().all(|(_, found)| !found) {
                    continue;
                }
                let before = series.level.level();
                let mean = series.drift.mean();
                if retrains {
                    series.restart();
                }
                if changed.len() < NAMED {
                    let name = plan.metrics.get(metric).map_or("", |m| short_name(m));
                    changed.push(json!({
                        "metric": name,
                        "segment": serde_json::from_str::<Json>(&segment.labels).unwrap_or_default(),
                        "tests": tests.iter().filter(|t| t.1).map(|t| t.0).collect::<Vec<_>>(),
                        "mean": mean,
                        "before": { "level": before },
                        "after": { "level": series.level.level() },
                    }));
                }
            }
        });
        if performance + concept == 0 {
            self.learned.end_period(false, &self.plan);
            return;
        }
        let before = self.condition();
        if retrains && let Some(plan) = &self.plan.forest {
            self.learner.retrain(plan, clock);
        }
        let adjusts = self.detector.adaptation.methods.contains(&AdaptationMethod::ThresholdAdjustment);
        let adjusted = self.learned.end_period(adjusts, &self.plan);
        // What was done, and not what may be.
        let done = [(AdaptationMethod::ModelRetraining, retrains), (AdaptationMethod::ThresholdAdjustment, adjusted)];
        let methods: Vec<&AdaptationMethod> = done.iter().filter(|(_, done)| *done).map(|(method, _)| method).collect();
        self.insight(
            "adaptation",
            vec![
                ("triggers", json!({ "performance-drift": performance, "concept-drift": concept })),
                ("methods", json!(methods)),
                ("series", json!({ "all": all, "changed": changed })),
                ("before", before),
                ("after", self.condition()),
                ("summary", format!("{} of {all} series have drifted", performance.max(concept)).into()),
            ],
        );
    }

    /// A verdict on an anomaly.
    pub(super) fn learn_from(&mut self, id: &str, verdict: &str, resolution_s: Option<f64>) {
        let feedback = self.detector.feedback.clone();
        let before = self.condition();
        if !feedback.enabled || !self.learned.verdict(id, verdict, resolution_s, &feedback, &self.plan) {
            self.state.counts.feedback_ignored += 1;
            return;
        }
        self.state.counts.feedback += 1;
        self.insight(
            "feedback",
            vec![
                ("anomaly_id", id.into()),
                ("verdict", verdict.into()),
                ("resolution_time_s", json!(resolution_s)),
                ("before", before),
                ("after", self.condition()),
                ("summary", format!("a verdict of {verdict} has changed weights and threshold").into()),
            ],
        );
    }

    /// Weights, threshold and forest as they are.
    fn condition(&self) -> Json {
        let names = self.plan.names.iter().map(|name| name.name().to_string());
        let weights: serde_json::Map<String, Json> = names.zip(self.learned.weights.iter().map(|w| json!(w))).collect();
        let forest = self.plan.forest.as_ref().map(|plan| {
            let (rows, at) = self.learner.trained(plan);
            json!({ "rows": rows, "trained_at": (rows > 0).then(|| time::format(at)) })
        });
        json!({ "weights": weights, "threshold": self.learned.threshold, "forest": forest })
    }

    fn insight(&mut self, what: &'static str, more: Vec<(&'static str, Json)>) {
        self.state.insights += 1;
        if self.state.waiting.len() >= WAITING_MAX {
            return;
        }
        let number = self.state.insights.to_le_bytes();
        let mut fields = head(&self.context, &self.id, &[what.as_bytes(), &number]);
        fields.push(("insight", what.into()));
        fields.extend(more);
        let fields = fields.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.state.waiting.push((self.state.clock.now.max(0), fields));
    }

    /// Insights that were made where there was no output to write them to.
    pub(super) fn waiting(&mut self) -> Vec<Record> {
        let waiting = std::mem::take(&mut self.state.waiting);
        let field = |(name, text): (String, String)| {
            let name = INSIGHT_FIELDS.iter().find(|known| **known == name)?;
            Some((*name, serde_json::from_str(&text).ok()?))
        };
        waiting
            .into_iter()
            .map(|(time, fields)| Record {
                kind: Kind::Insight,
                time,
                key: None,
                fields: fields.into_iter().filter_map(field).collect(),
            })
            .collect()
    }
}

/// Fields of insights: a snapshot has them as texts.
const INSIGHT_FIELDS: [&str; 15] = [
    "id",
    "pipeline",
    "stage",
    "detector",
    "insight",
    "triggers",
    "methods",
    "series",
    "anomaly_id",
    "verdict",
    "resolution_time_s",
    "before",
    "after",
    "summary",
    "reason",
];

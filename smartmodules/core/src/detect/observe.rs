//! What one value does: every method is asked, the vote is weighed, it is learned, and it may open an
//! anomaly.

use super::DetectStage;
use super::detector::short_name;
use super::episode::{Change, Detection, Evidence, Peak, Told, step};
use super::judge::{About, Found};
use super::learning::DerivedFeature;
use super::level::Forecast;
use super::novelty::STREAMS;
use super::plan::{Method, Plan};
use super::record::{Anomaly, Judged, Record, anomaly_id, head};
use super::score::{Finding, combine, confidence, is_detection, shares};
use super::segments::{Join, Segment};
use super::series::Series;
use crate::row::{Kind, Row};
use crate::value::Value;
use std::sync::Arc;

/// Normalised metrics are cut here.
const FAR: f64 = 100.0;

impl DetectStage {
    /// Puts a metric beside the others of its window end, for the forest, which alone asks for them.
    pub(super) fn join(&self, segment: &mut Segment, metric: usize, value: Option<f64>, about: &About) {
        if self.plan.forest.is_none() {
            return;
        }
        let series = segment.series.get(metric).and_then(Option::as_ref);
        let forecast = series.and_then(|s| s.level.forecast(about.time, about.n(), self.plan.smoothing));
        if let Some(value) = value {
            join(&mut segment.join, metric, about.time, value, forecast);
        }
    }

    /// Judges one metric of a row, and learns it.
    pub(super) fn observe(
        &mut self,
        row: &Row<'_>,
        segment: &mut Segment,
        (metric, value): (usize, Option<f64>),
        about: &About,
        found: &mut Found,
    ) {
        let plan = Arc::clone(&self.plan);
        let taken = segment.series.get_mut(metric).and_then(Option::take);
        let mut series = taken.unwrap_or_else(|| Box::new(Series::new(&plan)));
        match value {
            Some(value) => self.observe_value(row, segment, &mut series, (metric, value), about, found, &plan),
            None => {
                self.state.counts.missing += 1;
                series.miss(about.time);
            }
        }
        if let Some(slot) = segment.series.get_mut(metric) {
            *slot = Some(series);
        }
    }

    #[allow(clippy::too_many_arguments)] // the row, its place, and where things go
    fn observe_value(
        &mut self,
        row: &Row<'_>,
        segment: &mut Segment,
        series: &mut Series,
        (metric, value): (usize, f64),
        about: &About,
        found: &mut Found,
        plan: &Plan,
    ) {
        self.state.counts.observations += 1;
        let forecast = series.level.forecast(about.time, about.n(), plan.smoothing);
        let features = self.features(row, &segment.join, (metric, about.time), plan);
        let mut judged = self.judged(series, (metric, value), about, forecast, &features, plan);
        judged.told.stand_ins = stand_ins(&segment.join, about.time, plan);
        let mut evidence = self.weigh(&mut judged, forecast, about, plan);
        if judged.detected {
            let fresh = about.time > series.armed_until && series.episode.is_none();
            if fresh || series.detection.as_ref().is_none_or(|known| judged.score > Some(known.score)) {
                series.detection = Some(Box::new(judged.found.clone()));
            }
            series.armed_until = about.time.saturating_add(plan.validation.fold.us());
        } else if about.time > series.armed_until && series.episode.is_none() {
            series.detection = None;
        }
        evidence.begins |= evidence.outside && about.time <= series.armed_until;
        if step(&mut series.episode, &evidence, plan) == Change::Opened
            && let Some(episode) = &mut series.episode
        {
            let id = anomaly_id(&self.context, &self.id, &plan.metrics[metric], &segment.key, episode.start);
            let detection = series.detection.get_or_insert_with(|| Box::new(judged.found.clone()));
            self.learned.remember(&id, detection.scores(), detection.score);
            let contributions = self.contributions(metric, detection, &features, plan);
            let told = Told { contributions, ..judged.told.clone() };
            let mut fields = head(&self.context, &self.id, &[id.as_bytes(), b"open"]);
            episode.anomaly_id = Some(id.into());
            let anomaly = Anomaly { plan, metric, labels: &segment.labels, episode, told: &told, detection };
            fields.extend(anomaly.opened(value, judged.expected));
            episode.told = Some(Box::new(told));
            self.state.counts.anomalies += 1;
            found.records.push(Record {
                kind: Kind::Anomaly,
                time: about.time,
                key: segment.record_key.clone(),
                fields,
            });
        }
        segment.scored |= judged.score.is_some();
        found.note(&judged, plan, self.detail, self.expected);
        if let Some(forest) = plan.forest.as_ref().filter(|_| about.learns && plan.sources.is_known(&features)) {
            self.learner.learn(forest, about.time, &features);
        }
        series.learn((about.time, value, about.n()), forecast, plan);
    }

    /// A row for the forest: the metrics of the segment at this time, then what training asks for.
    fn features<'r>(&self, row: &Row<'r>, join: &Join, (metric, time): (usize, i64), plan: &Plan) -> Vec<Value<'r>> {
        if plan.forest.is_none() {
            return Vec::new();
        }
        let of = |metric: usize| join.values.get(metric).copied().flatten();
        let number = |x: Option<f32>| x.map_or(Value::Null, |x| Value::Float(f64::from(x)));
        let sources = &plan.sources;
        let metrics = sources.metrics.iter().map(|source| number(used(join, time, *source).and_then(of)));
        let mut features: Vec<Value<'r>> = metrics.collect();
        features.extend(sources.value.then(|| number(used(join, time, (metric, None)).and_then(of))));
        features.extend(self.slots.features.iter().map(|slot| row.get(*slot)));
        features.extend(sources.derived.iter().map(|derived| {
            let hour = time.div_euclid(3_600_000_000);
            Value::Int(match derived {
                DerivedFeature::HourOfDay => hour.rem_euclid(24),
                // 1 January 1970 was a Thursday.
                DerivedFeature::DayOfWeek => (hour.div_euclid(24) + 3).rem_euclid(7),
            })
        }));
        features
    }

    /// What all methods say of a value.
    fn judged(
        &mut self,
        series: &mut Series,
        (metric, value): (usize, f64),
        about: &About,
        forecast: Option<Forecast>,
        features: &[Value<'_>],
        plan: &Plan,
    ) -> Judged {
        let mut findings: Vec<Option<Finding>> = Vec::with_capacity(plan.methods.len());
        for method in &plan.methods {
            findings.push(match (method, &plan.forest) {
                (Method::Forest, Some(forest)) if plan.sources.is_known(features) => {
                    self.learner.judge(forest, features)
                }
                _ => series.judge(method, (about.time, value, about.events), forecast, &mut self.scratch),
            });
        }
        let score = combine(plan.voting, &self.learned.weights, &findings);
        let own = forecast.map(|f| (f.expected, f.range(plan.z)));
        let of_method = || findings.iter().flatten().find_map(|f| Some((f.expected?, f.range?)));
        let expected = own.or_else(of_method);
        let absent = features.iter().enumerate().filter(|(_, value)| value.is_null());
        Judged {
            metric,
            value,
            score,
            expected: expected.map(|e| e.0),
            told: Told {
                range: expected.map(|e| e.1),
                absent: absent.map(|(number, _)| number as u16).collect(),
                baseline: series.baseline.known(),
                events: about.events,
                ..Told::default()
            },
            found: Detection {
                time: about.time,
                score: score.unwrap_or_default(),
                threshold: self.learned.threshold,
                confidence: confidence(&self.learned.weights, &findings),
                weights: self.learned.weights.clone(),
                findings,
            },
            detected: false,
            excluded: None,
        }
    }

    /// Puts the rules of validation to an observation.
    fn weigh(&mut self, judged: &mut Judged, forecast: Option<Forecast>, about: &About, plan: &Plan) -> Evidence {
        let counts = &mut self.state.counts;
        judged.detected = judged.score.is_some_and(|score| is_detection(plan.voting, score, self.learned.threshold));
        if let Some(score) = judged.score {
            counts.scored += 1;
            self.learned.count(score);
        }
        counts.detections += judged.detected as u64;
        let expected = judged.expected.unwrap_or(judged.value);
        let off = judged.value - expected;
        // What matters is a share of what the segment usually has, and not of what it has at its quietest hour.
        let usual = judged.told.baseline.map_or(expected, |known| known.value);
        let scale = usual.abs().max(forecast.map_or(0.0, |f| f.sigma));
        let in_range = judged.told.range.is_some_and(|(low, high)| (low..=high).contains(&judged.value));
        let few = about.events.is_some_and(|n| n < plan.validation.min_events);
        let why = if plan.dynamic && in_range {
            Some(("in_range", &mut counts.in_range))
        } else if off.abs() < plan.effect * scale || !plan.matters(off > 0.0) {
            Some(("small", &mut counts.small))
        } else if few {
            Some(("few_events", &mut counts.few_events))
        } else if about.mix_shift {
            Some(("mix_shift", &mut counts.mix_shift))
        } else {
            None
        };
        let outside = why.is_none() && (plan.dynamic || judged.detected);
        if let Some((name, counter)) = why
            && judged.detected
        {
            judged.excluded = Some(name);
            *counter += 1;
        }
        let peak = Peak { time: about.time, value: judged.value, expected };
        Evidence { time: about.time, begins: judged.detected && outside, outside, up: off > 0.0, peak }
    }

    /// What the detection was made of: each method's share of its score, of the forest as shares of the features that
    /// set this row apart, of `novelty` by what was new, of the others the metric itself.
    fn contributions(&mut self, metric: usize, of: &Detection, features: &[Value<'_>], plan: &Plan) -> Vec<(u16, f64)> {
        let own = plan.features().len();
        let mut all = vec![0.0; plan.feature_count()];
        let methods = plan.methods.iter().zip(shares(plan.voting, &of.weights, &of.findings)).zip(&of.findings);
        for ((method, share), finding) in methods.filter(|((_, share), _)| *share > 0.0) {
            let parts: Vec<(usize, f64)> = match (method, &plan.forest, finding) {
                (Method::Forest, Some(forest), _) => self.learner.contributions(forest, features),
                (Method::Novelty(_), _, Some(finding)) => {
                    let worth = finding.parts.iter().take(STREAMS.len()).map(|worth| worth * worth);
                    let square: f64 = worth.clone().sum();
                    worth
                        .map(|w| w / square)
                        .enumerate()
                        .map(|(at, w)| (own + 1 + at, w))
                        .filter(|p| p.1 > 0.0)
                        .collect()
                }
                _ => Vec::new(),
            };
            match parts.is_empty() {
                true => all[plan.own_feature(metric)] += share,
                false => parts.iter().for_each(|(at, part)| all[*at] += share * part),
            }
        }
        if all.iter().all(|share| *share == 0.0) {
            all[plan.own_feature(metric)] = 1.0;
        }
        let some = all.into_iter().enumerate().filter(|(_, share)| *share > 0.0);
        let mut contributions: Vec<(u16, f64)> = some.map(|(at, share)| (at as u16, share)).collect();
        contributions.shrink_to_fit();
        contributions
    }
}

/// The metric that a feature has its value from at this time: its own, or the one that stands in.
fn used(join: &Join, time: i64, (own, stand_in): (usize, Option<usize>)) -> Option<usize> {
    let known = |metric: &usize| join.end == time && join.values.get(*metric).is_some_and(Option::is_some);
    Some(own).filter(known).or_else(|| stand_in.filter(known))
}

/// Features that another metric stood in for, and that metric.
fn stand_ins(join: &Join, time: i64, plan: &Plan) -> Vec<(u16, u16)> {
    let used = plan.sources.metrics.iter().enumerate().filter_map(|(feature, source)| {
        let metric = used(join, time, *source)?;
        (source.1 == Some(metric) && plan.feature(metric, feature).0 != short_name(&plan.metrics[metric]))
            .then_some((feature as u16, metric as u16))
    });
    used.collect()
}

fn join(join: &mut Join, metric: usize, time: i64, value: f64, forecast: Option<Forecast>) {
    if time > join.end {
        join.end = time;
        join.values.fill(None);
    }
    let off = forecast.map(|f| ((value - f.expected) / f.sigma).clamp(-FAR, FAR) as f32);
    if time == join.end
        && let Some(slot) = join.values.get_mut(metric)
    {
        *slot = off;
    }
}

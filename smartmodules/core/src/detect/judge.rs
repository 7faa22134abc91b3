//! What one row does: every metric in it is judged, learned, and may open an anomaly.
//!
//! The row goes out first, with what was found; then the records it caused.

use super::best::LARGEST;
use super::detector::short_name;
use super::episode::{Change, Evidence, Peak, step};
use super::learning::DerivedFeature;
use super::level::Forecast;
use super::plan::{Method, Plan};
use super::record::{Judged, Record, anomaly_id, head, opened};
use super::score::{Finding, combine, confidence, is_detection};
use super::segments::{Join, Segment};
use super::series::Series;
use super::{DetectStage, OWN};
use crate::alert::text::{group_key, labels};
use crate::clock::NEVER;
use crate::row::{Kind, Output, Row};
use crate::value::Value;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A record's key beyond this is not kept.
const MAX_RECORD_KEY_BYTES: usize = 256;
/// Normalised metrics are cut here.
const FAR: f64 = 100.0;

/// What was found in one row.
#[derive(Debug, Default)]
struct Found {
    /// The worst score; `Some(None)`: judged, and not scored
    score: Option<Option<f64>>,
    /// An open anomaly; `Some(None)`: scored, and none is open
    anomaly: Option<Option<Box<str>>>,
    details: Vec<Json>,
    records: Vec<Record>,
}

/// What the stage knows of a row beside its metrics.
#[derive(Debug, Clone, Copy)]
struct About {
    time: i64,
    events: Option<u64>,
    mix_shift: bool,
}

impl About {
    /// Number of events that the row stands for, 1 if it does not say.
    fn n(&self) -> f64 {
        self.events.map_or(1.0, |n| n as f64)
    }
}

impl DetectStage {
    /// Judges every metric of a row and passes it on.
    pub(super) fn judge(&mut self, row: &Row<'_>, out: &mut Output) {
        let values: Vec<(usize, Option<f64>)> =
            (0..self.plan.metrics.len()).filter_map(|metric| Some((metric, self.value_of(row, metric)?))).collect();
        if values.is_empty() {
            return out.pass(row);
        }
        self.state.counts.rows += 1;
        let time = self.time_of(row);
        self.adapt();
        group_key(&self.segmentation, row, &mut self.key);
        let mut found = Found::default();
        let (number, mut segment) = self.open_segment(row);
        segment.seen = self.state.counts.rows;
        let events = row.get(self.slots.count).as_f64().filter(|n| *n >= 0.0).map(|n| n as u64);
        let mix_shift = self.observe_mix(row, (time, events), &mut segment);
        let about = About { time, events, mix_shift };
        for value in values {
            self.observe(row, &mut segment, value, &about, &mut found);
        }
        found.score.get_or_insert(None);
        found.anomaly = segment.anomaly().map(|open| open.map(Into::into));
        self.segments.put(number, segment, &self.plan);
        self.make_room(&mut found);
        self.pass(row, &found, out);
        for record in &found.records {
            record.write(self.state.trigger, out);
        }
    }

    /// Passes on a row that is not judged with what is known of its segment.
    pub(super) fn tell(&mut self, row: &Row<'_>, out: &mut Output) {
        group_key(&self.segmentation, row, &mut self.key);
        match self.segments.get(&self.key).map(|segment| segment.anomaly().map(|open| open.map(Into::into))) {
            Some(anomaly) => self.pass(row, &Found { anomaly, ..Found::default() }, out),
            None => out.pass(row),
        }
    }

    /// The value of a metric in the row: `None` if the row says nothing of it, `Some(None)` if it has no number.
    fn value_of(&self, row: &Row<'_>, metric: usize) -> Option<Option<f64>> {
        if let Some(slot) = self.slots.metrics.get(metric)?.iter().find(|slot| row.has(**slot)) {
            return Some(number(row.get(*slot)));
        }
        let name = row.get(self.slots.metric).as_str()?;
        let own = self.plan.metrics.get(metric)?;
        let named = name == &**own || name.eq_ignore_ascii_case(short_name(own));
        (named && row.has(self.slots.value)).then(|| number(row.get(self.slots.value)))
    }

    /// Event time of a row, and the clock moves; a row without one is judged at the clock.
    fn time_of(&mut self, row: &Row<'_>) -> i64 {
        let state = &mut self.state;
        let time = match (row.meta.event_time, state.clock) {
            (NEVER, NEVER) => row.meta.log_time,
            (NEVER, clock) => clock,
            (time, _) => time,
        };
        state.clock = state.clock.max(time);
        state.due_until = state.due_until.max(state.clock.saturating_sub(1));
        time
    }

    /// Forgets what has been unseen for longest until the rest fits.
    fn make_room(&mut self, found: &mut Found) {
        while let Some(mut old) = self.segments.surplus(&self.limit, &self.plan) {
            self.state.counts.evicted += 1;
            for metric in 0..old.series.len() {
                found.records.extend(self.close(&mut old, metric, self.state.clock, "evicted"));
            }
        }
    }

    /// The row's segment; a new one if it must be.
    fn open_segment(&mut self, row: &Row<'_>) -> (u64, Segment) {
        if let Some(known) = self.segments.take_key(&self.key, &self.plan) {
            return known;
        }
        let mut segment = Segment::new(&self.key, &self.plan, self.slots.mix.len());
        segment.labels = labels(&self.segmentation, row, &BTreeMap::new()).into();
        segment.record_key = row.key.filter(|key| key.len() <= MAX_RECORD_KEY_BYTES).map(Into::into);
        (self.segments.number(), segment)
    }

    /// Has a share of the traffic left its usual place?
    fn observe_mix(&mut self, row: &Row<'_>, (time, events): (i64, Option<u64>), segment: &mut Segment) -> bool {
        let (mut shifted, events) = (false, events.map_or(1.0, |n| n as f64));
        for (slot, level) in self.slots.mix.iter().zip(&mut segment.mix) {
            let Some(share) = number(row.get(*slot)) else { continue };
            let moved = |f: Forecast| {
                let far = (share - f.expected).abs();
                far > self.plan.validation.mix_shift && far > f.width(self.plan.z)
            };
            shifted |= level.forecast(time, events, self.plan.smoothing).is_some_and(moved);
            level.learn(time, share, events, self.plan.smoothing);
        }
        shifted
    }

    fn observe(
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
        join(&mut segment.join, metric, about.time, value, forecast);
        let features = self.features(row, &segment.join, (metric, about.time), plan);
        let mut judged = self.judged(series, (metric, value), about, forecast, &features, plan);
        let mut evidence = self.weigh(&mut judged, forecast, about, plan);
        if judged.detected {
            series.armed_until = about.time.saturating_add(plan.validation.fold.us());
        }
        evidence.begins |= evidence.outside && about.time <= series.armed_until;
        if step(&mut series.episode, &evidence, plan) == Change::Opened
            && let Some(episode) = &mut series.episode
        {
            judged.contributions = self.contributions(&features, judged.metric, plan);
            let id = anomaly_id(&self.context, &self.id, judged.metric, &segment.key, episode.start);
            let mut fields = head(&self.context, &self.id, &[id.as_bytes(), b"open"]);
            self.learned.remember(&id, &judged.findings);
            episode.anomaly_id = Some(id.into());
            fields.extend(opened(episode, &judged, &segment.labels));
            self.state.counts.anomalies += 1;
            found.records.push(Record {
                kind: Kind::Anomaly,
                time: about.time,
                key: segment.record_key.clone(),
                fields,
            });
        }
        segment.scored |= judged.score.is_some();
        found.note(&judged, self.detail);
        if let Some(forest) = plan.forest.as_ref().filter(|_| plan.sources.is_known(&features)) {
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
        let at_this_time = join.end == time;
        let metrics = sources.metrics.iter().map(|(own, stand_in)| match at_this_time {
            true => number(of(*own).or_else(|| stand_in.and_then(of))),
            false => Value::Null,
        });
        let mut features: Vec<Value<'r>> = metrics.collect();
        features.extend(sources.value.then(|| number(of(metric).filter(|_| at_this_time))));
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
    fn judged<'p>(
        &mut self,
        series: &mut Series,
        (metric, value): (usize, f64),
        about: &About,
        forecast: Option<Forecast>,
        features: &[Value<'_>],
        plan: &'p Plan,
    ) -> Judged<'p> {
        let mut findings: Vec<Option<Finding>> = Vec::with_capacity(plan.methods.len());
        for method in &plan.methods {
            findings.push(match (method, &plan.forest) {
                (Method::Forest, Some(forest)) if plan.sources.is_known(features) => {
                    self.learner.judge(forest, features)
                }
                _ => series.judge(method, (about.time, value), forecast, plan.z, &mut self.scratch),
            });
        }
        let score = combine(plan.voting, &self.learned.weights, &findings);
        let own = forecast.map(|f| (f.expected, f.range(plan.z)));
        let of_method = || findings.iter().flatten().find_map(|f| Some((f.expected?, f.range?)));
        let expected = own.or_else(of_method);
        let absent = plan.sources.metrics.iter().zip(features).filter(|(_, value)| value.is_null());
        Judged {
            metric: plan.metrics.get(metric).map_or("", |m| m),
            value,
            events: about.events,
            score,
            threshold: self.learned.threshold,
            expected: expected.map(|e| e.0),
            range: expected.map(|e| e.1),
            names: &plan.names,
            weights: self.learned.weights.clone(),
            contributions: Vec::new(),
            absent: absent.filter_map(|((own, _), _)| Some(short_name(plan.metrics.get(*own)?).into())).collect(),
            confidence: confidence(&self.learned.weights, &findings),
            baseline: series.baseline.known(),
            findings,
            detected: false,
            excluded: None,
        }
    }

    /// Puts the rules of validation to an observation.
    fn weigh(&mut self, judged: &mut Judged<'_>, forecast: Option<Forecast>, about: &About, plan: &Plan) -> Evidence {
        let counts = &mut self.state.counts;
        judged.detected = judged.score.is_some_and(|score| is_detection(plan.voting, score, self.learned.threshold));
        if let Some(score) = judged.score {
            counts.scored += 1;
            self.learned.count(score);
        }
        counts.detections += judged.detected as u64;
        let expected = judged.expected.unwrap_or(judged.value);
        let off = judged.value - expected;
        let scale = expected.abs().max(forecast.map_or(0.0, |f| f.sigma));
        let in_range = judged.range.is_some_and(|(low, high)| (low..=high).contains(&judged.value));
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
        let peak = Peak { time: about.time, value: judged.value, expected, score: judged.score.unwrap_or(0.0) };
        Evidence { time: about.time, begins: judged.detected && outside, outside, up: off > 0.0, peak }
    }

    /// What set the observation apart: features of the forest, else the metric itself.
    fn contributions(&mut self, features: &[Value<'_>], metric: &str, plan: &Plan) -> Vec<(String, f64)> {
        let shares = plan.forest.as_ref().map(|forest| self.learner.contributions(forest, features));
        let named = |forest: &super::forest::ForestPlan, (at, share): (usize, f64)| {
            Some((forest.features.get(at)?.to_string(), share))
        };
        match (&plan.forest, shares) {
            (Some(forest), Some(shares)) if !shares.is_empty() => {
                shares.into_iter().filter_map(|share| named(forest, share)).collect()
            }
            _ => vec![(short_name(metric).into(), 1.0)],
        }
    }

    /// Passes the row on with what was found, in place of such fields that it had.
    fn pass(&self, row: &Row<'_>, found: &Found, out: &mut Output) {
        let had = self.slots.own.iter().any(|slot| row.has(*slot));
        let mut copy = match had {
            false => out.extend(row),
            true => {
                let mut copy = out.row(row.meta, row.key);
                for (name, value) in row.fields().filter(|(name, _)| !OWN.contains(name)) {
                    copy.field(name, value);
                }
                copy
            }
        };
        copy.field("anomaly", found.anomaly.as_ref().map_or(Value::Null, |open| Value::Bool(open.is_some())));
        if let Some(Some(id)) = &found.anomaly {
            copy.field("anomaly_id", &**id);
        }
        let Some(score) = found.score else { return };
        copy.field("detection_score", score.map_or(Value::Null, Value::Float));
        if self.detail {
            copy.field("detection", Value::Json(&Json::from(found.details.clone()).to_string()));
        }
    }
}

/// A finite number; one beyond what squares and sums can take counts as the largest they can.
fn number(value: Value<'_>) -> Option<f64> {
    value.as_f64().filter(|x| x.is_finite()).map(|x| x.clamp(-LARGEST, LARGEST))
}

/// Puts a metric beside the others of its window end.
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

impl Found {
    /// Takes what was found of one metric: the row says the worst of them.
    fn note(&mut self, judged: &Judged<'_>, detail: bool) {
        if let Some(score) = judged.score {
            self.score = Some(Some(self.score.flatten().map_or(score, |other| other.max(score))));
        }
        if detail {
            self.details.push(judged.explanation());
        }
    }
}

//! What one row does: every metric in it is judged ([`super::observe`]), and the row goes on with what was
//! found.
//!
//! The row goes out first, with what was found; then the records it caused.

use super::detector::short_name;
use super::level::{Forecast, Level};
use super::novelty::LARGEST;
use super::plan::Plan;
use super::record::{Judged, Record};
use super::segments::Segment;
use super::{DetectStage, OWN};
use crate::alert::text::{group_key, labels};
use crate::row::{Output, Row};
use crate::value::Value;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A record's key beyond this is not kept.
const MAX_RECORD_KEY_BYTES: usize = 256;

/// What was found in one row.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The worst score; `Some(None)`: judged, and not scored
    score: Option<Option<f64>>,
    /// An open anomaly; `Some(None)`: scored, and none is open
    anomaly: Option<Option<Box<str>>>,
    details: Vec<Json>,
    expected: serde_json::Map<String, Json>,
    pub records: Vec<Record>,
}

/// What the stage knows of a row beside its metrics.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub time: i64,
    pub events: Option<u64>,
    pub mix_shift: bool,
    /// Does the forest learn this observation?
    pub learns: bool,
}

impl About {
    /// Number of events that the row stands for, 1 if it does not say.
    pub fn n(&self) -> f64 {
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
        let mix_shift = self.observe_mix(row, (time, events), values[0].0, &mut segment);
        let about = About { time, events, mix_shift, learns: false };
        // Metrics of one row stand beside each other before the first is judged.
        for (metric, value) in &values {
            self.join(&mut segment, *metric, *value, &about);
        }
        for (at, value) in values.iter().enumerate() {
            // One row for the forest, unless each metric's own value is a feature.
            let learns = at + 1 == values.len() || self.plan.sources.value;
            self.observe(row, &mut segment, *value, &About { learns, ..about }, &mut found);
        }
        found.score.get_or_insert(None);
        found.anomaly = segment.anomaly().map(|open| open.map(Into::into));
        self.segments.put(number, segment, &self.plan);
        self.make_room(&mut found);
        self.pass(row, &found, out);
        for record in &found.records {
            record.write(self.state.clock.trigger, out);
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
        let time = self.state.clock.time_of(&row.meta);
        self.state.clock.reach(time);
        time
    }

    /// Forgets what has been unseen for longest until the rest fits.
    fn make_room(&mut self, found: &mut Found) {
        while let Some(mut old) = self.segments.surplus(&self.limit, &self.plan) {
            self.state.counts.evicted += 1;
            for metric in 0..old.series.len() {
                found.records.extend(self.close(&mut old, metric, self.state.clock.now, "evicted"));
            }
        }
    }

    /// The row's segment; a new one if it must be.
    fn open_segment(&mut self, row: &Row<'_>) -> (u64, Segment) {
        if let Some(known) = self.segments.take_key(&self.key, &self.plan) {
            return known;
        }
        let mut segment = Segment::new(&self.key, &self.plan);
        segment.labels = labels(&self.segmentation, row, &BTreeMap::new()).into();
        segment.record_key = row.key.filter(|key| key.len() <= MAX_RECORD_KEY_BYTES).map(Into::into);
        (self.segments.number(), segment)
    }

    /// Has a share of the traffic left its usual place?
    fn observe_mix(
        &mut self,
        row: &Row<'_>,
        (time, events): (i64, Option<u64>),
        metric: usize,
        segment: &mut Segment,
    ) -> bool {
        let (mut shifted, events) = (false, events.map_or(1.0, |n| n as f64));
        let Some(levels) = segment.mix.get_mut(metric) else { return false };
        levels.resize(self.slots.mix.len(), Level::default());
        for (slot, level) in self.slots.mix.iter().zip(levels) {
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
        if self.expected {
            copy.field("detection_expected", Value::Json(&Json::from(found.expected.clone()).to_string()));
        }
        if self.detail {
            copy.field("detection", Value::Json(&Json::from(found.details.clone()).to_string()));
        }
    }
}

/// A finite number; one beyond what squares and sums can take counts as the largest they can.
fn number(value: Value<'_>) -> Option<f64> {
    value.as_f64().filter(|x| x.is_finite()).map(|x| x.clamp(-LARGEST, LARGEST))
}

impl Found {
    /// Takes what was found of one metric: the row says the worst of them.
    pub fn note(&mut self, judged: &Judged, plan: &Plan, detail: bool, expected: bool) {
        if let Some(score) = judged.score {
            self.score = Some(Some(self.score.flatten().map_or(score, |other| other.max(score))));
        }
        if detail {
            self.details.push(judged.explanation(plan));
        }
        if expected && let Some(value) = judged.expected {
            let (low, high) = judged.told.range.unzip();
            let expected = serde_json::json!({ "value": value, "low": low, "high": high });
            let metric = plan.metrics.get(judged.metric).map_or("", |m| short_name(m));
            self.expected.insert(metric.into(), expected);
        }
    }
}

//! Detection: is a metric of a segment as it usually is?
//!
//! A detector is an ensemble of methods, each with a score of 0 to 1; their vote is the score of an
//! observation, and from the threshold on it is a detection. Rules make anomalies of detections
//! ([`episode`]): outside of the expected range, a change that matters, long enough, enough events,
//! no shift in who the traffic came from; detections close together are one anomaly. A row passes on
//! with `anomaly` (true or false; null while nothing can be said), `anomaly_id` and
//! `detection_score`; an `anomaly` record follows it when one opens or ends.
//!
//! The clock is the running maximum of event times and ticks. Every observation is judged before it
//! is learned, so nothing looks ahead; rows may come in any order of time. Score: 1 = anomalous,
//! absent unless more than half of the methods' weight speaks.
//!
//! Cost per observation: `novelty` 1 µs, `statistical-threshold` and `trend-analysis` O(window),
//! `isolation-forest` 3 µs (0.1 ms with absent metrics). Memory per series: see the README; one forest
//! per partition. Where it fails: what was anomalous all along is usual; a change below
//! `1 - sensitivity` is none.

mod adapt;
mod baseline;
mod config;
pub mod detector;
mod drift;
mod episode;
mod forest;
mod judge;
mod learned;
mod learning;
mod level;
pub mod novelty;
mod observe;
mod plan;
mod record;
mod score;
mod segments;
mod series;
mod state;
#[cfg(test)]
mod tests;
mod tight;
mod window;

/// Everything that is wrong with a detector's document or has no effect, with paths inside of it.
pub fn check_detector(detector: &Detector) -> Issues {
    let mut issues = Plan::new(detector).err().unwrap_or_default();
    issues.extend(plan::doubts(detector));
    issues
}

pub use config::{DetectConfig, DetectorRef, Named as NamedDetector};
pub use detector::Detector;

use crate::config::{Issue, Issues, fail_on_errors};
use crate::row::{Fields, Kind, Output, Row, Slot};
use crate::stage::{Context, Control, Counters, RestoreError, Stage, Tick, load, save};
use detector::{Preset, short_name};
use forest::Learner;
use learned::Learned;
use plan::{Plan, check_step};
use record::{Anomaly, Record, head};
use segments::{Limit, Saved, Segment, Segments};
use state::State;
use std::sync::Arc;

/// Insights that wait for an output; beyond it what was learned is not told.
const WAITING_MAX: usize = 256;

/// The stage `detect`.
#[derive(Debug)]
pub struct DetectStage {
    context: Context,
    /// Id of the detector
    id: String,
    detector: Detector,
    plan: Arc<Plan>,
    limit: Limit,
    looks_at: [bool; Kind::ALL.len()],
    window: Option<Box<str>>,
    detail: bool,
    expected: bool,
    /// Sorted by name
    segmentation: Vec<crate::alert::text::Named>,
    slots: Slots,
    segments: Segments,
    learner: Learner,
    learned: Learned,
    state: State,
    /// Scratch: key of the row's segment; values of a window
    key: Vec<u8>,
    scratch: Vec<f64>,
}

#[derive(Debug, Clone)]
struct Slots {
    /// Per metric: fields that may hold it, best first
    metrics: Vec<Vec<Slot>>,
    metric: Slot,
    value: Slot,
    window: Slot,
    revision: Slot,
    count: Slot,
    mix: Vec<Slot>,
    /// Fields of forest rows
    features: Vec<Slot>,
    own: [Slot; 5],
}

/// What a row is to the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interest {
    /// It passes
    None,
    /// It is told whether an anomaly of its segment is open
    Segment,
    Judge,
}

/// Fields that the stage writes.
const OWN: [&str; 5] = ["anomaly", "anomaly_id", "detection_score", "detection_expected", "detection"];

impl Stage for DetectStage {
    const NAME: &'static str = "detect";
    const STATE_VERSION: u32 = 3;
    type Config = DetectConfig;

    fn new(config: DetectConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        let named = match &config.detector {
            DetectorRef::Inline(named) => named.as_ref().clone(),
            DetectorRef::Id(id) if let Some(preset) = Preset::parse(id) => {
                NamedDetector { id: id.clone(), document: Detector { preset, ..Detector::default() } }
            }
            DetectorRef::Id(id) => {
                let issue = Issue::error("detector", format!("Detector not found: {id}"));
                return Err(vec![issue.hint("give the file with that document of kind Detector too")]);
            }
        };
        let mut issues = Issues::new();
        let plan = Plan::new(&named.document)
            .map_err(|wrong| issues.extend(wrong.into_iter().map(|issue| issue.under("detector"))))
            .ok();
        let metrics: Vec<Box<str>> = named.document.metrics.iter().map(|m| m.as_str().into()).collect();
        let looks_at = check_step(&config, &metrics, &mut issues);
        fail_on_errors(&issues)?;
        let Some(plan) = plan else { return Err(issues) };
        let mut segmentation: Vec<_> =
            named.document.baselines.segmentation.iter().map(|n| crate::alert::text::named(n, fields)).collect();
        segmentation.sort_by(|a, b| a.name.cmp(&b.name));
        segmentation.dedup_by(|a, b| a.name == b.name);
        Ok(DetectStage {
            context: context.clone(),
            limit: Limit { segments: config.max_segments, bytes: context.max_state_bytes },
            looks_at,
            window: config.window.as_deref().map(Into::into),
            detail: config.detail,
            expected: config.expected,
            segmentation,
            slots: Slots::new(&config, &plan, fields),
            segments: Segments::default(),
            learner: Learner::default(),
            learned: Learned::new(&plan),
            state: State::default(),
            id: named.id,
            detector: named.document,
            plan: Arc::new(plan),
            key: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        // What the host did not drain belongs before this row.
        while self.step(out) {}
        let counts = &mut self.state.counts;
        counts.input += (row.meta.kind == Kind::Event) as u64;
        match self.interest(row) {
            Interest::None => return out.pass(row),
            Interest::Segment => return self.tell(row, out),
            Interest::Judge => {}
        }
        self.state.clock.caused_by(&row.meta);
        self.judge(row, out);
        self.drain(out);
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        while self.step(out) {}
        if tick.end_of_input {
            return;
        }
        self.state.clock.tick(tick);
        self.adapt();
        self.drain(out);
    }

    fn pending(&self) -> bool {
        !self.state.waiting.is_empty() || self.segments.due(self.state.clock.due_until).is_some()
    }

    fn drain(&mut self, out: &mut Output) {
        while !out.is_full() && self.step(out) {}
    }

    fn control(&mut self, control: &Control) {
        if let Control::Feedback { alert_id, verdict, anomaly_id, resolution_time_s } = control {
            let id = anomaly_id.as_deref().unwrap_or(alert_id).to_string();
            self.learn_from(&id, verdict, *resolution_time_s);
        }
    }

    fn counters(&self) -> Counters {
        let c = &self.state.counts;
        let forest = self.plan.forest.as_ref().map_or(0, |plan| self.learner.bytes(plan));
        vec![
            ("in", c.input),
            ("passed", c.input),
            ("rows", c.rows),
            ("observations", c.observations),
            ("missing", c.missing),
            ("revisions", c.revisions),
            ("scored", c.scored),
            ("detections", c.detections),
            ("in_range", c.in_range),
            ("small", c.small),
            ("few_events", c.few_events),
            ("mix_shift", c.mix_shift),
            ("anomalies", c.anomalies),
            ("closed", c.closed),
            ("open", self.segments.open()),
            ("segments", self.segments.len() as u64),
            ("evicted", c.evicted),
            ("forests", self.learner.forests()),
            ("true_positives", self.learned.true_positives),
            ("false_positives", self.learned.false_positives),
            ("feedback", c.feedback),
            ("feedback_ignored", c.feedback_ignored),
            ("state_bytes", self.segments.bytes() + forest as u64),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(&self.state, &self.learned, &self.learner, self.segments.saved()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (state, learned, learner, saved): (State, Learned, Learner, Saved<Segment>) = load(bytes)?;
        let fits = learned.fits(&self.plan)
            && state.waiting.len() <= WAITING_MAX
            && self.plan.forest.as_ref().is_none_or(|plan| learner.fits(plan));
        if !fits {
            return Err(RestoreError("models of another detector".into()));
        }
        self.segments = Segments::restored(saved, &self.plan, self.slots.mix.len())?;
        (self.state, self.learned, self.learner) = (state, learned, learner);
        Ok(())
    }
}

impl Slots {
    fn new(config: &DetectConfig, plan: &Plan, fields: &mut Fields) -> Slots {
        let metrics = plan.metrics.iter().map(|metric| {
            let short = short_name(metric);
            match config.fields.get(short).or_else(|| config.fields.get(&**metric)) {
                Some(field) => vec![fields.slot(field)],
                None => [format!("p75_{short}"), short.into(), format!("session_{short}")]
                    .iter()
                    .map(|name| fields.slot(name))
                    .collect(),
            }
        });
        Slots {
            metrics: metrics.collect(),
            metric: fields.slot("metric"),
            value: fields.slot("value"),
            window: fields.slot("window"),
            revision: fields.slot("revision"),
            count: fields.slot(&config.count),
            mix: config.mix.iter().map(|name| fields.slot(name)).collect(),
            features: plan.sources.fields.iter().map(|name| fields.slot(name)).collect(),
            own: OWN.map(|name| fields.slot(name)),
        }
    }
}

impl DetectStage {
    fn interest(&mut self, row: &Row<'_>) -> Interest {
        if !self.looks_at[row.meta.kind as usize] {
            return Interest::None;
        }
        if self.window.as_deref().is_some_and(|name| row.get(self.slots.window).as_str() != Some(name)) {
            return Interest::Segment;
        }
        // A corrected window would count twice.
        if row.get(self.slots.revision).as_f64().is_some_and(|n| n > 0.0) {
            self.state.counts.revisions += 1;
            return Interest::Segment;
        }
        Interest::Judge
    }

    /// Writes one thing that waits: an insight, or the end of an anomaly. False if nothing does.
    fn step(&mut self, out: &mut Output) -> bool {
        if !self.state.waiting.is_empty() {
            for record in self.waiting() {
                record.write(self.state.clock.trigger, out);
            }
            return true;
        }
        let Some((time, number, metric)) = self.segments.due(self.state.clock.due_until) else { return false };
        let Some(mut segment) = self.segments.take(number, &self.plan) else { return false };
        if let Some(record) = self.close(&mut segment, metric, time, "as_usual") {
            record.write(self.state.clock.trigger, out);
        }
        self.segments.put(number, segment, &self.plan);
        true
    }

    /// Ends the anomaly of a series.
    fn close(&mut self, segment: &mut Segment, metric: usize, time: i64, why: &str) -> Option<Record> {
        let series = segment.series.get_mut(metric)?.as_mut()?;
        let episode = series.episode.take()?;
        let detection = series.detection.take();
        let id = episode.anomaly_id.as_deref()?;
        self.state.counts.closed += 1;
        let mut fields = head(&self.context, &self.id, &[id.as_bytes(), b"closed"]);
        // Both are there as long as it is open.
        let (told, detection) = (episode.told.as_deref()?, detection.as_deref()?);
        let labels = &segment.labels;
        let anomaly = Anomaly { plan: &self.plan, metric, labels, episode: &episode, told, detection };
        fields.extend(anomaly.closed(why));
        Some(Record { kind: Kind::Anomaly, time, key: segment.record_key.clone(), fields })
    }
}

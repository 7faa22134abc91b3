//! The segments that are remembered: by key, by when they were last seen, and by when an anomaly of
//! theirs ends.
//!
//! A segment that is worked on is taken out and put back, so the indexes never lie. Cost: O(log n)
//! per step, and O(metrics) to count bytes. Bounded by a number of segments and of bytes; the segment
//! unseen for longest makes room for a new one, and its anomalies end.

use super::episode::Episode;
use super::level::Level;
use super::plan::Plan;
use super::series::Series;
use crate::stage::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// All that is remembered of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub key: Box<[u8]>,
    /// JSON object of its fields
    pub labels: Box<str>,
    /// Key of the record that opened it
    pub record_key: Option<Box<[u8]>>,
    /// Number of the row that saw it last
    pub seen: u64,
    /// Metrics of the newest window end
    pub join: Join,
    /// Expected shares, one per field of `mix`, by the first metric of the rows that say them: who is measured by one
    /// metric may be others than by another. Empty where no row came
    pub mix: Vec<Vec<Level>>,
    /// Was one of its metrics ever scored?
    pub scored: bool,
    /// By number of the metric
    pub series: Vec<Option<Box<Series>>>,
}

/// Metrics of one window end, each as (value − expected)/σ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Join {
    pub end: i64,
    pub values: Vec<Option<f32>>,
}

impl Segment {
    /// A new one; it is told from others by `key`.
    pub fn new(key: &[u8], plan: &Plan) -> Segment {
        Segment {
            key: key.into(),
            labels: "{}".into(),
            record_key: None,
            seen: 0,
            join: Join { end: i64::MIN, values: vec![None; plan.metrics.len()] },
            mix: vec![Vec::new(); plan.metrics.len()],
            scored: false,
            series: vec![None; plan.metrics.len()],
        }
    }

    /// Its open anomaly, of the first metric that has one; `None` until it was scored.
    pub fn anomaly(&self) -> Option<Option<&str>> {
        let open = self.episodes().find_map(|(_, episode)| episode.anomaly_id.as_deref());
        self.scored.then_some(open)
    }

    fn bytes(&self) -> u64 {
        let series: usize = self.series.iter().flatten().map(|s| 16 + s.bytes()).sum();
        let mix: usize = self.mix.iter().flatten().map(|level| 96 + level.bytes()).sum();
        let texts = 2 * self.key.len() + self.labels.len() + self.record_key.as_ref().map_or(0, |k| k.len());
        (256 + series + mix + texts + 48 * self.series.len()) as u64
    }

    fn episodes(&self) -> impl Iterator<Item = (usize, &Episode)> {
        let series = self.series.iter().enumerate();
        series.filter_map(|(metric, series)| Some((metric, series.as_ref()?.episode.as_deref()?)))
    }
}

/// The segments of a stage.
#[derive(Debug, Default)]
pub(super) struct Segments {
    entries: BTreeMap<u64, Segment>,
    by_key: BTreeMap<Box<[u8]>, u64>,
    by_seen: BTreeSet<(u64, u64)>,
    /// When anomalies end: time, segment, metric
    ends: BTreeSet<(i64, u64, usize)>,
    next: u64,
    bytes: u64,
    open: u64,
}

/// Segments as a snapshot has them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<S> {
    next: u64,
    entries: Vec<(u64, S)>,
}

impl Segments {
    /// The segment of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Segment> {
        self.entries.get(self.by_key.get(key)?)
    }

    /// Takes out the segment of a key.
    pub fn take_key(&mut self, key: &[u8], plan: &Plan) -> Option<(u64, Segment)> {
        let number = *self.by_key.get(key)?;
        Some((number, self.take(number, plan)?))
    }

    /// Takes out a segment by number.
    pub fn take(&mut self, number: u64, plan: &Plan) -> Option<Segment> {
        let segment = self.entries.remove(&number)?;
        self.by_key.remove(&segment.key);
        self.by_seen.remove(&(segment.seen, number));
        for (metric, end) in ends(&segment, plan) {
            self.ends.remove(&(end, number, metric));
            self.open -= 1;
        }
        self.bytes = self.bytes.saturating_sub(segment.bytes());
        Some(segment)
    }

    /// Puts a segment back.
    pub fn put(&mut self, number: u64, segment: Segment, plan: &Plan) {
        self.by_key.insert(segment.key.clone(), number);
        self.by_seen.insert((segment.seen, number));
        for (metric, end) in ends(&segment, plan) {
            self.ends.insert((end, number, metric));
            self.open += 1;
        }
        self.bytes = self.bytes.saturating_add(segment.bytes());
        self.entries.insert(number, segment);
    }

    /// Number for a new segment.
    pub fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    /// Takes out the segment unseen for longest, if there are too many or they are too big; one always
    /// stays.
    pub fn surplus(&mut self, limit: &Limit, plan: &Plan) -> Option<Segment> {
        let count = self.entries.len();
        let fits = count < 2 || (count <= limit.segments as usize && self.bytes <= limit.bytes);
        let (_, number) = *self.by_seen.first().filter(|_| !fits)?;
        self.take(number, plan)
    }

    /// The first anomaly that ends at or before `until`.
    pub fn due(&self, until: i64) -> Option<(i64, u64, usize)> {
        self.ends.first().filter(|(time, ..)| *time <= until).copied()
    }

    /// Anomalies that are open.
    pub fn open(&self) -> u64 {
        self.open
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Estimate of their memory.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All segments, in order of their numbers, to be changed: what they weigh is counted anew.
    pub fn each(&mut self, mut change: impl FnMut(&mut Segment)) {
        self.bytes = 0;
        for segment in self.entries.values_mut() {
            change(segment);
            self.bytes += segment.bytes();
        }
    }

    /// For a snapshot.
    pub fn saved(&self) -> Saved<&Segment> {
        Saved { next: self.next, entries: self.entries.iter().map(|(number, segment)| (*number, segment)).collect() }
    }

    /// From a snapshot; refuses one that could not have been written.
    pub fn restored(saved: Saved<Segment>, plan: &Plan, mix: usize) -> Result<Segments, RestoreError> {
        let mut segments = Segments { next: saved.next, ..Segments::default() };
        for (number, segment) in saved.entries {
            let twice = segments.entries.contains_key(&number) || segments.by_key.contains_key(&segment.key);
            let metrics = plan.metrics.len();
            let shape = segment.series.len() == metrics
                && segment.join.values.len() == metrics
                && segment.mix.len() == metrics
                && segment.mix.iter().all(|levels| levels.is_empty() || levels.len() == mix)
                && segment.mix.iter().flatten().all(Level::fits)
                && segment.series.iter().flatten().all(|series| series.fits(plan))
                && segment.labels.starts_with('{')
                && serde_json::from_str::<serde::de::IgnoredAny>(&segment.labels).is_ok();
            if number >= saved.next || twice || !shape {
                return Err(RestoreError(format!("segment {number} cannot be")));
            }
            segments.put(number, segment, plan);
        }
        Ok(segments)
    }
}

fn ends<'s>(segment: &'s Segment, plan: &Plan) -> impl Iterator<Item = (usize, i64)> + use<'s> {
    let fold = plan.validation.fold.us();
    let open = segment.episodes().filter(|(_, episode)| episode.anomaly_id.is_some());
    open.map(move |(metric, episode)| (metric, episode.last.saturating_add(fold)))
}

/// How much may be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub segments: u32,
    pub bytes: u64,
}

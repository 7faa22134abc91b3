//! Runs an analyzer's chain over what a topic has, and keeps what comes out of it within a range of event time.
//!
//! Each partition runs through a chain of its own, from the first record that is retained, so that what lies before the
//! range is learned. Windows that are still open at the end are left out: half of one says something else. Memory:
//! at most [`MAX_SERIES`] series and [`MAX_RECORDS`] records of a kind; what is beyond is counted.

use super::look::{Look, labels};
use super::parts::{PartFacts, Parts};
use crate::chain::ChainOptions;
use crate::detect::topic::read;
use crate::output::Emission;
use crate::plan::Plan;
use crate::run::Worker;
use crate::summary::Summary;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use perfstream_core::Kind;
use perfstream_core::patterns::Series;
use perfstream_core::time::TimeParser;
use perfstream_log::Place;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Series kept of an analysis; later ones are left out.
pub const MAX_SERIES: usize = 1000;
/// Records kept of a kind: anomalies, alerts.
pub const MAX_RECORDS: usize = 20_000;
/// What `detect` expected, by metric.
const EXPECTED: &str = "detection_expected";

/// A segment's labels as text, and the name of a field.
pub type SeriesKey = (String, String);

/// Event time from and to, microseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// From here on
    pub from: Option<i64>,
    /// Before this
    pub to: Option<i64>,
}

impl Bounds {
    /// Is that time inside?
    pub fn hold(self, us: i64) -> bool {
        self.from.is_none_or(|from| us >= from) && self.to.is_none_or(|to| us < to)
    }
}

/// A point of a plot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Event time, microseconds since the epoch
    pub time: i64,
    /// The value
    pub value: f64,
    /// What was expected
    pub range: Option<(f64, f64)>,
}

/// What came out of the chain within the bounds.
#[derive(Debug, Default)]
pub struct Found {
    /// Result rows by series, at distances that share no events
    points: BTreeMap<SeriesKey, Vec<(i64, f64)>>,
    /// Labels of the segments
    pub segments: BTreeMap<String, BTreeMap<String, Value>>,
    /// Rows of the plot's field by segment
    pub plots: BTreeMap<String, Vec<Point>>,
    /// The newest results
    pub processed: Vec<Value>,
    /// All results
    pub results: u64,
    /// Records of other kinds, in the order of the chain
    pub records: BTreeMap<Kind, Vec<Value>>,
    /// The newest forecast of each series
    pub forecasts: BTreeMap<String, Value>,
    /// Series and records that were left out
    pub left_out: u64,
    /// First and last event time of results
    pub span: Option<(i64, i64)>,
    /// Records of the topic, by partition
    pub extents: Vec<Range<i64>>,
    /// The run's counts
    pub summary: Summary,
    /// Records given to the chain
    pub read: u64,
    /// Time from reading a batch to its last output, summed over records
    waited: f64,
    /// Time in the chain and its log
    pub elapsed: Duration,
}

impl Found {
    /// The series that the tests look at.
    pub fn series(&self, look: &Look) -> Vec<(SeriesKey, Series)> {
        let made = |(key, points): (&SeriesKey, &Vec<(i64, f64)>)| (key.clone(), Series::new(points, look.step_us));
        self.points.iter().map(made).collect()
    }

    /// Values of a series, oldest first.
    pub fn points(&self, segment: &str, field: &str) -> &[(i64, f64)] {
        self.points.get(&(segment.into(), field.into())).map_or(&[], Vec::as_slice)
    }

    /// Records of a kind.
    pub fn of(&self, kind: Kind) -> &[Value] {
        self.records.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Mean time from a batch being read to its last output, weighed by its records, milliseconds.
    pub fn latency_ms(&self) -> Option<f64> {
        (self.read > 0).then(|| self.waited / self.read as f64)
    }
}

/// What is kept of each result while it passes.
struct Keeper<'l> {
    look: &'l Look,
    bounds: Bounds,
    /// Newest results that are shown
    limit: usize,
    time: TimeParser,
    found: Found,
}

/// Runs the plan over all partitions of its input; the parts of web vitals are facts by segment.
pub fn scan(
    plan: &Arc<Plan>,
    look: &Look,
    (bounds, limit, progress): (Bounds, usize, bool),
    place: &mut Place,
    options: &ChainOptions,
) -> Result<(Found, PartFacts)> {
    let topic = &plan.input_topic;
    let Some(partitions) = place.partitions(topic)? else { bail!("no topic `{topic}`") };
    let extents = (0..partitions).map(|p| place.extent(topic, p)).collect::<Result<Vec<_>>>()?;
    let bar = bar(extents.iter().map(|extent| (extent.end - extent.start).max(0) as u64).sum(), progress);
    let mut worker = Worker::new(Arc::clone(plan), options);
    (0..partitions).try_for_each(|partition| worker.warm_up(partition))?;
    let found = Found { extents: extents.clone(), ..Found::default() };
    let mut parts = Parts::new(&plan.spec, look);
    let mut keeper = Keeper { look, bounds, limit, time: TimeParser::default(), found };
    let started = Instant::now();
    for (partition, extent) in (0..).zip(extents) {
        let mut next = extent.start;
        // What is appended meanwhile is for the next analysis: this one has stated bounds.
        while next < extent.end {
            let batch = Instant::now();
            let mut records = read(place, topic, partition, &mut next)?;
            records.retain(|record| record.offset < extent.end);
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            let mut failed = Ok(());
            worker
                .process(partition, &records, &mut |emission| {
                    if failed.is_ok() {
                        failed = keeper.take(&emission);
                    }
                })
                .with_context(|| format!("partition {partition}"))?;
            failed?;
            if let Some(parts) = &mut parts {
                parts.take((look, bounds), &records, &ChainOptions { partition, ..options.clone() })?;
            }
            keeper.found.read += records.len() as u64;
            keeper.found.waited += batch.elapsed().as_secs_f64() * 1e3 * records.len() as f64;
            bar.inc(records.len() as u64);
        }
    }
    bar.finish_and_clear();
    keeper.found.elapsed = started.elapsed();
    keeper.found.summary = worker.summary()?;
    let parts = parts.map(|parts| parts.finish(look, bounds)).transpose()?;
    Ok((keeper.found, parts.unwrap_or_default()))
}

fn bar(records: u64, progress: bool) -> ProgressBar {
    let bar = if progress { ProgressBar::new(records) } else { ProgressBar::hidden() };
    let template = "{bar:40} {human_pos}/{human_len} records {per_sec} {eta}";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Keeper<'_> {
    fn take(&mut self, emission: &Emission) -> Result<()> {
        let is_result = emission.kind.name() == self.look.kind;
        let is_kept = matches!(emission.kind, Kind::Anomaly | Kind::Alert | Kind::Forecast | Kind::Insight);
        let is_drawn = self.look.plot.is_some() && emission.kind == Kind::Window;
        if !is_result && !is_kept && !is_drawn {
            return Ok(());
        }
        let record: Value = serde_json::from_slice(&emission.record.value).context("a stage wrote no JSON")?;
        let Some(time) = self.time_of(&record).filter(|time| self.bounds.hold(*time)) else { return Ok(()) };
        if emission.kind == Kind::Forecast {
            self.forecast(record);
            return Ok(());
        }
        if is_kept {
            let list = self.found.records.entry(emission.kind).or_default();
            match list.len() < MAX_RECORDS {
                true => list.push(record),
                false => self.found.left_out += 1,
            }
            return Ok(());
        }
        let of_window = |window: &Option<String>| window.as_deref().is_none_or(|name| record["window"] == name);
        if is_drawn && self.look.plot.as_ref().is_some_and(|plot| of_window(&plot.window)) {
            self.draw(time, &record);
        }
        if is_result && of_window(&self.look.window) {
            self.result(time, record);
        }
        Ok(())
    }

    /// Of a series the newest is kept.
    fn forecast(&mut self, record: Value) {
        let names = ["stage", "field", "window", "labels"];
        let key = names.map(|name| record[name].to_string()).join(" ");
        match self.found.forecasts.len() < MAX_SERIES || self.found.forecasts.contains_key(&key) {
            true => drop(self.found.forecasts.insert(key, record)),
            false => self.found.left_out += 1,
        }
    }

    fn time_of(&mut self, record: &Value) -> Option<i64> {
        // An anomaly or an alert stands at its own time, which `timestamp` has as well.
        self.time.parse_text(record["timestamp"].as_str()?)
    }

    fn segment(&mut self, record: &Value) -> Option<String> {
        let labels = labels(&self.look.group_by, record);
        let segment = super::look::segment(&self.look.group_by, &labels);
        if !self.found.segments.contains_key(&segment) {
            if self.found.segments.len() >= MAX_SERIES {
                self.found.left_out += 1;
                return None;
            }
            self.found.segments.insert(segment.clone(), labels);
        }
        Some(segment)
    }

    fn draw(&mut self, time: i64, record: &Value) {
        let Some(plot) = &self.look.plot else { return };
        let name = plot.field.name.clone();
        let Some(value) = record[&name].as_f64() else { return };
        let expected = &record[EXPECTED][plot.metric.as_str()];
        let range = expected["low"].as_f64().zip(expected["high"].as_f64());
        let Some(segment) = self.segment(record) else { return };
        let points = self.found.plots.entry(segment).or_default();
        match points.iter_mut().rev().take(16).find(|point| point.time == time) {
            // A corrected window.
            Some(point) => point.value = value,
            None => points.push(Point { time, value, range }),
        }
    }

    fn result(&mut self, time: i64, record: Value) {
        self.found.results += 1;
        let (first, last) = self.found.span.unwrap_or((time, time));
        self.found.span = Some((first.min(time), last.max(time)));
        let Some(segment) = self.segment(&record) else { return };
        // Windows overlap; of those that share events one is tested. Rows are folded by the series.
        if self.look.window.is_none() || time.rem_euclid(self.look.step_us) == 0 {
            for field in &self.look.fields {
                let Some(value) = record[&field.name].as_f64() else { continue };
                let key = (segment.clone(), field.name.clone());
                if !self.found.points.contains_key(&key) && self.found.points.len() >= MAX_SERIES {
                    self.found.left_out += 1;
                    continue;
                }
                self.found.points.entry(key).or_default().push((time, value));
            }
        }
        if self.found.processed.len() >= 2 * self.limit.max(1) {
            self.found.processed.drain(..self.limit.max(1));
        }
        self.found.processed.push(record);
    }
}

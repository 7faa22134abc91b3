//! Faults: what goes wrong, when, for whom, and the label that says so.
//!
//! A fault is written `KIND@START+DURATION[:MAGNITUDE][:SEGMENT]`, for example
//! `step@20m+10m:1.3` or `one-segment@1h+30m:2:page=/checkout,device=mobile`. START counts from
//! the start of the stream. The interval is half open. Truth is in the labels only: an event does
//! not say that it was touched.

use std::str::FromStr;

use clap::ValueEnum;
use perfstream_core::{Span, time};
use serde::Serialize;

use super::model::{DIMENSIONS, Metric, Site, Visitor};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Values × magnitude from start to end (a deploy). Default 1.3.
    Step,
    /// Values × a factor that grows from 1 to magnitude (a leak). Default 2.
    Ramp,
    /// Values × a factor that grows from 1 to magnitude in the middle and falls back. Default 4.
    Spike,
    /// Values × magnitude, which is below 1. Default 0.5.
    LevelDrop,
    /// The slowest visits × magnitude: p95 moves, p75 does not. Default 2.5.
    TailOnly,
    /// Values of one segment × magnitude. Default 2, page=/checkout.
    OneSegment,
    /// Visits of a segment become magnitude times as likely; no value changes. Default 6, the
    /// slowest page.
    TrafficMix,
    /// This share of the visits is missing. Default 1.
    MissingData,
    /// This share of the beacons comes 1 to 5 minutes late, and as many come twice. Default 0.2.
    LateAndDuplicated,
    /// Time stamps are wrong by magnitude seconds, for one visit in ten or for a whole segment.
    /// Default 600.
    ClockSkew,
    /// Every visit shifts by magnitude once more, in four shifts within a second (CLS only).
    /// Default 0.3.
    ClsBurst,
}

impl FaultKind {
    /// The name in options and labels.
    pub fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    fn default_magnitude(self) -> f64 {
        match self {
            FaultKind::Step => 1.3,
            FaultKind::Ramp | FaultKind::OneSegment => 2.0,
            FaultKind::Spike => 4.0,
            FaultKind::LevelDrop => 0.5,
            FaultKind::TailOnly => 2.5,
            FaultKind::TrafficMix => 6.0,
            FaultKind::MissingData => 1.0,
            FaultKind::LateAndDuplicated => 0.2,
            FaultKind::ClockSkew => 600.0,
            FaultKind::ClsBurst => 0.3,
        }
    }

    /// What magnitudes mean something: lowest, highest, in words.
    fn range(self) -> (f64, f64, &'static str) {
        match self {
            FaultKind::MissingData => (0.0, 1.0, "a share from 0 to 1"),
            // Late and duplicated beacons are different ones: each can be half of all.
            FaultKind::LateAndDuplicated => (0.0, 0.5, "a share from 0 to 0.5"),
            FaultKind::LevelDrop => (0.001, 1.0, "a factor from 0.001 to 1"),
            FaultKind::ClockSkew => (-86_400.0, 86_400.0, "seconds from -86400 to 86400"),
            FaultKind::ClsBurst => (0.001, 10.0, "a shift from 0.001 to 10"),
            FaultKind::TailOnly => (1.0, 1000.0, "a factor from 1 to 1000"),
            _ => (0.001, 1000.0, "a factor from 0.001 to 1000"),
        }
    }
}

/// One fault of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// When it begins, from the start of the stream.
    pub start: Span,
    /// How long it lasts.
    pub duration: Span,
    /// How bad it is; see [`FaultKind`] for the meaning and the default.
    pub magnitude: f64,
    /// Whom it hits: every dimension must match; empty = everyone.
    pub segment: Vec<(String, String)>,
}

impl FromStr for FaultSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultSpec, String> {
        let (kind, rest) = text
            .split_once('@')
            .ok_or_else(|| format!("expected KIND@START+DURATION[:MAGNITUDE][:SEGMENT], found `{text}`"))?;
        let kind = FaultKind::from_str(kind, false).map_err(|_| {
            let known: Vec<String> = FaultKind::value_variants().iter().map(|k| k.name()).collect();
            format!("expected one of {}, found `{kind}`", known.join(", "))
        })?;
        let mut parts = rest.splitn(2, ':');
        let times = parts.next().unwrap_or_default();
        let (start, duration) = times
            .split_once('+')
            .ok_or_else(|| format!("expected START+DURATION such as `20m+10m`, found `{times}`"))?;
        let mut fault = FaultSpec {
            kind,
            start: Span::parse(start)?,
            duration: Span::parse(duration)?,
            magnitude: kind.default_magnitude(),
            segment: Vec::new(),
        };
        let Some(rest) = parts.next() else {
            return Ok(fault);
        };
        // What has a `=` is the segment; a page name may hold a colon.
        let (magnitude, segment) = match rest.split_once(':') {
            Some((magnitude, segment)) if !magnitude.contains('=') => (magnitude, segment),
            _ if rest.contains('=') => ("", rest),
            _ => (rest, ""),
        };
        if !magnitude.is_empty() {
            fault.magnitude =
                magnitude.parse().map_err(|_| format!("expected a number as magnitude, found `{magnitude}`"))?;
        }
        for pair in segment.split(',').filter(|pair| !pair.is_empty()) {
            let (dimension, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("expected DIMENSION=VALUE in the segment, found `{pair}`"))?;
            fault.segment.push((dimension.to_owned(), value.to_owned()));
        }
        Ok(fault)
    }
}

impl FaultSpec {
    /// Puts in the segment of a kind that needs one, and says what is wrong with the fault.
    pub(super) fn complete(&mut self, site: &Site) -> Vec<String> {
        if self.segment.is_empty() {
            match self.kind {
                FaultKind::OneSegment => {
                    let pages = site.values("page").unwrap_or_default();
                    let page = pages.get(1).or(pages.first()).copied().unwrap_or_default();
                    self.segment.push(("page".into(), page.into()));
                }
                FaultKind::TrafficMix => {
                    self.segment.push(("page".into(), site.slowest_page().into()));
                }
                _ => {}
            }
        }
        let name = self.kind.name();
        let mut wrong = Vec::new();
        let (low, high, words) = self.kind.range();
        if !(low..=high).contains(&self.magnitude) {
            wrong.push(format!("{name}: expected {words}, found {}", self.magnitude));
        }
        if self.duration == Span::ZERO {
            wrong.push(format!("{name}: expected a duration above 0, found 0s"));
        }
        if self.kind == FaultKind::ClsBurst && site.metric != Metric::Cls {
            wrong.push(format!("{name}: expected metric cls, found {}", site.metric.name()));
        }
        for (dimension, value) in &self.segment {
            match site.values(dimension) {
                None => wrong.push(format!("{name}: expected one of {}, found `{dimension}`", DIMENSIONS.join(", "))),
                Some(known) if !known.contains(&value.as_str()) => wrong.push(format!(
                    "{name}: expected a {dimension} out of {}, found `{value}`",
                    known.iter().take(8).copied().collect::<Vec<_>>().join(", ")
                )),
                Some(_) => {}
            }
        }
        wrong
    }

    /// Where in the interval a moment lies, 0 to 1; None outside.
    pub(super) fn progress(&self, since_start_us: i64) -> Option<f64> {
        let into = since_start_us.saturating_sub(self.start.us());
        (into >= 0 && into < self.duration.us()).then(|| into as f64 / self.duration.us().max(1) as f64)
    }

    /// True if the fault is about this visitor.
    pub(super) fn hits(&self, site: &Site, visitor: &Visitor) -> bool {
        self.segment.iter().all(|(dimension, value)| site.value_of(visitor, dimension) == value)
    }

    /// The factor on a value, 1 for kinds that leave values alone. `z` is the visit's place in the
    /// lognormal body, `tail_from` the value above which a visit is in the tail of all visits.
    pub(super) fn factor(&self, progress: f64, value: f64, z: f64, tail_from: f64) -> f64 {
        match self.kind {
            FaultKind::Step | FaultKind::LevelDrop | FaultKind::OneSegment => self.magnitude,
            FaultKind::Ramp => 1.0 + (self.magnitude - 1.0) * progress,
            FaultKind::Spike => 1.0 + (self.magnitude - 1.0) * (1.0 - (2.0 * progress - 1.0).abs()),
            // In the tail of its own segment (p85) and of all visits: neither p75 moves.
            FaultKind::TailOnly if z > TAIL_Z && value > tail_from => self.magnitude,
            _ => 1.0,
        }
    }
}

/// 85 % of a standard normal lie below.
const TAIL_Z: f64 = 1.036_433_389_493_79;
/// The share of all healthy visits below the tail.
pub(super) const TAIL_SHARE: f64 = 0.85;

/// The truth about one fault: a line of the labels file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// What went wrong.
    pub kind: FaultKind,
    /// The metric of the stream.
    pub metric: &'static str,
    /// First moment, RFC 3339.
    pub start: String,
    /// First moment after it, RFC 3339.
    pub end: String,
    /// Whom it hit; empty = everyone.
    pub segment: std::collections::BTreeMap<String, String>,
    /// How bad it was, in the unit of the kind.
    pub magnitude: f64,
    /// Events that are not what they would have been without the fault (missing ones too). For
    /// cls-burst all events of the visits with a burst, for traffic-mix all visits drawn while the
    /// mix was another.
    pub affected: u64,
    /// Events of missing visits.
    pub missing: u64,
    /// Events delivered late.
    pub late: u64,
    /// Events written twice.
    pub duplicates: u64,
}

impl Label {
    pub(super) fn new(fault: &FaultSpec, metric: Metric, stream_start_us: i64) -> Label {
        let start = stream_start_us.saturating_add(fault.start.us());
        Label {
            kind: fault.kind,
            metric: metric.name(),
            start: time::format(start),
            end: time::format(start.saturating_add(fault.duration.us())),
            segment: fault.segment.iter().cloned().collect(),
            magnitude: fault.magnitude,
            affected: 0,
            missing: 0,
            late: 0,
            duplicates: 0,
        }
    }
}

//! What can be asked for, what is wrong with it, and what was generated.

use perfstream_core::config::Issue;
use perfstream_core::{Span, time};

use super::faults::{FaultSpec, Label};
use super::model::{Metric, Site};

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// The metric.
    pub metric: Metric,
    /// Equal seeds give equal bytes.
    pub seed: u64,
    /// Start of the stream, microseconds since the epoch.
    pub start: i64,
    /// Length of the stream in event time.
    pub duration: Span,
    /// Stop when this many lines are made, if the duration has not ended before. The lines of the
    /// last visit are not cut: CLS and duplicates may give a few more.
    pub events: Option<u64>,
    /// Visits per hour, averaged over a week.
    pub rate_per_hour: f64,
    /// How many pages the site has.
    pub pages: usize,
    /// What goes wrong.
    pub faults: Vec<FaultSpec>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        GenerateOptions {
            metric: Metric::Lcp,
            seed: 1,
            // Monday 5 January 2026, 08:00 UTC.
            start: 1_767_600_000_000_000,
            duration: Span::minutes(60),
            events: None,
            rate_per_hour: 2000.0,
            pages: 4,
            faults: Vec::new(),
        }
    }
}

/// What was generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Lines written, duplicates included.
    pub events: u64,
    /// The truth about every fault, in the order of the options.
    pub labels: Vec<Label>,
}

/// Checks the options: everything that is wrong, or the site and the completed faults.
pub(super) fn prepare(options: &GenerateOptions) -> Result<(Site, Vec<FaultSpec>), Vec<Issue>> {
    let mut issues = Vec::new();
    let mut require = |path: &str, good: bool, expected: &str, found: String| {
        if !good {
            issues.push(Issue::error(path, format!("expected {expected}, found {found}")));
        }
    };
    let rate = options.rate_per_hour;
    require("rate", (0.001..=1e9).contains(&rate), "0.001 to 1e9 visits per hour", rate.to_string());
    let pages = options.pages;
    require("pages", (1..=100_000).contains(&pages), "1 to 100000 pages", pages.to_string());
    require("duration", options.duration.us() > 0, "a duration above 0", "0s".into());
    // Years 1970 to 2500: no sum of a start, a duration and a skew can leave the range of a time.
    let start = options.start;
    require("start", (0..=16_725_225_600_000_000).contains(&start), "a time from 1970 to 2500", time::format(start));
    let site = Site::new(options.metric, pages.clamp(1, 100_000));
    let mut faults = options.faults.clone();
    for (i, fault) in faults.iter_mut().enumerate() {
        let path = format!("fault[{i}]");
        issues.extend(fault.complete(&site).into_iter().map(|m| Issue::error(path.clone(), m)));
        if fault.start >= options.duration {
            let message = format!("starts at {}, the stream ends at {}", fault.start, options.duration);
            issues.push(Issue::error(path, message));
        }
    }
    if issues.is_empty() { Ok((site, faults)) } else { Err(issues) }
}

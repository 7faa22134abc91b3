//! What a healthy site looks like: who visits, when, and how fast it is for them.
//!
//! value = median of the metric × lognormal body × heavy tail × factors of page, browser, device
//! and connection × load of the hour and the day. Visits come as a Poisson process with the same
//! hour-of-day and day-of-week curves (UTC). The factors are chosen, not fitted: no public
//! labelled stream of web vitals was found to fit them to.

use clap::ValueEnum;

use super::random::{Random, choose};

/// The metric of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Metric {
    /// Largest Contentful Paint, ms.
    Lcp,
    /// First Contentful Paint, ms.
    Fcp,
    /// Time To First Byte, ms.
    Ttfb,
    /// Interaction to Next Paint, ms.
    Inp,
    /// First Input Delay, ms (retired in favour of INP).
    Fid,
    /// Cumulative Layout Shift, as raw layout-shift entries.
    Cls,
}

impl Metric {
    /// The name in option values and labels.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Lcp => "lcp",
            Metric::Fcp => "fcp",
            Metric::Ttfb => "ttfb",
            Metric::Inp => "inp",
            Metric::Fid => "fid",
            Metric::Cls => "cls",
        }
    }

    /// Median and sigma of the lognormal body. For CLS of the whole visit.
    fn body(self) -> (f64, f64) {
        match self {
            Metric::Lcp => (1500.0, 0.45),
            Metric::Fcp => (900.0, 0.45),
            Metric::Ttfb => (260.0, 0.60),
            Metric::Inp => (90.0, 0.60),
            Metric::Fid => (12.0, 0.80),
            Metric::Cls => (0.03, 0.90),
        }
    }

    /// Rounded as it is written: 0.1 ms, or 0.0001 for CLS.
    pub(super) fn round(self, value: f64) -> f64 {
        let (per_unit, max) = match self {
            Metric::Cls => (10_000.0, 20.0),
            _ => (10.0, 600_000.0),
        };
        (value.clamp(1.0 / per_unit, max) * per_unit).round() / per_unit
    }
}

/// Name, weight among the visits, factor on the value.
type Kind = (&'static str, f64, f64);

const BROWSERS: [Kind; 5] = [
    ("chrome", 0.60, 1.00),
    ("safari", 0.22, 0.92),
    ("edge", 0.08, 1.00),
    ("firefox", 0.07, 1.05),
    ("opera", 0.03, 1.10),
];
const DEVICES: [Kind; 3] = [("mobile", 0.58, 1.20), ("desktop", 0.37, 0.80), ("tablet", 0.05, 1.00)];
const CONNECTIONS: [Kind; 4] = [("4g", 0.58, 1.00), ("wifi", 0.27, 0.85), ("3g", 0.09, 1.80), ("5g", 0.06, 0.80)];

/// The first pages by name; further ones are `/product/N`. The factor repeats every seven pages.
const PAGE_NAMES: [&str; 4] = ["/", "/checkout", "/search", "/product/1"];
const PAGE_FACTORS: [f64; 7] = [0.80, 1.10, 1.35, 1.00, 0.90, 1.20, 1.05];

/// Visits relative to the mean of a day, by hour (UTC); the mean is 1.
const HOURS: [f64; 24] = [
    0.45, 0.35, 0.30, 0.28, 0.30, 0.40, 0.60, 0.85, 1.05, 1.20, 1.25, 1.30, 1.35, 1.30, 1.25, 1.22, 1.25, 1.35, 1.55,
    1.70, 1.75, 1.45, 0.90, 0.60,
];
/// Visits relative to the mean of a week, Monday first; the mean is 1.
const DAYS: [f64; 7] = [1.08, 1.08, 1.06, 1.05, 1.03, 0.83, 0.87];
/// How much of the excess of visits over the mean is felt in the value.
const LOAD_EFFECT: f64 = 0.12;
/// The tail: this share of visits is slowed by a Pareto factor of this exponent.
const TAIL: (f64, f64) = (0.03, 2.2);

const HOUR_US: i64 = 3_600_000_000;

/// Visits at a time relative to the mean, linear between the hours.
pub(super) fn curve(us: i64) -> f64 {
    let in_day = us.rem_euclid(24 * HOUR_US);
    let hour = (in_day / HOUR_US) as usize % 24;
    let part = (in_day % HOUR_US) as f64 / HOUR_US as f64;
    let visits = HOURS[hour] * (1.0 - part) + HOURS[(hour + 1) % 24] * part;
    // 1 January 1970 was a Thursday.
    let day = (us.div_euclid(24 * HOUR_US) + 3).rem_euclid(7) as usize;
    visits * DAYS[day]
}

/// No value of [`curve`] is above this.
pub(super) const CURVE_MAX: f64 = 1.75 * 1.08;

/// Where a visit came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Visitor {
    pub(super) page: usize,
    browser: usize,
    device: usize,
    connection: usize,
}

/// The dimensions a segment can name.
pub(super) const DIMENSIONS: [&str; 4] = ["page", "browser", "device", "connection"];

/// The site: its pages and the metric that is watched.
pub(super) struct Site {
    pub(super) metric: Metric,
    pages: Vec<String>,
}

impl Site {
    pub(super) fn new(metric: Metric, pages: usize) -> Site {
        let name = |i: usize| match PAGE_NAMES.get(i) {
            Some(name) => (*name).to_owned(),
            None => format!("/product/{}", i - PAGE_NAMES.len() + 2),
        };
        Site { metric, pages: (0..pages).map(name).collect() }
    }

    /// The values of a dimension, None for a name that is no dimension.
    pub(super) fn values(&self, dimension: &str) -> Option<Vec<&str>> {
        let names = |kinds: &[Kind]| kinds.iter().map(|k| k.0).collect();
        match dimension {
            "page" => Some(self.pages.iter().map(String::as_str).collect()),
            "browser" => Some(names(&BROWSERS)),
            "device" => Some(names(&DEVICES)),
            "connection" => Some(names(&CONNECTIONS)),
            _ => None,
        }
    }

    /// A visitor's value of a dimension.
    pub(super) fn value_of(&self, visitor: &Visitor, dimension: &str) -> &str {
        match dimension {
            "page" => &self.pages[visitor.page],
            "browser" => BROWSERS[visitor.browser].0,
            "device" => DEVICES[visitor.device].0,
            _ => CONNECTIONS[visitor.connection].0,
        }
    }

    /// The page whose visits are slowest.
    pub(super) fn slowest_page(&self) -> &str {
        let mut slowest = 0;
        for (i, factor) in PAGE_FACTORS.iter().enumerate().take(self.pages.len()) {
            if *factor > PAGE_FACTORS[slowest] {
                slowest = i;
            }
        }
        &self.pages[slowest]
    }

    /// Draws a visitor; `boost` says how many times its usual weight a value of a dimension has.
    pub(super) fn visitor(&self, random: &mut Random, boost: &dyn Fn(&str, &str) -> f64) -> Visitor {
        let mut one =
            |dimension: &str, kinds: &[Kind]| choose(random.unit(), kinds.iter().map(|k| k.1 * boost(dimension, k.0)));
        let (browser, device, connection) =
            (one("browser", &BROWSERS), one("device", &DEVICES), one("connection", &CONNECTIONS));
        // Zipf: the n-th page has a share of 1/n.
        let shares = self.pages.iter().enumerate().map(|(i, page)| boost("page", page) / (i + 1) as f64);
        let page = choose(random.unit(), shares);
        Visitor { page, browser, device, connection }
    }

    /// Draws the value of a healthy visit at `us`, unrounded, with its place in the lognormal body
    /// (standard deviations; infinite in the tail).
    pub(super) fn value(&self, random: &mut Random, visitor: &Visitor, us: i64) -> (f64, f64) {
        let (median, sigma) = self.metric.body();
        let z = random.normal();
        let in_tail = random.unit() < TAIL.0;
        let tail = libm::exp(random.exponential(1.0 / TAIL.1));
        let segment = PAGE_FACTORS[visitor.page % PAGE_FACTORS.len()]
            * BROWSERS[visitor.browser].2
            * DEVICES[visitor.device].2
            * CONNECTIONS[visitor.connection].2;
        let load = 1.0 + LOAD_EFFECT * (curve(us) - 1.0);
        let value = median * libm::exp(sigma * z) * segment * load;
        match in_tail {
            true => (value * 2.0 * tail, f64::INFINITY),
            false => (value, z),
        }
    }
}

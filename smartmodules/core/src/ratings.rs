//! The official web-vitals ratings: metric value to good, needs-improvement or poor.
//!
//! Source: web.dev "Defining the Core Web Vitals metrics thresholds" and the thresholds of the npm
//! package `web-vitals`; both bounds belong to the better rating (CLS 0.25 is needs-improvement).
//! FID was retired in favour of INP; its last thresholds are kept for old input. Times are in
//! milliseconds, CLS has no unit. Larger is worse for every metric. NaN has no rating.

use serde::{Deserialize, Serialize};

/// The three official ratings, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rating {
    /// At or below the first threshold
    Good,
    /// Above the first, at or below the second
    NeedsImprovement,
    /// Above the second
    Poor,
}

impl Rating {
    /// The word of the library: `good`, `needs-improvement`, `poor`.
    pub const fn name(self) -> &'static str {
        match self {
            Rating::Good => "good",
            Rating::NeedsImprovement => "needs-improvement",
            Rating::Poor => "poor",
        }
    }
}

/// A metric with its two thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// `LCP`
    pub short: &'static str,
    /// `largest-contentful-paint`
    pub long: &'static str,
    /// Good up to and including this
    pub good: f64,
    /// Needs improvement up to and including this; poor above
    pub needs_improvement: f64,
}

/// Every metric that has official thresholds.
pub const METRICS: [Metric; 6] = [
    Metric { short: "LCP", long: "largest-contentful-paint", good: 2500.0, needs_improvement: 4000.0 },
    Metric { short: "INP", long: "interaction-to-next-paint", good: 200.0, needs_improvement: 500.0 },
    Metric { short: "CLS", long: "cumulative-layout-shift", good: 0.1, needs_improvement: 0.25 },
    Metric { short: "FCP", long: "first-contentful-paint", good: 1800.0, needs_improvement: 3000.0 },
    Metric { short: "TTFB", long: "time-to-first-byte", good: 800.0, needs_improvement: 1800.0 },
    Metric { short: "FID", long: "first-input-delay", good: 100.0, needs_improvement: 300.0 },
];

impl Metric {
    /// The metric of a short or long name, in any case, with `-`, `_` or spaces between the words.
    pub fn find(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|m| name.eq_ignore_ascii_case(m.short) || same_words(name, m.long))
    }

    /// The rating of a value; None for NaN.
    pub fn rate(&self, value: f64) -> Option<Rating> {
        match value {
            v if v.is_nan() => None,
            v if v <= self.good => Some(Rating::Good),
            v if v <= self.needs_improvement => Some(Rating::NeedsImprovement),
            _ => Some(Rating::Poor),
        }
    }
}

fn same_words(name: &str, long: &str) -> bool {
    name.len() == long.len()
        && name.bytes().zip(long.bytes()).all(|(a, b)| match a {
            b'_' | b' ' => b == b'-',
            a => a.eq_ignore_ascii_case(&b),
        })
}

/// The rating of a value of the named metric; None if the metric is unknown or the value is NaN.
pub fn rate(metric: &str, value: f64) -> Option<Rating> {
    Metric::find(metric)?.rate(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        let text = include_str!("../../../tests/vectors/ratings.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert!(vectors.len() >= 20);
        for v in vectors {
            let rating = rate(v["name"].as_str().unwrap(), v["value"].as_f64().unwrap());
            assert_eq!(rating.map(Rating::name), v["rating"].as_str(), "{v}");
        }
    }

    #[test]
    fn names() {
        for m in &METRICS {
            for name in [m.short, m.long, &m.short.to_lowercase(), &m.long.replace('-', "_").to_uppercase()] {
                assert_eq!(Metric::find(name), Some(m), "{name}");
            }
        }
        assert_eq!(rate("fid", 100.0), Some(Rating::Good));
        assert_eq!(rate("first-input-delay", 300.1), Some(Rating::Poor));
        for unknown in ["", "LCPX", "largest", "largest contentful paint ", "tbt"] {
            assert_eq!(rate(unknown, 1.0), None, "{unknown}");
        }
        assert_eq!(rate("LCP", f64::NAN), None);
        assert_eq!(rate("LCP", f64::INFINITY), Some(Rating::Poor));
        assert_eq!(rate("LCP", -1.0), Some(Rating::Good));
    }
}

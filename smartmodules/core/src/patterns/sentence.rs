//! Patterns as plain sentences with numbers. Times are UTC.

use super::{Correlation, Pattern, Season, Shift, Spikes, Trend};
use crate::duration::Span;
use crate::time;

const HOUR_US: i64 = 3_600_000_000;

/// A series, for people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subject {
    /// `p75_lcp`, or its title
    pub metric: String,
    /// `ms`; empty without one
    pub unit: String,
    /// `page=/checkout, browser=chrome`; empty for all
    pub segment: String,
}

impl Subject {
    /// `p75_lcp of page=/, browser=chrome`
    pub fn name(&self) -> String {
        match self.segment.is_empty() {
            true => self.metric.clone(),
            false => format!("{} of {}", self.metric, self.segment),
        }
    }

    fn amount(&self, x: f64) -> String {
        match self.unit.as_str() {
            "" => number(x),
            unit => format!("{} {unit}", number(x)),
        }
    }
}

/// What a pattern says of a series.
pub fn sentence(subject: &Subject, pattern: &Pattern) -> String {
    match pattern {
        Pattern::Trend(found) => trend(subject, found),
        Pattern::LevelShift(found) => shift(subject, found),
        Pattern::Seasonality(found) => season(subject, found),
        Pattern::PeriodicSpikes(found) => spikes(subject, found),
    }
}

fn trend(subject: &Subject, found: &Trend) -> String {
    let verb = if found.slope_per_hour > 0.0 { "rose" } else { "fell" };
    let [a, b] = found.interval.map(f64::abs);
    format!(
        "{} {verb} by {} per hour from {} to {}, {} in all (Theil-Sen, 95 % interval {}–{}; Mann-Kendall {}; n = {})",
        subject.name(),
        subject.amount(found.slope_per_hour.abs()),
        moment(found.from_us),
        moment(found.to_us),
        subject.amount(found.change.abs()),
        number(a.min(b)),
        number(a.max(b)),
        p(found.p_value),
        found.n,
    )
}

fn shift(subject: &Subject, found: &Shift) -> String {
    let share = match found.before {
        0.0 => String::new(),
        before => format!(", {:+.0} %", 100.0 * (found.after - before) / before.abs()),
    };
    format!(
        "{} went from {} to {} at {}{share} (medians; Pettitt {}; n = {} and {})",
        subject.name(),
        subject.amount(found.before),
        subject.amount(found.after),
        moment(found.at_us),
        p(found.p_value),
        found.n_before,
        found.n_after,
    )
}

fn season(subject: &Subject, found: &Season) -> String {
    format!(
        "{} repeats itself every {} with a difference of {} between high and low, high around {} (Fisher's g {}; {:.1} \
         cycles; autocorrelation {:.2}; n = {})",
        subject.name(),
        span(found.period_ms),
        subject.amount(found.amplitude),
        moment(found.peak_us),
        p(found.p_value),
        found.cycles,
        found.autocorrelation,
        found.n,
    )
}

fn spikes(subject: &Subject, found: &Spikes) -> String {
    format!(
        "{} peaks every {}, by {} above its neighbours, last at {} ({} peaks, {} of {} distances alike; binomial {}; \
         n = {})",
        subject.name(),
        span(found.period_ms),
        subject.amount(found.height),
        moment(found.last_us),
        found.count,
        found.regular,
        found.count.saturating_sub(1),
        p(found.p_value),
        found.n,
    )
}

/// What a correlation says of two series.
pub fn together(first: &Subject, second: &Subject, found: &Correlation) -> String {
    let how = if found.rho > 0.0 { "together" } else { "against each other" };
    let lag = match found.lag_ms {
        0 => String::new(),
        ms => format!(", the first {} ahead", span(ms)),
    };
    format!(
        "{} and {} move {how}{lag} (Spearman of the prewhitened changes {:.2}; {}; n = {})",
        first.name(),
        second.name(),
        found.rho,
        p(found.p_value),
        found.n,
    )
}

/// `day`, `week`, or the duration.
pub fn span(ms: i64) -> String {
    match ms * 1000 / HOUR_US {
        24 if ms * 1000 % HOUR_US == 0 => "day".into(),
        168 if ms * 1000 % HOUR_US == 0 => "week".into(),
        _ => Span::seconds(ms / 1000).to_string(),
    }
}

/// `2026-01-05 14:10`
pub fn moment(us: i64) -> String {
    time::format(us).get(..16).map(|text| text.replace('T', " ")).unwrap_or_default()
}

fn p(p: f64) -> String {
    match p < 1e-4 {
        true => "p < 0.0001".into(),
        false => format!("p = {p:.4}"),
    }
}

/// Four significant digits at most, whole above 1000.
pub fn number(x: f64) -> String {
    let digits = match x.abs() {
        size if size >= 1000.0 || size == 0.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 1.0 => 3,
        size if size >= 0.001 => 4,
        _ => 6,
    };
    let text = format!("{x:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

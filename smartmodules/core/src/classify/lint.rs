//! What is wrong or doubtful in the parameters of `classify`: gaps and overlaps between ranges.

use super::{ClassifyConfig, Range};
use crate::config::{Issue, Issues};
use crate::row::Kind;

/// What works but is hardly meant.
pub(super) fn warnings(config: &ClassifyConfig) -> Issues {
    let mut issues = overlaps(&config.ranges);
    issues.extend(gaps(&config.ranges));
    if config.r#as.as_ref() == Some(&config.field) {
        let message = format!("the label replaces the number in `{}`", config.field);
        issues.push(Issue::warning("as", message));
    }
    issues
}

/// What cannot work.
pub(super) fn errors(config: &ClassifyConfig) -> Issues {
    let mut issues = Issues::new();
    if config.field.is_empty() {
        issues.push(Issue::error("field", "expected a field name, found an empty one"));
    }
    if config.r#as.as_deref() == Some("") {
        issues.push(Issue::error("as", "expected a field name, found an empty one"));
    }
    if config.ranges.is_empty() {
        issues.push(Issue::error("ranges", "expected at least one range, found none"));
    }
    for (i, range) in config.ranges.iter().enumerate() {
        if range.low() > range.high() {
            let message = format!("expected min <= max, found {} > {}", range.low(), range.high());
            issues.push(Issue::error(format!("ranges[{i}]"), message).hint("no number lies in it"));
        }
    }
    for (i, name) in config.kinds.iter().enumerate() {
        if Kind::parse(name).is_none() {
            let known = Kind::ALL.map(Kind::name).join(", ");
            issues.push(Issue::error(format!("kinds[{i}]"), format!("expected one of {known}, found `{name}`")));
        }
    }
    issues
}

/// Where two ranges hold the same numbers: which label wins there. Steps of a ladder are meant so. A later range that is wholly
/// inside one former range never applies.
fn overlaps(ranges: &[Range]) -> Issues {
    let mut issues = Issues::new();
    for (i, late) in ranges.iter().enumerate() {
        let path = format!("ranges[{i}]");
        for (j, early) in ranges.iter().enumerate().take(i) {
            let (low, high) = (late.low().max(early.low()), late.high().min(early.high()));
            let (wins, loses) = (&early.label, &late.label);
            // `max: 0.1`, then `max: 0.25`: a ladder, each step starts where the former ends.
            let up = early.min.is_none() && late.min.is_none() && late.high() > early.high();
            let down = early.max.is_none() && late.max.is_none() && late.low() < early.low();
            if low > high || up || down {
                continue;
            }
            issues.push(if low == late.low() && high == late.high() {
                Issue::warning(
                    &path,
                    format!("`{loses}` never applies: ranges[{j}], `{wins}`, stands first and holds all of it"),
                )
                .hint("put the narrower range first")
            } else if low == high {
                Issue::warning(
                    &path,
                    format!("shares the border {low} with ranges[{j}]; {low} is `{wins}`, which stands first"),
                )
                .hint("that is usual; swap the ranges if the border belongs to the other")
            } else {
                let span = interval(low, high);
                Issue::warning(&path, format!("overlaps ranges[{j}] {span}; there `{wins}` wins, which stands first"))
                    .hint("make the borders meet")
            });
        }
    }
    issues
}

/// Numbers between ranges that none holds. Below the lowest and above the highest bound is no
/// gap: a metric has a natural end there.
fn gaps(ranges: &[Range]) -> Issues {
    let mut sorted: Vec<&Range> = ranges.iter().collect();
    sorted.sort_by(|a, b| a.low().total_cmp(&b.low()));
    let mut issues = Issues::new();
    let mut covered = match sorted.first() {
        Some(range) => range.high(),
        None => return issues,
    };
    for range in sorted {
        if range.low() > covered {
            let message = format!("no range holds the numbers between {covered} and {}", range.low());
            issues.push(Issue::warning("ranges", message).hint("their label is null; make the borders meet"));
        }
        covered = covered.max(range.high());
    }
    issues
}

fn interval(low: f64, high: f64) -> String {
    match (low.is_finite(), high.is_finite()) {
        (true, true) => format!("from {low} to {high}"),
        (true, false) => format!("from {low} on"),
        (false, true) => format!("up to {high}"),
        (false, false) => "everywhere".into(),
    }
}

//! What can be wrong with the config, all of it at once.

use super::columns::columns;
use super::config::{AggregateConfig, Function, Trigger, Unit, WindowConfig};
use super::plan::Shape;
use super::spans::{shape, slice_us, slices, spans};
use crate::config::{Issue, Issues};
use crate::duration::Span;

/// More groups than this do not fit the 2 GiB of a module anyway.
const MAX_GROUPS: u32 = 10_000_000;
/// From here on folding is slow enough to say so.
const MANY_SLICES: i64 = 1_000;
/// Fields that every row of a window has
const RESERVED: [&str; 10] =
    ["id", "kind", "timestamp", "pipeline", "stage", "window", "window_start", "window_end", "revision", "approximate"];

/// Every error of the config that is not in an expression.
pub(super) fn check(config: &AggregateConfig) -> Issues {
    let mut issues = Issues::new();
    range(&mut issues, "max_groups", config.max_groups as f64, 1.0, MAX_GROUPS as f64);
    if config.windows.is_empty() {
        let hint =
            "add one, as `- { name: one_minute, type: tumbling, size: 1m, functions: { count: { type: count } } }`";
        issues.push(Issue::error("windows", "expected at least one window, found none").hint(hint));
    }
    for (at, field) in config.group_by.iter().enumerate() {
        let path = format!("group_by[{at}]");
        if field.is_empty() || RESERVED.contains(&field.as_str()) {
            let hint = "rename the field in an enrich stage before this one";
            issues.push(Issue::error(path, format!("expected the name of a field, found `{field}`")).hint(hint));
        } else if config.group_by[..at].contains(field) {
            issues.push(Issue::error(path, format!("expected each field once, found `{field}` again")));
        }
    }
    for (at, window) in config.windows.iter().enumerate() {
        let path = format!("windows[{at}]");
        if window.name.is_empty() {
            issues.push(Issue::error(format!("{path}.name"), "expected a name, found an empty one"));
        } else if config.windows[..at].iter().any(|w| w.name == window.name) {
            let message = format!("expected a name of its own, found `{}` again", window.name);
            issues.push(Issue::error(format!("{path}.name"), message));
        }
        spans(window, &path, &mut issues);
        names(config, window, &path, &mut issues);
        for (name, function) in &window.functions.0 {
            parameters(function, &format!("{path}.functions.{name}"), &mut issues);
        }
    }
    slices(&config.windows, &mut issues);
    issues
}

/// What works but is probably not meant.
pub(super) fn warnings(config: &AggregateConfig) -> Issues {
    let mut issues = Issues::new();
    for (at, window) in config.windows.iter().enumerate() {
        let path = format!("windows[{at}]");
        if let Some(Shape::Time { size, .. }) = shape(window)
            && size / slice_us(&config.windows).max(1) > MANY_SLICES
        {
            let slices = size / slice_us(&config.windows).max(1);
            issues.push(
                Issue::warning(format!("{path}.size"), format!("the window is folded from {slices} slices"))
                    .hint("sizes and slides with a large common divisor make fewer"),
            );
        }
        if let (Some(interval), Some(Shape::Time { slide, .. })) = (window.output_interval, shape(window))
            && interval.us() > 0
            && interval.us() % slide != 0
            && slide % interval.us() != 0
        {
            issues.push(
                Issue::warning(
                    format!("{path}.output_interval"),
                    format!("{interval} and the slide {} do not divide each other", Span(slide)),
                )
                .hint("results will come at uneven distances"),
            );
        }
        if let (Some(gap), Some(max)) = (window.gap, window.max_length)
            && max <= gap
        {
            let message = format!("{max} is not longer than the gap {gap}");
            issues.push(Issue::warning(format!("{path}.max_length"), message).hint("sessions end by it alone"));
        }
        if window.trigger == Trigger::ProcessingTime && window.allowed_lateness == Span::ZERO {
            issues.push(
                Issue::warning(
                    format!("{path}.allowed_lateness"),
                    "events that arrive after their window's end are late",
                )
                .hint("with trigger processing-time set it to at least the pipeline's out_of_orderness"),
            );
        }
    }
    issues
}

fn names(config: &AggregateConfig, window: &WindowConfig, path: &str, issues: &mut Issues) {
    if window.functions.0.is_empty() {
        let hint = "as `functions: { count: { type: count } }`";
        issues.push(Issue::error(format!("{path}.functions"), "expected at least one function, found none").hint(hint));
    }
    let columns = columns(&window.functions);
    for (at, name) in columns.iter().enumerate() {
        let path = format!("{path}.functions.{name}");
        if name.is_empty() || RESERVED.contains(&name.as_str()) {
            issues.push(Issue::error(path, format!("expected a name that no row has by itself, found `{name}`")));
        } else if config.group_by.contains(name) {
            issues.push(Issue::error(path, format!("expected a name that is not in group_by, found `{name}`")));
        } else if columns[..at].contains(name) {
            let hint = "linear-regression also writes …_intercept, …_r2, …_p_value, isolation-forest …_ratio, counter-rate …_series";
            issues
                .push(Issue::error(path, format!("expected each result field once, found `{name}` again")).hint(hint));
        }
    }
}

fn parameters(function: &Function, path: &str, issues: &mut Issues) {
    match function {
        Function::Percentile(p) => range(issues, &format!("{path}.parameter"), p.parameter, 0.0, 100.0),
        Function::CollectList(f) => range(issues, &format!("{path}.limit"), f.limit as f64, 1.0, 1000.0),
        Function::LinearRegression(f) => {
            range(issues, &format!("{path}.min_events"), f.min_events as f64, 2.0, 1e6);
            let over_time = f.over == "timestamp";
            if let Some(unit) = f.unit
                && over_time == (unit == Unit::PerUnit)
            {
                let expected = if over_time { "per_second, per_minute or per_hour" } else { "per_unit" };
                let message = format!("expected {expected} over `{}`", f.over);
                issues.push(Issue::error(format!("{path}.unit"), message).hint("or leave it out"));
            }
        }
        Function::Rate(f) if f.unit == Unit::PerUnit => {
            let message = "expected per_second, per_minute or per_hour, found per_unit";
            issues.push(Issue::error(format!("{path}.unit"), message));
        }
        Function::CounterRate(f) => {
            range(issues, &format!("{path}.series"), f.series.len() as f64, 0.0, 16.0);
            if f.unit == Unit::PerUnit {
                let message = "expected per_second, per_minute or per_hour, found per_unit";
                issues.push(Issue::error(format!("{path}.unit"), message));
            }
        }
        Function::IsolationForest(f) => {
            let features = f.features.len() as f64;
            range(issues, &format!("{path}.features"), features, 1.0, 32.0);
            range(issues, &format!("{path}.trees"), f.trees as f64, 1.0, 1000.0);
            range(issues, &format!("{path}.sub_sample"), f.sub_sample as f64, 2.0, 4096.0);
            range(issues, &format!("{path}.min_training"), f.min_training as f64, 2.0, 4096.0);
            range(issues, &format!("{path}.min_scored"), f.min_scored as f64, 1.0, 64.0);
            if !(f.threshold > 0.0 && f.threshold <= 0.5) {
                let message = format!("expected above 0 to 0.5, found {}", f.threshold);
                issues.push(Issue::error(format!("{path}.threshold"), message));
            }
        }
        _ => {}
    }
}

fn range(issues: &mut Issues, path: &str, found: f64, least: f64, most: f64) {
    if !(least..=most).contains(&found) {
        issues.push(Issue::error(path, format!("expected {least} to {most}, found {found}")));
    }
}

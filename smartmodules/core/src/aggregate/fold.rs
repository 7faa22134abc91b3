//! A window's results from the slices it covers, in order of time.

use super::acc::{Acc, List, Shift, merged};
use super::counters::growth;
use super::forest::{Cache, Memory, Subject, score};
use super::plan::{ForestPlan, Shape, Statistic, What, WhatKind, WindowPlan};
use super::sample::Sample;
use crate::cls::Cls;
use crate::json;
use crate::math::values::{Scratch, quantiles};
use crate::math::{Moments, Summary, Values};
use crate::row::Slot;
use crate::value::{OwnedValue, Value};

/// One slice, or the session.
pub(super) struct Part<'a> {
    /// Origin of its regressions
    pub base: i64,
    pub count: u64,
    pub accs: &'a [Acc],
}

/// A window of a group, about to be emitted.
pub(super) struct Window<'a> {
    pub group: u64,
    /// Microseconds
    pub start: i64,
    pub end: i64,
    /// In order of time
    pub parts: Vec<Part<'a>>,
    /// The first part of the newest slide
    pub newest: usize,
}

/// Results by column, and the columns answered by a sketch. Reused from window to window.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub cells: Vec<OwnedValue>,
    pub approximate: Vec<usize>,
    scratch: Scratch,
}

impl Results {
    /// Computes every function of `plan`.
    pub fn fold(&mut self, plan: &WindowPlan, window: &Window<'_>, memories: &mut [Memory], cache: &mut Cache) {
        self.cells.clear();
        self.cells.resize(plan.columns.len(), OwnedValue::Null);
        self.approximate.clear();
        self.percentiles(plan, window);
        for what in &plan.functions {
            match &what.kind {
                WhatKind::Trend { acc, per, over_time, min_events } => {
                    let all = moments(window, *acc, *over_time);
                    if all.count() >= *min_events {
                        self.trend(what.column, &all, *per);
                    }
                }
                WhatKind::Forest(forest) => {
                    let scored = memories
                        .get_mut(forest.at)
                        .and_then(|memory| score(forest, &subject(plan, forest, window), memory, cache));
                    self.set(what.column, float(scored.map(|s| s.0)));
                    self.set(what.column + 1, float(scored.map(|s| s.1)));
                }
                WhatKind::CounterRate { acc, unit_us } => {
                    let counters = window.accs(*acc, |a| if let Acc::Counters(c) = a { Some(&**c) } else { None });
                    if let Some(found) = growth(counters.into_iter()) {
                        self.set(what.column, float(Some(found.per_second * unit_us / 1e6)));
                        self.set(what.column + 1, OwnedValue::Int(found.series as i64));
                    }
                }
                _ => {
                    let value = self.simple(what, window);
                    self.set(what.column, value);
                }
            }
        }
    }

    fn set(&mut self, column: usize, value: OwnedValue) {
        if let Some(cell) = self.cells.get_mut(column) {
            *cell = value;
        }
    }

    fn percentiles(&mut self, plan: &WindowPlan, window: &Window<'_>) {
        for batch in &plan.batches {
            let values: Vec<&Values> = window.accs(batch.acc, |a| if let Acc::Values(v) = a { Some(v) } else { None });
            let answer = quantiles(&values, &batch.qs, &mut self.scratch);
            for (column, value) in batch.columns.iter().zip(&answer.values) {
                self.set(*column, float(Some(*value)));
            }
            if answer.approximate {
                self.approximate.extend(&batch.columns);
            }
        }
        self.approximate.sort_unstable();
    }

    fn simple(&self, what: &What, window: &Window<'_>) -> OwnedValue {
        match &what.kind {
            WhatKind::Count(acc) => OwnedValue::Int(window.count(*acc) as i64),
            WhatKind::Summary(acc, statistic) => float(summary(window, *acc, *statistic)),
            WhatKind::List { acc, distinct, limit } => {
                let lists: Vec<&List> = window.accs(*acc, |a| if let Acc::List(l) = a { Some(&**l) } else { None });
                array(merged(&lists, *distinct, *limit).iter().map(|(_, v)| v.as_value()))
            }
            WhatKind::Cls(acc) => float(Some(cls(window, *acc))),
            WhatKind::Ratio(acc) => {
                let all = window.count(None);
                float((all > 0).then(|| window.count(Some(*acc)) as f64 / all as f64))
            }
            WhatKind::Rate { acc, unit_us } => {
                let length = window.end.saturating_sub(window.start).max(1);
                float(Some(window.count(*acc) as f64 * unit_us / length as f64))
            }
            WhatKind::Expression { expr, columns } => {
                let get = |slot: Slot| {
                    let cell = columns.get(slot.0).and_then(|column| self.cells.get(*column));
                    cell.map_or(Value::Null, OwnedValue::as_value)
                };
                match expr.eval(&get).as_value() {
                    Value::Float(x) => float(Some(x)),
                    other => other.into(),
                }
            }
            WhatKind::Percentile | WhatKind::Trend { .. } | WhatKind::Forest(_) | WhatKind::CounterRate { .. } => {
                self.cell(what.column)
            }
        }
    }

    /// Percentiles are there already.
    fn cell(&self, column: usize) -> OwnedValue {
        self.cells.get(column).cloned().unwrap_or_default()
    }

    /// Slope, intercept at the window's start (at x = 0 over a field), r² and p-value.
    fn trend(&mut self, column: usize, all: &Moments, per: f64) {
        if let Some(fit) = all.fit() {
            self.set(column, float(Some(fit.slope * per)));
            self.set(column + 1, float(Some(fit.intercept)));
            self.set(column + 2, float(Some(fit.r2)));
            self.set(column + 3, float(fit.p_value));
        }
    }
}

/// The moments of all slices; over time, x is seconds since the window's start.
fn moments(window: &Window<'_>, acc: usize, over_time: bool) -> Moments {
    let mut all = Moments::default();
    for part in &window.parts {
        if let Some(Acc::Trend(moments)) = part.accs.get(acc) {
            let mut moments = **moments;
            if over_time {
                moments.shift_x(part.base.saturating_sub(window.start) as f64 / 1e6);
            }
            all.merge(&moments);
        }
    }
    all
}

impl<'a> Window<'a> {
    fn accs<T>(&self, acc: usize, pick: impl Fn(&'a Acc) -> Option<T>) -> Vec<T> {
        pick_all(&self.parts, acc, pick)
    }

    /// Events, all or those of a counting accumulator.
    fn count(&self, acc: Option<usize>) -> u64 {
        let of = |part: &Part<'_>| match acc.map(|acc| part.accs.get(acc)) {
            None => part.count,
            Some(Some(Acc::Count(n))) => *n,
            Some(_) => 0,
        };
        self.parts.iter().map(of).fold(0, u64::saturating_add)
    }
}

fn pick_all<'a, T>(parts: &[Part<'a>], acc: usize, pick: impl Fn(&'a Acc) -> Option<T>) -> Vec<T> {
    parts.iter().filter_map(|part| part.accs.get(acc).and_then(&pick)).collect()
}

/// NaN and infinities are null.
fn float(x: Option<f64>) -> OwnedValue {
    x.filter(|x| x.is_finite()).map_or(OwnedValue::Null, OwnedValue::Float)
}

/// A JSON array.
pub(super) fn array<'v>(values: impl Iterator<Item = Value<'v>>) -> OwnedValue {
    let mut text = vec![b'['];
    for value in values {
        if text.len() > 1 {
            text.push(b',');
        }
        json::write_value(value, &mut text);
    }
    text.push(b']');
    OwnedValue::Json(String::from_utf8(text).unwrap_or_else(|_| "[]".into()).into())
}

fn summary(window: &Window<'_>, acc: usize, statistic: Statistic) -> Option<f64> {
    let mut all = Summary::default();
    for part in &window.parts {
        if let Some(Acc::Summary(summary)) = part.accs.get(acc) {
            all.merge(summary);
        }
    }
    match statistic {
        _ if all.count() == 0 => None,
        Statistic::Sum => all.sum(),
        Statistic::Min => all.min(),
        Statistic::Max => all.max(),
        Statistic::Mean => all.mean(),
        Statistic::Stddev => all.stddev(),
    }
}

/// By time of the shifts, equal times by arrival; 0 without shifts.
fn cls(window: &Window<'_>, acc: usize) -> f64 {
    let lists = window.accs(acc, |a| if let Acc::Shifts(s) = a { Some(s) } else { None });
    let mut shifts: Vec<&Shift> = lists.into_iter().flatten().collect();
    shifts.sort_by(|a, b| a.time_ms.total_cmp(&b.time_ms).then(a.arrival.cmp(&b.arrival)));
    let mut cls = Cls::default();
    for shift in shifts {
        cls.add(shift.time_ms, shift.value, false, Value::Null);
    }
    cls.result().cls
}

fn subject<'a>(plan: &WindowPlan, forest: &ForestPlan, window: &Window<'a>) -> Subject<'a> {
    let pick = |a: &'a Acc| -> Option<&'a Sample> { if let Acc::Sample(s) = a { Some(s) } else { None } };
    let (serve, slides) = match plan.shape {
        Shape::Time { size, slide } => (size, slide < size),
        Shape::Session { gap, max_length } => (max_length.min(gap.saturating_mul(10)), false),
    };
    let (older, newest) = window.parts.split_at(window.newest.min(window.parts.len()));
    Subject {
        group: window.group,
        end: window.end,
        serve,
        older: slides.then(|| pick_all(older, forest.acc, pick)),
        newest: if slides { pick_all(newest, forest.acc, pick) } else { pick_all(&window.parts, forest.acc, pick) },
    }
}

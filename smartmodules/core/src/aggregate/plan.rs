//! The config compiled ([`super::build`]): what is kept per slice, and how a window reads it.
//!
//! Functions with the same field and condition share one accumulator, over all tumbling and
//! sliding windows of the stage; a session window has its own.

pub(super) use super::config::Trigger;
use crate::expr::Expr;
use crate::math::ForestParams;
use crate::row::Slot;

/// The whole stage.
#[derive(Debug)]
pub(super) struct Plan {
    pub group_by: Vec<(String, Slot)>,
    /// Width of a slice: the greatest common divisor of all sizes and slides
    pub slice_us: i64,
    pub conditions: Vec<Expr>,
    /// Kept per slice
    pub accs: Vec<AccSpec>,
    pub windows: Vec<WindowPlan>,
    /// The trigger of the window of each isolation forest
    pub forests: Vec<Trigger>,
}

/// What an accumulator takes of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AccSpec {
    pub kind: AccKind,
    /// Index in [`Plan::conditions`]
    pub condition: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum AccKind {
    Count,
    Values(Slot),
    Summary(Slot),
    /// Over event time without `x`
    Trend {
        y: Slot,
        x: Option<Slot>,
    },
    List {
        field: Slot,
        distinct: bool,
        limit: usize,
    },
    Sample {
        features: Vec<Slot>,
        seed: u64,
    },
    Shifts {
        field: Slot,
        time: Option<Slot>,
    },
    Counters {
        field: Slot,
        /// What tells counters of a group apart
        series: Vec<Slot>,
    },
}

/// One named window.
#[derive(Debug)]
pub(super) struct WindowPlan {
    pub name: String,
    pub shape: Shape,
    pub lateness: i64,
    pub trigger: Trigger,
    pub interval: Option<i64>,
    /// A session's own accumulators; empty for windows over slices
    pub accs: Vec<AccSpec>,
    pub functions: Vec<What>,
    /// Percentiles of one accumulator are answered together
    pub batches: Vec<Batch>,
    /// Names of the result fields
    pub columns: Vec<String>,
}

/// Microseconds throughout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    /// Tumbling: slide = size
    Time {
        size: i64,
        slide: i64,
    },
    Session {
        gap: i64,
        max_length: i64,
    },
}

#[derive(Debug)]
pub(super) struct Batch {
    pub acc: usize,
    /// 0–1
    pub qs: Vec<f64>,
    pub columns: Vec<usize>,
}

/// A function: where it reads, and from which column on it writes.
#[derive(Debug)]
pub(super) struct What {
    pub column: usize,
    pub kind: WhatKind,
}

#[derive(Debug)]
pub(super) enum WhatKind {
    /// All events without an accumulator
    Count(Option<usize>),
    Summary(usize, Statistic),
    /// Answered by its [`Batch`]
    Percentile,
    /// Factor from the slope per second, or per unit of x
    Trend {
        acc: usize,
        per: f64,
        over_time: bool,
        /// With fewer points it is null
        min_events: u64,
    },
    List {
        acc: usize,
        distinct: bool,
        limit: usize,
    },
    Forest(Box<ForestPlan>),
    Cls(usize),
    Ratio(usize),
    Rate {
        acc: Option<usize>,
        unit_us: f64,
    },
    CounterRate {
        acc: usize,
        unit_us: f64,
    },
    /// Its slots are columns
    Expression {
        expr: Expr,
        columns: Vec<usize>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Statistic {
    Sum,
    Min,
    Max,
    Mean,
    Stddev,
}

#[derive(Debug, Clone)]
pub(super) struct ForestPlan {
    pub acc: usize,
    /// Index among the stage's forests
    pub at: usize,
    pub features: usize,
    pub threshold: f64,
    pub min_training: usize,
    pub min_scored: usize,
    pub params: ForestParams,
}

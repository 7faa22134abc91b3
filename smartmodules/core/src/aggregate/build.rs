//! Builds the plan of a checked config.

use super::columns::{columns, extra};
use super::config::{AggregateConfig, Function, OfField, Trigger, Unit, WindowConfig};
use super::plan::{AccKind, AccSpec, Batch, ForestPlan, Plan, Shape, Statistic, What, WhatKind, WindowPlan};
use super::{check, spans};
use crate::config::{Issues, fail_on_errors};
use crate::expr::Expr;
use crate::math::ForestParams;
use crate::row::{Fields, Slot};

impl Plan {
    /// Checks everything, then compiles.
    pub fn new(config: &AggregateConfig, fields: &mut Fields) -> Result<Plan, Issues> {
        let mut issues = check::check(config);
        let slice_us = spans::slice_us(&config.windows);
        let group_by = config.group_by.iter().map(|name| (name.clone(), fields.slot(name))).collect();
        let mut plan = Plan {
            group_by,
            slice_us,
            conditions: Vec::new(),
            accs: Vec::new(),
            windows: Vec::new(),
            forests: Vec::new(),
        };
        for (at, window) in config.windows.iter().enumerate() {
            let Some(shape) = spans::shape(window) else {
                continue;
            };
            let trigger = window.trigger;
            let mut build =
                Build { plan: &mut plan, fields, issues: &mut issues, path: String::new(), trigger, own: None };
            build.path = format!("windows[{at}].functions");
            if matches!(shape, Shape::Session { .. }) {
                build.own = Some(Vec::new());
            }
            let built = build.window(window, shape);
            plan.windows.push(built);
        }
        fail_on_errors(&issues)?;
        Ok(plan)
    }
}

/// Building one window.
pub(super) struct Build<'p> {
    plan: &'p mut Plan,
    fields: &'p mut Fields,
    pub issues: &'p mut Issues,
    pub path: String,
    trigger: Trigger,
    /// The accumulators of a session window
    own: Option<Vec<AccSpec>>,
}

impl Build<'_> {
    fn window(mut self, window: &WindowConfig, shape: Shape) -> WindowPlan {
        let (mut functions, mut batches) = (Vec::new(), Vec::new());
        let columns = columns(&window.functions);
        let mut column = 0;
        for (name, function) in &window.functions.0 {
            let kind = match function {
                Function::Expression(e) => self.expression(name, &e.expression, column, &window.functions, &columns),
                Function::Percentile(p) => {
                    let acc = self.value_acc(name, AccKind::Values, &p.field, &p.condition);
                    let q = p.parameter / 100.0;
                    add_to_batch(&mut batches, acc, q, column);
                    Some(WhatKind::Percentile)
                }
                other => self.function(name, other),
            };
            if let Some(kind) = kind {
                functions.push(What { column, kind });
            }
            column += 1 + extra(function).len();
        }
        // Expressions read the others, so they come last; among themselves in the file's order.
        functions.sort_by_key(|f| matches!(f.kind, WhatKind::Expression { .. }));
        WindowPlan {
            name: window.name.clone(),
            shape,
            lateness: window.allowed_lateness.us(),
            trigger: window.trigger,
            interval: window.output_interval.map(|i| i.us().max(1)),
            accs: self.own.unwrap_or_default(),
            functions,
            batches,
            columns,
        }
    }

    fn function(&mut self, name: &str, function: &Function) -> Option<WhatKind> {
        let statistic = |build: &mut Self, f: &OfField, what| {
            Some(WhatKind::Summary(build.value_acc(name, AccKind::Summary, &f.field, &f.condition), what))
        };
        match function {
            Function::Count(f) => Some(WhatKind::Count(self.count_acc(name, f.condition.as_deref()))),
            Function::Sum(f) => statistic(self, f, Statistic::Sum),
            Function::Min(f) => statistic(self, f, Statistic::Min),
            Function::Max(f) => statistic(self, f, Statistic::Max),
            Function::Mean(f) => statistic(self, f, Statistic::Mean),
            Function::Stddev(f) => statistic(self, f, Statistic::Stddev),
            Function::LinearRegression(f) => {
                let over_time = f.over == "timestamp";
                let x = (!over_time).then(|| self.fields.slot(&f.over));
                let y = self.fields.slot(&f.field);
                let acc = self.acc(name, AccKind::Trend { y, x }, f.condition.as_deref());
                let unit = f.unit.unwrap_or(if over_time { Unit::PerMinute } else { Unit::PerUnit });
                let per = if over_time { unit.us() / 1e6 } else { 1.0 };
                Some(WhatKind::Trend { acc, per, over_time, min_events: u64::from(f.min_events) })
            }
            Function::CollectList(f) => {
                let (field, limit) = (self.fields.slot(&f.field), f.limit as usize);
                let kind = AccKind::List { field, distinct: f.distinct, limit };
                let acc = self.acc(name, kind, f.condition.as_deref());
                Some(WhatKind::List { acc, distinct: f.distinct, limit })
            }
            Function::IsolationForest(f) => {
                let features: Vec<Slot> = f.features.iter().map(|n| self.fields.slot(n)).collect();
                let count = features.len();
                let acc = self.acc(name, AccKind::Sample { features, seed: f.seed }, f.condition.as_deref());
                let at = self.plan.forests.len();
                self.plan.forests.push(self.trigger);
                Some(WhatKind::Forest(Box::new(ForestPlan {
                    acc,
                    at,
                    features: count,
                    threshold: f.threshold,
                    min_training: f.min_training as usize,
                    min_scored: f.min_scored as usize,
                    params: ForestParams { trees: f.trees, sub_sample: f.sub_sample, seed: f.seed },
                })))
            }
            Function::ClsWithSessionGaps(f) => {
                let (field, time) = (self.fields.slot(&f.field), f.time.as_ref().map(|n| self.fields.slot(n)));
                Some(WhatKind::Cls(self.acc(name, AccKind::Shifts { field, time }, f.condition.as_deref())))
            }
            Function::Ratio(f) => Some(WhatKind::Ratio(self.acc(name, AccKind::Count, Some(&f.condition)))),
            Function::Rate(f) => {
                let acc = self.count_acc(name, f.condition.as_deref());
                Some(WhatKind::Rate { acc, unit_us: f.unit.us() })
            }
            Function::CounterRate(f) => {
                let series = f.series.iter().map(|name| self.fields.slot(name)).collect();
                let kind = AccKind::Counters { field: self.fields.slot(&f.field), series };
                let acc = self.acc(name, kind, f.condition.as_deref());
                Some(WhatKind::CounterRate { acc, unit_us: f.unit.us() })
            }
            Function::Percentile(_) | Function::Expression(_) => None,
        }
    }

    /// Without a condition every slice counts by itself.
    fn count_acc(&mut self, name: &str, condition: Option<&str>) -> Option<usize> {
        condition.map(|text| self.acc(name, AccKind::Count, Some(text)))
    }

    fn value_acc(&mut self, name: &str, kind: fn(Slot) -> AccKind, field: &str, condition: &Option<String>) -> usize {
        let slot = self.fields.slot(field);
        self.acc(name, kind(slot), condition.as_deref())
    }

    fn acc(&mut self, name: &str, kind: AccKind, condition: Option<&str>) -> usize {
        let condition = condition.and_then(|text| self.condition(name, text));
        let spec = AccSpec { kind, condition };
        let accs = self.own.as_mut().unwrap_or(&mut self.plan.accs);
        accs.iter().position(|a| *a == spec).unwrap_or_else(|| {
            accs.push(spec);
            accs.len() - 1
        })
    }

    fn condition(&mut self, name: &str, text: &str) -> Option<usize> {
        if let Some(at) = self.plan.conditions.iter().position(|c| c.text() == text) {
            return Some(at);
        }
        match Expr::parse(text, self.fields) {
            Ok(expr) => {
                self.plan.conditions.push(expr);
                Some(self.plan.conditions.len() - 1)
            }
            Err(issue) => {
                self.issues.push(issue.under(&format!("{}.{name}.where", self.path)));
                None
            }
        }
    }
}

fn add_to_batch(batches: &mut Vec<Batch>, acc: usize, q: f64, column: usize) {
    match batches.iter_mut().find(|b| b.acc == acc) {
        Some(batch) => {
            batch.qs.push(q);
            batch.columns.push(column);
        }
        None => batches.push(Batch { acc, qs: vec![q], columns: vec![column] }),
    }
}

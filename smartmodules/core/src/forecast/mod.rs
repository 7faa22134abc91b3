//! Stage `forecast`: what a field of windows will be, per series, with an interval, and when it breaches.
//!
//! A row of the field goes on with `prediction`, `prediction_low`, `prediction_high` for the first horizon and
//! `prediction_time`, when that is; with `forecast_FIELD_HORIZON`, `…_low`, `…_high` for each, and `time_to_breach`: milliseconds until the path
//! from the value through the predictions crosses `threshold`, 0 if the value itself is a breach. What is
//! not known is absent: a horizon before 8 of its predictions met their outcome, `time_to_breach` where no
//! breach is in sight within the longest horizon. `forecast(FIELD, HORIZON)` in a condition reads those
//! fields. The method is in [`model`]. Once a step each series with predictions makes a `forecast` record too.
//!
//! A row learns only if it is the first of its step; one of an earlier step than the newest (late, a
//! corrected window) passes as it is. A row without a number is told the prediction and teaches nothing.
//! Cost per row: 2 µs with three horizons, natively, its ten fields written as JSON included. Memory: about 4 KiB per series with the defaults.
//!
//! Not augurs 0.10: its models are fitted to a whole history and cannot take one more value, so each row
//! would cost a fit over a stored season, and its crates need `getrandom`, which has no source of chance here.

mod config;
mod model;
mod season;
mod series;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_golden;

pub use config::{Bound, Breach, ForecastConfig};

use crate::alert::text::{Named, group_key, labels, named};
use crate::clock::NEVER;
use crate::config::{Issues, fail_on_errors};
use crate::duration::Span;
use crate::row::{Fields, Kind, Meta, Output, Row, RowWriter, Slot};
use crate::stage::{Context, Counters, RestoreError, Stage, count, load, save};
use crate::value::Value;
use model::{Forecast, LARGEST, Plan, Series};
use serde::{Deserialize, Serialize};
use series::{AllSeries, Known};
use std::collections::BTreeMap;

/// The field with the prediction of a field at a horizon.
pub fn field_name(field: &str, horizon: Span) -> String {
    format!("forecast_{field}_{horizon}")
}

/// The field with the time until a breach, milliseconds.
pub const TIME_TO_BREACH: &str = "time_to_breach";
/// The field with the prediction of the first horizon.
pub const PREDICTION: &str = "prediction";
/// The field with the time that prediction is for, milliseconds since the epoch.
pub const PREDICTION_TIME: &str = "prediction_time";

/// The stage `forecast`.
#[derive(Debug)]
pub struct ForecastStage {
    config: ForecastConfig,
    context: Context,
    plan: Plan,
    field: Slot,
    window: Option<Box<str>>,
    window_slot: Slot,
    revision: Slot,
    looks_at: [bool; Kind::ALL.len()],
    /// Sorted by name
    group: Vec<Named>,
    threshold: Option<(f64, Breach)>,
    most_series: usize,
    /// Names of the fields of each horizon: value, low, high
    names: Vec<[Box<str>; 3]>,
    /// Slots of all fields that it writes
    own: Vec<Named>,
    all: AllSeries,
    counts: Counts,
    key: Vec<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "count")]
    input: u64,
    #[serde(deserialize_with = "count")]
    rows: u64,
    #[serde(deserialize_with = "count")]
    learned: u64,
    #[serde(deserialize_with = "count")]
    missing: u64,
    #[serde(deserialize_with = "count")]
    late: u64,
    #[serde(deserialize_with = "count")]
    predicted: u64,
    #[serde(deserialize_with = "count")]
    evicted: u64,
}

impl Stage for ForecastStage {
    const NAME: &'static str = "forecast";
    const STATE_VERSION: u32 = 1;
    type Config = ForecastConfig;

    fn new(config: ForecastConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        fail_on_errors(&config.errors())?;
        let plan = config.plan();
        let mut group: Vec<Named> = config.group_by.iter().map(|name| named(name, fields)).collect();
        group.sort_by(|a, b| a.name.cmp(&b.name));
        group.dedup_by(|a, b| a.name == b.name);
        let three = |name: String| [name.clone(), format!("{name}_low"), format!("{name}_high")].map(Box::from);
        let names: Vec<[Box<str>; 3]> =
            config.horizons.iter().map(|horizon| three(field_name(&config.field, *horizon))).collect();
        let first = three(PREDICTION.into());
        let own = first.iter().chain(names.iter().flatten()).map(|name| &**name);
        let own = own.chain([PREDICTION_TIME, TIME_TO_BREACH]);
        let fit = context.max_state_bytes / Series::most_bytes(&plan).max(1);
        Ok(ForecastStage {
            field: fields.slot(&config.field),
            window: config.window.as_deref().map(Into::into),
            window_slot: fields.slot("window"),
            revision: fields.slot("revision"),
            looks_at: config.looks_at(),
            group,
            threshold: match config.threshold {
                Some(Bound::Value(bound)) if bound.is_finite() => Some((bound, config.breach)),
                _ => None,
            },
            most_series: fit.min(u64::from(config.max_series)) as usize,
            own: own.map(|name| named(name, fields)).collect(),
            names,
            plan,
            all: AllSeries::default(),
            counts: Counts::default(),
            key: Vec::new(),
            context: context.clone(),
            config,
        })
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        self.counts.input += (row.meta.kind == Kind::Event) as u64;
        if !self.is_asked(row) {
            return out.pass(row);
        }
        self.counts.rows += 1;
        let time = row.meta.event_time;
        group_key(&self.group, row, &mut self.key);
        let series = self.all.see(&self.key, self.counts.rows, &self.plan);
        let corrected = row.get(self.revision).as_f64().is_some_and(|n| n > 0.0);
        if corrected || series.is_late(time, &self.plan) {
            self.counts.late += 1;
            self.counts.evicted += self.all.make_room(self.most_series);
            return out.pass(row);
        }
        let value = row.get(self.field).as_f64().filter(|x| x.abs() <= LARGEST);
        let learned = value.is_some_and(|value| series.learn(time, value, &self.plan));
        self.counts.learned += learned as u64;
        self.counts.missing += value.is_none() as u64;
        let forecasts: Vec<Option<Forecast>> =
            (0..self.names.len()).map(|at| series.forecast(time, at, &self.plan)).collect();
        self.counts.evicted += self.all.make_room(self.most_series);
        let known = forecasts.iter().any(Option::is_some);
        self.counts.predicted += known as u64;
        self.write(row, value, &forecasts, out);
        if known && learned && self.config.records {
            self.record(row, value, &forecasts, out);
        }
    }

    fn counters(&self) -> Counters {
        let c = &self.counts;
        vec![
            ("in", c.input),
            ("passed", c.input),
            ("rows", c.rows),
            ("learned", c.learned),
            ("missing", c.missing),
            ("late_rows", c.late),
            ("predicted", c.predicted),
            ("series", self.all.len() as u64),
            ("evicted", c.evicted),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(&self.counts, self.all.saved()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (counts, saved): (Counts, Vec<(u64, Known)>) = load(bytes)?;
        self.all = AllSeries::restored(saved, counts.rows, &self.plan)?;
        self.counts = counts;
        Ok(())
    }
}

impl ForecastStage {
    /// Is the row one that says something of the field?
    fn is_asked(&self, row: &Row<'_>) -> bool {
        self.looks_at[row.meta.kind as usize]
            && row.meta.event_time != NEVER
            && row.has(self.field)
            && self.window.as_deref().is_none_or(|name| row.get(self.window_slot).as_str() == Some(name))
    }

    /// Passes the row on with what is expected, in place of such fields that it had.
    fn write(&self, row: &Row<'_>, value: Option<f64>, forecasts: &[Option<Forecast>], out: &mut Output) {
        let had = self.own.iter().any(|own| row.has(own.slot));
        let mut copy = match had {
            false => out.extend(row),
            true => {
                let mut copy = out.row(row.meta, row.key);
                for (name, value) in row.fields().filter(|(name, _)| !self.own.iter().any(|own| *own.name == **name)) {
                    copy.field(name, value);
                }
                copy
            }
        };
        self.predictions(row.meta.event_time, value, forecasts, &mut copy);
    }

    /// A record of what is expected of the row's series.
    fn record(&self, row: &Row<'_>, value: Option<f64>, forecasts: &[Option<Forecast>], out: &mut Output) {
        let time = row.meta.event_time;
        let (partition, step) = (self.context.partition.to_le_bytes(), time.to_le_bytes());
        let id = crate::id::id(&[self.context.stage.as_bytes(), &partition, &self.key, &step]);
        let mut record = out.row(Meta { kind: Kind::Forecast, ..row.meta }, row.key);
        record.field("id", id.as_str()).field("pipeline", &*self.context.pipeline).field("stage", &*self.context.stage);
        record.field("field", &*self.config.field).field("window", row.get(self.window_slot));
        record.field("labels", Value::Json(&labels(&self.group, row, &BTreeMap::new())));
        record.field("value", value.map_or(Value::Null, Value::Float));
        if let Some((threshold, _)) = self.threshold {
            record.field("threshold", threshold);
        }
        self.predictions(time, value, forecasts, &mut record);
    }

    /// What is expected after `time`, where it is known.
    fn predictions(&self, time: i64, value: Option<f64>, forecasts: &[Option<Forecast>], row: &mut RowWriter<'_>) {
        if let (Some(Some(first)), Some(horizon)) = (forecasts.first(), self.plan.horizons_us.first()) {
            row.field(PREDICTION, first.value).field("prediction_low", first.low).field("prediction_high", first.high);
            row.field(PREDICTION_TIME, (time + horizon).div_euclid(1000));
        }
        for (forecast, [name, low, high]) in forecasts.iter().zip(&self.names) {
            if let Some(forecast) = forecast {
                row.field(name, forecast.value).field(low, forecast.low).field(high, forecast.high);
            }
        }
        if let Some(us) = self.time_to_breach(value, forecasts) {
            row.field(TIME_TO_BREACH, us / 1000);
        }
    }

    /// Microseconds until the path from the value through the predictions crosses the threshold.
    fn time_to_breach(&self, value: Option<f64>, forecasts: &[Option<Forecast>]) -> Option<i64> {
        let (threshold, side) = self.threshold?;
        let beyond = |x: f64| match side {
            Breach::Above => x > threshold,
            Breach::Below => x < threshold,
        };
        let ahead = self.plan.horizons_us.iter().zip(forecasts).filter_map(|(us, f)| Some((*us, (*f)?.value)));
        let mut path: Vec<(i64, f64)> = ahead.collect();
        // Nothing is said of the future until something is known of it.
        path.first()?;
        path.sort_by_key(|(us, _)| *us);
        let mut before: Option<(i64, f64)> = value.map(|value| (0, value));
        if before.is_some_and(|(_, value)| beyond(value)) {
            return Some(0);
        }
        for (us, value) in path {
            if beyond(value) {
                let (from, start) = before.unwrap_or((us, value));
                let share = if value == start { 1.0 } else { (threshold - start) / (value - start) };
                return Some(from + ((us - from) as f64 * share.clamp(0.0, 1.0)) as i64);
            }
            before = Some((us, value));
        }
        None
    }
}

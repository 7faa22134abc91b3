//! The parameters of `forecast`, and what can be wrong with them.

use super::model::Plan;
use crate::config::{Issue, Issues};
use crate::duration::Span;
use crate::row::Kind;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

const MAX_HORIZONS: usize = 8;
/// Steps in the longest horizon: each waits in memory for its outcome.
const MAX_STEPS: i64 = 500;
const MAX_SLOTS: u32 = 336;

/// Predicts a field of windows at stated horizons, per series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ForecastConfig {
    /// Field with the number that is predicted, `p75_lcp` for one. Required.
    pub field: String,
    /// Name of the window whose rows it looks at; rows of others pass. Default: any that has the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Kinds of rows it looks at. Default: window.
    #[serde(default = "default_kinds")]
    pub kinds: Vec<String>,
    /// Fields whose values tell series apart. Default: `page`, `browser`.
    #[serde(default = "default_group")]
    pub group_by: Vec<String>,
    /// How far ahead, up to 8, each at least `step` and at most 500 steps; `prediction` is for the first.
    /// Default: `5m`, `15m`, `1h`.
    #[serde(default = "default_horizons")]
    pub horizons: Vec<Span>,
    /// Of the rows in a step the first is learned, `1s` to `1d`. The usual distance of rows, or a little
    /// more. Default: `1m`.
    #[serde(default = "default_step")]
    pub step: Span,
    /// After what time values repeat themselves, in UTC: `1d`, `7d`; `0s` for never. Used once two of them
    /// were seen. Default: `1d`.
    #[serde(default = "default_season")]
    pub season: Span,
    /// Parts of a season that are told apart, 2 to 336. Default: 24.
    #[serde(default = "default_slots")]
    pub season_slots: u32,
    /// Share of outcomes that fall between `prediction_low` and `prediction_high`, 0.5 to 0.99. Default: 0.95.
    #[serde(default = "default_interval")]
    pub interval: f64,
    /// Bound that `time_to_breach` looks for, in the unit of the field; or `{ rule: NAME }`, the bound that an
    /// alert rule of the same pipeline has for the field, and its side. Default: none, and no `time_to_breach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Bound>,
    /// On which side of `threshold` a value is a breach. Default: `above`, or the side of the rule.
    #[serde(default)]
    pub breach: Breach,
    /// Write a `forecast` record per series and step as well, once there are predictions. Default: true.
    #[serde(default = "default_records")]
    pub records: bool,
    /// Series remembered, 1 to 1,000,000; beyond it the one unseen for longest is forgotten. Default: 10000.
    #[serde(default = "default_series")]
    pub max_series: u32,
}

/// A bound, or who has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, deny_unknown_fields)]
pub enum Bound {
    /// In the unit of the field
    Value(f64),
    /// What the condition of an alert rule of the pipeline compares the field with; perfstream puts the number
    /// in its place
    Rule {
        /// Name of the rule
        rule: String,
    },
}

/// A side of the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Breach {
    /// Larger values breach
    #[default]
    Above,
    /// Smaller values breach
    Below,
}

fn default_kinds() -> Vec<String> {
    vec!["window".into()]
}

fn default_group() -> Vec<String> {
    ["page", "browser"].map(String::from).to_vec()
}

fn default_horizons() -> Vec<Span> {
    vec![Span::minutes(5), Span::minutes(15), Span::minutes(60)]
}

fn default_step() -> Span {
    Span::minutes(1)
}

fn default_season() -> Span {
    Span::minutes(24 * 60)
}

fn default_slots() -> u32 {
    24
}

fn default_interval() -> f64 {
    0.95
}

fn default_records() -> bool {
    true
}

fn default_series() -> u32 {
    10_000
}

impl ForecastConfig {
    /// Names of the fields that the stage may add to a row.
    pub fn written(&self) -> Vec<String> {
        let horizons = self.horizons.iter().map(|horizon| super::field_name(&self.field, *horizon));
        let names = std::iter::once(super::PREDICTION.to_string()).chain(horizons);
        let mut written: Vec<String> =
            names.flat_map(|name| [name.clone(), format!("{name}_low"), format!("{name}_high")]).collect();
        written.push(super::PREDICTION_TIME.into());
        written.extend(self.threshold.as_ref().map(|_| super::TIME_TO_BREACH.to_string()));
        written
    }

    /// Kinds of rows that it looks at, by code.
    pub(super) fn looks_at(&self) -> [bool; Kind::ALL.len()] {
        let mut looks_at = [false; Kind::ALL.len()];
        for kind in self.kinds.iter().filter_map(|name| Kind::parse(name)) {
            looks_at[kind as usize] = true;
        }
        looks_at
    }

    /// What models need of it.
    pub(super) fn plan(&self) -> Plan {
        let season_us = self.season.us();
        Plan {
            step_us: self.step.us(),
            season_us,
            slots: if season_us > 0 { self.season_slots as usize } else { 0 },
            horizons_us: self.horizons.iter().map(|h| h.us()).collect(),
            interval: self.interval,
            z: Normal::new(0.0, 1.0).map_or(1.96, |normal| normal.inverse_cdf(0.5 + self.interval / 2.0)),
        }
    }

    /// What cannot work.
    pub(super) fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        if self.field.is_empty() {
            issues.push(Issue::error("field", "expected the name of a field, found none"));
        }
        for (i, name) in self.kinds.iter().enumerate() {
            if !["event", "window", "session"].contains(&name.as_str()) {
                let message = format!("expected event, window or session, found `{name}`");
                issues.push(Issue::error(format!("kinds[{i}]"), message));
            }
        }
        if !(1_000_000..=86_400_000_000).contains(&self.step.us()) {
            let message = format!("expected `1s` to `1d`, found `{}`", self.step);
            issues.push(Issue::error("step", message));
        } else {
            self.horizon_errors(&mut issues);
        }
        if self.season.us() != 0 && self.season.us() < self.step.us().saturating_mul(2) {
            let message = format!("expected two steps or more, or `0s`, found `{}`", self.season);
            issues.push(Issue::error("season", message));
        }
        if let Some(Bound::Rule { rule }) = &self.threshold {
            let message = format!("expected a number, found the rule `{rule}`");
            issues.push(Issue::error("threshold", message).hint("a module alone knows no rules"));
        }
        if !(2..=MAX_SLOTS).contains(&self.season_slots) {
            let message = format!("expected 2 to {MAX_SLOTS}, found {}", self.season_slots);
            issues.push(Issue::error("season_slots", message));
        }
        if !(0.5..=0.99).contains(&self.interval) {
            let message = format!("expected 0.5 to 0.99, found {}", self.interval);
            issues.push(Issue::error("interval", message).hint("a share: 0.95 for 95 %"));
        }
        if !(1..=1_000_000).contains(&self.max_series) {
            let message = format!("expected 1 to 1000000, found {}", self.max_series);
            issues.push(Issue::error("max_series", message));
        }
        issues
    }

    fn horizon_errors(&self, issues: &mut Issues) {
        if !(1..=MAX_HORIZONS).contains(&self.horizons.len()) {
            let message = format!("expected 1 to {MAX_HORIZONS}, found {}", self.horizons.len());
            issues.push(Issue::error("horizons", message));
        }
        for (i, horizon) in self.horizons.iter().enumerate() {
            let path = || format!("horizons[{i}]");
            let steps = horizon.us() / self.step.us();
            if horizon.us() % self.step.us() != 0 || !(1..=MAX_STEPS).contains(&steps) {
                let message = format!("expected 1 to {MAX_STEPS} whole steps of `{}`, found `{horizon}`", self.step);
                issues.push(Issue::error(path(), message).hint("or give another `step`"));
            }
            if self.horizons.iter().take(i).any(|other| other == horizon) {
                issues.push(Issue::error(path(), format!("`{horizon}` stands there twice")));
            }
        }
    }
}

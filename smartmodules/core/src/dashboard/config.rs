//! The parameters of `dashboard`, and what can be wrong with them.

use crate::alert::Severity;
use crate::config::{Issue, Issues};
use crate::duration::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Panels of one stage.
const MAX_VISUALIZATIONS: usize = 64;
const MAX_FILTERS: usize = 16;

/// Parameters of the stage `dashboard`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DashboardConfig {
    /// Id of the dashboard. Stages that say the same one, of any pipelines, share a page; its filters and
    /// manners are those of the stage that gives it a `name` (of several, of the first pipeline by name).
    pub id: String,
    /// Name for people. Default: the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The framework that the pipeline belongs to, for the filter of that name. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<String>,
    /// The panels, in their order.
    pub visualizations: Vec<Visualization>,
    /// What the page can be narrowed to: `framework`, `metric`, `time-range`, or a field of `group_by`
    /// such as `page`. Default: `time-range`, `metric`, `page`, `browser`.
    #[serde(default = "default_filters")]
    pub filters: Vec<String>,
    /// How often the page is told of changes, `100ms` to `1h`. Default: `1s`.
    #[serde(default = "default_refresh", rename = "refreshRate")]
    pub refresh_rate: Span,
    /// How alerts are shown.
    #[serde(default)]
    pub alerting: DashboardAlerting,
    /// What can be done on the page.
    #[serde(default)]
    pub interactivity: Interactivity,
    /// How the page fits its screen.
    #[serde(default)]
    pub responsiveness: Responsiveness,
}

/// What a panel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum VisualizationType {
    /// The newest value of each series, with its rating
    Current,
    /// Values over time, with the expected range and the forecast where rows have them
    TimeSeries,
    /// The newest values by two fields
    HeatMap,
    /// Alerts, anomalies, incidents and actions over time
    Timeline,
    /// What was found out, in sentences: by `perfstream analyze`, and by a detector about itself
    Insights,
    /// The pipelines: records in, lag, dead letters
    Health,
}

/// A panel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Visualization {
    /// `current`, `time-series` and `heat-map` show a field; `timeline`, `insights` and `health` do not.
    #[serde(rename = "type")]
    pub r#type: VisualizationType,
    /// Title for people. Default: made of the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Field of the rows with the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Name of the window whose rows are shown. Default: any that has the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The metric, `lcp` for one, which the filter `metric` and the expected range go by. Default: the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Unit behind the number. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Up to here a value is good. Default: no rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<f64>,
    /// Above it a value is poor. Default: no rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poor: Option<f64>,
    /// Fields whose values tell series apart. Default: `page`, `browser`.
    #[serde(default = "default_group", skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// Field of `group_by` for the rows of a heat map. Default: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// Field of `group_by` for the columns of a heat map. Default: the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<String>,
}

/// How alerts are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DashboardAlerting {
    /// Are alerts and anomalies part of the records? Default: true.
    pub enabled: bool,
    /// Severities that stand in the banner and are counted in the page's title. Default: all.
    pub severities: Vec<Severity>,
    /// Does the page play a sound when an alert fires? Default: false.
    pub sound: bool,
}

/// What can be done on the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Interactivity {
    /// From an alert to its window and the records behind it. Default: true.
    pub drill_down: bool,
    /// The button that says somebody is at it. Default: true.
    pub acknowledge: bool,
    /// The buttons for false and true alarms, from which the detector learns. Default: true.
    pub feedback: bool,
    /// The buttons that approve or reject an action that waits for it. Default: true.
    pub approve: bool,
    /// Zoom into a time series by dragging. Default: true.
    pub zoom: bool,
}

/// The colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the system says
    #[default]
    Auto,
    /// Dark on light
    Light,
    /// Light on dark
    Dark,
}

/// How the page fits its screen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Responsiveness {
    /// Columns of panels on a phone (below 640 px), 1 to 6. Default: 1.
    pub phone_columns: u8,
    /// On a tablet (below 1100 px), 1 to 6. Default: 2.
    pub tablet_columns: u8,
    /// On a wider screen, 1 to 6. Default: 3.
    pub desktop_columns: u8,
    /// `auto`, `light` or `dark`. Default: `auto`.
    pub theme: Theme,
}

fn default_filters() -> Vec<String> {
    ["time-range", "metric", "page", "browser"].map(String::from).to_vec()
}

fn default_refresh() -> Span {
    Span::seconds(1)
}

fn default_group() -> Vec<String> {
    ["page", "browser"].map(String::from).to_vec()
}

impl Default for DashboardAlerting {
    fn default() -> Self {
        let severities = vec![Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];
        DashboardAlerting { enabled: true, severities, sound: false }
    }
}

impl Default for Interactivity {
    fn default() -> Self {
        Interactivity { drill_down: true, acknowledge: true, feedback: true, approve: true, zoom: true }
    }
}

impl Default for Responsiveness {
    fn default() -> Self {
        Responsiveness { phone_columns: 1, tablet_columns: 2, desktop_columns: 3, theme: Theme::Auto }
    }
}

impl VisualizationType {
    /// Does it show numbers of rows?
    pub const fn shows_a_field(self) -> bool {
        matches!(self, VisualizationType::Current | VisualizationType::TimeSeries | VisualizationType::HeatMap)
    }
}

impl DashboardConfig {
    /// What cannot work.
    pub(super) fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        if self.id.is_empty() || !self.id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            let message = format!("expected letters, digits, `-`, `_` and `.`, found `{}`", self.id);
            issues.push(Issue::error("id", message).hint("it is part of the page's address"));
        }
        if !(100_000..=3_600_000_000).contains(&self.refresh_rate.us()) {
            let message = format!("expected `100ms` to `1h`, found `{}`", self.refresh_rate);
            issues.push(Issue::error("refreshRate", message));
        }
        for (name, count, most) in [
            ("visualizations", self.visualizations.len(), MAX_VISUALIZATIONS),
            ("filters", self.filters.len(), MAX_FILTERS),
        ] {
            if count > most {
                issues.push(Issue::error(name, format!("expected at most {most}, found {count}")));
            }
        }
        if self.visualizations.is_empty() {
            let message = "expected at least one panel, found none";
            issues.push(Issue::error("visualizations", message).hint("`- { type: timeline }` shows the alerts"));
        }
        let wide = &self.responsiveness;
        for (name, columns) in [
            ("phone_columns", wide.phone_columns),
            ("tablet_columns", wide.tablet_columns),
            ("desktop_columns", wide.desktop_columns),
        ] {
            if !(1..=6).contains(&columns) {
                let message = format!("expected 1 to 6, found {columns}");
                issues.push(Issue::error(format!("responsiveness.{name}"), message));
            }
        }
        let panels = self.visualizations.iter().enumerate();
        issues.extend(panels.flat_map(|(i, panel)| {
            panel.errors().into_iter().map(move |issue| issue.under(&format!("visualizations[{i}]")))
        }));
        issues
    }

    /// What works but is hardly meant.
    pub(super) fn doubts(&self) -> Issues {
        let groups: BTreeSet<&str> =
            self.visualizations.iter().flat_map(|panel| &panel.group_by).map(String::as_str).collect();
        let known = |name: &str| ["framework", "metric", "time-range"].contains(&name) || groups.contains(name);
        let mut issues = Issues::new();
        for (i, name) in self.filters.iter().enumerate().filter(|(_, name)| !known(name)) {
            let message = format!("no panel has `{name}` in its `group_by`, so this filter has nothing to choose from");
            issues.push(Issue::warning(format!("filters[{i}]"), message));
        }
        issues
    }
}

impl Visualization {
    fn errors(&self) -> Issues {
        let mut issues = Issues::new();
        match (self.r#type.shows_a_field(), &self.field) {
            (true, None) => {
                let message = "expected the field to be shown, found none";
                issues.push(Issue::error("field", message).hint("such as `p75_lcp`, a function of the window"));
            }
            (false, Some(_)) => issues.push(Issue::error("field", "this type of panel shows no field")),
            _ => {}
        }
        if let (Some(good), Some(poor)) = (self.good, self.poor)
            && good > poor
        {
            let message = format!("expected good <= poor, found {good} > {poor}");
            issues.push(Issue::error("good", message));
        }
        if self.r#type == VisualizationType::HeatMap {
            if self.group_by.len() < 2 {
                let message = format!("expected two fields or more, found {}", self.group_by.len());
                issues.push(Issue::error("group_by", message).hint("a heat map has rows and columns"));
            }
            for (name, field) in [("rows", &self.rows), ("columns", &self.columns)] {
                if let Some(field) = field.as_ref().filter(|field| !self.group_by.contains(field)) {
                    let message = format!("expected one of {}, found `{field}`", self.group_by.join(", "));
                    issues.push(Issue::error(name, message));
                }
            }
        }
        issues
    }
}

//! What of an analyzer's results is looked at, by what its document says: the window, its fields, their segments,
//! and how people call them.

use crate::model::{FieldType, Pipeline, Uses};
use crate::plan::PlanSpec;
use perfstream_core::aggregate::{AggregateConfig, WindowType};
use perfstream_core::dashboard::{DashboardConfig, Visualization, VisualizationType};
use serde_json::Value;
use std::collections::BTreeMap;

/// Results without windows are folded into steps of this, microseconds.
const STEP_US: i64 = 300_000_000;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Look {
    /// The word of the records that are results: `window`, `session`, `event`
    pub kind: String,
    /// The window whose rows they are; None: all of that kind
    pub window: Option<String>,
    /// Distance of values that share no events, microseconds
    pub step_us: i64,
    /// What makes a segment
    pub group_by: Vec<String>,
    /// Fields that are series
    pub fields: Vec<Field>,
    /// What the plots of a report show
    pub plot: Option<Plot>,
}

/// A field that is a series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Field {
    /// Its name
    pub name: String,
    /// Fields of one source move together by themselves
    pub source: String,
    /// Unit, where the dashboard says one
    pub unit: String,
    /// Up to here it is good
    pub good: Option<f64>,
    /// Beyond this it is poor
    pub poor: Option<f64>,
}

/// A field that is drawn, with the range that `detect` expected of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plot {
    /// The field
    pub field: Field,
    /// Rows of this window
    pub window: Option<String>,
    /// Title of the panel
    pub title: String,
    /// What `detect` calls it
    pub metric: String,
}

impl Look {
    /// At the results of a pipeline.
    pub fn new(pipeline: &Pipeline, spec: &PlanSpec) -> Look {
        let panels = panels(spec);
        let mut look = windows(spec).unwrap_or_else(|| rows(pipeline, spec));
        let drawn = |v: &&Visualization| v.r#type == VisualizationType::TimeSeries && v.field.is_some();
        look.plot = panels.iter().find(drawn).map(|panel| Plot {
            field: named(panel.field.as_deref().unwrap_or_default(), "", &panels),
            window: panel.window.clone(),
            title: panel.title.clone().unwrap_or_default(),
            metric: panel.metric.clone().unwrap_or_default(),
        });
        for field in &mut look.fields {
            *field = named(&field.name, &field.source, &panels);
        }
        look
    }

    /// The field that stands for the analyzer: the first one that the dashboard has a panel for, else the first.
    pub fn main(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.poor.is_some()).or(self.fields.first())
    }
}

fn named(name: &str, source: &str, panels: &[Visualization]) -> Field {
    let panel = panels.iter().find(|panel| panel.field.as_deref() == Some(name));
    Field {
        name: name.into(),
        source: source.into(),
        unit: panel.and_then(|panel| panel.unit.clone()).unwrap_or_default(),
        good: panel.and_then(|panel| panel.good),
        poor: panel.and_then(|panel| panel.poor),
    }
}

fn panels(spec: &PlanSpec) -> Vec<Visualization> {
    let stages = spec.chain.stages.iter().filter(|stage| stage.stage == "dashboard");
    stages
        .filter_map(|stage| serde_json::from_str::<DashboardConfig>(&stage.config).ok())
        .flat_map(|config| config.visualizations)
        .collect()
}

/// The window of the output, else the shortest one of at least five minutes, else the longest.
fn windows(spec: &PlanSpec) -> Option<Look> {
    let stages = spec.chain.stages.iter().filter(|stage| stage.stage == "aggregate");
    let configs: Vec<AggregateConfig> = stages.filter_map(|stage| serde_json::from_str(&stage.config).ok()).collect();
    let all = configs.iter().flat_map(|config| config.windows.iter().map(move |window| (config, window)));
    let mut timed: Vec<_> = all
        .filter(|(_, window)| window.window_type != WindowType::Session)
        .filter_map(|(config, window)| Some((window.size?.us(), config, window)))
        .collect();
    timed.sort_by_key(|(size, ..)| *size);
    let of_output = timed.iter().find(|(_, _, window)| spec.window.as_ref() == Some(&window.name));
    let long = timed.iter().find(|(size, ..)| *size >= STEP_US);
    let (size, config, window) = of_output.or(long).or(timed.last())?;
    let slide = window.slide.map_or(*size, |slide| slide.us()).max(1);
    let fields = window.functions.0.iter().filter_map(|(name, function)| {
        let json = serde_json::to_value(function).ok()?;
        let kind = json["type"].as_str()?;
        if matches!(kind, "linear-regression" | "isolation-forest" | "collect-list" | "first" | "last") {
            return None;
        }
        let source = json["field"].as_str().map_or_else(|| kind.to_string(), String::from);
        Some(Field { name: name.clone(), source, ..Field::default() })
    });
    Some(Look {
        kind: "window".into(),
        window: Some(window.name.clone()),
        step_us: (size + slide - 1) / slide * slide,
        group_by: config.group_by.clone(),
        fields: fields.collect(),
        plot: None,
    })
}

/// Results that are no windows: the numbers of the output's schema, by the field that partitions it.
fn rows(pipeline: &Pipeline, spec: &PlanSpec) -> Look {
    let numbers = pipeline.output.schema.iter().filter(|(_, f)| f.field_type() == FieldType::Number);
    let own = numbers.filter(|(_, field)| field.expression().is_none());
    let field = |name: &str| Field { name: name.into(), source: name.into(), ..Field::default() };
    Look {
        kind: spec.results.clone(),
        window: spec.window.clone(),
        step_us: STEP_US,
        group_by: pipeline.output.partition_by.iter().cloned().collect(),
        fields: own.map(|(name, _)| field(name)).collect(),
        plot: None,
    }
}

/// The steps of a pipeline by name, for people.
pub fn stages(pipeline: &Pipeline) -> Vec<String> {
    let word = |uses: &str| Uses::parse(uses).map_or_else(|| uses.to_string(), |u| u.name.to_string());
    pipeline.transforms.iter().map(|t| word(&t.uses)).collect()
}

/// Names and values of a record's segment.
pub fn labels(group_by: &[String], record: &Value) -> BTreeMap<String, Value> {
    let known = group_by.iter().map(|name| (name.clone(), record[name].clone()));
    known.filter(|(_, value)| !value.is_null()).collect()
}

/// `page=/, browser=chrome`, in the order of `group_by`, then of the names.
pub fn segment(group_by: &[String], labels: &BTreeMap<String, Value>) -> String {
    let rest = labels.keys().filter(|name| !group_by.contains(name));
    let named = group_by.iter().chain(rest).filter_map(|name| Some((name, labels.get(name)?)));
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), String::from);
    named.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(", ")
}

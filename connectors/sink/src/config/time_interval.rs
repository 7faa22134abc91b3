//! `time_intervals` as they are written, in Alertmanager's words; [`crate::times`] reads the texts.

use schemars::JsonSchema;
use serde::Deserialize;

/// Times that have a name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeInterval {
    /// Name, by which routes refer to it
    pub name: String,
    /// It is each of these
    pub time_intervals: Vec<Period>,
}

/// Times at which everything that is given here holds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Period {
    /// Times of the day. Default: all day.
    pub times: Vec<Times>,
    /// Days of the week such as `saturday` or `monday:friday`. Default: every day.
    pub weekdays: Vec<String>,
    /// Days of the month from 1, or from its end from -1, such as `1:7` or `-3:-1`. Default: every day.
    pub days_of_month: Vec<Edge>,
    /// Months by name or number, such as `december` or `1:3`. Default: every month.
    pub months: Vec<Edge>,
    /// Years such as `2026` or `2026:2028`. Default: every year.
    pub years: Vec<Edge>,
    /// IANA time zone or offset in which all of it is meant. Default: `UTC`.
    pub location: Option<String>,
}

/// From a time of the day to another one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// `HH:MM`, included
    pub start_time: String,
    /// `HH:MM`, not included; `24:00` is the end of the day
    pub end_time: String,
}

/// A number, or a text with one or `FROM:TO`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Edge {
    /// One
    Number(i64),
    /// One, or from one to another, both included
    Text(String),
}

impl Edge {
    /// As text.
    pub fn text(&self) -> String {
        match self {
            Edge::Number(number) => number.to_string(),
            Edge::Text(text) => text.clone(),
        }
    }
}

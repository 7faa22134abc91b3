//! What stands under `with:` of `sessionize`.

use crate::duration::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Groups events by a key into sessions that end after an idle time; one result for each session
/// and navigation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionizeConfig {
    /// Field whose value names the session: string, number or boolean, such as `sessionId`. An
    /// event without it is a dead letter `missing_key`. Required.
    pub key: String,
    /// Fields that tell the navigations of a session apart; the first one an event has counts. If
    /// it has none, an `id` in the form of the web-vitals library (`v6-…`) counts. An empty list:
    /// only `navigation_type` and `reset` do. Default: [navigationId, metricId].
    #[serde(default = "default_navigation")]
    pub navigation: Vec<String>,
    /// Idle time that ends a session, in event time, above 0s. Default: 5m.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// A session never spans more than this, in event time; then the next one starts. Bounds what
    /// one key can hold. Default: 4h.
    #[serde(default = "default_max_length")]
    pub max_length: Span,
    /// What is computed of each navigation: `none`, `cls` or `inp`. Default: none.
    #[serde(default)]
    pub method: Method,
    /// Field with the layout shift score (no unit, 0 and more), for `cls`. Default: value.
    #[serde(default = "default_value")]
    pub value: String,
    /// Field with the entry's start in milliseconds since its page was opened, for `cls` and `inp`.
    /// Where it is absent the event time is taken, in milliseconds. Default: startTime.
    #[serde(default = "default_start_time")]
    pub start_time: String,
    /// Field that is true for a shift right after user input, which does not count, for `cls`.
    /// Default: hadRecentInput.
    #[serde(default = "default_had_recent_input")]
    pub had_recent_input: String,
    /// Field with the sources of a shift: an array of selectors, or of objects with `node`,
    /// `selector` or `target`, for `cls`. Default: sources.
    #[serde(default = "default_sources")]
    pub sources: String,
    /// Field with the page; the last one seen is in the result. Default: page.
    #[serde(default = "default_page")]
    pub page: String,
    /// Field with the interaction an entry belongs to, 0 for none, for `inp`. Default:
    /// interactionId.
    #[serde(default = "default_interaction_id")]
    pub interaction_id: String,
    /// Field with the time from input to paint in milliseconds, for `inp`. Default: duration.
    #[serde(default = "default_duration")]
    pub duration: String,
    /// Field with the time from input to its handlers in milliseconds, for `inp`; `inputDelay`, or
    /// `processingStart` minus the start, stand in for it. Default: delay.
    #[serde(default = "default_delay")]
    pub delay: String,
    /// Field with the run time of the handlers in milliseconds, for `inp`; `processingDuration`,
    /// or `processingEnd` minus `processingStart`, stand in for it. Default: proc.
    #[serde(default = "default_proc")]
    pub proc: String,
    /// Field with the page's `performance.interactionCount`, for `inp`; without it the count is
    /// estimated from the interaction ids. Default: interactionCount.
    #[serde(default = "default_interaction_count")]
    pub interaction_count: String,
    /// Field with the type of navigation. `back-forward-cache` and `soft-navigation` start the
    /// metric again; any other change of type is a new navigation too. Default: navigationType.
    #[serde(default = "default_navigation_type")]
    pub navigation_type: String,
    /// Field of a record that only marks a restart of the metric: `back-forward-cache` or
    /// `soft-navigation`; any other text (`hidden`) restarts nothing. Default: reset.
    #[serde(default = "default_reset")]
    pub reset: String,
    /// Further results: output field → function, computed over the events of each navigation.
    /// Default: none.
    #[serde(default)]
    pub functions: BTreeMap<String, Function>,
    /// Open sessions at most, 1 to 10,000,000. Beyond it (or beyond the stage's state limit in
    /// bytes) the session that would end first is ended early, counter `evicted`. Default: 100000.
    #[serde(default = "default_max_sessions")]
    pub max_sessions: u32,
    /// Navigations of one session kept at most, 1 to 10,000; beyond it the oldest one's result
    /// comes early, counter `evicted`. Default: 1000.
    #[serde(default = "default_max_navigations")]
    pub max_navigations: u32,
    /// Pass events on after counting them, instead of consuming them. Default: false.
    #[serde(default)]
    pub pass_events: bool,
}

/// What is computed of each navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Only what `functions` says
    #[default]
    None,
    /// Cumulative Layout Shift from single shifts, by the web-vitals rules
    Cls,
    /// Interaction to Next Paint from single event entries, by the web-vitals rules
    Inp,
}

/// One further result over the events of a navigation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Function {
    /// Number of events
    Count {},
    /// CLS by the web-vitals rules (gap < 1 s, span < 5 s), from the stage's shift fields
    ClsWithSessionGaps {},
    /// Values of a field in order of arrival; an array gives its elements
    CollectList {
        /// Field to collect; null and absent values are left out.
        field: String,
        /// Keep each value once, at its first appearance. Default: false.
        #[serde(default)]
        distinct: bool,
        /// Values kept at most, 1 to 10,000; later ones are left out. Default: 100.
        #[serde(default = "default_limit")]
        limit: usize,
    },
    /// Sum of a field's numbers; 0 without any
    Sum {
        /// Field to add up; what is no number is left out.
        field: String,
    },
    /// Smallest number of a field; null without any
    Min {
        /// Field to look at; what is no number is left out.
        field: String,
    },
    /// Largest number of a field; null without any
    Max {
        /// Field to look at; what is no number is left out.
        field: String,
    },
    /// Last value of a field in order of arrival
    Last {
        /// Field to keep; null and absent values are left out.
        field: String,
    },
}

macro_rules! defaults {
    ($($name:ident -> $text:literal),* $(,)?) => {$(
        fn $name() -> String { $text.into() }
    )*};
}
defaults! {
    default_value -> "value",
    default_start_time -> "startTime",
    default_had_recent_input -> "hadRecentInput",
    default_sources -> "sources",
    default_page -> "page",
    default_interaction_id -> "interactionId",
    default_duration -> "duration",
    default_delay -> "delay",
    default_proc -> "proc",
    default_interaction_count -> "interactionCount",
    default_navigation_type -> "navigationType",
    default_reset -> "reset",
}

fn default_navigation() -> Vec<String> {
    vec!["navigationId".into(), "metricId".into()]
}

fn default_timeout() -> Span {
    Span::minutes(5)
}

fn default_max_length() -> Span {
    Span::minutes(240)
}

fn default_limit() -> usize {
    100
}

fn default_max_sessions() -> u32 {
    100_000
}

fn default_max_navigations() -> u32 {
    1000
}

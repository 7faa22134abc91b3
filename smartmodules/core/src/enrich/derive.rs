//! Derived fields: the time of day and week, the official rating, browser, device and system.
//!
//! `hour-of-day` is 0 to 23 and `day-of-week` 1 (Monday) to 7 (ISO 8601), of the event time in the
//! configured zone; `rating` is a word of [`crate::ratings`]; `browser`, `device` and `os` are
//! words of [`super::agent`]. What cannot be said is null.

use super::agent::{Agent, Agents};
use super::calendar::Calendar;
use crate::ratings::{Metric, Rating};
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// What can be derived; the names in the config and in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Derived {
    /// Hour of the day in the time zone, 0 to 23
    HourOfDay,
    /// Day of the week in the time zone, 1 (Monday) to 7 (Sunday)
    DayOfWeek,
    /// `good`, `needs-improvement` or `poor` by the official web-vitals thresholds
    Rating,
    /// Browser by the User-Agent: `Chrome`, `Safari`, …
    Browser,
    /// `desktop`, `mobile`, `tablet`, `bot`, `appliance` or `other` by the User-Agent
    Device,
    /// Operating system by the User-Agent: `Windows 10`, `macOS`, `iOS`, `Android`, …
    Os,
}

impl Derived {
    /// All of them.
    pub const ALL: [Derived; 6] =
        [Derived::HourOfDay, Derived::DayOfWeek, Derived::Rating, Derived::Browser, Derived::Device, Derived::Os];

    /// The name in the config and in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Derived::HourOfDay => "hour-of-day",
            Derived::DayOfWeek => "day-of-week",
            Derived::Rating => "rating",
            Derived::Browser => "browser",
            Derived::Device => "device",
            Derived::Os => "os",
        }
    }

    /// The one of that name.
    pub fn parse(name: &str) -> Option<Derived> {
        Derived::ALL.into_iter().find(|d| d.name() == name)
    }

    fn of_agent(self) -> bool {
        matches!(self, Derived::Browser | Derived::Device | Derived::Os)
    }

    fn of_time(self) -> bool {
        matches!(self, Derived::HourOfDay | Derived::DayOfWeek)
    }
}

/// Which metric is rated where the event does not say it, or even if it does.
#[derive(Debug, Clone, Copy, Default)]
pub struct Metrics {
    /// From the config: whatever the event says
    pub fixed: Option<&'static Metric>,
    /// From the pipeline's name: if the event says nothing
    pub fallback: Option<&'static Metric>,
}

impl Metrics {
    /// The rating of `value`; `names` are what the event calls its metric.
    pub fn rate(&self, names: [Value<'_>; 2], value: Value<'_>) -> Option<&'static str> {
        let said = || match names.into_iter().find(|n| !n.is_null()) {
            Some(name) => name.as_str().and_then(Metric::find),
            None => self.fallback,
        };
        let metric = self.fixed.or_else(said)?;
        metric.rate(value.as_f64()?).map(Rating::name)
    }
}

/// What is needed of one event.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'r> {
    /// Event time, microseconds
    pub event_time: i64,
    /// `name` and `metric`
    pub metric: [Value<'r>; 2],
    /// The value to rate
    pub value: Value<'r>,
    /// The User-Agent text
    pub agent: Value<'r>,
}

/// Derives; keeps what it derived last.
#[derive(Debug)]
pub struct Deriver {
    calendar: Calendar,
    metrics: Metrics,
    agents: Agents,
    needs_time: bool,
    needs_agent: bool,
}

/// What was derived from one event, to be read with [`Answers::get`].
#[derive(Debug, Clone, Copy)]
pub struct Answers<'d> {
    hour_and_day: Option<(i64, i64)>,
    rating: Option<&'static str>,
    agent: Option<&'d Agent>,
}

impl Deriver {
    /// For these fields.
    pub fn new(wanted: &[Derived], calendar: Calendar, metrics: Metrics) -> Deriver {
        Deriver {
            calendar,
            metrics,
            agents: Agents::default(),
            needs_time: wanted.iter().any(|d| d.of_time()),
            needs_agent: wanted.iter().any(|d| d.of_agent()),
        }
    }

    /// Answers for one event.
    pub fn derive(&mut self, facts: &Facts<'_>) -> Answers<'_> {
        Answers {
            hour_and_day: if self.needs_time { self.calendar.at(facts.event_time) } else { None },
            rating: self.metrics.rate(facts.metric, facts.value),
            agent: match facts.agent.as_str() {
                Some(text) if self.needs_agent => Some(self.agents.get(text)),
                _ => None,
            },
        }
    }
}

impl<'d> Answers<'d> {
    /// The value of one field.
    pub fn get(&self, field: Derived) -> Value<'d> {
        match field {
            Derived::HourOfDay => self.hour_and_day.map(|(hour, _)| hour).into(),
            Derived::DayOfWeek => self.hour_and_day.map(|(_, day)| day).into(),
            Derived::Rating => self.rating.into(),
            Derived::Browser => self.agent.and_then(|a| a.browser.as_deref()).into(),
            Derived::Device => self.agent.and_then(|a| a.device).into(),
            Derived::Os => self.agent.and_then(|a| a.os.as_deref()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_the_metric() {
        let lcp = Metric::find("LCP");
        let none = [Value::Null; 2];
        let says = |name| [Value::Null, Value::Str(name)];
        let value = Value::Int(300);
        let open = Metrics::default();
        assert_eq!(open.rate(none, value), None);
        assert_eq!(open.rate(says("inp"), value), Some("needs-improvement"));
        assert_eq!(open.rate([Value::Str("FID"), Value::Str("LCP")], value), Some("needs-improvement"));
        let pipeline = Metrics { fixed: None, fallback: lcp };
        assert_eq!(pipeline.rate(none, value), Some("good"));
        assert_eq!(pipeline.rate(says("INP"), value), Some("needs-improvement"));
        // An event of another metric is not rated as if it were the pipeline's.
        assert_eq!(pipeline.rate(says("long-task"), value), None);
        assert_eq!(pipeline.rate([Value::Int(1), Value::Null], value), None);
        let fixed = Metrics { fixed: lcp, fallback: None };
        assert_eq!(fixed.rate(says("INP"), value), Some("good"));
        assert_eq!(fixed.rate(none, Value::Str("300")), None);
    }

    #[test]
    fn names_round_trip() {
        for d in Derived::ALL {
            assert_eq!(Derived::parse(d.name()), Some(d));
            assert_eq!(serde_json::to_value(d).unwrap(), d.name());
        }
    }
}

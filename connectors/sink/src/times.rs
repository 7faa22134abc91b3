//! Is it a time at which a route is silent? Alertmanager's rules for `time_intervals`.

use crate::config::{Edge, Period, TimeInterval, Times};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use perfstream_core::{Issue, zone};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const MINUTES_OF_DAY: i64 = 24 * 60;

/// Times by name, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    intervals: BTreeMap<String, Vec<Ready>>,
}

impl Calendar {
    /// Of the intervals of a document; everything that is wrong, at its path below each `time_intervals`.
    pub fn new(intervals: &[TimeInterval]) -> Result<Calendar, Vec<Issue>> {
        let mut wrong = Vec::new();
        let mut calendar = Calendar::default();
        for (n, interval) in intervals.iter().enumerate() {
            let at = format!("time_intervals[{n}]");
            if interval.name.trim().is_empty() {
                wrong.push(Issue::error(format!("{at}.name"), "expected a name"));
            }
            if interval.time_intervals.is_empty() {
                let issue = Issue::error(format!("{at}.time_intervals"), "expected at least one entry");
                wrong.push(issue.hint("an empty entry `{}` is all times"));
            }
            let mut periods = Vec::new();
            for (m, period) in interval.time_intervals.iter().enumerate() {
                match Ready::new(period) {
                    Ok(ready) => periods.push(ready),
                    Err(issues) => {
                        wrong.extend(issues.into_iter().map(|i| i.under(&format!("{at}.time_intervals[{m}]"))))
                    }
                }
            }
            if calendar.intervals.insert(interval.name.clone(), periods).is_some() {
                let message = format!("the name `{}` stands here twice", interval.name);
                wrong.push(Issue::error(format!("{at}.name"), message));
            }
        }
        if wrong.is_empty() { Ok(calendar) } else { Err(wrong) }
    }

    /// Why a route with these mute and active intervals is silent at a time, milliseconds since the
    /// epoch; None if it is not. Names that are not known do not hold.
    pub fn silent(&self, mute: &[String], active: &[String], at_ms: i64) -> Option<String> {
        let holds = |name: &&String| {
            let periods = self.intervals.get(*name).map_or(&[][..], Vec::as_slice);
            periods.iter().any(|period| period.contains(at_ms))
        };
        if let Some(name) = mute.iter().find(holds) {
            return Some(format!("muted by `{name}`"));
        }
        let idle = !active.is_empty() && !active.iter().any(|name| holds(&name));
        idle.then(|| format!("only active in `{}`", active.join("`, `")))
    }
}

/// A period whose texts are read. An empty list holds always.
#[derive(Debug, Clone)]
struct Ready {
    minutes: Vec<std::ops::Range<i64>>,
    weekdays: Vec<RangeInclusive<i64>>,
    days_of_month: Vec<RangeInclusive<i64>>,
    months: Vec<RangeInclusive<i64>>,
    years: Vec<RangeInclusive<i64>>,
    zone: TimeZone,
}

impl Ready {
    fn new(period: &Period) -> Result<Ready, Vec<Issue>> {
        let mut wrong = Vec::new();
        let texts = |edges: &[Edge]| edges.iter().map(Edge::text).collect::<Vec<_>>();
        let ready = Ready {
            minutes: read("times", &period.times, &mut wrong, minutes),
            weekdays: read("weekdays", &period.weekdays, &mut wrong, |text| range(text, weekday)),
            days_of_month: read("days_of_month", &texts(&period.days_of_month), &mut wrong, |text| days(text)),
            months: read("months", &texts(&period.months), &mut wrong, |text| range(text, month)),
            years: read("years", &texts(&period.years), &mut wrong, |text| range(text, year)),
            zone: match &period.location {
                None => TimeZone::UTC,
                Some(name) => zone::parse(name).unwrap_or_else(|| {
                    let message = format!("expected an IANA time zone or an offset, found `{name}`");
                    wrong.push(Issue::error("location", message).hint(zone::hint(name)));
                    TimeZone::UTC
                }),
            },
        };
        if wrong.is_empty() { Ok(ready) } else { Err(wrong) }
    }

    fn contains(&self, at_ms: i64) -> bool {
        let Ok(stamp) = Timestamp::from_millisecond(at_ms) else { return false };
        let local = self.zone.to_datetime(stamp);
        let within = |ranges: &[RangeInclusive<i64>], value: i8| {
            ranges.is_empty() || ranges.iter().any(|range| range.contains(&i64::from(value)))
        };
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let (day, length) = (i64::from(local.day()), i64::from(local.date().days_in_month()));
        // From its end, -1 is the last day of this month.
        let counted = |n: i64| if n < 0 { length + n + 1 } else { n };
        let year = i64::from(local.year());
        (self.minutes.is_empty() || self.minutes.iter().any(|range| range.contains(&minute)))
            && within(&self.weekdays, local.date().weekday().to_sunday_zero_offset())
            && (self.days_of_month.is_empty()
                || self.days_of_month.iter().any(|r| (counted(*r.start())..=counted(*r.end())).contains(&day)))
            && within(&self.months, local.month())
            && (self.years.is_empty() || self.years.iter().any(|range| range.contains(&year)))
    }
}

fn read<I, T>(key: &str, items: &[I], wrong: &mut Vec<Issue>, one: impl Fn(&I) -> Result<T, String>) -> Vec<T> {
    let mut out = Vec::new();
    for (n, item) in items.iter().enumerate() {
        match one(item) {
            Ok(value) => out.push(value),
            Err(message) => wrong.push(Issue::error(format!("{key}[{n}]"), message)),
        }
    }
    out
}

/// `ONE` or `FROM:TO`, which may not go backwards.
fn range(text: impl AsRef<str>, value: impl Fn(&str) -> Result<i64, String>) -> Result<RangeInclusive<i64>, String> {
    let text = text.as_ref();
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (value(from.trim())?, value(to.trim())?);
    match from <= to {
        true => Ok(from..=to),
        false => Err(format!("`{text}` ends before it begins; write it as two entries")),
    }
}

fn named(text: &str, names: &[&str]) -> Option<i64> {
    names.iter().position(|name| name.eq_ignore_ascii_case(text)).and_then(|at| i64::try_from(at).ok())
}

fn weekday(text: &str) -> Result<i64, String> {
    named(text, &WEEKDAYS).ok_or_else(|| format!("expected a day such as `monday` or `monday:friday`, found `{text}`"))
}

fn month(text: &str) -> Result<i64, String> {
    let number = text.parse().ok().filter(|n| (1..=12).contains(n));
    let found = named(text, &MONTHS).map(|at| at + 1).or(number);
    found.ok_or_else(|| format!("expected a month such as `december`, `12` or `1:3`, found `{text}`"))
}

fn year(text: &str) -> Result<i64, String> {
    let number = text.parse().ok().filter(|n| (1970..=9999).contains(n));
    number.ok_or_else(|| format!("expected a year such as `2026` or `2026:2028`, found `{text}`"))
}

/// Days from the beginning of a month or from its end; `20:-1` is from the 20th to the last.
fn days(text: &str) -> Result<RangeInclusive<i64>, String> {
    let day = |text: &str| {
        let number = text.parse().ok().filter(|n: &i64| (1..=31).contains(&n.abs()));
        number.ok_or_else(|| format!("expected days such as `1`, `1:7` or `-3:-1`, found `{text}`"))
    };
    let (from, to) = text.split_once(':').unwrap_or((text, text));
    let (from, to) = (day(from.trim())?, day(to.trim())?);
    if from < 0 && to > 0 {
        return Err(format!(
            "`{text}` begins at the end of the month and ends at its beginning; write it as two entries"
        ));
    }
    // In the longest month; in shorter ones it may be empty.
    let counted = |n: i64| if n < 0 { 32 + n } else { n };
    match counted(from) <= counted(to) {
        true => Ok(from..=to),
        false => Err(format!("`{text}` ends before it begins; write it as two entries")),
    }
}

fn minutes(times: &Times) -> Result<std::ops::Range<i64>, String> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let two = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten().map(i64::from);
        let (hour, minute) = (two(hour)?, two(minute)?);
        (minute < 60 && hour * 60 + minute <= MINUTES_OF_DAY).then_some(hour * 60 + minute)
    };
    let expected = |text: &str| format!("expected a time from 00:00 to 24:00, found `{text}`");
    let from = minute(&times.start_time).ok_or_else(|| expected(&times.start_time))?;
    let to = minute(&times.end_time).ok_or_else(|| expected(&times.end_time))?;
    match from < to {
        true => Ok(from..to),
        false => {
            let hint = "over midnight, write two entries: one to 24:00, one from 00:00";
            Err(format!("{} is not before {}; {hint}", times.start_time, times.end_time))
        }
    }
}

#[cfg(test)]
mod tests;

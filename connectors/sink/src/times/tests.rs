//! Alertmanager's rules, by its documentation of `time_intervals`.

use super::*;
use perfstream_core::time::TimeParser;
use serde_json::{Value, json};

fn calendar(periods: Value) -> Result<Calendar, Vec<Issue>> {
    let interval = json!({ "name": "it", "time_intervals": periods });
    Calendar::new(&[serde_json::from_value(interval).unwrap()])
}

fn holds(periods: &Value, time: &str) -> bool {
    let at_ms = TimeParser::default().parse_text(time).unwrap() / 1000;
    calendar(periods.clone()).unwrap().silent(&["it".into()], &[], at_ms).is_some()
}

#[test]
fn each_part_at_its_edges() {
    // 2026-11-28 is a Saturday.
    let day = |times: &[(&str, bool)], period: Value| {
        for (time, expected) in times {
            assert_eq!(holds(&json!([period]), time), *expected, "{period} at {time}");
        }
    };
    let hours = json!({ "times": [{ "start_time": "09:30", "end_time": "17:00" }] });
    day(
        &[
            ("2026-11-28T09:29:59.999Z", false),
            ("2026-11-28T09:30:00Z", true),
            ("2026-11-28T16:59:59.999Z", true),
            ("2026-11-28T17:00:00Z", false),
        ],
        hours,
    );
    day(
        &[("2026-11-28T23:59:59.999Z", true), ("2026-11-29T00:00:00Z", false)],
        json!({ "times": [{ "start_time": "20:00", "end_time": "24:00" }] }),
    );
    day(
        &[("2026-11-27T12:00:00Z", true), ("2026-11-28T12:00:00Z", false), ("2026-11-29T12:00:00Z", false)],
        json!({ "weekdays": ["Monday:friday"] }),
    );
    day(
        &[("2026-11-28T12:00:00Z", true), ("2026-11-29T12:00:00Z", true), ("2026-11-30T12:00:00Z", false)],
        json!({ "weekdays": ["saturday", "sunday"] }),
    );
    day(
        &[
            ("2026-02-25T12:00:00Z", false),
            ("2026-02-26T12:00:00Z", true),
            ("2026-02-28T12:00:00Z", true),
            ("2026-03-01T12:00:00Z", false),
            ("2028-02-26T12:00:00Z", false),
            ("2028-02-29T12:00:00Z", true),
        ],
        json!({ "days_of_month": ["-3:-1"] }),
    );
    day(
        &[("2026-02-28T12:00:00Z", false), ("2026-04-30T12:00:00Z", true), ("2026-05-31T12:00:00Z", true)],
        json!({ "days_of_month": ["30:-1", 5] }),
    );
    day(
        &[("2026-01-01T00:00:00Z", true), ("2026-03-31T23:59:59Z", true), ("2026-11-28T12:00:00Z", false)],
        json!({ "months": ["january:3", 12] }),
    );
    day(
        &[("2025-12-31T23:59:59Z", false), ("2026-06-01T00:00:00Z", true), ("2030-01-01T00:00:00Z", true)],
        json!({ "years": ["2026:2027", 2030] }),
    );
}

#[test]
fn all_parts_of_an_entry_and_any_entry() {
    let periods = json!([
        { "weekdays": ["saturday"], "times": [{ "start_time": "08:00", "end_time": "09:00" }] },
        { "months": ["december"], "days_of_month": ["24:26"] },
    ]);
    for (time, expected) in [
        ("2026-11-28T08:30:00Z", true),
        ("2026-11-28T09:30:00Z", false),
        ("2026-11-27T08:30:00Z", false),
        ("2026-12-25T03:00:00Z", true),
        ("2026-12-27T03:00:00Z", false),
    ] {
        assert_eq!(holds(&periods, time), expected, "{time}");
    }
    assert!(holds(&json!([{}]), "2026-11-28T08:30:00Z"), "an empty entry is always");
}

#[test]
fn a_place_has_its_own_clock() {
    // Berlin changes to summer time on 2026-03-29 at 01:00 UTC.
    let periods = json!([{ "location": "Europe/Berlin", "times": [{ "start_time": "08:00", "end_time": "09:00" }] }]);
    for (time, expected) in [
        ("2026-03-28T07:30:00Z", true),
        ("2026-03-28T06:30:00Z", false),
        ("2026-03-30T06:30:00Z", true),
        ("2026-03-30T07:30:00Z", false),
    ] {
        assert_eq!(holds(&periods, time), expected, "{time}");
    }
    // There it is Sunday already.
    assert!(holds(&json!([{ "location": "+02:00", "weekdays": ["sunday"] }]), "2026-11-28T22:30:00Z"));
}

#[test]
fn active_times_are_the_others_turned_round() {
    let calendar = calendar(json!([{ "years": [2026] }])).unwrap();
    let at = |time: &str| TimeParser::default().parse_text(time).unwrap() / 1000;
    let (inside, outside) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let names = ["it".to_string()];
    assert_eq!(calendar.silent(&names, &[], inside).as_deref(), Some("muted by `it`"));
    assert_eq!(calendar.silent(&names, &[], outside), None);
    assert_eq!(calendar.silent(&[], &names, inside), None);
    assert_eq!(calendar.silent(&[], &names, outside).as_deref(), Some("only active in `it`"));
    assert_eq!(calendar.silent(&["gone".into()], &[], inside), None);
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    for (period, path, word) in [
        (json!({ "times": [{ "start_time": "22:00", "end_time": "06:00" }] }), "times[0]", "two entries"),
        (json!({ "times": [{ "start_time": "24:01", "end_time": "24:00" }] }), "times[0]", "24:01"),
        (json!({ "times": [{ "start_time": "8:00", "end_time": "09:00" }] }), "times[0]", "8:00"),
        (json!({ "weekdays": ["monday", "funday"] }), "weekdays[1]", "funday"),
        (json!({ "weekdays": ["saturday:monday"] }), "weekdays[0]", "two entries"),
        (json!({ "days_of_month": [0] }), "days_of_month[0]", "`0`"),
        (json!({ "days_of_month": ["-1:3"] }), "days_of_month[0]", "two entries"),
        (json!({ "days_of_month": ["-1:-3"] }), "days_of_month[0]", "ends before"),
        (json!({ "months": [13] }), "months[0]", "13"),
        (json!({ "years": ["20:26"] }), "years[0]", "20"),
        (json!({ "location": "Berlin" }), "location", "Berlin"),
    ] {
        let issues = calendar(json!([{}, period])).unwrap_err();
        assert_eq!(issues.len(), 1, "{period}: {issues:?}");
        assert_eq!(issues[0].path, format!("time_intervals[0].time_intervals[1].{path}"));
        assert!(issues[0].message.contains(word), "{period}: {}", issues[0]);
    }
    assert_eq!(calendar(json!([])).unwrap_err()[0].path, "time_intervals[0].time_intervals");
}

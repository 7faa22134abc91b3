//! Points, events, frames by log time, the layout, bounds, and what is refused.

use super::*;
use crate::testing::{check_cuts, counter, run};
use serde_json::{Value as Json, json};

const CONFIG: &str = r#"{
  "id": "vitals",
  "refreshRate": "5s",
  "visualizations": [
    { "type": "current", "field": "p75_lcp", "metric": "lcp", "window": "five_minutes" },
    { "type": "heat-map", "field": "p75_lcp", "metric": "lcp", "window": "five_minutes" },
    { "type": "time-series", "field": "p75_lcp_1h", "metric": "lcp", "group_by": ["page"] },
    { "type": "timeline" }
  ]
}"#;

fn stage(config: &str) -> (Dashboard, Fields) {
    let mut fields = Fields::default();
    let config = serde_json::from_str(config).expect("a config");
    (Dashboard::new(config, &Context::default(), &mut fields).expect("a stage"), fields)
}

fn window(name: &str, page: &str, fields: &str) -> String {
    format!(
        r#"{{"kind":"window","timestamp":"2026-01-01T00:05:00Z","window":"{name}","page":"{page}","browser":"chrome",{fields}}}"#
    )
}

fn of_type<'a>(rows: &'a [Json], r#type: &str) -> Vec<&'a Json> {
    rows.iter().filter(|row| row["kind"] == "dashboard" && row["type"] == r#type).collect()
}

#[test]
fn a_frame_holds_what_panels_show() {
    let rows = [
        window("five_minutes", "/", r#""p75_lcp":2500.5,"count":40,"anomaly":false"#),
        window("one_minute", "/", r#""p75_lcp":1"#),
        window(
            "hour",
            "/",
            r#""p75_lcp_1h":2400,"detection_expected":{"lcp":{"value":2000.0,"low":1500.0,"high":2600.0}}"#,
        ),
        window("five_minutes", "/a", r#""p75_lcp":null"#),
        r#"{"kind":"alert","timestamp":"2026-01-01T00:05:00Z","alert_id":"x","state":"firing"}"#.to_string(),
        "@end".to_string(),
    ];
    let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (outputs, counters) = check_cuts(|| stage(CONFIG), &lines);
    let frames = of_type(&outputs, "frame");
    assert_eq!(frames.len(), 1, "{outputs:#?}");
    let labels = json!({ "page": "/", "browser": "chrome" });
    assert_eq!(
        frames[0]["points"],
        json!([
            { "field": "p75_lcp", "metric": "lcp", "window": "five_minutes", "time_ms": 1_767_225_900_000_i64,
              "labels": labels, "value": 2500.5, "count": 40, "anomaly": false, "offset": 0 },
            { "field": "p75_lcp_1h", "metric": "lcp", "window": "hour", "time_ms": 1_767_225_900_000_i64,
              "labels": { "page": "/" }, "value": 2400.0,
              "expected": { "value": 2000.0, "low": 1500.0, "high": 2600.0 }, "offset": 2 },
        ])
    );
    assert_eq!(frames[0]["events"][0]["alert_id"], "x");
    assert_eq!(frames[0]["events"][0]["source_offset"], 4);
    assert_eq!(frames[0]["events"][0]["source_partition"], 0);
    assert_eq!(counters[3..5], [("points", 2), ("events", 1)]);
}

#[test]
fn frames_come_at_the_refresh_rate_of_log_time() {
    // Log times of the harness are one second apart.
    let row = window("five_minutes", "/", r#""p75_lcp":1"#);
    let lines: Vec<&str> = std::iter::repeat_n(row.as_str(), 12).chain(["@tick 2026-01-01T00:01:00Z"]).collect();
    let (outputs, _) = check_cuts(|| stage(CONFIG), &lines);
    let sizes = of_type(&outputs, "frame")
        .iter()
        .map(|frame| frame["points"].as_array().map_or(0, Vec::len))
        .collect::<Vec<_>>();
    assert_eq!(sizes, [5, 5, 2]);
}

#[test]
fn the_layout_is_first_and_comes_again() {
    let row = window("other", "/", r#""x":1"#);
    let lines = [row.as_str(), "@tick 2026-01-01T00:09:00Z", "@tick 2026-01-01T00:11:00Z", "@end"];
    let (outputs, _) = check_cuts(|| stage(CONFIG), &lines);
    assert_eq!((outputs[0]["type"].as_str(), outputs.len()), (Some("layout"), 3), "{outputs:#?}");
    assert_eq!(outputs[0]["layout"]["refreshRate"], "5s");
    assert_eq!(outputs[0]["layout"]["interactivity"]["zoom"], true);
    assert_eq!(outputs[2]["timestamp"], "2026-01-01T00:11:00Z");
    assert_ne!(outputs[0]["id"], outputs[2]["id"]);
}

#[test]
fn a_frame_is_bounded() {
    let row = window("five_minutes", "/", r#""p75_lcp":1"#);
    let many: Vec<&str> = std::iter::repeat_n(row.as_str(), 600).collect();
    let (mut stage, fields) = stage(&CONFIG.replace("5s", "1h"));
    let outputs = run(&mut stage, &fields, &many);
    let sizes = of_type(&outputs, "frame")
        .iter()
        .map(|frame| frame["points"].as_array().map_or(0, Vec::len))
        .collect::<Vec<_>>();
    assert_eq!(sizes, [256, 256]);
    let long =
        format!(r#"{{"kind":"alert","timestamp":"2026-01-01T00:05:00Z","summary":"{}"}}"#, "x".repeat(EVENT_BYTES));
    run(&mut stage, &fields, &[&long]);
    assert_eq!(counter(&stage, "dropped"), 1);
}

#[test]
fn alerting_can_be_off() {
    let config = CONFIG.replacen(r#""refreshRate""#, r#""alerting": { "enabled": false }, "refreshRate""#, 1);
    let (mut stage, fields) = stage(&config);
    let outputs = run(&mut stage, &fields, &[r#"{"kind":"alert","timestamp":"2026-01-01T00:05:00Z"}"#, "@end"]);
    assert!(of_type(&outputs, "frame").is_empty());
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let config: DashboardConfig = serde_json::from_value(json!({
        "id": "a b", "refreshRate": "1ms", "responsiveness": { "phone_columns": 0 },
        "visualizations": [
            { "type": "current" },
            { "type": "timeline", "field": "x" },
            { "type": "heat-map", "field": "x", "group_by": ["page"], "rows": "browser", "good": 2, "poor": 1 },
        ],
    }))
    .expect("it can be read");
    let paths: Vec<String> = config.errors().into_iter().map(|issue| issue.path).collect();
    assert_eq!(
        paths,
        [
            "id",
            "refreshRate",
            "responsiveness.phone_columns",
            "visualizations[0].field",
            "visualizations[1].field",
            "visualizations[2].good",
            "visualizations[2].group_by",
            "visualizations[2].rows",
        ]
    );
}

#[test]
fn a_filter_without_choices_is_doubted() {
    let config: DashboardConfig =
        serde_json::from_str(&CONFIG.replacen('{', r#"{"filters": ["page", "device"],"#, 1)).expect("a config");
    let doubts: Vec<String> = config.doubts().iter().map(ToString::to_string).collect();
    assert_eq!(
        doubts,
        ["filters[1]: no panel has `device` in its `group_by`, so this filter has nothing to choose from"]
    );
}

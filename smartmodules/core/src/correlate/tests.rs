//! Grouping, merging, pace, ends, what cannot be read, and configurations that are refused.

use super::*;
use crate::testing::{START_US, counter, run};
use serde_json::{Value as Json, json};

/// A chain of calls: web → shop → db.
pub(super) const CONFIG: &str = r#"{"dependencies":[{"from":"web","to":"shop"},{"from":"shop","to":"db"}],
    "kinds":{"cpu":"saturation","latency":"latency","errors":"errors","rate":"traffic"}}"#;

pub(super) fn stage(config: &str) -> (CorrelateStage, Fields) {
    let mut fields = Fields::default();
    let context = Context { pipeline: "p".into(), stage: "correlate".into(), ..Context::default() };
    let config = serde_json::from_str(config).expect("a config");
    (CorrelateStage::new(config, &context, &mut fields).expect("a stage"), fields)
}

/// The config with one more key, or another value of it.
pub(super) fn with(key: &str, value: Json) -> String {
    let mut config: Json = serde_json::from_str(CONFIG).expect("a config");
    config[key] = value;
    config.to_string()
}

pub(super) fn seconds(minute: i64) -> i64 {
    START_US / 1_000_000 + 60 * minute
}

/// An anomaly that opens at a minute; `more` are further fields.
pub(super) fn open(id: &str, minute: i64, metric: &str, segment: &Json, more: &Json) -> String {
    let mut row = json!({ "anomaly_id": id, "state": "open", "pipeline": "backend", "metric": metric,
        "segment": segment, "started_at": seconds(minute), "value": 20.0, "expected": 10.0, "range": [8.0, 12.0] });
    if let (Some(row), Some(more)) = (row.as_object_mut(), more.as_object()) {
        row.extend(more.clone());
    }
    let text = row.to_string();
    format!(r#"{{"kind":"anomaly","timestamp":{},{}"#, seconds(minute), &text[1..])
}

pub(super) fn of(id: &str, minute: i64, service: &str) -> String {
    open(id, minute, "latency", &json!({ "service": service }), &json!({}))
}

pub(super) fn closed(id: &str, minute: i64) -> String {
    let (time, end) = (seconds(minute), seconds(minute));
    format!(
        r#"{{"kind":"anomaly","timestamp":{time},"anomaly_id":"{id}","state":"closed","ended_at":{end},"value":30.0,"expected":10.0}}"#
    )
}

pub(super) fn tick(minute: i64) -> String {
    format!("@tick {}", seconds(minute))
}

pub(super) fn records(config: &str, lines: &[String]) -> Vec<Json> {
    let (mut stage, fields) = stage(config);
    let rows = run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    rows.into_iter().filter(|row| row["kind"] == "incident").collect()
}

fn said<'r>(records: &'r [Json], name: &str) -> Vec<&'r Json> {
    records.iter().map(|record| &record[name]).collect()
}

#[test]
fn anomalies_of_one_service_are_one_incident() {
    let lines =
        [of("a", 0, "shop"), open("b", 1, "cpu", &json!({ "service": "shop" }), &json!({})), of("c", 1, "mail")];
    let found = records(CONFIG, &lines);
    assert_eq!(said(&found, "state"), ["open", "updated", "open"], "{found:#?}");
    assert_eq!(found[0]["incident_id"], found[1]["incident_id"]);
    assert_ne!(found[1]["incident_id"], found[2]["incident_id"]);
    assert_eq!(said(&found, "anomalies"), [1, 2, 1]);
    assert_eq!(found[1]["services"], json!(["shop"]));
    assert_eq!(found[1]["members"][1]["linked_by"], "shared");
    assert_eq!(found[1]["members"][0]["z"], 5.0);
    assert_eq!(
        found[1]["summary"],
        "2 anomalies of 1 service since 2026-01-01T00:00:00Z, 2 open; likely cause: shop (cpu 20.0 instead of 10.0)"
    );
}

#[test]
fn a_call_ties_and_distance_in_time_or_calls_does_not() {
    let chain = [of("a", 0, "db"), of("b", 1, "shop"), of("c", 2, "web")];
    let found = records(CONFIG, &chain);
    assert_eq!(counts(CONFIG, &chain, "open"), 1, "{found:#?}");
    let last = found.last().expect("a record");
    assert_eq!(last["cause"], "db");
    assert_eq!(last["causes"][0]["explains"], json!(["shop", "web"]));
    assert_eq!(last["members"][2]["linked_by"], "call");
    // Two calls lie between web and db.
    let ends = [of("a", 0, "db"), of("c", 2, "web")];
    assert_eq!(counts(CONFIG, &ends, "open"), 1);
    assert_eq!(counts(&with("hops", json!(1)), &ends, "open"), 2);
    assert_eq!(counts(CONFIG, &[of("a", 0, "db"), of("b", 11, "shop")], "open"), 2);
    // Beginnings count, not when they are told.
    let late = open("b", 30, "latency", &json!({ "service": "shop" }), &json!({ "started_at": seconds(9) }));
    assert_eq!(counts(CONFIG, &[of("a", 0, "db"), late], "open"), 1);
}

pub(super) fn counts(config: &str, lines: &[String], name: &str) -> u64 {
    let (mut stage, fields) = stage(config);
    run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    counter(&stage, name)
}

#[test]
fn calls_are_learned_from_spans() {
    let config = r#"{"traces":{"from":"service","to":"peer"},"memory":"1h"}"#;
    let span = |minute| format!(r#"{{"timestamp":{},"service":"cart","peer":"stock"}}"#, seconds(minute));
    let pair = |minute| [of(&format!("a{minute}"), minute, "stock"), of(&format!("b{minute}"), minute, "cart")];
    let lines: Vec<String> = [span(0)].into_iter().chain(pair(1)).collect();
    assert_eq!((counts(config, &lines, "open"), counts(config, &lines, "known_calls")), (1, 1));
    assert_eq!(counts(config, &pair(1), "open"), 2);
    // Another call, hours later, makes the first one forgotten.
    let other = span(300).replace("stock", "mail");
    let lines: Vec<String> = [span(0), other].into_iter().chain(pair(301)).collect();
    assert_eq!((counts(config, &lines, "open"), counts(config, &lines, "known_calls")), (2, 1));
}

#[test]
fn the_younger_is_merged_into_the_older() {
    let config = r#"{"shared":["page"]}"#;
    let on = |page: &str, service: &str| json!({ "page": page, "service": service });
    let lines = [
        open("a", 0, "lcp", &on("/", "x"), &json!({})),
        open("b", 1, "lcp", &on("/cart", "y"), &json!({})),
        open("c", 2, "lcp", &on("/", "y"), &json!({})),
        closed("b", 4),
        "@end".into(),
    ];
    let found = records(config, &lines);
    assert_eq!(said(&found, "state"), ["open", "open", "resolved", "updated", "updated"], "{found:#?}");
    let merged = &found[2];
    assert_eq!((&merged["reason"], &merged["merged_into"]), (&json!("merged"), &found[0]["incident_id"]));
    assert_eq!((&merged["incident_id"], &merged["causes"]), (&found[1]["incident_id"], &json!([])));
    assert_eq!((&found[3]["incident_id"], &found[3]["anomalies"]), (&found[0]["incident_id"], &json!(3)));
    // The end of one that came with the younger is an end in the older.
    assert_eq!(found[4]["open"], 2);
}

#[test]
fn it_is_resolved_when_all_have_ended() {
    let lines = [of("a", 0, "db"), of("b", 1, "shop"), closed("a", 5), closed("b", 7)];
    let found = records(CONFIG, &lines);
    let last = found.last().expect("a record");
    assert_eq!((&last["state"], &last["reason"], &last["open"]), (&json!("resolved"), &json!("all_ended"), &json!(0)));
    assert_eq!(last["ended_at"], "2026-01-01T00:07:00Z");
    // The worst value, and its distance grown with it.
    assert_eq!((&last["members"][0]["value"], &last["members"][0]["z"]), (&json!(30.0), &json!(10.0)));
    assert_eq!(counts(CONFIG, &lines, "open"), 0);
}

#[test]
fn it_is_resolved_for_silence() {
    let lines = [of("a", 0, "db"), tick(359), tick(361)];
    let found = records(CONFIG, &lines);
    assert_eq!(said(&found, "reason"), [&Json::Null, &json!("silent")], "{found:#?}");
    assert_eq!(found[1]["ended_at"], "2026-01-01T06:00:00Z");
    // One that is over takes nothing in, though no tick has said so.
    let config = with("window", json!("1d"));
    let found = records(&config, &[of("a", 0, "db"), of("b", 400, "db")]);
    assert_eq!(said(&found, "state"), ["open", "open", "resolved"], "{found:#?}");
}

#[test]
fn records_keep_their_distance() {
    let service = |n: i64| open(&format!("m{n}"), 0, &format!("metric{n}"), &json!({ "service": "db" }), &json!({}));
    let mut lines: Vec<String> = (0..5).map(service).collect();
    assert_eq!(said(&records(CONFIG, &lines), "anomalies"), [1], "the others wait");
    lines.push("@end".into());
    assert_eq!(said(&records(CONFIG, &lines), "anomalies"), [1, 5], "the end of the input tells them");
    lines[5] = tick(1);
    assert_eq!(said(&records(CONFIG, &lines), "anomalies"), [1, 5], "and so does time");
    lines[5] = tick(0);
    assert_eq!(said(&records(CONFIG, &lines), "anomalies"), [1]);
    let at_once = with("update_every", json!("0s"));
    assert_eq!(said(&records(&at_once, &lines), "anomalies"), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_too_small_is_not_told() {
    let config = with("min_anomalies", json!(2));
    let lines = [of("a", 0, "mail"), closed("a", 1), of("b", 2, "db"), of("c", 3, "shop")];
    let found = records(&config, &lines);
    assert_eq!((said(&found, "state"), said(&found, "anomalies")), (vec![&json!("open")], vec![&json!(2)]));
}

#[test]
fn the_topic_of_anomalies_is_an_input() {
    // As the first stage of a chain has it: an event with a field `kind`, and dimensions beside the segment.
    let line = of("a", 0, "db").replace(r#"{"kind":"anomaly","#, r#"{"z":1,"kind":"anomaly","#);
    let other = format!(
        r#"{{"z":1,"kind":"anomaly","timestamp":{},"anomaly_id":"b","metric":"errors","service":"db"}}"#,
        seconds(1)
    );
    let found = records(CONFIG, &[line, other]);
    assert_eq!(said(&found, "anomalies"), [1, 2], "{found:#?}");
    assert_eq!(found[1]["members"][1]["labels"], json!({ "service": "db" }));
}

#[test]
fn an_anomaly_that_is_told_again_is_one() {
    let worse = of("a", 1, "db").replace("20.0", "40.0");
    let found = records(CONFIG, &[of("a", 0, "db"), of("a", 0, "db"), worse]);
    assert_eq!(said(&found, "anomalies"), [1, 1], "{found:#?}");
    assert_eq!(found[1]["members"][0]["z"], 15.0);
}

#[test]
fn ids_do_not_depend_on_the_config() {
    let one = records(CONFIG, &[of("a", 0, "db")]);
    let other = records("{}", &[of("x", 0, "mail"), of("a", 0, "db")]);
    assert_eq!(one[0]["incident_id"], other[1]["incident_id"]);
}

#[test]
fn what_cannot_be_read_passes() {
    let lines = [
        r#"{"kind":"anomaly"}"#.to_string(),
        r#"{"kind":"anomaly","anomaly_id":"a"}"#.into(),
        r#"{"kind":"anomaly","anomaly_id":7,"state":3,"segment":[1],"range":{},"value":"x","expected":null,"started_at":"no"}"#.into(),
        format!(r#"{{"kind":"anomaly","timestamp":{},"anomaly_id":"b","value":1e308,"expected":-1e308,"range":[1,1],"events":1e308,"segment":{{"service":{{}}}}}}"#, seconds(0)),
        format!(r#"{{"kind":"anomaly","timestamp":{},"anomaly_id":"c","value":-1e308,"expected":1e308,"range":[0,1e-300],"events":-1,"segment":"x"}}"#, seconds(0)),
        r#"{"kind":"anomaly","anomaly_id":"nobody","state":"closed"}"#.into(),
        r#"{"kind":"window","anomaly_id":"w"}"#.into(),
        "@end".into(),
    ];
    let (mut stage, fields) = stage(CONFIG);
    let rows = run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(rows.iter().filter(|row| row["kind"] != "incident").count(), 7, "all of them pass");
    let known = ["unreadable", "unknown", "anomalies"].map(|name| counter(&stage, name));
    assert_eq!(known, [3, 1, 2], "{rows:#?}");
    let state = stage.snapshot();
    assert_eq!(stage.restore(&state), Ok(()), "what rows can make is no forgery");
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let config: CorrelateConfig = serde_json::from_value(json!({
        "window": "0s", "service": "", "dependencies": [{ "from": "a", "to": "a" }, { "from": "", "to": "b" }],
        "traces": { "from": "x", "to": "x" }, "hops": 0, "lag": "2h", "significance": 1.0, "min_coincidences": 1,
        "memory": "1m", "min_anomalies": 0, "update_every": "2h", "resolve_after": "1s", "max_incidents": 0,
        "max_members": 1, "max_series": 1, "max_pairs": 0, "shared": vec!["x"; 17],
    }))
    .expect("it can be read");
    let mut paths: Vec<String> = config.errors().into_iter().map(|issue| issue.path).collect();
    paths.sort();
    let mut all = vec![
        "window",
        "lag",
        "memory",
        "update_every",
        "resolve_after",
        "significance",
        "hops",
        "min_coincidences",
        "min_anomalies",
        "max_incidents",
        "max_members",
        "max_series",
        "max_pairs",
        "service",
        "shared",
        "dependencies[0]",
        "dependencies[1]",
        "traces",
    ];
    all.sort_unstable();
    assert_eq!(paths, all);
    let doubtful: CorrelateConfig = serde_json::from_value(json!({
        "window": "1m", "dependencies": [{ "from": "a", "to": "b" }, { "from": "a", "to": "b" }],
    }))
    .expect("it can be read");
    let paths: Vec<String> = CorrelateStage::warnings(&doubtful).into_iter().map(|issue| issue.path).collect();
    assert_eq!(paths, ["lag", "dependencies[1]"]);
}

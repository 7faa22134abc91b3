//! Grouping, merging, pace, ends, cuts and restarts, bounds, snapshots, and what is refused.

use super::*;
use crate::math::random::SplitMix64;
use crate::testing::{START_US, check_cuts, counter, run};
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
fn with(key: &str, value: Json) -> String {
    let mut config: Json = serde_json::from_str(CONFIG).expect("a config");
    config[key] = value;
    config.to_string()
}

fn seconds(minute: i64) -> i64 {
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

fn closed(id: &str, minute: i64) -> String {
    let (time, end) = (seconds(minute), seconds(minute));
    format!(
        r#"{{"kind":"anomaly","timestamp":{time},"anomaly_id":"{id}","state":"closed","ended_at":{end},"value":30.0,"expected":10.0}}"#
    )
}

fn tick(minute: i64) -> String {
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

fn counts(config: &str, lines: &[String], name: &str) -> u64 {
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

/// A stream of anomalies of a few services, their ends, spans, ticks.
fn mixture(seed: u64, length: usize) -> Vec<String> {
    let mut random = SplitMix64::new(seed);
    let services = ["web", "shop", "db", "mail", "stock", "cart"];
    let mut lines = Vec::new();
    let mut minute = 0;
    for n in 0..length {
        minute += random.below(3) as i64;
        let service = services[random.below(6) as usize];
        lines.push(match random.below(10) {
            0..=5 => {
                let segment = json!({ "service": service, "page": format!("/{}", random.below(3)) });
                let metric = ["cpu", "latency", "errors", "rate"][random.below(4) as usize];
                let value = 12.0 + random.unit() * 20.0;
                open(&format!("n{n}"), minute, metric, &segment, &json!({ "value": value, "events": n }))
            }
            6 | 7 => closed(&format!("n{}", random.below(n as u64 + 1)), minute),
            8 => format!(r#"{{"timestamp":{},"service":"{service}","peer":"mail"}}"#, seconds(minute)),
            _ => tick(minute),
        });
    }
    lines.push("@end".into());
    lines
}

#[test]
fn bytes_do_not_depend_on_cuts_and_restarts() {
    for (seed, change) in
        [(1, "{"), (2, r#"{"max_incidents":2,"max_members":3,"#), (3, r#"{"max_series":3,"max_pairs":2,"#)]
    {
        let config = CONFIG.replacen('{', change, 1).replacen(
            "\"dependencies\"",
            r#""traces":{"from":"service","to":"peer"},"shared":["page"],"window":"3m","lag":"2m","memory":"1h","resolve_after":"10m","dependencies""#,
            1,
        );
        let lines = mixture(seed, 300);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (rows, counters) = check_cuts(|| stage(&config), &lines);
        let of = |state: &str| rows.iter().filter(|row| row["kind"] == "incident" && row["state"] == state).count();
        assert!(of("open") > 10 && of("updated") > 10 && of("resolved") > 10, "{counters:?}");
        let ids: std::collections::BTreeSet<&str> =
            rows.iter().filter(|row| row["kind"] == "incident").filter_map(|row| row["id"].as_str()).collect();
        assert_eq!(ids.len(), of("open") + of("updated") + of("resolved"), "every record has its own id");
    }
}

#[test]
fn bounds_hold() {
    let mut lines: Vec<String> = (0..30).map(|n| of(&format!("a{n}"), 20 * n, &format!("s{n}"))).collect();
    let config = with("max_incidents", json!(4)).replacen('{', r#"{"max_members":2,"max_series":5,"#, 1);
    assert_eq!((counts(&config, &lines, "open"), counts(&config, &lines, "evicted")), (4, 26));
    assert_eq!(counts(&config, &lines, "series"), 5);
    let reasons = records(&config, &lines);
    assert_eq!(reasons.iter().filter(|record| record["reason"] == "evicted").count(), 26);
    lines.extend(
        (0..5).map(|n| open(&format!("b{n}"), 581, &format!("m{n}"), &json!({ "service": "s29" }), &json!({}))),
    );
    assert_eq!(counts(&config, &lines, "not_kept"), 4);
    // Bytes bound incidents too.
    let mut fields = Fields::default();
    let small = Context { max_state_bytes: 40_000, ..Context::default() };
    let config = serde_json::from_str(CONFIG).expect("a config");
    let mut stage = CorrelateStage::new(config, &small, &mut fields).expect("a stage");
    let lines: Vec<String> = (0..300).map(|n| of(&format!("a{n}"), 20 * n, &format!("s{n}"))).collect();
    run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(counter(&stage, "state_bytes") <= 40_000 && counter(&stage, "open") > 5, "{:?}", stage.counters());
    // A record of an incident at its bounds stays below what a page takes.
    let long = |n: usize| {
        let mut segment = json!({ "service": format!("{n:03}{}", "x".repeat(300)), "host": "h" });
        (0..9).for_each(|label| segment[format!("{label}{}", "é".repeat(300))] = json!("\"".repeat(300)));
        segment
    };
    let many: Vec<String> =
        (0..200).map(|n| open(&format!("a{n}"), 0, &"m".repeat(300), &long(n), &json!({}))).collect();
    let config = with("update_every", json!("0s"));
    let largest = records(&config, &many[..140]).iter().map(|record| record.to_string().len()).max();
    assert!(largest < Some(128 << 10), "{largest:?}");
}

#[test]
fn a_forged_state_is_refused() {
    let config = CONFIG.replacen('{', r#"{"traces":{"from":"service","to":"peer"},"shared":["page"],"#, 1);
    let lines = mixture(7, 120);
    let lines: Vec<&str> = lines[..120].iter().map(String::as_str).collect();
    let (mut stage, fields) = stage(&config);
    run(&mut stage, &fields, &lines);
    let good = stage.snapshot();
    assert!(stage.store.len() > 1 && stage.graph.len() > 1 && stage.links.pairs() > 1);
    type Whole = (State, Saved<Incident>, SavedCalls, SavedOwned);
    let parts = || load::<Whole>(&good).expect("its own snapshot");
    let small = |key: &str, most: u32| {
        let mut config: Json = serde_json::from_str(&config).expect("a config");
        config[key] = json!(most);
        self::stage(&config.to_string()).0
    };
    for (key, most) in [("max_incidents", 1), ("max_members", 2), ("max_series", 2), ("max_pairs", 2)] {
        let mut other = small(key, most);
        assert!(other.restore(&good).is_err(), "{key}");
    }
    let (state, incidents, calls, _) = parts();
    let mut twice = calls.clone();
    twice.extend(calls.clone());
    let links = || self::stage(&config).0.links;
    let tell = |state: &State, incidents: &Saved<Incident>, calls: &SavedCalls| {
        save(&(state, incidents, calls, links().saved()))
    };
    assert!(stage.restore(&tell(&state, &incidents, &twice)).is_err(), "a call twice");
    let selfish = vec![(0, "a".into(), "a".into())];
    assert!(stage.restore(&tell(&state, &incidents, &selfish)).is_err(), "who calls itself");
    let forged: [(&str, fn(&mut Incident)); 7] = [
        ("no member", |i| i.members.clear()),
        ("a member twice", |i| i.members.push(i.members[0].clone())),
        ("not counted", |i| i.count = 0),
        ("all ended", |i| i.members.iter_mut().for_each(|m| m.ended = Some(m.anomaly.onset))),
        ("no number", |i| i.members[0].anomaly.value = Some(f64::NAN)),
        ("an onset outside", |i| i.members[0].anomaly.onset = 0),
        ("told without a record", |i| (i.told, i.revision) = (5, 0)),
    ];
    for (what, forge) in forged {
        let mut incidents = parts().1;
        incidents.forge(forge);
        assert!(stage.restore(&tell(&state, &incidents, &calls)).is_err(), "{what}");
    }
    for cut in 0..good.len() {
        assert!(stage.restore(&good[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(stage.restore(&good), Ok(()));
    assert_eq!(stage.snapshot(), good);
}

#[test]
fn random_bytes_are_no_state_that_panics() {
    let lines = mixture(9, 80);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (mut stage, fields) = stage(CONFIG);
    run(&mut stage, &fields, &lines[..60]);
    let good = stage.snapshot();
    let mut random = SplitMix64::new(3);
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        let (mut other, fields) = self::stage(CONFIG);
        if other.restore(&bytes).is_ok() {
            run(&mut other, &fields, &lines[60..]);
            other.snapshot();
        }
    }
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

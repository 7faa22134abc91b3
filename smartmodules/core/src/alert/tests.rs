//! What the stage does with rows: the seed's rules, groups, windows, records, limits, lint.

use super::*;
use crate::testing::{check_cuts, counter, run};
use crate::value::Value;
use serde_json::{Value as Json, json};

pub(super) fn stage(config: &Json) -> (AlertStage, Fields) {
    let mut fields = Fields::default();
    let context = Context { pipeline: "lcp".into(), stage: "alert".into(), ..Context::default() };
    let config = serde_json::from_value(config.clone()).expect("a config");
    let stage = AlertStage::new(config, &context, &mut fields).expect("a good config");
    (stage, fields)
}

/// The LCP rules as the seed has them.
pub(super) fn lcp() -> Json {
    json!({
        "rules": [
            {"name": "LCP Degradation", "condition": "p75_lcp > 4000 OR trend_slope > 100", "severity": "warning",
             "notification": ["slack", "email"], "throttle": "5m"},
            {"name": "LCP Critical", "condition": "p75_lcp > 6000 OR anomaly_score > 0.8", "severity": "critical",
             "notification": ["pagerduty", "slack"], "throttle": "1m"}
        ],
        "escalation": {"enabled": true, "levels": [
            {"duration": "5m", "severity": "warning"}, {"duration": "15m", "severity": "critical"}]}
    })
}

pub(super) fn one_rule(extra: Json) -> Json {
    let mut rule = json!({"name": "slow", "condition": "p75 > 100", "notification": ["slack"]});
    for (name, value) in extra.as_object().expect("an object") {
        rule[name] = value.clone();
    }
    json!({"rules": [rule]})
}

/// A window row at `seconds` after 2026-01-01T00:00:00Z.
pub(super) fn window(seconds: i64, page: &str, fields: Json) -> String {
    let timestamp = crate::time::format(crate::testing::START_US + seconds * 1_000_000);
    let mut row = json!({"page": page, "browser": "Chrome"});
    for (name, value) in fields.as_object().expect("an object") {
        row[name] = value.clone();
    }
    let rest = row.to_string();
    // `kind` stands first, as records have it.
    format!(r#"{{"kind":"window","timestamp":"{timestamp}",{}"#, &rest[1..])
}

pub(super) fn tick(seconds: i64) -> String {
    format!("@tick {}", crate::time::format(crate::testing::START_US + seconds * 1_000_000))
}

/// Runs the lines, cut and restored everywhere; gives the alert records.
pub(super) fn alerts(config: &Json, lines: &[String]) -> (Vec<Json>, Counters) {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (rows, counters) = check_cuts(|| stage(config), &lines);
    (rows.into_iter().filter(|row| row["kind"] == "alert").collect(), counters)
}

/// `LCP Critical firing critical`, one per record.
pub(super) fn told(records: &[Json]) -> Vec<String> {
    records
        .iter()
        .map(|r| {
            let word = |name: &str| r[name].as_str().unwrap_or("-").to_string();
            let quiet = if r["notify"] == true { "" } else { " quiet" };
            format!("{} {} {}{quiet}", word("rule"), word("transition"), word("severity"))
        })
        .collect()
}

pub(super) fn get(counters: &Counters, name: &str) -> u64 {
    counters.iter().find(|(n, _)| *n == name).map_or(u64::MAX, |(_, n)| *n)
}

#[test]
fn the_rules_of_the_seed() {
    let degraded = "LCP Degradation firing warning";
    let critical = "LCP Critical firing critical";
    for (fields, want) in [
        (json!({"p75_lcp": 2500, "trend_slope": 3.5, "anomaly_score": 0.1}), vec![]),
        (json!({"p75_lcp": 4000, "trend_slope": 100, "anomaly_score": 0.8}), vec![]),
        (json!({"p75_lcp": 4000.5, "trend_slope": 3.5, "anomaly_score": 0.1}), vec![degraded]),
        (json!({"p75_lcp": 2500, "trend_slope": 100.1, "anomaly_score": null}), vec![degraded]),
        (json!({"p75_lcp": 2500, "trend_slope": null, "anomaly_score": 0.81}), vec![critical]),
        (json!({"anomaly_score": 0.81}), vec![critical]),
        (json!({"p75_lcp": 6001, "trend_slope": -5, "anomaly_score": null}), vec![degraded, critical]),
        (json!({"p75_lcp": null, "trend_slope": null}), vec![]),
        (json!({"p75": 9000, "count": 12}), vec![]),
    ] {
        let (records, _) = alerts(&lcp(), &[window(0, "/", fields.clone())]);
        assert_eq!(told(&records), want, "{fields}");
    }
}

#[test]
fn a_record_says_everything() {
    let lines = [
        window(
            60,
            "/checkout",
            json!({"window": "five_minutes", "window_end": "2026-01-01T00:01:00Z",
            "p75_lcp": 6200.5, "trend_slope": null}),
        ),
        window(90, "/checkout", json!({"window": "five_minutes", "p75_lcp": 900, "trend_slope": 1})),
    ];
    let (records, _) = alerts(&lcp(), &lines);
    let fired = &records[1];
    let alert_id = alert_id_of("LCP Critical", 60);
    assert_eq!(
        *fired,
        json!({
            "kind": "alert", "timestamp": "2026-01-01T00:01:00Z", "id": fired["id"], "alert_id": alert_id,
            "pipeline": "lcp", "stage": "alert", "rule": "LCP Critical", "state": "firing", "transition": "firing",
            "step": 0, "severity": "critical", "notification": ["pagerduty", "slack"], "notify": true,
            "labels": {"browser": "Chrome", "page": "/checkout"},
            "condition": "p75_lcp > 6000 OR anomaly_score > 0.8",
            "values": {"p75_lcp": 6200.5, "anomaly_score": null},
            "started_at": "2026-01-01T00:01:00Z", "ended_at": null, "reason": null,
            "summary": "LCP Critical is firing, browser=Chrome, page=/checkout: anomaly_score=null, p75_lcp=6200.5", "partition": 0, "offset": 0,
            "window": "five_minutes", "window_end": "2026-01-01T00:01:00Z",
        })
    );
    let ended = &records[3];
    assert_eq!(
        (&ended["alert_id"], &ended["state"], &ended["reason"], &ended["ended_at"], &ended["values"]["p75_lcp"]),
        (
            &fired["alert_id"],
            &json!("resolved"),
            &json!("condition_false"),
            &json!("2026-01-01T00:01:30Z"),
            &json!(900)
        )
    );
    assert_eq!(ended.get("window_end"), None);
    assert_ne!(ended["id"], fired["id"]);
}

/// The id is a contract: a redeploy must find it again.
fn alert_id_of(rule: &str, seconds: i64) -> String {
    let mut group = Vec::new();
    for text in ["browser", "Chrome", "page", "/checkout"] {
        Value::Str(text).write_key(&mut group);
    }
    let start = crate::testing::START_US + seconds * 1_000_000;
    crate::id::id(&[b"lcp", rule.as_bytes(), &group, &start.to_le_bytes()])
}

#[test]
fn the_alert_id_outlives_a_change_of_config() {
    let line = [window(60, "/checkout", json!({"p75": 500}))];
    let first = alerts(&one_rule(json!({"throttle": "5m"})), &line).0;
    let mut config = one_rule(json!({"severity": "error", "condition": "p75 > 99", "summary": "slow"}));
    config["group_by"] = json!(["page", "browser"]);
    let second = alerts(&config, &line).0;
    assert_eq!(first[0]["alert_id"], second[0]["alert_id"]);
    assert_eq!(first[0]["id"], second[0]["id"]);
    assert_eq!(first[0]["alert_id"], alert_id_of("slow", 60));
}

#[test]
fn the_row_carries_the_worst_alert_and_its_records_follow() {
    let (mut stage, fields) = stage(&lcp());
    let lines = [
        window(0, "/", json!({"p75_lcp": 7000})),
        window(30, "/", json!({"p75_lcp": 5000})),
        window(60, "/", json!({"p75_lcp": 500})),
        window(60, "/", json!({"p75": 500})),
        r#"{"kind":"late","timestamp":"2026-01-01T00:00:30Z","p75_lcp":9000}"#.to_string(),
    ];
    let rows = run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let kinds: Vec<&str> = rows.iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["window", "alert", "alert", "window", "alert", "window", "alert", "window", "late"]);
    assert_eq!(
        rows[0]["alert"],
        json!({"alert_id": rows[2]["alert_id"], "rule": "LCP Critical", "state": "firing", "severity": "critical"})
    );
    assert_eq!(rows[3]["alert"]["rule"], "LCP Degradation");
    assert_eq!(rows[5].get("alert"), Some(&Json::Null));
    assert_eq!((rows[7].get("alert"), rows[8].get("alert")), (None, None));
}

#[test]
fn a_field_alert_is_replaced() {
    let config = one_rule(json!({}));
    let (mut stage, fields) = stage(&config);
    let rows = run(&mut stage, &fields, &[r#"{"p75":1,"alert":"mine","page":"/"}"#, r#"{"alert":"mine"}"#]);
    assert_eq!(rows, [json!({"p75": 1, "page": "/", "alert": null}), json!({"alert": "mine"})]);
    assert_eq!((counter(&stage, "in"), counter(&stage, "passed"), counter(&stage, "evaluated")), (2, 2, 1));
}

#[test]
fn groups_do_not_touch_each_other() {
    let config = one_rule(json!({}));
    let lines = [
        window(0, "/a", json!({"p75": 500})),
        window(0, "/b", json!({"p75": 50})),
        window(30, "/b", json!({"p75": 500})),
        window(60, "/a", json!({"p75": 50})),
        window(60, "/b", json!({"p75": 500})),
    ];
    let (records, counters) = alerts(&config, &lines);
    let pages: Vec<(&str, &str)> =
        records.iter().map(|r| (r["labels"]["page"].as_str().unwrap(), r["transition"].as_str().unwrap())).collect();
    assert_eq!(pages, [("/a", "firing"), ("/b", "firing"), ("/a", "resolved")]);
    assert_eq!(get(&counters, "active"), 1);
}

#[test]
fn a_rule_looks_at_its_window_only() {
    let config = one_rule(json!({"window": "five_minutes"}));
    let lines = [
        window(0, "/", json!({"window": "one_minute", "p75": 500})),
        window(1, "/", json!({"window": "five_minutes", "p75": 500})),
        window(2, "/", json!({"window": "one_minute", "p75": 50})),
        window(3, "/", json!({"p75": 50})),
    ];
    let (records, counters) = alerts(&config, &lines);
    assert_eq!(told(&records), ["slow firing warning"]);
    assert_eq!((get(&counters, "evaluated"), get(&counters, "active")), (1, 1));
    // Without `window`, a row of another window still says nothing if it lacks the fields.
    let lines = [
        window(0, "/", json!({"window": "five_minutes", "p75_lcp": 5000, "trend_slope": 1})),
        window(30, "/", json!({"window": "one_minute", "p75": 10, "count": 3})),
    ];
    let (records, counters) = alerts(&lcp(), &lines);
    assert_eq!((records.len(), get(&counters, "active")), (1, 1));
}

#[test]
fn a_breach_that_is_no_longer_in_sight_ends_the_alert() {
    let config = one_rule(json!({"condition": "time_to_breach < 30m"}));
    let lines = [
        // Nothing is known of the future: the row says nothing.
        window(0, "/", json!({"p75": 1})),
        window(60, "/", json!({"p75": 1, "prediction": 2, "time_to_breach": 600_000})),
        window(120, "/", json!({"p75": 1})),
        window(180, "/", json!({"p75": 1, "prediction": 1})),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (outputs, _) = check_cuts(|| stage(&config), &lines);
    let alerts: Vec<(&Json, &Json)> = outputs
        .iter()
        .filter(|row| row["kind"] == "alert")
        .map(|row| (&row["transition"], &row["timestamp"]))
        .collect();
    let expected =
        [(json!("firing"), json!("2026-01-01T00:01:00Z")), (json!("resolved"), json!("2026-01-01T00:03:00Z"))];
    assert_eq!(alerts, expected.each_ref().map(|(transition, time)| (transition, time)));
    assert_eq!(outputs.iter().find(|row| row["kind"] == "alert").expect("one")["values"]["time_to_breach"], 600_000);
}

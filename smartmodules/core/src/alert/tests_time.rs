//! Throttle, escalation, `for` and silence, through the whole stage.

use super::tests::{alerts, get, lcp, one_rule, tick, told, window};
use serde_json::{Value as Json, json};

#[test]
fn escalation_by_ticks_alone_and_by_rows() {
    let mut config = lcp();
    config["rules"][0]["resolve_after"] = json!("1h");
    let breach = |at| window(at, "/", json!({"p75_lcp": 5000}));
    let by_ticks: Vec<String> = [breach(0)].into_iter().chain((1..=20).map(|m| tick(m * 60))).collect();
    let by_rows: Vec<String> = (0..=20).map(|m| breach(m * 60)).collect();
    for lines in [by_ticks, by_rows] {
        let (records, counters) = alerts(&config, &lines);
        // The level `warning` raises nothing: the rule starts there.
        assert_eq!(told(&records), ["LCP Degradation firing warning", "LCP Degradation escalated critical"]);
        assert_eq!((&records[1]["step"], &records[1]["timestamp"]), (&json!(2), &json!("2026-01-01T00:15:00Z")));
        assert_eq!(records[0]["alert_id"], records[1]["alert_id"]);
        assert_eq!((get(&counters, "escalated"), get(&counters, "active")), (1, 1));
    }
}

#[test]
fn a_rules_own_escalation_goes_first() {
    let mut config = one_rule(json!({"severity": "info", "resolve_after": "0s",
        "escalation": {"enabled": true, "levels": [{"duration": "1m", "severity": "error"}]}}));
    config["escalation"] = json!({"enabled": true, "levels": [{"duration": "1s", "severity": "critical"}]});
    let lines = [window(0, "/", json!({"p75": 500})), tick(59), tick(60), tick(100_000)];
    assert_eq!(told(&alerts(&config, &lines).0), ["slow firing info", "slow escalated error"]);
    config["rules"][0]["escalation"]["enabled"] = json!(false);
    assert_eq!(told(&alerts(&config, &lines).0), ["slow firing info"]);
}

#[test]
fn throttle_of_a_flapping_group() {
    let config = one_rule(json!({"throttle": "5m"}));
    let lines: Vec<String> =
        (0..40).map(|i| window(i * 30, "/", json!({"p75": if i % 2 == 0 { 500 } else { 50 }}))).collect();
    let (records, counters) = alerts(&config, &lines);
    let fired: Vec<&Json> = records.iter().filter(|r| r["transition"] == "firing").collect();
    let notified: Vec<&str> =
        fired.iter().filter(|r| r["notify"] == true).map(|r| r["timestamp"].as_str().unwrap()).collect();
    assert_eq!(
        notified,
        ["2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z", "2026-01-01T00:15:00Z"]
    );
    assert_eq!((fired.len(), get(&counters, "firing"), get(&counters, "throttled")), (20, 20, 16));
    // Who was not told of the beginning is not told of the end.
    for record in records.iter().filter(|r| r["transition"] == "resolved") {
        let began = fired.iter().find(|r| r["alert_id"] == record["alert_id"]).expect("it fired");
        assert_eq!(began["notify"], record["notify"]);
    }
}

#[test]
fn a_throttled_alert_that_keeps_firing_is_told_when_the_throttle_ends() {
    let config = one_rule(json!({"throttle": "5m"}));
    let lines = [
        window(0, "/", json!({"p75": 500})),
        window(30, "/", json!({"p75": 50})),
        window(60, "/", json!({"p75": 500})),
        tick(299),
        tick(301),
    ];
    let (records, counters) = alerts(&config, &lines);
    assert_eq!(
        told(&records),
        ["slow firing warning", "slow resolved warning", "slow firing warning quiet", "slow firing warning"]
    );
    assert_eq!(records[3]["timestamp"], "2026-01-01T00:05:00Z");
    assert_eq!(records[3]["alert_id"], records[2]["alert_id"]);
    assert_ne!(records[3]["id"], records[2]["id"]);
    assert_eq!((get(&counters, "firing"), get(&counters, "throttled"), get(&counters, "active")), (2, 1, 1));
}

#[test]
fn no_data_ends_an_alert_and_the_end_of_input_does_not() {
    let config = one_rule(json!({}));
    let breach = window(0, "/a", json!({"p75": 500}));
    let (records, counters) = alerts(&config, &[breach.clone(), "@end".into()]);
    assert_eq!((records.len(), get(&counters, "active")), (1, 1));
    // Rows of another group, and rows that say nothing about the rule, are no data for this one.
    let lines = [
        breach,
        window(600, "/a", json!({"count": 1})),
        window(900, "/b", json!({"p75": 1})),
        window(901, "/b", json!({"p75": 1})),
    ];
    let (records, counters) = alerts(&config, &lines);
    assert_eq!(told(&records), ["slow firing warning", "slow resolved warning"]);
    assert_eq!((&records[1]["reason"], &records[1]["ended_at"]), (&json!("no_data"), &json!("2026-01-01T00:15:00Z")));
    assert_eq!((get(&counters, "resolved"), get(&counters, "active")), (1, 0));
}

#[test]
fn pending_records_are_emitted_on_request() {
    let mut config = one_rule(json!({"for": "1m"}));
    let lines = [0, 30, 60, 90].map(|at| window(at, "/", json!({"p75": 500})));
    assert_eq!(told(&alerts(&config, &lines).0), ["slow firing warning"]);
    config["emit_pending"] = json!(true);
    let (records, _) = alerts(&config, &lines);
    assert_eq!(told(&records), ["slow pending warning quiet", "slow firing warning"]);
    assert_eq!(records[0]["alert_id"], records[1]["alert_id"]);
    assert_eq!(records[1]["started_at"], "2026-01-01T00:00:00Z");
    assert_eq!(records[1]["timestamp"], "2026-01-01T00:01:00Z");
}

fn silent(extra: Json) -> Json {
    let mut rule = json!({"name": "silent", "absent": "5m", "notification": ["slack"]});
    for (name, value) in extra.as_object().expect("an object") {
        rule[name] = value.clone();
    }
    json!({"rules": [rule], "group_by": ["page"], "emit_pending": true})
}

#[test]
fn a_group_that_falls_silent_fires_once_until_it_speaks() {
    let speaks = |at, page| window(at, page, json!({"up": 1}));
    // `/b` goes on, and moves the clock.
    let mut lines: Vec<String> = (0..4).map(|m| speaks(m * 60, "/a")).collect();
    lines.extend((4..31).map(|m| speaks(m * 60, "/b")));
    lines.extend([
        speaks(1800, "/a"),
        speaks(1860, "/a"),
        speaks(1860, "/b"),
        tick(1860 + 299),
        speaks(1860 + 299, "/b"),
    ]);
    let (records, counters) = alerts(&silent(json!({})), &lines);
    assert_eq!(told(&records), ["silent firing warning", "silent resolved warning"]);
    let [fired, ended] = &records[..] else { panic!("{records:#?}") };
    assert_eq!(fired["labels"], json!({"page": "/a"}));
    assert_eq!(
        (&fired["started_at"], &fired["timestamp"]),
        (&json!("2026-01-01T00:03:00Z"), &json!("2026-01-01T00:08:00Z"))
    );
    assert_eq!((&ended["timestamp"], &ended["reason"]), (&json!("2026-01-01T00:30:00Z"), &json!("condition_false")));
    assert_eq!((&fired["condition"], &fired["values"]), (&json!("absent 5m"), &json!({})));
    assert_eq!(fired["alert_id"], ended["alert_id"]);
    assert_eq!((get(&counters, "active"), get(&counters, "firing")), (0, 1));
}

#[test]
fn silence_is_seen_by_ticks_and_lasts_as_long_as_it_is_told() {
    let lines = [window(0, "/", json!({"up": 1})), tick(299), tick(300), tick(100_000)];
    assert_eq!(told(&alerts(&silent(json!({})), &lines).0), ["silent firing warning"]);
    let ends = silent(json!({"resolve_after": "1h"}));
    let (records, _) = alerts(&ends, &lines);
    assert_eq!((told(&records).len(), &records[1]["reason"]), (2, &json!("no_data")));
    // Only rows that count are heard: those with `up` at 0 are none.
    let lines = [window(0, "/", json!({"up": 1})), window(200, "/", json!({"up": 0})), tick(310)];
    let (records, _) = alerts(&silent(json!({"condition": "up = 1"})), &lines);
    assert_eq!((told(&records).len(), &records[0]["condition"]), (1, &json!("absent 5m: up = 1")));
    assert_eq!(told(&alerts(&silent(json!({})), &lines).0), [""; 0]);
}

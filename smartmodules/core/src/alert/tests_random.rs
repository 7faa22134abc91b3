//! Random rows, ticks and configs: no panic, the counters add up, and every alert's life is in
//! order, however the rows are cut and wherever the stage is stopped.

use super::tests::{stage, tick, window};
use super::*;
use crate::testing::check_cuts;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

fn lines() -> impl Strategy<Value = Vec<String>> {
    let fields = prop_oneof![
        (0..200_i64).prop_map(|p75| json!({"p75": p75})),
        (0..200_i64, 0.0..1.0).prop_map(|(p75, score)| json!({"p75": p75, "score": score})),
        Just(json!({"p75": null})),
        Just(json!({"p75": "fast", "window": "w"})),
        Just(json!({"count": 1, "alert": true})),
    ];
    let row = (0..4_i64, prop::sample::select(vec!["/a", "/b", "/c", "/d"]), fields);
    let line = prop_oneof![
        6 => row.prop_map(|(step, page, fields)| (step * 20, Some((page, fields)))),
        1 => (0..2000_i64).prop_map(|step| (step, None)),
    ];
    // Late rows go back a little; the clock goes on.
    (prop::collection::vec((line, 0..3_i64), 0..80)).prop_map(|steps| {
        let mut at = 0;
        let mut lines = Vec::new();
        for ((step, row), back) in steps {
            at += step;
            lines.push(match row {
                Some((page, fields)) => window(at - back * 15, page, fields),
                None => tick(at),
            });
        }
        lines
    })
}

fn config() -> impl Strategy<Value = Json> {
    let span = |choices: &[&'static str]| prop::sample::select(choices.to_vec());
    (
        span(&["0s", "30s", "5m"]),
        span(&["0s", "1m", "10m"]),
        span(&["0s", "2m", "15m"]),
        any::<bool>(),
        prop::sample::select(vec![2, 3, 100]),
    )
        .prop_map(|(hold, throttle, resolve_after, emit_pending, max_alerts)| {
            json!({
                "rules": [
                    {"name": "slow", "condition": "p75 > 100", "for": hold, "throttle": throttle,
                     "resolve_after": resolve_after, "summary": "{page} is slow: {p75} ms"},
                    {"name": "odd", "condition": "score > 0.5 OR p75 > 180", "severity": "error", "throttle": throttle},
                    {"name": "silent", "absent": "90s", "throttle": throttle}
                ],
                "escalation": {"enabled": true, "levels": [
                    {"duration": "1m", "severity": "warning"}, {"duration": "3m", "severity": "critical"}]},
                "max_alerts": max_alerts, "emit_pending": emit_pending
            })
        })
}

/// What a receiver of the records must be able to rely on.
#[derive(Default)]
struct Receiver {
    ids: BTreeSet<String>,
    /// Open alert by rule and labels
    open: BTreeMap<String, String>,
    count: BTreeMap<&'static str, u64>,
}

impl Receiver {
    fn take(&mut self, record: &Json) {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_string();
        assert!(self.ids.insert(text("id")), "an id twice: {record}");
        let (alert_id, who) = (text("alert_id"), format!("{} {}", text("rule"), record["labels"]));
        let own = text("rule") == OVERFLOW_RULE;
        match record["transition"].as_str() {
            Some("pending") => assert!(!self.open.contains_key(&who), "{record}"),
            Some("firing") => match self.open.insert(who, alert_id.clone()) {
                None => self.add("firing", !own),
                // Told late, because of the throttle.
                Some(same) => assert!(same == alert_id && record["notify"] == true, "{record}"),
            },
            Some("escalated") => {
                assert_eq!(self.open.get(&who), Some(&alert_id), "{record}");
                self.add("escalated", true);
            }
            Some("resolved") => {
                assert_eq!(self.open.remove(&who), Some(alert_id), "{record}");
                self.add("resolved", !own);
            }
            other => panic!("transition {other:?}"),
        }
    }

    fn add(&mut self, name: &'static str, counts: bool) {
        *self.count.entry(name).or_default() += counts as u64;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_is_in_order(config in config(), lines in lines()) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (rows, counters) = check_cuts(|| stage(&config), &lines);
        let mut receiver = Receiver::default();
        let (alerts, others): (Vec<Json>, Vec<Json>) = rows.into_iter().partition(|row| row["kind"] == "alert");
        alerts.iter().for_each(|record| receiver.take(record));
        let counters: BTreeMap<_, _> = counters.into_iter().collect();
        for name in ["firing", "escalated", "resolved"] {
            prop_assert_eq!(counters[name], receiver.count.get(name).copied().unwrap_or(0), "{}", name);
        }
        prop_assert_eq!(counters["firing"] - counters["resolved"], counters["active"]);
        let open = receiver.open.keys().filter(|who| !who.starts_with(OVERFLOW_RULE)).count();
        prop_assert_eq!(counters["active"], open as u64);
        prop_assert_eq!(others.len(), lines.iter().filter(|line| !line.starts_with('@')).count());
    }

    #[test]
    fn any_bytes_as_a_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (mut stage, fields) = stage(&json!({"rules": [{"name": "slow", "condition": "p75 > 100"}]}));
        if stage.restore(&bytes).is_ok() {
            crate::testing::run(&mut stage, &fields, &[&window(0, "/", json!({"p75": 500})), &tick(100)]);
        }
    }

    #[test]
    fn any_damage_to_a_snapshot(at in 0..400_usize, byte in any::<u8>()) {
        let config = json!({"rules": [{"name": "slow", "condition": "p75 > 100"}]});
        let (mut whole, fields) = stage(&config);
        crate::testing::run(&mut whole, &fields, &[&window(0, "/", json!({"p75": 500}))]);
        let mut bytes = whole.snapshot();
        let at = at % bytes.len();
        bytes[at] = byte;
        let (mut damaged, fields) = stage(&config);
        if damaged.restore(&bytes).is_ok() {
            let lines = [window(60, "/", json!({"p75": 500})), tick(10_000), window(9, "/", json!({"p75": 1}))];
            crate::testing::run(&mut damaged, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

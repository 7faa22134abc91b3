//! Random records, answers, outcomes and ticks: no panic, every life in order, the same however it is cut.

use super::tests::{acting, alert, of, tick, with};
use super::*;
use crate::testing::{check_cuts, run};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

fn lines() -> impl Strategy<Value = Vec<String>> {
    let name = |names: &'static [&'static str]| prop::sample::select(names);
    let record = (
        name(&["a", "b", "c", "d"]),
        name(&["firing", "firing", "resolved", "pending"]),
        name(&["cart", "shop", "db"]),
    );
    let line = prop_oneof![
        6 => (0..90_i64, record).prop_map(|(step, record)| (step, Some(record))),
        1 => (0..900_i64).prop_map(|step| (step, None)),
    ];
    // Late records go back a little; the clock goes on.
    prop::collection::vec((line, 0..3_i64), 1..60).prop_map(|steps| {
        let mut second = 0;
        let line = |((step, record), back): ((i64, Option<_>), i64)| {
            second += step;
            match record {
                Some((id, state, service)) => alert((second - back * 40).max(0), id, state, service),
                None => tick(second),
            }
        };
        steps.into_iter().map(line).collect()
    })
}

fn config() -> impl Strategy<Value = Json> {
    let yes = any::<bool>;
    (yes(), yes(), yes(), yes(), prop::sample::select(vec![1, 2, 100]), prop::sample::select(vec!["0s", "5m"])).prop_map(
        |(dry, asks, verifies, rolls_back, most, cooldown)| {
            let mut rule = with(acting(), json!({ "dry_run": dry, "cooldown": cooldown, "blast_radius": { "max": 2, "within": "10m" } }));
            if asks {
                rule["approval"] = json!({ "timeout": "3m" });
            }
            if !rolls_back || !verifies {
                rule["rollback"] = Json::Null;
            }
            if !verifies {
                rule["verify"] = Json::Null;
            }
            let second = json!({ "name": "note", "on": "alert", "target": "all", "cooldown": "1m",
                "action": { "kind": "record", "topic": "ops", "body": { "service": "{labels.service}" } }, "dry_run": false });
            json!({ "rules": [rule, second], "max_actions": most })
        },
    )
}

/// Which step may follow which.
fn may_follow(before: Option<&str>, step: &str) -> bool {
    match before {
        None | Some("suppressed") => ["suppressed", "awaiting_approval", "dry_run", "requested"].contains(&step),
        Some("awaiting_approval") => ["approved", "rejected", "approval_expired", "cancelled"].contains(&step),
        Some("approved") => ["requested", "dry_run"].contains(&step),
        Some("requested") => ["done", "failed"].contains(&step),
        Some("done" | "dry_run") => ["recovered", "not_recovered"].contains(&step),
        Some("not_recovered") => step == "rollback_requested",
        Some("rollback_requested") => ["rolled_back", "rollback_failed"].contains(&step),
        _ => false,
    }
}

/// Answers and outcomes for some of the actions that a first run finds, put behind the record that asked.
fn answered(lines: &[String], config: &Json, choices: &[u8]) -> Vec<String> {
    let (mut stage, fields) = of(config);
    let plain: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut ids = Vec::new();
    for row in run(&mut stage, &fields, &plain) {
        if let (Some(id), Some("awaiting_approval" | "requested")) = (row["action_id"].as_str(), row["step"].as_str()) {
            ids.push((row["reason"]["offset"].as_i64().unwrap_or(0), id.to_string()));
        }
    }
    let mut all = Vec::new();
    let mut offset = 0;
    for line in lines {
        all.push(line.clone());
        if line.starts_with('@') {
            continue;
        }
        for (n, (_, id)) in ids.iter().enumerate().filter(|(_, (at, _))| *at == offset) {
            let choice = choices.get(n % choices.len().max(1)).copied().unwrap_or(0);
            let outcome = |rollback: bool, done: bool| json!({ "type": "outcome", "action_id": id, "rollback": rollback, "done": done });
            let approval = json!({ "type": "approval", "action_id": id, "approved": choice & 1 == 0 });
            for (bit, control) in [(2, approval), (4, outcome(false, choice & 8 == 0)), (16, outcome(true, true))] {
                if choice & bit != 0 {
                    all.push(format!("@control {control}"));
                }
            }
        }
        offset += 1;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_is_in_order(config in config(), lines in lines(), choices in prop::collection::vec(any::<u8>(), 1..8)) {
        let lines = answered(&lines, &config, &choices);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (rows, counters) = check_cuts(|| of(&config), &lines);
        let (mut ids, mut last) = (BTreeSet::new(), BTreeMap::<String, String>::new());
        let (mut executed, mut requested) = (BTreeSet::new(), 0);
        for record in rows.iter().filter(|row| row["kind"] == "action") {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_string();
            // A copy of a record that was refused is refused again, where nothing is remembered of the first.
            let refused = text("step") == "suppressed";
            prop_assert!(ids.insert(text("id")) || refused, "an id twice: {}", record);
            let before = last.insert(text("action_id"), text("step"));
            prop_assert!(may_follow(before.as_deref(), &text("step")), "{:?} then {}", before, record);
            if !text("key").is_empty() {
                prop_assert!(executed.insert(text("key")), "a key twice: {}", record);
                requested += u64::from(text("step") == "requested");
            }
        }
        let counters: BTreeMap<_, _> = counters.into_iter().collect();
        prop_assert_eq!(counters["requested"], requested);
        prop_assert!(counters["remembered"] <= config["max_actions"].as_u64().unwrap_or(0));
        prop_assert_eq!(counters["in"], counters["passed"]);
    }

    #[test]
    fn any_damage_to_a_snapshot(at in 0..2000_usize, byte in any::<u8>()) {
        let config = json!({ "rules": [acting()] });
        let (mut whole, fields) = of(&config);
        run(&mut whole, &fields, &[&alert(0, "a", "firing", "cart"), &alert(1, "b", "firing", "shop")]);
        let mut bytes = whole.snapshot();
        let at = at % bytes.len();
        bytes[at] = byte;
        let (mut damaged, fields) = of(&config);
        if damaged.restore(&bytes).is_ok() {
            let lines = [alert(60, "a", "resolved", "cart"), tick(10_000), alert(9, "b", "firing", "shop")];
            run(&mut damaged, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

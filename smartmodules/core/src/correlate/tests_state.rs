//! Cuts and restarts, bounds, snapshots that are forged, another configuration, and what it costs.

use super::tests::{CONFIG, closed, counts, of, open, records, seconds, stage, tick, with};
use super::*;
use crate::math::random::SplitMix64;
use crate::testing::{check_cuts, counter, run};
use serde_json::{Value as Json, json};

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
        lives_are_whole(&rows);
    }
}

/// A label may be a number of hundreds of digits: the stage takes its own snapshot back.
#[test]
fn labels_next_to_zero_survive_a_restart() {
    let segment = json!({ "service": "web", "page": 1e-310 });
    let lines = [open("a", 1, "cpu", &segment, &json!({ "value": 20.0 })), "@end".to_string()];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (rows, _) = check_cuts(|| stage(CONFIG), &lines);
    assert!(rows.iter().any(|row| row["kind"] == "incident" && row["state"] == "open"), "{rows:?}");
}

/// Each incident opens once, first; is resolved at most once, last; and its revisions count up.
fn lives_are_whole(rows: &[Json]) {
    let mut lives: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for row in rows.iter().filter(|row| row["kind"] == "incident") {
        let life = lives.entry(row["incident_id"].as_str().expect("an id")).or_default();
        assert_eq!(row["revision"], json!(life.len()));
        life.push(row["state"].as_str().expect("a state"));
        assert_eq!(row["merged_into"].is_null(), row["reason"] != "merged", "{row:#}");
    }
    for (id, life) in lives {
        assert!(life.iter().enumerate().all(|(n, state)| (*state == "open") == (n == 0)), "{id}: {life:?}");
        let ends = life.iter().filter(|state| **state == "resolved").count();
        assert!(ends == 0 || (ends == 1 && life.last() == Some(&"resolved")), "{id}: {life:?}");
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
    type Forge = fn(&mut Incident);
    type Whole = (State, Saved<Incident>, SavedCalls, SavedOwned);
    let parts = || load::<Whole>(&good).expect("its own snapshot");
    let small = |key: &str, most: u32| {
        let mut config: Json = serde_json::from_str(&config).expect("a config");
        config[key] = json!(most);
        super::tests::stage(&config.to_string()).0
    };
    for (key, most) in [("max_incidents", 1), ("max_members", 2), ("max_series", 2), ("max_pairs", 2)] {
        let mut other = small(key, most);
        assert!(other.restore(&good).is_err(), "{key}");
    }
    let (state, incidents, calls, _) = parts();
    let mut twice = calls.clone();
    twice.extend(calls.clone());
    let links = || super::tests::stage(&config).0.links;
    let tell = |state: &State, incidents: &Saved<Incident>, calls: &SavedCalls| {
        save(&(state, incidents, calls, links().saved()))
    };
    assert!(stage.restore(&tell(&state, &incidents, &twice)).is_err(), "a call twice");
    let selfish = vec![(0, "a".into(), "a".into())];
    assert!(stage.restore(&tell(&state, &incidents, &selfish)).is_err(), "who calls itself");
    let forged: [(&str, Forge); 7] = [
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
fn a_changed_map_keeps_incidents() {
    let lines = [of("a", 0, "db"), of("b", 1, "mail")];
    let (mut before, fields) = stage(CONFIG);
    run(&mut before, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let state = before.snapshot();
    let old: CorrelateConfig = serde_json::from_str(CONFIG).expect("a config");
    let (mut after, fields) = stage(&with("dependencies", json!([{ "from": "web", "to": "mail" }])));
    assert_eq!(after.adopt(&state, &old), Ok(()));
    assert_eq!((counter(&after, "open"), counter(&after, "series")), (2, 2));
    run(&mut after, &fields, &[&of("c", 2, "web")]);
    assert_eq!(counter(&after, "open"), 2, "by the new map");
    let (mut after, _) = stage(&with("lag", json!("1m")));
    assert_eq!(after.adopt(&state, &old), Ok(()));
    assert_eq!((counter(&after, "open"), counter(&after, "series")), (2, 0));
    assert!(stage(&with("service", json!("team"))).0.adopt(&state, &old).is_err());
    assert!(stage(&with("max_incidents", json!(1))).0.adopt(&state, &old).is_err());
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
        let (mut other, fields) = super::tests::stage(CONFIG);
        if other.restore(&bytes).is_ok() {
            run(&mut other, &fields, &lines[60..]);
            other.snapshot();
        }
    }
}

/// Prints what rankings and anomalies cost, natively: `--release -- --nocapture`.
#[test]
fn cost() {
    for services in [20, 200] {
        let chain: Vec<Json> =
            (1..services).map(|n| json!({ "from": format!("s{}", n - 1), "to": format!("s{n}") })).collect();
        let config = with("dependencies", json!(chain));
        let config = config.replacen('{', r#"{"update_every":"0s","max_members":200,"#, 1);
        let lines: Vec<String> = (0..services).map(|n| of(&format!("a{n}"), 0, &format!("s{n}"))).collect();
        let (mut stage, fields) = stage(&config);
        run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let (_, incident) = stage.store.iter().next().expect("an incident");
        let begin = std::time::Instant::now();
        let ranked = (0..5).map(|_| rank(&incident.members, &stage.graph, &stage.rank).len()).sum::<usize>();
        let record = begin.elapsed() / 5;
        println!("{services} services: {record:?} per ranking, {} bytes per anomaly", stage.store.bytes() / services);
        assert_eq!(ranked as u64, 5 * services);
        assert!(stage.store.bytes() / services < 512);
    }
}

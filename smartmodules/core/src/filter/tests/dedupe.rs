//! Duplicates: the horizon, the cap, and the definition.

use super::*;
use crate::testing::counter;

fn event(id: &str, minute: i64, second: i64) -> String {
    format!(r#"{{"id":"{id}","timestamp":"2026-01-01T00:{minute:02}:{second:02}Z"}}"#)
}

#[test]
fn duplicates_within_the_horizon() {
    let config = json!({"dedupe": {"key": ["id"], "horizon": "10m"}, "where": "coalesce(id, '') != 'never'"});
    let lines = [
        event("a", 0, 0),
        event("a", 10, 0), // exactly the horizon: duplicate
        event("a", 10, 1), // beyond it: new
        event("a", 20, 1), // duplicate of the new one
        event("a", 15, 0), // late, before the last: duplicate
        event("b", 3, 0),  // late, but never seen
        event("b", 2, 0),  // its duplicate, though late by more than the horizon
        event("never", 21, 0),
        event("never", 21, 0), // duplicates are found before the condition is asked
        r#"{"id":null,"timestamp":"2026-01-01T00:21:00Z"}"#.into(),
        r#"{"id":null,"timestamp":"2026-01-01T00:21:00Z"}"#.into(),
        event("c", 59, 0),
        event("b", 3, 0), // forgotten by now
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_, counters) = check_cuts(|| make(&config), &lines);
    assert_eq!(
        counters,
        [("in", 13), ("passed", 7), ("filtered", 1), ("duplicate", 5), ("dead", 0), ("dedupe_evicted", 0)]
    );
}

#[test]
fn the_oldest_keys_go_first() {
    let config = json!({"dedupe": {"key": ["id", "n"], "horizon": "1h", "max_keys": 2}});
    let key = |id: &str, n: i64| format!(r#"{{"id":"{id}","n":{n}}}"#);
    let lines = [key("a", 1), key("b", 1), key("a", 1), key("a", 2), key("a", 1), key("a", 2), key("b", 1)];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    // a1 b1 new, a1 duplicate, a2 pushes a1 out, a1 pushes b1 out, a2 duplicate, b1 pushes a2 out
    assert_eq!(counts(&config, &lines), [7, 5, 0, 2, 0, 3]);
}

#[test]
fn memory_of_keys_is_bounded_by_the_state_limit() {
    let config = DedupeConfig { key: vec!["id".into()], horizon: crate::Span::minutes(60), max_keys: 1_000_000 };
    let context = Context { max_state_bytes: 800, ..Context::default() };
    let mut fields = Fields::default();
    let mut filter =
        Filter::new(FilterConfig { dedupe: Some(config), ..FilterConfig::default() }, &context, &mut fields).unwrap();
    let lines: Vec<String> = (0..25).map(|n| format!(r#"{{"id":{n}}}"#)).collect();
    run(&mut filter, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(counter(&filter, "dedupe_evicted"), 15);
}

/// Against the definition, read off a list of everything seen.
#[test]
fn dedupe_agrees_with_its_definition() {
    let config = json!({"dedupe": {"key": ["id"], "horizon": "10s"}});
    let mut seed = 1_u64;
    let mut random = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let (mut lines, mut expected) = (Vec::new(), 0);
    let mut first: std::collections::BTreeMap<u64, (i64, i64)> = Default::default();
    let mut newest = i64::MIN;
    for step in 0..600 {
        let time = 100 + step / 4 + random(14) as i64 - random(14) as i64;
        let id = random(12);
        newest = newest.max(time);
        match first.get(&id) {
            Some((seen, arrived)) if time - seen <= 10 && newest - arrived <= 10 => expected += 1,
            _ => drop(first.insert(id, (time, newest))),
        }
        lines.push(event(&id.to_string(), time / 60, time % 60));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(expected > 100);
    assert_eq!(counts(&config, &lines)[3], expected);
}

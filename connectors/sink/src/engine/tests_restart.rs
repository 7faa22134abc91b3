//! The engine is dropped at every step and restored from what the journal holds.

use super::tests::{MINUTE, SECOND, alert, routing};
use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;

/// The journal as a map, and an engine that is dropped where `kill` says.
struct World {
    engine: Engine,
    journal: BTreeMap<(String, String), String>,
    /// Records journaled as read
    read: usize,
    steps: usize,
    kills: Vec<usize>,
    /// Keys of deliveries as the receivers got them
    got: Vec<(String, Vec<String>)>,
    /// Keys of deliveries that may come twice: a kill fell between their sending and the journal
    in_flight: Vec<String>,
}

impl World {
    fn new(kills: Vec<usize>) -> World {
        let engine = Engine::new(routing(json!({})));
        World { engine, journal: BTreeMap::new(), read: 0, steps: 0, kills, got: vec![], in_flight: vec![] }
    }

    fn commit(&mut self) {
        for Change { kind, key, value } in self.engine.changes().unwrap() {
            match value {
                Some(value) => self.journal.insert((kind.into(), key), value),
                None => self.journal.remove(&(kind.into(), key)),
            };
        }
    }

    /// True if the process dies here.
    fn dies(&mut self) -> bool {
        self.steps += 1;
        if !self.kills.contains(&self.steps) {
            return false;
        }
        let entries: Vec<(String, String)> =
            self.journal.iter().map(|((kind, _), value)| (kind.clone(), value.clone())).collect();
        self.engine = Engine::restore(routing(json!({})), &entries).unwrap();
        true
    }

    /// One turn of the loop, which ends early where the process dies.
    fn turn(&mut self, records: &[Alert], now_ms: i64) {
        if let Some(record) = records.get(self.read) {
            self.engine.take(record.clone(), false, now_ms);
            if self.dies() {
                return;
            }
            self.commit();
            self.read += 1;
            if self.dies() {
                return;
            }
        }
        let begun = self.engine.begin(true, now_ms);
        if self.dies() {
            return;
        }
        self.commit();
        for delivery in begun {
            if self.dies() {
                return;
            }
            self.got.push((delivery.key.clone(), delivery.notices.iter().map(|n| n.key()).collect()));
            if self.dies() {
                self.in_flight.push(delivery.key);
                return;
            }
            self.engine.done(&delivery, Outcome::Accepted, now_ms);
            if self.dies() {
                self.in_flight.push(delivery.key);
                return;
            }
            self.commit();
        }
    }
}

fn records() -> Vec<Alert> {
    let step = |id: &str, page: &str, state| alert(id, page, state, "critical");
    vec![
        step("a", "/1", State::Firing),
        step("b", "/1", State::Firing),
        Alert { transition: "escalated".into(), step: 1, ..step("a", "/1", State::Firing) },
        step("a", "/1", State::Resolved),
        step("c", "/2", State::Firing),
        step("c", "/2", State::Resolved),
        step("b", "/1", State::Resolved),
    ]
}

fn check(kills: Vec<usize>) -> usize {
    let mut world = World::new(kills);
    let records = records();
    for turn in 0..400 {
        world.turn(&records, turn * 20 * SECOND);
    }
    // Nobody is lost: each receiver hears that every alert fires and, later, that it is over.
    for id in ["a", "b", "c"] {
        let told: Vec<&str> =
            world.got.iter().flat_map(|(_, keys)| keys).filter(|k| k.starts_with(id)).map(String::as_str).collect();
        let first = told.iter().position(|key| key.contains("resolved")).expect("an end");
        assert!(told[..first].iter().any(|key| !key.contains("resolved")), "{:?}: {told:?}", world.kills);
        assert!(told.iter().filter(|key| key.contains("resolved")).count() >= 2, "both receivers: {told:?}");
    }
    // A delivery comes twice only if it was in flight at a kill, and then it says the same.
    let mut seen: BTreeMap<&String, &Vec<String>> = BTreeMap::new();
    for (key, keys) in &world.got {
        if let Some(before) = seen.insert(key, keys) {
            assert!(world.in_flight.contains(key), "{:?}: {keys:?} twice", world.kills);
            assert_eq!(before, keys);
        }
    }
    // What is inside of deliveries never comes in two of them.
    let deliveries: Vec<&String> = seen.values().flat_map(|keys| keys.iter()).collect();
    let notices: std::collections::BTreeSet<&&String> = deliveries.iter().collect();
    assert_eq!(deliveries.len(), 2 * notices.len() - once(&deliveries), "{:?}", world.kills);
    assert!(world.engine.alerts.is_empty() && world.engine.groups.is_empty(), "{:?}", world.kills);
    assert!(records.len() == world.read && MINUTE > 0);
    world.steps
}

/// How many notices only one of the two receivers got: steps that were overtaken.
fn once(all: &[&String]) -> usize {
    all.iter().filter(|key| all.iter().filter(|other| other == key).count() == 1).count()
}

#[test]
fn a_kill_at_every_step() {
    let steps = check(vec![]);
    assert!(steps > 20, "{steps}");
    for kill in 1..=steps.min(200) {
        check(vec![kill]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn kills_at_random_steps(kills in proptest::collection::vec(1_usize..120, 1..12)) {
        check(kills);
    }
}

//! Links: independent series are not linked more often than is stated, those that follow each other are.

use super::links::{Links, Rules};
use super::tests::{open, records};
use crate::math::random::SplitMix64;
use serde_json::json;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
const RULES: Rules = Rules {
    lag_us: 5 * MINUTE,
    memory_us: 30 * DAY,
    significance: 0.01,
    min_coincidences: 3,
    max_series: 1000,
    max_pairs: 10_000,
    bytes: 1 << 24,
};

/// Onsets of independent Poisson processes over `days`, `each` a day, on the minute, in order of time.
fn independent(random: &mut SplitMix64, series: u64, days: i64, each: f64) -> Vec<(i64, u64)> {
    let mut onsets = Vec::new();
    for series in 0..series {
        let mut time = 0.0;
        loop {
            time += -libm::log(1.0 - random.unit()) * DAY as f64 / each;
            if time > (days * DAY) as f64 {
                break;
            }
            onsets.push(((time as i64).div_euclid(MINUTE) * MINUTE, series));
        }
    }
    onsets.sort_unstable();
    onsets
}

fn observe(onsets: &[(i64, u64)], rules: &Rules) -> Links {
    let mut links = Links::default();
    for (time, series) in onsets {
        links.observe(&series.to_le_bytes(), *time, rules);
    }
    links
}

/// Pairs that are linked.
fn linked(links: &Links, series: u64, rules: &Rules) -> usize {
    let pairs = (0..series).flat_map(|a| (0..a).map(move |b| (a, b)));
    pairs.filter(|(a, b)| links.link(&a.to_le_bytes(), &b.to_le_bytes(), rules).is_some()).count()
}

#[test]
fn independent_series_are_linked_as_seldom_as_stated() {
    let mut random = SplitMix64::new(11);
    let (runs, rate) = (400, 0.1);
    let rules = Rules { significance: rate, ..RULES };
    let mut wrong = 0;
    for _ in 0..runs {
        let onsets = independent(&mut random, 8, 20, 6.0);
        wrong += (linked(&observe(&onsets, &rules), 8, &rules) > 0) as u32;
    }
    // Bonferroni: at most `rate` of the runs have any link; counts are discrete, so fewer. Two standard
    // deviations of a binomial of 400 and 0.1 are 12.
    println!("{wrong} of {runs} runs have a link at {rate}");
    assert!(wrong <= 40 + 12, "{wrong} of {runs}");
    assert!(wrong > 0, "the test can tell");
}

#[test]
fn series_that_follow_each_other_are_linked() {
    let mut random = SplitMix64::new(12);
    let mut found = 0;
    for _ in 0..50 {
        let mut onsets = independent(&mut random, 20, 20, 1.0);
        // Of ten onsets of the first, eight are followed by one of the second within four minutes.
        let leader: Vec<i64> = onsets.iter().filter(|(_, series)| *series == 0).map(|(time, _)| *time).collect();
        let followed = leader.into_iter().filter(|_| random.unit() < 0.8).collect::<Vec<_>>();
        onsets.extend(followed.into_iter().map(|time| (time + random.below(5) as i64 * MINUTE, 1)));
        onsets.sort_unstable();
        let links = observe(&onsets, &RULES);
        let link = links.link(&0_u64.to_le_bytes(), &1_u64.to_le_bytes(), &RULES);
        found += link.is_some_and(|link| link.coincidences >= 5 && link.p_value < 1e-6) as u32;
        assert_eq!(
            link.map(|l| l.forward),
            links.link(&1_u64.to_le_bytes(), &0_u64.to_le_bytes(), &RULES).map(|l| !l.forward)
        );
    }
    assert!(found >= 49, "{found} of 50");
}

#[test]
fn a_series_that_repeats_itself_counts_once() {
    let a_day = |n: i64| n * DAY;
    let mut onsets = Vec::new();
    for minute in 0..4 {
        onsets.push((a_day(1) + minute * MINUTE, 0));
        onsets.push((a_day(1) + minute * MINUTE, 1));
    }
    onsets.extend([(0, 2), (a_day(9), 2)]);
    onsets.sort_unstable();
    let links = observe(&onsets, &RULES);
    assert_eq!(linked(&links, 3, &RULES), 0);
}

#[test]
fn what_is_old_is_forgotten() {
    let pair = |day: i64| [(day * DAY, 0_u64), (day * DAY + MINUTE, 1)];
    let mut onsets: Vec<(i64, u64)> = (0..10).flat_map(pair).collect();
    assert_eq!(linked(&observe(&onsets, &RULES), 2, &RULES), 1);
    onsets.push((35 * DAY, 2));
    assert_eq!(linked(&observe(&onsets, &RULES), 2, &RULES), 1, "in the older half");
    onsets.push((65 * DAY, 2));
    let links = observe(&onsets, &RULES);
    assert_eq!((links.len(), links.pairs()), (1, 0));
    // A series beyond the bounds takes its pairs with it.
    let onsets: Vec<(i64, u64)> = (0..200).map(|n| (n * MINUTE, n as u64)).collect();
    let small = Rules { max_series: 10, max_pairs: 15, ..RULES };
    let links = observe(&onsets, &small);
    assert!(links.len() == 10 && links.pairs() <= 15, "{} {}", links.len(), links.pairs());
}

#[test]
fn a_learned_link_ties_anomalies() {
    let service = |name: &str| json!({ "service": name });
    let mut lines = Vec::new();
    for day in 0..12 {
        let minute = day * 24 * 60;
        lines.push(open(&format!("a{day}"), minute, "latency", &service("north"), &json!({})));
        lines.push(open(&format!("b{day}"), minute + 2, "latency", &service("south"), &json!({})));
        for id in ["a", "b"] {
            let time = 1_767_225_600 + 60 * (minute + 9);
            lines.push(format!(r#"{{"kind":"anomaly","timestamp":{time},"anomaly_id":"{id}{day}","state":"closed"}}"#));
        }
    }
    let found = records(r#"{"update_every":"0s"}"#, &lines);
    let first = found.iter().find(|record| record["members"][1]["linked_by"] == "lag").expect("a link");
    let day = first["members"][0]["anomaly_id"].as_str().unwrap_or_default();
    assert!(["a2", "a3", "a4"].contains(&day), "{day}");
    let last = found.last().expect("a record");
    assert_eq!((&last["anomalies"], &last["state"]), (&json!(2), &json!("resolved")));
    let off = records(r#"{"significance":0}"#, &lines);
    assert!(off.iter().all(|record| record["anomalies"] == 1));
}

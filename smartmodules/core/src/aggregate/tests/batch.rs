//! Random streams against a naive answer: every window computed from all events it may hold.

use super::*;
use crate::clock::NEVER;
use crate::math::exact;
use crate::math::random::SplitMix64;
use std::collections::BTreeMap;

const WINDOWS: [(&str, i64, i64); 3] = [("minute", 60, 60), ("sliding", 50, 10), ("coarse", 45, 15)];

fn config(lateness_s: i64) -> Json {
    let functions = json!({
        "count": {"type": "count"},
        "p75": {"type": "percentile", "parameter": 75, "field": "value"},
        "p10": {"type": "percentile", "parameter": 10, "field": "value"},
        "sum": {"type": "sum", "field": "value"},
        "slow": {"type": "count", "where": "value > 50"},
    });
    let windows: Vec<Json> = WINDOWS
        .iter()
        .map(|(name, size, slide)| {
            json!({
                "name": name, "type": "sliding", "size": format!("{size}s"), "slide": format!("{slide}s"),
                "allowed_lateness": format!("{lateness_s}s"), "functions": functions,
            })
        })
        .collect();
    json!({"group_by": ["page"], "windows": windows})
}

/// Mostly in order, each event up to `disorder_s` late; some silence, some ties, some nulls.
fn stream(seed: u64, disorder_s: u64) -> Vec<Step> {
    let mut random = SplitMix64::new(seed);
    let mut now_s = random.below(100) as f64;
    let mut steps = Vec::new();
    for _ in 0..120 {
        now_s += match random.below(40) {
            0 => 200.0,
            n => n as f64 / 8.0,
        };
        let time_s = now_s - random.below(disorder_s * 4 + 1) as f64 / 4.0;
        let page = ["/a", "/b", "/c"][random.below(3) as usize];
        let value = if random.below(10) == 0 { json!(null) } else { json!(random.below(1000) as f64 / 8.0) };
        steps.push(event(time_s, json!({"page": page, "value": value})));
    }
    steps.push(Step::End);
    steps
}

type Expected = BTreeMap<(i64, usize, String), Vec<Option<f64>>>;

/// Per window end (µs), window and page: the values it takes. And the number of late events.
fn naive(steps: &[Step], out_of_orderness_s: i64, lateness_s: i64) -> (Expected, u64) {
    let mut windows = Expected::new();
    let (mut late, mut watermark) = (0, NEVER);
    for step in steps {
        let Step::Event(time_s, _, event) = step else {
            continue;
        };
        let time = us(*time_s);
        let mut taken = false;
        for (at, (_, size, slide)) in WINDOWS.iter().enumerate() {
            let (size, slide) = (size * SECOND, slide * SECOND);
            let mut start = time.div_euclid(slide) * slide;
            while start + size > time {
                if watermark == NEVER || start + size + lateness_s * SECOND > watermark {
                    let key = (start + size, at, event["page"].as_str().unwrap().to_string());
                    windows.entry(key).or_default().push(event["value"].as_f64());
                    taken = true;
                }
                start -= slide;
            }
        }
        late += u64::from(!taken);
        watermark = watermark.max(time - out_of_orderness_s * SECOND);
    }
    (windows, late)
}

fn compare(seed: u64, disorder_s: u64, out_of_orderness_s: i64, lateness_s: i64) -> (u64, u64) {
    let steps = stream(seed, disorder_s);
    let (rows, stage) = check(&config(lateness_s), out_of_orderness_s, &steps);
    let (expected, late) = naive(&steps, out_of_orderness_s, lateness_s);
    let mut latest: BTreeMap<(i64, usize, String), &Json> = BTreeMap::new();
    for row in of_kind(&rows, "window") {
        let at = WINDOWS.iter().position(|w| row["window"] == w.0).unwrap();
        let key = (row["window_end"].as_i64().unwrap() * 1000, at, row["page"].as_str().unwrap().to_string());
        let before = latest.insert(key, row).map_or(-1, |r| r["revision"].as_i64().unwrap());
        assert_eq!(row["revision"], before + 1, "revisions count up: {row}");
    }
    assert_eq!(latest.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "seed {seed}");
    for (key, values) in &expected {
        let row = latest[key];
        let mut numbers: Vec<f64> = values.iter().flatten().copied().collect();
        assert_eq!(row["count"], values.len(), "{key:?}");
        assert_eq!(row["slow"], numbers.iter().filter(|v| **v > 50.0).count(), "{key:?}");
        assert_eq!(row["p75"].as_f64(), exact(&mut numbers, 0.75), "{key:?}");
        assert_eq!(row["p10"].as_f64(), exact(&mut numbers, 0.10), "{key:?}");
        let sum = (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>());
        assert_eq!(row["sum"].as_f64(), sum, "{key:?}");
    }
    assert_eq!(of_kind(&rows, "late").len() as u64, late, "seed {seed}");
    assert_eq!(count(&stage, "late"), late);
    assert_eq!(count(&stage, "windows"), expected.len() as u64);
    (late, count(&stage, "revisions"))
}

#[test]
fn disorder_within_the_watermark_costs_nothing() {
    for seed in 0..4 {
        assert_eq!(compare(seed, 20, 20, 0), (0, 0));
    }
}

#[test]
fn disorder_beyond_it_is_corrected() {
    let sums = (10..14).map(|seed| compare(seed, 30, 5, 40)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(sums.0, 0);
    assert!(sums.1 > 20, "{sums:?}");
}

#[test]
fn and_beyond_the_allowed_lateness_late() {
    let sums = (20..24).map(|seed| compare(seed, 120, 0, 10)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert!(sums.0 > 20 && sums.1 > 20, "{sums:?}");
}

#[test]
fn rows_come_by_end_then_window_then_group() {
    let steps = stream(5, 0);
    let (rows, _) = check(&config(0), 0, &steps);
    let mut created = Vec::new();
    for step in &steps {
        if let Step::Event(_, _, e) = step
            && !created.contains(&e["page"])
        {
            created.push(e["page"].clone());
        }
    }
    // Within what one record made due.
    let order = |row: &Json| (row["window_end"].as_i64().unwrap(), WINDOWS.iter().position(|w| row["window"] == w.0));
    let rows = of_kind(&rows, "window");
    assert!(rows.len() > 100);
    assert!(rows.is_sorted_by_key(|row| order(row)));
    let first: Vec<_> = rows.iter().take_while(|r| r["window_end"] == rows[0]["window_end"]).collect();
    assert!(first.is_sorted_by_key(|row| created.iter().position(|p| *p == row["page"])));
}

#[test]
fn all_kinds_of_windows_together_survive_every_cut() {
    let functions = json!({
        "count": {"type": "count"},
        "p": {"type": "percentile", "parameter": 90, "field": "value"},
        "slope": {"type": "linear-regression", "field": "value"},
        "sd": {"type": "stddev", "field": "value"},
        "set": {"type": "collect-list", "field": "value", "distinct": true, "limit": 5},
        "cls": {"type": "cls-with-session-gaps"},
        "odd": {"type": "isolation-forest", "features": ["value"], "min_training": 4, "min_scored": 2, "trees": 10},
    });
    let window = |more: Json| {
        let mut window = json!({"functions": functions, "allowed_lateness": "20s"});
        window.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        window
    };
    let config = json!({"group_by": ["page"], "max_groups": 2, "windows": [
        window(json!({"name": "a", "type": "sliding", "size": "40s", "slide": "8s", "output_interval": "12s"})),
        window(json!({"name": "b", "type": "tumbling", "size": "30s", "trigger": "processing-time"})),
        window(json!({"name": "c", "type": "session", "gap": "4s", "max_length": "30s"})),
        window(json!({"name": "d", "type": "session", "gap": "6s", "trigger": "processing-time", "output_interval": "5s"})),
    ]});
    let mut random = SplitMix64::new(99);
    for seed in 30..33 {
        let mut steps = Vec::new();
        let mut now_s = 0.0;
        for step in stream(seed, 25) {
            if let Step::Event(time_s, _, fields) = step {
                now_s = f64::max(now_s, time_s + random.below(8) as f64);
                steps.push(Step::Event(time_s, now_s, fields));
            }
            if random.below(9) == 0 {
                steps.push(Step::Tick(now_s + random.below(60) as f64));
            }
        }
        steps.push(Step::End);
        let (rows, stage) = check(&config, 3, &steps);
        assert!(rows.iter().any(|r| r["odd"].is_f64()), "a forest has scored");
        for name in ["late_partly", "other", "windows", "revisions"] {
            assert!(count(&stage, name) > 0, "{name} in seed {seed}");
        }
        assert_eq!(count(&stage, "groups"), 0);
    }
}

//! Each fault does what its label says, and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;

#[test]
fn a_fault_changes_nothing_but_what_it_is_about() {
    let healthy = events(&options(Metric::Lcp, 3, &[])).0;
    let (faulty, labels) = events(&options(Metric::Lcp, 3, &["step@20m+10m:1.3:browser=safari"]));
    assert_eq!(healthy.len(), faulty.len());
    let mut touched = 0;
    for (a, b) in healthy.iter().zip(&faulty) {
        if (20 * MINUTE..30 * MINUTE).contains(&b.us) && b.text("browser") == "safari" {
            assert!((b.value / a.value - 1.3).abs() < 0.001, "{} {}", a.row, b.row);
            touched += 1;
        } else {
            assert_eq!(a.row, b.row);
        }
    }
    assert_eq!(labels[0].affected, touched);
    assert_eq!(labels[0].start, "2026-01-05T08:20:00Z");
    assert_eq!(labels[0].end, "2026-01-05T08:30:00Z");
    assert_eq!(labels[0].segment, BTreeMap::from([("browser".into(), "safari".into())]));
}

#[test]
fn step_and_level_drop_move_the_median_by_their_magnitude() {
    // Against another seed: an independent sample of about 5,500 healthy visits.
    let healthy = events(&options(Metric::Lcp, 11, &[])).0;
    for (fault, factor) in [("step@20m+10m:1.3", 1.3), ("level-drop@20m+10m:0.5", 0.5)] {
        let faulty = events(&options(Metric::Lcp, 12, &[fault])).0;
        for q in [0.5, 0.75] {
            near(at(&faulty, 20, 30, q), factor * at(&healthy, 20, 30, q), 0.03, fault);
        }
        near(at(&faulty, 0, 20, 0.5), at(&healthy, 0, 20, 0.5), 0.03, "before");
        near(at(&faulty, 30, 60, 0.5), at(&healthy, 30, 60, 0.5), 0.03, "after");
    }
}

#[test]
fn ramp_grows_and_spike_comes_back() {
    let healthy = events(&options(Metric::Ttfb, 11, &[])).0;
    let ratio = |faulty: &[Event], from, to| at(faulty, from, to, 0.5) / at(&healthy, from, to, 0.5);
    let ramp = events(&options(Metric::Ttfb, 12, &["ramp@10m+40m:3"])).0;
    // The middle of each part: 1 + 2 × progress.
    for (from, to, factor) in [(10, 14, 1.1), (28, 32, 2.0), (46, 50, 2.9), (50, 60, 1.0), (0, 10, 1.0)] {
        near(ratio(&ramp, from, to), factor, 0.08, "ramp");
    }
    let spike = events(&options(Metric::Ttfb, 12, &["spike@20m+20m:5"])).0;
    for (from, to, factor) in [(20, 22, 1.4), (29, 31, 4.8), (38, 40, 1.4), (40, 60, 1.0)] {
        near(ratio(&spike, from, to), factor, 0.08, "spike");
    }
}

#[test]
fn tail_only_moves_p95_and_not_p75() {
    let healthy = events(&options(Metric::Lcp, 21, &[])).0;
    let (faulty, labels) = events(&options(Metric::Lcp, 21, &["tail-only@20m+20m:2.5"]));
    assert_eq!(at(&faulty, 20, 40, 0.75), at(&healthy, 20, 40, 0.75));
    assert!(at(&faulty, 20, 40, 0.95) > 1.4 * at(&healthy, 20, 40, 0.95));
    let share = labels[0].affected as f64 / 10_000.0 / 1.1;
    assert!((0.03..0.15).contains(&share), "{share}");
}

#[test]
fn one_segment_moves_only_itself() {
    let p75 = |events: &[Event], page: &str| {
        let inside = events.iter().filter(|e| (20 * MINUTE..40 * MINUTE).contains(&e.us));
        quantile(inside.filter(|e| e.text("page") == page).map(|e| e.value), 0.75)
    };
    let healthy = events(&options(Metric::Inp, 31, &[])).0;
    let other_sample = events(&options(Metric::Inp, 32, &[])).0;
    let (faulty, labels) = events(&options(Metric::Inp, 31, &["one-segment@20m+20m:3"]));
    assert_eq!(labels[0].segment["page"], "/checkout");
    // About 2,700 visits in each sample: 3 standard errors of the ratio.
    near(p75(&faulty, "/checkout"), 3.0 * p75(&other_sample, "/checkout"), 0.08, "/checkout");
    for page in ["/", "/search", "/product/1"] {
        assert_eq!(p75(&faulty, page), p75(&healthy, page), "{page}");
    }
}

#[test]
fn traffic_mix_moves_the_whole_and_no_part() {
    let mut calm = options(Metric::Lcp, 41, &[]);
    let mut mixed = options(Metric::Lcp, 42, &["traffic-mix@10m+40m"]);
    (calm.rate_per_hour, mixed.rate_per_hour) = (60_000.0, 60_000.0);
    let (healthy, (faulty, labels)) = (events(&calm).0, events(&mixed));
    assert_eq!(labels[0].segment["page"], "/search");
    let overall = at(&faulty, 10, 50, 0.75) / at(&healthy, 10, 50, 0.75);
    assert!(overall > 1.12, "overall p75 × {overall}");
    let parts = |events: &[Event]| {
        let mut parts: HashMap<String, Vec<f64>> = HashMap::new();
        for e in events.iter().filter(|e| (10 * MINUTE..50 * MINUTE).contains(&e.us)) {
            let key = format!("{} {}", e.text("page"), e.text("browser"));
            parts.entry(key).or_default().push(e.value);
        }
        parts
    };
    let (before, after) = (parts(&healthy), parts(&faulty));
    assert_eq!(before.len(), 20);
    for (key, values) in &after {
        let (was, is) = (before[key].iter().copied(), values.iter().copied());
        // 2.5 standard errors of a p75 of this spread, for the smaller sample.
        let tolerance = 4.0 / (values.len().min(before[key].len()) as f64).sqrt();
        near(quantile(is, 0.75), quantile(was, 0.75), tolerance, key);
    }
}

#[test]
fn missing_data_is_missing() {
    let healthy = events(&options(Metric::Fcp, 51, &[])).0;
    for (fault, least, most) in [("missing-data@20m+10m", 0.0, 0.0), ("missing-data@20m+10m:0.4", 0.58, 0.62)] {
        let (faulty, labels) = events(&options(Metric::Fcp, 51, &[fault]));
        let count = |events: &[Event]| events.iter().filter(|e| (20 * MINUTE..30 * MINUTE).contains(&e.us)).count();
        assert_eq!(labels[0].missing as usize, healthy.len() - faulty.len());
        let share = count(&faulty) as f64 / count(&healthy) as f64;
        assert!((least..=most).contains(&share), "{fault}: {share}");
    }
}

#[test]
fn late_and_duplicated_are_as_many_as_labelled() {
    for metric in [Metric::Lcp, Metric::Cls] {
        let (faulty, labels) = events(&options(metric, 61, &["late-and-duplicated@20m+10m:0.1"]));
        let (mut latest, mut late, mut seen, mut twice) = (0, 0, HashSet::new(), 0);
        for e in &faulty {
            // The slowest healthy beacon takes 20 s, the fastest late one 60 s. A duplicate of a
            // healthy one takes at most 40 s.
            late += (latest - e.us > 50_000_000) as u64;
            latest = latest.max(e.us);
            twice += !seen.insert(e.text("id").to_owned()) as u64;
        }
        assert!(labels[0].late > 300 && labels[0].duplicates > 300, "{:?}", labels[0]);
        assert_eq!(twice, labels[0].duplicates, "{metric:?}");
        assert_eq!(late, labels[0].late, "{metric:?}");
    }
}

#[test]
fn clock_skew_moves_time_stamps_only() {
    let healthy = events(&options(Metric::Lcp, 71, &[])).0;
    for (fault, by) in [("clock-skew@20m+10m:600", 600), ("clock-skew@20m+10m:-90:device=tablet", -90)] {
        let (faulty, labels) = events(&options(Metric::Lcp, 71, &[fault]));
        let mut moved = 0;
        for (a, b) in healthy.iter().zip(&faulty) {
            assert_eq!((a.value, a.text("id")), (b.value, b.text("id")));
            if a.us != b.us {
                assert_eq!(b.us - a.us, by * 1_000_000);
                moved += 1;
            }
        }
        assert_eq!(labels[0].affected, moved);
        assert!(moved > 200, "{moved}");
    }
}

/// CLS by the rules of the web-vitals library, for shifts in time order.
fn cls(shifts: &[&Event]) -> f64 {
    let (mut best, mut sum, mut first, mut last) = (0.0f64, 0.0, 0.0, 0.0);
    for e in shifts.iter().filter(|e| e.row["hadRecentInput"] == false) {
        let t = e.row["startTime"].as_f64().unwrap();
        if sum != 0.0 && t - last < 1000.0 && t - first < 5000.0 {
            sum += e.value;
        } else {
            (sum, first) = (e.value, t);
        }
        last = t;
        best = best.max(sum);
    }
    best
}

#[test]
fn cls_burst_adds_a_window_to_every_visit() {
    let mut spec = options(Metric::Cls, 81, &["cls-burst@20m+10m:0.4"]);
    spec.rate_per_hour = 6000.0;
    let (faulty, labels) = events(&spec);
    let mut visits: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for e in &faulty {
        visits.entry(e.text("sessionId")).or_default().push(e);
    }
    let (mut hit, mut shifts_hit, mut healthy) = (0, 0, Vec::new());
    let mut inputs = 0;
    for shifts in visits.values() {
        let start_us = shifts[0].us - (shifts[0].row["startTime"].as_f64().unwrap() * 1000.0) as i64;
        inputs += shifts.iter().filter(|e| e.row["hadRecentInput"] == true).count();
        // Time stamps are whole milliseconds: leave the edges out.
        if (20 * MINUTE + 2000..30 * MINUTE - 2000).contains(&start_us) {
            assert!(cls(shifts) > 0.399, "{}", shifts[0].row);
            hit += 1;
            shifts_hit += shifts.len() as u64;
        } else if !(20 * MINUTE - 2000..30 * MINUTE + 2000).contains(&start_us) {
            healthy.push(cls(shifts));
        }
    }
    assert!(hit > 900 && labels[0].affected.abs_diff(shifts_hit) < 30);
    assert!(inputs > 500, "{inputs}");
    let p75 = quantile(healthy.into_iter(), 0.75);
    assert!((0.02..0.1).contains(&p75), "healthy p75 {p75}");
}

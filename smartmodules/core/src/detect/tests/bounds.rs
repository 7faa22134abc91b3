//! Bounds, wrong configurations, damaged snapshots.

use super::{ensemble, lcp, make, of_kind, refs, row, unresolved};
use crate::detect::detector::Detector;
use crate::detect::plan::Plan;
use crate::detect::series::{FIXED_BYTES, Series};
use crate::detect::{DetectConfig, DetectStage};
use crate::math::random::SplitMix64;
use crate::row::Fields;
use crate::stage::{Context, Stage};
use crate::testing::{counter, run};
use serde_json::{Value, json};

#[test]
fn the_segment_unseen_for_longest_goes_and_its_anomaly_ends() {
    let (mut stage, fields) = make(&ensemble(), &json!({ "max_segments": 3 }));
    let mut lines = lcp(250, 1, |n| if n >= 240 { 1.5 } else { 1.0 });
    lines.extend((250..260).map(|n| row(n, json!({ "page": format!("/{n}"), "p75_lcp": 1 }))));
    let rows = run(&mut stage, &fields, &refs(&lines));
    let anomalies = of_kind(&rows, "anomaly");
    assert_eq!(anomalies.last().map(|a| &a["reason"]), Some(&json!("evicted")));
    assert_eq!((counter(&stage, "segments"), counter(&stage, "evicted"), counter(&stage, "open")), (3, 8, 0));
}

#[test]
fn state_stays_within_its_bytes() {
    let mut fields = Fields::default();
    let config = json!({ "detector": { "id": "d", "document": ensemble() } });
    let context = Context { max_state_bytes: 100_000, ..Context::default() };
    let config: DetectConfig = serde_json::from_value(config).expect("a config");
    let mut stage = DetectStage::new(config, &context, &mut fields).expect("a stage");
    let lines: Vec<String> =
        (0..6000).map(|n| row(n / 60, json!({ "page": format!("/{}", n % 60), "p75_lcp": 1000 + n % 7 }))).collect();
    run(&mut stage, &fields, &refs(&lines));
    assert!(stage.segments.bytes() < 110_000, "{}", stage.segments.bytes());
    assert!(counter(&stage, "evicted") > 0);
}

/// What the README says of memory, filled to the end by values of every kind, at any pace.
#[test]
fn a_series_of_best_has_eight_kibibytes() {
    const MINUTE: i64 = 60_000_000;
    let shapes: [fn(f64, i64) -> f64; 4] = [
        |u, _| u,
        |u, _| 1.0 / (u + 1e-9),
        |u, i| u + 1e-3 * (i * i) as f64,
        |u, i| 100.0 + u + 50.0 * (i / 999 % 2) as f64,
    ];
    let plan = Plan::new(&Detector::default()).expect("a plan");
    assert!(size_of::<Series>() <= FIXED_BYTES);
    // An anomaly of it that is open.
    let (mut stage, fields) = make(&json!({ "metrics": ["lcp"] }), &json!({}));
    run(&mut stage, &fields, &refs(&lcp(700, 1, |n| if n >= 600 { 3.0 } else { 1.0 })));
    let mut open = 0;
    stage.segments.each(|segment| {
        let series = segment.series[0].as_ref().expect("a series");
        let (episode, detection) =
            (series.episode.as_ref().expect("an episode"), series.detection.as_ref().expect("a detection"));
        assert!(episode.anomaly_id.is_some());
        open = episode.bytes() + detection.bytes();
    });
    let (mut most, mut fuller) = (0, 0);
    for (shape, step) in shapes.into_iter().flat_map(|shape| [(shape, MINUTE), (shape, 60 * MINUTE)]) {
        let (mut series, mut random, mut scratch) = (Series::new(&plan), SplitMix64::new(11), Vec::new());
        for i in 0..20_000 {
            let (time, value) = (i * step, shape(random.unit(), i));
            let forecast = series.level.forecast(time, 50.0, plan.smoothing);
            for method in &plan.methods {
                series.judge(method, (time, value, Some(50)), forecast, &mut scratch);
            }
            series.learn((time, value, 50.0), forecast, &plan);
            most = most.max(series.bytes());
            fuller = fuller.max(series.bytes() + open);
        }
        let saved = postcard::to_allocvec(&series).expect("bytes").len();
        println!("best: {} bytes, {saved} in a snapshot", series.bytes());
    }
    println!("best: at most {most} bytes, {open} more while an anomaly is open, {fuller} with it");
    assert!((7000..=8192).contains(&most) && fuller <= 8192, "{most} and {fuller}");
}

#[test]
fn a_series_of_the_ensemble_has_six() {
    let (mut stage, fields) = make(&json!({ "preset": "ensemble", "metrics": ["lcp"] }), &json!({}));
    run(&mut stage, &fields, &refs(&lcp(20_000, 1, |_| 1.0)));
    let bytes = stage.segments.bytes();
    println!("ensemble: {bytes} bytes");
    assert!(bytes < 6 << 10, "{bytes}");
}

fn errors(detector: Value) -> Vec<String> {
    let config = json!({ "detector": { "id": "d", "document": detector } });
    let config: DetectConfig = match serde_json::from_value(config) {
        Ok(config) => config,
        Err(error) => return vec![error.to_string()],
    };
    let made = DetectStage::new(config, &Context::default(), &mut Fields::default());
    made.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn wrong_detectors_say_why() {
    let method = |name: &str, parameters: Value| json!({ "algorithm": { "methods": [{ "name": name, "parameters": parameters }] } });
    for (detector, part) in [
        (json!({ "sensitivity": 1.5 }), "detector.sensitivity: expected 0 to 1, found 1.5"),
        (json!({ "algorithm": { "methods": [] } }), "expected at least one method"),
        (method("novelty", json!({ "contamination": 0.1 })), "`novelty` has no parameter `contamination`"),
        (method("isolation-forest", json!({ "features": ["lpc"] })), "`lpc` is none of the detector's metrics"),
        (method("isolation-forest", json!({ "contamination": 0.9 })), "contamination: expected"),
        (method("trend-analysis", json!({ "method": "iqr" })), "expected linear-regression"),
        (method("statistical-threshold", json!({ "method": "linear-regression" })), "expected iqr, z or robust-z"),
        (method("statistical-threshold", json!({ "window_size": 1 })), "window_size: expected 8 to 2000"),
        (json!({ "metrics": [] }), "expected 1 to 64 metrics"),
        (json!({ "metrics": ["a", "a"] }), "each once, found `a`"),
        (json!({ "baselines": { "window": "1h", "update_frequency": "1s" } }), "expected 1 to 96 updates"),
        (json!({ "thresholds": { "baseline_window": "0s" } }), "above 0s"),
        (json!({ "sensitivty": 1 }), "unknown field `sensitivty`"),
        (json!({ "algorithm": { "methods": [{ "name": "magic" }] } }), "unknown variant `magic`"),
    ] {
        let found = errors(detector.clone());
        assert!(found.iter().any(|e| e.contains(part)), "{detector}: {found:?}");
    }
    assert!(errors(json!({})).is_empty() && errors(ensemble()).is_empty());
    let unknown = DetectStage::new(unresolved("nobody"), &Context::default(), &mut Fields::default());
    assert!(unknown.unwrap_err()[0].to_string().starts_with("detector: Detector not found: nobody"));
}

#[test]
fn damaged_state_does_not_panic() {
    let (mut stage, fields) = make(&ensemble(), &json!({ "mix": ["m"] }));
    let rows = run(&mut stage, &fields, &refs(&lcp(300, 1, |n| if n > 290 { 2.0 } else { 1.0 })));
    let good = stage.snapshot();
    let mut random = SplitMix64::new(10);
    let mut lines = lcp(3, 2, |_| 1.0);
    lines.push(row(3200, json!({ "page": "/", "browser": "chrome", "p75_lcp": 1000 })));
    let open = super::of_kind(&rows, "anomaly")[0]["anomaly_id"].as_str().expect("an open anomaly").to_string();
    let verdict = crate::stage::Control::Feedback {
        alert_id: open,
        verdict: "true_positive".into(),
        anomaly_id: None,
        resolution_time_s: None,
    };
    let mut taken = 0;
    for _ in 0..300 {
        let mut bytes = good.clone();
        for _ in 0..3 {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        let (mut stage, fields) = make(&ensemble(), &json!({ "mix": ["m"] }));
        if stage.restore(&bytes).is_ok() {
            taken += 1;
            // A verdict, and a row a day later, at which what is open ends: all that was restored is used.
            stage.control(&verdict);
            run(&mut stage, &fields, &refs(&lines));
            let saved = stage.snapshot();
            let (mut next, _) = make(&ensemble(), &json!({ "mix": ["m"] }));
            next.restore(&saved).expect("its own snapshot");
        }
    }
    assert!(taken > 50, "{taken}");
}

#[test]
fn what_has_no_effect_is_told() {
    let told = |document: Value| {
        let detector: Detector = serde_json::from_value(document).expect("a detector");
        crate::detect::check_detector(&detector).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(told(ensemble()), "");
    assert!(told(json!({ "training": { "window_size": 500 } })).contains("training: has no effect"));
    assert!(
        told(json!({ "metrics": ["largest-contentful-pant"] })).contains("did you mean `largest-contentful-paint`")
    );
    let majority = json!({ "methods": [{ "name": "novelty" }], "voting_strategy": "majority", "threshold": 0.9 });
    assert!(told(json!({ "algorithm": majority })).contains("algorithm.threshold: has no effect"));
}

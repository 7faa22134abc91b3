//! Rows through the stage: what is found, what is told, and that it does not depend on cuts.

use super::{ensemble, lcp, make, of_kind, refs, row, usual};
use crate::math::random::SplitMix64;
use crate::testing::{check_cuts, counter, run};
use serde_json::{Value, json};

/// Two hours as usual, then half an hour at one and a half times that, then as usual again.
fn step() -> Vec<String> {
    lcp(360, 1, |n| if (240..300).contains(&n) { 1.5 } else { 1.0 })
}

#[test]
fn a_step_is_one_anomaly_with_its_explanation() {
    let lines = step();
    let (rows, _) = check_cuts(|| make(&ensemble(), &json!({})), &refs(&lines));
    let anomalies = of_kind(&rows, "anomaly");
    let [opened, closed] = anomalies[..] else { panic!("{anomalies:#?}") };
    assert_eq!((&opened["state"], &closed["state"]), (&json!("open"), &json!("closed")));
    assert_eq!(opened["anomaly_id"], closed["anomaly_id"]);
    assert_ne!(opened["id"], closed["id"]);
    // The second observation outside opens it.
    assert_eq!(opened["started_at"], "2026-01-05T10:00:00Z");
    assert_eq!(opened["timestamp"], "2026-01-05T10:00:30Z");
    assert_eq!((&opened["direction"], &opened["segment"]), (&json!("up"), &json!({"browser": "chrome", "page": "/"})));
    assert_eq!(opened["metric"], "largest-contentful-paint");
    let number = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("{opened:#}"));
    assert!(number(&opened["score"]) >= 0.6 && number(&opened["threshold"]) == 0.6);
    assert!((number(&opened["expected"]) - 1000.0).abs() < 50.0);
    assert!(number(&opened["range"][1]) < number(&opened["value"]));
    let methods = opened["methods"].as_array().expect("methods");
    let names: Vec<&str> = methods.iter().filter_map(|m| m["name"].as_str()).collect();
    assert_eq!(names, ["isolation-forest", "statistical-threshold", "trend-analysis"]);
    assert!(methods.iter().all(|m| m["score"].is_number() && m["vote"].is_boolean() && m["n"].is_number()));
    assert_eq!((&methods[0]["vote"], &methods[1]["vote"]), (&json!(true), &json!(true)));
    assert_eq!(opened["contributions"], json!([{ "feature": "lcp", "share": 1.0 }]));
    assert!(number(&opened["confidence"]) >= 0.7 - 1e-9);
    assert_eq!(opened["baseline"]["n"], 240);
    assert_eq!(opened["events"], 50);
    // It ends when nothing was outside for ten minutes.
    assert_eq!(closed["reason"], "as_usual");
    assert!(closed["observations"].as_u64().is_some_and(|n| n > 10), "{closed:#}");
    for name in ["methods", "range", "contributions", "confidence", "baseline", "threshold", "detected_at"] {
        assert!(!closed[name].is_null(), "{name}: {closed:#}");
    }
    assert!(number(&closed["value"]) >= number(&opened["value"]) && number(&closed["score"]) >= 0.6);
}

#[test]
fn rows_say_what_was_found() {
    let lines = step();
    let (mut stage, fields) = make(&ensemble(), &json!({ "detail": true }));
    let rows = run(&mut stage, &fields, &refs(&lines));
    let events: Vec<&Value> = rows.iter().filter(|r| r["kind"].is_null()).collect();
    assert_eq!(events.len(), 360);
    // Warming up is no score, not 0.
    assert!(events[10]["detection_score"].is_null() && events[10]["anomaly"].is_null());
    assert!(events[10].get("anomaly_id").is_none());
    assert_eq!(events[200]["anomaly"], false);
    assert!(events[200]["detection_score"].as_f64().is_some_and(|s| s < 0.6));
    assert_eq!(events[241]["anomaly"], true);
    assert!(events[241]["anomaly_id"].is_string());
    let detail = &events[241]["detection"][0];
    assert_eq!((&detail["metric"], &detail["detected"]), (&json!("largest-contentful-paint"), &json!(true)));
    assert!(detail["methods"].as_array().is_some_and(|m| m.len() == 3));
    for (name, count) in [("rows", 360), ("observations", 360), ("anomalies", 1), ("closed", 1), ("segments", 1)] {
        assert_eq!(counter(&stage, name), count, "{name}");
    }
}

#[test]
fn a_row_that_was_judged_before_is_judged_anew() {
    let (mut stage, fields) = make(&ensemble(), &json!({}));
    let line = row(0, json!({ "p75_lcp": 1, "anomaly": true, "detection_score": 0.9, "x": 1 }));
    let rows = run(&mut stage, &fields, &[&line]);
    let expected =
        json!({ "timestamp": 1_767_600_000, "p75_lcp": 1, "x": 1, "anomaly": null, "detection_score": null });
    assert_eq!(rows[0], expected);
}

#[test]
fn what_it_does_not_look_at_passes() {
    let (mut stage, fields) = make(&ensemble(), &json!({ "window": "five" }));
    let lines = [
        r#"{"p75_lcp":1}"#,
        r#"{"window":"one","p75_lcp":1}"#,
        r#"{"window":"five","other":1}"#,
        r#"{"window":"five","p75_lcp":1,"revision":2}"#,
        r#"{"kind":"alert","timestamp":"2026-01-01T00:00:00Z","window":"five","p75_lcp":1}"#,
    ];
    let rows = run(&mut stage, &fields, &lines);
    assert!(rows.iter().all(|row| row.get("anomaly").is_none()), "{rows:?}");
    assert_eq!((counter(&stage, "rows"), counter(&stage, "revisions"), counter(&stage, "passed")), (0, 1, 4));
}

/// Windows of an hour are judged, those of a minute are told.
#[test]
fn rows_of_other_windows_are_told_of_their_segment() {
    let hour = |n: usize, value: f64| row(n, json!({ "window": "hour", "page": "/", "p75_lcp": value }));
    let mut random = SplitMix64::new(9);
    let minute = |n: usize, page: &str| row(n, json!({ "window": "minute", "page": page, "p75_lcp": 9e9 }));
    let mut lines: Vec<String> = (0..240).map(|n| hour(n, usual(&mut random))).collect();
    lines.insert(0, minute(0, "/"));
    lines.insert(5, minute(5, "/"));
    lines.extend([minute(240, "/"), minute(240, "/other"), hour(241, 2000.0), hour(242, 2000.0), minute(243, "/")]);
    let (rows, _) = check_cuts(|| make(&ensemble(), &json!({ "window": "hour" })), &refs(&lines));
    let minutes: Vec<&Value> = rows.iter().filter(|row| row["window"] == "minute").collect();
    let [unseen, young, usual, other, slow] = minutes[..] else { panic!("{minutes:?}") };
    assert!(unseen.get("anomaly").is_none() && other.get("anomaly").is_none());
    assert_eq!((&young["anomaly"], &usual["anomaly"], &slow["anomaly"]), (&Value::Null, &json!(false), &json!(true)));
    assert_eq!(slow["anomaly_id"], of_kind(&rows, "anomaly")[0]["anomaly_id"]);
    assert!(minutes.iter().all(|row| row.get("detection_score").is_none()));
}

#[test]
fn missing_values_are_not_scored() {
    let (mut stage, fields) = make(&ensemble(), &json!({}));
    let lines: Vec<String> = (0..60)
        .map(|n| row(n, json!({ "p75_lcp": if n % 3 == 0 { Value::Null } else { json!(1000 + n * 7 % 13) } })))
        .collect();
    let rows = run(&mut stage, &fields, &refs(&lines));
    assert!(rows.iter().step_by(3).all(|row| row["detection_score"].is_null()));
    assert!(rows[58]["detection_score"].is_number());
    assert_eq!((counter(&stage, "missing"), counter(&stage, "observations")), (20, 40));
}

#[test]
fn a_short_spike_is_none_and_a_small_change_is_none() {
    // One window alone is below min_count; 5 % and its noise are below 1 − 0.85.
    for (factor, at) in [(3.0, 240..241), (1.05, 240..300)] {
        let (mut stage, fields) = make(&ensemble(), &json!({}));
        let lines = lcp(320, 2, |n| if at.contains(&n) { factor } else { 1.0 });
        let rows = run(&mut stage, &fields, &refs(&lines));
        assert!(of_kind(&rows, "anomaly").is_empty(), "{factor}");
    }
}

#[test]
fn detections_close_together_are_one() {
    let on = |n: usize| (240..250).contains(&n) || (262..272).contains(&n);
    let (mut stage, fields) = make(&ensemble(), &json!({}));
    let lines = lcp(320, 3, |n| if on(n) { 1.6 } else { 1.0 });
    let rows = run(&mut stage, &fields, &refs(&lines));
    assert_eq!(of_kind(&rows, "anomaly").len(), 2, "one opens and closes");
}

#[test]
fn only_the_side_that_matters() {
    for (direction, found) in [("up", 0), ("down", 2), ("both", 2)] {
        let mut document = ensemble();
        document["validation"] = json!({ "direction": direction });
        let (mut stage, fields) = make(&document, &json!({}));
        let lines = lcp(320, 4, |n| if (240..260).contains(&n) { 0.5 } else { 1.0 });
        let rows = run(&mut stage, &fields, &refs(&lines));
        assert_eq!(of_kind(&rows, "anomaly").len(), found, "{direction}");
    }
}

#[test]
fn few_events_and_a_shift_of_the_mix_are_no_evidence() {
    let mut document = ensemble();
    document["validation"] = json!({ "min_events": 48 });
    for (count, mobile, found, why) in [(50, 0.3, 2, ""), (47, 0.3, 0, "few_events"), (50, 0.8, 0, "mix_shift")] {
        let (mut stage, fields) = make(&document, &json!({ "mix": ["mobile"] }));
        let mut random = SplitMix64::new(5);
        let lines: Vec<String> = (0..320)
            .map(|n| {
                let on = (240..262).contains(&n);
                let share = if on { mobile } else { 0.29 + 0.02 * random.unit() };
                let value = usual(&mut random) * if on { 1.5 } else { 1.0 };
                let events = if on { count } else { 50 };
                row(n, json!({ "page": "/", "p75_lcp": value, "count": events, "mobile": share }))
            })
            .collect();
        let rows = run(&mut stage, &fields, &refs(&lines));
        assert_eq!(of_kind(&rows, "anomaly").len(), found, "{why}");
        assert!(why.is_empty() || counter(&stage, why) > 0, "{why}");
    }
}

/// Who is measured by one metric is not who is measured by another: each is compared with its own.
#[test]
fn the_mix_of_a_metric_is_its_own() {
    let mut document = ensemble();
    document["metrics"] = json!(["lcp", "inp"]);
    let mut random = SplitMix64::new(5);
    let mut lines = Vec::new();
    for n in 0..320 {
        let slow = if n >= 240 { 1.5 } else { 1.0 };
        for (field, mobile) in [("p75_lcp", 0.3), ("p75_inp", 0.6)] {
            let (value, share) = (usual(&mut random) * slow, mobile + 0.02 * random.unit());
            lines.push(row(n, json!({ "page": "/", "count": 50, "mobile": share, field: value })));
        }
    }
    let (mut stage, fields) = make(&document, &json!({ "mix": ["mobile"] }));
    let rows = run(&mut stage, &fields, &refs(&lines));
    let opened = of_kind(&rows, "anomaly").into_iter().filter(|a| a["state"] == "open");
    let metrics: Vec<&Value> = opened.map(|a| &a["metric"]).collect();
    assert_eq!(metrics, [&json!("lcp"), &json!("inp")]);
    assert_eq!(counter(&stage, "mix_shift"), 0);
}

/// Of one row that comes twice, and of one that stays for less than it must.
#[test]
fn an_observation_counts_once_and_must_last() {
    let mut document = ensemble();
    let mut found = |validation: Value, slow: &[usize]| {
        document["validation"] = validation;
        let (mut stage, fields) = make(&document, &json!({}));
        let mut lines = lcp(240, 1, |_| 1.0);
        lines.extend(
            slow.iter().map(|n| row(*n, json!({ "page": "/", "browser": "chrome", "p75_lcp": 2000, "count": 50 }))),
        );
        of_kind(&run(&mut stage, &fields, &refs(&lines)), "anomaly").len()
    };
    assert_eq!(found(json!({ "min_count": 2 }), &[240, 240, 240]), 0);
    assert_eq!(found(json!({ "min_count": 2 }), &[240, 241]), 1);
    // Rows are half a minute apart.
    assert_eq!(found(json!({ "min_count": 1, "min_duration": "1m" }), &[240, 241]), 0);
    assert_eq!(found(json!({ "min_count": 1, "min_duration": "1m" }), &[240, 241, 242]), 1);
}

/// What matters is a share of the baseline: of the first percentile of a day a rise of two thirds is enough, of the
/// last, among which are values ten times as high, it is not.
#[test]
fn the_baseline_says_what_matters() {
    for (percentile, anomalies) in [(1.0, 1), (99.0, 0)] {
        let mut document = ensemble();
        document["thresholds"] = json!({ "baseline_window": "1h" });
        document["algorithm"] = json!({ "methods": [{ "name": "seasonal" }], "threshold": 0.5 });
        document["baselines"] = json!({ "percentile": percentile });
        document["validation"] = json!({ "min_count": 1 });
        let (mut stage, fields) = make(&document, &json!({}));
        let factor = |n: usize| match n {
            0..100 => 10.0,
            1920.. => 1.7,
            _ => 1.0,
        };
        let rows = run(&mut stage, &fields, &refs(&lcp(1930, 1, factor)));
        let late = |row: &&&Value| row["started_at"].as_str() > Some("2026-01-06T00:00");
        assert_eq!(of_kind(&rows, "anomaly").iter().filter(late).count(), anomalies, "{percentile}");
    }
}

/// What a row does not have is told, whatever kind of feature it is.
#[test]
fn an_absent_field_is_told() {
    let document = json!({
        "preset": "ensemble",
        "metrics": ["interaction-to-next-paint"],
        "algorithm": { "methods": [{ "name": "isolation-forest", "parameters": { "features": ["fid"] } }] },
        "training": { "features": { "categorical": ["device"], "derived": ["hour-of-day"] } },
    });
    let (mut stage, fields) = make(&document, &json!({ "detail": true }));
    let mut random = SplitMix64::new(6);
    let lines: Vec<String> = (0..100).map(|n| row(n, json!({ "page": "/", "p75_inp": usual(&mut random) }))).collect();
    let rows = run(&mut stage, &fields, &refs(&lines));
    let detail = &rows[99]["detection"][0];
    assert_eq!((&detail["absent"], &detail["stand_ins"]), (&json!(["device"]), &json!({ "fid": "inp" })));
    assert!(detail["methods"][0]["score"].is_number(), "{detail:#}");
}

/// LCP and CLS as usual by themselves, but never seen together like this; FID is INP's business.
#[test]
fn metrics_are_joined_by_segment_and_window_end() {
    let document = json!({
        "preset": "ensemble",
        "metrics": ["largest-contentful-paint", "first-input-delay", "cumulative-layout-shift", "interaction-to-next-paint"],
        "algorithm": { "methods": [{ "name": "isolation-forest", "parameters": { "features": ["lcp", "fid", "cls"] } }] },
    });
    let mut random = SplitMix64::new(6);
    let mut lines = Vec::new();
    for n in 0..400 {
        for page in ["/", "/a"] {
            let at = |fields: Value| row(n, fields);
            lines.push(at(json!({ "page": page, "p75_lcp": usual(&mut random) })));
            lines.push(at(json!({ "page": page, "p75_inp": usual(&mut random) / 10.0 })));
            let cls = usual(&mut random) / 1e4 * if page == "/a" && n == 390 { 4.0 } else { 1.0 };
            lines.push(at(json!({ "page": page, "p75_cls": cls })));
        }
    }
    let (rows, _) = check_cuts(|| make(&document, &json!({ "detail": true })), &refs(&lines));
    let detail = |n: usize| &rows[n]["detection"][0];
    // The first of a window end stands alone; the last has all, INP for FID.
    let at = 390 * 6;
    assert_eq!(detail(at)["absent"], json!(["first-input-delay", "cumulative-layout-shift"].map(short)));
    assert_eq!(detail(at + 2)["absent"], json!([]));
    assert_eq!((&detail(at)["stand_ins"], &detail(at + 2)["stand_ins"]), (&json!({}), &json!({ "fid": "inp" })));
    assert!(detail(at + 5)["score"].as_f64() > detail(at + 2)["score"].as_f64(), "{:#}", detail(at + 5));
    assert!(detail(at + 5)["score"].as_f64().is_some_and(|s| s > 0.8), "{:#}", detail(at + 5));
}

/// Metrics that come in one row are looked at together from the first.
#[test]
fn metrics_of_one_row_are_joined() {
    let document = json!({
        "preset": "ensemble",
        "metrics": ["largest-contentful-paint", "cumulative-layout-shift"],
        "algorithm": { "methods": [{ "name": "isolation-forest" }] },
    });
    let mut random = SplitMix64::new(6);
    let mut value = || usual(&mut random);
    let lines: Vec<String> =
        (0..200).map(|n| row(n, json!({ "page": "/", "p75_lcp": value(), "p75_cls": value() / 1e4 }))).collect();
    let (rows, _) = check_cuts(|| make(&document, &json!({ "detail": true })), &refs(&lines));
    let last = &rows[199]["detection"];
    assert_eq!((&last[0]["absent"], &last[1]["absent"]), (&json!([]), &json!([])));
    assert_eq!(last[0]["methods"][0]["score"], last[1]["methods"][0]["score"]);
}

fn shares_of(anomaly: &Value) -> Vec<(String, f64)> {
    let parts = anomaly["contributions"].as_array().expect("contributions");
    let name = |p: &Value| match (p["feature"].as_str(), p["part"].as_str()) {
        (Some(feature), Some(part)) => format!("{feature}.{part}"),
        (feature, _) => feature.expect("a name").to_string(),
    };
    parts.iter().map(|p| (name(p), p["share"].as_f64().expect("a share"))).collect()
}

/// An anomaly that the forest sees in three metrics, and the other methods in its own.
#[test]
fn contributions_are_shares_of_the_score() {
    let mut document = ensemble();
    document["metrics"] = json!(["lcp", "fid", "inp", "cls"]);
    let mut random = SplitMix64::new(6);
    let lines: Vec<String> = (0..300)
        .map(|n| {
            let slow = if n >= 270 { 2.0 } else { 1.0 };
            let mut of = |usual_one: f64| usual_one * usual(&mut random) / 1000.0;
            row(n, json!({ "page": "/", "browser": "chrome", "count": 50, "p75_lcp": of(1000.0) * slow, "p75_fid": of(30.0) * slow, "p75_inp": of(150.0) * slow, "p75_cls": of(0.1) }))
        })
        .collect();
    let (rows, _) = check_cuts(|| make(&document, &json!({})), &refs(&lines));
    let anomalies = of_kind(&rows, "anomaly");
    let opened = anomalies.iter().find(|a| a["metric"] == "lcp").expect("an anomaly of LCP");
    let shares = shares_of(opened);
    let share = |name: &str| shares.iter().find(|(feature, _)| feature == name).map_or(0.0, |(_, share)| *share);
    assert!((shares.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    // Its own from two methods and part of the third; what moved along with it; hardly what did not.
    assert!(share("lcp") > share("inp") && share("inp") > 0.02 && share("cls") < share("inp"), "{shares:?}");
    // Each feature once, FID too, which INP could stand in for.
    for anomaly in &anomalies {
        let names: std::collections::BTreeSet<String> = shares_of(anomaly).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), shares_of(anomaly).len(), "{anomaly:#}");
    }
    assert!(anomalies.iter().any(|a| a["metric"] == "fid"));
}

fn short(metric: &str) -> &str {
    crate::detect::detector::short_name(metric)
}

#[test]
fn without_a_number_of_events_the_preset_best_is_novelty_alone() {
    let document = json!({ "metrics": ["cpu"], "baselines": { "segmentation": ["host"] } });
    let mut random = SplitMix64::new(7);
    let lines: Vec<String> = (0..500)
        .map(|n| row(n, json!({ "host": "a", "cpu": usual(&mut random) * if n >= 450 { 2.0 } else { 1.0 } })))
        .collect();
    let (rows, _) = check_cuts(|| make(&document, &json!({ "detail": true })), &refs(&lines));
    let events: Vec<&Value> = rows.iter().filter(|r| r["kind"].is_null()).collect();
    assert!(events[90]["detection_score"].is_null() && events[300]["detection_score"].is_number());
    assert_eq!(events[450]["detection"][0]["methods"][0]["name"], "novelty");
    assert!(events[450]["detection_score"].as_f64().is_some_and(|s| s > 0.2), "{}", events[450]);
    let [opened] = of_kind(&rows, "anomaly")[..] else { panic!("it is open at the end: {rows:#?}") };
    // The second row opens it, while novelty rests: the record says what the first was found by.
    let method = &opened["methods"][0];
    assert!(opened["score"].as_f64() >= opened["threshold"].as_f64() && opened["score"] == method["score"]);
    assert_eq!((&method["vote"], &opened["confidence"]), (&json!(true), &json!(1.0)));
    assert!(opened["detected_at"].as_str() < opened["timestamp"].as_str(), "{opened:#}");
    // Of the streams that made the score, those of that row.
    let share =
        |name: &str| shares_of(opened).iter().find(|(feature, _)| feature == name).map_or(0.0, |(_, share)| *share);
    assert!(share("cpu.level") > 0.1 && share("cpu.residual") > 0.1 && share("cpu") == 0.0, "{opened:#}");
    assert!((shares_of(opened).iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!((&opened["methods"][1]["name"], &opened["methods"][1]["score"]), (&json!("seasonal"), &Value::Null));
}

#[test]
fn with_a_number_of_events_the_preset_best_asks_the_range_too() {
    let document = json!({ "metrics": ["lcp"] });
    // Where it was for an hour a day ago: only the range knows that it is not usual.
    let lines = lcp(3000, 9, |n| if (100..220).contains(&n) || n >= 2980 { 4.0 } else { 1.0 });
    let (rows, _) = check_cuts(|| make(&document, &json!({})), &refs(&lines));
    let anomalies = of_kind(&rows, "anomaly");
    let opened = anomalies.last().expect("an anomaly");
    assert!(opened["started_at"].as_str() > Some("2026-01-06T08:45"), "{opened:#}");
    let methods = opened["methods"].as_array().expect("methods");
    let says = |name: &str| methods.iter().find(|m| m["name"] == name).map(|m| m["vote"].clone());
    assert_eq!((says("novelty"), says("seasonal")), (Some(json!(false)), Some(json!(true))));
    assert!(opened["confidence"].as_f64().is_some_and(|c| (0.3..0.4).contains(&c)), "{opened:#}");
    assert_eq!(shares_of(opened), [("lcp".to_string(), 1.0)]);
}

#[test]
fn time_that_goes_back_drops_nothing() {
    let (mut stage, fields) = make(&ensemble(), &json!({}));
    let mut random = SplitMix64::new(8);
    let lines: Vec<String> =
        (0..400).map(|n| row((n * 37) % 101, json!({ "p75_lcp": usual(&mut random) + n as f64 % 3.0 }))).collect();
    let rows = run(&mut stage, &fields, &refs(&lines));
    assert_eq!(rows.iter().filter(|row| row["kind"].is_null()).count(), 400);
    assert!(rows[399]["detection_score"].is_number());
}

//! Feedback and adaptation: what they change, what they tell, and that a replay gives it again.

use super::{ensemble, lcp, make, of_kind, refs, row, usual};
use crate::detect::DetectStage;
use crate::detect::detector::Detector;
use crate::detect::learned::Learned;
use crate::detect::plan::Plan;
use crate::detect::score::{Finding, boundary, combine, pull};
use crate::math::random::SplitMix64;
use crate::stage::{Control, Stage};
use crate::testing::{Feed, counter, run};
use serde_json::{Value, json};

fn verdict(id: &str, verdict: &str, resolution_time_s: Option<f64>) -> Control {
    Control::Feedback { alert_id: id.into(), verdict: verdict.into(), anomaly_id: None, resolution_time_s }
}

fn finding(score: f64) -> Finding {
    Finding { score, expected: None, range: None, parts: Vec::new(), n: 1 }
}

/// A stage after one anomaly, and the anomaly's id.
fn after_an_anomaly() -> (DetectStage, crate::row::Fields, Feed, String) {
    let (mut stage, fields) = make(&ensemble(), &json!({}));
    let lines = lcp(260, 1, |n| if n >= 240 { 1.5 } else { 1.0 });
    let (mut feed, mut rows) = (Feed::default(), Vec::new());
    feed.run(&mut stage, &fields, &refs(&lines), 1000, &mut rows);
    let id = of_kind(&rows, "anomaly")[0]["anomaly_id"].as_str().expect("an id").to_string();
    (stage, fields, feed, id)
}

fn insight(stage: &mut DetectStage, fields: &crate::row::Fields, feed: &mut Feed) -> Value {
    let mut rows = Vec::new();
    let line = row(261, json!({ "page": "/", "browser": "chrome", "p75_lcp": 1000 }));
    feed.run(stage, fields, &[&line], 1, &mut rows);
    of_kind(&rows, "insight").first().map(|row| (*row).clone()).unwrap_or_default()
}

#[test]
fn a_false_positive_raises_the_threshold_and_a_true_one_lowers_it() {
    for (word, seconds, sign) in
        [("false_positive", None, 1.0), ("true_positive", None, -1.0), ("resolved", Some(600.0), -1.0)]
    {
        let (mut stage, fields, mut feed, id) = after_an_anomaly();
        stage.control(&verdict(&id, word, seconds));
        let told = insight(&mut stage, &fields, &mut feed);
        assert_eq!((&told["insight"], &told["verdict"]), (&json!("feedback"), &json!(word)));
        let number = |part: &str| told[part]["threshold"].as_f64().expect("a threshold");
        assert!((number("after") - number("before")) * sign > 1e-4, "{told:#}");
        let weights = told["after"]["weights"].as_object().expect("weights");
        let sum: f64 = weights.values().filter_map(Value::as_f64).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        // What voted loses weight by a false alarm, and gains by a true one.
        let of = |part: &str| told[part]["weights"]["statistical-threshold"].as_f64().expect("a weight");
        assert!((of("after") - of("before")) * sign < 0.0, "{told:#}");
        // A second verdict on the same anomaly is none.
        stage.control(&verdict(&id, word, seconds));
        assert_eq!((counter(&stage, "feedback"), counter(&stage, "feedback_ignored")), (1, 1));
    }
}

#[test]
fn what_says_nothing_changes_nothing() {
    let (mut stage, fields, mut feed, id) = after_an_anomaly();
    for (id, word) in [("no such", "true_positive"), (id.as_str(), "maybe"), ("", "")] {
        stage.control(&verdict(id, word, Some(f64::NAN)));
    }
    assert_eq!(insight(&mut stage, &fields, &mut feed), Value::Null);
    assert_eq!(counter(&stage, "feedback_ignored"), 3);
}

#[test]
fn a_verdict_can_name_the_anomaly_behind_an_alert() {
    let (mut stage, ..) = after_an_anomaly();
    let (_, _, _, id) = after_an_anomaly();
    stage.control(&Control::Feedback {
        alert_id: "an alert".into(),
        verdict: "true_positive".into(),
        anomaly_id: Some(id),
        resolution_time_s: None,
    });
    assert_eq!(counter(&stage, "feedback"), 1);
}

#[test]
fn replayed_feedback_gives_the_same_state() {
    let states: Vec<Vec<u8>> = (0..2)
        .map(|restores| {
            let (mut stage, fields, mut feed, id) = after_an_anomaly();
            if restores == 1 {
                let saved = stage.snapshot();
                (stage, _) = make(&ensemble(), &json!({}));
                stage.restore(&saved).expect("its own snapshot");
            }
            stage.control(&verdict(&id, "false_positive", None));
            if restores == 1 {
                // Between the verdict and the row that tells it.
                let saved = stage.snapshot();
                (stage, _) = make(&ensemble(), &json!({}));
                stage.restore(&saved).expect("its own snapshot");
            }
            insight(&mut stage, &fields, &mut feed);
            stage.snapshot()
        })
        .collect();
    assert_eq!(states[0], states[1]);
}

/// Days of one row in half an hour, whose level doubles after three days.
fn drifting(days: usize) -> Vec<String> {
    let mut random = SplitMix64::new(9);
    let value = |n: usize, random: &mut SplitMix64| usual(random) * if n >= 3 * 48 { 2.0 } else { 1.0 };
    (0..days * 48).map(|n| row(60 * n, json!({ "page": "/", "p75_lcp": value(n, &mut random) }))).collect()
}

#[test]
fn drift_is_acted_on_and_told() {
    let mut document = ensemble();
    document["adaptation"] = json!({ "frequency": "daily" });
    let (mut stage, fields) = make(&document, &json!({}));
    let rows = run(&mut stage, &fields, &refs(&drifting(8)));
    let told = of_kind(&rows, "insight");
    assert!(!told.is_empty() && told.len() <= 4, "{told:#?}");
    assert_eq!(told[0]["insight"], "adaptation");
    let changed = &told[0]["series"]["changed"][0];
    assert_eq!((&changed["metric"], &changed["segment"]), (&json!("lcp"), &json!({ "page": "/" })));
    assert!(changed["tests"].as_array().is_some_and(|tests| !tests.is_empty()), "{changed:#}");
    let level = |row: &Value, part: &str| row["series"]["changed"][0][part]["level"].as_f64().expect("a level");
    assert!(told.iter().any(|row| level(row, "after") > 1900.0), "{told:#?}");
    assert!(told[0]["before"]["threshold"].is_number() && told[0]["after"]["forest"].is_object());
    // Nothing of the kind where it is switched off, or nothing drifts.
    document["adaptation"] = json!({ "enabled": false });
    let (mut stage, fields) = make(&document, &json!({}));
    assert!(of_kind(&run(&mut stage, &fields, &refs(&drifting(8))), "insight").is_empty());
}

/// Each trigger alone names the test that found it; a metric's unit is no matter.
#[test]
fn drift_says_what_found_it() {
    let mut seen = Vec::new();
    for (trigger, unit) in [("performance-drift", 1.0), ("concept-drift", 1.0), ("concept-drift", 1e-4)] {
        let mut document = ensemble();
        document["adaptation"] = json!({ "frequency": "daily", "triggers": [trigger] });
        let (mut stage, fields) = make(&document, &json!({}));
        let mut random = SplitMix64::new(9);
        // Four windows an hour, twice as slow after five days, and worse to foresee.
        let mut value = |n: usize| {
            let noise = usual(&mut random) - 1000.0;
            unit * if n >= 5 * 96 { 2000.0 + 20.0 * noise } else { 1000.0 + noise }
        };
        let lines: Vec<String> =
            (0..8 * 96).map(|n| row(30 * n, json!({ "page": "/", "p75_lcp": value(n) }))).collect();
        let rows = run(&mut stage, &fields, &refs(&lines));
        let told = of_kind(&rows, "insight");
        let tests: Vec<&Value> = told.iter().map(|row| &row["series"]["changed"][0]["tests"]).collect();
        assert!(!tests.is_empty(), "{trigger} {unit}");
        match trigger {
            "performance-drift" => assert!(tests.iter().all(|t| **t == json!(["page-hinkley"])), "{tests:?}"),
            _ => assert!(tests.iter().any(|t| t.to_string().contains("adwin")), "{tests:?}"),
        }
        seen.push(tests.into_iter().cloned().collect::<Vec<_>>());
    }
    assert_eq!(seen[1], seen[2]);
}

/// However long a period is, its slots are short enough to compare it with the one before.
#[test]
fn an_hour_is_compared_with_the_hour_before() {
    let mut document = ensemble();
    document["adaptation"] = json!({ "frequency": "hourly", "triggers": ["concept-drift"] });
    let (mut stage, fields) = make(&document, &json!({}));
    // A row in half a minute; four hours, the last of them slower by a half.
    let rows = run(&mut stage, &fields, &refs(&lcp(490, 1, |n| if n >= 360 { 1.5 } else { 1.0 })));
    let told = of_kind(&rows, "insight");
    let tests: Vec<String> = told.iter().map(|row| row["series"]["changed"][0]["tests"].to_string()).collect();
    assert!(tests.iter().any(|tests| tests.contains("kolmogorov-smirnov")), "{tests:?}");
}

/// The written step of a verdict, beside the loss's own slope.
#[test]
fn a_verdict_goes_down_the_slope_of_its_loss() {
    let scores = [0.9_f32, 0.7, 0.2];
    for voting in ["weighted-average", "majority", "max"] {
        let document: Detector = serde_json::from_value(json!({ "algorithm": {
            "methods": [{ "name": "statistical-threshold" }, { "name": "seasonal", "weight": 2 }, { "name": "novelty" }],
            "voting_strategy": voting,
        }}))
        .expect("a detector");
        let plan = Plan::new(&document).expect("a plan");
        let findings: Vec<_> = scores.iter().map(|s| Some(finding(f64::from(*s)))).collect();
        let combined = |weights: &[f64]| combine(plan.voting, weights, &findings).expect("a score");
        let loss = |weights: &[f64], threshold: f64| {
            let edge = boundary(plan.voting, threshold);
            -(1.0 / (1.0 + (10.0 * (combined(weights) - edge)).exp())).ln()
        };
        let mut learned = Learned::new(&plan);
        let (before, theta) = (learned.weights.clone(), learned.threshold);
        learned.remember("a", scores.to_vec(), combined(&before));
        assert!(learned.verdict("a", "false_positive", None, &document.feedback, &plan));
        // Down the slope in θ: a false alarm costs less at a higher one.
        assert!(learned.threshold > theta, "{voting}");
        let after = loss(&learned.weights, learned.threshold);
        assert!(after < loss(&before, theta) || voting == "majority" && after == loss(&before, theta), "{voting}");
        // And in each weight, but for what all of them share; all weights add up to 1.
        let slope = |at: usize| {
            let mut more = before.clone();
            more[at] += 1e-6;
            (combined(&more) - combined(&before)) / 1e-6
        };
        let pull = |at: usize| pull(plan.voting, f64::from(scores[at]));
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (said, is) = (pull(a) - pull(b), slope(a) - slope(b));
            assert!((said - is).abs() < 1e-4, "{voting} {a} {b}: {said} {is}");
        }
    }
}

/// Under `best` enough false alarms raise θ until the same is none any more.
#[test]
fn verdicts_change_what_best_says_next() {
    let document = json!({ "metrics": ["lcp"], "validation": { "min_count": 1 } });
    let episodes = |verdicts: bool| {
        let (mut stage, fields) = make(&document, &json!({}));
        let mut random = SplitMix64::new(4);
        let (mut feed, mut told) = (Feed::default(), 0);
        for round in 0..30 {
            let factor = |n: usize| if n % 300 >= 298 && n > 600 { 1.35 } else { 1.0 };
            let lines: Vec<String> = (round * 300..(round + 1) * 300)
                .map(|n| row(10 * n, json!({ "page": "/", "p75_lcp": usual(&mut random) * factor(n), "count": 400 })))
                .collect();
            let mut rows = Vec::new();
            feed.run(&mut stage, &fields, &refs(&lines), 100, &mut rows);
            let opened: Vec<Value> =
                of_kind(&rows, "anomaly").into_iter().filter(|r| r["state"] == "open").cloned().collect();
            told += opened.len();
            for anomaly in opened.iter().filter(|_| verdicts) {
                stage.control(&verdict(anomaly["anomaly_id"].as_str().expect("an id"), "false_positive", None));
            }
        }
        told
    };
    let (without, with) = (episodes(false), episodes(true));
    assert!(with < without, "{with} of {without}");
}

/// More and more is odd: θ rises to where no more is told than in the hour before, and the record says so.
#[test]
fn the_threshold_follows_the_rate_of_detections() {
    let mut document = ensemble();
    document["adaptation"] = json!({ "methods": ["threshold-adjustment"], "frequency": "hourly" });
    let (mut stage, fields) = make(&document, &json!({}));
    let rows = run(&mut stage, &fields, &refs(&lcp(1000, 1, |n| if n * n % 1000 < n { 2.0 } else { 1.0 })));
    let told = of_kind(&rows, "insight");
    let threshold = |row: &Value, part: &str| row[part]["threshold"].as_f64().expect("a threshold");
    let raised = |row: &&&Value| threshold(row, "after") > threshold(row, "before");
    let first = told.iter().find(raised).unwrap_or_else(|| panic!("{told:#?}"));
    assert_eq!((&first["methods"], threshold(first, "before")), (&json!(["threshold-adjustment"]), 0.6));
    assert!(
        told.iter().all(|row| threshold(row, "after") <= 0.8 && threshold(row, "after") >= threshold(row, "before"))
    );
}

/// How often the forest is grown, and on which rows.
#[test]
fn the_forest_is_grown_by_the_clock_on_rows_that_are_young_enough() {
    // Two rows a minute for ten hours: the window of 1000 rows spans eight of them.
    let grown = |update: &str, retention: &str| {
        let mut document = ensemble();
        document["training"] = json!({ "update_frequency": update, "retention_period": retention });
        document["adaptation"] = json!({ "enabled": false });
        let (mut stage, fields) = make(&document, &json!({}));
        run(&mut stage, &fields, &refs(&lcp(1200, 1, |_| 1.0)));
        let (rows, at) = stage.learner.trained(stage.plan.forest.as_ref().expect("a forest"));
        (stage.learner.forests(), rows, crate::time::format(at)[11..16].to_string())
    };
    let (hourly, rows, at) = grown("1h", "7d");
    let (slower, ..) = grown("4h", "7d");
    assert!(hourly > slower + 4, "{hourly} and {slower}");
    assert!(rows > 900, "{rows}");
    let (_, young, last) = grown("1h", "2h");
    assert!((230..=241).contains(&young), "{young} rows of two hours");
    assert!(at.as_str() > "17:00" && last.as_str() > "17:00", "{at} and {last}, of a run until 18:00");
}

/// A row that is odd only by its category, by a number, by its hour: the forest sees it where it was told to look.
#[test]
fn training_features_are_looked_at() {
    let last = |features: &Value, (odd, later): (&Value, usize)| {
        let document = json!({
            "preset": "ensemble", "metrics": ["lcp"],
            "algorithm": { "methods": [{ "name": "isolation-forest" }] },
            "training": { "features": features },
        });
        let (mut stage, fields) = make(&document, &json!({ "detail": true }));
        let mut random = SplitMix64::new(12);
        // The mornings of nine days; in the last row of each it is as it seldom is.
        let line = |n: usize| {
            let seldom = n % 60 == 59;
            let mut row_fields = json!({
                "page": "/", "p75_lcp": 990 + random.below(20), "cores": 4 + random.below(4),
                "device": if random.below(2) == 0 { "phone" } else { "desktop" },
            });
            if let (true, Some(own)) = (seldom, row_fields.as_object_mut()) {
                own.insert("p75_lcp".into(), 1000.into());
                own.extend(odd.as_object().cloned().unwrap_or_default());
            }
            row((n / 60) * 2880 + n % 60 * 4 + if seldom { later } else { 0 }, row_fields)
        };
        let lines: Vec<String> = (0..9 * 60).map(line).collect();
        let rows = run(&mut stage, &fields, &refs(&lines));
        let event = rows.iter().rfind(|row| row["kind"].is_null()).expect("rows");
        event["detection"][0]["methods"][0]["score"].as_f64().unwrap_or_else(|| panic!("{features}: {event:#}"))
    };
    for (features, odd, later) in [
        (json!({ "categorical": ["device"] }), json!({ "device": "television" }), 0),
        (json!({ "numerical": ["cores"] }), json!({ "cores": 64 }), 0),
        // Ten hours later in the day.
        (json!({ "derived": ["hour-of-day"] }), json!({}), 1200),
    ] {
        let (told, not_told) = (last(&features, (&odd, later)), last(&json!({}), (&odd, later)));
        assert!(told > 0.5 && told > not_told + 0.2, "{features}: {told} and {not_told}");
        let usual = last(&features, (&json!({}), 0));
        assert!(usual < 0.5, "{features}: as usual {usual}");
    }
}

/// More and more is odd, but nothing is to be looked for, or nothing is to be adjusted.
#[test]
fn the_threshold_moves_only_where_it_is_told_to() {
    let documents = [
        json!({ "triggers": [], "frequency": "hourly" }),
        json!({ "methods": ["model-retraining"], "frequency": "hourly" }),
    ];
    for adaptation in documents {
        let mut document = ensemble();
        document["adaptation"] = adaptation;
        let (mut stage, fields) = make(&document, &json!({ "detail": true }));
        let lines = lcp(1000, 1, |n| if n * n % 1000 < n { 2.0 } else { 1.0 });
        let rows = run(&mut stage, &fields, &refs(&lines));
        let thresholds: Vec<&Value> = rows.iter().filter_map(|row| row["detection"][0].get("threshold")).collect();
        assert!(thresholds.len() > 900 && thresholds.iter().all(|t| **t == json!(0.6)), "{document}");
    }
}

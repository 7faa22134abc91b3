//! Session windows through the whole stage.

use super::*;
use crate::math::random::SplitMix64;
use std::collections::BTreeMap;

fn config(more: Json) -> Json {
    let mut window = json!({
        "name": "s", "type": "session", "gap": "10s",
        "functions": {
            "count": {"type": "count"},
            "p50": {"type": "percentile", "parameter": 50, "field": "v"},
            "list": {"type": "collect-list", "field": "v"},
            "trend": {"type": "linear-regression", "field": "v", "unit": "per_second"},
        },
    });
    window.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"group_by": ["user"], "windows": [window]})
}

fn hit(time_s: f64, user: &str, v: i64) -> Step {
    event(time_s, json!({"user": user, "v": v}))
}

#[test]
fn a_session_ends_after_its_gap() {
    let steps = [hit(0.0, "a", 1), hit(9.0, "a", 3), hit(5.0, "b", 7), hit(18.9, "b", 1), hit(19.0, "b", 2)];
    let (rows, _) = check(&config(json!({})), 0, &steps);
    // a's last event is at 9: over at 19, when the watermark reaches it. b's first at 15.
    assert_eq!(brief(&rows, &["user", "count", "p50"]), [json!([15.0, "b", 1, 7.0]), json!([19.0, "a", 2, 2.0])]);
    assert_eq!(rows[1]["window_start"], START / 1000);
    assert!((rows[1]["trend"].as_f64().unwrap() - 2.0 / 9.0).abs() < 1e-12);
}

#[test]
fn an_event_that_bridges_two_sessions_merges_them() {
    let steps = [hit(0.0, "a", 0), hit(16.0, "a", 32), hit(8.0, "a", 16), Step::End];
    let (rows, stage) = check(&config(json!({})), 20, &steps);
    assert_eq!(brief(&rows, &["count", "list"]), [json!([26.0, 3, [0, 32, 16]])]);
    assert!((rows[0]["trend"].as_f64().unwrap() - 2.0).abs() < 1e-12);
    assert!(rows[0]["trend_intercept"].as_f64().unwrap().abs() < 1e-9);
    assert_eq!(count(&stage, "groups"), 0);
}

#[test]
fn lateness_prolongs_with_a_revision() {
    let config = config(json!({"allowed_lateness": "30s"}));
    let mut steps = vec![hit(0.0, "a", 1), hit(11.0, "b", 2), hit(5.0, "a", 3), hit(20.0, "b", 4)];
    let (rows, _) = check(&config, 0, &steps);
    let expected = [json!([10.0, "a", 1, 0]), json!([15.0, "a", 2, 1])];
    assert_eq!(brief(&rows, &["user", "count", "revision"]), expected);
    // a's session, now to 15, takes events until 45. Then a lone event at 5 is late.
    steps.extend([hit(45.0, "b", 5), hit(5.0, "a", 6)]);
    let (rows, stage) = check(&config, 0, &steps);
    assert_eq!(of_kind(&rows, "late").len(), 1);
    assert_eq!((count(&stage, "late"), count(&stage, "revisions")), (1, 1));
}

#[test]
fn max_length_cuts_a_session() {
    let config = config(json!({"timeout": "20s"}));
    let steps: Vec<Step> = (0..6).map(|n| hit(5.0 * n as f64, "a", n)).chain([Step::End]).collect();
    let (rows, _) = check(&config, 0, &steps);
    assert_eq!(brief(&rows, &["list"]), [json!([25.0, [0, 1, 2, 3]]), json!([35.0, [4, 5]])]);
}

#[test]
fn random_sessions_equal_the_naive_answer() {
    for seed in 0..6 {
        let mut random = SplitMix64::new(seed);
        let mut now_s = 0.0;
        let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut steps = Vec::new();
        for _ in 0..150 {
            now_s += random.below(16) as f64 / 2.0;
            let time_s = now_s - random.below(30) as f64;
            let user = ["a", "b", "c"][random.below(3) as usize];
            times.entry(user.into()).or_default().push(time_s);
            steps.push(hit(time_s, user, 1));
        }
        steps.push(Step::End);
        let (rows, _) = check(&config(json!({})), 30, &steps);
        let mut expected = Vec::new();
        for (user, times) in &mut times {
            times.sort_by(f64::total_cmp);
            let same = |a: &f64, b: &f64| b - a < 10.0;
            for session in times.chunk_by(same) {
                expected.push((session[session.len() - 1] + 10.0, user.clone(), session.len(), session[0]));
            }
        }
        expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut got: Vec<(f64, String, usize, f64)> = rows
            .iter()
            .map(|r| {
                let seconds = |name: &str| (r[name].as_i64().unwrap() - START / 1000) as f64 / 1000.0;
                let (user, count) = (r["user"].as_str().unwrap().into(), r["count"].as_u64().unwrap() as usize);
                (seconds("window_end"), user, count, seconds("window_start"))
            })
            .collect();
        assert!(got.is_sorted_by_key(|g| g.0));
        got.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        assert_eq!(got, expected, "seed {seed}");
    }
}

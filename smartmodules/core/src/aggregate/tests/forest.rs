//! Isolation forests of windows.

use super::*;
use crate::math::random::SplitMix64;

fn config(kind: Json, min_scored: u32) -> Json {
    let mut window = json!({
        "name": "w",
        "functions": {
            "count": {"type": "count"},
            "score": {"type": "isolation-forest", "features": ["value", "device"], "min_scored": min_scored},
        },
    });
    window.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    json!({"group_by": ["page"], "windows": [window]})
}

/// Two events per second; from `shift_s` on values as none before.
fn stream(seconds: u64, shift_s: u64) -> Vec<Step> {
    let mut random = SplitMix64::new(7);
    let mut steps = Vec::new();
    for half in 0..seconds * 2 {
        let normal = 2000.0 + 400.0 * (random.unit() + random.unit() + random.unit() - 1.5);
        let value = if half >= shift_s * 2 { normal + 4000.0 } else { normal };
        let device = if random.below(20) == 0 { "tablet" } else { "phone" };
        steps.push(event(half as f64 / 2.0, json!({"page": "/", "value": value, "device": device})));
    }
    steps
}

fn scores(rows: &[Json]) -> Vec<(f64, Option<f64>, Option<f64>)> {
    let shown = brief(rows, &["score", "score_ratio"]);
    shown.iter().map(|r| (r[0].as_f64().unwrap(), r[1].as_f64(), r[2].as_f64())).collect()
}

#[test]
fn a_shifted_slide_stands_out() {
    let config = config(json!({"type": "sliding", "size": "100s", "slide": "10s"}), 16);
    let (mut stage, fields) = make(&config, 0);
    let rows = feed(&mut stage, &fields, 0, &stream(311, 200), usize::MAX);
    for (end, score, ratio) in scores(&rows) {
        match end as i64 {
            // 64 training rows are there from the fifth slide on.
            ..=40 => assert_eq!((score, ratio), (None, None), "{end}"),
            50..=200 => {
                assert!((0.2..0.75).contains(&score.unwrap()), "{end}: {score:?}");
                assert!(ratio.unwrap() < 0.5, "{end}: {ratio:?}");
            }
            210 | 220 => {
                assert!(score.unwrap() > 0.9, "{end}: {score:?}");
                assert!(ratio.unwrap() > 0.8, "{end}: {ratio:?}");
            }
            _ => assert!(score.is_some(), "{end}"),
        }
    }
}

#[test]
fn a_tumbling_window_is_scored_by_the_one_before() {
    let config = config(json!({"type": "tumbling", "size": "32s"}), 16);
    let (mut stage, fields) = make(&config, 0);
    let rows = feed(&mut stage, &fields, 0, &stream(161, 96), usize::MAX);
    let scores: Vec<Option<f64>> = scores(&rows).into_iter().map(|s| s.1).collect();
    assert_eq!(scores.len(), 5);
    assert_eq!(scores[0], None);
    assert!((0.3..0.7).contains(&scores[1].unwrap()), "{scores:?}");
    assert!(scores[3].unwrap() > 0.9, "{scores:?}");
    assert!((0.3..0.7).contains(&scores[4].unwrap()), "trained on the shift by then: {scores:?}");
}

#[test]
fn few_events_have_no_score() {
    let config = config(json!({"type": "sliding", "size": "100s", "slide": "10s"}), 21);
    let (mut stage, fields) = make(&config, 0);
    let rows = feed(&mut stage, &fields, 0, &stream(311, 200), usize::MAX);
    assert!(scores(&rows).iter().all(|s| s.1.is_none() && s.2.is_none()), "20 events per slide");
}

#[test]
fn forests_grow_again_the_same_after_a_restore() {
    let config = config(json!({"type": "sliding", "size": "80s", "slide": "20s", "allowed_lateness": "20s"}), 8);
    let mut steps: Vec<Step> = stream(150, 120).into_iter().step_by(1).collect();
    steps.push(event(100.0, json!({"page": "/", "value": 9e9})));
    let (mut whole, fields) = make(&config, 5);
    let rows = feed(&mut whole, &fields, 0, &steps, usize::MAX);
    assert!(scores(&rows).iter().any(|s| s.1.is_some()));
    for cut in [60, 170, 205, 281, 299] {
        let (mut first, fields) = make(&config, 5);
        let mut parts = feed(&mut first, &fields, 0, &steps[..cut], 1);
        let (mut second, fields) = make(&config, 5);
        second.restore(&first.snapshot()).unwrap();
        parts.extend(feed(&mut second, &fields, cut, &steps[cut..], 1));
        assert_eq!(parts, rows, "cut at {cut}");
        assert_eq!(second.snapshot(), whole.snapshot(), "cut at {cut}");
    }
}

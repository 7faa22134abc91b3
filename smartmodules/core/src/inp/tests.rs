//! The INP rules: vectors of the library, merged interactions, estimated counts.

use super::*;
use crate::ratings;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../../tests/vectors/inp.json");
const RANDOM: &str = include_str!("../../../../tests/golden/inp_random.json");

fn entry(id: f64, start: f64, duration: f64, delay: f64, proc: f64) -> Entry {
    let processing_ms = Some((start + delay, start + delay + proc));
    Entry { interaction_id: id, start_time_ms: start, duration_ms: duration, processing_ms }
}

fn plain(id: u64, duration: f64) -> Entry {
    entry(id as f64, id as f64 * 10_000.0, duration, 0.0, 0.0)
}

fn check(id: &Value, inp: &Inp, navigation: &str, want: &Value) {
    let Some(got) = inp.result() else {
        assert!(want.is_null(), "{id}: no result, expected {want}");
        return;
    };
    assert_eq!(ratings::rate("INP", got.inp_ms).map(|r| r.name()), want["rating"].as_str(), "{id}: {got:?}");
    assert_eq!(want["navigationType"], navigation, "{id}");
    assert_eq!(got.interaction_id, want["interactionId"].as_f64(), "{id}: {got:?}, expected {want}");
    let parts = got.parts.unwrap();
    for (name, x) in [
        ("inp", got.inp_ms),
        ("inputDelay", parts.input_delay_ms),
        ("processingDuration", parts.processing_duration_ms),
        ("presentationDelay", parts.presentation_delay_ms),
    ] {
        assert_eq!(Some(x), want[name].as_f64(), "{id}: {name}");
    }
}

#[test]
fn vectors() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 7);
    for v in vectors {
        let mut done = Vec::new();
        let (mut inp, mut navigation, mut count) = (Inp::default(), "navigate", v["interactionCount"].as_f64());
        let entries = v["entries"].as_array().unwrap();
        for i in 0..=entries.len() {
            if v["bfcacheBefore"] == i {
                done.push((inp.clone(), navigation));
                inp.reset();
                (navigation, count) = ("back-forward-cache", v["count2"].as_f64());
            }
            if let Some(e) = entries.get(i) {
                let x = |name: &str| e[name].as_f64().unwrap();
                inp.add(entry(x("interactionId"), x("startTime"), x("duration"), x("delay"), x("proc")), count);
            }
        }
        done.push((inp, navigation));
        let expected = v["expected"].as_array().unwrap();
        assert_eq!(done.len(), expected.len(), "{}", v["id"]);
        for ((inp, navigation), want) in done.iter().zip(expected) {
            check(&v["id"], inp, navigation, want);
        }
    }
}

#[test]
fn agrees_with_the_independent_script() {
    let file: Value = serde_json::from_str(RANDOM).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 200);
    for v in vectors {
        let mut expected = v["expected"].as_array().unwrap().iter();
        let mut inp = Inp::default();
        let mut navigation = "navigate".to_string();
        let entries = v["entries"].as_array().unwrap();
        for i in 0..=entries.len() {
            for reset in v["resets"].as_array().unwrap().iter().filter(|r| r["beforeIndex"] == i) {
                check(&v["id"], &inp, &navigation, expected.next().unwrap());
                inp.reset();
                navigation = reset["type"].as_str().unwrap().into();
            }
            if let Some(e) = entries.get(i) {
                let x: Vec<f64> = e.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
                inp.add(entry(x[0], x[1], x[2], x[3], x[4]), v["counts"][i].as_f64());
                // A restart between any two entries changes nothing.
                inp = crate::stage::load(&crate::stage::save(&inp)).unwrap();
            }
        }
        check(&v["id"], &inp, &navigation, expected.next().unwrap());
        assert_eq!(expected.next(), None);
    }
}

#[test]
fn the_list_has_ten_and_steps_by_fifty() {
    let mut inp = Inp::default();
    for i in 1..=20u64 {
        inp.add(plain(i, i as f64 * 8.0), Some(1.0));
    }
    for (count, want) in [(49.0, 160.0), (50.0, 152.0), (99.0, 152.0), (100.0, 144.0), (450.0, 88.0), (1e9, 88.0)] {
        inp.set_interaction_count(count);
        assert_eq!(inp.result().unwrap().inp_ms, want, "{count}");
    }
}

#[test]
fn no_interaction_and_unseen_interactions() {
    let mut inp = Inp::default();
    inp.add(entry(0.0, 0.0, 800.0, 1.0, 1.0), None);
    assert_eq!(inp.result(), None);
    inp.set_interaction_count(3.0);
    assert_eq!(inp.result(), None, "the first page view always shows its first input");
    inp.reset();
    assert_eq!(inp.result(), None, "none since the reset");
    inp.set_interaction_count(4.0);
    let parts = Parts { input_delay_ms: 0.0, processing_duration_ms: 0.0, presentation_delay_ms: 8.0 };
    assert_eq!(inp.result(), Some(InpResult { inp_ms: 8.0, interaction_id: None, parts: Some(parts) }));
    assert_eq!(inp.interaction_count(), 1.0);
}

#[test]
fn missing_parts_and_numbers_that_are_none() {
    let mut inp = Inp::default();
    inp.add(Entry { interaction_id: 7.0, start_time_ms: 1.0, duration_ms: 40.0, processing_ms: None }, None);
    inp.add(Entry { interaction_id: 14.0, start_time_ms: f64::NAN, duration_ms: 90.0, processing_ms: None }, None);
    inp.add(Entry { interaction_id: 14.0, start_time_ms: 1.0, duration_ms: f64::INFINITY, processing_ms: None }, None);
    assert_eq!(inp.result(), Some(InpResult { inp_ms: 40.0, interaction_id: Some(7.0), parts: None }));
}

#[test]
fn memory_is_bounded() {
    let mut inp = Inp::default();
    for i in 1..=10_000u64 {
        inp.add(plain(i, (i % 97) as f64 * 8.0), None);
    }
    let size = crate::stage::save(&inp).len();
    assert!(size < 4096, "{size}");
    assert_eq!(json!(inp.result().unwrap().inp_ms), json!(768.0));
}

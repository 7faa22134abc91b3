//! The CLS rules: vectors of the library, borders of gap and span, restarts.

use super::*;
use crate::ratings;

const VECTORS: &str = include_str!("../../../../tests/vectors/cls.json");
const RANDOM: &str = include_str!("../../../../tests/golden/cls_random.json");

fn run(vector: &serde_json::Value) -> Vec<(Cls, String)> {
    let mut done = Vec::new();
    let (mut cls, mut navigation) = (Cls::default(), "navigate".to_string());
    let resets = vector["resets"].as_array().cloned().unwrap_or_default();
    let shifts = vector["shifts"].as_array().unwrap();
    for i in 0..=shifts.len() {
        for reset in resets.iter().filter(|r| r["beforeIndex"] == i && r["type"] != "hidden") {
            done.push((cls.clone(), navigation));
            cls.reset();
            navigation = reset["type"].as_str().unwrap().into();
        }
        if let Some(s) = shifts.get(i) {
            let sources = s["sources"].to_string();
            let input = s["hadRecentInput"].as_bool().unwrap_or(false);
            cls.add(s["startTime"].as_f64().unwrap(), s["value"].as_f64().unwrap(), input, Value::Json(&sources));
            // A restart between any two shifts changes nothing.
            cls = crate::stage::load(&crate::stage::save(&cls)).unwrap();
        }
    }
    done.push((cls, navigation));
    done
}

fn check(vector: &serde_json::Value) {
    let expected = vector["expected"].as_array().unwrap();
    let got = run(vector);
    assert_eq!(got.len(), expected.len(), "{}", vector["id"]);
    for ((cls, navigation), want) in got.iter().zip(expected) {
        let result = cls.result();
        let id = &vector["id"];
        assert_eq!(Some(result.cls), want["cls"].as_f64(), "{id}");
        assert_eq!(ratings::rate("CLS", result.cls).map(|r| r.name()), want["rating"].as_str(), "{id}");
        assert_eq!(Some(navigation.as_str()), want["navigationType"].as_str(), "{id}");
        assert_eq!(serde_json::json!(result.entries), want["window"], "{id}");
        let largest = result
            .largest
            .filter(|s| s.target.is_some())
            .map(|s| serde_json::json!({ "target": s.target, "startTime": s.start_time_ms, "value": s.value }));
        let same = match (&largest, &want["largestShift"]) {
            (None, want) => want.is_null(),
            (Some(got), want) => ["target", "startTime", "value"].iter().all(|k| match want[k].as_f64() {
                Some(x) => got[k].as_f64() == Some(x),
                None => got[k] == want[k],
            }),
        };
        assert!(same, "{id}: {largest:?}, expected {}", want["largestShift"]);
        if let Some(sources) = want.get("sources") {
            let got: Vec<serde_json::Value> = result.sources.iter().map(|s| s.parse().unwrap()).collect();
            assert_eq!(sources, &serde_json::Value::Array(got), "{id}");
        }
    }
}

#[test]
fn vectors() {
    let file: serde_json::Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 8);
    vectors.iter().for_each(check);
}

#[test]
fn agrees_with_the_independent_script() {
    let file: serde_json::Value = serde_json::from_str(RANDOM).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 200);
    vectors.iter().for_each(check);
}

fn of(shifts: &[(f64, f64)]) -> Cls {
    let mut cls = Cls::default();
    shifts.iter().for_each(|(start, value)| cls.add(*start, *value, false, Value::Null));
    cls
}

#[test]
fn windows() {
    // The sum is the plain left-to-right one.
    assert_eq!(of(&[(0.0, 0.1), (10.0, 0.2)]).result().cls, 0.30000000000000004);
    // A zero first entry opens no window, a zero inside one extends the gap.
    assert_eq!(of(&[(0.0, 0.0), (500.0, 0.1)]).result().entries, [1]);
    assert_eq!(of(&[(0.0, 0.1), (900.0, 0.0), (1800.0, 0.1)]).result().cls, 0.2);
    // The first of equal windows stays.
    assert_eq!(of(&[(0.0, 0.1), (2000.0, 0.1)]).result().entries, [0]);
    // Zeros behind the maximum belong to its window still.
    assert_eq!(of(&[(0.0, 0.1), (500.0, 0.0)]).result().entries, [0, 1]);
    // A span of exactly 5000 ms is too long.
    let dense: Vec<_> = (0..=50).map(|i| (i as f64 * 100.0, 0.01)).collect();
    assert_eq!(of(&dense).result().count, 50);
    // A late shift has a negative gap.
    assert_eq!(of(&[(8000.0, 0.1), (100.0, 0.2), (1000.0, 0.1)]).result().entries, [0, 1, 2]);
    assert_eq!(of(&[]).result(), ClsResult { cls: 0.0, entries: &[], count: 0, largest: None, sources: &[] });
}

#[test]
fn both_windows_of_one_callback_compare() {
    assert_eq!(of(&[(0.0, 0.3), (2000.0, 0.1)]).result().cls, 0.3);
}

#[test]
fn sources_and_targets() {
    let mut cls = Cls::default();
    cls.add(0.0, 0.1, false, Value::Json(r##"["#text","#a","#a",null,7]"##));
    assert_eq!(cls.result().largest.unwrap().target.as_deref(), Some("#a"));
    cls.add(1.0, 0.2, false, Value::Json(r##"[{"node":"#b","rect":[1]},{"selector":"#b"},{"rect":[2]}]"##));
    assert_eq!(cls.result().largest.unwrap().target.as_deref(), Some("#b"));
    cls.add(2.0, 0.2, false, Value::Json(r##"[{"node":"div>TEXT","nodeType":3},{"node":"#\u00e9","nodeType":1}]"##));
    assert_eq!(cls.result().largest.unwrap().target.as_deref(), Some("#é"));
    let sources: Vec<&str> = cls.result().sources.iter().map(|s| &**s).collect();
    assert_eq!(
        sources,
        [r##""#text""##, r##""#a""##, r##""#b""##, r##"{"rect":[2]}"##, r##""div>TEXT""##, r##""#é""##]
    );
    cls.add(3.0, 0.9, false, Value::Json("[]"));
    assert_eq!(cls.result().largest.unwrap().target, None);
}

#[test]
fn memory_is_bounded_and_the_sum_goes_on() {
    let mut cls = Cls::default();
    for i in 0..5000u64 {
        let sources = format!("[\"#s{i}\"]");
        cls.add(0.0, 0.5, false, Value::Json(&sources));
    }
    let result = cls.result();
    assert_eq!((result.cls, result.count), (2500.0, 5000));
    assert_eq!((result.entries.len(), result.sources.len()), (MAX_ENTRIES, MAX_SOURCES));
    assert_eq!(result.largest.unwrap().index, 4999);
}

#[test]
fn not_finite_is_ignored() {
    let cls = of(&[(0.0, 0.1), (f64::NAN, 0.1), (1.0, f64::INFINITY), (999.0, 0.1)]);
    assert_eq!(cls.result().entries, [0, 3]);
}

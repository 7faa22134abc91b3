//! Numbers and categories as features, and their state.

use super::restored;
use crate::math::Encoder;
use crate::value::{OwnedValue, Value};

fn rows(json: &str) -> Vec<OwnedValue> {
    let rows: Vec<serde_json::Value> = serde_json::from_str(json).expect("test JSON");
    rows.iter().map(OwnedValue::from).collect()
}

fn encode(encoder: &Encoder, row: &[Value<'_>]) -> Vec<f64> {
    let mut out = Vec::new();
    encoder.encode(row, &mut out);
    out
}

#[test]
fn categories_by_falling_frequency_then_text() {
    let rows = rows(r#"["safari", "chrome", "edge", "chrome", null, "firefox", "safari", "chrome"]"#);
    let encoder = Encoder::fit(&rows, 1).expect("fits");
    // chrome 3, safari 2, then null (before any text), edge, firefox once each
    assert_eq!(encoder.encode_rows(&rows), [1.0, 0.0, 3.0, 0.0, 2.0, 4.0, 1.0, 0.0]);
    for unseen in [Value::Str("opera"), Value::Int(1), Value::Bool(true), Value::Str("")] {
        assert_eq!(encode(&encoder, &[unseen]), [5.0]);
    }
    assert_eq!(encode(&encoder, &[]), [2.0]);
    assert_eq!(restored(&encoder), encoder);
}

#[test]
fn numbers_pass_and_the_median_stands_in() {
    let rows = rows(r#"[100, "a", 2.5, "b", null, "b", 300, "a", "oops", "b"]"#);
    let encoder = Encoder::fit(&rows, 2).expect("fits");
    assert_eq!(encoder.encode_rows(&rows), [100.0, 1.0, 2.5, 0.0, 100.0, 0.0, 300.0, 1.0, 100.0, 0.0]);
    assert_eq!(encode(&encoder, &[Value::Float(7.25), Value::Null, Value::Int(9)]), [7.25, 2.0]);
    assert_eq!(encode(&encoder, &[Value::Float(f64::NAN)]), [100.0, 2.0]);
}

#[test]
fn booleans_and_mixed_values_are_categories() {
    let rows = rows(r#"[true, false, true, "true", 1, {"a": 1}, [1], 1.0, true]"#);
    let encoder = Encoder::fit(&rows, 1).expect("fits");
    // true 3, 1 (= 1.0) 2, then false, text, JSON
    assert_eq!(encoder.encode_rows(&rows), [0.0, 2.0, 0.0, 3.0, 1.0, 5.0, 4.0, 1.0, 0.0]);
}

#[test]
fn only_nulls_and_bad_shapes() {
    let encoder = Encoder::fit(&[OwnedValue::Null, OwnedValue::Null], 1).expect("fits");
    assert_eq!(encode(&encoder, &[Value::Null]), [0.0]);
    assert_eq!(encode(&encoder, &[Value::Int(3)]), [1.0]);
    assert_eq!(Encoder::fit(&[], 1), None);
    assert_eq!(Encoder::fit(&[OwnedValue::Null], 0), None);
    assert_eq!(Encoder::fit(&[OwnedValue::Null], 2), None);
    assert!(encoder.bytes() > 0);
}

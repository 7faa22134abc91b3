//! Payloads of Faro, made by hand; the SDK's own are in `tests/contracts`.

use super::*;
use perfstream_core::enrich::Agents;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Mutex;

fn read(body: &Value) -> Result<Mapped, Unreadable> {
    with(&Client::new(&http::HeaderMap::new(), &mut Agents::default(), None), body.to_string().as_bytes())
}

fn with(client: &Client, body: &[u8]) -> Result<Mapped, Unreadable> {
    records(body, &Sender { client, agents: &Mutex::default(), received_us: 0 }, 10)
}

fn found(mapped: &Mapped) -> Vec<(String, Value)> {
    mapped.records.iter().map(|(_, r)| (r.topic.clone(), serde_json::from_slice(&r.value).unwrap())).collect()
}

fn meta() -> Value {
    json!({"app": {"name": "shop", "version": "1.2"}, "session": {"id": "s1"},
        "page": {"url": "https://shop.example/cart?token=x"}, "browser": {"name": "Firefox", "mobile": true}})
}

#[test]
fn a_web_vital_is_a_beacon() {
    let measurement = json!({"type": "web-vitals", "timestamp": "2026-01-01T00:00:00Z",
        "values": {"lcp": 1500.5, "delta": 10}, "context": {"id": "v6-1", "rating": "good", "element": "#hero",
        "navigation_type": "navigate", "navigation_entry_id": "n1"}});
    let mapped = read(&json!({"meta": meta(), "measurements": [measurement]})).unwrap();
    let want = json!({"timestamp": "2026-01-01T00:00:00Z", "received": "1970-01-01T00:00:00Z", "page": "/cart",
        "browser": "firefox", "device": "mobile", "connection": "unknown", "sessionId": "s1", "navigationId": "n1",
        "navigationType": "navigate", "release": "1.2", "id": "v6-1-1500.5", "metricId": "v6-1", "value": 1500.5,
        "delta": 10.0, "rating": "good", "target": "#hero"});
    assert_eq!(found(&mapped), [("lcp-stream".to_owned(), want)]);
    // No layout shift at all is a value, too.
    let cls = json!({"type": "web-vitals", "values": {"cls": 0}, "context": {"id": "v6-2"}});
    let mapped = read(&json!({"meta": meta(), "measurements": [cls]})).unwrap();
    assert_eq!((found(&mapped)[0].0.as_str(), &found(&mapped)[0].1["value"]), ("cls-stream", &json!(0.0)));
}

#[test]
fn logs_exceptions_events_and_other_measurements() {
    let body = json!({"meta": meta(),
        "measurements": [{"type": "cart", "values": {"items": 3, "total": "x"}, "context": {"currency": "EUR"}}],
        "logs": [{"level": "warn", "message": "slow", "timestamp": "2026-01-01T00:00:00.5Z", "context": {"a.b": "c"},
            "trace": {"trace_id": "t", "span_id": "s"}}],
        "exceptions": [{"type": "TypeError", "value": "x is undefined", "timestamp": "2026-01-01T00:00:00Z",
            "stacktrace": {"frames": [{"filename": "a.js", "function": "f", "lineno": 3, "colno": 7}]}}],
        "events": [{"name": "click", "domain": "browser", "attributes": {"button": "buy"}}]});
    let mapped = read(&body).unwrap();
    let found = found(&mapped);
    let topics: Vec<&str> = found.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["metrics-stream", "logs-stream", "logs-stream", "logs-stream"]);
    let field = |n: usize, name: &str| found[n].1[name].clone();
    assert_eq!(
        (field(0, "metric"), field(0, "value"), field(0, "currency")),
        (json!("cart.items"), json!(3), json!("EUR"))
    );
    assert_eq!(
        (field(1, "severity"), field(1, "message"), field(1, "a_b")),
        (json!("warn"), json!("slow"), json!("c"))
    );
    assert_eq!(
        (field(1, "service"), field(1, "traceId"), field(1, "page")),
        (json!("shop"), json!("t"), json!("/cart"))
    );
    assert_eq!((field(2, "exception_type"), field(2, "stack")), (json!("TypeError"), json!("f (a.js:3:7)")));
    assert_eq!((field(3, "event"), field(3, "button")), (json!("click"), json!("buy")));
    assert!(mapped.records.iter().all(|(_, record)| record.key.as_deref() == Some(b"shop")));
}

#[test]
fn spans_of_the_browser() {
    let span = json!({"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "GET",
        "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1005000000"});
    let traces = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span, {"name": "bad"}]}]}]});
    let log = json!({"level": "log", "message": "x"});
    let mapped = read(&json!({"meta": meta(), "logs": [log], "traces": traces})).unwrap();
    assert_eq!(found(&mapped)[1].1["duration_ms"], json!(5.0));
    assert_eq!((mapped.events, mapped.records[1].0, mapped.bad[0].0), (3, 1, 2));
}

#[test]
fn bad_items_and_payloads() {
    let body = json!({"measurements": [7, {"type": "web-vitals"}, {"type": "web-vitals", "values": {"x": 1}},
        {"type": "web-vitals", "values": {"lcp": 1}}]});
    let reasons: Vec<&str> = read(&body).unwrap().bad.iter().map(|(_, bad)| bad.reason).collect();
    assert_eq!(reasons, ["not_an_object", "missing_field", "unknown_metric", "missing_field"]);
    let many = json!({"logs": vec![json!({}); 11]});
    assert_eq!(read(&many), Err(Unreadable::TooMany(11)));
    for nothing in [json!({}), json!([]), json!({"logs": []})] {
        assert!(matches!(read(&nothing), Err(Unreadable::NoEvents(_))), "{nothing}");
    }
}

proptest! {
    #[test]
    fn takes_anything_like_json(body in r#"\{"(meta|logs|measurements|traces)":[\[\]{}",:0-9a-z\\ .-]{0,100}"#) {
        let client = Client::new(&http::HeaderMap::new(), &mut Agents::default(), None);
        let _ = with(&client, body.as_bytes());
    }
}

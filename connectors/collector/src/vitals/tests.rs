//! Beacons to records.

use super::*;
use proptest::prelude::*;

/// 2026-01-01T00:00:00Z
const NOW_US: i64 = 1_767_225_600_000_000;

fn client() -> Client {
    Client {
        browser: "chrome".into(),
        device: "mobile".into(),
        connection: "unknown".into(),
        country: Some("DE".into()),
        page: Some("/referred".into()),
    }
}

fn map(event: Value) -> Result<Vec<(String, String, Value)>, Bad> {
    let event = event.as_object().cloned().unwrap_or_default();
    let records = records(&event, &client(), NOW_US)?;
    let read = |r: Outgoing| {
        let key = String::from_utf8(r.key.unwrap_or_default()).unwrap();
        (r.topic, key, serde_json::from_slice(&r.value).unwrap())
    };
    Ok(records.into_iter().map(read).collect())
}

#[test]
fn a_metric_of_the_library() {
    let found = map(json!({
        "name": "LCP", "value": 2510.5, "delta": 10.5, "id": "v6-1-2", "rating": "needs-improvement", "entries": [{}],
        "navigationType": "navigate", "attribution": {"target": "#hero", "lcpEntry": {}, "timeToFirstByte": 400.5, "elementRenderDelay": -1, "inputDelay": "x"},
        "url": "https://shop.example/cart?card=1", "effectiveType": "4G", "timestamp": 1767225599000i64,
    }));
    let want = json!({
        "timestamp": "2025-12-31T23:59:59Z", "received": "2026-01-01T00:00:00Z", "value": 2510.5, "delta": 10.5,
        "id": "v6-1-2-2510.5", "metricId": "v6-1-2", "rating": "needs-improvement", "navigationType": "navigate",
        "page": "/cart", "browser": "chrome", "device": "mobile", "connection": "4g", "country": "DE", "target": "#hero",
        "timeToFirstByte": 400.5,
    });
    assert_eq!(found, Ok(vec![("lcp-stream".into(), "/cart".into(), want)]));
}

#[test]
fn each_name_has_its_topic() {
    // The library's ids of its versions 3 to 6.
    for version in 3..=6 {
        let id = format!("v{version}-1700000000000-1234567890123");
        for (name, topic) in METRICS {
            let found = map(json!({"name": name, "value": 0, "id": id})).unwrap();
            assert_eq!((found[0].0.as_str(), &found[0].2["page"]), (topic, &json!("/referred")), "{name}");
            assert_eq!(found[0].2["metricId"], id, "{name}");
        }
    }
}

#[test]
fn a_growing_value_has_another_id_and_a_repeated_one_the_same() {
    let id = |value: f64| map(json!({"name": "INP", "value": value, "id": "v6-9"})).unwrap()[0].2["id"].clone();
    assert_eq!((id(80.0), id(208.0), id(208.0)), (json!("v6-9-80"), json!("v6-9-208"), json!("v6-9-208")));
}

#[test]
fn cls_is_its_shifts() {
    let entries =
        json!([{"value": 0.1, "startTime": 500.5}, {"value": 0.2, "startTime": 900, "hadRecentInput": false}]);
    let attribution = json!({"largestShiftTarget": "#ad", "largestShiftValue": 0.2});
    let event = json!({"name": "CLS", "value": 0.3, "id": "v6-7", "entries": entries, "attribution": attribution});
    let found = map(event).unwrap();
    let short: Vec<_> =
        found.iter().map(|(t, k, r)| (t.as_str(), k.as_str(), &r["id"], &r["value"], &r["sources"])).collect();
    assert_eq!(
        short,
        [
            ("cls-stream", "v6-7", &json!("v6-7-s500.5"), &json!(0.1), &json!([])),
            ("cls-stream", "v6-7", &json!("v6-7-s900"), &json!(0.2), &json!(["#ad"])),
        ]
    );
    let bare = map(json!({"name": "CLS", "value": 0.3, "id": "v6-7", "sessionId": "s"})).unwrap();
    assert_eq!((bare.len(), bare[0].1.as_str(), &bare[0].2["hadRecentInput"]), (1, "s", &json!(false)));
}

#[test]
fn raw_entries() {
    let shift = json!({"entryType": "layout-shift", "value": 0.1, "startTime": 7, "sessionId": "s", "navigationId": "n", "sources": ["#a", 3]});
    let found = map(shift).unwrap();
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("cls-stream", "s"));
    assert_eq!((&found[0].2["id"], &found[0].2["sources"]), (&json!("s-n-layout-shift--7"), &json!(["#a"])));
    let event = json!({"entryType": "event", "name": "click", "interactionId": 8, "startTime": 5, "duration": 64, "sessionId": 12, "id": "e1"});
    let found = map(event).unwrap();
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str(), &found[0].2["id"]),
        ("inp-events-stream", "12", &json!("e1"))
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (event, reason, detail) in [
        (json!({"name": "LCP"}), "missing_field", "`value` is missing"),
        (json!({"value": 1}), "missing_field", "neither `name` nor `entryType` says what it is"),
        (json!({"name": "LCP", "value": "1.4 s"}), "wrong_type", "`value` is no number"),
        (
            json!({"name": "XYZ", "value": 1}),
            "unknown_metric",
            "the name is `XYZ`; allowed are LCP, CLS, FCP, INP, TTFB, FID",
        ),
        (
            json!({"name": "LCP", "value": 1, "timestamp": "24.11.2026"}),
            "bad_time",
            "`timestamp` is no time; allowed is RFC 3339, epoch seconds or epoch milliseconds",
        ),
        (
            json!({"name": "LCP", "value": 1, "page": "about:blank"}),
            "bad_page",
            "the page is `about:blank`; allowed is a path or an http address",
        ),
        (json!({"name": "LCP", "value": 1, "id": "x".repeat(600)}), "too_long", "`id` has 600 bytes; allowed are 512"),
        (json!({"entryType": "event", "startTime": 1}), "missing_field", "a raw entry needs `sessionId`"),
        (
            json!({"entryType": "paint"}),
            "unknown_entry",
            "the entryType is `paint`; allowed are layout-shift, event, first-input",
        ),
    ] {
        assert_eq!(map(event.clone()), Err(Bad::new(reason, detail)), "{event}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop_oneof![Just("LCP"), Just("CLS"), Just("layout-shift"), Just("event"), Just("/é?x")].prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        let name = prop_oneof![Just("value".to_owned()), Just("startTime".to_owned()), "[a-z]{1,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn takes_any_event(fields in prop::collection::vec((prop::sample::select(vec![
        "name", "value", "id", "entries", "attribution", "page", "url", "entryType", "startTime", "duration",
        "interactionId", "sessionId", "navigationId", "sources", "timestamp", "connection", "browser",
    ]), any_value()), 0..12)) {
        let event: Event = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let _ = records(&event, &client(), NOW_US);
    }
}

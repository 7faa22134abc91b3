//! What the page knows, fed by records.

use super::*;

fn frame(time_ms: i64, value: f64, event: &str) -> Vec<u8> {
    let point = json!({ "field": "p75_lcp", "metric": "lcp", "window": "five_minutes", "time_ms": time_ms,
        "labels": { "page": "/", "browser": "chrome" }, "value": value, "count": 3, "offset": 7,
        "expected": { "value": 1.0, "low": 0.5, "high": 2.0 } });
    let event = json!({ "kind": "alert", "id": event, "alert_id": "a", "state": "firing" });
    json!({ "kind": "dashboard", "type": "frame", "dashboard": "d", "pipeline": "lcp", "partition": 1,
        "points": [point], "events": [event] })
    .to_string()
    .into_bytes()
}

fn take(model: &mut Model, record: &[u8]) -> bool {
    model.take_dashboard(record).expect("a record")
}

#[test]
fn a_copy_changes_nothing() {
    let mut model = Model::default();
    assert!(take(&mut model, &frame(1000, 5.0, "x")));
    assert!(!take(&mut model, &frame(1000, 5.0, "x")));
    assert!(take(&mut model, &frame(1000, 6.0, "x")), "a late event has changed the window");
    assert_eq!(model.sizes(), (1, 1, 1, 0));
}

#[test]
fn a_snapshot_has_the_range() {
    let mut model = Model::default();
    take(&mut model, &frame(1000, 5.0, "x"));
    take(&mut model, &frame(9000, 6.0, "y"));
    let shown = model.snapshot(5000);
    assert_eq!(shown["series"][0]["points"], json!([[9000, 6.0, 3.0, 1.0, 0.5, 2.0, null, null, 7]]));
    assert_eq!(shown["series"][0]["labels"], json!({ "browser": "chrome", "page": "/" }));
    assert_eq!(model.snapshot(10_000)["series"][0]["points"].as_array().map(Vec::len), Some(2));
}

#[test]
fn everything_is_bounded() {
    let mut model = Model::default();
    for n in 0..(MAX_EVENTS as i64 + 10).max(MAX_POINTS as i64 + 10) {
        take(&mut model, &frame(n, 1.0, &n.to_string()));
    }
    assert_eq!(model.series.values().map(|series| series.points.len()).sum::<usize>(), MAX_POINTS);
    assert_eq!(model.events.records.len(), MAX_EVENTS);
    for n in 0..MAX_SERIES + 5 {
        let text = String::from_utf8(frame(1_000_000 + n as i64, 1.0, "z")).expect("text");
        take(&mut model, text.replace("chrome", &format!("b{n}")).as_bytes());
    }
    assert_eq!((model.series.len(), model.dropped), (MAX_SERIES, 6));
}

#[test]
fn a_layout_is_told_when_it_has_changed() {
    let layout = |rate: &str| {
        json!({ "type": "layout", "dashboard": "d", "pipeline": "lcp", "layout": { "refreshRate": rate } })
            .to_string()
            .into_bytes()
    };
    let mut model = Model::default();
    assert!(take(&mut model, &layout("1s")));
    assert!(!take(&mut model, &layout("1s")));
    assert!(take(&mut model, &layout("2s")));
    assert_eq!(model.pipelines(), ["lcp"]);
    assert!(model.take_dashboard(b"{}").is_err());
}

#[test]
fn health_and_verdicts_are_shown() {
    let mut model = Model::default();
    let status = json!({ "scope": "partition", "pipeline": "lcp", "partition": 0, "status": "running",
        "statistics": { "eventsProcessed": 5 }, "lag_records": 2, "run": { "dead": 1 } });
    let shown = model.take_status(status.to_string().as_bytes()).expect("a partition");
    assert_eq!((&shown["events"], &shown["lag"], &shown["dead"]), (&json!(5), &json!(2), &json!(1)));
    assert!(model.take_status(br#"{"scope":"session"}"#).is_none());
    let verdict = br#"{"type":"feedback","alert_id":"a","verdict":"acknowledged"}"#;
    assert!(model.take_verdict(verdict).is_some());
    assert!(model.take_verdict(br#"{"type":"reference","table":"x","rows":[]}"#).is_none());
    let approval = br#"{"type":"approval","action_id":"b","approved":false,"by":"ada"}"#;
    assert_eq!(model.take_verdict(approval), Some(json!({ "alert_id": "b", "verdict": "rejected" })));
    let verdicts = json!([{ "alert_id": "a", "verdict": "acknowledged" }, { "alert_id": "b", "verdict": "rejected" }]);
    assert_eq!(model.snapshot(0)["verdicts"], verdicts);
}

#[test]
fn insights_leave_alerts_their_room() {
    let mut model = Model::default();
    take(&mut model, &frame(1000, 5.0, "x"));
    let insight = |n: usize| json!({ "kind": "insight", "id": format!("i{n}"), "summary": "s" }).to_string();
    for n in 0..MAX_INSIGHTS + 1 {
        assert!(model.take_insight(insight(n).as_bytes()).is_some());
    }
    assert!(model.take_insight(insight(MAX_INSIGHTS).as_bytes()).is_none(), "a copy");
    assert!(model.take_insight(br#"{"kind":"alert","id":"a"}"#).is_none(), "no insight");
    assert!(model.take_insight(b"no JSON").is_none());
    let shown = model.snapshot(0);
    let ids: Vec<&str> = shown["events"].as_array().into_iter().flatten().filter_map(|e| e["id"].as_str()).collect();
    assert_eq!((ids.len(), ids.first(), ids.get(1)), (MAX_INSIGHTS + 1, Some(&"x"), Some(&"i1")));
}

//! Renaming, joins, derived fields and their order.

mod config;

use super::*;
use crate::testing::{START_US, check_cuts, counter, run};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn try_stage(with: Json, context: &Context) -> Result<(Enrich, Fields), Issues> {
    let config: Config = serde_json::from_value(with).unwrap();
    let mut fields = Fields::default();
    Enrich::new(config, context, &mut fields).map(|stage| (stage, fields))
}

fn stage(with: Json) -> (Enrich, Fields) {
    try_stage(with, &Context::default()).unwrap()
}

/// What becomes of one event.
fn one(with: Json, event: Json) -> Json {
    let line = event.to_string();
    let (outputs, _) = check_cuts(|| stage(with.clone()), &[&line]);
    assert_eq!(outputs.len(), 1);
    outputs[0].clone()
}

fn issues(with: Json) -> Vec<String> {
    try_stage(with, &Context::default()).unwrap_err().iter().map(ToString::to_string).collect()
}

fn reference(table: &str, rows: Json) -> Control {
    Control::Reference { table: table.into(), rows: rows.as_array().unwrap().clone() }
}

fn network(class: &str) -> Json {
    serde_json::from_str(context::network(class).unwrap()).unwrap()
}

const HOUR_AND_DAY: [&str; 2] = ["hour-of-day", "day-of-week"];

#[test]
fn the_documented_step() {
    let with = json!({"source": "user-context", "fields": ["location", "network", "device-specs"],
        "derive": ["hour-of-day", "day-of-week", "rating"], "metric": "LCP"});
    let event = json!({"timestamp": "2026-01-01T13:30:00Z", "value": 2600, "connection": "3g", "device": "mobile"});
    let mut want = event.clone();
    want["location"] = Json::Null;
    want["network"] = json!({"type": null, "effective_type": "3g", "rtt_min_ms": 270, "downlink_max_mbps": 0.7});
    want["device-specs"] = json!({"class": "mobile", "memory_gb": null});
    want["hour-of-day"] = json!(13);
    want["day-of-week"] = json!(4);
    want["rating"] = json!("needs-improvement");
    assert_eq!(one(with, event), want);
}

#[test]
fn user_context_by_session_then_by_connection_and_device() {
    let with = json!({"source": "user-context", "tables": {"user-context": {"rows": [
        {"sessionId": "s1", "location": "Oslo", "network": {"carrier": "x"}},
        {"connection": "4g", "device": "mobile", "location": "on the road"},
    ]}}});
    let fields = |event: Json| {
        let out = one(with.clone(), event);
        (out["location"].clone(), out["network"].clone(), out["device-specs"].clone())
    };
    let mobile = json!({"class": "mobile", "memory_gb": null});
    assert_eq!(
        fields(json!({"sessionId": "s1", "connection": "4g", "device": "mobile"})),
        (json!("Oslo"), json!({"carrier": "x"}), mobile.clone())
    );
    assert_eq!(
        fields(json!({"sessionId": "s2", "connection": "4g", "device": "mobile"})),
        (json!("on the road"), network("4g"), mobile.clone())
    );
    assert_eq!(fields(json!({"connection": "wifi", "device": "mobile"})), (Json::Null, network("wifi"), mobile));
    assert_eq!(fields(json!({"connection": 4, "device": null})), (Json::Null, Json::Null, Json::Null));
}

#[test]
fn misses_are_null_and_counted() {
    let with = json!({"source": "user-context", "tables": {"pages": {"key": ["page"], "rows": [{"page": "/", "team": "core"}]}},
        "lookups": [{"table": "pages", "fields": ["team"]}]});
    let lines = [
        r#"{"connection":"4g","device":"mobile","page":"/"}"#,
        r#"{"connection":"pigeon","device":"toaster","page":"/"}"#,
        r#"{"connection":"4g","page":"/x"}"#,
        r#"{"page":null}"#,
    ];
    let (outputs, counters) = check_cuts(|| stage(with.clone()), &lines);
    assert_eq!(outputs[2]["team"], Json::Null);
    assert!(outputs[3].as_object().unwrap().contains_key("device-specs"));
    let want = [("in", 4), ("passed", 4), ("dead", 0), ("missed", 4), ("reference_rows", 0), ("reference_dropped", 0)];
    assert_eq!(counters, want);

    let (mut plain, fields) = stage(json!({"source": "user-context", "builtin_context": false}));
    let out = run(&mut plain, &fields, &lines);
    assert_eq!(out[0]["network"], Json::Null);
    assert_eq!(counter(&plain, "missed"), 4);
}

#[test]
fn lookups_with_prefix_default_and_chain() {
    let with = json!({
        "tables": {
            "pages": {"key": ["path", "site"], "rows": [{"path": "/a", "site": 1, "team": "core", "tier": 2}]},
            "teams": {"key": ["team"], "rows": [{"team": "core", "pager": "p1"}]},
        },
        "lookups": [
            {"table": "pages", "on": ["page", "meta.site"], "fields": ["team", "tier"], "prefix": "page_", "default": {"tier": 9}},
            {"table": "teams", "on": ["page_team"], "fields": ["pager"]},
        ],
    });
    let out = one(with.clone(), json!({"page": "/a", "meta": {"site": 1.0}}));
    assert_eq!(out, json!({"page": "/a", "meta": {"site": 1.0}, "page_team": "core", "page_tier": 2, "pager": "p1"}));
    let out = one(with, json!({"page": "/b", "meta": {"site": 1}}));
    assert_eq!(out, json!({"page": "/b", "meta": {"site": 1}, "page_team": null, "page_tier": 9, "pager": null}));
}

#[test]
fn order_of_operations() {
    let with = json!({
        "rename": {"ua": "agent", "cls": "value", "vital": "name"},
        "default": {"name": "CLS", "connection": "2g"},
        "source": "user-context", "fields": ["network"],
        "tables": {"classes": {"key": ["class"], "rows": [{"class": "2g", "slow": true}]}},
        "lookups": [{"table": "classes", "on": ["network.effective_type"], "fields": ["slow"]}],
        "derive": ["browser", "rating"], "user_agent": "agent",
        "drop": ["agent", "network", "nothing"],
    });
    let out = one(
        with,
        json!({"ua": "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "cls": 0.25, "vital": null}),
    );
    let want = json!({"value": 0.25, "name": "CLS", "connection": "2g", "slow": true, "browser": "Firefox", "rating": "needs-improvement"});
    assert_eq!(out, want);
}

#[test]
fn a_row_keeps_its_field_order_and_key() {
    let (mut s, fields) =
        stage(json!({"rename": {"b": "x"}, "default": {"c": 7}, "derive": HOUR_AND_DAY, "drop": ["d"]}));
    let mut input = Output::default();
    input.begin(&[]);
    let meta = crate::Meta { offset: 5, log_time: START_US, event_time: START_US, ..Default::default() };
    input
        .row(meta, Some(b"k"))
        .field("a", 1_i64)
        .field("b", 2_i64)
        .field("c", crate::Value::Null)
        .field("d", 4_i64)
        .field("e", 5_i64);
    let batch = input.as_batch();
    let mut rows = crate::row::Rows::new(&batch, &fields, 0);
    let mut out = Output::default();
    out.begin(batch.names());
    s.process(&rows.next().unwrap().unwrap(), &mut out);
    let batch = out.as_batch();
    let mut rows = crate::row::Rows::new(&batch, &fields, 0);
    let row = rows.next().unwrap().unwrap();
    assert_eq!((row.meta, row.key), (meta, Some(&b"k"[..])));
    let names: Vec<&str> = row.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "x", "c", "e", "hour-of-day", "day-of-week"]);
}

#[test]
fn a_value_that_is_there_stays() {
    let table = json!({"t": {"key": ["id"], "rows": [{"id": 1, "plan": "gold", "gone": null}]}});
    let with = |overwrite: bool| {
        json!({"overwrite": overwrite, "derive": ["rating"], "metric": "INP", "default": {"plan": "none"},
            "tables": table, "lookups": [{"table": "t", "on": ["id"], "fields": ["plan", "gone"]}], "rename": {"a": "b"}})
    };
    let event = json!({"id": 1, "plan": "free", "gone": 3, "rating": "good", "value": 900, "a": 1, "b": 2});
    assert_eq!(one(with(false), event.clone()), event);
    let want = json!({"id": 1, "plan": "gold", "gone": 3, "rating": "poor", "value": 900, "b": 1});
    assert_eq!(one(with(true), event), want);
    // Null is no value; a default is one.
    let event = json!({"id": 1, "plan": null, "rating": null, "value": 900, "a": 1, "b": null});
    let want = json!({"id": 1, "plan": "none", "gone": null, "rating": "poor", "value": 900, "b": 1});
    assert_eq!(one(with(false), event), want);
    // A null or a miss never replaces a value.
    let event = json!({"id": 2, "plan": "free", "gone": 3, "rating": "good", "a": null, "b": 2});
    assert_eq!(one(with(true), event.clone()), event);
}

#[test]
fn a_dotted_name_copies_out_of_an_object() {
    let with = json!({"rename": {"attribution.target": "target", "page.name": "page"}});
    let out = one(with.clone(), json!({"attribution": {"target": "h1", "x": 1}, "page.name": "/"}));
    assert_eq!(out, json!({"attribution": {"target": "h1", "x": 1}, "page": "/", "target": "h1"}));
    assert_eq!(one(with, json!({"attribution": 3})), json!({"attribution": 3}));
    let inside =
        json!({"rename": {"attribution": "why"}, "derive": ["rating"], "metric": "LCP", "value_field": "why.value"});
    assert_eq!(one(inside, json!({"attribution": {"value": 1}})), json!({"why": {"value": 1}, "rating": "good"}));
}

#[test]
fn berlin_changes_its_clocks() {
    let with = json!({"derive": HOUR_AND_DAY, "time_zone": "Europe/Berlin"});
    let lines: Vec<String> = [
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:00Z",
        "2026-10-25T00:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-03-28T23:00:00Z",
    ]
    .map(|t| json!({"timestamp": t}).to_string())
    .to_vec();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (outputs, _) = check_cuts(|| stage(with.clone()), &lines);
    let hours: Vec<_> = outputs.iter().map(|o| (o["hour-of-day"].as_i64(), o["day-of-week"].as_i64())).collect();
    assert_eq!(hours, [(1, 7), (3, 7), (2, 7), (2, 7), (0, 7)].map(|(h, d)| (Some(h), Some(d))));
}

#[test]
fn ratings_agree_with_the_vectors() {
    let file: Json = serde_json::from_str(include_str!("../../../../tests/vectors/ratings.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let lines: Vec<String> =
        vectors.iter().map(|v| json!({"name": v["name"], "value": v["value"]}).to_string()).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (mut s, fields) = stage(json!({"derive": ["rating"]}));
    let outputs = run(&mut s, &fields, &lines);
    for (out, v) in outputs.iter().zip(vectors) {
        assert_eq!(out["rating"], v["rating"], "{v}");
    }
    assert!(outputs.len() >= 20);
    // The pipeline `lcp` need not say which metric it is about.
    let lcp = Context { pipeline: "lcp".into(), ..Context::default() };
    let (mut s, fields) = try_stage(json!({"derive": ["rating"]}), &lcp).unwrap();
    assert_eq!(run(&mut s, &fields, &[r#"{"value":4001}"#])[0]["rating"], "poor");
}

#[test]
fn other_kinds_pass_unless_asked_for() {
    let lines = [r#"{"kind":"window","timestamp":"2026-01-01T05:00:00Z","p75":1}"#, r#"{"p75":2}"#];
    let out = |with: Json| check_cuts(|| stage(with.clone()), &lines);
    let (outputs, counters) = out(json!({"rename": {"p75": "q"}}));
    assert_eq!((&outputs[0]["p75"], &outputs[1]["q"], counters[0]), (&json!(1), &json!(2), ("in", 1)));
    let (outputs, _) = out(json!({"kinds": ["window"], "derive": ["hour-of-day"], "drop": ["p75"]}));
    assert_eq!(outputs[0], json!({"kind": "window", "timestamp": "2026-01-01T05:00:00Z", "hour-of-day": 5}));
    assert_eq!(outputs[1], json!({"p75": 2}));
}

#[test]
fn reference_records_replace_rows_and_survive_a_restart() {
    let with = json!({"source": "user-context", "fields": ["location"],
        "tables": {"t": {"key": ["id"], "max_rows": 2, "rows": [{"id": 1, "x": "old"}]}},
        "lookups": [{"table": "t", "fields": ["x"]}]});
    let (mut s, fields) = stage(with.clone());
    let line = [r#"{"id":1,"sessionId":"s"}"#];
    assert_eq!(run(&mut s, &fields, &line)[0], json!({"id": 1, "sessionId": "s", "location": null, "x": "old"}));
    s.control(&reference("t", json!([{"id": 1, "x": "new"}, {"id": 2, "x": 2}, {"id": 3, "x": 3}, {"x": 4}, 5])));
    s.control(&reference("user-context", json!([{"sessionId": "s", "location": {"city": "Oslo"}}])));
    s.control(&reference("another stage's", json!([{"id": 1}])));
    s.control(&Control::Feedback {
        alert_id: "a".into(),
        verdict: "true_positive".into(),
        anomaly_id: None,
        resolution_time_s: None,
    });
    assert_eq!((counter(&s, "reference_rows"), counter(&s, "reference_dropped")), (3, 3));
    let want = json!({"id": 1, "sessionId": "s", "location": {"city": "Oslo"}, "x": "new"});
    assert_eq!(run(&mut s, &fields, &line)[0], want);

    let bytes = s.snapshot();
    let (mut again, fields) = stage(with);
    // What came before the restore leaves no trace.
    again.control(&reference("t", json!([{"id": 1, "x": "other"}, {"id": 9, "x": 9}])));
    again.restore(&bytes).unwrap();
    assert_eq!((again.snapshot(), again.counters()), (bytes.clone(), s.counters()));
    assert_eq!(run(&mut again, &fields, &line)[0], want);
    again.control(&reference("t", json!([{"id": 3}, {"id": 2, "x": "two"}])));
    assert_eq!((counter(&again, "reference_rows"), counter(&again, "reference_dropped")), (4, 4));

    let (mut other, _) = stage(json!({}));
    assert!(other.restore(&bytes).is_err());
    assert!(again.restore(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn the_tables_keep_to_their_bytes() {
    let context = Context { max_state_bytes: 1000, ..Context::default() };
    let with = |rows: Json| {
        json!({"tables": {"t": {"key": ["id"], "rows": rows}, "u": {"key": ["id"]}},
            "lookups": [{"table": "t", "fields": ["x"]}, {"table": "u", "fields": ["y"]}]})
    };
    let long = "x".repeat(400);
    let (mut s, _) = try_stage(with(json!([{"id": 1, "x": long}])), &context).unwrap();
    for n in 0..20 {
        s.control(&reference("u", json!([{"id": n, "y": "short"}])));
    }
    let (taken, dropped) = (counter(&s, "reference_rows"), counter(&s, "reference_dropped"));
    assert!(taken > 0 && dropped > 0 && taken + dropped == 20, "{taken} {dropped}");
    assert!(s.tables.iter().map(Table::bytes).sum::<u64>() <= 1000);
    let found = try_stage(with(json!([{"id": 1, "x": long}, {"id": 2, "x": long}, {"id": 3, "x": long}])), &context)
        .unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "tables.t.rows[2]: the tables take more than 1000 bytes (raise `max_state_bytes`, or drop rows)"
    );
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[ -~é]{0,12}".prop_map(Json::from),
        prop::sample::select(vec!["4g", "mobile", "s1", "LCP", "CLS"]).prop_map(Json::from),
        "(Mozilla/5.0 \\((Windows NT [0-9.]{0,4}|iPhone; CPU OS [0-9_]{0,4}|Android[- ][0-9.]{0,3}); ?[a-z:0-9.]{0,9}\\) ?){0,1}((Chrome|Safari|Edg|Version|Opera|DoCoMo|KDDI|Googlebot|MSIE|BlackBerry|Gecko)[/ ;-][0-9.é]{0,5}[ ;()]?){0,4}".prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[ab]", inner, 0..3).prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No event makes it panic, none is lost, and cuts and restarts do not show.
    #[test]
    fn arbitrary_events(
        events in prop::collection::vec(
            prop::collection::btree_map(
                prop::sample::select(vec!["a", "b", "c", "name", "value", "connection", "device", "sessionId", "userAgent",
                    "rating", "network", "id", "os", "kind"]),
                any_json(), 0..10),
            1..8),
        overwrite in any::<bool>(),
    ) {
        let with = json!({
            "rename": {"a": "b", "c.a": "x"}, "default": {"id": 1, "os": "none"}, "source": "user-context",
            "tables": {"t": {"key": ["id"], "rows": [{"id": 1, "y": 2}]}, "user-context": {"rows": [{"sessionId": "s1", "location": 1}]}},
            "lookups": [{"table": "t", "fields": ["y"]}, {"table": "t", "on": ["network.rtt_min_ms"], "fields": ["y"], "prefix": "b."}],
            "derive": ["hour-of-day", "day-of-week", "rating", "browser", "device", "os"],
            "time_zone": "America/St_Johns", "overwrite": overwrite, "drop": ["value"],
        });
        let lines: Vec<String> = events.iter().map(|e| json!(e).to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (outputs, counters) = check_cuts(|| stage(with.clone()), &lines);
        prop_assert_eq!(outputs.len(), lines.len());
        prop_assert_eq!(counters[0].1, counters[1].1);
        for out in outputs.iter().filter(|o| o.get("hour-of-day").is_some()) {
            prop_assert!(out.get("value").is_none() && out.get("network").is_some() && out.get("y").is_some(), "{}", out);
        }
    }
}

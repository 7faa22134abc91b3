//! The checks one by one, the lint; duplicates are in `dedupe.rs`.

mod dedupe;

use super::*;
use crate::testing::{check_cuts, run};
use serde_json::{Value as Json, json};

fn make(config: &Json) -> (Filter, Fields) {
    make_text(&config.to_string())
}

/// A map inside `json!` loses its order, one in a text keeps it.
fn make_text(config: &str) -> (Filter, Fields) {
    let mut fields = Fields::default();
    let config: FilterConfig = serde_json::from_str(config).unwrap();
    let context = Context { stage: "filter".into(), ..Context::default() };
    let filter = Filter::new(config, &context, &mut fields);
    (filter.unwrap_or_else(|issues| panic!("{issues:?}")), fields)
}

/// Errors as lines, warnings marked.
fn issues(config: Json) -> Vec<String> {
    let config: FilterConfig = serde_json::from_value(config).unwrap();
    let warnings = Filter::warnings(&config).into_iter().map(|i| format!("warning: {i}"));
    let errors = Filter::new(config, &Context::default(), &mut Fields::default()).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).chain(warnings).collect()
}

/// Which of the rows pass, by number.
fn passing(config: Json, lines: &[&str]) -> Vec<usize> {
    let (mut filter, fields) = make(&config);
    let outputs = run(&mut filter, &fields, lines);
    let events: Vec<Json> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    (0..lines.len()).filter(|i| outputs.contains(&events[*i])).collect()
}

fn counts(config: &Json, lines: &[&str]) -> Vec<u64> {
    check_cuts(|| make(config), lines).1.into_iter().map(|(_, n)| n).collect()
}

#[test]
fn a_condition_that_is_false_or_unknown_filters() {
    let lines = [
        r#"{"value":100}"#,
        r#"{"value":0}"#,
        r#"{"value":null}"#,
        r#"{}"#,
        r#"{"value":"100"}"#,
        r#"{"value":59999.9}"#,
    ];
    let config = json!({"where": "value > 0 AND value < 60000"});
    assert_eq!(passing(config.clone(), &lines), [0, 5]);
    assert_eq!(counts(&config, &lines), [6, 2, 4, 0, 0, 0]);
}

/// Row numbers that each operator keeps as `include` and as `exclude`: complements, with null and
/// unlike types on the side of `exclude`.
#[test]
fn operators() {
    let lines = [
        r#"{"v":0}"#,
        r#"{"v":5.5}"#,
        r#"{"v":10}"#,
        r#"{"v":"/health"}"#,
        r#"{"v":"/"}"#,
        r#"{"v":false}"#,
        r#"{"v":null,"i":6}"#,
        r#"{"i":7}"#,
    ];
    for (operator, values, kept) in [
        ("between", json!([0, 10]), vec![0, 1, 2]),
        ("in", json!(["/health", 10]), vec![2, 3]),
        ("in", json!(["/health", "/metrics"]), vec![3]),
        ("not-in", json!(["/health", "/metrics"]), vec![4]),
        ("not-in", json!([0, "/"]), vec![]),
        ("equals", json!([false]), vec![5]),
        ("equals", json!([10.0]), vec![2]),
        ("not-equals", json!(["/"]), vec![3]),
        ("gt", json!([5.5]), vec![2]),
        ("gte", json!([5.5]), vec![1, 2]),
        ("lt", json!([5.5]), vec![0]),
        ("lte", json!([5.5]), vec![0, 1]),
        ("gt", json!(["/"]), vec![3]),
        ("matches", json!(["^/h"]), vec![3]),
        ("matches", json!(["^/$", "lth"]), vec![3, 4]),
        ("exists", json!([]), vec![0, 1, 2, 3, 4, 5]),
        ("exists", json!([true]), vec![0, 1, 2, 3, 4, 5]),
        ("exists", json!([false]), vec![6, 7]),
    ] {
        let criterion =
            |action| json!({"criteria": [{"field": "v", "operator": operator, "values": values, "action": action}]});
        assert_eq!(passing(criterion("include"), &lines), kept, "include {operator} {values}");
        let dropped: Vec<usize> = (0..8).filter(|i| !kept.contains(i)).collect();
        assert_eq!(passing(criterion("exclude"), &lines), dropped, "exclude {operator} {values}");
    }
}

#[test]
fn composition() {
    let lines = [r#"{"a":1,"b":1}"#, r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#, r#"{"a":2,"b":2}"#];
    let mut config = json!({"criteria": [
        {"field": "a", "operator": "equals", "values": [1]},
        {"field": "b", "operator": "equals", "values": [1], "action": "exclude", "description": "no b"}]});
    assert_eq!(passing(config.clone(), &lines), [1]);
    config["composition"] = "or".into();
    assert_eq!(passing(config, &lines), [0, 1, 3]);
    assert_eq!(passing(json!({"composition": "or"}), &lines), [0, 1, 2, 3]);
}

#[test]
fn schema_faults_are_dead_letters() {
    let config = r#"{"where": "value > 0", "schema": {
        "t": "datetime", "value": "number", "page": "string",
        "ok": {"type": "boolean", "required": false},
        "list": {"type": "array", "required": false},
        "user": {"type": "object", "required": false},
        "user.name": {"type": "string", "required": false}}}"#;
    let lines = [
        r#"{"t":"2026-01-01T00:00:00Z","value":1,"page":"/","ok":true,"list":[],"user":{"name":"a\nb"},"more":1}"#,
        r#"{"t":1767225600,"value":1.5,"page":"","ok":null}"#,
        r#"{"t":1767225600000,"value":-1,"page":""}"#,
        r#"{"t":"yesterday","value":"1","page":null,"ok":1,"list":{},"user":[]}"#,
        r#"{"t":1e300,"value":1,"page":"/","user":{"name":["x"]}}"#,
    ];
    let (outputs, counters) = check_cuts(|| make_text(config), &lines);
    assert_eq!(counters[..5], [("in", 5), ("passed", 2), ("filtered", 1), ("duplicate", 0), ("dead", 2)]);
    let dead: Vec<&Json> = outputs.iter().filter(|o| o["kind"] == "dead_letter").collect();
    assert_eq!(dead[0]["reason"], "schema");
    assert_eq!(dead[0]["stage"], "filter");
    assert_eq!(dead[0]["offset"], 3);
    assert_eq!(dead[0]["sample"], lines[3]);
    assert_eq!(
        dead[0]["detail"],
        "`t`: expected datetime, found the text `yesterday`; `value`: expected number, found string; \
         `page`: expected string, found nothing; `ok`: expected boolean, found number; \
         `list`: expected array, found object; and 1 more"
    );
    assert_eq!(
        dead[1]["detail"],
        "`t`: expected datetime, found a number out of range; `user.name`: expected string, found array"
    );
}

#[test]
fn schema_keeps_its_order_and_its_form() {
    let text = r#"{"schema":{"z":"number","a":{"type":"string","required":false}},"criteria":[],"composition":"and"}"#;
    let config: FilterConfig = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    let error = |schema: &str| serde_json::from_str::<Schema>(schema).unwrap_err().to_string();
    assert!(
        error(r#"{"a":"nmber"}"#)
            .starts_with("expected one of number, string, datetime, boolean, array, object, found `nmber`")
    );
    assert!(error(r#"{"a":"number","a":"string"}"#).starts_with("the field `a` stands twice"));
    assert!(error(r#"{"a":{"type":"number","optional":true}}"#).starts_with("unknown field `optional`"));
    assert!(error(r#"{"a":5}"#).contains("expected a type (number"));
}

#[test]
fn other_kinds_pass_unseen() {
    let lines = [r#"{"kind":"window","timestamp":"2026-01-01T00:00:00Z","value":-1}"#, r#"{"value":-1}"#];
    let (outputs, counters) = check_cuts(|| make(&json!({"where": "value > 0"})), &lines);
    assert_eq!(outputs, [json!({"kind": "window", "timestamp": "2026-01-01T00:00:00Z", "value": -1})]);
    assert_eq!(counters[0], ("in", 1));
}

#[test]
fn every_error_at_once() {
    let config = json!({
        "schema": {"value": "number", "page": "string"},
        "dedupe": {"key": [], "horizon": "0s", "max_keys": 0},
        "criteria": [
            {"field": "value", "operator": "between", "values": [10, 1]},
            {"field": "value", "operator": "between", "values": ["1", 2]},
            {"field": "page", "operator": "in"},
            {"field": "page", "operator": "equals", "values": ["a", "b"]},
            {"field": "page", "operator": "in", "values": [null]},
            {"field": "page", "operator": "matches", "values": ["(a"]},
            {"field": "page", "operator": "exists", "values": [1]},
            {"field": "", "operator": "gt", "values": [[1]]}],
        "where": "value > (1 AND"
    });
    assert_eq!(
        issues(config),
        [
            "dedupe.key: expected at least one field, found none",
            "dedupe.horizon: expected more than 0s, found 0s",
            "dedupe.max_keys: expected 1 to 100000000, found 0",
            "criteria[0].values: expected the lower bound first, found [10,1] (nothing lies between them in this order)",
            "criteria[1].values: expected two numbers, found [\"1\",2]",
            "criteria[2].values: expected at least one value, found none",
            "criteria[3].values: expected one value, found [\"a\",\"b\"] (`in` takes several)",
            "criteria[4].values: expected values other than null, found [null] (null equals nothing; use `exists`)",
            "criteria[5].values[0]: expected a regular expression, found `(a`: found open group without closing ')'",
            "criteria[6].values: expected no value, `[true]` or `[false]`, found [1]",
            "criteria[7].field: expected a field name, found an empty one",
            "criteria[7].values: expected numbers, texts, true or false, found [[1]]",
            "where: expected a value, found the end",
        ]
    );
    assert_eq!(
        issues(json!({"where": "value + 1"})),
        [
            "where: expected a condition, found an expression that is never true or false (compare it with something, as in `value > 0`)"
        ]
    );
}

#[test]
fn doubtful_configs_are_warned_of() {
    let config = json!({
        "schema": {"value": "number", "page": "string"},
        "criteria": [
            {"field": "page", "operator": "not-in", "values": ["/health", "/metrics"], "action": "exclude"},
            {"field": "paeg", "operator": "exists"},
            {"field": "browser", "operator": "exists"}],
        "where": "vlaue > 0"
    });
    assert_eq!(
        issues(config),
        [
            "warning: criteria[0].action: a double negative: it drops every event except those whose `page` is listed ([\"/health\",\"/metrics\"]) or null \
         (to drop the listed ones write `operator: in, action: exclude`; to keep only them `operator: in, action: include`)",
            "warning: where: the schema has no field `vlaue` (did you mean `value`?)",
            "warning: criteria[1].field: the schema has no field `paeg` (did you mean `page`?)",
        ]
    );
    assert_eq!(
        issues(json!({"where": "1 < 2"})),
        ["warning: where: the condition reads no field: it keeps or drops every event"]
    );
    assert!(
        issues(
            json!({"where": "value > 0", "criteria": [{"field": "value", "operator": "between", "values": [0, 60000]}]})
        )
        .is_empty()
    );
}

#[test]
fn a_snapshot_of_another_config_is_refused() {
    let (with, _) = make(&json!({"dedupe": {"key": ["id"], "horizon": "10s"}}));
    let (mut without, _) = make(&json!({}));
    assert!(without.restore(&with.snapshot()).is_err());
    assert!(without.restore(b"garbage").is_err());
}

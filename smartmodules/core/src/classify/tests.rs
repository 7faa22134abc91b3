//! Labels at the borders of ranges, what the lint finds, and rows that already have the label.

use super::lint::errors;
use super::*;
use crate::testing::check_cuts;
use serde_json::{Value as Json, json};

fn make(config: &Json) -> (Classify, Fields) {
    let mut fields = Fields::default();
    let config = serde_json::from_value(config.clone()).unwrap();
    let stage = Classify::new(config, &Context::default(), &mut fields);
    (stage.unwrap_or_else(|issues| panic!("{issues:?}")), fields)
}

fn issues(config: Json) -> Vec<String> {
    let config: ClassifyConfig = serde_json::from_value(config).unwrap();
    let errors = errors(&config).into_iter().chain(Classify::warnings(&config));
    errors.map(|i| format!("{}{i}", if i.warning { "warning: " } else { "" })).collect()
}

fn cls() -> Json {
    json!({"field": "cumulativeShift", "as": "stability", "ranges": [
        {"max": 0.1, "label": "good"},
        {"max": 0.25, "label": "needs-improvement"},
        {"min": 0.25, "label": "poor"}]})
}

#[test]
fn the_first_range_decides_at_a_border() {
    for (shift, label) in [
        ("0", "good"),
        ("0.1", "good"),
        ("0.10000000000000002", "needs-improvement"),
        ("0.25", "needs-improvement"),
        ("0.25000000000000006", "poor"),
        ("7", "poor"),
        ("-1", "good"),
    ] {
        let line = format!(r#"{{"cumulativeShift":{shift}}}"#);
        let (outputs, _) = check_cuts(|| make(&cls()), &[&line]);
        assert_eq!(outputs[0]["stability"], label, "{shift}");
    }
}

#[test]
fn what_has_no_number_has_no_label() {
    let lines = [
        r#"{"cumulativeShift":"0.1"}"#,
        r#"{"cumulativeShift":null}"#,
        r#"{"other":1}"#,
        r#"{"kind":"session","timestamp":"2026-01-01T00:00:00Z","cumulativeShift":0.3}"#,
        r#"{"kind":"late","stability":"kept"}"#,
    ];
    let (outputs, counters) = check_cuts(|| make(&cls()), &lines);
    assert_eq!(outputs[0], json!({"cumulativeShift": "0.1", "stability": null}));
    assert_eq!(outputs[1], json!({"cumulativeShift": null, "stability": null}));
    assert_eq!(outputs[2], json!({"other": 1}));
    assert_eq!(outputs[3]["stability"], "poor");
    assert_eq!(outputs[4]["stability"], "kept");
    assert_eq!(counters, [("in", 3), ("passed", 3), ("labelled", 1), ("unlabelled", 2)]);
}

#[test]
fn a_label_that_is_there_is_replaced_in_place() {
    let line = r#"{"stability":"old","cumulativeShift":0.2,"list":[1,{"a":"b"}]}"#;
    let (outputs, _) = check_cuts(|| make(&cls()), &[line]);
    assert_eq!(outputs, [json!({"stability": "needs-improvement", "cumulativeShift": 0.2, "list": [1, {"a": "b"}]})]);
    let same = json!({"field": "v", "as": "v", "ranges": [{"label": "any"}]});
    assert_eq!(check_cuts(|| make(&same), &[r#"{"v":1}"#]).0, [json!({"v": "any"})]);
}

#[test]
fn listed_kinds_and_the_default_name() {
    let config =
        json!({"field": "lcp.value", "ranges": [{"min": 0, "max": 2500, "label": "good"}], "kinds": ["window"]});
    let lines = [
        r#"{"lcp":{"value":1}}"#,
        r#"{"kind":"window","lcp":{"value":2500}}"#,
        r#"{"kind":"window"}"#,
        r#"{"kind":"window","lcp":{"value":2501}}"#,
    ];
    let (outputs, counters) = check_cuts(|| make(&config), &lines);
    let labels: Vec<Option<&Json>> = outputs.iter().map(|o| o.get("lcp.value_class")).collect();
    assert_eq!(labels, [None, Some(&json!("good")), Some(&Json::Null), Some(&Json::Null)]);
    assert_eq!(counters, [("in", 1), ("passed", 1), ("labelled", 1), ("unlabelled", 2)]);
}

#[test]
fn overlaps_and_gaps_are_warned_of() {
    let border = "warning: ranges[2]: shares the border 0.25 with ranges[1]; 0.25 is \
                  `needs-improvement`, which stands first (that is usual; swap the ranges if \
                  the border belongs to the other)";
    assert_eq!(issues(cls()), [border]);
    let ranges = |ranges: Json| issues(json!({"field": "v", "ranges": ranges}));
    let down = json!([{"min": 4, "label": "c"}, {"min": 2, "label": "b"}, {"label": "a"}]);
    assert!(ranges(down).is_empty());
    let (a, b) = (json!({"min": 0, "max": 5, "label": "a"}), json!({"min": 3, "max": 9, "label": "b"}));
    assert_eq!(
        ranges(json!([a, b])),
        ["warning: ranges[1]: overlaps ranges[0] from 3 to 5; there `a` wins, which stands \
          first (make the borders meet)"]
    );
    assert_eq!(
        ranges(json!([a, {"min": 1, "max": 2, "label": "b"}, {"min": 7, "label": "c"}])),
        [
            "warning: ranges[1]: `b` never applies: ranges[0], `a`, stands first and holds all \
             of it (put the narrower range first)",
            "warning: ranges: no range holds the numbers between 5 and 7 (their label is null; \
             make the borders meet)"
        ]
    );
}

#[test]
fn every_error_at_once() {
    let config = json!({"field": "", "as": "", "kinds": ["windows"],
        "ranges": [{"min": 2, "max": 1, "label": "a"}]});
    let found = issues(config);
    assert_eq!(
        found[..3],
        [
            "field: expected a field name, found an empty one",
            "as: expected a field name, found an empty one",
            "ranges[0]: expected min <= max, found 2 > 1 (no number lies in it)",
        ]
    );
    assert!(found[3].starts_with("kinds[0]: expected one of event, window, session, "));
    let none = issues(json!({"field": "v", "ranges": []}));
    assert_eq!(none, ["ranges: expected at least one range, found none"]);
    let same = issues(json!({"field": "v", "as": "v", "ranges": [{"label": "a"}]}));
    assert_eq!(same, ["warning: as: the label replaces the number in `v`"]);
}

#[test]
fn a_target_that_is_also_a_path_is_a_field() {
    let config = json!({"field": "a.v", "as": "a.c", "ranges": [{"label": "any"}]});
    let (outputs, _) = check_cuts(|| make(&config), &[r#"{"a":{"v":1,"c":2}}"#]);
    assert_eq!(outputs, [json!({"a": {"v": 1, "c": 2}, "a.c": "any"})]);
}

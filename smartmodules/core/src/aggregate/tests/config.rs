//! What is said about a wrong config, all of it at once.

use super::*;

fn errors(config: Json) -> Vec<String> {
    let config: AggregateConfig = serde_json::from_value(config).expect("a config");
    let result = Aggregate::new(config, &Context::default(), &mut Fields::default());
    result.err().unwrap_or_default().iter().map(|i| i.to_string()).collect()
}

fn window(more: Json) -> Json {
    let mut window = json!({"name": "w", "type": "tumbling", "size": "1m", "functions": {"n": {"type": "count"}}});
    window.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"group_by": ["page"], "windows": [window]})
}

#[test]
fn each_mistake_is_named_with_a_way_out() {
    let cases = [
        (json!({}), "windows: expected at least one window, found none"),
        (window(json!({"type": "sliding"})), "windows[0].slide: expected a duration, found nothing (as `slide: 30s`)"),
        (
            window(json!({"type": "sliding", "size": "5m", "slide": "40s"})),
            "windows[0].size: expected a multiple of the slide 40s, found 5m (4m40s or 5m20s would do)",
        ),
        (window(json!({"gap": "1s"})), "windows[0].gap: expected no `gap` in a tumbling window, found 1s"),
        (window(json!({"type": "session", "gap": "1s"})), "windows[0].size: expected no `size` in a session window"),
        (window(json!({"size": "0s"})), "windows[0].size: expected above 0s to 366d, found 0s"),
        (window(json!({"functions": {}})), "windows[0].functions: expected at least one function, found none"),
        (
            window(json!({"functions": {"p": {"type": "percentile", "parameter": 101, "field": "v"}}})),
            "windows[0].functions.p.parameter: expected 0 to 100, found 101",
        ),
        (
            window(json!({"functions": {"page": {"type": "count"}}})),
            "windows[0].functions.page: expected a name that is not in group_by, found `page`",
        ),
        (
            window(json!({"functions": {"window_end": {"type": "count"}}})),
            "windows[0].functions.window_end: expected a name that no row has by itself",
        ),
        (
            window(json!({"functions": {"n": {"type": "count"}, "e": {"type": "expression", "expression": "n / m"}}})),
            "windows[0].functions.e.expression: expected the name of a function of this window, found `m` (there are: n)",
        ),
        (
            window(json!({"functions": {
                "a": {"type": "expression", "expression": "b"}, "b": {"type": "expression", "expression": "1"},
            }})),
            "windows[0].functions.a.expression: expected a function that is known here, found `b`",
        ),
        (
            window(json!({"functions": {"t": {"type": "linear-regression", "field": "v", "unit": "per_unit"}}})),
            "windows[0].functions.t.unit: expected per_second, per_minute or per_hour over `timestamp`",
        ),
        (
            window(json!({"functions": {
                "t": {"type": "linear-regression", "field": "v"}, "t_r2": {"type": "count"},
            }})),
            "windows[0].functions.t_r2: expected each result field once, found `t_r2` again",
        ),
        (
            window(json!({"functions": {"f": {"type": "isolation-forest", "features": [], "threshold": 0.9}}})),
            "windows[0].functions.f.threshold: expected above 0 to 0.5, found 0.9",
        ),
        (
            window(json!({"type": "sliding", "slide": "1us"})),
            "windows[0].size: expected at most 10000 slices per window",
        ),
    ];
    for (config, expected) in cases {
        let found = errors(config);
        assert!(found.iter().any(|f| f.starts_with(expected)), "{expected}\n{found:#?}");
    }
}

#[test]
fn all_mistakes_come_at_once() {
    let config = json!({"max_groups": 0, "group_by": ["a", "a"], "windows": [
        {"name": "w", "type": "sliding", "size": "5m", "functions": {"x": {"type": "count", "where": "a >"}}},
        {"name": "w", "type": "session", "functions": {}},
    ]});
    let found = errors(config);
    assert_eq!(found.len(), 6, "{found:#?}");
    let where_error = window(json!({"functions": {"x": {"type": "count", "where": "a >"}}}));
    let found = errors(where_error);
    assert!(found.len() == 1 && found[0].starts_with("windows[0].functions.x.where"), "{found:#?}");
}

#[test]
fn unknown_keys_and_types_are_refused() {
    for (config, expected) in [
        (window(json!({"sise": "1m"})), "unknown field `sise`"),
        (window(json!({"functions": {"n": {"type": "count", "filed": "v"}}})), "n: unknown field `filed`"),
        (window(json!({"functions": {"n": {"type": "median"}}})), "n: unknown variant `median`"),
        (window(json!({"functions": {"n": {"type": "sum"}}})), "n: missing field `field`"),
    ] {
        let error = serde_json::from_value::<AggregateConfig>(config).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let twice = r#"{"n": {"type": "count"}, "n": {"type": "count"}}"#;
    let error = serde_json::from_str::<super::super::config::Functions>(twice).unwrap_err().to_string();
    assert!(error.contains("the function `n` is there twice"), "{error}");
}

#[test]
fn doubtful_configs_are_warned_about() {
    let warnings = |config: Json| -> Vec<String> {
        let config: AggregateConfig = serde_json::from_value(config).unwrap();
        Aggregate::warnings(&config).iter().map(|i| i.path.clone()).collect()
    };
    assert_eq!(warnings(window(json!({}))), Vec::<String>::new());
    assert_eq!(warnings(window(json!({"trigger": "processing-time"}))), ["windows[0].allowed_lateness"]);
    assert_eq!(warnings(window(json!({"output_interval": "45s"}))), ["windows[0].output_interval"]);
    assert_eq!(warnings(window(json!({"type": "sliding", "slide": "50ms"}))), ["windows[0].size"]);
    let session = json!({"windows": [{
        "name": "s", "type": "session", "gap": "5m", "timeout": "1m", "functions": {"n": {"type": "count"}},
    }]});
    assert_eq!(warnings(session), ["windows[0].max_length"]);
}

#[test]
fn the_config_of_the_design_page_is_read() {
    let config = json!({
        "group_by": ["page", "browser"],
        "windows": [
            {"name": "one_minute", "type": "tumbling", "size": "1m", "functions": {
                "p75": {"type": "percentile", "parameter": 75, "field": "value"},
                "p95": {"type": "percentile", "parameter": 95, "field": "value"},
                "count": {"type": "count"}}},
            {"name": "five_minutes", "type": "sliding", "size": "5m", "slide": "30s", "allowed_lateness": "1m",
             "trigger": "processing-time", "output_interval": "30s", "functions": {
                "p75_lcp": {"type": "percentile", "parameter": 75, "field": "value"},
                "trend_slope": {"type": "linear-regression", "field": "value", "over": "timestamp", "unit": "per_minute"},
                "anomaly_score": {"type": "isolation-forest", "features": ["value", "browser", "device"],
                                  "threshold": 0.1, "seed": 42}}},
        ],
    });
    let (stage, _) = make(&config, 30);
    assert_eq!(stage.plan.slice_us, 30 * SECOND);
    assert_eq!(stage.plan.accs.len(), 3);
    let parsed: AggregateConfig = serde_json::from_value(config).unwrap();
    let again: AggregateConfig = serde_json::from_value(serde_json::to_value(&parsed).unwrap()).unwrap();
    assert_eq!(again, parsed);
}

#[cfg(feature = "schema")]
#[test]
fn the_schema_describes_every_field() {
    let schema = serde_json::to_value(schemars::schema_for!(AggregateConfig)).unwrap();
    fn undescribed(schema: &Json, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            // A tag has one value and needs no words.
            if property.get("const").is_none() && property.get("description").is_none() {
                found.push(format!("{path}.{name}"));
            }
        }
        match schema {
            Json::Object(map) => map.iter().for_each(|(k, v)| undescribed(v, &format!("{path}/{k}"), found)),
            Json::Array(list) => list.iter().for_each(|v| undescribed(v, path, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    assert_eq!(found, Vec::<String>::new());
    let kinds = &schema["$defs"]["Function"]["oneOf"];
    assert_eq!(kinds.as_array().map(Vec::len), Some(15));
    let open = kinds.as_array().unwrap().iter().filter(|k| k["additionalProperties"] != false);
    assert_eq!(open.count(), 0, "unknown keys are refused: {kinds:#}");
}

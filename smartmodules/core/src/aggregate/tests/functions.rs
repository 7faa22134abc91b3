//! Each function's result on small windows.

use super::*;

fn one(functions: Json, events: &[(f64, Json)]) -> Json {
    let config = json!({"windows": [
        {"name": "w", "type": "sliding", "size": "60s", "slide": "15s", "functions": functions},
    ]});
    let mut steps: Vec<Step> = events.iter().map(|(t, e)| event(*t, e.clone())).collect();
    steps.push(Step::End);
    let (rows, _) = check(&config, 3600, &steps);
    // The window [0, 60) holds everything.
    rows.into_iter().find(|r| r["window_end"] == START / 1000 + 60_000).expect("the window")
}

fn values(list: &[f64]) -> Vec<(f64, Json)> {
    list.iter().enumerate().map(|(n, v)| (n as f64 * 7.0, json!({"value": v}))).collect()
}

#[test]
fn statistics_of_a_field() {
    let functions = json!({
        "sum": {"type": "sum", "field": "value"}, "min": {"type": "min", "field": "value"},
        "max": {"type": "max", "field": "value"}, "mean": {"type": "mean", "field": "value"},
        "sd": {"type": "stddev", "field": "value"},
    });
    let mut events = values(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
    events.extend([(1.0, json!({"value": "7"})), (2.0, json!({"value": null})), (3.0, json!({}))]);
    let row = one(functions.clone(), &events);
    assert_eq!(
        (&row["sum"], &row["min"], &row["max"], &row["mean"]),
        (&json!(40.0), &json!(2.0), &json!(9.0), &json!(5.0))
    );
    assert!((row["sd"].as_f64().unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
    let row = one(functions, &[(0.0, json!({"value": "7"}))]);
    for name in ["sum", "min", "max", "mean", "sd"] {
        assert_eq!(row[name], json!(null), "{name}");
    }
}

#[test]
fn fields_stand_in_the_order_of_the_config() {
    let functions = r#"{"group_by":["page"],"windows":[{"name":"w","type":"tumbling","size":"60s","functions":{
        "z":{"type":"count"},"trend":{"type":"linear-regression","field":"v"},"a":{"type":"expression","expression":"z * 2"}}}]}"#;
    let config: AggregateConfig = serde_json::from_str(functions).unwrap();
    let context = Context::default();
    let mut fields = Fields::default();
    let mut stage = Aggregate::new(config, &context, &mut fields).unwrap();
    let mut out = Output::default();
    let input = pack(START, START, 0, &json!({"page": 1, "v": 2}));
    let batch = input.as_batch();
    out.begin(&[]);
    stage.process(&Rows::new(&batch, &fields, 0).next().unwrap().unwrap(), &mut out);
    stage.tick(&Tick { time: START, offset: 0, end_of_input: true }, &mut out);
    stage.drain(&mut out);
    let batch = out.as_batch();
    let fields = Fields::default();
    let mut rows = Rows::new(&batch, &fields, 0);
    let row = rows.next().unwrap().unwrap();
    let names: Vec<&str> = row.fields().map(|(name, _)| name).collect();
    let expected = [
        "id",
        "pipeline",
        "stage",
        "window",
        "window_start",
        "window_end",
        "page",
        "z",
        "trend",
        "trend_intercept",
        "trend_r2",
        "trend_p_value",
        "a",
        "revision",
    ];
    assert_eq!(names, expected);
    assert!(row.fields().any(|f| f == ("page", Value::Int(1))), "group values keep their form");
    assert!(row.fields().any(|f| f == ("a", Value::Float(2.0))));
}

#[test]
fn many_values_are_approximate_and_said_so() {
    let functions = json!({
        "p75": {"type": "percentile", "parameter": 75, "field": "value"},
        "few": {"type": "percentile", "parameter": 50, "field": "other"},
        "max": {"type": "percentile", "parameter": 100, "field": "value"},
    });
    let mut events: Vec<(f64, Json)> = (0..600).map(|n| (n as f64 / 10.0, json!({"value": n as f64 / 1e4}))).collect();
    events[3].1["other"] = json!(1.5);
    let row = one(functions.clone(), &events);
    assert_eq!(row["approximate"], json!(["max", "p75"]));
    assert_eq!((&row["few"], &row["max"]), (&json!(1.5), &json!(0.0599)));
    let p75 = row["p75"].as_f64().unwrap();
    assert!((0.0449 * 0.999..=0.045 * 1.001).contains(&p75), "{p75}");
    let row = one(functions, &events[..512]);
    assert!(row.get("approximate").is_none());
    assert!((row["p75"].as_f64().unwrap() - 0.038325).abs() < 1e-12);
}

#[test]
fn a_trend_over_time_and_over_a_field() {
    let events: Vec<(f64, Json)> = (0..30)
        .map(|n| {
            let t = n as f64 * 1.9;
            let noise = [0.5, -0.25, 1.0][n % 3];
            (t, json!({"y": 100.0 + 3.0 * t + noise, "x": n, "exact": 5 - 2 * n as i64}))
        })
        .collect();
    let functions = json!({
        "per_min": {"type": "linear-regression", "field": "y"},
        "per_sec": {"type": "linear-regression", "field": "y", "over": "timestamp", "unit": "per_second"},
        "by_x": {"type": "linear-regression", "field": "exact", "over": "x"},
        "none": {"type": "linear-regression", "field": "absent"},
    });
    let row = one(functions, &events);
    let get = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
    let (n, mut sx, mut sy) = (events.len() as f64, 0.0, 0.0);
    for (t, e) in &events {
        sx += t;
        sy += e["y"].as_f64().unwrap();
    }
    let (mut sxx, mut sxy) = (0.0, 0.0);
    for (t, e) in &events {
        sxx += (t - sx / n).powi(2);
        sxy += (t - sx / n) * (e["y"].as_f64().unwrap() - sy / n);
    }
    let slope = sxy / sxx;
    assert!((get("per_sec") / slope - 1.0).abs() < 1e-9, "{} {slope}", get("per_sec"));
    assert!((get("per_min") / slope / 60.0 - 1.0).abs() < 1e-9);
    // The window starts at 0, where the line was drawn from.
    assert!((get("per_sec_intercept") / (sy / n - slope * sx / n) - 1.0).abs() < 1e-9);
    assert!((get("by_x") + 2.0).abs() < 1e-12 && (get("by_x_intercept") - 5.0).abs() < 1e-12);
    assert_eq!(get("by_x_r2"), 1.0);
    assert!(get("per_sec_r2") > 0.99 && get("per_sec_p_value") < 1e-9);
    for name in ["none", "none_intercept", "none_r2", "none_p_value"] {
        assert_eq!(row[name], json!(null), "{name}");
    }
}

#[test]
fn lists_keep_the_order_of_arrival() {
    let functions = json!({
        "all": {"type": "collect-list", "field": "tags"},
        "set": {"type": "collect-list", "field": "tags", "distinct": true},
        "two": {"type": "collect-list", "field": "tags", "distinct": true, "limit": 2},
        "fast": {"type": "collect-list", "field": "tags", "where": "ok = true"},
    });
    // Arrival runs against event time over the slices of 15 s.
    let events = [
        (50.0, json!({"tags": "c", "ok": true})),
        (5.0, json!({"tags": ["a", "c", null, {"x": 1}]})),
        (51.0, json!({"tags": null})),
        (20.0, json!({"tags": "b", "ok": true})),
        (6.0, json!({"tags": 7, "ok": false})),
    ];
    let row = one(functions, &events);
    assert_eq!(row["all"], json!(["c", "a", "c", {"x": 1}, "b", 7]));
    assert_eq!(row["set"], json!(["c", "a", {"x": 1}, "b", 7]));
    assert_eq!(row["two"], json!(["c", "a"]));
    assert_eq!(row["fast"], json!(["c", "b"]));
}

#[test]
fn ratios_rates_and_expressions() {
    let functions = json!({
        "errors": {"type": "count", "where": "status >= 500"},
        "share": {"type": "expression", "expression": "errors / total"},
        "worse": {"type": "expression", "expression": "share > 0.2"},
        "ratio": {"type": "ratio", "where": "status >= 500"},
        "rate": {"type": "rate", "unit": "per_second"},
        "error_rate": {"type": "rate", "where": "status >= 500"},
        "total": {"type": "count"},
        "nothing": {"type": "expression", "expression": "errors / (total - 4)"},
    });
    let events: Vec<(f64, Json)> =
        [200, 503, 404, 200].iter().enumerate().map(|(n, s)| (n as f64 * 15.0, json!({"status": s}))).collect();
    let row = one(functions, &events);
    assert_eq!((&row["errors"], &row["total"], &row["share"]), (&json!(1), &json!(4), &json!(0.25)));
    assert_eq!((&row["ratio"], &row["worse"], &row["nothing"]), (&json!(0.25), &json!(true), &json!(null)));
    assert_eq!((&row["rate"], &row["error_rate"]), (&json!(4.0 / 60.0), &json!(1.0)));
}

#[test]
fn cls_sums_the_largest_burst() {
    let shift = |t: f64, v: f64| (t, json!({"value": v, "start": t * 1000.0}));
    let events = [shift(20.0, 0.1), shift(1.0, 0.05), shift(1.9, 0.25), shift(2.9, 0.5), shift(20.5, 0.15)];
    let functions = json!({
        "cls": {"type": "cls-with-session-gaps"},
        "by_field": {"type": "cls-with-session-gaps", "field": "value", "time": "start"},
    });
    let row = one(functions, &events);
    // 2.9 is a full second after 1.9: a window of its own, and the largest.
    assert_eq!((&row["cls"], &row["by_field"]), (&json!(0.5), &json!(0.5)));
}

#[test]
fn other_rows_pass_and_events_only_if_asked() {
    for pass in [false, true] {
        let config = json!({"pass_events": pass, "windows": [
            {"name": "w", "type": "tumbling", "size": "60s", "functions": {"n": {"type": "count"}}},
        ]});
        let (rows, stage) = check(&config, 0, &[event(1.0, json!({"a": 1})), Step::End]);
        assert_eq!(rows.len(), 1 + usize::from(pass));
        let names: Vec<&str> = stage.counters().iter().map(|(n, _)| *n).collect();
        assert_eq!(names.contains(&"passed"), pass);
        assert_eq!(count(&stage, "counted"), u64::from(!pass));
    }
}

#[test]
fn counters_grow_and_start_anew() {
    let functions = json!({
        "rate": {"type": "counter-rate", "field": "value", "series": ["cpu"]},
        "idle": {"type": "counter-rate", "field": "value", "series": ["cpu"], "where": "mode = 'idle'", "unit": "per_minute"},
    });
    let sample = |t: f64, cpu: &str, value: f64| (t, json!({"cpu": cpu, "mode": "user", "value": value}));
    // Two counters over four slices; the second is at 2 again after 8, so it has grown by 8 - 4 + 2 + 1.
    let events = [
        sample(0.0, "0", 10.0),
        sample(1.0, "1", 4.0),
        sample(20.0, "0", 12.0),
        sample(21.0, "1", 8.0),
        sample(40.0, "0", 14.0),
        sample(41.0, "1", 2.0),
        sample(50.0, "1", 3.0),
        // Older than the last of its slice: left out. No count: left out. A counter of one sample: no growth.
        sample(45.0, "1", 2.5),
        sample(55.0, "0", -1.0),
        sample(55.0, "2", 100.0),
    ];
    let row = one(functions.clone(), &events);
    let expected = 4.0 / 40.0 + 7.0 / 49.0;
    assert!((row["rate"].as_f64().unwrap() - expected).abs() < 1e-12, "{row}");
    assert_eq!((&row["rate_series"], &row["idle"], &row["idle_series"]), (&json!(2), &json!(null), &json!(null)));
    let wrong = json!({"x": {"type": "counter-rate", "field": "v", "unit": "per_unit"}});
    let config = json!({"windows": [{"name": "w", "type": "tumbling", "size": "60s", "functions": wrong}]});
    let config: AggregateConfig = serde_json::from_value(config).unwrap();
    let refused = Aggregate::new(config, &Context::default(), &mut Fields::default()).unwrap_err();
    assert!(refused.iter().any(|i| i.to_string().contains("found per_unit")), "{refused:?}");
}

/// However the samples are cut into slices and sessions, a counter grows by the same.
#[test]
fn growth_does_not_depend_on_slices() {
    let events: Vec<(f64, Json)> = (0..60).map(|n| (f64::from(n), json!({"value": n * n % 37}))).collect();
    let config = |windows: Json| json!({ "windows": windows });
    let rate = json!({"rate": {"type": "counter-rate", "field": "value"}});
    let of = |window: Json| {
        let mut steps: Vec<Step> = events.iter().map(|(t, e)| event(*t, e.clone())).collect();
        steps.push(Step::End);
        let (rows, _) = check(&config(json!([window])), 3600, &steps);
        rows.iter().filter_map(|row| row["rate"].as_f64()).next_back().expect("a rate")
    };
    let grown: f64 = (1..60)
        .map(|n| (n * n % 37, (n - 1) * (n - 1) % 37))
        .map(|(now, before)| f64::from(if now >= before { now - before } else { now }))
        .sum();
    let whole = of(json!({"name": "w", "type": "tumbling", "size": "60s", "functions": rate}));
    let session = of(json!({"name": "w", "type": "session", "gap": "5s", "functions": rate}));
    let sliced = one(rate.clone(), &events)["rate"].as_f64().expect("a rate");
    for found in [whole, session, sliced] {
        assert!((found - grown / 59.0).abs() < 1e-12, "{found} against {}", grown / 59.0);
    }
}

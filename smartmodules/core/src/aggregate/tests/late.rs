//! Lateness, revisions, triggers, ticks and the end of the input.

use super::*;

fn config(more: Json) -> Json {
    let mut window = json!({
        "name": "w", "type": "tumbling", "size": "60s",
        "functions": {"count": {"type": "count"}},
    });
    window.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"windows": [window]})
}

fn at(times: &[f64]) -> Vec<Step> {
    times.iter().map(|t| event(*t, json!({"value": 1}))).collect()
}

#[test]
fn an_event_closes_windows_before_it_and_not_its_own() {
    let (rows, _) = check(&config(json!({})), 10, &at(&[5.0, 59.9, 69.9, 60.0, 70.0]));
    assert_eq!(brief(&rows, &["count", "revision"]), [json!([60.0, 2, 0])]);
    let window = of_kind(&rows, "window")[0];
    let names: Vec<&String> = window.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 10, "{names:?}");
    assert_eq!(window["timestamp"], "2026-01-01T00:01:00Z");
    assert_eq!(window["window_start"], START / 1000);
    assert_eq!(window["stage"], "aggregate");
}

#[test]
fn revisions_come_once_per_slide_or_when_lateness_ends() {
    let config = config(json!({"allowed_lateness": "90s"}));
    // 61 closes [0, 60). 30 and 31 correct it, once, when the clock crosses 120; 32 when 150 ends it.
    let mut steps = at(&[5.0, 61.0, 30.0, 31.0, 119.0, 125.0, 32.0, 149.0, 151.0, 33.0]);
    let (rows, stage) = check(&config, 0, &steps);
    let expected = [json!([60.0, 1, 0]), json!([60.0, 3, 1]), json!([120.0, 2, 0]), json!([60.0, 4, 2])];
    assert_eq!(brief(&rows, &["count", "revision"]), expected);
    let late = of_kind(&rows, "late");
    assert_eq!((late.len(), &late[0]["late_by_ms"], &late[0]["value"]), (1, &json!(1000), &json!(1)));
    assert_eq!((count(&stage, "late"), count(&stage, "revisions"), count(&stage, "windows")), (1, 2, 2));
    // Nothing changed since: nothing but the last window comes.
    steps.push(Step::End);
    let (all, _) = check(&config, 0, &steps);
    assert_eq!(brief(&all[rows.len()..], &["count", "revision"]), [json!([180.0, 3, 0])]);
}

#[test]
fn ids_differ_by_revision_and_repeat_in_a_replay() {
    let config = config(json!({"allowed_lateness": "90s"}));
    let steps = at(&[5.0, 61.0, 30.0, 121.0]);
    let (rows, _) = check(&config, 0, &steps);
    let (again, _) = check(&config, 0, &steps);
    let ids: Vec<&Json> = rows.iter().map(|r| &r["id"]).collect();
    assert_eq!(ids, again.iter().map(|r| &r["id"]).collect::<Vec<_>>());
    assert_eq!(rows.len(), 3);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

#[test]
fn an_event_may_be_late_for_one_window_only() {
    let both = json!({"windows": [
        {"name": "strict", "type": "tumbling", "size": "30s", "functions": {"n": {"type": "count"}}},
        {"name": "lax", "type": "tumbling", "size": "30s", "allowed_lateness": "1h", "functions": {"n": {"type": "count"}}},
    ]});
    let mut steps = at(&[1.0, 31.0, 2.0]);
    steps.push(Step::End);
    let (rows, stage) = check(&both, 0, &steps);
    let shown = brief(&rows, &["window", "n", "revision"]);
    let expected = [
        json!([30.0, "strict", 1, 0]),
        json!([30.0, "lax", 1, 0]),
        json!([30.0, "lax", 2, 1]),
        json!([60.0, "strict", 1, 0]),
        json!([60.0, "lax", 1, 0]),
    ];
    assert_eq!(shown, expected);
    assert_eq!((count(&stage, "late_partly"), count(&stage, "late"), count(&stage, "counted")), (1, 0, 3));
}

#[test]
fn processing_time_closes_by_log_time() {
    let config = config(json!({"trigger": "processing-time", "allowed_lateness": "30s"}));
    let steps = [
        Step::Event(5.0, 6.0, json!({})),
        // Far ahead in event time: closes nothing.
        Step::Event(500.0, 7.0, json!({})),
        Step::Event(6.0, 60.0, json!({})),
        Step::Event(7.0, 89.0, json!({})),
        Step::Event(8.0, 90.0, json!({})),
        Step::Event(9.0, 91.0, json!({})),
    ];
    let (rows, _) = check(&config, 0, &steps);
    assert_eq!(brief(&rows, &["count", "revision"]), [json!([60.0, 2, 0]), json!([60.0, 4, 1])]);
    assert_eq!(of_kind(&rows, "late").len(), 1);
}

#[test]
fn an_output_interval_gathers_results() {
    let config = json!({"windows": [{
        "name": "w", "type": "sliding", "size": "20s", "slide": "10s", "output_interval": "30s",
        "functions": {"count": {"type": "count"}},
    }]});
    let steps = at(&[1.0, 11.0, 21.0, 29.0]);
    let (rows, _) = check(&config, 0, &steps);
    assert_eq!(rows.len(), 0);
    let mut steps = steps;
    // Not out yet, so 2 is in time though the allowed lateness is 0.
    steps.extend(at(&[2.0, 30.0]));
    let (rows, _) = check(&config, 0, &steps);
    assert_eq!(brief(&rows, &["count"]), [json!([10.0, 2]), json!([20.0, 3]), json!([30.0, 3])]);
}

#[test]
fn ticks_close_a_silent_stream() {
    let mut steps = at(&[5.0]);
    steps.extend([Step::Tick(34.0), Step::Tick(36.0)]);
    let (rows, _) = check(&config(json!({})), 10, &steps);
    assert_eq!(rows.len(), 0);
    // Idle after 30 s of silence at 35 s; the watermark then runs 30 s behind the ticks.
    steps.extend([Step::Tick(89.0), Step::Tick(90.5)]);
    let (rows, _) = check(&config(json!({})), 10, &steps);
    assert_eq!(brief(&rows, &["count"]), [json!([60.0, 1])]);
    // The row says what triggered it: nothing of it is the tick's, but it came at the fifth step.
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_hundred_years_of_silence_cost_nothing() {
    let config = json!({"windows": [
        {"name": "w", "type": "sliding", "size": "1s", "slide": "1ms", "functions": {"count": {"type": "count"}}},
    ]});
    let steps = [event(0.0005, json!({})), event(3.15e9, json!({})), Step::End];
    let (mut stage, fields) = make(&config, 0);
    let rows = feed(&mut stage, &fields, 0, &steps, 7);
    assert_eq!(rows.len(), 2000);
    assert_eq!(count(&stage, "groups"), 0);
}

#[test]
fn the_end_closes_everything_and_what_follows_is_late() {
    let mut steps = at(&[5.0, 65.0]);
    steps.push(Step::End);
    steps.extend(at(&[70.0]));
    let (rows, stage) = check(&config(json!({})), 10, &steps);
    assert_eq!(brief(&rows, &["count"]), [json!([60.0, 1]), json!([120.0, 1])]);
    assert_eq!((count(&stage, "late"), count(&stage, "groups")), (1, 0));
}

#[test]
fn through_the_decoder_and_in_any_batches() {
    let config = config(json!({"allowed_lateness": "20s", "size": "4s"}));
    let lines: Vec<String> = (0..40)
        .map(|n: i64| {
            let back = [0, 3, 1, 9, 2][n as usize % 5];
            json!({"timestamp": START / SECOND + n - back, "n": n}).to_string()
        })
        .chain(["@tick 2026-01-01T00:01:30Z".into(), "@end".into()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (rows, counters) = crate::testing::check_cuts(|| make(&config, 2), &lines);
    let latest: std::collections::BTreeMap<i64, u64> =
        rows.iter().map(|r| (r["window_end"].as_i64().unwrap(), r["count"].as_u64().unwrap())).collect();
    assert_eq!(latest.values().sum::<u64>(), 40);
    assert_eq!(counters[1], ("counted", 40));
}

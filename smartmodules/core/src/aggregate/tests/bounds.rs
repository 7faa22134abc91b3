//! Caps, memory, damaged states and forged rows.

use super::*;
use crate::clock::NEVER;

fn config(max_groups: u32) -> Json {
    json!({"group_by": ["page", "browser"], "max_groups": max_groups, "windows": [{
        "name": "w", "type": "tumbling", "size": "60s",
        "functions": {"count": {"type": "count"}, "tags": {"type": "collect-list", "field": "page"}},
    }]})
}

fn hits(pages: std::ops::Range<usize>, time_s: f64) -> Vec<Step> {
    pages.map(|n| event(time_s, json!({"page": format!("/{n}"), "browser": n % 2}))).collect()
}

#[test]
fn beyond_the_cap_groups_share_one() {
    let mut steps = hits(0..5, 1.0);
    steps.extend(hits(0..2, 2.0));
    steps.extend(hits(10..12, 61.0));
    steps.push(Step::End);
    let (rows, stage) = check(&config(3), 0, &steps);
    let alerts = of_kind(&rows, "alert");
    assert_eq!(alerts.len(), 1);
    assert_eq!((&alerts[0]["rule"], &alerts[0]["max_groups"]), (&json!("cardinality-cap"), &json!(3)));
    let expected = [
        json!([60.0, "/0", 0, 2]),
        json!([60.0, "/1", 1, 2]),
        json!([60.0, "/2", 0, 1]),
        json!([60.0, "__other__", "__other__", 2]),
        // 61 came while the first minute's groups were still there.
        json!([120.0, "__other__", "__other__", 1]),
        json!([120.0, "/11", 1, 1]),
    ];
    assert_eq!(brief(&rows, &["page", "browser", "count"]), expected);
    assert_eq!((count(&stage, "other"), count(&stage, "groups")), (3, 0));
}

#[test]
fn the_memory_limit_caps_groups_and_lists() {
    let context = Context { max_state_bytes: 3000, ..Context::default() };
    let (mut stage, fields) = make_in(&config(1000), &context);
    let rows = feed(&mut stage, &fields, 0, &hits(0..1000, 1.0), usize::MAX);
    assert_eq!(of_kind(&rows, "alert").len(), 1);
    let groups = count(&stage, "groups");
    assert!((5..20).contains(&groups), "{groups}");
    assert_eq!(count(&stage, "other"), 1000 - groups + 1);
    assert!(stage.groups.bytes() < 3600, "{}", stage.groups.bytes());
    let rows = feed(&mut stage, &fields, 1000, &[Step::End], usize::MAX);
    let total: u64 = rows.iter().map(|r| r["count"].as_u64().unwrap()).sum();
    assert_eq!((total, stage.groups.bytes()), (1000, 0));
}

#[test]
fn groups_go_when_their_slices_do() {
    let mut steps = hits(0..50, 1.0);
    steps.extend(hits(50..51, 130.0));
    let (_, stage) = check(&config(1000), 0, &steps);
    assert_eq!(count(&stage, "groups"), 1);
}

#[test]
fn a_slice_is_small() {
    let config = json!({"group_by": ["page"], "windows": [{
        "name": "w", "type": "sliding", "size": "5m", "slide": "30s",
        "functions": {
            "count": {"type": "count"},
            "p75": {"type": "percentile", "parameter": 75, "field": "value"},
            "p95": {"type": "percentile", "parameter": 95, "field": "value"},
        },
    }]});
    let steps: Vec<Step> = (0..20).map(|n| event(n as f64 * 15.0, json!({"page": "/", "value": n}))).collect();
    let (mut stage, fields) = make(&config, 0);
    feed(&mut stage, &fields, 0, &steps, usize::MAX);
    assert_eq!(stage.plan.accs.len(), 1, "count needs nothing, both percentiles share");
    let group = stage.groups.get(0).unwrap();
    assert_eq!(group.slices.len(), 10);
    let slice = size_of::<crate::aggregate::groups::Slice>() + size_of::<crate::aggregate::acc::Acc>();
    assert!(slice <= 96, "{slice} bytes, on a 64-bit machine");
}

#[test]
fn events_without_a_believable_time_are_dead() {
    let (mut stage, fields) = make(&config(10), 0);
    for (time, reason) in [(NEVER, "missing_time"), (i64::MAX, "invalid_time"), (i64::MIN + 1, "invalid_time")] {
        let input = pack(time, START, 0, &json!({"page": "/"}));
        let batch = input.as_batch();
        let mut out = Output::default();
        out.begin(batch.names());
        stage.process(&Rows::new(&batch, &fields, 0).next().unwrap().unwrap(), &mut out);
        assert_eq!(json_rows(&out)[0]["reason"], reason);
    }
    assert_eq!((count(&stage, "dead"), count(&stage, "in"), stage.pending()), (3, 3, false));
}

#[test]
fn extreme_times_do_not_overflow() {
    let config = json!({"windows": [
        {"name": "t", "type": "sliding", "size": "366d", "slide": "61d", "allowed_lateness": "366d",
         "functions": {"n": {"type": "count"}}},
        {"name": "s", "type": "session", "gap": "366d", "allowed_lateness": "366d", "functions": {"n": {"type": "count"}}},
        {"name": "p", "type": "tumbling", "size": "366d", "trigger": "processing-time", "output_interval": "7d",
         "functions": {"n": {"type": "rate"}}},
    ]});
    let (mut stage, fields) = make(&config, 10);
    let times = [-62_167_219_200.0, 253_402_300_799.0, 0.0, -62_167_219_200.0, 253_402_300_799.0];
    let first = START as f64 / 1e6;
    let steps: Vec<Step> =
        times.iter().map(|t| Step::Event(t - first, t - first, json!({}))).chain([Step::End]).collect();
    let rows = feed(&mut stage, &fields, 0, &steps, usize::MAX);
    assert_eq!(of_kind(&rows, "dead_letter").len(), 0);
    assert_eq!(count(&stage, "counted") + count(&stage, "late"), 5);
    assert_eq!(count(&stage, "groups"), 0);
}

#[test]
fn damaged_states_are_refused_and_never_panic() {
    let (mut stage, fields) = make(&config(10), 0);
    feed(&mut stage, &fields, 0, &hits(0..4, 1.0), usize::MAX);
    let state = stage.snapshot();
    for cut in 0..state.len() {
        assert!(make(&config(10), 0).0.restore(&state[..cut]).is_err(), "{cut}");
    }
    for at in 0..state.len() {
        let mut bytes = state.clone();
        bytes[at] ^= 0x55;
        let (mut stage, fields) = make(&config(10), 0);
        if stage.restore(&bytes).is_ok() {
            feed(&mut stage, &fields, 0, &hits(0..2, 5.0), usize::MAX);
        }
    }
    let other =
        json!({"windows": [{"name": "w", "type": "tumbling", "size": "60s", "functions": {"n": {"type": "count"}}}]});
    assert!(make(&other, 0).0.restore(&state).is_err());
}

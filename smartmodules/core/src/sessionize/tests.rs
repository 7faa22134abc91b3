//! Sessions: how they begin and end, what they hold, and any cut of the stream.

use super::*;
use crate::duration::Span;
use crate::testing::{Feed, check_cuts, counter, run};
use serde_json::{Value, json};

mod vectors;

fn config(more: Value) -> SessionizeConfig {
    let mut config = json!({ "key": "sessionId" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(config).unwrap()
}

fn stage_in(context: &Context, more: Value) -> (Sessionize, Fields) {
    let mut fields = Fields::default();
    let stage = Sessionize::new(config(more), context, &mut fields).unwrap();
    (stage, fields)
}

fn stage(more: Value) -> (Sessionize, Fields) {
    let context = Context { pipeline: "p".into(), stage: "sessionize".into(), ..Context::default() };
    stage_in(&context, more)
}

fn check(more: Value, lines: &[&str]) -> (Vec<Value>, BTreeMap<&'static str, u64>) {
    let (rows, counters) = check_cuts(|| stage(more.clone()), lines);
    let counters: BTreeMap<_, _> = counters.into_iter().collect();
    let ends = ["counted", "late", "dead", "passed"].iter().map(|name| counters[name]).sum::<u64>();
    assert_eq!(ends, counters["in"], "{counters:?}");
    (rows, counters)
}

fn column<'r>(rows: &'r [Value], name: &str) -> Vec<&'r Value> {
    rows.iter().map(|row| &row[name]).collect()
}

#[test]
fn the_row_of_a_cls_session() {
    let functions = json!({
        "session_cls": { "type": "cls-with-session-gaps" },
        "shift_sources": { "type": "collect-list", "field": "sources", "distinct": true },
        "n": { "type": "count" },
    });
    let lines = [
        r##"{"timestamp":"2026-01-01T00:00:00.100Z","sessionId":"s1","page":"/a","startTime":100,"value":0.25,"hadRecentInput":false,"sources":["#a","#b"]}"##,
        r##"{"timestamp":"2026-01-01T00:00:00.500Z","sessionId":"s1","page":"/a","startTime":500,"value":0.5,"hadRecentInput":true,"sources":["#menu"]}"##,
        r##"{"timestamp":"2026-01-01T00:00:00.600Z","sessionId":"s1","page":"/b","startTime":600,"value":0.125,"hadRecentInput":false,"sources":["#b"]}"##,
        r##"{"timestamp":"2026-01-01T00:05:00.600Z","sessionId":"s2","startTime":1,"value":0}"##,
    ];
    let (rows, counters) = check(json!({ "method": "cls", "functions": functions }), &lines);
    let mut row = rows[0].clone();
    assert_eq!(row["id"].as_str().map(str::len), Some(32));
    row.as_object_mut().unwrap().remove("id");
    let want = json!({
        "kind": "session", "timestamp": "2026-01-01T00:00:00.6Z", "pipeline": "p", "stage": "sessionize",
        "sessionId": "s1", "page": "/b", "navigation": 0, "navigationType": "navigate",
        "session_start": 1767225600100i64, "session_end": 1767225600600i64, "events": 3, "closed_by": "timeout",
        "cumulativeShift": 0.375, "largestShift": 0.25, "largestShiftTarget": "#a", "shiftSources": ["#a", "#b"],
        "window_entries": [0, 2], "stability": "poor", "cls_rating": "poor",
        "n": 3, "session_cls": 0.375, "shift_sources": ["#a", "#b", "#menu"],
    });
    assert_eq!(row, want);
    assert_eq!(rows.len(), 1);
    assert_eq!((counters["sessions"], counters["open"], counters["counted"]), (1, 1, 4));
}

#[test]
fn a_session_ends_by_watermark_tick_and_end() {
    let a = r#"{"timestamp":"2026-01-01T00:00:00Z","sessionId":"a"}"#;
    let before = r#"{"timestamp":"2026-01-01T00:04:59.999Z","sessionId":"b"}"#;
    let at = r#"{"timestamp":"2026-01-01T00:05:00Z","sessionId":"b"}"#;
    assert_eq!(check(json!({}), &[a, before]).0.len(), 0);
    assert_eq!(column(&check(json!({}), &[a, at]).0, "sessionId"), ["a"]);
    // Idle for 30 s by ticks, then the watermark follows them at that distance.
    let ticks = ["@tick 2026-01-01T00:05:29Z", "@tick 2026-01-01T00:05:30Z"];
    assert_eq!(check(json!({}), &[a, ticks[0]]).0.len(), 0);
    assert_eq!(check(json!({}), &[a, ticks[0], ticks[1]]).0[0]["closed_by"], "timeout");
    assert_eq!(check(json!({}), &[a, "@end"]).0[0]["closed_by"], "end_of_input");
    let short = json!({ "timeout": "1s" });
    assert_eq!(check(short, &[a, at, "@end"]).1["sessions"], 2);
}

#[test]
fn an_event_after_the_idle_time_opens_the_next_session() {
    // Even while the watermark, 10 minutes behind, has not ended the first.
    let context = Context { out_of_orderness: Span::minutes(10), ..Context::default() };
    let lines = [
        r#"{"timestamp":"2026-01-01T00:00:00Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:04:00Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:09:00Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:01:00Z","sessionId":"a"}"#,
        "@end",
    ];
    let (rows, _) = check_cuts(|| stage_in(&context, json!({})), &lines);
    assert_eq!(column(&rows, "events"), [2, 2]);
    assert_eq!(rows[1]["session_start"], 1767225660000i64);
    assert_ne!(rows[0]["id"], rows[1]["id"]);
}

#[test]
fn max_length_ends_a_busy_session() {
    let lines: Vec<String> = (0..20)
        .map(|m| format!(r#"{{"timestamp":"2026-01-01T00:{m:02}:00Z","sessionId":"a"}}"#))
        .chain(["@end".to_string()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (rows, _) = check(json!({ "max_length": "8m" }), &lines);
    assert_eq!(column(&rows, "events"), [8, 8, 4]);
    assert_eq!(column(&rows, "closed_by"), ["max_length", "max_length", "end_of_input"]);
}

#[test]
fn late_events_are_passed_as_late() {
    let lines = [
        r#"{"timestamp":"2026-01-01T00:10:00Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:05:00Z","sessionId":"b","value":1}"#,
        r#"{"timestamp":"2026-01-01T00:05:00.001Z","sessionId":"c"}"#,
        r#"{"timestamp":"2026-01-01T00:00:00Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:04:59Z","sessionId":"d"}"#,
    ];
    let (rows, counters) = check(json!({}), &lines);
    let b = json!({"kind":"late","timestamp":"2026-01-01T00:05:00Z","sessionId":"b","value":1,"late_by_ms":0});
    assert_eq!(rows[0], b);
    assert_eq!((rows[1]["sessionId"].as_str(), rows[1]["late_by_ms"].as_i64()), (Some("d"), Some(1000)));
    assert_eq!((counters["late"], counters["counted"], counters["open"]), (2, 3, 2));
}

#[test]
fn bad_events_are_dead_letters() {
    let cls = [
        (r#"{"value":1}"#, "missing_key"),
        (r#"{"sessionId":null,"value":1}"#, "missing_key"),
        (r#"{"sessionId":"","value":1}"#, "missing_key"),
        (r#"{"sessionId":["a"],"value":1}"#, "invalid_key"),
        (r#"{"sessionId":"a"}"#, "invalid_value"),
        (r#"{"sessionId":"a","value":"0.1"}"#, "invalid_value"),
        (r#"{"sessionId":"a","value":null,"navigationType":"navigate"}"#, "invalid_value"),
        (r#"{"sessionId":"a","value":0.1,"hadRecentInput":"no"}"#, "invalid_value"),
        (r#"{"sessionId":"a","value":0.1,"startTime":"soon"}"#, "invalid_value"),
    ];
    for (line, reason) in cls {
        let good = r#"{"sessionId":"a","value":0.1}"#;
        let (rows, counters) = check(json!({ "method": "cls" }), &[good, line, good, "@end"]);
        assert_eq!(
            (rows[0]["kind"].as_str(), rows[0]["reason"].as_str()),
            (Some("dead_letter"), Some(reason)),
            "{line}"
        );
        assert_eq!(rows[0]["sample"], line);
        assert_eq!((counters["dead"], counters["counted"], rows[1]["events"].as_i64()), (1, 2, Some(2)), "{line}");
    }
    let inp = [
        r#"{"sessionId":"a","interactionId":7}"#,
        r#"{"sessionId":"a","interactionId":"x","duration":8}"#,
        r#"{"sessionId":"a","interactionId":0,"duration":[]}"#,
    ];
    let (rows, counters) = check(json!({ "method": "inp" }), &inp);
    assert_eq!(column(&rows, "reason"), ["invalid_value"; 3]);
    assert_eq!(counters["dead"], 3);
}

#[test]
fn navigations_of_a_session() {
    let lines = [
        // Named by navigationId, mixed in arrival; the type alone names none of them.
        r#"{"sessionId":"a","navigationId":"n1","value":0.1}"#,
        r#"{"sessionId":"a","navigationId":"n2","value":0.2}"#,
        r#"{"sessionId":"a","navigationId":"n1","value":0.1}"#,
        // An id of the event's own is no navigation, one of the library's form is.
        r#"{"sessionId":"b","id":"e-1","value":0.1}"#,
        r#"{"sessionId":"b","id":"e-2","value":0.1}"#,
        r#"{"sessionId":"c","id":"v6-1-2","value":0.1}"#,
        r#"{"sessionId":"c","id":"v6-1-3","value":0.1}"#,
        // The same navigationId goes on over a restore; two restores differ in their start.
        r#"{"sessionId":"d","navigationId":1,"navigationType":"navigate","value":0.1}"#,
        r#"{"sessionId":"d","navigationId":1,"navigationType":"back-forward-cache","navigationStartTime":5,"value":0.2}"#,
        r#"{"sessionId":"d","navigationId":1,"navigationType":"back-forward-cache","navigationStartTime":9,"value":0.3}"#,
        r#"{"sessionId":"d","navigationId":1.0,"value":0.3}"#,
        // A reset record; `hidden` only reports.
        r#"{"sessionId":"e","value":0.1}"#,
        r#"{"sessionId":"e","reset":"hidden"}"#,
        r#"{"sessionId":"e","value":0.1}"#,
        r#"{"sessionId":"e","reset":"soft-navigation","navigationId":"n9"}"#,
        r#"{"sessionId":"e","navigationId":"n9","value":0.4}"#,
        // A marker names a navigation without any shift.
        r#"{"sessionId":"f","navigationType":"reload"}"#,
        r#"{"sessionId":"f","value":0.1}"#,
        "@end",
    ];
    let (rows, _) = check(json!({ "method": "cls" }), &lines);
    let got: Vec<String> = rows
        .iter()
        .map(|r| {
            let field = |name: &str| r[name].to_string().replace('"', "");
            ["sessionId", "navigation", "navigationType", "events", "cumulativeShift"].map(field).join(" ")
        })
        .collect();
    let want = [
        "a n1 navigate 2 0.1", // one second apart: two windows
        "a n2 navigate 1 0.2",
        "b 0 navigate 2 0.1",
        "c v6-1-2 navigate 1 0.1",
        "c v6-1-3 navigate 1 0.1",
        "d 1 navigate 1 0.1",
        "d 1 back-forward-cache 1 0.2",
        "d 1 back-forward-cache 2 0.3",
        "e 0 navigate 3 0.1",
        "e n9 soft-navigation 2 0.4",
        "f 0 reload 2 0.1",
    ];
    assert_eq!(got, want);
}

#[test]
fn functions_over_a_navigation() {
    let functions = json!({
        "all": { "type": "collect-list", "field": "tag", "limit": 3 },
        "distinct": { "type": "collect-list", "field": "tag", "distinct": true },
        "last": { "type": "last", "field": "tag" }, "sum": { "type": "sum", "field": "x" },
        "least": { "type": "min", "field": "x" }, "most": { "type": "max", "field": "x" },
        "none": { "type": "max", "field": "y" },
    });
    let lines = [
        r#"{"sessionId":7,"tag":"a","x":2}"#,
        r#"{"sessionId":7.0,"tag":["a",null,{"b":1}],"x":-1.5}"#,
        r#"{"sessionId":7,"tag":3,"x":"no"}"#,
        r#"{"sessionId":7}"#,
        "@end",
    ];
    let (rows, _) = check(json!({ "functions": functions }), &lines);
    assert_eq!(rows.len(), 1);
    for (name, want) in [
        ("sessionId", json!(7)),
        ("all", json!(["a", "a", { "b": 1 }])),
        ("distinct", json!(["a", { "b": 1 }, 3])),
        ("last", json!(3)),
        ("sum", json!(0.5)),
        ("least", json!(-1.5)),
        ("most", json!(2.0)),
        ("none", Value::Null),
    ] {
        assert_eq!(rows[0][name], want, "{name}");
    }
}

#[test]
fn events_pass_on_wish_and_other_kinds_always() {
    let lines = [r#"{"sessionId":"a"}"#, r#"{"kind":"window","sessionId":"a"}"#, "@end"];
    let (rows, counters) = check(json!({ "pass_events": true }), &lines);
    assert_eq!(rows[0], json!({ "sessionId": "a" }));
    assert_eq!(column(&rows[1..], "kind"), ["window", "session"]);
    assert_eq!((counters["passed"], counters["counted"], counters["in"]), (1, 0, 1));
}

#[test]
fn beyond_max_sessions_the_one_idle_longest_is_ended() {
    let lines = [
        r#"{"timestamp":"2026-01-01T00:00:00Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:00:01Z","sessionId":"b"}"#,
        r#"{"timestamp":"2026-01-01T00:00:02Z","sessionId":"a"}"#,
        r#"{"timestamp":"2026-01-01T00:00:03Z","sessionId":"c"}"#,
        r#"{"timestamp":"2026-01-01T00:00:03Z","sessionId":"d"}"#,
        r#"{"timestamp":"2026-01-01T00:00:04Z","sessionId":"b"}"#,
        "@end",
    ];
    let (rows, counters) = check(json!({ "max_sessions": 2 }), &lines);
    assert_eq!(column(&rows, "sessionId"), ["b", "a", "c", "d", "b"]);
    assert_eq!(column(&rows, "closed_by"), ["evicted", "evicted", "evicted", "end_of_input", "end_of_input"]);
    assert_eq!((counters["evicted"], counters["open"]), (3, 0));
    assert_ne!(rows[0]["id"], rows[4]["id"]);
}

#[test]
fn memory_is_bounded_by_bytes_and_by_navigations() {
    let context = Context { max_state_bytes: 4000, ..Context::default() };
    let lines: Vec<String> = (0..50).map(|i| format!(r#"{{"sessionId":"s{i}","value":0.1}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_, counters) = check_cuts(|| stage_in(&context, json!({ "method": "cls" })), &lines);
    let counters: BTreeMap<_, _> = counters.into_iter().collect();
    assert!((2..10).contains(&counters["open"]) && counters["evicted"] + counters["open"] == 50, "{counters:?}");
    let lines: Vec<String> = (0..9).map(|i| format!(r#"{{"sessionId":"s","navigationId":{i}}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).chain(["@end"]).collect();
    let (rows, counters) = check(json!({ "max_navigations": 2 }), &lines);
    assert_eq!(column(&rows, "navigation"), (0..9).map(|i| json!(i)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!(counters["evicted"], 7);
}

#[test]
fn a_large_flush_is_drained_in_parts() {
    let (mut stage, fields) = stage(json!({}));
    let name = "x".repeat(200);
    let lines: Vec<String> = (0..8000).map(|i| format!(r#"{{"sessionId":"{name}{i}"}}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    // All within five minutes.
    let lines: Vec<String> = lines.iter().map(|l| l.replace('}', r#","timestamp":1767225600}"#)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(run(&mut stage, &fields, &lines).len(), 0);
    let mut out = Output::default();
    stage.tick(&Tick { time: 0, offset: 7999, end_of_input: true }, &mut out);
    assert!(stage.pending() && out.is_full() && out.len() < 8000);
    let first = out.len();
    // A restart in the middle goes on where it stood.
    let state = stage.snapshot();
    let (mut next, _) = super::tests::stage(json!({}));
    next.restore(&state).unwrap();
    let mut parts = 0;
    let mut total = first;
    while next.pending() {
        out.begin(&[]);
        next.drain(&mut out);
        assert!(!out.is_empty());
        total += out.len();
        parts += 1;
    }
    assert_eq!((total, counter(&next, "sessions")), (8000, 8000));
    assert!(parts >= 1);
}

/// A stream with everything in it; the same numbers every time.
fn mixed_stream(seed: u64, method: &str) -> Vec<String> {
    let mut state = seed;
    let mut random = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    let mut lines = Vec::new();
    let mut at_ms = 1_767_225_600_000u64;
    for _ in 0..120 {
        at_ms += random(9) * random(12_000);
        let late = if random(8) == 0 { random(600_000) } else { 0 };
        let (time, session) = (at_ms - late, random(7));
        let entry = match (method, random(10)) {
            (_, 0) => r#""value":"bad","interactionId":"bad""#.to_string(),
            (_, 1) => {
                format!(r#""reset":"{}""#, ["hidden", "soft-navigation", "back-forward-cache"][random(3) as usize])
            }
            ("cls", _) => format!(
                r##""value":{},"startTime":{},"hadRecentInput":{},"sources":["#s{}"]"##,
                random(5) as f64 * 0.05,
                at_ms % 100_000,
                random(6) == 0,
                random(4)
            ),
            _ => format!(
                r#""interactionId":{},"startTime":{},"duration":{},"delay":1,"proc":2"#,
                random(9) * 7,
                at_ms % 100_000,
                8 * random(60)
            ),
        };
        let navigation = match random(3) {
            0 => format!(r#","navigationId":{}"#, random(2)),
            _ => String::new(),
        };
        lines.push(format!(r#"{{"timestamp":{time},"sessionId":"s{session}",{entry}{navigation}}}"#));
        if random(15) == 0 {
            at_ms += 400_000 * random(2);
            lines.push(format!("@tick {at_ms}"));
        }
    }
    lines.push("@end".into());
    lines
}

#[test]
fn restarts_and_cuts_do_not_show() {
    let functions = json!({ "list": { "type": "collect-list", "field": "sources", "distinct": true },
        "c": { "type": "cls-with-session-gaps" } });
    for seed in 0..12 {
        let (method, functions) = if seed % 2 == 0 { ("cls", functions.clone()) } else { ("inp", json!({})) };
        let lines = mixed_stream(seed, method);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let config = json!({ "method": method, "functions": functions, "max_sessions": 5, "max_navigations": 3 });
        let (rows, counters) = check(config, &lines);
        assert_eq!(counters["open"], 0);
        let sessions: Vec<&Value> = rows.iter().filter(|r| r["kind"] == "session").collect();
        assert_eq!(sessions.len() as u64, counters["sessions"]);
        assert_eq!(sessions.iter().map(|r| r["events"].as_u64().unwrap()).sum::<u64>(), counters["counted"]);
        let ids: BTreeSet<&str> = sessions.iter().map(|r| r["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), sessions.len(), "every result has an id of its own");
    }
}

#[test]
fn a_foreign_snapshot_is_refused() {
    let (mut stage, fields) = stage(json!({}));
    let mut rows = Vec::new();
    Feed::default().run(&mut stage, &fields, &[r#"{"sessionId":"a"}"#], 1, &mut rows);
    let state = stage.snapshot();
    for cut in 0..state.len() {
        let (mut other, _) = super::tests::stage(json!({}));
        assert!(other.restore(&state[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let config = config(json!({
        "key": "id", "timeout": "0s", "max_length": "0s", "max_sessions": 0, "navigation": [""],
        "functions": { "inp": { "type": "count" }, "l": { "type": "collect-list", "field": " ", "limit": 0 } },
    }));
    let issues = Sessionize::new(config, &Context::default(), &mut Fields::default()).unwrap_err();
    let paths: Vec<&str> = issues.iter().map(|i| i.path.as_str()).collect();
    let want = [
        "timeout",
        "max_length",
        "max_sessions",
        "navigation[0]",
        "key",
        "functions.inp",
        "functions.l.limit",
        "functions.l.field",
    ];
    assert_eq!(paths, want);
    assert_eq!(issues[0].to_string(), "timeout: expected a duration above 0s, found `0s`");
    let doubtful = super::tests::config(json!({ "method": "cls", "timeout": "1s", "max_length": "500ms" }));
    let paths: Vec<String> = Sessionize::warnings(&doubtful).into_iter().map(|i| i.path).collect();
    assert_eq!(paths, ["timeout", "max_length"]);
    let unknown = serde_json::from_value::<SessionizeConfig>(json!({ "key": "a", "gap": "1s" })).unwrap_err();
    assert!(unknown.to_string().contains("unknown field `gap`"), "{unknown}");
    let extra = json!({ "key": "a", "functions": { "n": { "type": "count", "field": "x" } } });
    assert!(serde_json::from_value::<SessionizeConfig>(extra).is_err());
}

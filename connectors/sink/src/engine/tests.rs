//! Who is told of what, and when.

use super::*;
use crate::alert::example;
use crate::config::Receivers;
use crate::silence::Silence;
use serde_json::{Value, json};

pub(super) const SECOND: i64 = 1000;
pub(super) const MINUTE: i64 = 60 * SECOND;

/// Two receivers; all go to `chat`, critical ones to `pager` too, without waiting.
pub(super) fn routing(more: Value) -> Routing {
    let mut document = json!({
        "receivers": [{ "name": "chat" }, { "name": "pager" }],
        "route": { "receiver": "chat", "routes": [
            { "matchers": ["severity=critical"], "receiver": "pager", "group_wait": "0s", "group_by": ["page"],
              "continue": true },
            { "matchers": [] },
        ]},
    });
    let more = more.as_object().cloned().unwrap_or_default();
    document.as_object_mut().unwrap().extend(more);
    Routing::new(&serde_json::from_value::<Receivers>(document).unwrap()).unwrap()
}

pub(super) fn alert(id: &str, page: &str, state: State, severity: &str) -> Alert {
    let mut alert = example(id, state);
    alert.labels.insert("page".into(), page.into());
    alert.severity = severity.into();
    alert
}

fn escalated(id: &str, page: &str, severity: &str) -> Alert {
    Alert { transition: "escalated".into(), step: 1, ..alert(id, page, State::Firing, severity) }
}

/// `receiver key key …` of each delivery.
fn said(deliveries: &[Delivery]) -> Vec<String> {
    let keys = |d: &Delivery| d.notices.iter().map(Notice::key).collect::<Vec<_>>().join(" ");
    deliveries.iter().map(|d| format!("{} {}", d.receiver, keys(d))).collect()
}

/// Begins and accepts all that is due.
fn flush(engine: &mut Engine, now_ms: i64) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let begun = engine.begin(true, now_ms);
        if begun.is_empty() {
            return all;
        }
        let mut now = said(&begun);
        now.sort(); // receivers are independent of each other
        all.extend(now);
        begun.iter().for_each(|delivery| engine.done(delivery, Outcome::Accepted, now_ms));
    }
}

#[test]
fn groups_wait_and_firing_comes_before_resolved() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("a", "/1", State::Firing, "warning"), false, 0);
    engine.take(alert("b", "/2", State::Firing, "critical"), false, 10 * SECOND);
    assert_eq!(flush(&mut engine, 10 * SECOND), ["pager b:firing:0"]);
    assert_eq!(engine.next_due_ms(10 * SECOND), Some(30 * SECOND));
    assert_eq!(flush(&mut engine, 30 * SECOND - 1), [""; 0]);
    assert_eq!(flush(&mut engine, 30 * SECOND), ["chat a:firing:0 b:firing:0"]);
    engine.take(alert("a", "/1", State::Resolved, "warning"), false, MINUTE);
    assert_eq!(flush(&mut engine, 5 * MINUTE + 29 * SECOND), [""; 0]);
    assert_eq!(flush(&mut engine, 5 * MINUTE + 30 * SECOND), ["chat a:resolved:0"]);
    // One that came and went before anybody was told: both, in order, the second at once.
    engine.take(alert("c", "/3", State::Firing, "critical"), false, 6 * MINUTE);
    engine.take(alert("c", "/3", State::Resolved, "critical"), false, 6 * MINUTE);
    assert_eq!(flush(&mut engine, 6 * MINUTE), ["pager c:firing:0", "pager c:resolved:0"]);
    assert_eq!(flush(&mut engine, 11 * MINUTE), ["chat c:firing:0", "chat c:resolved:0"]);
    assert_eq!(engine.firing(), 1);
}

#[test]
fn repeats_while_it_fires_with_keys_of_their_own() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("b", "/2", State::Firing, "critical"), false, 0);
    flush(&mut engine, 0);
    flush(&mut engine, MINUTE);
    assert_eq!(flush(&mut engine, 240 * MINUTE), ["pager b:firing:0:r1"]);
    assert_eq!(flush(&mut engine, 241 * MINUTE), ["chat b:firing:0:r1"]);
    assert_eq!(flush(&mut engine, 480 * MINUTE), ["pager b:firing:0:r2"]);
    engine.take(alert("b", "/2", State::Resolved, "critical"), false, 481 * MINUTE);
    flush(&mut engine, 490 * MINUTE);
    assert_eq!(engine.next_due_ms(490 * MINUTE), None);
    assert!(engine.groups.is_empty() && engine.alerts.is_empty());
}

#[test]
fn in_a_busy_group_too_each_alert_is_said_again_in_its_time() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("old", "/1", State::Firing, "warning"), false, 0);
    assert_eq!(flush(&mut engine, MINUTE), ["chat old:firing:0"]);
    // News of the same group every half an hour.
    let mut said = Vec::new();
    for n in 1..=9 {
        let now_ms = n * 30 * MINUTE;
        engine.take(alert(&format!("new{n}"), "/2", State::Firing, "warning"), false, now_ms);
        said.extend(flush(&mut engine, now_ms).into_iter().filter(|text| text.contains("old")));
    }
    assert_eq!(said, ["chat new9:firing:0 new1:firing:0:r1 old:firing:0:r1"]);
}

#[test]
fn only_what_notifies_makes_noise_and_copies_do_not() {
    let mut engine = Engine::new(routing(json!({})));
    let quiet = |state| Alert { notify: false, ..alert("q", "/", state, "critical") };
    assert_eq!(engine.take(quiet(State::Firing), false, 0), Taken::Quiet);
    assert_eq!(flush(&mut engine, MINUTE), [""; 0]);
    // The throttle is over.
    assert_eq!(engine.take(alert("q", "/", State::Firing, "critical"), false, MINUTE), Taken::News);
    assert_eq!(engine.take(alert("q", "/", State::Firing, "critical"), false, MINUTE), Taken::Copy);
    assert_eq!(flush(&mut engine, 2 * MINUTE), ["chat q:firing:0", "pager q:firing:0"]);
    engine.take(alert("q", "/", State::Resolved, "critical"), false, 3 * MINUTE);
    assert_eq!(flush(&mut engine, 20 * MINUTE).len(), 2);
    for state in [State::Firing, State::Resolved] {
        assert_eq!(engine.take(alert("q", "/", state, "critical"), false, 30 * MINUTE), Taken::Copy);
    }
    assert_eq!(engine.take(quiet(State::Pending), false, 0), Taken::Quiet);
    // Quiet from beginning to end.
    for state in [State::Firing, State::Resolved] {
        engine.take(Alert { notify: false, ..alert("r", "/", state, "critical") }, false, 30 * MINUTE);
    }
    assert_eq!(flush(&mut engine, 100 * MINUTE), [""; 0]);
    assert!(engine.alerts.is_empty());
}

#[test]
fn an_escalation_reaches_who_knows_the_alert_and_who_is_new() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("a", "/", State::Firing, "warning"), false, 0);
    assert_eq!(flush(&mut engine, MINUTE), ["chat a:firing:0"]);
    engine.take(escalated("a", "/", "critical"), false, 2 * MINUTE);
    assert_eq!(flush(&mut engine, 2 * MINUTE), ["pager a:escalated:1"]);
    assert_eq!(flush(&mut engine, 6 * MINUTE), ["chat a:escalated:1"]);
    engine.take(alert("a", "/", State::Resolved, "critical"), false, 6 * MINUTE);
    assert_eq!(flush(&mut engine, 60 * MINUTE), ["chat a:resolved:0", "pager a:resolved:0"]);
}

#[test]
fn an_outage_of_an_hour_delays_and_gives_one_notice_for_each_open_alert() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("told", "/0", State::Firing, "critical"), false, 0);
    assert_eq!(flush(&mut engine, MINUTE), ["chat told:firing:0", "pager told:firing:0"]);
    let (mut tries, mut now_ms, end_ms) = (Vec::new(), MINUTE, 600 * MINUTE);
    for n in 0..3 {
        engine.take(alert(&format!("n{n}"), "/1", State::Firing, "critical"), false, now_ms);
    }
    engine.take(alert("told", "/0", State::Resolved, "critical"), false, now_ms);
    engine.take(escalated("n1", "/1", "critical"), false, now_ms + 1);
    while now_ms < end_ms {
        for delivery in engine.begin(true, now_ms) {
            let down = delivery.receiver == "pager";
            let outcome = if down { Outcome::Unavailable { wait_ms: 0 } } else { Outcome::Accepted };
            if down {
                tries.push((now_ms - MINUTE) / SECOND);
            }
            engine.done(&delivery, outcome, now_ms);
        }
        now_ms = engine.next_due_ms(now_ms).unwrap_or(end_ms).max(now_ms + 1);
    }
    assert_eq!(tries[..11], [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811]);
    assert!(tries.len() < 200);
    let got: Vec<String> = flush(&mut engine, end_ms).into_iter().filter(|s| s.starts_with("pager")).collect();
    let late = flush(&mut engine, end_ms + 6 * MINUTE);
    assert_eq!(
        [got, late.into_iter().filter(|s| s.starts_with("pager")).collect()].concat(),
        ["pager told:resolved:0", "pager n0:firing:0 n1:escalated:1 n2:firing:0"]
    );
}

fn refused(delivery: &Delivery) -> Outcome {
    Outcome::Refused { notices: delivery.notices.iter().map(Notice::key).collect(), why: "404".into() }
}

#[test]
fn what_is_refused_is_given_up_and_asked_again_with_the_repetition() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("a", "/1", State::Firing, "critical"), false, 0);
    engine.take(alert("b", "/2", State::Firing, "critical"), false, 0);
    let first = engine.begin(true, 0);
    assert_eq!(said(&first), ["pager a:firing:0"]);
    assert!(engine.begin(true, 0).is_empty(), "one delivery at a time");
    engine.done(&first[0], refused(&first[0]), 0);
    assert_eq!(flush(&mut engine, 0), ["pager b:firing:0"]);
    assert_eq!(flush(&mut engine, MINUTE), ["chat a:firing:0 b:firing:0"], "others have it");
    let failed: Vec<_> = engine.failed().map(|failed| (failed.receiver.as_str(), &failed.notices)).collect();
    assert_eq!(failed, [("pager", &vec!["a:firing:0".to_string()])]);
    assert_eq!(flush(&mut engine, 239 * MINUTE), [""; 0], "it is not tried for ever");
    assert_eq!(flush(&mut engine, 240 * MINUTE), ["pager a:firing:0:r1", "pager b:firing:0:r1"]);
    flush(&mut engine, 241 * MINUTE);
    // Accepted by now: so the end is told.
    engine.take(alert("a", "/1", State::Resolved, "critical"), false, 250 * MINUTE);
    assert_eq!(flush(&mut engine, 250 * MINUTE), ["chat a:resolved:0", "pager a:resolved:0"]);
}

#[test]
fn who_refused_an_alert_does_not_hear_of_its_end_and_a_restart_asks_again() {
    let mut engine = Engine::new(routing(json!({})));
    for (id, page) in [("a", "/1"), ("b", "/2")] {
        engine.take(alert(id, page, State::Firing, "critical"), false, 0);
        let begun = engine.begin(true, 0);
        engine.done(&begun[0], refused(&begun[0]), 0);
    }
    engine.take(alert("a", "/1", State::Resolved, "critical"), false, 1);
    let entries: Vec<_> =
        engine.changes().unwrap().into_iter().filter_map(|c| Some((c.kind.to_string(), c.value?))).collect();
    let mut engine = Engine::restore(routing(json!({})), &entries).unwrap();
    assert_eq!(engine.failed().count(), 2);
    assert_eq!(
        flush(&mut engine, 10 * MINUTE),
        ["chat a:firing:0 b:firing:0", "pager b:firing:0", "chat a:resolved:0"]
    );
}

#[test]
fn a_receiver_that_says_how_long_is_left_in_peace_for_that_long() {
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("a", "/1", State::Firing, "critical"), false, 0);
    let first = engine.begin(true, 0);
    engine.done(&first[0], Outcome::Unavailable { wait_ms: 20 * SECOND }, 0);
    assert!(engine.begin(true, 20 * SECOND - 1).is_empty());
    assert_eq!(engine.begin(true, 20 * SECOND), first);
}

#[test]
fn of_a_delivery_that_is_refused_in_part_the_rest_is_told() {
    let mut engine = Engine::new(routing(json!({})));
    for id in ["a", "b"] {
        engine.take(alert(id, "/1", State::Firing, "critical"), false, 0);
    }
    let begun = engine.begin(true, 0);
    assert_eq!(said(&begun), ["pager a:firing:0 b:firing:0"]);
    engine.done(&begun[0], Outcome::Refused { notices: vec!["b:firing:0".into()], why: "400".into() }, 0);
    for id in ["a", "b"] {
        engine.take(alert(id, "/1", State::Resolved, "critical"), false, MINUTE);
    }
    let all = flush(&mut engine, 10 * MINUTE);
    assert_eq!(all.iter().filter(|s| s.starts_with("pager")).collect::<Vec<_>>(), ["pager a:resolved:0"]);
}

#[test]
fn inhibition_holds_back_and_lets_go() {
    let rule = json!({ "inhibit_rules": [
        { "source_matchers": ["severity=critical"], "target_matchers": ["severity=warning"], "equal": ["page"] },
    ]});
    let mut engine = Engine::new(routing(rule));
    engine.take(alert("c", "/1", State::Firing, "critical"), false, 0);
    for (id, page) in [("same", "/1"), ("other", "/2"), ("short", "/1")] {
        engine.take(alert(id, page, State::Firing, "warning"), false, 0);
    }
    assert_eq!(flush(&mut engine, MINUTE), ["chat c:firing:0 other:firing:0", "pager c:firing:0"]);
    engine.take(alert("short", "/1", State::Resolved, "warning"), false, 2 * MINUTE);
    assert_eq!(flush(&mut engine, 10 * MINUTE), [""; 0]);
    engine.take(alert("c", "/1", State::Resolved, "critical"), false, 20 * MINUTE);
    assert_eq!(flush(&mut engine, 20 * MINUTE), ["chat same:firing:0 c:resolved:0", "pager c:resolved:0"]);
    assert!(!engine.alerts.contains_key("short"));
}

#[test]
fn a_silence_holds_back_lets_go_and_is_in_the_journal() {
    let silence = |id: &str, from_ms: i64, until_ms: i64| {
        let made = Silence::new(vec!["page=/1".into()], from_ms, until_ms, "ada".into(), "deploy".into());
        silence::Ready::new(Silence { id: id.into(), ..made }).unwrap()
    };
    let mut engine = Engine::new(routing(json!({})));
    engine.take(alert("told", "/1", State::Firing, "warning"), false, 0);
    assert_eq!(flush(&mut engine, MINUTE), ["chat told:firing:0"]);
    engine.silence(silence("s", 2 * MINUTE, 60 * MINUTE), MINUTE).unwrap();
    engine.silence(silence("later", 120 * MINUTE, 180 * MINUTE), MINUTE).unwrap();
    for (id, page) in [("same", "/1"), ("other", "/2"), ("short", "/1")] {
        engine.take(alert(id, page, State::Firing, "critical"), false, 2 * MINUTE);
    }
    assert_eq!(flush(&mut engine, 2 * MINUTE), ["pager other:firing:0"]);
    engine.take(alert("short", "/1", State::Resolved, "critical"), false, 3 * MINUTE);
    engine.take(alert("told", "/1", State::Resolved, "warning"), false, 3 * MINUTE);
    // Who was told hears of the end all the same.
    assert_eq!(flush(&mut engine, 10 * MINUTE), ["chat other:firing:0 told:resolved:0"]);
    assert!(!engine.alerts.contains_key("short"));
    let entries: Vec<_> =
        engine.changes().unwrap().into_iter().filter_map(|c| Some((c.kind.to_string(), c.value?))).collect();
    let mut engine = Engine::restore(routing(json!({})), &entries).unwrap();
    assert_eq!(engine.silences(10 * MINUTE).count(), 1);
    assert_eq!(flush(&mut engine, 59 * MINUTE), [""; 0]);
    // A newer record ends it before its time.
    engine.silence(silence("s", 2 * MINUTE, 58 * MINUTE), 59 * MINUTE).unwrap();
    assert_eq!(flush(&mut engine, 59 * MINUTE), ["chat same:firing:0", "pager same:firing:0"]);
    assert_eq!(engine.silences(120 * MINUTE).count(), 1);
    flush(&mut engine, 180 * MINUTE);
    let gone = engine.changes().unwrap().into_iter().filter(|c| c.kind == "silence" && c.value.is_none());
    assert_eq!(gone.map(|change| change.key).collect::<Vec<_>>(), ["later", "s"]);
}

#[test]
fn a_muted_route_says_nothing_and_then_what_is_left() {
    // The first minutes of the first hour of 1970; only `pager` is muted.
    let muted = |end: &str| {
        json!({
            "time_intervals": [
                { "name": "night", "time_intervals": [{ "times": [{ "start_time": "00:02", "end_time": end }] }] },
            ],
            "route": { "receiver": "chat", "group_wait": "0s", "routes": [
                { "matchers": ["severity=critical"], "receiver": "pager", "group_wait": "0s", "continue": true,
                  "mute_time_intervals": ["night"] },
                { "matchers": [] },
            ]},
        })
    };
    let mut engine = Engine::new(routing(muted("02:00")));
    engine.take(alert("told", "/1", State::Firing, "critical"), false, 0);
    assert_eq!(flush(&mut engine, 0), ["chat told:firing:0", "pager told:firing:0"]);
    for id in ["short", "long"] {
        engine.take(alert(id, "/2", State::Firing, "critical"), false, 10 * MINUTE);
    }
    for id in ["short", "told"] {
        engine.take(alert(id, "/2", State::Resolved, "critical"), false, 20 * MINUTE);
    }
    let night = flush(&mut engine, 119 * MINUTE);
    assert!(night.iter().all(|said| said.starts_with("chat")) && night.len() == 2, "{night:?}");
    assert_eq!(flush(&mut engine, 120 * MINUTE), ["pager long:firing:0 told:resolved:0"]);
    // What began in the evening and was over in the night is told: only what began in the night is not.
    let mut engine = Engine::new(routing(muted("02:00")));
    engine.take(alert("a", "/1", State::Firing, "critical"), false, MINUTE);
    engine.take(alert("a", "/1", State::Resolved, "critical"), false, 10 * MINUTE);
    flush(&mut engine, 10 * MINUTE);
    let entries: Vec<_> =
        engine.changes().unwrap().into_iter().filter_map(|c| Some((c.kind.to_string(), c.value?))).collect();
    // The night is shorter in the configuration that it starts with: groups that are there keep to it.
    let mut engine = Engine::restore(routing(muted("00:30")), &entries).unwrap();
    assert_eq!(flush(&mut engine, 29 * MINUTE), [""; 0]);
    assert_eq!(flush(&mut engine, 30 * MINUTE), ["pager a:firing:0", "pager a:resolved:0"]);
}

#[test]
fn what_was_over_before_the_first_start_is_not_told() {
    let mut engine = Engine::new(routing(json!({})));
    for state in [State::Firing, State::Resolved] {
        engine.take(alert("old", "/", state, "critical"), true, 0);
    }
    engine.take(alert("open", "/", State::Firing, "critical"), true, 0);
    assert_eq!(flush(&mut engine, MINUTE), ["chat open:firing:0", "pager open:firing:0"]);
    assert_eq!(engine.take(alert("old", "/", State::Resolved, "critical"), false, 0), Taken::Copy);
}

#[test]
fn an_acknowledgement_stops_repeats_until_it_becomes_worse_and_pagerduty_hears_of_it() {
    let pagerduty = json!({ "name": "pager", "pagerduty": { "routing_key": "${{ secrets.KEY }}" } });
    let mut engine = Engine::new(routing(json!({ "receivers": [pagerduty, { "name": "chat" }] })));
    assert!(!engine.acknowledge("a", 0));
    engine.take(alert("a", "/", State::Firing, "critical"), false, 0);
    // Nobody was told yet; that it fires comes first.
    assert!(engine.acknowledge("a", 0));
    assert_eq!(flush(&mut engine, 0), ["pager a:firing:0", "pager a:acknowledged:0"]);
    assert_eq!(flush(&mut engine, MINUTE), ["chat a:firing:0"]);
    let entries: Vec<_> =
        engine.changes().unwrap().into_iter().filter_map(|c| Some((c.kind.to_string(), c.value?))).collect();
    let document = json!({ "receivers": [
        { "name": "pager", "pagerduty": { "routing_key": "${{ secrets.KEY }}" } }, { "name": "chat" },
    ]});
    let mut engine = Engine::restore(routing(document), &entries).unwrap();
    assert!(engine.acknowledge("a", 2 * MINUTE), "once more is no news");
    assert_eq!(flush(&mut engine, 600 * MINUTE), [""; 0]);
    engine.take(escalated("a", "/", "critical"), false, 600 * MINUTE);
    assert_eq!(flush(&mut engine, 600 * MINUTE), ["chat a:escalated:1", "pager a:escalated:1"]);
    assert_eq!(flush(&mut engine, 840 * MINUTE), ["chat a:escalated:1:r1", "pager a:escalated:1:r1"]);
    engine.acknowledge("a", 841 * MINUTE);
    engine.take(alert("a", "/", State::Resolved, "critical"), false, 842 * MINUTE);
    assert_eq!(flush(&mut engine, 900 * MINUTE), ["chat a:resolved:0", "pager a:resolved:0"]);
}

#[test]
fn who_hears_of_each_alert_by_a_request_has_one_on_its_way() {
    let pagerduty = json!({ "name": "pager", "pagerduty": { "routing_key": "${{ secrets.KEY }}" } });
    let mut engine = Engine::new(routing(json!({ "receivers": [pagerduty, { "name": "chat" }] })));
    engine.take(alert("a", "/", State::Firing, "critical"), false, 0);
    engine.take(alert("a", "/", State::Resolved, "critical"), false, 0);
    engine.take(alert("b", "/", State::Firing, "critical"), false, 0);
    let pager = |said: Vec<String>| said.into_iter().filter(|text| text.starts_with("pager")).collect::<Vec<_>>();
    assert_eq!(pager(flush(&mut engine, 0)), ["pager a:firing:0", "pager b:firing:0", "pager a:resolved:0"]);
    // The group still has its interval.
    engine.take(alert("c", "/", State::Firing, "critical"), false, MINUTE);
    assert_eq!(pager(flush(&mut engine, 4 * MINUTE)), [""; 0]);
    assert_eq!(pager(flush(&mut engine, 5 * MINUTE)), ["pager c:firing:0"]);
}

#[test]
fn many_alerts_are_several_deliveries() {
    let mut engine = Engine::new(routing(json!({})));
    for n in 0..250 {
        engine.take(alert(&format!("{n:03}"), "/", State::Firing, "critical"), false, 0);
    }
    let all = flush(&mut engine, MINUTE);
    assert_eq!(all.iter().map(|s| s.split(' ').count() - 1).collect::<Vec<_>>(), [100, 100, 100, 100, 50, 50]);
}

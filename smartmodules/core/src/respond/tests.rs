//! What each step of an action's life is caused by, and what forbids an action.

use super::*;
use crate::testing::{START_US, check_cuts, counter, run};
use serde_json::{Value as Json, json};

/// A rule that acts, and asks whether it helped.
pub(super) fn acting() -> Json {
    json!({ "name": "scale out", "on": "alert", "where": "rule = 'Saturated'", "target": "{labels.service}",
        "action": { "kind": "scale", "receiver": "scaler", "name": "{labels.service}", "replicas": 6 },
        "dry_run": false, "verify": { "within": "10m" },
        "rollback": { "kind": "scale", "receiver": "scaler", "name": "{labels.service}", "replicas": 3 } })
}

/// A rule with other keys.
pub(super) fn with(mut rule: Json, more: Json) -> Json {
    let more = more.as_object().expect("an object").clone();
    rule.as_object_mut().expect("an object").extend(more);
    rule
}

pub(super) fn stage(rules: &[Json]) -> (RespondStage, Fields) {
    of(&json!({ "rules": rules }))
}

pub(super) fn of(config: &Json) -> (RespondStage, Fields) {
    let mut fields = Fields::default();
    let context = Context { pipeline: "response".into(), stage: "respond".into(), ..Context::default() };
    let config = serde_json::from_value(config.clone()).expect("a config");
    (RespondStage::new(config, &context, &mut fields).expect("a stage"), fields)
}

/// Seconds after the start, RFC 3339.
fn at(second: i64) -> String {
    crate::time::format(START_US + second * 1_000_000)
}

pub(super) fn alert(second: i64, id: &str, state: &str, service: &str) -> String {
    with(
        json!({ "kind": "alert", "timestamp": at(second), "id": format!("{id}-{state}-{second}"), "alert_id": id,
        "state": state, "rule": "Saturated", "severity": "critical", "labels": { "service": service },
        "values": { "cpu": 0.97 }, "summary": format!("{service} is saturated") }),
        json!({ "reason": null }),
    )
    .to_string()
}

fn ended(second: i64, id: &str, reason: &str) -> String {
    let mut record: Json = serde_json::from_str(&alert(second, id, "resolved", "cart")).expect("JSON");
    record["reason"] = reason.into();
    record.to_string()
}

fn incident(second: i64, id: &str, state: &str, more: Json) -> String {
    with(
        json!({ "kind": "incident", "timestamp": at(second), "id": format!("{id}-{second}"), "incident_id": id,
        "state": state, "cause": "db" }),
        more,
    )
    .to_string()
}

pub(super) fn tick(second: i64) -> String {
    format!("@tick {}", at(second))
}

/// `ID` in a line stands for the id of the first action.
fn script(make: impl Fn() -> (RespondStage, Fields), lines: &[String]) -> Vec<Json> {
    let (mut first, fields) = make();
    let plain: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.contains("ID")).collect();
    let found = run(&mut first, &fields, &plain).into_iter().find(|row| row["kind"] == "action");
    let id = found.and_then(|row| row["action_id"].as_str().map(String::from)).unwrap_or_default();
    let lines: Vec<String> = lines.iter().map(|line| line.replace("ID", &id)).collect();
    let (rows, _) = check_cuts(make, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    rows.into_iter().filter(|row| row["kind"] == "action").collect()
}

/// Step, and why or who, of each record.
fn steps(rules: &[Json], lines: &[String]) -> Vec<String> {
    words(&script(|| stage(rules), lines))
}

fn words(records: &[Json]) -> Vec<String> {
    let word = |record: &Json| {
        let more = ["why", "by"].iter().find_map(|name| record[*name].as_str());
        let step = record["step"].as_str().unwrap_or_default();
        more.map_or(step.to_string(), |more| format!("{step} {more}"))
    };
    records.iter().map(word).collect()
}

fn outcome(done: bool, rollback: bool) -> String {
    format!(
        "@control {}",
        json!({ "type": "outcome", "action_id": "ID", "rollback": rollback, "done": done, "message": "200 OK" })
    )
}

fn answer(approved: bool) -> String {
    format!(
        "@control {}",
        json!({ "type": "approval", "action_id": "ID", "approved": approved, "by": "ada", "comment": "go" })
    )
}

#[test]
fn an_action_that_helps() {
    let lines = [alert(0, "a", "firing", "cart"), outcome(true, false), tick(5), alert(60, "a", "resolved", "cart")];
    let records = script(|| stage(&[acting()]), &lines);
    assert_eq!(words(&records), ["requested", "done", "recovered"]);
    let request = &records[0];
    assert_eq!(
        request["body"],
        json!({ "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": { "name": "cart", "namespace": "default" }, "spec": { "replicas": 6 } })
    );
    let id = request["action_id"].as_str().expect("an id");
    assert_eq!(request["key"], format!("{id}:requested"));
    assert_eq!(
        (&request["until"], &request["timestamp"]),
        (&json!("2026-01-01T00:05:00Z"), &json!("2026-01-01T00:00:00Z"))
    );
    assert_eq!(
        (&request["receiver"], &request["action"], &request["target"]),
        (&json!("scaler"), &json!("scale"), &json!("cart"))
    );
    assert_eq!(request["reason"]["alert_id"], "a");
    assert_eq!(request["summary"], "scale out: scale of cart is requested");
    assert_eq!((&records[1]["message"], &records[1]["key"]), (&json!("200 OK"), &Json::Null));
}

#[test]
fn an_action_that_does_not_help_is_rolled_back() {
    let lines =
        [alert(0, "a", "firing", "cart"), outcome(true, false), tick(599), tick(601), outcome(true, true), tick(602)];
    // The outcome was taken at the clock of the first record, so its wait is over 600 s after that.
    let records = script(|| stage(&[acting()]), &lines);
    assert_eq!(words(&records), ["requested", "done", "not_recovered time", "rollback_requested", "rolled_back"]);
    assert_eq!(records[3]["body"]["spec"]["replicas"], 3);
    assert_eq!(records[3]["key"], format!("{}:rollback_requested", records[0]["action_id"].as_str().unwrap()));
    let failed = [&lines[..4], &[outcome(false, true), tick(700)]].concat();
    assert_eq!(steps(&[acting()], &failed).last().unwrap(), "rollback_failed");
    let silent = [&lines[..4], &[tick(600 + 899), tick(600 + 900)]].concat();
    assert_eq!(steps(&[acting()], &silent).last().unwrap(), "rollback_failed no_outcome");
    let mut no_rollback = acting();
    no_rollback.as_object_mut().unwrap().remove("rollback");
    assert_eq!(steps(&[no_rollback], &lines).last().unwrap(), "not_recovered time");
}

#[test]
fn an_end_for_lack_of_data_is_no_recovery() {
    let lines = [alert(0, "a", "firing", "cart"), outcome(true, false), ended(60, "a", "no_data")];
    assert_eq!(steps(&[acting()], &lines)[2..], ["not_recovered no_data", "rollback_requested"]);
    let lines = [alert(0, "a", "firing", "cart"), ended(60, "a", "condition_false"), outcome(true, false), tick(61)];
    assert_eq!(steps(&[acting()], &lines)[1..], ["done", "recovered"], "it was over before the outcome came");
}

#[test]
fn an_expression_says_that_it_has_recovered() {
    let rule = with(
        acting(),
        json!({ "on": "incident", "where": "cause = 'db'", "target": "{cause}",
        "action": { "kind": "webhook", "receiver": "x", "body": { "open": "{open}", "text": "{cause} {open}" } },
        "verify": { "within": "10m", "recovered": "open = 0" }, "rollback": null }),
    );
    let lines = [
        incident(0, "i", "open", json!({ "open": 3 })),
        outcome(true, false),
        incident(60, "i", "updated", json!({ "open": 1 })),
        incident(120, "i", "updated", json!({ "open": 0 })),
        incident(180, "i", "resolved", json!({ "reason": "all_ended" })),
    ];
    let records = script(|| stage(std::slice::from_ref(&rule)), &lines);
    assert_eq!(words(&records), ["requested", "done", "recovered"]);
    assert_eq!(records[0]["body"], json!({ "open": 3, "text": "db 3" }), "a field alone keeps its type");
    assert_eq!(records[2]["timestamp"], "2026-01-01T00:02:00Z");
}

#[test]
fn a_merged_incident_goes_on_as_the_other() {
    let rule = with(
        acting(),
        json!({ "on": "incident", "where": "cause = 'db'", "target": "{cause}",
        "action": { "kind": "record", "topic": "ops" }, "rollback": null }),
    );
    let lines = [
        incident(0, "i", "open", json!({})),
        outcome(true, false),
        incident(60, "i", "resolved", json!({ "reason": "merged", "merged_into": "j" })),
        incident(61, "j", "updated", json!({})),
        incident(120, "j", "resolved", json!({ "reason": "all_ended" })),
    ];
    assert_eq!(steps(&[rule], &lines), ["requested", "done", "recovered"], "and is not acted on twice");
}

#[test]
fn approval() {
    let rule = [with(acting(), json!({ "approval": { "timeout": "2m" } }))];
    let fires = alert(0, "a", "firing", "cart");
    let lines = |more: &[String]| [std::slice::from_ref(&fires), more].concat();
    assert_eq!(steps(&rule, &lines(&[answer(true), tick(1)])), ["awaiting_approval", "approved ada", "requested"]);
    assert_eq!(
        steps(&rule, &lines(&[answer(false), tick(1), answer(true), tick(2)])),
        ["awaiting_approval", "rejected ada"]
    );
    assert_eq!(
        steps(&rule, &lines(&[tick(119), tick(120), answer(true), tick(121)])),
        ["awaiting_approval", "approval_expired time"]
    );
    assert_eq!(
        steps(&rule, &lines(&[alert(60, "a", "resolved", "cart"), answer(true), tick(61)])),
        ["awaiting_approval", "cancelled over"]
    );
    // An outcome of what nobody has requested is none.
    let (mut stage, fields) = stage(&rule);
    run(&mut stage, &fields, &[&fires, &outcome(true, false).replace("ID", "x")]);
    assert_eq!(counter(&stage, "ignored"), 1);
}

#[test]
fn a_dry_run_requests_nothing_and_still_asks_what_became_of_it() {
    let rule = [with(acting(), json!({ "dry_run": null }))];
    let lines = [alert(0, "a", "firing", "cart"), tick(601)];
    let records = script(|| stage(&rule), &lines);
    assert_eq!(words(&records), ["dry_run", "not_recovered time"], "dry is what a stage is by itself");
    assert_eq!((&records[0]["dry_run"], &records[0]["key"]), (&json!(true), &Json::Null));
    assert_eq!(records[0]["body"]["spec"]["replicas"], 6);
}

#[test]
fn an_outcome_that_does_not_come() {
    let lines = [alert(0, "a", "firing", "cart"), tick(899), tick(900), outcome(true, false), tick(901)];
    assert_eq!(steps(&[acting()], &lines), ["requested", "failed no_outcome"]);
}

#[test]
fn limits() {
    let rule = with(acting(), json!({ "verify": null, "rollback": null, "cooldown": "10m" }));
    // The same service again; the record that comes behind the cooldown asks again.
    let lines = [
        alert(0, "a", "firing", "cart"),
        alert(1, "a", "resolved", "cart"),
        alert(60, "b", "firing", "cart"),
        alert(61, "b", "firing", "cart"),
        alert(1000, "b", "firing", "cart"),
    ];
    let asked = [&lines[..1], &[outcome(true, false)], &lines[1..]].concat();
    assert_eq!(steps(std::slice::from_ref(&rule), &asked), ["requested", "done", "suppressed cooldown", "requested"]);
    // Without an outcome the first is in progress until its request is given up.
    assert_eq!(
        steps(std::slice::from_ref(&rule), &lines),
        ["requested", "suppressed cooldown", "failed no_outcome", "requested"]
    );
    let fires: Vec<String> =
        ["cart", "shop", "db", "mail"].iter().enumerate().map(|(n, s)| alert(n as i64, s, "firing", s)).collect();
    let rate = with(rule.clone(), json!({ "rate_limit": { "count": 2, "per": "1h" } }));
    assert_eq!(steps(&[rate], &fires), ["requested", "requested", "suppressed rate_limit", "suppressed rate_limit"]);
    assert_eq!(
        steps(std::slice::from_ref(&rule), &fires)[3],
        "suppressed blast_radius",
        "three targets are the default"
    );
    let same = with(rule, json!({ "blast_radius": { "max": 1, "of": "{severity}" } }));
    assert_eq!(steps(&[same], &fires), ["requested"; 4], "what is counted is one and the same");
}

#[test]
fn what_is_old_or_lacks_a_field() {
    let lines = [alert(1000, "a", "resolved", "cart"), alert(0, "b", "firing", "cart")];
    assert_eq!(steps(&[acting()], &lines), ["suppressed stale"]);
    let rule = with(acting(), json!({ "target": "{labels.host}" }));
    assert_eq!(steps(&[rule], &[alert(0, "a", "firing", "cart")]), ["suppressed missing_field"]);
    let (mut stage, fields) = stage(&[acting()]);
    let rows = run(
        &mut stage,
        &fields,
        &[r#"{"kind":"alert","state":"firing"}"#, r#"{"kind":"alert","alert_id":"a","state":"odd"}"#],
    );
    assert_eq!((rows.len(), counter(&stage, "unreadable")), (2, 2));
}

#[test]
fn at_the_bound() {
    let bound = |targets: u32| {
        let more = json!({ "blast_radius": { "max": targets }, "verify": null, "rollback": null });
        let config = json!({ "rules": [with(acting(), more)], "max_actions": 2 });
        let lines: Vec<String> = ["cart", "shop", "db"].iter().map(|s| alert(0, s, "firing", s)).collect();
        let (mut stage, fields) = of(&config);
        let rows = run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        let records: Vec<Json> = rows.into_iter().filter(|row| row["kind"] == "action").collect();
        (words(&records), ["remembered", "in_progress", "forgotten"].map(|name| counter(&stage, name)))
    };
    let (requested, refused) = ("requested".to_string(), "suppressed blast_radius".to_string());
    assert_eq!(bound(3), (vec![requested.clone(), requested.clone(), "suppressed full".into()], [2, 2, 0]));
    assert_eq!(bound(1), (vec![requested, refused.clone(), refused], [2, 1, 1]), "what is suppressed goes first");
}

#[test]
fn another_configuration_keeps_what_is_in_progress() {
    let old = json!({ "rules": [with(acting(), json!({ "name": "other", "where": "rule = 'x'" })), acting()] });
    let (mut before, fields) = of(&old);
    run(&mut before, &fields, &[&alert(0, "a", "firing", "cart")]);
    let (mut after, fields) = of(&json!({ "rules": [with(acting(), json!({ "verify": { "within": "20m" } }))] }));
    after.adopt(&before.snapshot(), &serde_json::from_value(old).unwrap()).expect("its actions");
    assert_eq!(counter(&after, "in_progress"), 1);
    let rows = run(&mut after, &fields, &[&alert(1, "a", "firing", "cart")]);
    assert_eq!(rows.len(), 1, "it is not done again: {rows:?}");
}

#[test]
fn ids_are_those_of_the_record_whatever_the_configuration() {
    let id = |rule: Json| {
        let records = script(|| stage(std::slice::from_ref(&rule)), &[alert(0, "a", "firing", "cart")]);
        records[0]["action_id"].clone()
    };
    assert_eq!(id(acting()), id(with(acting(), json!({ "cooldown": "1h", "dry_run": true }))));
    assert_ne!(id(acting()), id(with(acting(), json!({ "name": "other" }))));
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    let wrong = json!({ "max_actions": 0, "rules": [
        with(acting(), json!({ "where": "1 +", "target": "{", "expires": "1s", "cooldown": "30d",
            "rate_limit": { "count": 0, "per": "1s" }, "approval": { "timeout": "1s" }, "verify": null })),
        with(acting(), json!({ "action": { "kind": "record", "topic": "lcp-control", "body": { "x": ["{"] } },
            "rollback": null, "verify": { "within": "1s", "recovered": "1 + 2" } })),
    ] });
    let config: RespondConfig = serde_json::from_value(wrong).unwrap();
    let issues = RespondStage::new(config, &Context::default(), &mut Fields::default()).expect_err("errors");
    let paths: Vec<&str> = issues.iter().map(|issue| issue.path.as_str()).collect();
    for path in [
        "max_actions",
        "rules[0].where",
        "rules[0].target",
        "rules[0].expires",
        "rules[0].cooldown",
        "rules[0].rate_limit.count",
        "rules[0].rate_limit.per",
        "rules[0].approval.timeout",
        "rules[0].rollback",
        "rules[1].name",
        "rules[1].action.topic",
        "rules[1].action.body.x[0]",
        "rules[1].verify.within",
        "rules[1].verify.recovered",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
}

//! Bodies as files: `tests/golden/NAME.json`. `PERFSTREAM_BLESS=1` writes them anew.

use super::*;
use crate::alert::{State, example};
use crate::engine::{Delivery, Notice};
use crate::text::Texts;
use serde_json::Value;
use std::path::Path;

fn notice(id: &str, state: State) -> Notice {
    Notice { alert: example(id, state), repeat: 0 }
}

fn delivery(notices: Vec<Notice>) -> Delivery {
    Delivery {
        key: "k".into(),
        receiver: "chat".into(),
        group_key: r#"{}:{alertname="LCP Critical"}"#.into(),
        group_labels: [("alertname".to_string(), "LCP Critical".to_string())].into(),
        repeat_interval_ms: 14_400_000,
        notices,
    }
}

fn texts() -> Texts {
    Texts::new(None, None).unwrap()
}

fn golden(name: &str, body: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(body).unwrap());
    if std::env::var_os("PERFSTREAM_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}");
}

#[test]
fn bodies() {
    let mut escalated = notice("a1", State::Firing);
    escalated.alert.transition = "escalated".into();
    escalated.alert.step = 1;
    escalated.alert.severity = "warning".into();
    let both = delivery(vec![notice("a1", State::Firing), notice("a2", State::Resolved)]);
    golden("slack", &slack::body(&both, &texts()));
    golden("pagerduty-trigger", &pagerduty::body("pager", &both.notices[0], &texts(), "***"));
    golden("pagerduty-resolve", &pagerduty::body("pager", &both.notices[1], &texts(), "***"));
    let mut taken = notice("a1", State::Firing);
    taken.alert.transition = crate::alert::ACKNOWLEDGED.into();
    golden("pagerduty-acknowledge", &pagerduty::body("pager", &taken, &texts(), "***"));
    golden("webhook", &webhook::body(&both, &texts()));
    golden("cloudevents", &cloudevents::body(&both.notices[1]));
    golden("alertmanager", &alertmanager::body(&both, &texts(), 1_767_226_000_000));
    golden("alertmanager-escalated", &alertmanager::body(&delivery(vec![escalated]), &texts(), 1_767_226_000_000));
}

#[test]
fn limits_of_slack_and_pagerduty() {
    let mut long = notice("a1", State::Firing);
    long.alert.rule = "<!channel> é".repeat(400);
    long.alert.alert_id = "x".repeat(400);
    long.alert.summary = "&".repeat(5000);
    let many = delivery(vec![long.clone(); 40]);
    let body = slack::body(&many, &texts());
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    assert_eq!(blocks.last().unwrap()["elements"][0]["text"], "and 37 more");
    for block in blocks.iter().filter(|block| block["type"] != "divider" && block["type"] != "context") {
        let max = if block["type"] == "header" { 150 } else { 3000 };
        assert!(block["text"]["text"].as_str().unwrap().chars().count() <= max);
    }
    assert!(!body["text"].as_str().unwrap().contains("<!channel>"));
    let event = pagerduty::body("pager", &long, &texts(), "***");
    assert!(event["dedup_key"].as_str().unwrap().chars().count() <= 255);
    assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1024);
}

#[test]
fn a_set_of_labels_is_once_in_a_request_to_alertmanager_and_fires_if_one_does() {
    for order in [["a", "b"], ["b", "a"]] {
        let notices = order.map(|id| notice(id, if id == "a" { State::Resolved } else { State::Firing })).to_vec();
        let body = alertmanager::body(&delivery(notices), &texts(), 1_767_226_000_000);
        assert_eq!(body.as_array().unwrap().len(), 1, "{body}");
        assert!(body[0]["endsAt"].as_str().unwrap() > "2026-01-01T05", "{body}");
    }
}

#[test]
fn an_escalation_that_was_not_told_of_ends_under_both_severities() {
    let mut over = notice("a", State::Resolved);
    over.alert.step = 1;
    over.alert.severity = "critical".into();
    over.alert.labels.insert("http.route".into(), "/".into());
    // Its events are ahead of the clock.
    over.alert.started_at = "2030-01-01T00:00:00Z".into();
    let body = alertmanager::body(&delivery(vec![over]), &texts(), 1_767_226_000_000);
    let severities: Vec<&str> =
        body.as_array().unwrap().iter().filter_map(|alert| alert["labels"]["severity"].as_str()).collect();
    assert_eq!(severities, ["critical", "error", "info", "warning"]);
    for alert in body.as_array().unwrap() {
        assert!(alert["startsAt"].as_str() <= alert["endsAt"].as_str(), "{alert}");
        assert_eq!(alert["labels"]["http_route"], "/");
    }
}

#[test]
fn an_event_that_pagerduty_would_refuse_is_made_smaller() {
    let mut large = notice("a", State::Firing);
    large.alert.values.insert("sample".into(), "x".repeat(600_000).into());
    let event = pagerduty::body("pager", &large, &texts(), "***");
    assert!(event.to_string().len() < 512_000);
    assert_eq!(event["payload"]["custom_details"]["record"], "alerts/0@17");
}

/// What the services' documentation says of a body, written by somebody who had not seen these: `tests/contracts`.
fn contract(name: &str) -> jsonschema::Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/contracts/{name}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[test]
fn bodies_hold_the_contracts_of_the_services() {
    let odd = |change: &dyn Fn(&mut crate::alert::Alert)| {
        let mut notice = notice("a1", State::Firing);
        change(&mut notice.alert);
        notice
    };
    let long = odd(&|alert| {
        (alert.rule, alert.summary) = ("<!channel> é".repeat(400), "&<>".repeat(5000));
        alert.alert_id = "x".repeat(400);
        alert.labels = (0..300).map(|n| (format!("1-label {n}"), Value::from("y".repeat(50)))).collect();
    });
    let bare = odd(&|alert| {
        (alert.labels, alert.values) = Default::default();
        (alert.summary, alert.condition, alert.pipeline, alert.severity) = Default::default();
        (alert.timestamp, alert.stage) = Default::default();
    });
    let mixed = odd(&|alert| {
        alert.labels.insert("n".into(), 5.into());
        alert.labels.insert("".into(), Value::Null);
        alert.labels.insert("list".into(), vec!["a", "b"].into());
        (alert.transition, alert.step, alert.severity) = ("escalated".into(), 2, "critical".into());
    });
    let (firing, resolved) = (notice("a1", State::Firing), notice("a2", State::Resolved));
    let with_page = || texts().with_page(Some("https://perf.example"));
    for texts in [texts(), with_page()] {
        for notices in [
            vec![firing.clone(), resolved.clone()],
            vec![resolved.clone()],
            vec![long.clone(); 60],
            vec![bare.clone()],
            vec![mixed.clone(), long.clone(), bare.clone()],
        ] {
            let delivery = delivery(notices);
            let hold = |name: &str, body: &Value| {
                let errors: Vec<String> = contract(name)
                    .iter_errors(body)
                    .map(|error| format!("{}: {error}", error.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{name}: {errors:#?}");
            };
            hold("slack", &slack::body(&delivery, &texts));
            hold("webhook-v4", &webhook::body(&delivery, &texts));
            hold("alertmanager-v2", &alertmanager::body(&delivery, &texts, 1_767_226_000_000));
            for notice in &delivery.notices {
                hold("pagerduty", &pagerduty::body("pager", notice, &texts, "***"));
                hold("cloudevents", &cloudevents::body(notice));
            }
        }
    }
}

/// The contracts say no to what is wrong.
#[test]
fn contracts_tell_good_from_bad() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts/examples.json");
    let examples: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let examples = examples.as_object().unwrap();
    assert_eq!(examples.len(), 5);
    for (name, examples) in examples {
        let contract = contract(name);
        let all = |kind: &str| examples[kind].as_array().unwrap().clone();
        assert!(!all("good").is_empty() && all("bad").len() > 2, "{name}");
        assert!(all("good").iter().all(|body| contract.is_valid(body)), "{name}");
        for bad in all("bad") {
            assert!(!contract.is_valid(&bad), "{name}: {bad}");
        }
    }
}

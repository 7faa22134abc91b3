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
    assert_eq!(blocks.last().unwrap()["elements"][0]["text"], "and 24 more");
    for block in blocks.iter().filter(|block| block["type"] != "divider" && block["type"] != "context") {
        let max = if block["type"] == "header" { 150 } else { 3000 };
        assert!(block["text"]["text"].as_str().unwrap().chars().count() <= max);
    }
    assert!(!body["text"].as_str().unwrap().contains("<!channel>"));
    let event = pagerduty::body("pager", &long, &texts(), "***");
    assert!(event["dedup_key"].as_str().unwrap().chars().count() <= 255);
    assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1024);
}

//! Trying a configuration out: `send-test` and `route-test`.

use crate::alert::Alert;
use crate::config::Receivers;
use crate::engine::{Delivery, Notice, Outcome};
use crate::matcher::Labels;
use crate::routing::Routing;
use crate::secret::Secrets;
use crate::send::{Sender, Sent};
use anyhow::{Context, Result, anyhow, bail};
use perfstream_core::time;
use serde_json::json;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Sends a test alert and its end to one receiver; an error says why it was not accepted.
pub fn send_test(receivers: &Receivers, secrets: &Secrets, name: &str) -> Result<()> {
    let receiver = receivers.get(name).with_context(|| format!("there is no receiver `{name}`"))?;
    let sender = Sender::new(receiver, receivers.page.as_deref(), secrets)?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
    for state in ["firing", "resolved"] {
        let delivery = test_delivery(name, state, now_ms)?;
        let Sent { outcome, message } = sender.send(&delivery, now_ms);
        if outcome != Outcome::Accepted {
            bail!("{name}: {message}");
        }
    }
    Ok(())
}

fn test_delivery(receiver: &str, state: &str, now_ms: i64) -> Result<Delivery> {
    let now = time::format(now_ms.saturating_mul(1000));
    let record = json!({
        "alert_id": format!("perfstream-test-{now_ms}"), "pipeline": "perfstream", "stage": "test", "rule": "Test",
        "state": state, "transition": state, "severity": "info", "notify": true, "labels": { "test": "true" },
        "condition": "a test was asked for", "values": {}, "timestamp": now, "started_at": now,
        "ended_at": (state == "resolved").then_some(&now),
        "summary": "This is a test by `perfstream sink send-test`; nothing is wrong.",
    });
    let alert = Alert::parse(record.to_string().as_bytes(), "no record".into())?;
    let notice = Notice { alert, repeat: 0 };
    Ok(Delivery {
        key: notice.key(),
        receiver: receiver.into(),
        group_key: "test:{}".into(),
        group_labels: Labels::new(),
        repeat_interval_ms: 60_000,
        notices: vec![notice],
    })
}

/// Who would be told of an alert with these labels whose rule names these receivers, at a time in
/// milliseconds since the epoch: a line each.
pub fn route_test(receivers: &Receivers, labels: Labels, named: &[String], at_ms: i64) -> Result<String> {
    let routing = Routing::new(receivers)?;
    if let Some(name) = named.iter().find(|name| !routing.knows(name)) {
        return Err(anyhow!("there is no receiver `{name}`"));
    }
    let told = routing.of_labels(&labels, named);
    if told.is_empty() {
        return Ok("nobody would be told\n".into());
    }
    let mut text = String::new();
    for told in told {
        let (wait, interval, repeat) =
            (told.timing.group_wait_ms, told.timing.group_interval_ms, told.timing.repeat_interval_ms);
        let silent = routing.silent(&told.timing, at_ms).map(|why| format!("; {why}")).unwrap_or_default();
        writeln!(
            text,
            "{}  group {}  after {} s, at most every {} s, again after {} s{silent}",
            told.receiver,
            told.group_key,
            wait as f64 / 1000.0,
            interval as f64 / 1000.0,
            repeat as f64 / 1000.0,
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_said() {
        let receivers: Receivers = serde_json::from_value(json!({
            "receivers": (["chat", "pager"].map(|name| json!({ "name": name }))),
            "time_intervals": [{ "name": "night", "time_intervals": [{ "years": [1970] }] }],
            "route": { "routes": [{ "matchers": ["severity=critical"], "receiver": "pager", "group_wait": "500ms",
                                    "mute_time_intervals": ["night"] }] },
        }))
        .unwrap();
        let labels = |severity: &str| Labels::from([("severity".to_string(), severity.to_string())]);
        assert_eq!(
            route_test(&receivers, labels("critical"), &["chat".into()], 0).unwrap(),
            "pager  group {}/{severity=critical}:{}  after 0.5 s, at most every 300 s, again after 14400 s; \
             muted by `night`\n\
             chat  group direct:{}  after 30 s, at most every 300 s, again after 14400 s\n"
        );
        assert_eq!(route_test(&receivers, labels("info"), &[], 0).unwrap(), "nobody would be told\n");
        assert!(route_test(&receivers, labels("info"), &["mail".into()], 0).is_err());
    }
}

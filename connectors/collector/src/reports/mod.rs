//! Reports of the browser itself (Reporting API, Network Error Logging, CSP) to `reports-stream`.
//!
//! Source: W3C Reporting API (`application/reports+json`: a list of `{age, type, url, user_agent,
//! body}`) and, for browsers without it, CSP 2's `report-uri` (`application/csp-report`: one object
//! `csp-report`). `timestamp` is the receive time less the report's age. Crashes are told in no
//! other way. The key is the page.

use crate::client::{Sender, page};
use crate::decode::{Bad, Unreadable, items};
use crate::fields::Flat;
use crate::record::{Mapped, Outgoing};
use perfstream_core::time::format;
use serde_json::{Map, Value};

/// Topic of reports.
pub const REPORTS: &str = "reports-stream";

/// A report cannot be older than this, milliseconds; one that says so is not believed.
const AGE_MS: f64 = 7.0 * 24.0 * 3600.0 * 1000.0;

/// Fields of a body that hold addresses: of them the path is kept, as queries may hold secrets.
const ADDRESSES: [&str; 5] = ["sourceFile", "documentURL", "referrer", "blockedURL", "document_uri"];

type Object = Map<String, Value>;

/// The records of a body; at most `max_events` reports.
pub fn records(body: &[u8], sender: &Sender<'_>, max_events: usize) -> Result<Mapped, Unreadable> {
    let mut mapped = Mapped::default();
    for item in items(body, max_events, false)? {
        mapped.event(item.and_then(|report| {
            let sample = |bad: Bad| bad.with_sample(Value::Object(report.clone()).to_string().as_bytes());
            record(&report, sender).map(|record| vec![record]).map_err(sample)
        }));
    }
    Ok(mapped)
}

fn record(report: &Object, sender: &Sender<'_>) -> Result<Outgoing, Bad> {
    if let Some(Value::Object(old)) = report.get("csp-report") {
        return make("csp-violation", old.get("document-uri"), None, 0.0, &renamed(old), sender);
    }
    let kind = report.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| Bad::new("missing_field", "the report has no `type`"))?;
    let age = report.get("age").and_then(Value::as_f64).filter(|age| (0.0..=AGE_MS).contains(age)).unwrap_or_default();
    let empty = Map::new();
    let body = report.get("body").and_then(Value::as_object).unwrap_or(&empty);
    make(kind, report.get("url"), report.get("user_agent").and_then(Value::as_str), age, body, sender)
}

fn make(
    kind: &str,
    url: Option<&Value>,
    agent: Option<&str>,
    age_ms: f64,
    body: &Object,
    sender: &Sender<'_>,
) -> Result<Outgoing, Bad> {
    let url = url.and_then(Value::as_str).unwrap_or_default();
    let allowed = "allowed is an http address";
    let page = page(url).filter(|_| !url.is_empty()).or_else(|| sender.client.page.clone());
    let page = page.ok_or_else(|| Bad::new("bad_page", format!("`url` is missing or no page; {allowed}")))?;
    // A report may be sent for another page, and later, but by the browser that had it.
    let client = sender.client_of(agent);
    let mut flat = Flat::default();
    flat.set("timestamp", format(sender.received_us.saturating_sub((age_ms * 1000.0) as i64)));
    flat.set("source", "browser");
    flat.text("type", kind);
    flat.set("page", page.as_str());
    flat.set("browser", client.browser.as_str());
    flat.set("device", client.device.as_str());
    flat.set("country", client.country.clone());
    for (name, value) in body {
        flat.attribute(name, shortened(name, value));
    }
    flat.set("received", format(sender.received_us));
    Ok(Outgoing::new(REPORTS, Some(&page), &flat.into_value()))
}

/// An address is cut to what stands before its query; `inline` and `eval` are none.
fn shortened(name: &str, value: &Value) -> Value {
    match value.as_str() {
        Some(text) if ADDRESSES.contains(&name) => text.split(['?', '#']).next().unwrap_or_default().into(),
        _ => value.clone(),
    }
}

/// CSP 2's names as the Reporting API has them.
fn renamed(old: &Object) -> Object {
    const NAMES: [(&str, &str); 9] = [
        ("blocked-uri", "blockedURL"),
        ("disposition", "disposition"),
        ("effective-directive", "effectiveDirective"),
        ("violated-directive", "effectiveDirective"),
        ("line-number", "lineNumber"),
        ("column-number", "columnNumber"),
        ("source-file", "sourceFile"),
        ("status-code", "statusCode"),
        ("referrer", "referrer"),
    ];
    let mut body = Object::new();
    for (theirs, ours) in NAMES {
        if let Some(value) = old.get(theirs) {
            body.entry(ours).or_insert_with(|| value.clone());
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use perfstream_core::enrich::Agents;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Mutex;

    fn read(body: &[u8]) -> Result<Mapped, Unreadable> {
        let client = Client::new(&http::HeaderMap::new(), &mut Agents::default(), None);
        records(body, &Sender { client: &client, agents: &Mutex::default(), received_us: 60_000_000 }, 10)
    }

    fn found(body: &Value) -> Vec<Value> {
        let mapped = read(body.to_string().as_bytes()).unwrap();
        mapped.records.iter().map(|(_, record)| serde_json::from_slice(&record.value).unwrap()).collect()
    }

    #[test]
    fn a_report_becomes_a_record() {
        let firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0";
        let crash = json!([{"age": 10000, "type": "crash", "url": "https://shop.example/cart?id=1",
            "user_agent": firefox, "body": {"reason": "oom", "type": "x"}}]);
        assert_eq!(
            found(&crash),
            [json!({"timestamp": "1970-01-01T00:00:50Z", "received": "1970-01-01T00:01:00Z", "source": "browser",
                "type": "crash", "page": "/cart", "browser": "firefox", "device": "desktop", "reason": "oom",
                "attribute_type": "x"})]
        );
        let mapped = read(crash.to_string().as_bytes()).unwrap();
        let (_, record) = &mapped.records[0];
        assert_eq!((record.topic.as_str(), record.key.as_deref()), ("reports-stream", Some(&b"/cart"[..])));
    }

    #[test]
    fn addresses_lose_their_query() {
        let report = json!({"type": "csp-violation", "url": "https://shop.example/", "age": 1e300,
            "body": {"blockedURL": "https://x.example/a.js?token=secret", "effectiveDirective": "script-src"}});
        let record = &found(&report)[0];
        assert_eq!(
            (&record["blockedURL"], &record["timestamp"]),
            (&json!("https://x.example/a.js"), &json!("1970-01-01T00:01:00Z"))
        );
        let old = json!({"csp-report": {"document-uri": "https://shop.example/a", "blocked-uri": "inline",
            "violated-directive": "script-src 'self'", "original-policy": "x"}});
        let record = &found(&old)[0];
        let fields = (&record["page"], &record["type"], &record["blockedURL"], &record["effectiveDirective"]);
        assert_eq!(fields, (&json!("/a"), &json!("csp-violation"), &json!("inline"), &json!("script-src 'self'")));
        assert_eq!(record.get("original_policy"), None);
    }

    #[test]
    fn bad_reports() {
        let body = json!([7, {"url": "https://a.example"}, {"type": "crash"}, {"type": "crash", "url": "about:blank"}]);
        let mapped = read(body.to_string().as_bytes()).unwrap();
        let reasons: Vec<&str> = mapped.bad.iter().map(|(_, bad)| bad.reason).collect();
        assert_eq!(reasons, ["not_an_object", "missing_field", "bad_page", "bad_page"]);
    }

    proptest! {
        #[test]
        fn takes_any_bytes(body: Vec<u8>) {
            let _ = read(&body);
        }
    }
}

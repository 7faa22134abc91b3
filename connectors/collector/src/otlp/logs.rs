//! Log records to records of `logs-stream`, and browser events to vitals.
//!
//! An event `browser.web_vital` of the semantic conventions goes the way of a beacon, to
//! `lcp-stream` and its like. Its fields are read from the body (`name`, `value`, …, the
//! conventions of 2024) or from attributes (`browser.web_vital.name`, …).

use super::attributes::{find, object, put, shown, text};
use super::resource::Origin;
use super::spans::hex_text;
use super::{LOGS, micros};
use crate::client::Sender;
use crate::decode::Bad;
use crate::fields::cut;
use crate::record::{Mapped, Outgoing};
use crate::vitals;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use perfstream_core::time::format;
use serde_json::{Map, Value};

/// Longest message, bytes; the rest is cut off.
const MESSAGE_BYTES: usize = 4096;

/// Names of the event that is a web vital.
const VITAL: [&str; 2] = ["browser.web_vital", "browser.web_vitals"];

/// Fields of a web vital: ours, and the conventions'.
const VITAL_FIELDS: [(&str, &str); 6] = [
    ("name", "name"),
    ("value", "value"),
    ("delta", "delta"),
    ("id", "id"),
    ("rating", "rating"),
    ("navigationType", "navigation_type"),
];

/// What a vital's record has beside, and the attributes that it comes from.
const VITAL_CONTEXT: [(&str, &[&str]); 5] = [
    ("page", &["url.full", "url.path", "browser.page.url", "page.url", "http.url"]),
    ("sessionId", &["session.id"]),
    ("navigationId", &["browser.page.instance_id", "page.load.id"]),
    ("connection", &["network.effective_type", "network.connection.subtype"]),
    ("release", &["service.version"]),
];

/// Log records of a request.
pub(super) fn count(request: &ExportLogsServiceRequest) -> usize {
    request.resource_logs.iter().flat_map(|resource| &resource.scope_logs).map(|scope| scope.log_records.len()).sum()
}

/// A record for each log record.
pub(super) fn records(request: &ExportLogsServiceRequest, sender: &Sender<'_>) -> Mapped {
    let mut mapped = Mapped::default();
    for resource in &request.resource_logs {
        let origin = Origin::new(resource.resource.as_ref(), sender.received_us);
        for log in resource.scope_logs.iter().flat_map(|scope| &scope.log_records) {
            let event = event_name(log);
            mapped.event(match VITAL.contains(&event) {
                true => vital(log, resource.resource.as_ref(), sender),
                false => Ok(vec![record(log, event, &origin, sender.received_us)]),
            });
        }
    }
    mapped
}

/// The field, or the attribute that it was before.
fn event_name(log: &LogRecord) -> &str {
    if log.event_name.is_empty() { text(&log.attributes, "event.name").unwrap_or_default() } else { &log.event_name }
}

fn time_us(log: &LogRecord) -> Option<i64> {
    micros(log.time_unix_nano).or_else(|| micros(log.observed_time_unix_nano))
}

fn record(log: &LogRecord, event: &str, origin: &Origin, received_us: i64) -> Outgoing {
    let mut flat = origin.record(time_us(log).unwrap_or(received_us));
    flat.text("event", event);
    flat.set("severity", severity(log));
    if log.severity_number > 0 {
        flat.set("severity_number", log.severity_number);
    }
    if let Some(body) = log.body.as_ref().and_then(shown) {
        flat.set("message", cut(&body, MESSAGE_BYTES));
    }
    for (name, bytes) in [("traceId", &log.trace_id), ("spanId", &log.span_id)] {
        // Ids have 16 and 8 bytes; of anything longer nothing is kept.
        if !bytes.is_empty() && bytes.len() <= 16 {
            flat.set(name, hex_text(bytes));
        }
    }
    flat.text("id", text(&log.attributes, "log.record.uid").unwrap_or_default());
    put(&mut flat, &log.attributes, &["event.name", "log.record.uid"]);
    origin.outgoing(LOGS, flat)
}

/// The range of the number, else the sender's own word for it.
fn severity(log: &LogRecord) -> Option<String> {
    const WORDS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
    let range = usize::try_from(log.severity_number - 1).ok().map(|n| n / 4);
    let word = range.filter(|_| log.severity_number > 0).and_then(|n| WORDS.get(n));
    let own = cut(&log.severity_text, 32).to_lowercase();
    word.map(|word| (*word).to_owned()).or_else(|| Some(own).filter(|own| !own.is_empty()))
}

/// An event of the conventions as a beacon has it.
fn vital(log: &LogRecord, resource: Option<&Resource>, sender: &Sender<'_>) -> Result<Vec<Outgoing>, Bad> {
    let of_resource = resource.map_or(&[][..], |resource| resource.attributes.as_slice());
    let body = object(log.body.as_ref());
    let mut event = Map::new();
    for (ours, theirs) in VITAL_FIELDS {
        let attribute = find(&log.attributes, &format!("browser.web_vital.{theirs}"));
        let found = body.get(theirs).cloned().or_else(|| super::attributes::value(attribute?));
        if let Some(value) = found {
            event.insert(ours.into(), value);
        }
    }
    for (name, keys) in VITAL_CONTEXT {
        let said = |attributes: &[KeyValue]| keys.iter().find_map(|key| text(attributes, key).map(str::to_owned));
        if let Some(value) = said(&log.attributes).or_else(|| said(of_resource)) {
            event.insert(name.into(), value.into());
        }
    }
    if let Some(us) = time_us(log) {
        event.insert("timestamp".into(), format(us).into());
    }
    let agent = text(&log.attributes, "user_agent.original").or_else(|| text(of_resource, "user_agent.original"));
    let client = sender.client_of(agent);
    let sample = |bad: Bad| bad.with_sample(Value::Object(event.clone()).to_string().as_bytes());
    vitals::records(&event, &client, sender.received_us).map_err(sample)
}

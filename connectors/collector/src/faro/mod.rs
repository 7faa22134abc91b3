//! Grafana Faro's payload to vitals, log records, metrics and spans.
//!
//! Source: `@grafana/faro-web-sdk` 2.x (types `TransportBody`, `MeasurementEvent`, …). One object
//! has `meta` and lists. A measurement of the type `web-vitals` goes the way of a beacon; any other
//! gives a metric for each of its values. Logs, exceptions and events go to `logs-stream`; `traces`
//! is an OTLP request. The SDK leaves out values that are 0, but never the metric's own.

use crate::client::{Client, Sender, UNKNOWN, page};
use crate::decode::{Bad, Unreadable};
use crate::fields::{Flat, cut};
use crate::otlp::{self, Encoding, LOGS, METRICS, Signal};
use crate::record::{Mapped, Outgoing};
use crate::vitals;
use perfstream_core::Value as CoreValue;
use perfstream_core::time::{TimeParser, format};
use serde_json::{Map, Value};

/// Longest message and stack, bytes; the rest is cut off.
const MESSAGE_BYTES: usize = 4096;

/// Most values of a measurement.
const VALUES: usize = 64;

/// Service of a page that names none.
const UNKNOWN_APP: &str = "unknown_app";

type Object = Map<String, Value>;

/// The records of a payload; at most `max_events` of all kinds.
pub fn records(body: &[u8], sender: &Sender<'_>, max_events: usize) -> Result<Mapped, Unreadable> {
    let parsed: Value =
        serde_json::from_slice(body).map_err(|error| Unreadable::NoEvents(format!("no JSON: {error}")))?;
    let Value::Object(payload) = parsed else {
        return Err(Unreadable::NoEvents("no object; a Faro payload is one".into()));
    };
    let list = |name: &str| payload.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (measurements, logs, exceptions, events) =
        (list("measurements"), list("logs"), list("exceptions"), list("events"));
    let count = measurements.len() + logs.len() + exceptions.len() + events.len();
    if count > max_events {
        return Err(Unreadable::TooMany(count));
    }
    let from = From::new(&payload, sender);
    let mut mapped = Mapped::default();
    let mut each = |found: &[Value], map: &dyn Fn(&Object) -> Result<Vec<Outgoing>, Bad>| {
        for item in found {
            let made = match item {
                Value::Object(item) => map(item),
                _ => Err(Bad::new("not_an_object", "an item of a Faro payload is a JSON object")),
            };
            mapped.event(made.map_err(|bad| bad.with_sample(item.to_string().as_bytes())));
        }
    };
    each(measurements, &|item| from.measurement(item));
    each(logs, &|item| Ok(vec![from.log(item)]));
    each(exceptions, &|item| Ok(vec![from.exception(item)]));
    each(events, &|item| Ok(vec![from.event(item)]));
    if let Some(traces) = payload.get("traces").filter(|traces| traces.is_object()) {
        from.traces(traces, max_events - count, &mut mapped)?;
    }
    if mapped.events == 0 {
        let found = "no measurements, logs, exceptions, events or traces".to_owned();
        return Err(Unreadable::NoEvents(found));
    }
    Ok(mapped)
}

/// What a payload says of its sender.
struct From<'a> {
    sender: &'a Sender<'a>,
    service: String,
    url: Option<String>,
    session: Option<String>,
    release: Option<String>,
    browser: Option<String>,
    device: Option<&'static str>,
}

impl<'a> From<'a> {
    fn new(payload: &Object, sender: &'a Sender<'a>) -> From<'a> {
        let meta = |group: &str, name: &str| payload.get("meta")?.get(group)?.get(name);
        let text = |group: &str, name: &str| {
            let found = meta(group, name).and_then(Value::as_str).filter(|text| !text.is_empty());
            found.map(|text| cut(text, crate::fields::TEXT_BYTES).to_owned())
        };
        // Headers say it in the words of the other records; where they do not, the payload may.
        let known = |word: &str| word != UNKNOWN;
        let Client { browser, device, .. } = sender.client;
        let mobile = meta("browser", "mobile").and_then(Value::as_bool);
        From {
            sender,
            service: text("app", "name").unwrap_or_else(|| UNKNOWN_APP.into()),
            url: text("page", "url"),
            session: text("session", "id"),
            release: text("app", "release").or_else(|| text("app", "version")),
            browser: if known(browser) { None } else { text("browser", "name").map(|name| name.to_lowercase()) },
            device: mobile.filter(|_| !known(device)).map(|mobile| if mobile { "mobile" } else { "desktop" }),
        }
    }

    fn measurement(&self, item: &Object) -> Result<Vec<Outgoing>, Bad> {
        let values = item.get("values").and_then(Value::as_object);
        let values = values.ok_or_else(|| Bad::new("missing_field", "the measurement has no `values`"))?;
        match item.get("type").and_then(Value::as_str) {
            Some("web-vitals") => self.vitals(item, values),
            kind => Ok(self.metrics(item, kind.unwrap_or("measurement"), values)),
        }
    }

    fn vitals(&self, item: &Object, values: &Object) -> Result<Vec<Outgoing>, Bad> {
        let context = |name: &str| item.get("context").and_then(|context| context.get(name)).cloned();
        let mut found = Vec::new();
        for (name, _) in vitals::METRICS {
            let Some(value) = values.get(&name.to_ascii_lowercase()) else { continue };
            let mut event = Map::new();
            let target =
                ["element", "target", "interaction_target", "largest_shift_target"].into_iter().find_map(context);
            let given = [
                ("value", Some(value.clone())),
                ("delta", values.get("delta").cloned()),
                ("id", context("id")),
                ("rating", context("rating")),
                ("navigationType", context("navigation_type")),
                ("navigationId", context("navigation_entry_id")),
                ("timestamp", item.get("timestamp").cloned()),
                ("url", self.url.clone().map(Value::from)),
                ("sessionId", self.session.clone().map(Value::from)),
                ("release", self.release.clone().map(Value::from)),
                ("browser", self.browser.clone().map(Value::from)),
                ("device", self.device.map(Value::from)),
                ("attribution", target.map(|target| serde_json::json!({ "target": target }))),
            ];
            event.insert("name".into(), name.into());
            event.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            found.extend(vitals::records(&event, self.sender.client, self.sender.received_us)?);
        }
        match found.is_empty() {
            true => Err(Bad::new("unknown_metric", "the measurement has none of lcp, cls, fcp, inp, ttfb, fid")),
            false => Ok(found),
        }
    }

    fn metrics(&self, item: &Object, kind: &str, values: &Object) -> Vec<Outgoing> {
        let numbers = values.iter().filter(|(_, value)| value.is_number()).take(VALUES);
        let record = |(name, value): (&String, &Value)| {
            let mut flat = self.begin(item);
            flat.text("metric", &format!("{kind}.{name}"));
            flat.set("value", value.clone());
            self.end(METRICS, flat, item.get("context"))
        };
        numbers.map(record).collect()
    }

    fn log(&self, item: &Object) -> Outgoing {
        let mut flat = self.begin(item);
        let level = item.get("level").and_then(Value::as_str).unwrap_or("log");
        // Faro's words are those of the console.
        flat.text("severity", if level == "log" { "info" } else { level });
        message(&mut flat, item.get("message"));
        self.end(LOGS, flat, item.get("context"))
    }

    fn exception(&self, item: &Object) -> Outgoing {
        let mut flat = self.begin(item);
        flat.set("event", "exception");
        flat.set("severity", if item.get("fatal") == Some(&Value::Bool(true)) { "fatal" } else { "error" });
        flat.text("exception_type", item.get("type").and_then(Value::as_str).unwrap_or_default());
        message(&mut flat, item.get("value"));
        let frames = item.get("stacktrace").and_then(|trace| trace.get("frames")).and_then(Value::as_array);
        let frames: Vec<String> = frames.map_or(&[][..], Vec::as_slice).iter().take(VALUES).map(frame).collect();
        if !frames.is_empty() {
            flat.set("stack", cut(&frames.join("\n"), MESSAGE_BYTES));
        }
        self.end(LOGS, flat, item.get("context"))
    }

    fn event(&self, item: &Object) -> Outgoing {
        let mut flat = self.begin(item);
        flat.set("severity", "info");
        for (field, name) in [("event", "name"), ("domain", "domain")] {
            flat.text(field, item.get(name).and_then(Value::as_str).unwrap_or_default());
        }
        self.end(LOGS, flat, item.get("attributes"))
    }

    /// The spans of the payload's OTLP request, as `/v1/traces` reads them.
    fn traces(&self, traces: &Value, room: usize, mapped: &mut Mapped) -> Result<(), Unreadable> {
        let text = traces.to_string();
        let spans = otlp::records(Signal::Traces, Encoding::Json, text.as_bytes(), self.sender, room)?;
        let before = mapped.events;
        mapped.events += spans.events;
        mapped.records.extend(spans.records.into_iter().map(|(n, record)| (before + n, record)));
        mapped.bad.extend(spans.bad.into_iter().map(|(n, bad)| (before + n, bad)));
        Ok(())
    }

    fn begin(&self, item: &Object) -> Flat {
        let mut flat = Flat::default();
        let said = item.get("timestamp").and_then(Value::as_str);
        let time = said.and_then(|text| TimeParser::default().parse(CoreValue::Str(text)));
        flat.set("timestamp", format(time.unwrap_or(self.sender.received_us)));
        flat.set("source", "faro");
        flat.set("service", self.service.as_str());
        flat.set("page", self.url.as_deref().and_then(page));
        flat.set("browser", self.browser.clone().unwrap_or_else(|| self.sender.client.browser.clone()));
        flat.set("device", self.device.unwrap_or(&self.sender.client.device));
        flat.set("country", self.sender.client.country.clone());
        flat.set("sessionId", self.session.clone());
        flat.set("release", self.release.clone());
        for (field, name) in [("traceId", "trace_id"), ("spanId", "span_id")] {
            let id = item.get("trace").and_then(|trace| trace.get(name)).and_then(Value::as_str);
            flat.text(field, id.unwrap_or_default());
        }
        flat
    }

    fn end(&self, topic: &str, mut flat: Flat, attributes: Option<&Value>) -> Outgoing {
        for (name, value) in attributes.and_then(Value::as_object).into_iter().flatten() {
            flat.attribute(name, value.clone());
        }
        flat.set("received", format(self.sender.received_us));
        Outgoing::new(topic, Some(&self.service), &flat.into_value())
    }
}

fn message(flat: &mut Flat, text: Option<&Value>) {
    if let Some(text) = text.and_then(Value::as_str) {
        flat.set("message", cut(text, MESSAGE_BYTES));
    }
}

/// `function (file:line:column)`.
fn frame(frame: &Value) -> String {
    let text = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or("?");
    let number = |name: &str| frame.get(name).and_then(Value::as_u64).unwrap_or_default();
    format!("{} ({}:{}:{})", text("function"), text("filename"), number("lineno"), number("colno"))
}

#[cfg(test)]
mod tests;

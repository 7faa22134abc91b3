//! Web-vitals beacons and raw browser entries to records of the pipelines' input topics.
//!
//! A metric of the library goes to the topic of its name (LCP to `lcp-stream`), keyed by page; its
//! `id` is `METRICID-VALUE`, for the library repeats an id when the value has grown and pipelines
//! drop what has an id they know (README, "Growing values"). Raw layout shifts go to `cls-stream`,
//! raw event timings to `inp-events-stream`, keyed by session; so does CLS of the library, as the
//! shifts that it lists, which have the same ids in each report. Values are in the units of the
//! browser: milliseconds, CLS without a unit. Cost: a map and a JSON text per event.

use crate::client::{Client, UNKNOWN, connection, page};
use crate::decode::Bad;
use crate::record::Outgoing;
use perfstream_core::Value as CoreValue;
use perfstream_core::time::{TimeParser, format};
use serde_json::{Map, Value, json};

/// Names of the library's metrics and their topics.
pub const METRICS: [(&str, &str); 6] = [
    ("LCP", "lcp-stream"),
    ("CLS", SHIFTS),
    ("FCP", "fcp-stream"),
    ("INP", "inp-stream"),
    ("TTFB", "ttfb-stream"),
    ("FID", "fid-stream"),
];

/// Topic of layout shifts.
pub const SHIFTS: &str = "cls-stream";

/// Topic of event timings.
pub const INTERACTIONS: &str = "inp-events-stream";

/// Longest text that is handed on, bytes; ids, selectors, names.
const TEXT_BYTES: usize = 512;

/// Most shifts of a metric, and most sources of a shift, that are handed on.
const LIST: usize = 100;

type Event = Map<String, Value>;

/// The records of an event: one, but for CLS with its list of shifts.
pub fn records(event: &Event, client: &Client, received_us: i64) -> Result<Vec<Outgoing>, Bad> {
    let common = Common::new(event, client, received_us)?;
    match event.get("entryType").and_then(Value::as_str) {
        Some("layout-shift") => Ok(vec![shift(event, &common)?]),
        Some("event" | "first-input") => Ok(vec![interaction(event, &common)?]),
        Some(other) => {
            let allowed = "allowed are layout-shift, event, first-input";
            Err(Bad::new("unknown_entry", format!("the entryType is `{}`; {allowed}", cut(other))))
        }
        None => metric(event, &common),
    }
}

/// What all records of an event have.
struct Common {
    fields: Event,
    page: String,
    session: Option<String>,
    navigation: Option<String>,
}

impl Common {
    fn new(event: &Event, client: &Client, received_us: i64) -> Result<Common, Bad> {
        let given =
            ["page", "url", "page_location", "navigationURL"].into_iter().find_map(|name| event.get(name)?.as_str());
        let page = match given {
            Some(text) => page(text).ok_or_else(|| {
                Bad::new("bad_page", format!("the page is `{}`; allowed is a path or an http address", cut(text)))
            })?,
            None => client
                .page
                .clone()
                .ok_or_else(|| Bad::new("missing_field", "no `page`, `url` or Referer header says which page it is"))?,
        };
        let or = |name: &str, known: &str| text(event, name).map(|found| found.unwrap_or_else(|| known.to_owned()));
        let connected = ["connection", "effectiveType", "ect"].into_iter().find_map(|name| event.get(name)?.as_str());
        let (session, navigation) = (text(event, "sessionId")?, text(event, "navigationId")?);
        let mut fields = Event::new();
        fields.insert("timestamp".into(), timestamp(event, received_us)?);
        fields.insert("received".into(), format(received_us).into());
        fields.insert("page".into(), page.clone().into());
        fields.insert("browser".into(), or("browser", &client.browser)?.to_lowercase().into());
        fields.insert("device".into(), or("device", &client.device)?.into());
        let network = connected.map_or(client.connection.as_str(), |text| connection(text).unwrap_or(UNKNOWN));
        fields.insert("connection".into(), network.into());
        let country = match text(event, "country")? {
            None => client.country.clone(),
            given => given,
        };
        let release = text(event, "release")?;
        let kind = text(event, "navigationType")?;
        let texts =
            [("country", &country), ("sessionId", &session), ("navigationId", &navigation), ("navigationType", &kind)];
        for (name, value) in texts.into_iter().chain([("release", &release)]) {
            if let Some(value) = value {
                fields.insert(name.into(), value.as_str().into());
            }
        }
        Ok(Common { fields, page, session, navigation })
    }

    /// A record with these fields too; null ones are left out.
    fn record(&self, topic: &str, key: &str, own: Value) -> Outgoing {
        let mut fields = self.fields.clone();
        if let Value::Object(own) = own {
            fields.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
        }
        Outgoing::new(topic, Some(key), &Value::Object(fields))
    }
}

fn metric(event: &Event, common: &Common) -> Result<Vec<Outgoing>, Bad> {
    let name = text(event, "name")?
        .ok_or_else(|| Bad::new("missing_field", "neither `name` nor `entryType` says what it is"))?;
    let Some((name, topic)) = METRICS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) else {
        let known: Vec<&str> = METRICS.iter().map(|(name, _)| *name).collect();
        return Err(Bad::new("unknown_metric", format!("the name is `{name}`; allowed are {}", known.join(", "))));
    };
    let value = number(event, "value")?;
    let id = text(event, "id")?;
    let mut own = json!({
        "id": id.as_ref().map(|id| format!("{id}-{value}")),
        "metricId": id,
        "value": value,
        "delta": optional(event, "delta")?,
        "rating": text(event, "rating")?,
        "target": target(event),
    });
    merge(&mut own, parts(event));
    match name {
        "CLS" => shifts_of_metric(event, common, id, own),
        _ => Ok(vec![common.record(topic, &common.page, own)]),
    }
}

/// Of which parts the metric is made, milliseconds, from the attribution build: those of LCP, INP, FCP and TTFB.
const PARTS: [&str; 13] = [
    "timeToFirstByte",
    "resourceLoadDelay",
    "resourceLoadDuration",
    "elementRenderDelay",
    "inputDelay",
    "processingDuration",
    "presentationDelay",
    "firstByteToFCP",
    "waitingDuration",
    "cacheDuration",
    "dnsDuration",
    "connectionDuration",
    "requestDuration",
];

/// Parts that are finite numbers from 0 on; others are passed over, for the metric is good without them.
fn parts(event: &Event) -> Value {
    let attribution = event.get("attribution").and_then(Value::as_object);
    let known = PARTS.into_iter().filter_map(|name| {
        let ms = attribution?.get(name)?.as_f64().filter(|ms| *ms >= 0.0)?;
        Some((name.to_string(), json!(ms)))
    });
    Value::Object(known.collect())
}

/// The selector of what was largest, latest or touched, from the attribution build.
fn target(event: &Event) -> Option<String> {
    let attribution = event.get("attribution").and_then(Value::as_object);
    let found = ["target", "interactionTarget", "largestShiftTarget"]
        .into_iter()
        .find_map(|name| attribution?.get(name)?.as_str());
    found.map(|text| cut(text).to_owned())
}

/// CLS of the library: the shifts that it lists, or where it lists none, one of its value.
fn shifts_of_metric(event: &Event, common: &Common, id: Option<String>, bare: Value) -> Result<Vec<Outgoing>, Bad> {
    let session = common.session.clone().or(id.clone());
    let session = session.ok_or_else(|| Bad::new("missing_field", "CLS needs `id` or `sessionId`"))?;
    let entries = event.get("entries").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let entries: Vec<&Event> = entries.iter().filter_map(Value::as_object).take(LIST).collect();
    let (target, largest) = (target(event), event.get("attribution").and_then(|a| a.get("largestShiftValue")));
    let known = json!({ "sessionId": session, "hadRecentInput": false, "sources": target.iter().collect::<Vec<_>>() });
    if entries.is_empty() {
        let mut own = bare;
        merge(&mut own, known);
        return Ok(vec![common.record(SHIFTS, &session, own)]);
    }
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        let (value, start) = (number(entry, "value")?, number(entry, "startTime")?);
        let mut own = known.clone();
        let name = id.as_deref().unwrap_or(&session);
        merge(
            &mut own,
            json!({ "id": format!("{name}-s{start}"), "metricId": id, "value": value, "startTime": start }),
        );
        if largest.and_then(Value::as_f64) != Some(value) {
            merge(&mut own, json!({ "sources": [] }));
        }
        found.push(common.record(SHIFTS, &session, own));
    }
    Ok(found)
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn shift(event: &Event, common: &Common) -> Result<Outgoing, Bad> {
    let session = session(common)?;
    let start = optional(event, "startTime")?;
    let sources = event.get("sources").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let sources: Vec<&str> = sources.iter().filter_map(Value::as_str).take(LIST).map(cut).collect();
    let own = json!({
        "id": id_of_entry(event, common, session, start)?,
        "value": number(event, "value")?,
        "startTime": start,
        "hadRecentInput": event.get("hadRecentInput").and_then(Value::as_bool).unwrap_or(false),
        "sources": sources,
    });
    Ok(common.record(SHIFTS, session, own))
}

fn interaction(event: &Event, common: &Common) -> Result<Outgoing, Bad> {
    let session = session(common)?;
    let start = number(event, "startTime")?;
    let own = json!({
        "id": id_of_entry(event, common, session, Some(start))?,
        "entryType": event.get("entryType"),
        "name": text(event, "name")?,
        "interactionId": number(event, "interactionId")?,
        "startTime": start,
        "duration": number(event, "duration")?,
        "processingStart": optional(event, "processingStart")?,
        "processingEnd": optional(event, "processingEnd")?,
        "interactionCount": optional(event, "interactionCount")?,
        "target": text(event, "target")?,
    });
    Ok(common.record(INTERACTIONS, session, own))
}

fn session(common: &Common) -> Result<&str, Bad> {
    common.session.as_deref().ok_or_else(|| Bad::new("missing_field", "a raw entry needs `sessionId`"))
}

/// The entry's own id, or one made of what tells it from others, so that a beacon sent twice counts once.
fn id_of_entry(event: &Event, common: &Common, session: &str, start: Option<f64>) -> Result<Option<String>, Bad> {
    if let Some(id) = text(event, "id")? {
        return Ok(Some(id));
    }
    let kind = event.get("entryType").and_then(Value::as_str).unwrap_or_default();
    let name = text(event, "name")?.unwrap_or_default();
    let navigation = common.navigation.as_deref().unwrap_or_default();
    Ok(start.map(|start| format!("{session}-{navigation}-{kind}-{name}-{start}")))
}

/// The event's own time as text, or the time it was received.
fn timestamp(event: &Event, received_us: i64) -> Result<Value, Bad> {
    let given = match event.get("timestamp") {
        None | Some(Value::Null) => return Ok(format(received_us).into()),
        Some(Value::String(text)) => TimeParser::default().parse(CoreValue::Str(text)),
        Some(other) => other.as_f64().and_then(|n| TimeParser::default().parse(CoreValue::Float(n))),
    };
    let allowed = "allowed is RFC 3339, epoch seconds or epoch milliseconds";
    given.map(|us| format(us).into()).ok_or_else(|| Bad::new("bad_time", format!("`timestamp` is no time; {allowed}")))
}

fn cut(text: &str) -> &str {
    crate::fields::cut(text, TEXT_BYTES)
}

/// A text field; a number is taken as its text.
fn text(event: &Event, name: &str) -> Result<Option<String>, Bad> {
    match event.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES => Ok(Some(text.clone())),
        Some(Value::String(text)) => {
            Err(Bad::new("too_long", format!("`{name}` has {} bytes; allowed are {TEXT_BYTES}", text.len())))
        }
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Bad::new("wrong_type", format!("`{name}` is no text"))),
    }
}

fn optional(event: &Event, name: &str) -> Result<Option<f64>, Bad> {
    match event.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| Bad::new("wrong_type", format!("`{name}` is no number"))),
    }
}

fn number(event: &Event, name: &str) -> Result<f64, Bad> {
    optional(event, name)?.ok_or_else(|| Bad::new("missing_field", format!("`{name}` is missing")))
}

#[cfg(test)]
mod tests;

//! A body to its events: one object, an array, or one object per line.
//!
//! The content type says nothing: `navigator.sendBeacon` sends JSON as text/plain, as a form or
//! without any. An object with a list `events` is an envelope: its plain fields hold for each of
//! them (what our own snippet sends). Never panics; a property test feeds it anything.

use serde_json::{Map, Value};

/// Fields of an envelope that its events get where they have none of that name.
const COMMON: [&str; 14] = [
    "timestamp",
    "page",
    "url",
    "sessionId",
    "navigationId",
    "navigationType",
    "connection",
    "effectiveType",
    "ect",
    "browser",
    "device",
    "country",
    "release",
    "interactionCount",
];

/// A text of an envelope that is longer is left out: it would be copied into each event.
const COMMON_BYTES: usize = 2048;

/// Bytes of a bad event that its dead letter shows.
const SAMPLE_BYTES: usize = 512;

/// An event that cannot be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// One word, for counting
    pub reason: &'static str,
    /// A sentence: what was found, what is allowed
    pub detail: String,
    /// The beginning of the event
    pub sample: String,
}

impl Bad {
    /// A bad event whose sample is still to come.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Bad {
        Bad { reason, detail: detail.into(), sample: String::new() }
    }

    /// With the beginning of the event.
    pub fn with_sample(mut self, event: &[u8]) -> Bad {
        self.sample = String::from_utf8_lossy(event.get(..SAMPLE_BYTES).unwrap_or(event)).into_owned();
        self
    }
}

/// Why nothing of a body could be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// No events in it; the text says what stands there
    NoEvents(String),
    /// More events than allowed: this many
    TooMany(usize),
    /// More bytes after decompression than allowed: this many
    TooLong(usize),
}

/// One event, or what stands in its place.
pub type Item = Result<Map<String, Value>, Bad>;

/// The events of a body, in order; at most `max_events`. With `envelopes`, envelopes are opened.
pub fn items(body: &[u8], max_events: usize, envelopes: bool) -> Result<Vec<Item>, Unreadable> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    if body.is_empty() {
        return Err(Unreadable::NoEvents("the body is empty".into()));
    }
    let values = match serde_json::from_slice(body) {
        Ok(Value::Array(values)) => values.into_iter().map(Ok).collect(),
        Ok(value) => vec![Ok(value)],
        Err(error) => lines(body).ok_or_else(|| Unreadable::NoEvents(format!("no JSON: {error}")))?,
    };
    let mut found = Vec::new();
    for value in values {
        match value {
            Err(bad) => found.push(Err(bad)),
            Ok(Value::Object(object)) if envelopes && is_envelope(&object) => open(object, &mut found),
            Ok(value) => found.push(object(value)),
        }
    }
    if found.len() > max_events {
        return Err(Unreadable::TooMany(found.len()));
    }
    Ok(found)
}

/// The values of a body with one per line; None if no line has one.
fn lines(body: &[u8]) -> Option<Vec<Result<Value, Bad>>> {
    let lines = body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let read = |line: &[u8]| {
        serde_json::from_slice(line).map_err(|e| Bad::new("bad_json", format!("no JSON: {e}")).with_sample(line))
    };
    let values: Vec<Result<Value, Bad>> = lines.map(read).collect();
    values.iter().any(Result::is_ok).then_some(values)
}

fn object(value: Value) -> Item {
    match value {
        Value::Object(object) => Ok(object),
        other => {
            let text = other.to_string();
            Err(Bad::new("not_an_object", "an event is a JSON object").with_sample(text.as_bytes()))
        }
    }
}

fn is_envelope(object: &Map<String, Value>) -> bool {
    object.get("events").is_some_and(Value::is_array) && !object.contains_key("name")
}

fn open(mut envelope: Map<String, Value>, found: &mut Vec<Item>) {
    let Some(Value::Array(events)) = envelope.remove("events") else { return };
    let short = |value: &Value| match value {
        Value::String(text) => text.len() <= COMMON_BYTES,
        other => other.is_number() || other.is_boolean(),
    };
    let common: Vec<(&str, Value)> =
        COMMON.iter().filter_map(|name| envelope.remove(*name).filter(short).map(|value| (*name, value))).collect();
    for event in events {
        found.push(object(event).map(|mut event| {
            for (name, value) in &common {
                event.entry(*name).or_insert_with(|| value.clone());
            }
            event
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(body: &str) -> Vec<String> {
        let found = items(body.as_bytes(), 10, true).unwrap();
        found.into_iter().map(|i| i.map_or_else(|bad| bad.reason.into(), |o| o["name"].to_string())).collect()
    }

    #[test]
    fn forms_of_a_body() {
        assert_eq!(names(r#"{"name":1}"#), ["1"]);
        assert_eq!(names("\u{feff} [{\"name\":1},{\"name\":2}]\n"), ["1", "2"]);
        assert_eq!(names("{\"name\":1}\r\n\n{\"name\":2}\n"), ["1", "2"]);
        assert_eq!(names(r#"[{"name":1},7]"#), ["1", "not_an_object"]);
        assert_eq!(names("{\"name\":1}\n{oops\n{\"name\":3}"), ["1", "bad_json", "3"]);
    }

    #[test]
    fn an_envelope_lends_its_fields() {
        let body = r#"{"page":"/a","sessionId":"s","secret":"x","events":[{"name":"LCP"},{"name":"CLS","page":"/b"}]}"#;
        let found = items(body.as_bytes(), 10, true).unwrap();
        let text = |n: usize| Value::Object(found[n].clone().unwrap()).to_string();
        assert_eq!(text(0), r#"{"name":"LCP","page":"/a","sessionId":"s"}"#);
        assert_eq!(text(1), r#"{"name":"CLS","page":"/b","sessionId":"s"}"#);
        assert_eq!(items(body.as_bytes(), 10, false).unwrap().len(), 1);
    }

    #[test]
    fn nothing_to_read() {
        for body in ["", "  \n", "x", "name=LCP&value=1", "[{\"name\":1},"] {
            assert!(matches!(items(body.as_bytes(), 10, true), Err(Unreadable::NoEvents(_))), "{body}");
        }
        assert_eq!(items(b"[{},{},{}]", 2, true), Err(Unreadable::TooMany(3)));
        let deep = "[".repeat(100_000);
        assert!(items(deep.as_bytes(), 10, true).is_err());
    }

    proptest! {
        #[test]
        fn takes_any_bytes(body: Vec<u8>, envelopes: bool) {
            let _ = items(&body, 100, envelopes);
        }

        #[test]
        fn takes_anything_like_json(body in r#"[\[\]{}",:0-9a-z\n\\ .-]{0,200}"#) {
            let _ = items(body.as_bytes(), 100, true);
        }
    }
}

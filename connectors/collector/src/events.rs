//! Plain JSON events of servers, handed on as they are.
//!
//! What is added where it is missing: `timestamp` (the receive time); and always `received`.

use crate::decode::Bad;
use crate::options::EventTopic;
use crate::record::Outgoing;
use perfstream_core::time::format;
use serde_json::{Map, Value};

/// The record of an event. Fails where the key that the topic asks for is not there.
pub fn record(event: &Map<String, Value>, topic: &EventTopic, received_us: i64) -> Result<Outgoing, Bad> {
    let mut event = event.clone();
    let received = Value::from(format(received_us));
    if event.get("timestamp").is_none_or(Value::is_null) {
        event.insert("timestamp".into(), received.clone());
    }
    event.insert("received".into(), received);
    // A number is keyed by its text, as by `perfstream run --partitions`.
    let key = match topic.key.as_deref().map(|field| (field, event.get(field))) {
        None => None,
        Some((_, Some(Value::String(text)))) => Some(text.clone()),
        Some((_, Some(value @ (Value::Number(_) | Value::Bool(_))))) => Some(value.to_string()),
        Some((field, _)) => return Err(Bad::new("missing_field", format!("the key `{field}` is missing or no text"))),
    };
    Ok(Outgoing::new(&topic.name, key.as_deref(), &Value::Object(event)))
}

/// The record that a bad event leaves in the topic `dead-letters`.
pub fn dead_letter(bad: &Bad, source: &str, received_us: i64) -> Outgoing {
    let received = format(received_us);
    let id = perfstream_core::id::id(&[b"collector", source.as_bytes(), received.as_bytes(), bad.sample.as_bytes()]);
    let value = serde_json::json!({
        "kind": "dead_letter", "id": id, "stage": "collector", "source": source, "timestamp": received,
        "received": received, "reason": bad.reason, "detail": bad.detail, "sample": bad.sample,
    });
    Outgoing::new(crate::options::DEAD_LETTERS, Some(&id), &value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(event: Value, topic: &str) -> Result<(Option<Vec<u8>>, Value), Bad> {
        let event = event.as_object().cloned().unwrap_or_default();
        let record = record(&event, &topic.parse().unwrap(), 0)?;
        Ok((record.key, serde_json::from_slice(&record.value).unwrap()))
    }

    #[test]
    fn an_event_is_handed_on() {
        let (key, value) = map(json!({"service": "cart", "ms": 5}), "requests:service").unwrap();
        assert_eq!(key.as_deref(), Some(&b"cart"[..]));
        let at = "1970-01-01T00:00:00Z";
        assert_eq!(value, json!({"service": "cart", "ms": 5, "timestamp": at, "received": at}));
        let (key, value) = map(json!({"timestamp": 5}), "requests").unwrap();
        assert_eq!((key, &value["timestamp"]), (None, &json!(5)));
        assert_eq!(map(json!({}), "requests:service").unwrap_err().reason, "missing_field");
    }

    #[test]
    fn names_of_topics() {
        for wrong in ["", "A", "a/b", "a:", "../x"] {
            assert!(wrong.parse::<EventTopic>().is_err(), "{wrong}");
        }
    }
}

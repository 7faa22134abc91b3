//! CloudEvents 1.0, structured JSON: one event for an alert; `id` is the key of the notice.

use crate::engine::Notice;
use perfstream_core::time::TimeParser;
use serde_json::{Value, json};

/// The body of one event.
pub fn body(notice: &Notice) -> Value {
    let alert = &notice.alert;
    let mut event = json!({
        "specversion": "1.0",
        "type": format!("perfstream.alert.{}", alert.transition),
        "source": format!("/perfstream/{}/{}", percent(&alert.pipeline), percent(&alert.stage)),
        "id": notice.key(),
        "datacontenttype": "application/json",
        "data": alert,
    });
    // An attribute that is not known must not be there.
    if !alert.alert_id.is_empty() {
        event["subject"] = alert.alert_id.as_str().into();
    }
    if TimeParser::default().parse_text(&alert.timestamp).is_some() {
        event["time"] = alert.timestamp.as_str().into();
    }
    event
}

/// A segment of a URI reference.
pub(crate) fn percent(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

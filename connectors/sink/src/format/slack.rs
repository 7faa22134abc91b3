//! Slack, incoming webhook with Block Kit: header ≤ 150 characters, section ≤ 3000, ≤ 50 blocks.
//! What is longer is cut, never refused.

use crate::engine::Delivery;
use crate::text::{Texts, cut};
use serde_json::{Value, json};

/// Three blocks each, and one for the rest, are 49.
const MAX_SHOWN: usize = 16;

/// The body of one message.
pub fn body(delivery: &Delivery, texts: &Texts) -> Value {
    let mut blocks = Vec::new();
    let mut titles = Vec::new();
    for notice in delivery.notices.iter().take(MAX_SHOWN) {
        let title = texts.title(&delivery.receiver, notice);
        let text = texts.text(&delivery.receiver, notice);
        blocks.push(json!({ "type": "header", "text": { "type": "plain_text", "text": cut(&title, 150) } }));
        let text = cut_escaped(&escape(&text), 3000);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
        blocks.push(json!({ "type": "divider" }));
        titles.push(title);
    }
    let rest = delivery.notices.len().saturating_sub(MAX_SHOWN);
    if rest > 0 {
        let text = format!("and {rest} more");
        blocks.push(json!({ "type": "context", "elements": [{ "type": "plain_text", "text": text }] }));
    }
    json!({ "text": cut_escaped(&escape(&titles.join("\n")), 3000), "blocks": blocks })
}

/// Slack's three control characters: without them a label cannot mention everybody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// As [`cut`], but not inside of an escape.
fn cut_escaped(text: &str, max: usize) -> String {
    let short = cut(text, max);
    match (short.len() < text.len(), short.rfind('&')) {
        (true, Some(at)) if !short[at..].contains(';') => format!("{}…", &short[..at]),
        _ => short,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_escape_is_not_cut() {
        let text = super::escape(&"<".repeat(1000));
        let cut = super::cut_escaped(&text, 3000);
        assert!(cut.chars().count() <= 3000 && cut.ends_with("&lt;…"), "{}", &cut[cut.len() - 9..]);
    }
}

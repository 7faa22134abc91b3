//! Slack, incoming webhook with Block Kit: header ≤ 150 characters, section ≤ 3000, ≤ 50 blocks, and all of
//! them together ≤ 13,200 (seen by others, not documented).
//! What is longer is cut, never refused.

use crate::engine::Delivery;
use crate::text::{Texts, cut};
use serde_json::{Value, json};

/// Four blocks each, and one for the rest, are 49.
const MAX_SHOWN: usize = 12;
/// Characters of all blocks; what does not fit is counted. The first notice always fits.
const MAX_CHARS: usize = 10_000;

/// The body of one message.
pub fn body(delivery: &Delivery, texts: &Texts) -> Value {
    let mut blocks = Vec::new();
    let mut titles = Vec::new();
    let mut chars = 0;
    for notice in delivery.notices.iter().take(MAX_SHOWN) {
        let title = texts.title(&delivery.receiver, notice);
        let header = cut(&title, 150);
        let text = cut_escaped(&escape(&texts.text(&delivery.receiver, notice)), 3000);
        chars += header.chars().count() + text.chars().count();
        if chars > MAX_CHARS {
            break;
        }
        blocks.push(json!({ "type": "header", "text": { "type": "plain_text", "text": header } }));
        // Without `verbatim` Slack looks for names in it.
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } }));
        if let Some(link) = texts.link(notice) {
            let link = format!("<{}|On the live page>", escape(&link).replace('|', "%7C"));
            blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": link }] }));
        }
        blocks.push(json!({ "type": "divider" }));
        titles.push(title);
    }
    let rest = delivery.notices.len() - titles.len();
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

//! A mail for a group: text and HTML, RFC 5322 and 2045.
//!
//! `Message-ID` is made of the delivery's key, so a mail that is sent again is the same mail. All mails of
//! an alert name the same root in `References`, so they stand in one thread, whoever came to it late. The
//! mails say that a program wrote them (`Auto-Submitted`, RFC 3834), so no other program answers.

use crate::engine::{Delivery, Notice};
use crate::text::{Texts, cut};
use anyhow::{Context, Result};
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use minijinja::{Environment, context};
use perfstream_core::id;
use std::time::{Duration, UNIX_EPOCH};

/// Longer subjects are cut; a line of a header has at most 998 bytes, and lists show far less.
const MAX_SUBJECT: usize = 200;
const MAX_TEXT: usize = 8000;
/// So many alerts of a mail are named in its thread.
const MAX_REFERENCES: usize = 20;

/// The mail of a delivery, written at `now_ms`.
pub fn message(delivery: &Delivery, texts: &Texts, (from, to): (&Mailbox, &[Mailbox]), now_ms: i64) -> Result<Message> {
    let subject = cut(&subject(delivery, texts), MAX_SUBJECT);
    let domain = url::Host::parse(from.email.domain()).map_or_else(|_| "localhost".into(), |host| host.to_string());
    let roots: Vec<String> = roots(delivery).map(|root| format!("<{root}@{domain}>")).collect();
    let written = UNIX_EPOCH + Duration::from_millis(u64::try_from(now_ms).unwrap_or_default());
    let name = HeaderName::new_from_ascii("Auto-Submitted".into()).context("a header")?;
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(&subject)
        .date(written)
        .message_id(Some(format!("<{}@{domain}>", delivery.key)))
        .references(roots.join(" "))
        .in_reply_to(roots.into_iter().next().unwrap_or_default())
        .raw_header(HeaderValue::new(name, "auto-generated".into()));
    for to in to {
        builder = builder.to(to.clone());
    }
    let part = |kind, body| SinglePart::builder().header(kind).body(body);
    let body = MultiPart::alternative()
        // By default it is random, and the same delivery would be another text each time.
        .boundary(format!("perfstream-{}", delivery.key))
        .singlepart(part(ContentType::TEXT_PLAIN, plain(delivery, texts)))
        .singlepart(part(ContentType::TEXT_HTML, html(delivery, texts, &subject)?));
    Ok(builder.multipart(body)?)
}

/// The title of the one notice, or how many there are of which group.
fn subject(delivery: &Delivery, texts: &Texts) -> String {
    if let [only] = &delivery.notices[..] {
        return texts.title(&delivery.receiver, only);
    }
    let over = delivery.notices.iter().filter(|notice| notice.is_resolved()).count();
    let counts = [("FIRING", delivery.notices.len() - over), ("RESOLVED", over)];
    let counts = counts.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{word}:{n}")).collect::<Vec<_>>();
    let labels: Vec<&str> = delivery.group_labels.values().map(String::as_str).collect();
    let text = format!("[{}] {}", counts.join(", "), labels.join(" "));
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().into()
}

/// A name for the thread of each alert; ids of alerts may hold anything.
fn roots(delivery: &Delivery) -> impl Iterator<Item = String> {
    let ids = delivery.notices.iter().take(MAX_REFERENCES).map(|notice| notice.alert.alert_id.as_bytes());
    ids.map(|alert_id| id::id(&[b"thread", alert_id]))
}

fn plain(delivery: &Delivery, texts: &Texts) -> String {
    let one = |notice: &Notice| {
        let (title, text) = (texts.title(&delivery.receiver, notice), texts.text(&delivery.receiver, notice));
        format!("{}\n{}\n", cut(&title, MAX_SUBJECT), cut(&text, MAX_TEXT))
    };
    delivery.notices.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn html(delivery: &Delivery, texts: &Texts, subject: &str) -> Result<String> {
    let mut environment = Environment::new();
    // Names that end so are escaped.
    environment.add_template("mail.html", include_str!("mail.html"))?;
    let one = |notice: &Notice| {
        let (title, text) = (texts.title(&delivery.receiver, notice), texts.text(&delivery.receiver, notice));
        context! { title => cut(&title, MAX_SUBJECT), text => cut(&text, MAX_TEXT), resolved => notice.is_resolved() }
    };
    let notices: Vec<_> = delivery.notices.iter().map(one).collect();
    Ok(environment.get_template("mail.html")?.render(context! { subject, notices })?)
}

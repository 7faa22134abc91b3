//! Sending a delivery to its receiver.
//!
//! What was sent is known by its key whenever it is sent again: `Idempotency-Key` of a request,
//! `Message-ID` of a mail, an environment variable of a program.

pub(crate) mod command;
pub(crate) mod http;
mod mail;

use crate::config::{Format, Receiver, Target};
use crate::engine::{Delivery, Notice, Outcome};
use crate::format::{alertmanager, cloudevents, pagerduty, slack, webhook};
use crate::secret::{Secret, Secrets};
use crate::text::Texts;
use anyhow::{Context, Result};
use perfstream_core::Span;
use std::time::Duration;

pub(crate) const JSON: &str = "application/json";
pub(crate) const CLOUDEVENT: &str = "application/cloudevents+json";

/// Why something did not arrive; the message is for the log.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The receiver is not well
    Later {
        /// It asks for this pause, milliseconds
        wait_ms: i64,
        /// Why
        message: String,
    },
    /// The receiver does not want it, however often it is sent
    Never {
        /// Is it what it holds (400), so that a part of it may be welcome?
        content: bool,
        /// Why
        message: String,
    },
}

impl Failure {
    /// An error that may be over soon.
    pub(crate) fn later(error: anyhow::Error) -> Failure {
        Failure::Later { wait_ms: 0, message: format!("{error:#}") }
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// For the engine
    pub outcome: Outcome,
    /// Why it did not arrive, for the log; empty if it did
    pub message: String,
}

/// Sends to one receiver; its secrets are resolved.
pub struct Sender {
    receiver: Receiver,
    texts: Texts,
    way: Way,
}

enum Way {
    Http { service: http::Service, routing_key: Secret },
    Mail(mail::Mailer),
    Command,
}

/// One thing to be sent, and the notices that it says.
struct Part<'d> {
    notices: &'d [Notice],
    request: http::Request,
}

impl Sender {
    /// Resolves secrets and makes a client. Notices link to the live page at `page`.
    pub fn new(receiver: &Receiver, page: Option<&str>, secrets: &Secrets) -> Result<Sender> {
        Sender::make(receiver, page, secrets).with_context(|| format!("receiver {}", receiver.name))
    }

    fn make(receiver: &Receiver, page: Option<&str>, secrets: &Secrets) -> Result<Sender> {
        let texts = Texts::new(receiver.title.as_deref(), receiver.text.as_deref())?.with_page(page);
        let way = match receiver.target().context("expected one kind of receiver")? {
            Target::Command(_) => Way::Command,
            Target::Email(email) => Way::Mail(mail::Mailer::new(receiver, email, secrets)?),
            target => {
                let routing_key = match target {
                    Target::PagerDuty(pagerduty) => secrets.resolve(&pagerduty.routing_key)?,
                    _ => Secret::new(""),
                };
                Way::Http { service: http::Service::new(receiver, target, secrets)?, routing_key }
            }
        };
        Ok(Sender { receiver: receiver.clone(), texts, way })
    }

    /// Sends it, with all its requests in order; `now_ms` is the time to write where a format asks for
    /// it. What the receiver refuses does not hold up what follows; where it is not well, all of the
    /// delivery is to be sent again.
    pub fn send(&self, delivery: &Delivery, now_ms: i64) -> Sent {
        let mut refused = (Vec::new(), String::new());
        let whole = &delivery.notices[..];
        let mut note = |notices: &[Notice], result: Result<(), Failure>| match result {
            Ok(()) => None,
            Err(Failure::Later { wait_ms, message }) => {
                Some(Sent { outcome: Outcome::Unavailable { wait_ms }, message })
            }
            Err(Failure::Never { message, .. }) => {
                refused.0.extend(notices.iter().map(Notice::key));
                refused.1 = message;
                None
            }
        };
        let unavailable = match &self.way {
            Way::Command => note(whole, self.run(delivery)),
            Way::Mail(mailer) => note(whole, mailer.send(delivery, &self.texts, now_ms)),
            Way::Http { service, routing_key } => self
                .parts(delivery, routing_key, now_ms)
                .into_iter()
                .find_map(|part| note(part.notices, service.post(part.request))),
        };
        let (notices, why) = refused;
        match unavailable {
            Some(sent) => sent,
            None if notices.is_empty() => Sent { outcome: Outcome::Accepted, message: String::new() },
            None => Sent { message: why.clone(), outcome: Outcome::Refused { notices, why } },
        }
    }

    fn run(&self, delivery: &Delivery) -> Result<(), Failure> {
        let argv = self.receiver.command.as_ref().map_or(&[][..], |command| &command.argv);
        let body = webhook::body(delivery, &self.texts).to_string();
        command::run(argv, &delivery.key, &body, timeout(self.receiver.timeout)).map_err(Failure::later)
    }

    fn parts<'d>(&self, delivery: &'d Delivery, routing_key: &Secret, now_ms: i64) -> Vec<Part<'d>> {
        let (name, texts) = (&self.receiver.name, &self.texts);
        let whole = |body: serde_json::Value| {
            let request =
                http::Request { key: delivery.key.clone(), content_type: JSON, body: body.to_string().into_bytes() };
            vec![Part { notices: &delivery.notices, request }]
        };
        let each = |content_type: &'static str, body: &dyn Fn(&Notice) -> serde_json::Value| {
            let part = |notice: &'d Notice| {
                let request =
                    http::Request { key: notice.key(), content_type, body: body(notice).to_string().into_bytes() };
                Part { notices: std::slice::from_ref(notice), request }
            };
            delivery.notices.iter().map(part).collect()
        };
        match self.receiver.target() {
            Some(Target::Slack(_)) => whole(slack::body(delivery, texts)),
            Some(Target::Alertmanager(_)) => whole(alertmanager::body(delivery, texts, now_ms)),
            Some(Target::PagerDuty(_)) => {
                each(JSON, &|notice| pagerduty::body(name, notice, texts, routing_key.reveal()))
            }
            Some(Target::Webhook(to)) if to.format == Format::CloudEvents => each(CLOUDEVENT, &cloudevents::body),
            Some(Target::Webhook(to)) if to.format == Format::Json => {
                each(JSON, &|notice| serde_json::json!(notice.alert))
            }
            Some(Target::Webhook(_)) => whole(webhook::body(delivery, texts)),
            Some(Target::Email(_) | Target::Command(_)) | None => Vec::new(),
        }
    }
}

pub(crate) fn timeout(span: Span) -> Duration {
    Duration::from_micros(u64::try_from(span.us()).unwrap_or(10_000_000))
}

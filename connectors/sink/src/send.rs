//! Sending a delivery to its receiver.
//!
//! HTTP: https only, addresses checked and pinned ([`crate::guard`]), no redirects, no proxy, a bound on
//! time and on the answer's size. Every request has an `Idempotency-Key`, the same whenever it is
//! sent again. Errors hold neither URL nor body: both may be secret.

mod command;

use crate::config::{Format, Receiver, Target};
use crate::engine::{Delivery, Outcome};
use crate::format::{alertmanager, cloudevents, pagerduty, slack, webhook};
use crate::guard::{self, Resolver};
use crate::secret::{Secret, Secrets};
use crate::text::Texts;
use anyhow::{Context, Result, bail};
use reqwest::blocking::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// An answer is read up to here.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
const JSON: &str = "application/json";
const CLOUDEVENT: &str = "application/cloudevents+json";

/// Why a delivery did not arrive.
#[derive(Debug)]
pub struct Failure {
    /// What the engine is to do
    pub outcome: Outcome,
    /// For the log
    pub message: String,
}

/// Sends to one receiver; its secrets are resolved.
pub struct Sender {
    receiver: Receiver,
    texts: Texts,
    way: Way,
}

enum Way {
    Http { client: Client, url: Secret, routing_key: Secret, headers: HeaderMap },
    Command,
}

/// One request of a delivery.
struct Request {
    key: String,
    content_type: &'static str,
    body: String,
}

impl Sender {
    /// Resolves secrets and makes a client.
    pub fn new(receiver: &Receiver, secrets: &Secrets) -> Result<Sender> {
        Sender::make(receiver, secrets).with_context(|| format!("receiver {}", receiver.name))
    }

    fn make(receiver: &Receiver, secrets: &Secrets) -> Result<Sender> {
        let texts = Texts::new(receiver.title.as_deref(), receiver.text.as_deref())?;
        let way = match receiver.target().context("expected one kind of receiver")? {
            Target::Command(_) => Way::Command,
            target => http(receiver, target, secrets)?,
        };
        Ok(Sender { receiver: receiver.clone(), texts, way })
    }

    /// Sends it, with all its requests in order; `now_ms` is the time to write where a format asks for it.
    pub fn send(&self, delivery: &Delivery, now_ms: i64) -> Result<(), Failure> {
        let timeout = timeout(&self.receiver);
        match &self.way {
            Way::Command => {
                let argv = self.receiver.command.as_ref().map_or(&[][..], |command| &command.argv);
                let body = webhook::body(delivery, &self.texts).to_string();
                command::run(argv, &delivery.key, &body, timeout).map_err(unavailable)
            }
            Way::Http { client, url, routing_key, headers } => {
                for request in self.requests(delivery, routing_key, now_ms) {
                    post(client, url, headers, request)?;
                }
                Ok(())
            }
        }
    }

    fn requests(&self, delivery: &Delivery, routing_key: &Secret, now_ms: i64) -> Vec<Request> {
        let (name, texts) = (&self.receiver.name, &self.texts);
        let whole = |body: serde_json::Value| {
            vec![Request { key: delivery.key.clone(), content_type: JSON, body: body.to_string() }]
        };
        let notices = delivery.notices.iter();
        match self.receiver.target() {
            Some(Target::Slack(_)) => whole(slack::body(delivery, texts)),
            Some(Target::Alertmanager(_)) => whole(alertmanager::body(delivery, texts, now_ms)),
            Some(Target::PagerDuty(_)) => notices
                .map(|notice| {
                    let body = pagerduty::body(name, notice, texts, routing_key.reveal()).to_string();
                    Request { key: notice.key(), content_type: JSON, body }
                })
                .collect(),
            Some(Target::Webhook(to)) if to.format == Format::CloudEvents => notices
                .map(|notice| {
                    let body = cloudevents::body(notice).to_string();
                    Request { key: notice.key(), content_type: CLOUDEVENT, body }
                })
                .collect(),
            Some(Target::Webhook(_)) => whole(webhook::body(delivery, texts)),
            Some(Target::Command(_)) | None => Vec::new(),
        }
    }
}

fn http(receiver: &Receiver, target: Target<'_>, secrets: &Secrets) -> Result<Way> {
    let (mut headers, mut routing_key) = (HeaderMap::new(), Secret::new(""));
    let url = match target {
        Target::Slack(slack) => slack.url.clone(),
        Target::PagerDuty(pagerduty) => {
            routing_key = secrets.resolve(&pagerduty.routing_key)?;
            pagerduty.url.clone().unwrap_or_else(|| pagerduty::URL.into())
        }
        Target::Alertmanager(to) => format!("{}/api/v2/alerts", to.url.trim_end_matches('/')),
        Target::Webhook(webhook) => {
            for (name, value) in &webhook.headers {
                headers.insert(HeaderName::from_bytes(name.as_bytes())?, header(name, &secrets.resolve(value)?)?);
            }
            webhook.url.clone()
        }
        Target::Command(_) => bail!("a program has no URL"),
    };
    let url = secrets.resolve(&url)?;
    let parsed = guard::check_url(url.reveal(), receiver.allow_http, receiver.allow_private)?;
    let client = client(receiver, parsed.scheme() == "https")?;
    Ok(Way::Http { client, url, routing_key, headers })
}

fn header(name: &str, value: &Secret) -> Result<HeaderValue> {
    let mut header =
        HeaderValue::from_str(value.reveal()).map_err(|_| anyhow::anyhow!("header {name} has a value HTTP forbids"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn client(receiver: &Receiver, https: bool) -> Result<Client> {
    let client = Client::builder()
        .use_preconfigured_tls(tls(https)?)
        .https_only(!receiver.allow_http)
        // A redirect or a proxy would go where nothing was checked.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .dns_resolver(Arc::new(Resolver { allow_private: receiver.allow_private }))
        .timeout(timeout(receiver))
        .connect_timeout(timeout(receiver))
        .user_agent(concat!("perfstream-sink/", env!("CARGO_PKG_VERSION")));
    client.build().context("cannot make an HTTP client")
}

fn tls(https: bool) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if https && roots.is_empty() {
        bail!("this machine has no root certificates: install them, or set SSL_CERT_FILE");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn timeout(receiver: &Receiver) -> Duration {
    Duration::from_micros(u64::try_from(receiver.timeout.us()).unwrap_or(10_000_000))
}

fn unavailable(error: anyhow::Error) -> Failure {
    Failure { outcome: Outcome::Unavailable, message: format!("{error:#}") }
}

fn post(client: &Client, url: &Secret, headers: &HeaderMap, request: Request) -> Result<(), Failure> {
    let Request { key, content_type, body } = request;
    let sent = client
        .post(url.reveal())
        .headers(headers.clone())
        .header(CONTENT_TYPE, content_type)
        .header("Idempotency-Key", key)
        .body(body)
        .send();
    let mut answer = sent.map_err(|error| unavailable(anyhow::Error::new(error.without_url())))?;
    let status = answer.status();
    // What the answer says is of no use, but a connection is only used again when it is read.
    let read = std::io::copy(&mut Read::by_ref(&mut answer).take(MAX_ANSWER_BYTES), &mut std::io::sink());
    if status.is_success() {
        // The receiver has it, whatever becomes of the rest of the answer.
        drop(read);
        return Ok(());
    }
    let later = status.is_server_error() || [408, 425, 429].contains(&status.as_u16());
    let outcome = if later { Outcome::Unavailable } else { Outcome::Refused };
    let more = if status.is_redirection() { "; redirects are not followed" } else { "" };
    Err(Failure { outcome, message: format!("the answer is {status}{more}") })
}

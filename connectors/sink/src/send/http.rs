//! HTTP: https only, addresses checked and pinned ([`crate::guard`]), no redirects, no proxy, a bound on
//! time and on the answer's size. Errors hold neither URL nor body: both may be secret.

use super::{Failure, timeout};
use crate::config::{Receiver, Target};
use crate::format::pagerduty;
use crate::guard::{self, Resolver};
use crate::secret::{Secret, Secrets};
use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An answer is read up to here.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// A receiver that asks for a longer pause is asked again after this.
const MAX_RETRY_AFTER_MS: i64 = 3_600_000;

/// One request.
pub struct Request {
    /// `Idempotency-Key`, the same whenever this is sent again
    pub key: String,
    /// Type of the body
    pub content_type: &'static str,
    /// Body
    pub body: Vec<u8>,
}

/// Where requests go, and what they may do.
pub struct Address<'a> {
    /// May hold references to secrets
    pub url: &'a str,
    /// By name; values may hold references to secrets
    pub headers: &'a BTreeMap<String, String>,
    /// May it be `http`?
    pub allow_http: bool,
    /// May it be an address that only some can reach?
    pub allow_private: bool,
    /// Longest time of a request
    pub timeout: Duration,
}

/// A service, its secrets resolved.
pub struct Service {
    client: Client,
    url: Secret,
    headers: HeaderMap,
}

impl Service {
    /// Makes a client for a receiver that is told by HTTP.
    pub fn new(receiver: &Receiver, target: Target<'_>, secrets: &Secrets) -> Result<Service> {
        let none = BTreeMap::new();
        let (url, headers) = match target {
            Target::Slack(slack) => (slack.url.clone(), &none),
            Target::PagerDuty(pagerduty) => (pagerduty.url.clone().unwrap_or_else(|| pagerduty::URL.into()), &none),
            Target::Alertmanager(to) => (format!("{}/api/v2/alerts", to.url.trim_end_matches('/')), &none),
            Target::Webhook(webhook) => (webhook.url.clone(), &webhook.headers),
            Target::Email(_) | Target::Command(_) => bail!("no receiver by HTTP"),
        };
        let Receiver { allow_http, allow_private, .. } = *receiver;
        let address = Address { url: &url, headers, allow_http, allow_private, timeout: timeout(receiver.timeout) };
        Service::at(&address, secrets)
    }

    /// Makes a client for an address.
    pub fn at(address: &Address<'_>, secrets: &Secrets) -> Result<Service> {
        let mut headers = HeaderMap::new();
        for (name, value) in address.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes())?, header(name, &secrets.resolve(value)?)?);
        }
        let url = secrets.resolve(address.url)?;
        let parsed = guard::check_url(url.reveal(), address.allow_http, address.allow_private)?;
        let client = client(address, parsed.scheme() == "https")?;
        Ok(Service { client, url, headers })
    }

    /// Sends one request.
    pub fn post(&self, request: Request) -> Result<(), Failure> {
        let Request { key, content_type, body } = request;
        let sent = self
            .client
            .post(self.url.reveal())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, content_type)
            .header("Idempotency-Key", key)
            .body(body)
            .send();
        let mut answer = sent.map_err(|error| Failure::later(anyhow::Error::new(error.without_url())))?;
        let status = answer.status();
        // What the answer says is of no use, but a connection is only used again when it is read.
        let read = std::io::copy(&mut Read::by_ref(&mut answer).take(MAX_ANSWER_BYTES), &mut std::io::sink());
        if status.is_success() {
            // The receiver has it, whatever becomes of the rest of the answer.
            drop(read);
            return Ok(());
        }
        let more = if status.is_redirection() { "; redirects are not followed" } else { "" };
        let message = format!("the answer is {status}{more}");
        match status.is_server_error() || [408, 425, 429].contains(&status.as_u16()) {
            true => Err(Failure::Later { wait_ms: asked_wait_ms(&answer), message }),
            false => Err(Failure::Never { content: status == StatusCode::BAD_REQUEST, message }),
        }
    }
}

fn header(name: &str, value: &Secret) -> Result<HeaderValue> {
    let mut header =
        HeaderValue::from_str(value.reveal()).map_err(|_| anyhow::anyhow!("header {name} has a value HTTP forbids"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn client(address: &Address<'_>, https: bool) -> Result<Client> {
    let client = Client::builder()
        .use_preconfigured_tls(tls(https)?)
        .https_only(!address.allow_http)
        // A redirect or a proxy would go where nothing was checked.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .dns_resolver(Arc::new(Resolver { allow_private: address.allow_private }))
        .timeout(address.timeout)
        .connect_timeout(address.timeout)
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

fn asked_wait_ms(answer: &Response) -> i64 {
    let text = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    text.map_or(0, |text| retry_after_ms(text, SystemTime::now()))
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds or a date. 0 if it is neither or past, at most an hour.
fn retry_after_ms(text: &str, now: SystemTime) -> i64 {
    let text = text.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => u64::MAX,
        Err(_) => match httpdate::parse_http_date(text).map(|until| until.duration_since(now)) {
            // What is left of a second counts as one.
            Ok(Ok(left)) => left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)),
            _ => 0,
        },
    };
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX).min(MAX_RETRY_AFTER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = UNIX_EPOCH + Duration::from_millis(784_111_777_000 - 1500);
        for (text, wait_ms) in [
            ("120", 120_000),
            (" 0 ", 0),
            ("86400", 3_600_000),
            ("99999999999999999999999", 3_600_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 2000),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 2000),
            ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
            ("Mon, 07 Nov 1994 08:49:37 GMT", 3_600_000),
            ("soon", 0),
            ("-5", 0),
            ("", 0),
        ] {
            assert_eq!(retry_after_ms(text, now), wait_ms, "{text}");
        }
    }
}

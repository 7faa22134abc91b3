//! Mail by SMTP (RFC 5321), with TLS unless the receiver says otherwise.
//!
//! The server's name is looked up here, its addresses are checked as those of HTTP receivers are, and the
//! connection goes to one of them; the certificate must be for the name. Replies are told by their
//! code alone: their text may quote anything.

use super::{Failure, timeout};
use crate::config::{Email, MailTls, Receiver};
use crate::engine::Delivery;
use crate::format::mail;
use crate::guard::is_public;
use crate::secret::{Secret, Secrets};
use crate::text::Texts;
use anyhow::{Context, Result, anyhow, bail};
use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, SmtpTransport};
use lettre::{Address, Transport};
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

/// A mail server, its secrets resolved.
pub struct Mailer {
    host: String,
    port: u16,
    tls: Tls,
    login: Option<(Secret, Secret)>,
    from: Mailbox,
    to: Vec<Mailbox>,
    allow_private: bool,
    timeout: Duration,
}

impl Mailer {
    /// Reads addresses and certificates.
    pub fn new(receiver: &Receiver, email: &Email, secrets: &Secrets) -> Result<Mailer> {
        let (host, port) = email.host_and_port().map_err(|error| anyhow!(error))?;
        let login = match (&email.username, &email.password) {
            (Some(name), Some(password)) => Some((secrets.resolve(name)?, secrets.resolve(password)?)),
            (None, None) => None,
            _ => bail!("expected `username` and `password`, or neither"),
        };
        Ok(Mailer {
            tls: tls(email, &host)?,
            host,
            port,
            login,
            from: email.from.parse().context("from")?,
            to: email.to.iter().map(|to| to.parse()).collect::<Result<_, _>>().context("to")?,
            allow_private: receiver.allow_private,
            timeout: timeout(receiver.timeout),
        })
    }

    /// Sends a delivery as one mail. An address that the server refuses does not keep it from the others.
    pub fn send(&self, delivery: &Delivery, texts: &Texts, now_ms: i64) -> Result<(), Failure> {
        let message = mail::message(delivery, texts, (&self.from, &self.to), now_ms).map_err(Failure::later)?;
        let bytes = message.formatted();
        let all: Vec<Address> = self.to.iter().map(|to| to.email.clone()).collect();
        match self.send_to(all.clone(), &bytes) {
            // Nobody has it: a server that takes no part of a list takes nothing of it.
            Err(Failure::Never { .. }) if all.len() > 1 => {
                let results: Vec<_> = all.into_iter().map(|one| self.send_to(vec![one], &bytes)).collect();
                // Was it taken for anybody? Then it is told, and the others are named in the log.
                let accepted = results.iter().any(Result::is_ok);
                match results.into_iter().find_map(Result::err) {
                    Some(Failure::Never { message, .. }) if accepted => {
                        tracing::error!(receiver = delivery.receiver, "not all addresses were accepted: {message}");
                        Ok(())
                    }
                    Some(failure) => Err(failure),
                    None => Ok(()),
                }
            }
            result => result,
        }
    }

    fn send_to(&self, to: Vec<Address>, message: &[u8]) -> Result<(), Failure> {
        let envelope =
            Envelope::new(Some(self.from.email.clone()), to).map_err(|error| Failure::later(error.into()))?;
        let mut last = Failure::later(anyhow!("the host has no address"));
        for ip in self.addresses().map_err(Failure::later)? {
            match self.transport(ip).send_raw(&envelope, message) {
                Ok(_) => return Ok(()),
                Err(error) => match failure(&error) {
                    // The server has spoken; another address would say the same.
                    failure if error.status().is_some() => return Err(failure),
                    failure => last = failure,
                },
            }
        }
        Err(last)
    }

    /// The addresses of the server, checked.
    fn addresses(&self) -> Result<Vec<IpAddr>> {
        let found = (self.host.as_str(), self.port).to_socket_addrs().context("the host is not known")?;
        let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if let Some(ip) = found.iter().find(|ip| !self.allow_private && !is_public(**ip)) {
            bail!("the host has the address {ip}, which is not public");
        }
        Ok(found)
    }

    fn transport(&self, ip: IpAddr) -> SmtpTransport {
        // "Dangerous" is lettre's word for a builder without TLS, which is set here.
        let transport = SmtpTransport::builder_dangerous(ip.to_string())
            .port(self.port)
            .tls(self.tls.clone())
            .timeout(Some(self.timeout))
            .hello_name(ClientId::Domain(self.from.email.domain().into()));
        match &self.login {
            Some((name, password)) => {
                transport.credentials(Credentials::new(name.reveal().into(), password.reveal().into())).build()
            }
            None => transport.build(),
        }
    }
}

fn tls(email: &Email, host: &str) -> Result<Tls> {
    let mut parameters = TlsParameters::builder(host.to_string());
    if let Some(file) = &email.ca_file {
        let what = || format!("ca_file {file}");
        let pem = std::fs::read(file).with_context(what)?;
        parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).with_context(what)?);
    }
    Ok(match email.tls {
        MailTls::Starttls => Tls::Required(parameters.build()?),
        MailTls::Tls => Tls::Wrapper(parameters.build()?),
        MailTls::None => Tls::None,
    })
}

fn failure(error: &Error) -> Failure {
    match error.status() {
        Some(code) if error.is_permanent() => {
            Failure::Never { content: false, message: format!("the mail server answers {code}") }
        }
        Some(code) => Failure::later(anyhow!("the mail server answers {code}")),
        None => Failure::later(anyhow!("{error}")),
    }
}

//! The document of kind `Receivers`: who is told, by which route, in which form.
//!
//! These structs are the one list of truth: JSON Schema, `perfstream check` and the sink read them.

use perfstream_core::Span;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

mod lint;
mod time_interval;

pub use time_interval::{Edge, Period, TimeInterval, Times};

/// People and tools that alerts go to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receivers {
    /// Who can be told
    pub receivers: Vec<Receiver>,
    /// Who is told of what, as a tree: an alert goes to the deepest routes that match. Receivers that
    /// an alert's rule names are told besides. Default: only those.
    pub route: Option<Route>,
    /// Alerts that keep others silent
    #[serde(default)]
    pub inhibit_rules: Vec<InhibitRule>,
    /// Times of the day, week and year by name, for `mute_time_intervals` and `active_time_intervals`
    #[serde(default)]
    pub time_intervals: Vec<TimeInterval>,
    /// Prometheus and what speaks like it, to which the values on the dashboards go
    #[serde(default)]
    pub remote_write: Vec<RemoteWrite>,
    /// Address of the live page, such as `https://perfstream.example.com`: notices link to their alert there.
    /// Default: no links.
    pub page: Option<String>,
    /// May receivers of type `command` run programs? Default: false.
    #[serde(default)]
    pub allow_commands: bool,
    /// Does the sink execute what the stage `respond` requests? Default: false.
    #[serde(default)]
    pub allow_actions: bool,
}

/// A store of series, by Prometheus' remote write 1.0.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteWrite {
    /// Name, of letters, digits, `-` and `_`
    pub name: String,
    /// Address, such as `https://mimir.example.com/api/v1/push`; may hold `${{ secrets.NAME }}`
    pub url: String,
    /// More headers; values may hold `${{ secrets.NAME }}`
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// May the address be loopback, private or link-local? Default: false.
    #[serde(default)]
    pub allow_private: bool,
    /// May the URL be `http`? Default: false.
    #[serde(default)]
    pub allow_http: bool,
    /// How long one request may take, at most 5m. Default: `10s`.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

/// One receiver: a name and exactly one of `slack`, `pagerduty`, `email`, `webhook`, `alertmanager`, `command`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// Name, by which routes and rules refer to it
    pub name: String,
    /// A Slack channel
    pub slack: Option<Slack>,
    /// A PagerDuty service
    pub pagerduty: Option<PagerDuty>,
    /// People, by mail
    pub email: Option<Email>,
    /// Any HTTP service
    pub webhook: Option<Webhook>,
    /// A Prometheus Alertmanager
    pub alertmanager: Option<Alertmanager>,
    /// A program on this machine; needs `allow_commands: true`
    pub command: Option<Command>,
    /// May the address be loopback, private or link-local? Default: false.
    #[serde(default)]
    pub allow_private: bool,
    /// May the URL be `http`? Default: false.
    #[serde(default)]
    pub allow_http: bool,
    /// How long one request or program may take, at most 5m. Default: `10s`.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// First line of a notice, as a minijinja template. Default: what broke and where.
    pub title: Option<String>,
    /// Body of a notice, as a minijinja template. Default: since when, how bad, condition, place in the log.
    pub text: Option<String>,
}

/// A Slack channel, by an incoming webhook.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The webhook, as `${{ secrets.NAME }}`
    pub url: String,
}

/// A PagerDuty service, by Events API v2.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PagerDuty {
    /// Integration key, as `${{ secrets.NAME }}`
    pub routing_key: String,
    /// Another address of the API. Default: `https://events.pagerduty.com/v2/enqueue`.
    pub url: Option<String>,
}

/// People, by mail.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The mail server as `HOST:PORT`; usual ports are 587 with `starttls` and 465 with `tls`
    pub server: String,
    /// How the connection is made safe. Default: `starttls`; a server that cannot is not used.
    #[serde(default)]
    pub tls: MailTls,
    /// File with the certificate of an authority in PEM, trusted besides the machine's own
    pub ca_file: Option<String>,
    /// User name; may hold `${{ secrets.NAME }}`
    pub username: Option<String>,
    /// Password, as `${{ secrets.NAME }}`
    pub password: Option<String>,
    /// Sender, as `alerts@example.com` or `perfstream <alerts@example.com>`
    pub from: String,
    /// Who gets it, 1 to 50 addresses
    pub to: Vec<String>,
}

/// How the connection to a mail server is made safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// It begins in plain text, and nothing is sent before the server has changed to TLS
    #[default]
    Starttls,
    /// TLS from the first byte
    Tls,
    /// Everybody in between can read it; without a password only
    None,
}

impl Email {
    /// The two halves of `server`.
    pub fn host_and_port(&self) -> Result<(String, u16), String> {
        let wrong = || "expected HOST:PORT such as smtp.example.com:587".to_string();
        let (host, port) = self.server.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let host = match url::Host::parse(host).map_err(|_| wrong())? {
            url::Host::Ipv6(ip) => ip.to_string(),
            host => host.to_string(),
        };
        Ok((host, port))
    }
}

/// An HTTP service that is told by POST.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Address; may hold `${{ secrets.NAME }}`
    pub url: String,
    /// Form of the body
    pub format: Format,
    /// More headers; values may hold `${{ secrets.NAME }}`
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Form of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As Alertmanager's webhook, version 4: one request for a group
    Alertmanager,
    /// CloudEvents 1.0, structured JSON: one request for an alert or action
    CloudEvents,
    /// An alert's record, or an action's body, as it is: one request each
    Json,
}

/// A Prometheus Alertmanager, by its API v2.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alertmanager {
    /// Where it is, without `/api/v2/alerts`; may hold `${{ secrets.NAME }}`
    pub url: String,
}

/// A program that gets a notice on its standard input, in the form of the Alertmanager webhook.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Program and arguments; no shell reads them
    pub argv: Vec<String>,
}

/// A node of the tree of routes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Who is told. Default: the parent's; at the root nobody.
    pub receiver: Option<String>,
    /// Labels an alert must have: `label=value`, `!=`, `=~`, `!~`; also of `alertname` (the rule),
    /// `severity`, `pipeline` and `stage`. Default: all alerts.
    #[serde(default)]
    pub matchers: Vec<String>,
    /// Are the routes behind this one asked too, if it matches? Default: false.
    #[serde(default, rename = "continue")]
    pub go_on: bool,
    /// Labels whose values make one notice of several alerts. Default: the parent's; at the root `alertname`.
    pub group_by: Option<Vec<String>>,
    /// How long a new group waits for more. Default: the parent's; at the root `30s`.
    pub group_wait: Option<Span>,
    /// Least time between two notices of a group. Default: the parent's; at the root `5m`.
    pub group_interval: Option<Span>,
    /// After this long a group that still fires is told again. Default: the parent's; at the root `4h`.
    pub repeat_interval: Option<Span>,
    /// Times at which this route tells nobody: names of `time_intervals`. Routes below do not inherit it.
    #[serde(default)]
    pub mute_time_intervals: Vec<String>,
    /// Times at which alone this route tells anybody: names of `time_intervals`. Routes below do not inherit
    /// it. Default: always.
    #[serde(default)]
    pub active_time_intervals: Vec<String>,
    /// Routes below this one, asked in their order
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// While a source fires, targets with the same labels are not told.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InhibitRule {
    /// What the alert that silences must have
    pub source_matchers: Vec<String>,
    /// What the silenced alert must have
    pub target_matchers: Vec<String>,
    /// Labels that both must have with the same value
    #[serde(default)]
    pub equal: Vec<String>,
}

fn default_timeout() -> Span {
    Span::seconds(10)
}

/// What kind of receiver it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target<'a> {
    /// Slack
    Slack(&'a Slack),
    /// PagerDuty
    PagerDuty(&'a PagerDuty),
    /// Mail
    Email(&'a Email),
    /// HTTP
    Webhook(&'a Webhook),
    /// Alertmanager
    Alertmanager(&'a Alertmanager),
    /// A program
    Command(&'a Command),
}

impl Receiver {
    /// The one target it has; None if there is none or more than one.
    pub fn target(&self) -> Option<Target<'_>> {
        let all = [
            self.slack.as_ref().map(Target::Slack),
            self.pagerduty.as_ref().map(Target::PagerDuty),
            self.email.as_ref().map(Target::Email),
            self.webhook.as_ref().map(Target::Webhook),
            self.alertmanager.as_ref().map(Target::Alertmanager),
            self.command.as_ref().map(Target::Command),
        ];
        let mut found = all.into_iter().flatten();
        found.next().filter(|_| found.next().is_none())
    }
}

impl Receiver {
    /// Is each alert a request of its own?
    pub fn hears_each(&self) -> bool {
        match self.target() {
            Some(Target::PagerDuty(_)) => true,
            Some(Target::Webhook(webhook)) => webhook.format != Format::Alertmanager,
            _ => false,
        }
    }
}

impl Receivers {
    /// The receiver of a name.
    pub fn get(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

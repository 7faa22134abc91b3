//! What a schema cannot say of a `Receivers` document.

use super::{Email, MailTls, Receiver, Receivers, RemoteWrite, Route, Target};
use crate::matcher::Matcher;
use crate::times::Calendar;
use crate::{guard, secret, text};
use perfstream_core::config::nearest;
use perfstream_core::{Issue, Span};

const KINDS: &str = "`slack`, `pagerduty`, `email`, `webhook`, `alertmanager`, `command`";
/// Headers that the sink sets itself.
const OWN_HEADERS: [&str; 5] = ["host", "content-length", "transfer-encoding", "content-type", "idempotency-key"];
/// Receivers of one mail.
const MAX_ADDRESSES: usize = 50;
/// Headers whose value is a secret.
const SECRET_HEADERS: [&str; 3] = ["authorization", "x-api-key", "cookie"];

impl Receivers {
    /// Everything that is wrong, at its path in the document.
    pub fn lint(&self) -> Vec<Issue> {
        let mut out = Vec::new();
        if self.receivers.is_empty() && self.remote_write.is_empty() {
            out.push(Issue::error("receivers", "expected at least one receiver"));
        }
        for (n, remote) in self.remote_write.iter().enumerate() {
            let path = format!("remote_write[{n}]");
            if self.remote_write[..n].iter().any(|other| other.name == remote.name) {
                let message = format!("the name `{}` stands here twice", remote.name);
                out.push(Issue::error(format!("{path}.name"), message));
            }
            out.extend(remote_write(remote).into_iter().map(|issue| issue.under(&path)));
        }
        for (n, receiver) in self.receivers.iter().enumerate() {
            let path = format!("receivers[{n}]");
            if receiver.name.trim().is_empty() || receiver.name.contains(char::is_control) {
                out.push(Issue::error(format!("{path}.name"), "expected a name"));
            }
            if self.receivers[..n].iter().any(|r| r.name == receiver.name) {
                let message = format!("the name `{}` stands here twice", receiver.name);
                out.push(Issue::error(format!("{path}.name"), message));
            }
            out.extend(self.receiver(receiver).into_iter().map(|issue| issue.under(&path)));
        }
        if let Some(route) = &self.route {
            self.route(route, "route", &mut out);
        }
        if let Some(page) = &self.page {
            let fits = |url: &url::Url| ["http", "https"].contains(&url.scheme()) && url.fragment().is_none();
            if !url::Url::parse(page).is_ok_and(|url| fits(&url)) {
                out.push(Issue::error(
                    "page",
                    format!("expected a URL such as https://perfstream.example.com, found `{page}`"),
                ));
            }
        }
        out.extend(Calendar::new(&self.time_intervals).err().into_iter().flatten());
        for (n, rule) in self.inhibit_rules.iter().enumerate() {
            matchers(&rule.source_matchers, &format!("inhibit_rules[{n}].source_matchers"), &mut out);
            matchers(&rule.target_matchers, &format!("inhibit_rules[{n}].target_matchers"), &mut out);
        }
        out
    }

    fn receiver(&self, receiver: &Receiver) -> Vec<Issue> {
        let mut out = Vec::new();
        let allowed = (receiver.allow_http, receiver.allow_private);
        match receiver.target() {
            None => out.push(Issue::error("", format!("expected exactly one of {KINDS}"))),
            Some(Target::Slack(slack)) => only_secret("slack.url", &slack.url, &mut out),
            Some(Target::PagerDuty(pagerduty)) => {
                only_secret("pagerduty.routing_key", &pagerduty.routing_key, &mut out);
                pagerduty.url.iter().for_each(|url| address("pagerduty.url", url, allowed, &mut out));
            }
            Some(Target::Email(email)) => self::email(email, receiver, &mut out),
            Some(Target::Webhook(webhook)) => {
                address("webhook.url", &webhook.url, allowed, &mut out);
                for (name, value) in &webhook.headers {
                    header(&format!("webhook.headers.{name}"), name, value, &mut out);
                }
            }
            Some(Target::Alertmanager(alertmanager)) => {
                address("alertmanager.url", &alertmanager.url, allowed, &mut out);
            }
            Some(Target::Command(command)) => {
                if !self.allow_commands {
                    let issue = Issue::error("command", "a program may only be run with `allow_commands: true`");
                    out.push(issue.hint("set `allow_commands: true` beside `receivers`"));
                }
                if command.argv.first().is_none_or(|program| program.is_empty()) {
                    out.push(Issue::error("command.argv", "expected a program and its arguments"));
                }
            }
        }
        timeout(receiver.timeout, &mut out);
        for (path, template) in [("title", &receiver.title), ("text", &receiver.text)] {
            if let Some(Err(error)) = template.as_deref().map(text::check) {
                out.push(Issue::error(path, format!("this template cannot be used: {error}")));
            }
        }
        out
    }

    fn route(&self, route: &Route, path: &str, out: &mut Vec<Issue>) {
        if let Some(name) = &route.receiver
            && self.get(name).is_none()
        {
            out.push(Issue::error(format!("{path}.receiver"), format!("there is no receiver `{name}`")));
        }
        matchers(&route.matchers, &format!("{path}.matchers"), out);
        for (key, span) in [("group_interval", route.group_interval), ("repeat_interval", route.repeat_interval)] {
            if span.is_some_and(|span| span < Span::seconds(1)) {
                out.push(Issue::error(format!("{path}.{key}"), "expected at least 1s"));
            }
        }
        let times = [
            ("mute_time_intervals", &route.mute_time_intervals),
            ("active_time_intervals", &route.active_time_intervals),
        ];
        for (key, names) in times {
            for (n, name) in names.iter().enumerate() {
                if !self.time_intervals.iter().any(|interval| interval.name == *name) {
                    let issue = Issue::error(format!("{path}.{key}[{n}]"), format!("there are no times `{name}`"));
                    let known = self.time_intervals.iter().map(|interval| interval.name.as_str());
                    out.push(issue.hint(match nearest(name, known) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "give them a name below `time_intervals`, beside `receivers`".into(),
                    }));
                }
            }
        }
        for (n, child) in route.routes.iter().enumerate() {
            self.route(child, &format!("{path}.routes[{n}]"), out);
        }
    }
}

fn matchers(texts: &[String], path: &str, out: &mut Vec<Issue>) {
    for (n, text) in texts.iter().enumerate() {
        if let Err(error) = Matcher::parse(text) {
            out.push(Issue::error(format!("{path}[{n}]"), error));
        }
    }
}

/// The message does not repeat the text: it may be the secret itself.
fn only_secret(path: &str, text: &str, out: &mut Vec<Issue>) {
    if !secret::is_only_a_reference(text) {
        let issue = Issue::error(path, "this is a secret; expected `${{ secrets.NAME }}`, found plain text");
        out.push(issue.hint("put it in an environment variable, or in a file of the directory `--secrets`"));
    }
}

fn remote_write(remote: &RemoteWrite) -> Vec<Issue> {
    let mut out = Vec::new();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if remote.name.is_empty() || !remote.name.chars().all(plain) {
        out.push(Issue::error("name", "expected letters, digits, `-` and `_`"));
    }
    address("url", &remote.url, (remote.allow_http, remote.allow_private), &mut out);
    for (name, value) in &remote.headers {
        header(&format!("headers.{name}"), name, value, &mut out);
    }
    timeout(remote.timeout, &mut out);
    out
}

fn timeout(timeout: Span, out: &mut Vec<Issue>) {
    if timeout <= Span::ZERO || timeout > Span::minutes(5) {
        out.push(Issue::error("timeout", "expected more than 0s and at most 5m"));
    }
}

fn address(path: &str, text: &str, (allow_http, allow_private): (bool, bool), out: &mut Vec<Issue>) {
    let wrong = match secret::has_reference(text) {
        true => secret::check_references(text).err(),
        false => guard::check_url(text, allow_http, allow_private).err().map(|e| e.to_string()),
    };
    out.extend(wrong.map(|message| Issue::error(path, message)));
}

fn email(email: &Email, receiver: &Receiver, out: &mut Vec<Issue>) {
    match email.host_and_port() {
        Err(message) => out.push(Issue::error("email.server", message)),
        Ok((host, _)) => {
            let ip = host.parse().ok().filter(|ip| !receiver.allow_private && !guard::is_public(*ip));
            let message = |ip| format!("{ip} is not a public address (set `allow_private: true` to allow it)");
            out.extend(ip.map(|ip: std::net::IpAddr| Issue::error("email.server", message(ip))));
        }
    }
    let mut mailbox = |path: String, text: &str| {
        if let Err(error) = text.parse::<lettre::message::Mailbox>() {
            out.push(Issue::error(path, format!("`{text}` is not a mail address: {error}")));
        }
    };
    mailbox("email.from".into(), &email.from);
    email.to.iter().enumerate().for_each(|(n, to)| mailbox(format!("email.to[{n}]"), to));
    if email.to.is_empty() || email.to.len() > MAX_ADDRESSES {
        out.push(Issue::error("email.to", format!("expected 1 to {MAX_ADDRESSES} addresses")));
    }
    if let Some(Err(message)) = email.username.as_deref().map(secret::check_references) {
        out.push(Issue::error("email.username", message));
    }
    email.password.iter().for_each(|password| only_secret("email.password", password, out));
    if email.username.is_some() != email.password.is_some() {
        out.push(Issue::error("email", "expected `username` and `password`, or neither"));
    }
    if email.tls == MailTls::None && email.password.is_some() {
        out.push(Issue::error("email.tls", "without TLS everybody in between can read the password"));
    }
}

fn header(path: &str, name: &str, value: &str, out: &mut Vec<Issue>) {
    if let Err(message) = secret::check_references(value) {
        out.push(Issue::error(path, message));
    }
    let lower = name.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() || value.contains(char::is_control) {
        out.push(Issue::error(path, "this is not an HTTP header"));
    }
    if OWN_HEADERS.contains(&lower.as_str()) {
        out.push(Issue::error(path, "the sink sets this header itself"));
    }
    if SECRET_HEADERS.contains(&lower.as_str()) && !secret::has_reference(value) {
        out.push(Issue::error(path, "this is a secret; expected `${{ secrets.NAME }}` in it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(document: serde_json::Value) -> Vec<String> {
        let receivers: Receivers = serde_json::from_value(document).unwrap();
        receivers.lint().into_iter().map(|issue| issue.path).collect()
    }

    #[test]
    fn a_good_document() {
        let found = paths(json!({
            "receivers": [
                { "name": "slack", "slack": { "url": "${{ secrets.SLACK }}" } },
                { "name": "hook", "allow_http": true, "allow_private": true, "timeout": "2s", "title": "{{ rule }}",
                  "webhook": { "url": "http://127.0.0.1:1/x", "format": "cloudevents",
                               "headers": { "Authorization": "Bearer ${{ secrets.T }}" } } },
                { "name": "people", "email": { "server": "smtp.example.com:587", "username": "me",
                    "password": "${{ secrets.P }}", "from": "perfstream <alerts@example.com>", "to": ["a@example.com"] } },
            ],
            "route": { "receiver": "slack", "routes": [{ "matchers": ["severity=critical"], "receiver": "hook" }] },
        }));
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn all_faults_are_said_at_their_places() {
        let found = paths(json!({
            "receivers": [
                { "name": "a" },
                { "name": "a", "slack": { "url": "https://hooks.example/canary" }, "timeout": "0s" },
                { "name": "c", "command": { "argv": [] } },
                { "name": "d", "webhook":
                    { "url": "http://example.com", "format": "alertmanager", "headers": { "Host": "x" } } },
                { "name": "e", "alertmanager": { "url": "https://127.0.0.1" }, "text": "{{ oops" },
                { "name": "f", "email": { "server": "mail.example", "tls": "none", "username": "u", "password": "canary",
                    "from": "nobody", "to": [] } },
                { "name": "g", "email":
                    { "server": "10.0.0.1:25", "username": "u", "from": "a@b.example", "to": ["c@d.example", "c d"] } },
            ],
            "route": { "receiver": "x", "matchers": ["?"], "repeat_interval": "0s", "routes": [{ "receiver": "y" }] },
            "inhibit_rules": [{ "source_matchers": ["a"], "target_matchers": ["a=b"] }],
        }));
        let want = [
            "receivers[0]",
            "receivers[1].name",
            "receivers[1].slack.url",
            "receivers[1].timeout",
            "receivers[2].command",
            "receivers[2].command.argv",
            "receivers[3].webhook.url",
            "receivers[3].webhook.headers.Host",
            "receivers[4].alertmanager.url",
            "receivers[4].text",
            "receivers[5].email.server",
            "receivers[5].email.from",
            "receivers[5].email.to",
            "receivers[5].email.password",
            "receivers[5].email.tls",
            "receivers[6].email.server",
            "receivers[6].email.to[1]",
            "receivers[6].email",
            "route.receiver",
            "route.matchers[0]",
            "route.repeat_interval",
            "route.routes[0].receiver",
            "inhibit_rules[0].source_matchers[0]",
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_secret_in_the_file_is_not_repeated() {
        let document = json!({ "receivers": [{ "name": "p", "pagerduty": { "routing_key": "canary" } }] });
        let receivers: Receivers = serde_json::from_value(document).unwrap();
        assert!(!format!("{:?}", receivers.lint()).contains("canary"));
    }
}

//! Mail to aiosmtpd; Python's mail parser says what arrived. PERFSTREAM_TEST_PYTHON names a Python that
//! has aiosmtpd.

use crate::common::{append, options, record};
use anyhow::{Context, Result};
use perfstream_log::Place;
use perfstream_sink::alert::Alert;
use perfstream_sink::config::Receivers;
use perfstream_sink::engine::{Delivery, Notice, Outcome};
use perfstream_sink::journal::Journal;
use perfstream_sink::run::Sink;
use perfstream_sink::secret::Secrets;
use perfstream_sink::send::{Sender, Sent};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;

const PASSWORD: &str = "canary-password";

/// A mail server in a process of its own.
struct Server {
    child: Child,
    mails: BufReader<ChildStdout>,
    port: u64,
    dir: tempfile::TempDir,
}

impl Server {
    fn start(mode: &str, password: Option<&str>) -> Result<Server> {
        let dir = tempfile::tempdir()?;
        certificates(dir.path())?;
        let path = |name: &str| dir.path().join(name).display().to_string();
        let options =
            json!({ "mode": mode, "password": password, "certificate": path("server.pem"), "key": path("server.key") });
        let python = std::env::var("PERFSTREAM_TEST_PYTHON").context("PERFSTREAM_TEST_PYTHON is not set")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/smtpd.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(options.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .context("python")?;
        let mails = BufReader::new(child.stdout.take().context("its output")?);
        let mut server = Server { child, mails, port: 0, dir };
        server.port = server.next()?.as_u64().context("a port")?;
        secret(server.dir.path(), "PASSWORD", PASSWORD)?;
        secret(server.dir.path(), "WRONG", "canary-wrong")?;
        Ok(server)
    }

    /// What the server prints next.
    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.mails.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("a line of the mail server: {line}"))
    }

    /// Ends it; all that it printed and nobody has read.
    fn rest(mut self) -> Result<Vec<Value>> {
        self.child.kill()?;
        let lines = (&mut self.mails).lines().collect::<Result<Vec<_>, _>>()?;
        lines.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn receivers(&self, more: Value) -> Receivers {
        let mut email = json!({
            "server": format!("localhost:{}", self.port), "from": "perfstream <alerts@example.com>",
            "to": ["Ä. Ops <ops@example.com>", "on-call@example.com"],
            "ca_file": self.dir.path().join("ca.pem"),
        });
        email.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let receiver = json!({ "name": "people", "allow_private": true, "timeout": "20s", "email": email });
        let route = json!({ "receiver": "people", "group_wait": "0s", "group_interval": "1s" });
        let receivers = serde_json::from_value(json!({ "receivers": [receiver], "route": route }));
        let receivers: Receivers = receivers.expect("a document");
        assert!(receivers.lint().is_empty(), "{:?}", receivers.lint());
        receivers
    }

    fn secrets(&self) -> Secrets {
        Secrets { dir: Some(self.dir.path().into()) }
    }

    fn send(&self, more: Value, ids: &[&str]) -> Result<Sent> {
        let sender = Sender::new(&self.receivers(more).receivers[0], None, &self.secrets())?;
        Ok(sender.send(&delivery(ids)?, 1_767_226_000_000))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// An authority, a certificate of it for `localhost`, and another authority.
fn certificates(dir: &Path) -> Result<()> {
    let authority = || -> Result<CertifiedIssuer<'static, KeyPair>> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
    };
    let (ours, key) = (authority()?, KeyPair::generate()?);
    let certificate = CertificateParams::new(vec!["localhost".into()])?.signed_by(&key, &ours)?;
    for (name, text) in [
        ("ca.pem", ours.pem()),
        ("other-ca.pem", authority()?.pem()),
        ("server.pem", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(dir.join(name), text)?;
    }
    Ok(())
}

fn secret(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text)?;
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

fn delivery(ids: &[&str]) -> Result<Delivery> {
    let notice = |id: &&str| -> Result<Notice> {
        let mut alert = Alert::parse(&record(id, "firing").value, "alerts/0@0".into())?;
        alert.rule = "LCP <b>Critical</b> \r\nBcc: everybody@example.com".into();
        Ok(Notice { alert, repeat: 0 })
    };
    Ok(Delivery {
        key: "0123456789abcdef".into(),
        receiver: "people".into(),
        group_key: String::new(),
        group_labels: [("alertname".to_string(), "LCP".to_string())].into(),
        repeat_interval_ms: 1000,
        notices: ids.iter().map(notice).collect::<Result<_>>()?,
    })
}

fn login() -> Value {
    json!({ "username": "perfstream", "password": "${{ secrets.PASSWORD }}" })
}

#[test]
#[ignore = "needs a mail server, aiosmtpd"]
fn an_alert_and_its_end_are_one_thread_over_starttls() -> Result<()> {
    let mut server = Server::start("starttls", Some(PASSWORD))?;
    let dir = tempfile::tempdir()?;
    append(dir.path(), &[record("a", "firing"), record("a", "resolved")])?;
    let journal = Journal::open(&dir.path().join("sink.db"))?;
    let receivers = server.receivers(login());
    let sink = Sink::new(&receivers, &server.secrets(), journal, Place::embedded(dir.path())?, options())?;
    let summary = sink.run(&AtomicBool::new(false))?;
    assert_eq!((summary.notices, summary.failures, summary.refused), (2, 0, 0));
    let (first, second) = (server.next()?, server.next()?);
    for mail in [&first, &second] {
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("perfstream")));
        assert_eq!(mail["from"], "alerts@example.com");
        assert_eq!(mail["to"], json!(["ops@example.com", "on-call@example.com"]));
        assert_eq!(mail["defects"], json!([]));
        assert_eq!(mail["headers"]["auto-submitted"], "auto-generated");
        assert_eq!(mail["headers"]["to"], "\"Ä. Ops\" <ops@example.com>, on-call@example.com");
    }
    assert_eq!(first["headers"]["subject"], "[FIRING] LCP Critical: page=/a");
    assert_eq!(second["headers"]["subject"], "[RESOLVED] LCP Critical: page=/a");
    assert!(first["parts"]["text/plain"].as_str().is_some_and(|text| text.contains("p75_lcp=6200")), "{first}");
    assert!(first["parts"]["text/html"].as_str().is_some_and(|text| text.contains("p75_lcp=6200")), "{first}");
    let header = |mail: &Value, name: &str| mail["headers"][name].as_str().map(String::from);
    assert_eq!(header(&first, "references"), header(&second, "references"));
    assert_eq!(header(&first, "in-reply-to"), header(&first, "references"));
    assert!(header(&first, "references").is_some_and(|id| id.ends_with("@example.com>")));
    assert_ne!(header(&first, "message-id"), header(&second, "message-id"));
    Ok(())
}

#[test]
#[ignore = "needs a mail server, aiosmtpd"]
fn what_is_sent_again_is_the_same_mail_and_nothing_in_it_is_markup() -> Result<()> {
    let mut server = Server::start("tls", None)?;
    for _ in 0..2 {
        assert_eq!(server.send(json!({ "tls": "tls" }), &["a", "b"])?.outcome, Outcome::Accepted);
    }
    let (first, second) = (server.next()?, server.next()?);
    assert_eq!(first, second);
    assert_eq!(first["headers"]["message-id"], "<0123456789abcdef@example.com>");
    assert_eq!(first["headers"]["subject"], "[FIRING:2] LCP");
    assert!(first["headers"].get("bcc").is_none(), "{first}");
    assert_eq!(first["headers"]["references"].as_str().map(|ids| ids.split(' ').count()), Some(2));
    let html = first["parts"]["text/html"].as_str().context("HTML")?;
    assert!(html.contains("LCP &lt;b&gt;Critical"), "{html}");
    Ok(())
}

#[test]
#[ignore = "needs a mail server, aiosmtpd"]
fn nothing_is_sent_without_tls_or_to_a_server_that_is_not_trusted() -> Result<()> {
    let plain = Server::start("plain", None)?;
    let sent = plain.send(json!({}), &["a"])?;
    assert!(matches!(sent.outcome, Outcome::Unavailable { .. }), "{sent:?}");
    assert_eq!(plain.rest()?, [Value::Null; 0]);
    for mode in ["starttls", "tls"] {
        let server = Server::start(mode, Some(PASSWORD))?;
        let mut more = login();
        more["tls"] = mode.into();
        more["ca_file"] = server.dir.path().join("other-ca.pem").display().to_string().into();
        let sent = server.send(more, &["a"])?;
        assert!(matches!(sent.outcome, Outcome::Unavailable { .. }), "{sent:?}");
        assert_eq!(server.rest()?, [Value::Null; 0]);
    }
    let plain = Server::start("plain", None)?;
    let sent = plain.send(json!({ "tls": "none" }), &["a"])?;
    assert_eq!(sent.outcome, Outcome::Accepted, "{sent:?}");
    assert_eq!(plain.rest()?[0]["tls"], false);
    Ok(())
}

#[test]
#[ignore = "needs a mail server, aiosmtpd"]
fn an_address_that_is_refused_does_not_keep_it_from_the_others() -> Result<()> {
    let server = Server::start("starttls", None)?;
    let to = |to: &[&str]| json!({ "to": to });
    let some = server.send(to(&["nobody@example.com", "ops@example.com"]), &["a"])?;
    assert_eq!(some.outcome, Outcome::Accepted, "{some:?}");
    let none = server.send(to(&["nobody@example.com", "nobody-else@example.com"]), &["a"])?;
    assert!(matches!(&none.outcome, Outcome::Refused { notices, .. } if notices == &["a:firing:0"]), "{none:?}");
    let later = server.send(to(&["ops@example.com", "later@example.com"]), &["a"])?;
    assert_eq!(later.outcome, Outcome::Unavailable { wait_ms: 0 }, "{later:?}");
    assert!(!format!("{none:?} {later:?}").contains("canary"), "the server's words are not repeated");
    let mails = server.rest()?;
    assert_eq!(mails.iter().map(|mail| &mail["to"]).collect::<Vec<_>>(), [&json!(["ops@example.com"])]);
    Ok(())
}

#[test]
#[ignore = "needs a mail server, aiosmtpd"]
fn a_wrong_password_is_refused_and_not_shown() -> Result<()> {
    let server = Server::start("starttls", Some(PASSWORD))?;
    let sent = server.send(json!({ "username": "perfstream", "password": "${{ secrets.WRONG }}" }), &["a"])?;
    assert!(matches!(&sent.outcome, Outcome::Refused { why, .. } if why.ends_with("535")), "{sent:?}");
    assert!(!format!("{sent:?}").contains("canary"), "{sent:?}");
    assert_eq!(server.rest()?, [Value::Null; 0]);
    Ok(())
}

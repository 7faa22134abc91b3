//! A secret of a receiver is nowhere but in the request to it: not in what the sink prints at its most talkative,
//! serves as metrics, keeps or writes to a topic, whether its receivers answer, refuse or are not there.

mod common;

use common::{Running, Service, nobody, scrape};
use perfstream_log::NewRecord;
use perfstream_log::embedded::Log;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const CANARY: &str = "canary-5f3a9e";

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// Receivers of each kind at an address, all with the secret in every place that takes one.
fn receivers(dir: &Path, address: SocketAddr) -> String {
    let secret = "${{ secrets.PERFSTREAM_TEST_CANARY }}";
    let open = "allow_http: true, allow_private: true";
    let text = format!(
        "apiVersion: perfstream/v1\nkind: Receivers\nmeta: {{ name: canary }}\nreceivers:\n\
         \x20 - {{ name: hook, {open}, webhook: {{ url: 'http://{address}/{secret}', format: cloudevents, headers: {{ Authorization: 'Bearer {secret}' }} }} }}\n\
         \x20 - {{ name: chat, {open}, slack: {{ url: '${{{{ secrets.PERFSTREAM_TEST_CHAT }}}}' }} }}\n\
         \x20 - {{ name: pager, {open}, pagerduty: {{ url: 'http://{address}/pd', routing_key: '{secret}' }} }}\n\
         \x20 - {{ name: mail, {open}, email: {{ server: '{address}', from: a@example.com, to: [b@example.com], username: u, password: '{secret}' }} }}\n\
         route: {{ group_wait: 0s, group_interval: 1s }}\n"
    );
    write(dir, "receivers.yaml", &text)
}

fn perfstream(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfstream"));
    command.args(args).env("PERFSTREAM_TEST_CANARY", CANARY).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    command
}

/// A sink, to which the whole address of a chat is a secret.
fn sink(address: SocketAddr, args: &[&str]) -> Command {
    let mut command = perfstream(&["sink"]);
    command.args(args).env("PERFSTREAM_TEST_CHAT", format!("http://{address}/services/{CANARY}"));
    command
}

fn printed(command: &mut Command) -> (bool, String) {
    let output = command.output().expect("a run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Every file below a directory that holds the secret.
fn holding(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path));
        } else if std::fs::read(&path).expect("a file").windows(CANARY.len()).any(|part| part == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_secret_is_in_the_request_alone() {
    for (status, expected) in [(Some("200 OK"), true), (Some("403 Forbidden"), false), (None, false)] {
        // Some services repeat what they were sent.
        let service = status.map(|status| Service::start(status, "{\"token\":\"canary-5f3a9e\"}"));
        let address = service.as_ref().map_or_else(nobody, |service| service.address);
        let dir = tempfile::tempdir().expect("a directory");
        let (config, data) = (receivers(dir.path(), address), dir.path().join("log"));
        let alert = json!({ "kind": "alert", "alert_id": "a", "pipeline": "lcp", "stage": "alert", "rule": "Slow",
            "state": "firing", "transition": "firing", "severity": "critical", "notify": true,
            "notification": ["hook", "chat", "pager", "mail"], "started_at": "2026-01-01T00:05:00Z" });
        let record = |value: Vec<u8>| NewRecord { log_time_ms: 0, key: None, value };
        let records = [record(alert.to_string().into_bytes()), record(b"{\"torn".to_vec())];
        Log::open(&data).and_then(|mut log| log.commit(|w| w.append("alerts", 0, &records))).expect("a commit");

        for receiver in ["hook", "chat", "pager", "mail"] {
            let (ok, text) = printed(&mut sink(address, &["send-test", receiver, "--config", &config]));
            // Nobody here speaks SMTP.
            assert_eq!(ok, expected && receiver != "mail", "{receiver}: {text}");
            assert!(!text.contains(CANARY), "send-test {receiver}, {status:?}: {text}");
            assert!(text.contains(receiver), "it says whom it is about: {text}");
        }
        let metrics = nobody();
        let data = data.display().to_string();
        let log = dir.path().join("printed");
        let file = std::fs::File::create(&log).expect("a file");
        let mut running = sink(address, &["--config", &config, "--data", &data, "--metrics", &metrics.to_string()]);
        running.stdout(file.try_clone().expect("a file")).stderr(file);
        let running = Running::of(&mut running);
        let started = Instant::now();
        let tried = |text: &str| text.lines().any(|l| l.starts_with("perfstream_sink_") && !l.ends_with(" 0"));
        let mut served = String::new();
        while !tried(&served) {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{}",
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
            served = scrape(metrics);
        }
        std::thread::sleep(Duration::from_millis(500));
        served = scrape(metrics);
        drop(running);
        assert!(!served.contains(CANARY), "metrics: {served}");
        assert_eq!(holding(dir.path()), [""; 0], "{status:?}");
        let got = service.map(|service| service.got().concat()).unwrap_or_default();
        assert_eq!(got.contains(CANARY), status.is_some(), "the receivers themselves get it");
    }
}

/// Tokens of servers come with every request, right ones and wrong ones.
#[test]
fn a_token_is_not_told_either() {
    let (dir, elsewhere) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let address = nobody();
    let (log, tokens) = (dir.path().join("printed"), write(elsewhere.path(), "tokens", CANARY));
    let file = std::fs::File::create(&log).expect("a file");
    let (listen, data) = (address.to_string(), dir.path().join("log").display().to_string());
    let mut collect = perfstream(&["collect", "--listen", &listen, "--data", &data, "--topic", "requests"]);
    collect.args(["--server-token-file", &tokens]);
    collect.stdout(file.try_clone().expect("a file")).stderr(file);
    let collect = Running::of(&mut collect);
    let ask = |path: &str, token: &str, body: &str| {
        let started = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(_) => assert!(started.elapsed() < Duration::from_secs(30), "{:?}", std::fs::read_to_string(&log)),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}");
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    let wrong = format!("{CANARY}-wrong");
    for (path, token, body, status) in [
        ("/v1/events/requests", CANARY, "{\"ms\":1}", 204),
        ("/v1/events/requests", &wrong, "{\"ms\":1}", 401),
        ("/v1/events/requests", CANARY, "no JSON", 400),
        ("/v1/events/other", CANARY, "{}", 404),
        ("/v1/metrics", &wrong, "", 401),
    ] {
        let answer = ask(path, token, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && !answer.contains(CANARY), "{path}: {answer}");
    }
    let served = scrape(address);
    assert!(served.contains("perfstream_collector_requests_total") && !served.contains(CANARY), "{served}");
    drop(collect);
    assert_eq!(holding(dir.path()), [""; 0]);
}

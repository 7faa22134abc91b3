//! What several tests use: a receiver in this process, alert records, a log.

// Each test program uses a part of it.
#![allow(dead_code)]

use anyhow::Result;
use perfstream_log::NewRecord;
use perfstream_log::embedded::Log;
use perfstream_sink::run::Options;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request: its path, its key, its body.
pub type Got = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Answers `failing` requests with 503, the others with 200; notes what it accepts.
pub struct Service {
    server: Arc<tiny_http::Server>,
    pub url: String,
    got: Got,
    pub tries: Arc<AtomicUsize>,
}

impl Service {
    pub fn start(failing: usize) -> Service {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let url = format!("http://{}", server.server_addr().to_ip().unwrap());
        let (got, tries) = (Got::default(), Arc::new(AtomicUsize::new(0)));
        let (serve, note, count) = (server.clone(), got.clone(), tries.clone());
        std::thread::spawn(move || {
            for mut request in serve.incoming_requests() {
                let n = count.fetch_add(1, Ordering::SeqCst);
                let header = |name| request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.to_string());
                let key = header("Idempotency-Key").unwrap_or_default();
                let mut body = String::new();
                request.as_reader().read_to_string(&mut body).unwrap();
                if request.url() == "/moved" {
                    let to = tiny_http::Header::from_bytes("Location", "/elsewhere").unwrap();
                    request.respond(tiny_http::Response::empty(302).with_header(to)).unwrap();
                    continue;
                }
                if request.url() == "/busy" {
                    let after = tiny_http::Header::from_bytes("Retry-After", "7").unwrap();
                    request.respond(tiny_http::Response::empty(429).with_header(after)).unwrap();
                    continue;
                }
                if n < failing {
                    request.respond(tiny_http::Response::empty(503)).unwrap();
                    continue;
                }
                note.lock().unwrap().push((request.url().into(), key, serde_json::from_str(&body).unwrap()));
                request.respond(tiny_http::Response::from_string("ok")).unwrap();
            }
        });
        Service { server, url, got, tries }
    }

    pub fn accepted(&self) -> Vec<(String, String, Value)> {
        self.got.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

pub fn record(id: &str, state: &str) -> NewRecord {
    let value = json!({
        "kind": "alert", "alert_id": id, "pipeline": "lcp", "stage": "alert", "rule": "LCP Critical", "state": state,
        "transition": state, "step": 0, "severity": "critical", "notification": ["hook"], "notify": true,
        "labels": { "page": format!("/{id}") }, "condition": "p75_lcp > 6000", "values": { "p75_lcp": 6200 },
        "timestamp": "2026-01-01T00:05:00Z", "started_at": "2026-01-01T00:05:00Z", "summary": "slow",
    });
    NewRecord { log_time_ms: 0, key: None, value: value.to_string().into_bytes() }
}

/// The topics of a log, all of it.
pub fn options() -> Options {
    let (topic, silences, anomalies) = ("alerts".into(), "silences".into(), "anomalies".into());
    Options { topic, silences, anomalies, once: true, past: true }
}

pub fn append(dir: &Path, records: &[NewRecord]) -> Result<()> {
    append_to(dir, "alerts", records)
}

pub fn append_to(dir: &Path, topic: &str, records: &[NewRecord]) -> Result<()> {
    Log::open(dir)?.commit(|writer| writer.append(topic, 0, records))?;
    Ok(())
}

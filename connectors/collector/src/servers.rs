//! What servers send: plain events, OTLP, remote write.
//!
//! Bodies of OTLP and remote write are unpacked and read on threads of their own, two at a time, so
//! that a long one neither fills the memory nor keeps the others' requests waiting.

use crate::body;
use crate::client::Sender;
use crate::decode::{Unreadable, items};
use crate::http::{Shared, unknown_path};
use crate::otlp::{self, Encoding, Signal};
use crate::record::Mapped;
use crate::refusal::Refusal;
use crate::remote_write::{self, Version};
use crate::{events, now_us, status};
use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;

/// Plain JSON events for a topic that is allowed.
pub(crate) async fn post_events(
    State(shared): State<Arc<Shared>>,
    Path(topic): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let received_us = now_us();
    let options = &shared.options;
    let Some(topic) = options.topics.get(&topic) else {
        let names: Vec<&str> = options.topics.keys().map(String::as_str).collect();
        let allowed = if names.is_empty() { "none; --topic allows one".into() } else { names.join(", ") };
        return Err(Refusal::new(StatusCode::NOT_FOUND, "topic", "a topic that is not allowed", allowed));
    };
    let body = body::read(request.into_body(), options.browser_bounds(), options.body_timeout).await?;
    let found = items(&body, options.max_events, false).map_err(|why| shared.unreadable(why, options.max_events))?;
    let mut mapped = Mapped::default();
    for item in found {
        mapped.event(item.and_then(|event| match events::record(&event, topic, received_us) {
            Ok(record) => Ok(vec![record]),
            Err(bad) => Err(bad.with_sample(Value::Object(event).to_string().as_bytes())),
        }));
    }
    Ok(shared.take(mapped, &topic.name, received_us).await?.answer())
}

/// `/v1/metrics`, `/v1/logs`, `/v1/traces`.
pub(crate) async fn post_otlp(
    State(shared): State<Arc<Shared>>,
    Path(signal): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (signal, source) = match signal.as_str() {
        "metrics" => (Signal::Metrics, "otlp-metrics"),
        "logs" => (Signal::Logs, "otlp-logs"),
        "traces" => (Signal::Traces, "otlp-traces"),
        _ => return Err(unknown_path().await),
    };
    let received_us = now_us();
    let Some(encoding) = status::encoding(request.headers()) else {
        let allowed = "application/x-protobuf, application/json";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", "another content-type", allowed));
    };
    let gzip = body::packing(request.headers(), "gzip")?.is_some();
    let client = shared.client(request.headers());
    let body = sent(&shared, request).await?;
    let max = shared.options.server_max_events;
    let mapped = reading(&shared, move |shared| {
        let body = if gzip { body::gunzip(&body, shared.options.server_bounds())?.into() } else { body };
        let sender = Sender { client: &client, agents: &shared.agents, received_us };
        map_otlp(shared, signal, encoding, &body, &sender, max)
    })
    .await?;
    let taken = shared.take(mapped, source, received_us).await?;
    Ok(status::success(signal, encoding, taken.bad.len(), &taken.first_trouble()))
}

fn map_otlp(
    shared: &Shared,
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    sender: &Sender<'_>,
    max: usize,
) -> Result<Mapped, Refusal> {
    if body.len() > shared.options.server_decompressed_bytes {
        return Err(shared.options.server_bounds().too_long());
    }
    otlp::records(signal, encoding, body, sender, max).map_err(|why| shared.unreadable(why, max))
}

/// Prometheus remote write, both versions.
///
/// 204 when all is taken; 400, which is not sent again, when a sample is bad: the others are in the log
/// then, as the specification has it.
pub(crate) async fn post_remote_write(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refusal> {
    let received_us = now_us();
    let version = version(request.headers())?;
    let body = sent(&shared, request).await?;
    let max = shared.options.server_max_events;
    let mapped = reading(&shared, move |shared| {
        let bytes = shared.options.server_decompressed_bytes;
        let read = remote_write::records(version, &body, received_us, max, bytes);
        read.map_err(|why| match why {
            Unreadable::TooLong(_) => shared.options.server_bounds().too_long(),
            other => shared.unreadable(other, max),
        })
    })
    .await?;
    // A native histogram is taken by no record, so it is not written.
    let skipped: u64 = mapped.skipped.iter().filter(|(reason, _)| **reason != "native_histogram").map(|(_, n)| n).sum();
    let stored = mapped.records.len() as u64 + skipped;
    let taken = shared.take(mapped, "remote-write", received_us).await?;
    let answer = match taken.bad.is_empty() {
        true => StatusCode::NO_CONTENT.into_response(),
        false => (StatusCode::BAD_REQUEST, taken.first_trouble()).into_response(),
    };
    Ok(match version {
        Version::One => answer,
        // 2.0 wants to know what was written, of each kind.
        Version::Two => (written(stored), answer).into_response(),
    })
}

fn written(samples: u64) -> [(HeaderName, String); 3] {
    [
        (HeaderName::from_static("x-prometheus-remote-write-samples-written"), samples.to_string()),
        (HeaderName::from_static("x-prometheus-remote-write-histograms-written"), "0".into()),
        (HeaderName::from_static("x-prometheus-remote-write-exemplars-written"), "0".into()),
    ]
}

fn version(headers: &HeaderMap) -> Result<Version, Refusal> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let unsupported = |found: &str, allowed: &str| {
        let found = found.chars().take(100).collect::<String>();
        Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", found, allowed))
    };
    match text(CONTENT_ENCODING) {
        Some("snappy") => {}
        other => return unsupported(other.unwrap_or("no content-encoding"), "the content-encoding snappy"),
    }
    let kind = text(CONTENT_TYPE).unwrap_or("no content-type");
    let (media, proto) = kind.split_once(';').unwrap_or((kind, "proto=prometheus.WriteRequest"));
    match (media.trim(), proto.trim().trim_start_matches("proto=")) {
        ("application/x-protobuf", "prometheus.WriteRequest") => Ok(Version::One),
        ("application/x-protobuf", "io.prometheus.write.v2.Request") => Ok(Version::Two),
        _ => unsupported(kind, "application/x-protobuf, as prometheus.WriteRequest or io.prometheus.write.v2.Request"),
    }
}

/// The body as it was sent.
async fn sent(shared: &Shared, request: Request) -> Result<Bytes, Refusal> {
    let bounds = shared.options.server_bounds();
    let as_sent = body::Bounds { whole: bounds.sent, ..bounds };
    let read = body::read(request.into_body(), as_sent, shared.options.body_timeout).await;
    read.map_err(|refusal| if refusal.is_too_long() { bounds.too_long() } else { refusal })
}

/// Reads a body on another thread, when there is room.
async fn reading<F>(shared: &Arc<Shared>, read: F) -> Result<Mapped, Refusal>
where
    F: FnOnce(&Shared) -> Result<Mapped, Refusal> + Send + 'static,
{
    // Those that wait hold what they sent, which is bounded by the connections.
    let _room = shared.reading.acquire().await.map_err(|_| Refusal::ending())?;
    let of_thread = shared.clone();
    tokio::task::spawn_blocking(move || read(&of_thread)).await.map_err(|_| Refusal::ending())?
}

//! The page's routes.

use super::feed::{Connect, Feed, Told};
use super::guard::{COOKIE_NAME, Guard};
use super::inbox::{approval, verdict};
use super::metrics;
use anyhow::Result;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, stream};
use perfstream_log::{Place, Read};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

/// Who looks at once; one more is told to come later.
const MAX_VIEWERS: usize = 64;
/// Records that one request shows, and bytes of one of them.
const MAX_RECORDS: usize = 100;
const MAX_VALUE_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 1 << 20;
/// Points of a week are the most that a viewer may ask for.
const MAX_RANGE_S: i64 = 7 * 86_400;

/// The page's files by name: content type, and text.
const ASSETS: [(&str, &str, &str); 11] = [
    ("app.css", "text/css", include_str!("../../assets/page/app.css")),
    ("app.js", "text/javascript", include_str!("../../assets/page/app.js")),
    ("store.js", "text/javascript", include_str!("../../assets/page/store.js")),
    ("dom.js", "text/javascript", include_str!("../../assets/page/dom.js")),
    ("values.js", "text/javascript", include_str!("../../assets/page/values.js")),
    ("series.js", "text/javascript", include_str!("../../assets/page/series.js")),
    ("events.js", "text/javascript", include_str!("../../assets/page/events.js")),
    ("detail.js", "text/javascript", include_str!("../../assets/page/detail.js")),
    ("insights.js", "text/javascript", include_str!("../../assets/page/insights.js")),
    ("uplot.js", "text/javascript", include_str!("../../assets/page/uPlot.iife.min.js")),
    ("uplot.css", "text/css", include_str!("../../assets/page/uPlot.min.css")),
];
const INDEX: &str = include_str!("../../assets/page/index.html");

/// What requests share.
pub struct Shared {
    pub(super) guard: Guard,
    pub feed: Feed,
    connect: Connect,
    /// For what viewers ask; one at a time
    log: Mutex<Option<Place>>,
    closing: watch::Sender<bool>,
}

impl Shared {
    pub fn new(guard: Guard, feed: Feed, connect: Connect) -> Shared {
        Shared { guard, feed, connect, log: Mutex::default(), closing: watch::Sender::new(false) }
    }

    /// Ends the reader, and the streams, which would else hold the server open.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Is it closed?
    pub fn is_closed(&self) -> bool {
        *self.closing.borrow()
    }

    /// Asks the log; after an error it is opened anew.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(&mut Place) -> Result<T>) -> Result<T> {
        let mut slot = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = match slot.take() {
            Some(log) => log,
            None => (self.connect)()?,
        };
        let answer = ask(&mut log)?;
        *slot = Some(log);
        Ok(answer)
    }
}

/// All routes behind the guard.
pub fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/assets/{name}", get(asset))
        .route("/api/stream", get(stream_of_changes))
        .route("/api/records/{topic}/{partition}", get(records))
        .route("/api/verdict", post(verdict))
        .route("/api/approval", post(approval))
        .route("/metrics", get(exposition))
        .layer(from_fn_with_state(shared.clone(), guarded))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(shared.clone())
}

async fn guarded(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if let Err(refused) = shared.guard.host(request.headers()) {
        return refusal(refused);
    }
    if request.uri().path() == "/"
        && let Some(token) = request.uri().query().and_then(|query| query.strip_prefix("token="))
        && shared.guard.is_token(token)
    {
        let cookie = format!("{COOKIE_NAME}={token}; HttpOnly; SameSite=Strict; Path=/");
        return (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/".into())]).into_response();
    }
    if let Err(refused) = shared.guard.token(request.headers()) {
        return refusal(refused);
    }
    let mut response = next.run(request).await;
    // Nothing from elsewhere, and in nobody's frame.
    let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; \
                  img-src 'self' data:";
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn refusal((status, why): (StatusCode, &str)) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

pub(super) fn failure(error: &anyhow::Error) -> Response {
    tracing::warn!("the page's log: {error:#}");
    (StatusCode::BAD_GATEWAY, Json(json!({ "error": "the log did not answer; see the sink's own log" })))
        .into_response()
}

async fn index() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CACHE_CONTROL, "no-store")], INDEX)
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, r#type, text)) => {
            let r#type = format!("{type}; charset=utf-8");
            ([(CONTENT_TYPE, r#type), (CACHE_CONTROL, "no-cache".into())], *text).into_response()
        }
        None => refusal((StatusCode::NOT_FOUND, "no such file")),
    }
}

#[derive(Deserialize)]
struct StreamQuery {
    /// Seconds before the newest point
    range: Option<i64>,
}

/// A snapshot, then every change.
async fn stream_of_changes(State(shared): State<Arc<Shared>>, Query(query): Query<StreamQuery>) -> Response {
    if shared.feed.viewers() >= MAX_VIEWERS {
        return refusal((StatusCode::SERVICE_UNAVAILABLE, "too many viewers"));
    }
    let range_ms = query.range.unwrap_or(3600).clamp(60, MAX_RANGE_S) * 1000;
    let (snapshot, later) = shared.feed.join(range_ms);
    let first = Some(("snapshot", Arc::from(snapshot)));
    Sse::new(changes(first, later, shared.closing.subscribe())).keep_alive(KeepAlive::default()).into_response()
}

fn changes(
    first: Option<Told>,
    later: broadcast::Receiver<Told>,
    closing: watch::Receiver<bool>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((first, later, closing), |(mut first, mut later, mut closing)| async move {
        let (name, text) = match first.take() {
            Some(told) => told,
            None => tokio::select! {
                told = later.recv() => match told {
                    Ok(told) => told,
                    // Too far behind: the client asks anew.
                    Err(RecvError::Lagged(_)) => ("behind", Arc::from("{}")),
                    Err(RecvError::Closed) => return None,
                },
                _ = closing.wait_for(|closing| *closing) => return None,
            },
        };
        Some((Ok(Event::default().event(name).data(&*text)), (first, later, closing)))
    })
}

#[derive(Deserialize)]
struct RecordsQuery {
    /// Offset of the first
    from: i64,
    /// How many
    count: Option<usize>,
}

/// Records of any topic, as `perfstream cat` shows them.
async fn records(
    State(shared): State<Arc<Shared>>,
    Path((topic, partition)): Path<(String, u32)>,
    Query(query): Query<RecordsQuery>,
) -> Response {
    let count = query.count.unwrap_or(20).clamp(1, MAX_RECORDS);
    let asked = tokio::task::spawn_blocking(move || shared.ask(|log| read(log, &topic, partition, query.from, count)));
    match asked.await {
        Ok(Ok(found)) => Json(found).into_response(),
        Ok(Err(error)) => failure(&error),
        Err(error) => failure(&error.into()),
    }
}

fn read(log: &mut Place, topic: &str, partition: u32, from: i64, count: usize) -> Result<Value> {
    if log.partitions(topic)?.is_none_or(|partitions| partition >= partitions) {
        return Ok(json!({ "records": [], "note": "there is no such partition" }));
    }
    let extent = log.extent(topic, partition)?;
    let from = from.clamp(extent.start, extent.end);
    if from >= extent.end {
        return Ok(json!({ "records": [], "from": extent.start, "to": extent.end }));
    }
    let records = match log.read(topic, partition, from, READ_BYTES, Duration::from_secs(2))? {
        Read::Gap(_) => Vec::new(),
        Read::Records(records) => records,
    };
    let shown: Vec<Value> = records
        .iter()
        .take(count)
        .map(|record| {
            let bytes = record.value.get(..MAX_VALUE_BYTES).unwrap_or(&record.value);
            let value = serde_json::from_slice(&record.value).ok().filter(|_| record.value.len() <= MAX_VALUE_BYTES);
            let value = value.unwrap_or_else(|| Value::from(String::from_utf8_lossy(bytes)));
            json!({ "offset": record.offset, "log_time_ms": record.log_time_ms, "value": value })
        })
        .collect();
    Ok(json!({ "records": shown, "from": extent.start, "to": extent.end }))
}

async fn exposition(State(shared): State<Arc<Shared>>) -> Response {
    let text = metrics::exposition(&shared.feed.model(), shared.feed.viewers());
    match text {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => failure(&error.into()),
    }
}

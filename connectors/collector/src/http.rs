//! The routes.

use crate::client::Client;
use crate::counters::Counters;
use crate::decode::{Bad, Item, items};
use crate::guard::{Access, Guard, TOKEN_HEADER};
use crate::options::Options;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::store::Outgoing;
use crate::{body, events, now_us, vitals};
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use perfstream_core::enrich::Agents;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;

/// Bad events that an answer lists; all are counted and dead letters.
const LISTED: usize = 20;

/// The script for pages.
const SNIPPET: &str = include_str!("../snippet/perfstream.js");

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What requests share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) guard: Guard,
    pub(crate) queue: Queue,
    pub(crate) counters: Arc<Counters>,
    /// Known User-Agents; a new one takes 7 µs, so nobody waits long
    pub(crate) agents: Mutex<Agents>,
}

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    // What is added last is asked first: the browser's question, the guard, then the decompression.
    let ingest = Router::new()
        .route("/v1/vitals", post(post_vitals))
        .route("/v1/events/{topic}", post(post_events))
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(shared.clone(), guard))
        .layer(cors(&shared.options));
    Router::new()
        .merge(ingest)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .route("/perfstream.js", get(snippet))
        .fallback(|| async {
            let allowed = "POST /v1/vitals, POST /v1/events/TOPIC, GET /healthz, /metrics, /perfstream.js";
            Refusal::new(StatusCode::NOT_FOUND, "path", "an unknown path", allowed)
        })
        .layer(from_fn_with_state(shared.clone(), count))
        .with_state(shared.clone())
}

/// Listed origins are answered by name and may send credentials, as `sendBeacon` always does; the
/// collector reads no cookies. `*` is answered without credentials.
fn cors(options: &Options) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE, CONTENT_ENCODING, AUTHORIZATION, HeaderName::from_static(TOKEN_HEADER)])
        .max_age(Duration::from_secs(3600));
    if options.origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(AllowOrigin::any());
    }
    let origins = options.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    layer.allow_origin(AllowOrigin::list(origins)).allow_credentials(true)
}

async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    shared.counters.request(response.status().as_u16());
    response
}

async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, Refusal> {
    let access = match request.uri().path() == "/v1/vitals" {
        true => Access::Vitals,
        false => Access::Events,
    };
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let peer = request.extensions().get::<Peer>().map_or(unspecified, |peer| peer.0);
    shared.guard.check(access, peer.ip(), request.headers(), request.uri())?;
    Ok(next.run(body::bounded(request, &shared.options)?).await)
}

async fn post_vitals(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Refusal> {
    let received_us = now_us();
    let client = shared.client(request.headers());
    let body = body::read(request.into_body(), &shared.options).await?;
    let found = items(&body, shared.options.max_events, true);
    let map = |event: Map<String, Value>| vitals::records(&event, &client, received_us);
    shared.take(found.map_err(|why| shared.unreadable(why))?, map, "vitals", received_us).await
}

async fn post_events(
    State(shared): State<Arc<Shared>>,
    Path(topic): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let received_us = now_us();
    let Some(topic) = shared.options.topics.get(&topic) else {
        let names: Vec<&str> = shared.options.topics.keys().map(String::as_str).collect();
        let allowed = if names.is_empty() { "none; --topic allows one".into() } else { names.join(", ") };
        return Err(Refusal::new(StatusCode::NOT_FOUND, "topic", "a topic that is not allowed", allowed));
    };
    let body = body::read(request.into_body(), &shared.options).await?;
    let found = items(&body, shared.options.max_events, false);
    let map = |event| events::record(event, topic, received_us).map(|record| vec![record]);
    shared.take(found.map_err(|why| shared.unreadable(why))?, map, &topic.name, received_us).await
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.counters.render())
}

async fn snippet() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")], SNIPPET)
}

impl Shared {
    fn client(&self, headers: &HeaderMap) -> Client {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        Client::new(headers, &mut agents, self.options.country_header.as_deref())
    }

    fn unreadable(&self, why: crate::decode::Unreadable) -> Refusal {
        self.counters.bad("unreadable_body");
        Refusal::unreadable(why, self.options.max_events)
    }

    /// Stores the good events, and of the bad ones a dead letter each; answers when the log has both.
    async fn take(
        &self,
        found: Vec<Item>,
        map: impl Fn(Map<String, Value>) -> Result<Vec<Outgoing>, Bad>,
        source: &str,
        received_us: i64,
    ) -> Result<Response, Refusal> {
        let (mut records, mut good, mut bad) = (Vec::with_capacity(found.len()), 0, Vec::new());
        for (index, item) in found.into_iter().enumerate() {
            let mapped = item.and_then(|event| {
                let text = Value::Object(event.clone()).to_string();
                map(event).map_err(|bad| bad.with_sample(text.as_bytes()))
            });
            match mapped {
                Ok(mapped) => {
                    good += 1;
                    records.extend(mapped);
                }
                Err(why) => bad.push((index, why)),
            }
        }
        records.extend(bad.iter().map(|(_, bad)| events::dead_letter(bad, source, received_us)));
        if !records.is_empty() {
            self.queue.store(records).await.map_err(|why| Refusal::by_log(&why))?;
        }
        bad.iter().for_each(|(_, bad)| self.counters.bad(bad.reason));
        Ok(answer(good, &bad))
    }
}

/// 204 when all are taken, 200 when some are, 400 when none is.
fn answer(good: usize, bad: &[(usize, Bad)]) -> Response {
    let status = match (good, bad.len()) {
        (_, 0) => return StatusCode::NO_CONTENT.into_response(),
        (0, _) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    let listed: Vec<Value> = bad
        .iter()
        .take(LISTED)
        .map(|(index, bad)| json!({ "index": index, "error": bad.reason, "found": bad.detail }))
        .collect();
    (status, Json(json!({ "accepted": good, "rejected": bad.len(), "events": listed }))).into_response()
}

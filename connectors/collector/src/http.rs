//! The routes, and what stands before them: whether the host, the sender and the length may be.

use crate::body;
use crate::browsers::{collect_faro, post_reports, post_vitals};
use crate::client::Client;
use crate::counters::Counters;
use crate::guard::{API_KEY_HEADER, Access, Guard, TOKEN_HEADER};
use crate::options::Options;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::servers::{post_events, post_otlp, post_remote_write};
use crate::status::otlp_errors;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use perfstream_core::enrich::Agents;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::decompression::RequestDecompressionLayer;

/// The script for pages, behind the library web-vitals (npm, 6.2.3, attribution build), which a page that
/// brings its own keeps. `var` in a block is the page's as anywhere else.
const SNIPPET: &str = concat!(
    "if (!globalThis.webVitals) {\n",
    include_str!("../snippet/web-vitals.attribution.iife.js"),
    "\n}\n",
    include_str!("../snippet/perfstream.js")
);

/// A page to slow down, with `--demo`.
const DEMO: &str = include_str!("../snippet/demo.html");

/// Servers' requests that are unpacked and read at once. What a body of the longest kind takes in
/// memory is tens of times its length, so only so many may have it.
const READ_AT_ONCE: usize = 2;

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
    /// Room to unpack and read a server's request
    pub(crate) reading: Semaphore,
}

impl Shared {
    pub(crate) fn new(options: Options, queue: Queue, counters: Arc<Counters>) -> Shared {
        let guard = Guard::new(&options);
        Shared { options, guard, queue, counters, agents: Mutex::default(), reading: Semaphore::new(READ_AT_ONCE) }
    }

    pub(crate) fn client(&self, headers: &HeaderMap) -> Client {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        Client::new(headers, &mut agents, self.options.country_header.as_deref())
    }
}

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    // What is added last is asked first: the browser's question, the guard, then the decompression.
    let browsers = Router::new()
        .route("/v1/vitals", post(post_vitals))
        .route("/v1/reports", post(post_reports))
        .route("/collect", post(collect_faro))
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(shared.clone(), guard_browsers))
        .layer(cors(&shared.options));
    let events = Router::new()
        .route("/v1/events/{topic}", post(post_events))
        .layer(RequestDecompressionLayer::new())
        .layer(from_fn_with_state(shared.clone(), guard_events))
        .layer(cors(&shared.options));
    let otlp = Router::new()
        .route("/v1/{signal}", post(post_otlp))
        .layer(from_fn_with_state(shared.clone(), guard_servers))
        .layer(from_fn(otlp_errors))
        .layer(cors(&shared.options));
    let remote_write = Router::new()
        .route("/api/v1/write", post(post_remote_write))
        .layer(from_fn_with_state(shared.clone(), guard_servers));
    let demo = match shared.options.demo {
        true => Router::new().route("/demo", get(|| async { axum::response::Html(DEMO) })),
        false => Router::new(),
    };
    Router::new()
        .merge(browsers)
        .merge(demo)
        .merge(events)
        .merge(otlp)
        .merge(remote_write)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .route("/perfstream.js", get(snippet))
        .fallback(unknown_path)
        .layer(from_fn_with_state(shared.clone(), host))
        .layer(from_fn_with_state(shared.clone(), count))
        .with_state(shared.clone())
}

pub(crate) async fn unknown_path() -> Refusal {
    let allowed = "POST /v1/vitals, /v1/reports, /collect, /v1/events/TOPIC, /v1/metrics, /v1/logs, /v1/traces, \
        /api/v1/write, GET /healthz, /metrics, /perfstream.js";
    Refusal::new(StatusCode::NOT_FOUND, "path", "an unknown path", allowed)
}

/// Listed origins are answered by name and may send credentials, as `sendBeacon` always does; the
/// collector reads no cookies. `*` is answered without credentials.
fn cors(options: &Options) -> CorsLayer {
    let headers = [TOKEN_HEADER, API_KEY_HEADER, "x-faro-session-id", "idempotency-key"].map(HeaderName::from_static);
    let layer = CorsLayer::new()
        .allow_methods([Method::POST])
        .allow_headers([CONTENT_TYPE, CONTENT_ENCODING, AUTHORIZATION].into_iter().chain(headers).collect::<Vec<_>>())
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

async fn host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, Refusal> {
    shared.guard.host(request.headers())?;
    Ok(next.run(request).await)
}

async fn guard_browsers(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, Refusal> {
    check(&shared, Access::Browser, &request)?;
    body::packing(request.headers(), "gzip")?;
    Ok(next.run(body::bounded(request, shared.options.browser_bounds())?).await)
}

async fn guard_events(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, Refusal> {
    check(&shared, Access::Server, &request)?;
    body::packing(request.headers(), "gzip")?;
    Ok(next.run(body::bounded(request, shared.options.browser_bounds())?).await)
}

async fn guard_servers(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, Refusal> {
    check(&shared, Access::Server, &request)?;
    Ok(next.run(body::bounded(request, shared.options.server_bounds())?).await)
}

fn check(shared: &Shared, access: Access, request: &Request) -> Result<(), Refusal> {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let peer = request.extensions().get::<Peer>().map_or(unspecified, |peer| peer.0);
    shared.guard.check(access, peer.ip(), request.headers(), request.uri())
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], shared.counters.render())
}

async fn snippet() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")], SNIPPET)
}

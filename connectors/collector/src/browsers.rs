//! What browsers send: beacons, Faro's payloads, reports.

use crate::body;
use crate::client::Sender;
use crate::decode::items;
use crate::http::Shared;
use crate::record::Mapped;
use crate::refusal::Refusal;
use crate::{faro, now_us, reports, vitals};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::sync::Arc;

/// web-vitals metrics and raw entries.
pub(crate) async fn post_vitals(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Refusal> {
    let received_us = now_us();
    let client = shared.client(request.headers());
    let options = &shared.options;
    let body = body::read(request.into_body(), options.browser_bounds(), options.body_timeout).await?;
    let found = items(&body, options.max_events, true).map_err(|why| shared.unreadable(why, options.max_events))?;
    let mut mapped = Mapped::default();
    for item in found {
        mapped.event(item.and_then(|event| {
            let made = vitals::records(&event, &client, received_us);
            made.map_err(|bad| bad.with_sample(Value::Object(event).to_string().as_bytes()))
        }));
    }
    Ok(shared.take(mapped, "vitals", received_us).await?.answer())
}

/// Grafana Faro; its SDK looks for 202.
pub(crate) async fn collect_faro(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Refusal> {
    let received_us = now_us();
    let client = shared.client(request.headers());
    let options = &shared.options;
    let body = body::read(request.into_body(), options.browser_bounds(), options.body_timeout).await?;
    let sender = Sender { client: &client, agents: &shared.agents, received_us };
    let mapped = faro::records(&body, &sender, options.max_events);
    let mapped = mapped.map_err(|why| shared.unreadable(why, options.max_events))?;
    let taken = shared.take(mapped, "faro", received_us).await?;
    Ok(if taken.bad.is_empty() { StatusCode::ACCEPTED.into_response() } else { taken.answer() })
}

/// Reporting API.
pub(crate) async fn post_reports(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Refusal> {
    let received_us = now_us();
    let client = shared.client(request.headers());
    let options = &shared.options;
    let body = body::read(request.into_body(), options.browser_bounds(), options.body_timeout).await?;
    let sender = Sender { client: &client, agents: &shared.agents, received_us };
    let mapped = reports::records(&body, &sender, options.max_events);
    let mapped = mapped.map_err(|why| shared.unreadable(why, options.max_events))?;
    Ok(shared.take(mapped, "reports", received_us).await?.answer())
}

//! What viewers say: verdicts, acknowledgements and approvals, for a pipeline's inbox.

use super::routes::{Shared, failure, refusal};
use anyhow::Context;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use perfstream_log::{NewRecord, Place, inbox};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const MAX_BODY_BYTES: usize = 16 << 10;
/// Bytes of the name of whoever approves.
const MAX_NAME_BYTES: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verdict {
    pipeline: String,
    alert_id: String,
    #[serde(default)]
    anomaly_id: Option<String>,
    verdict: String,
    /// From its beginning until it was resolved, seconds
    #[serde(default)]
    resolution_time_s: Option<f64>,
}

/// What can be said of an alert or anomaly.
const VERDICTS: [&str; 4] = ["acknowledged", "true_positive", "false_positive", "resolved"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    pipeline: String,
    action_id: String,
    approved: bool,
    /// Who says so
    by: String,
}

/// Hands a verdict or an acknowledgement to the pipeline.
pub async fn verdict(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = "pipeline, alert_id, verdict and perhaps anomaly_id and resolution_time_s";
    let verdict: Verdict = match change(&shared, &headers, &body, fields) {
        Ok(verdict) => verdict,
        Err((status, why)) => return refusal((status, &why)),
    };
    if !VERDICTS.contains(&verdict.verdict.as_str()) {
        return refusal((StatusCode::BAD_REQUEST, "expected acknowledged, true_positive, false_positive or resolved"));
    }
    if verdict.resolution_time_s.is_some_and(|s| verdict.verdict != "resolved" || s < 0.0) {
        let why = "expected seconds in `resolution_time_s`, from 0 on, and with the verdict resolved only";
        return refusal((StatusCode::BAD_REQUEST, why));
    }
    let mut request = json!({ "type": "feedback", "alert_id": verdict.alert_id, "verdict": verdict.verdict });
    if let Some(id) = &verdict.anomaly_id {
        request["anomaly_id"] = id.as_str().into();
    }
    if let Some(seconds) = verdict.resolution_time_s {
        request["resolution_time_s"] = seconds.into();
    }
    hand_over(shared, verdict.pipeline, request).await
}

/// Hands somebody's word about an action that waits for it to the pipeline.
pub async fn approval(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let approval: Approval = match change(&shared, &headers, &body, "pipeline, action_id, approved and by") {
        Ok(approval) => approval,
        Err((status, why)) => return refusal((status, &why)),
    };
    let by = approval.by.trim();
    if by.is_empty() || by.len() > MAX_NAME_BYTES {
        return refusal((StatusCode::BAD_REQUEST, "expected your name in `by`, of 1 to 100 bytes"));
    }
    if !shared.feed.model().lets_approve(&approval.pipeline) {
        return refusal((StatusCode::FORBIDDEN, "no dashboard of this pipeline lets viewers approve"));
    }
    let Approval { action_id, approved, .. } = &approval;
    let request = json!({ "type": "approval", "action_id": action_id, "approved": approved, "by": by });
    hand_over(shared, approval.pipeline, request).await
}

/// The body of a request of the page's own that changes something.
fn change<T: DeserializeOwned>(
    shared: &Shared,
    headers: &HeaderMap,
    body: &Bytes,
    expected: &str,
) -> Result<T, (StatusCode, String)> {
    shared.guard.change(headers).map_err(|(status, why)| (status, why.to_string()))?;
    if body.len() > MAX_BODY_BYTES {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "it is smaller than 16 KiB".into()));
    }
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("expected {expected}: {error}")))
}

/// Appends a request to the inbox of a pipeline that is on the page.
async fn hand_over(shared: Arc<Shared>, pipeline: String, request: Value) -> Response {
    if !shared.feed.model().pipelines().contains(&pipeline) {
        return refusal((StatusCode::NOT_FOUND, "no pipeline of this name is on the page"));
    }
    let append = move |log: &mut Place| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
        let value = request.to_string().into_bytes();
        let record = NewRecord { log_time_ms: now.as_millis() as i64, key: None, value };
        log.append(&inbox(&pipeline), 0, &[record]).map(drop)
    };
    match tokio::task::spawn_blocking(move || shared.ask(append)).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => failure(&error),
        Err(error) => failure(&error.into()),
    }
}

//! Answers to what is not taken: JSON with what was found and what is allowed.

use crate::decode::Unreadable;
use crate::queue::Refused;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request is not taken.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    /// One word for programs
    error: &'static str,
    /// What was found
    found: String,
    /// What is allowed
    allowed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        error: &'static str,
        found: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Refusal {
        Refusal { status, error, found: found.into(), allowed: allowed.into(), retry_after_s: None }
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Refusal {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    pub(crate) fn unreadable(why: Unreadable, max_events: usize) -> Refusal {
        let allowed = "a JSON object, an array of them, or one per line";
        match why {
            Unreadable::NoEvents(found) => Refusal::new(StatusCode::BAD_REQUEST, "no_events", found, allowed),
            Unreadable::TooMany(count) => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_many_events",
                format!("{count} events"),
                format!("{max_events} events in a request"),
            ),
        }
    }

    /// The log did not take it. How the log failed is for our own log, not for the web.
    pub(crate) fn by_log(why: &Refused) -> Refusal {
        let found = match why {
            Refused::Full => "too much waits for the log",
            Refused::Failed(_) => "the log did not take the events",
            Refused::Slow => "the log did not answer in time; the events may be in it",
        };
        let again = "send the same events again: ids tell copies";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", found, again).retry_after(2)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after_s;
        let mut response = (self.status, axum::Json(self)).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

//! Answers to what is not taken: JSON with what was found and what is allowed.

use crate::decode::Unreadable;
use crate::queue::Refused as ByLog;
use crate::record::RECORDS_BYTES;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A refusal in one sentence, kept with the response for protocols with a body of their own.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) String);

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

    pub(crate) fn is_too_long(&self) -> bool {
        self.status == StatusCode::PAYLOAD_TOO_LARGE
    }

    /// The records would be too long together.
    pub(crate) fn records_too_long() -> Refusal {
        let allowed = format!("{RECORDS_BYTES} bytes of records in a request");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "records_too_long", "events that make longer records", allowed)
    }

    /// The collector is about to end.
    pub(crate) fn ending() -> Refusal {
        let again = "send the same again";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "the collector is ending", again).retry_after(2)
    }

    pub(crate) fn unreadable(why: Unreadable, max_events: usize) -> Refusal {
        let allowed = "events as the route takes them (README)";
        match why {
            Unreadable::TooLong(bytes) => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_long",
                format!("{bytes} bytes after decompression"),
                "fewer",
            ),
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
    pub(crate) fn by_log(why: &ByLog) -> Refusal {
        let found = match why {
            ByLog::Full => "too much waits for the log",
            ByLog::Failed(_) | ByLog::NoTopic(..) => "the log did not take the events",
            ByLog::Slow => "the log did not answer in time; the events may be in it",
        };
        let again = "send the same events again: ids tell copies";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", found, again).retry_after(2)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after_s;
        let sentence = format!("{}; allowed: {}", self.found, self.allowed);
        let mut response = (self.status, axum::Json(self)).into_response();
        response.extensions_mut().insert(Refused(sentence));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

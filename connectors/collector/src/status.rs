//! OTLP's answers, in the encoding of the request: what was taken, or why nothing was.
//!
//! Source: OTLP/HTTP responses: `Export…ServiceResponse` with `partial_success` only where something
//! was rejected, and `google.rpc.Status` for errors. Senders repeat 429, 502, 503 and 504 only.

use crate::otlp::{Encoding, Signal};
use crate::refusal::Refused;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde_json::json;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// `Export…ServiceResponse`: the three are alike.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The encoding that a request says; None if it is another.
pub(crate) fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    match kind.split(';').next()?.trim().to_ascii_lowercase().as_str() {
        "application/x-protobuf" => Some(Encoding::Protobuf),
        "application/json" => Some(Encoding::Json),
        _ => None,
    }
}

/// 200: the log has what was not rejected.
pub(crate) fn success(signal: Signal, encoding: Encoding, rejected: usize, why: &str) -> Response {
    let body = match encoding {
        Encoding::Protobuf => {
            let partial = Partial { rejected: rejected as i64, error_message: why.to_owned() };
            Exported { partial_success: (rejected > 0).then_some(partial) }.encode_to_vec()
        }
        Encoding::Json if rejected == 0 => b"{}".to_vec(),
        Encoding::Json => {
            let name = match signal {
                Signal::Metrics => "rejectedDataPoints",
                Signal::Logs => "rejectedLogRecords",
                Signal::Traces => "rejectedSpans",
            };
            let partial = json!({ name: rejected.to_string(), "errorMessage": why });
            json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
    };
    ([(CONTENT_TYPE, content_type(encoding))], body).into_response()
}

/// Turns a refusal into a `Status` of the request's encoding.
pub(crate) async fn otlp_errors(request: Request, next: Next) -> Response {
    // A sender that says neither gets JSON, which a person can read.
    let encoding = encoding(request.headers()).unwrap_or(Encoding::Json);
    let mut response = next.run(request).await;
    let Some(Refused(message)) = response.extensions_mut().remove::<Refused>() else { return response };
    let status = Status { code: code(response.status()), message };
    let body = match encoding {
        Encoding::Protobuf => status.encode_to_vec(),
        Encoding::Json => json!({ "code": status.code, "message": status.message }).to_string().into_bytes(),
    };
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(encoding)));
    *response.body_mut() = body.into();
    response
}

fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    }
}

/// `google.rpc.Code` of a status.
fn code(status: StatusCode) -> i32 {
    match status {
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 5,
        StatusCode::REQUEST_TIMEOUT => 4,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 3,
    }
}

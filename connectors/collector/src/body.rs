//! Reading a body: bounded in bytes, as sent and after decompression, and in time.
//!
//! Browsers' bodies are unpacked as they come. Those of servers may be longer, so they are read as
//! they were sent, and unpacked a few at a time (`servers`).

use crate::gzip::{self, Unpackable};
use crate::options::Options;
use crate::refusal::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::error::Error;
use std::time::Duration;

/// The two bounds of a body, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) sent: usize,
    pub(crate) whole: usize,
}

impl Options {
    pub(crate) fn browser_bounds(&self) -> Bounds {
        Bounds { sent: self.body_bytes, whole: self.decompressed_bytes }
    }

    pub(crate) fn server_bounds(&self) -> Bounds {
        Bounds { sent: self.server_body_bytes, whole: self.server_decompressed_bytes }
    }
}

/// How a body is packed: `allowed` names it, or None for not at all.
pub(crate) fn packing(headers: &HeaderMap, allowed: &'static str) -> Result<Option<&'static str>, Refusal> {
    match headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default()) {
        None | Some("identity") => Ok(None),
        Some(encoding) if encoding == allowed => Ok(Some(allowed)),
        Some(other) => {
            let found = format!("the content-encoding `{}`", other.chars().take(50).collect::<String>());
            let allowed = format!("{allowed} or none");
            Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", found, allowed))
        }
    }
}

/// Refuses what says itself that it is too long; bounds the rest as it comes.
pub(crate) fn bounded(request: Request, bounds: Bounds) -> Result<Request, Refusal> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length: Option<u64> = length.and_then(|text| text.parse().ok());
    if length.is_some_and(|length| length > bounds.sent as u64) {
        return Err(bounds.too_long());
    }
    Ok(request.map(|body| Body::new(Limited::new(body, bounds.sent))))
}

/// The whole body, as the layers before have unpacked it.
pub(crate) async fn read(body: Body, bounds: Bounds, within: Duration) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, bounds.whole).collect();
    match tokio::time::timeout(within, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if is_too_long(&*error) => Err(bounds.too_long()),
        Ok(Err(error)) => {
            tracing::debug!("a body could not be read: {error}");
            Err(broken())
        }
        Err(_) => {
            let allowed = format!("{} s for a body", within.as_secs_f64());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "a body that did not end in time", allowed))
        }
    }
}

/// Unpacks gzip of any number of members.
pub(crate) fn gunzip(packed: &[u8], bounds: Bounds) -> Result<Vec<u8>, Refusal> {
    gzip::unpack(packed, bounds.whole).map_err(|error| match error {
        Unpackable::TooLong => bounds.too_long(),
        Unpackable::Broken(why) => {
            tracing::debug!("a body could not be unpacked: {why}");
            broken()
        }
    })
}

fn broken() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "body", "a body that breaks off or is no gzip", "a whole body")
}

impl Bounds {
    pub(crate) fn too_long(self) -> Refusal {
        let Bounds { sent, whole } = self;
        let allowed = format!("{sent} bytes as sent, {whole} bytes after decompression");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", "a longer body", allowed)
    }
}

/// The layers between wrap the error of the limit, each in its way.
fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.is::<LengthLimitError>() {
            return true;
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        at = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    false
}

//! Reading a body: bounded in bytes, as sent and after decompression, and in time.

use crate::options::Options;
use crate::refusal::Refusal;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::error::Error;

/// Refuses what says itself that it is too long or packed otherwise; bounds the rest as it comes.
pub(crate) fn bounded(request: Request, options: &Options) -> Result<Request, Refusal> {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(encoding) = text(CONTENT_ENCODING)
        && !matches!(encoding, "gzip" | "identity")
    {
        let found = format!("the content-encoding `{}`", encoding.chars().take(50).collect::<String>());
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", found, "gzip or none"));
    }
    let length: Option<u64> = text(CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if length.is_some_and(|length| length > options.body_bytes as u64) {
        return Err(too_long(options));
    }
    Ok(request.map(|body| Body::new(Limited::new(body, options.body_bytes))))
}

/// The whole body, decompressed.
pub(crate) async fn read(body: Body, options: &Options) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, options.decompressed_bytes).collect();
    match tokio::time::timeout(options.body_timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if is_too_long(&*error) => Err(too_long(options)),
        Ok(Err(error)) => {
            tracing::debug!("a body could not be read: {error}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, "body", "a body that breaks off or is no gzip", "a whole body"))
        }
        Err(_) => {
            let allowed = format!("{} s for a body", options.body_timeout.as_secs_f64());
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "a body that did not end in time", allowed))
        }
    }
}

fn too_long(options: &Options) -> Refusal {
    let (sent, whole) = (options.body_bytes, options.decompressed_bytes);
    let allowed = format!("{sent} bytes as sent, {whole} bytes after decompression");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", "a longer body", allowed)
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

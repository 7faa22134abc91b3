//! Spans to records of `spans-stream`.
//!
//! `timestamp` is the end of a span: by its start a slow request would be late, and the slow ones
//! are what one looks for. Fields that pipelines ask for have names of their own, from the stable
//! semantic conventions and the ones before them ([`NAMED`]).

use super::attributes::{find, integer, put, text};
use super::resource::Origin;
use super::{SPANS, micros};
use crate::decode::Bad;
use crate::fields::Flat;
use crate::record::{Mapped, Outgoing};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use perfstream_core::time::format;

/// Field and the attributes that it comes from, the first that is there.
const NAMED: [(&str, &[&str]); 7] = [
    ("route", &["http.route"]),
    ("method", &["http.request.method", "http.method"]),
    ("peer", &["peer.service", "server.address", "net.peer.name"]),
    ("db", &["db.system.name", "db.system"]),
    ("messaging", &["messaging.system"]),
    ("rpc", &["rpc.service"]),
    ("error_type", &["error.type"]),
];

/// Attributes of the field `status_code`.
const STATUS: [&str; 3] = ["http.response.status_code", "http.status_code", "rpc.grpc.status_code"];

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// Spans of a request.
pub(super) fn count(request: &ExportTraceServiceRequest) -> usize {
    request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).map(|scope| scope.spans.len()).sum()
}

/// A record for each span.
pub(super) fn records(request: &ExportTraceServiceRequest, received_us: i64) -> Mapped {
    let mut mapped = Mapped::default();
    for resource in &request.resource_spans {
        let origin = Origin::new(resource.resource.as_ref(), received_us);
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let made = record(span, &origin).map_err(|bad| {
                let sample = format!("{}: {}", origin.service, span.name);
                bad.with_sample(sample.as_bytes())
            });
            mapped.event(made.map(|record| vec![record]));
        }
    }
    mapped
}

fn record(span: &Span, origin: &Origin) -> Result<Outgoing, Bad> {
    let (trace, id) = (hex(&span.trace_id, 16, "traceId")?, hex(&span.span_id, 8, "spanId")?);
    let (Some(start), Some(end)) = (micros(span.start_time_unix_nano), micros(span.end_time_unix_nano)) else {
        return Err(Bad::new("missing_field", "the span has no start or no end"));
    };
    if span.end_time_unix_nano < span.start_time_unix_nano {
        return Err(Bad::new("bad_time", "the span ends before it begins"));
    }
    let mut flat = origin.record(end);
    flat.set("start", format(start));
    flat.set("duration_ms", (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6);
    flat.set("id", format!("{trace}-{id}"));
    flat.set("traceId", trace);
    flat.set("spanId", id);
    if !span.parent_span_id.is_empty() {
        flat.set("parentSpanId", hex(&span.parent_span_id, 8, "parentSpanId")?);
    }
    flat.text("name", &span.name);
    let kind = usize::try_from(span.kind).ok().and_then(|kind| KINDS.get(kind));
    flat.set("kind", *kind.unwrap_or(&"unspecified"));
    status(&mut flat, span);
    for (name, keys) in NAMED {
        if let Some(found) = keys.iter().find_map(|key| text(&span.attributes, key)) {
            flat.text(name, found);
        }
    }
    put(&mut flat, &span.attributes, &named(span));
    Ok(origin.outgoing(SPANS, flat))
}

/// `status`, `status_code` and `error`: a status of error, or an answer of 500 or more.
fn status(flat: &mut Flat, span: &Span) {
    let status = span.status.as_ref();
    let word = match status.map(|status| status.code) {
        Some(1) => "ok",
        Some(2) => "error",
        _ => "unset",
    };
    let code = STATUS.iter().find_map(|key| integer(&span.attributes, key));
    flat.set("status", word);
    flat.text("status_message", status.map_or("", |status| status.message.as_str()));
    flat.set("status_code", code);
    flat.set("error", word == "error" || code.is_some_and(|code| (500..600).contains(&code)));
}

/// The attributes that are fields already.
fn named(span: &Span) -> Vec<&'static str> {
    let first = |keys: &[&'static str]| keys.iter().copied().find(|key| find(&span.attributes, key).is_some());
    NAMED.iter().filter_map(|(_, keys)| first(keys)).chain(first(&STATUS)).collect()
}

/// An id as hexadecimal text; all zeros is no id.
fn hex(bytes: &[u8], length: usize, name: &str) -> Result<String, Bad> {
    if bytes.len() != length || bytes.iter().all(|byte| *byte == 0) {
        let found = format!("`{name}` has {} bytes; allowed are {length}, not all of them zero", bytes.len());
        return Err(Bad::new("bad_id", found));
    }
    Ok(hex_text(bytes))
}

/// Bytes as hexadecimal text.
pub(super) fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

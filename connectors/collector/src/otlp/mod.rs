//! OTLP/HTTP: metrics, logs and traces, as protocol buffers or JSON, to flat records.
//!
//! Source: the OpenTelemetry protocol specification 1.x (OTLP/HTTP, JSON mapping) and its semantic
//! conventions for resources, HTTP, databases and browser events. One record per data point, span
//! and log record; the key is the service. Cost: a message in memory, and a JSON text per record.

mod attributes;
mod json;
mod logs;
mod metrics;
mod quantiles;
mod resource;
mod spans;

use crate::client::Sender;
use crate::decode::Unreadable;
use crate::record::Mapped;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;

/// Topic of metrics, also of those from Prometheus.
pub const METRICS: &str = "metrics-stream";

/// Topic of spans.
pub const SPANS: &str = "spans-stream";

/// Topic of log records, also of those from Faro.
pub const LOGS: &str = "logs-stream";

/// What a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `/v1/metrics`
    Metrics,
    /// `/v1/logs`
    Logs,
    /// `/v1/traces`
    Traces,
}

/// How a request is written, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// The records of a request; at most `max_events` data points, spans or log records.
pub fn records(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    sender: &Sender<'_>,
    max_events: usize,
) -> Result<Mapped, Unreadable> {
    match signal {
        Signal::Metrics => {
            let request: ExportMetricsServiceRequest = decode(encoding, body)?;
            few(metrics::count(&request), max_events)?;
            Ok(metrics::records(&request, sender.received_us))
        }
        Signal::Logs => {
            let request: ExportLogsServiceRequest = decode(encoding, body)?;
            few(logs::count(&request), max_events)?;
            Ok(logs::records(&request, sender))
        }
        Signal::Traces => {
            let request: ExportTraceServiceRequest = decode(encoding, body)?;
            few(spans::count(&request), max_events)?;
            Ok(spans::records(&request, sender.received_us))
        }
    }
}

fn decode<M: Message + Default + DeserializeOwned>(encoding: Encoding, body: &[u8]) -> Result<M, Unreadable> {
    let what = |error: &dyn std::fmt::Display| Unreadable::NoEvents(format!("no OTLP request: {error}"));
    match encoding {
        Encoding::Protobuf => M::decode(body).map_err(|error| what(&error)),
        Encoding::Json => json::message(body).map_err(|error| what(&error)),
    }
}

fn few(found: usize, max_events: usize) -> Result<(), Unreadable> {
    if found > max_events { Err(Unreadable::TooMany(found)) } else { Ok(()) }
}

/// Microseconds of nanoseconds; 0 is "not said".
fn micros(nanos: u64) -> Option<i64> {
    (nanos != 0).then(|| i64::try_from(nanos / 1000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;

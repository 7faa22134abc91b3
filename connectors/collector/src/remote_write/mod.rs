//! Prometheus remote write, versions 1.0 and 2.0, to records of `metrics-stream`.
//!
//! Source: the Prometheus remote write specifications 1.0 and 2.0-rc.4. A body is one snappy block
//! of protocol buffers ([`messages`]). One record per sample. Remote write 1.0 does not say whether
//! a series is a counter; by custom the name of one ends in `_total`, and its value counts since
//! the start of the process. Native histograms and exemplars have no record; they are counted.

pub mod messages;

use crate::decode::{Bad, Unreadable};
use crate::fields::Flat;
use crate::otlp::METRICS;
use crate::record::{Mapped, Outgoing};
use messages::{Request, Sample, WriteRequest};
use perfstream_core::time::format;
use prost::Message;

/// The bits of the NaN by which Prometheus says that a series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Job of a series without one.
const UNKNOWN: &str = "unknown";

/// Which message a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

/// What a series has beside its samples.
struct Series<'a> {
    labels: Vec<(&'a str, &'a str)>,
    kind: Option<&'static str>,
    unit: &'a str,
}

/// The records of a body (snappy); at most `max_events` samples and `max_bytes` after decompression.
pub fn records(
    version: Version,
    body: &[u8],
    received_us: i64,
    max_events: usize,
    max_bytes: usize,
) -> Result<Mapped, Unreadable> {
    let plain = unpack(body, max_bytes)?;
    let broken = |error: prost::DecodeError| Unreadable::NoEvents(format!("no remote write request: {error}"));
    match version {
        Version::One => one(&WriteRequest::decode(&*plain).map_err(broken)?, received_us, max_events),
        Version::Two => two(&Request::decode(&*plain).map_err(broken)?, received_us, max_events),
    }
}

/// A snappy block says its length first, so a bomb is refused before it is unpacked.
fn unpack(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Unreadable> {
    let broken = |error: snap::Error| Unreadable::NoEvents(format!("no snappy block: {error}"));
    let length = snap::raw::decompress_len(body).map_err(broken)?;
    if length > max_bytes {
        return Err(Unreadable::TooLong(length));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(broken)
}

fn one(request: &WriteRequest, received_us: i64, max_events: usize) -> Result<Mapped, Unreadable> {
    few(request.timeseries.iter().map(|s| s.samples.len() + s.histograms.len()), max_events)?;
    let mut mapped = Mapped::default();
    for found in &request.timeseries {
        let labels = found.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
        let series = Series { labels, kind: None, unit: "" };
        found.samples.iter().for_each(|sample| add(&series, sample, received_us, &mut mapped));
        found.histograms.iter().for_each(|_| mapped.skip("native_histogram"));
    }
    Ok(mapped)
}

fn two(request: &Request, received_us: i64, max_events: usize) -> Result<Mapped, Unreadable> {
    few(request.timeseries.iter().map(|s| s.samples.len() + s.histograms.len()), max_events)?;
    let mut mapped = Mapped::default();
    let symbol = |at: u32| request.symbols.get(at as usize).map(String::as_str);
    for found in &request.timeseries {
        let pairs = found.labels_refs.chunks(2).map(|pair| match pair {
            [name, value] => Some((symbol(*name)?, symbol(*value)?)),
            _ => None,
        });
        let Some(labels) = pairs.collect::<Option<Vec<_>>>() else {
            let bad = Bad::new("bad_reference", "a label refers to a symbol that is not there");
            found.samples.iter().for_each(|_| mapped.event(Err(bad.clone())));
            continue;
        };
        let metadata = found.metadata.unwrap_or_default();
        let series =
            Series { labels, kind: kind(metadata.r#type), unit: symbol(metadata.unit_ref).unwrap_or_default() };
        found.samples.iter().for_each(|sample| add(&series, sample, received_us, &mut mapped));
        found.histograms.iter().for_each(|_| mapped.skip("native_histogram"));
    }
    Ok(mapped)
}

fn few(samples: impl Iterator<Item = usize>, max_events: usize) -> Result<(), Unreadable> {
    let found: usize = samples.sum();
    if found > max_events { Err(Unreadable::TooMany(found)) } else { Ok(()) }
}

fn add(series: &Series<'_>, sample: &Sample, received_us: i64, mapped: &mut Mapped) {
    if mapped.is_too_long() {
        return;
    }
    if sample.value.to_bits() == STALE {
        mapped.skip("stale");
    } else if !sample.value.is_finite() {
        mapped.skip("not_finite");
    } else {
        mapped.event(record(series, sample, received_us).map(|record| vec![record]));
    }
}

fn record(series: &Series<'_>, sample: &Sample, received_us: i64) -> Result<Outgoing, Bad> {
    let label = |name: &str| series.labels.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let shown = || series.labels.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>();
    let bad = |reason, detail: &str| Err(Bad::new(reason, detail).with_sample(shown().as_bytes()));
    let Some(metric) = label("__name__").filter(|name| !name.is_empty()) else {
        return bad("missing_field", "the series has no label `__name__`");
    };
    let Some(time_us) = sample.timestamp.checked_mul(1000) else {
        return bad("bad_time", "the time of a sample is out of range; allowed are epoch milliseconds");
    };
    let (job, instance) = (label("job").unwrap_or(UNKNOWN), label("instance").unwrap_or_default());
    let mut flat = Flat::default();
    flat.set("timestamp", format(time_us));
    flat.set("source", "remote-write");
    flat.text("service", job);
    flat.text("job", job);
    flat.text("instance", instance);
    flat.text("host", host(instance));
    flat.text("metric", metric);
    flat.text("unit", series.unit);
    flat.set("type", series.kind);
    flat.number("value", sample.value);
    for (name, value) in &series.labels {
        if !matches!(*name, "__name__" | "job" | "instance") {
            flat.attribute(name, (*value).into());
        }
    }
    flat.set_id();
    flat.set("received", format(received_us));
    let key = crate::fields::cut(job, crate::fields::TEXT_BYTES);
    Ok(Outgoing::new(METRICS, Some(key), &flat.into_value()))
}

/// An instance without its port: `web-1:9100`, `[::1]:9100`.
fn host(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            host.trim_start_matches('[').trim_end_matches(']')
        }
        _ => instance,
    }
}

/// Prometheus' types of metrics.
fn kind(number: i32) -> Option<&'static str> {
    const KINDS: [&str; 7] = ["counter", "gauge", "histogram", "gauge_histogram", "summary", "info", "stateset"];
    usize::try_from(number).ok()?.checked_sub(1).and_then(|n| KINDS.get(n).copied())
}

#[cfg(test)]
mod tests;

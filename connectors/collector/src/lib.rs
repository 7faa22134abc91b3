//! Events of browsers and servers over HTTP into the topics of a log.
//!
//! Browsers: web-vitals beacons and raw entries ([`vitals`]), Grafana Faro ([`faro`]), the Reporting API
//! ([`reports`]). Servers: OTLP ([`otlp`]), Prometheus remote write ([`remote_write`]), plain JSON events
//! ([`events`]). An event is answered for when the log has it, not before. What is wrong with a request
//! is said in its own protocol; everything has a bound ([`Options`]).
//!
//! The way of an event: [`server`] has the connection → `http` asks `guard` who may send, under which
//! name and how often → `browsers` or `servers` read the body, bounded in bytes and time → the decoder
//! of its format makes records ([`record`]) → `intake` hands them to [`queue`], which commits those of
//! many requests at once, and they are answered.
//!
//! The decoders are functions of bytes, without a server, a log or a clock; the fuzzers build them alone
//! (without the feature `serve`).

pub mod client;
pub mod decode;
pub mod events;
pub mod faro;
pub mod fields;
pub mod gzip;
pub mod options;
pub mod otlp;
pub mod record;
pub mod remote_write;
pub mod reports;
pub mod vitals;

#[cfg(feature = "serve")]
mod body;
#[cfg(feature = "serve")]
mod browsers;
#[cfg(feature = "serve")]
pub mod cluster;
#[cfg(feature = "serve")]
pub mod counters;
#[cfg(feature = "serve")]
mod guard;
#[cfg(feature = "serve")]
mod http;
#[cfg(feature = "serve")]
mod intake;
#[cfg(feature = "serve")]
pub mod queue;
#[cfg(feature = "serve")]
mod refusal;
#[cfg(feature = "serve")]
pub mod server;
#[cfg(feature = "serve")]
mod servers;
#[cfg(feature = "serve")]
mod status;
#[cfg(feature = "serve")]
pub mod store;

pub use options::{EventTopic, Options};
#[cfg(feature = "serve")]
pub use server::{Destination, Server, run};

/// Microseconds since the epoch, by this machine's clock.
#[cfg(feature = "serve")]
pub(crate) fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

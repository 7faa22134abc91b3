//! Events of browsers and servers over HTTP into the topics of a log.
//!
//! `POST /v1/vitals` takes web-vitals beacons and raw browser entries, `POST /v1/events/{topic}`
//! plain JSON events. An event is answered for when the log has it, not before. What is wrong with
//! a request is said in JSON; everything has a bound ([`Options`]).
//!
//! The way of an event: [`server`] has the connection → `guard` asks who may send and how often →
//! `body` reads it, bounded in bytes and time → [`decode`] finds the events → [`vitals`] makes
//! records of them → [`queue`] commits those of many requests at once, and they are answered.

pub mod client;
pub mod counters;
pub mod decode;
pub mod events;
pub mod options;
pub mod queue;
pub mod server;
pub mod store;
pub mod vitals;

mod body;
mod guard;
mod http;
mod refusal;

pub use options::{EventTopic, Options};
pub use server::{Destination, Server, run};

/// Microseconds since the epoch, by this machine's clock.
pub(crate) fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

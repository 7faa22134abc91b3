//! What can be set, and its defaults.

use crate::otlp;
use crate::reports::REPORTS;
use crate::vitals::{INTERACTIONS, METRICS, SHIFTS};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Where bad events go.
pub const DEAD_LETTERS: &str = "dead-letters";

/// A topic that `/v1/events/{topic}` may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTopic {
    /// Name
    pub name: String,
    /// Field whose value is the key; None: records have no key and lie in the first partition
    pub key: Option<String>,
}

impl std::str::FromStr for EventTopic {
    type Err = String;

    /// `NAME` or `NAME:FIELD`.
    fn from_str(text: &str) -> Result<EventTopic, String> {
        let (name, key) = match text.split_once(':') {
            Some((name, field)) => (name, Some(field.to_owned())),
            None => (text, None),
        };
        // Fluvio's own rule for names of topics.
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(legal) || key.as_deref() == Some("") {
            return Err("allowed is NAME or NAME:FIELD, with NAME of a-z, 0-9 and `-`, at most 63 of them".into());
        }
        Ok(EventTopic { name: name.into(), key })
    }
}

/// Options of a collector.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen
    pub listen: SocketAddr,
    /// Origins of pages that may send, as `https://shop.example`; `*`: every one. Empty: only the
    /// collector's own, and requests without an `Origin`
    pub origins: Vec<String>,
    /// Names under which it may be asked, as `collector.example`, beside `localhost` and addresses. Bound to a
    /// loopback address it answers under no other; bound elsewhere, under any if there are none here
    pub hosts: Vec<String>,
    /// Public tokens, which may only write what browsers send; with none no token is asked for
    pub tokens: Vec<String>,
    /// Secret tokens of servers; with one, `/v1/events`, OTLP and remote write ask for it
    pub server_tokens: Vec<String>,
    /// Topics of `/v1/events`, by name
    pub topics: BTreeMap<String, EventTopic>,
    /// Serve `/demo`, a page to slow down
    pub demo: bool,
    /// Header with the country of the client, set by a proxy
    pub country_header: Option<String>,
    /// Header with the address of the client, set by a proxy; its last element counts
    pub address_header: Option<String>,
    /// Longest body of a browser as sent, bytes
    pub body_bytes: usize,
    /// Longest body of a browser after decompression, bytes
    pub decompressed_bytes: usize,
    /// Most events in one request of a browser, and of `/v1/events`
    pub max_events: usize,
    /// Longest body of OTLP and remote write as sent, bytes
    pub server_body_bytes: usize,
    /// Longest body of OTLP and remote write after decompression, bytes
    pub server_decompressed_bytes: usize,
    /// Most data points, spans, log records or samples in one request
    pub server_max_events: usize,
    /// Longest head of a request, bytes (hyper's least is 8192)
    pub header_bytes: usize,
    /// Most connections at once
    pub max_connections: usize,
    /// Most connections of one address at once; of no effect with an address header, as all are the proxy's then
    pub max_connections_per_address: usize,
    /// How long a request's head may take, and a connection be idle
    pub header_timeout: Duration,
    /// How long a request's body may take
    pub body_timeout: Duration,
    /// How long the log may take
    pub commit_timeout: Duration,
    /// Requests per second of one address, twice as many at once; 0: no bound
    pub rate_per_address: u32,
    /// Requests per second of one token, twice as many at once; 0: no bound
    pub rate_per_token: u32,
    /// Most bytes of records that wait for the log
    pub queue_bytes: usize,
    /// How long connections may take to end after SIGTERM
    pub drain_timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            origins: Vec::new(),
            hosts: Vec::new(),
            tokens: Vec::new(),
            server_tokens: Vec::new(),
            topics: BTreeMap::new(),
            demo: false,
            country_header: None,
            address_header: None,
            body_bytes: 64 << 10,
            decompressed_bytes: 1 << 20,
            max_events: 1000,
            server_body_bytes: 1 << 20,
            server_decompressed_bytes: 4 << 20,
            server_max_events: 10_000,
            header_bytes: 16 << 10,
            max_connections: 512,
            max_connections_per_address: 32,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(30),
            rate_per_address: 50,
            rate_per_token: 1000,
            queue_bytes: 32 << 20,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Every topic that a request may write to, sorted.
    pub fn needed_topics(&self) -> Vec<String> {
        let fixed = [DEAD_LETTERS, SHIFTS, INTERACTIONS, otlp::METRICS, otlp::SPANS, otlp::LOGS, REPORTS];
        let vitals = METRICS.into_iter().map(|(_, topic)| topic);
        let all: BTreeSet<&str> =
            fixed.into_iter().chain(vitals).chain(self.topics.keys().map(String::as_str)).collect();
        all.into_iter().map(String::from).collect()
    }
}

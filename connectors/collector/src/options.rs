//! What can be set, and its defaults.

use std::collections::BTreeMap;
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
    /// Public tokens, which may only write vitals; with none no token is asked for
    pub tokens: Vec<String>,
    /// Secret tokens of servers; with one, `/v1/events` asks for it
    pub server_tokens: Vec<String>,
    /// Topics of `/v1/events`, by name
    pub topics: BTreeMap<String, EventTopic>,
    /// Header with the country of the client, set by a proxy
    pub country_header: Option<String>,
    /// Header with the address of the client, set by a proxy; its last element counts
    pub address_header: Option<String>,
    /// Longest body as sent, bytes
    pub body_bytes: usize,
    /// Longest body after decompression, bytes
    pub decompressed_bytes: usize,
    /// Most events in one request
    pub max_events: usize,
    /// Longest head of a request, bytes (hyper's least is 8192)
    pub header_bytes: usize,
    /// Most connections at once
    pub max_connections: usize,
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
            tokens: Vec::new(),
            server_tokens: Vec::new(),
            topics: BTreeMap::new(),
            country_header: None,
            address_header: None,
            body_bytes: 64 << 10,
            decompressed_bytes: 1 << 20,
            max_events: 1000,
            header_bytes: 16 << 10,
            max_connections: 256,
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

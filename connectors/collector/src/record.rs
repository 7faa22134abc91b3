//! Records on their way to topics, and what was made of a request.

use crate::decode::Bad;
use serde_json::Value;
use std::collections::BTreeMap;

/// A record on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Topic
    pub topic: String,
    /// Key; without one it lies in the first partition
    pub key: Option<Vec<u8>>,
    /// JSON
    pub value: Vec<u8>,
}

impl Outgoing {
    /// A record of a JSON value.
    pub fn new(topic: &str, key: Option<&str>, value: &Value) -> Outgoing {
        Outgoing {
            topic: topic.into(),
            key: key.map(|key| key.as_bytes().to_vec()),
            value: value.to_string().into_bytes(),
        }
    }

    /// What it takes of the queue, bytes.
    pub fn size_bytes(&self) -> usize {
        self.topic.len() + self.key.as_ref().map_or(0, Vec::len) + self.value.len()
    }
}

/// Most bytes of the records of one request. A short body can ask for many: fields of a resource or of
/// a series stand in each of its records.
pub const RECORDS_BYTES: usize = 16 << 20;

/// What was made of a request's events. Each event is taken, bad or skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// Events of the request
    pub events: usize,
    /// Records, each with the number of its event
    pub records: Vec<(usize, Outgoing)>,
    /// Events that cannot be taken: a dead letter each
    pub bad: Vec<(usize, Bad)>,
    /// Events that say nothing, counted by reason: no dead letter, no error
    pub skipped: BTreeMap<&'static str, u64>,
    /// Bytes of the records
    bytes: usize,
}

impl Mapped {
    /// The next event came to these records, or is bad.
    pub fn event(&mut self, made: Result<Vec<Outgoing>, Bad>) {
        let number = self.events;
        self.events += 1;
        match made {
            Ok(records) => {
                self.bytes += records.iter().map(Outgoing::size_bytes).sum::<usize>();
                if self.is_too_long() {
                    // Nobody will have them.
                    self.records = Vec::new();
                    return;
                }
                self.records.extend(records.into_iter().map(|record| (number, record)));
            }
            Err(bad) => self.bad.push((number, bad)),
        }
    }

    /// Did the records become more than [`RECORDS_BYTES`]? Then there are none, and no more need be made.
    pub fn is_too_long(&self) -> bool {
        self.bytes > RECORDS_BYTES
    }

    /// The next event says nothing that a record could hold.
    pub fn skip(&mut self, reason: &'static str) {
        self.events += 1;
        *self.skipped.entry(reason).or_default() += 1;
    }
}

//! Duplicates by key within a horizon of event time.
//!
//! A key is remembered by 128 bits of BLAKE3 (two of a billion keys collide with probability
//! 1e-21). Keys lie in a queue in the order of their first row; with each goes the newest event
//! time at its arrival, and it leaves when the newest event time is more than the horizon ahead of
//! that, so a late row's duplicate is still caught. Beyond the cap the first of the queue leaves,
//! counted. Memory: at most [`BYTES_PER_KEY`] per key; a table of u32 finds keys in the queue.

use crate::clock::NEVER;
use crate::config::{Issue, Issues};
use crate::duration::Span;
use crate::row::{Fields, Row, Slot};
use crate::stage::{Context, RestoreError};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Memory of one key at worst: 32 bytes in a queue that may be half empty, 5 in a table likewise.
pub const BYTES_PER_KEY: u64 = 80;

/// So many keys at most; a table entry is 32 bits.
const MAX_KEYS: u32 = 100_000_000;

/// Drops an event whose key was seen within the horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DedupeConfig {
    /// Fields that together name an event. An event that lacks one of them is not deduplicated.
    pub key: Vec<String>,
    /// How long a key is remembered: an event is a duplicate if its event time is at most this much
    /// after that of the first event with its key.
    pub horizon: Span,
    /// How many keys are remembered at most, 1 to 100,000,000; beyond it the oldest go, counted as
    /// `dedupe_evicted`. A key takes at most 80 bytes; no more are kept than fit the stage's
    /// `max_state_bytes`. Default: 1000000.
    #[serde(default = "default_max_keys")]
    pub max_keys: u32,
}

fn default_max_keys() -> u32 {
    1_000_000
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    Duplicate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    hash: [u64; 2],
    /// Event time of the first row with this key
    first: i64,
    /// Newest event time when it arrived
    newest: i64,
}

/// The part that is saved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    newest: i64,
    evicted: u64,
    queue: VecDeque<Seen>,
}

/// Remembers keys.
pub(super) struct Dedupe {
    key: Vec<Slot>,
    horizon_us: i64,
    max_keys: usize,
    state: State,
    /// Number of the queue's first entry; numbers wrap.
    base: u32,
    /// Numbers of queue entries by hash. An entry that was renewed is in the queue twice and here
    /// once, with its newer number.
    table: HashTable<u32>,
    scratch: Vec<u8>,
}

impl Dedupe {
    pub(super) fn new(config: &DedupeConfig, context: &Context, fields: &mut Fields, issues: &mut Issues) -> Dedupe {
        if config.key.is_empty() {
            issues.push(Issue::error("dedupe.key", "expected at least one field, found none"));
        }
        if config.horizon.us() <= 0 {
            issues.push(Issue::error("dedupe.horizon", format!("expected more than 0s, found {}", config.horizon)));
        }
        if !(1..=MAX_KEYS).contains(&config.max_keys) {
            let message = format!("expected 1 to {MAX_KEYS}, found {}", config.max_keys);
            issues.push(Issue::error("dedupe.max_keys", message));
        }
        let fit = (context.max_state_bytes / BYTES_PER_KEY).max(1);
        Dedupe {
            key: config.key.iter().map(|name| fields.slot(name)).collect(),
            horizon_us: config.horizon.us(),
            max_keys: (config.max_keys as u64).min(fit) as usize,
            state: State { newest: NEVER, evicted: 0, queue: VecDeque::new() },
            base: 0,
            table: HashTable::new(),
            scratch: Vec::new(),
        }
    }

    /// Remembers the row's key, or finds that it was there.
    pub(super) fn see(&mut self, row: &Row<'_>) -> Verdict {
        let time = row.meta.event_time;
        if time == NEVER {
            return Verdict::New;
        }
        self.state.newest = self.state.newest.max(time);
        self.expire();
        let Some(hash) = self.hash(row) else {
            return Verdict::New;
        };
        if let Some(seen) = self.find(hash)
            && time.saturating_sub(seen.first) <= self.horizon_us
        {
            return Verdict::Duplicate;
        }
        while self.state.queue.len() >= self.max_keys {
            let live = self.drop_first();
            self.state.evicted += live as u64;
        }
        self.push(Seen { hash, first: time, newest: self.state.newest });
        Verdict::New
    }

    /// Keys that left because of the cap.
    pub(super) fn evicted(&self) -> u64 {
        self.state.evicted
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn restore(&mut self, state: State) -> Result<(), RestoreError> {
        if state.queue.len() > self.max_keys {
            let message = format!("{} keys; at most {} are kept", state.queue.len(), self.max_keys);
            return Err(RestoreError(message));
        }
        self.table.clear();
        self.base = 0;
        self.state = State { queue: VecDeque::new(), ..state };
        for seen in state.queue {
            self.push(seen);
        }
        Ok(())
    }

    fn hash(&mut self, row: &Row<'_>) -> Option<[u64; 2]> {
        self.scratch.clear();
        for slot in &self.key {
            let value = row.get(*slot);
            if value.is_null() {
                return None;
            }
            value.write_key(&mut self.scratch);
        }
        let hash = blake3::hash(&self.scratch);
        let (low, rest) = hash.as_bytes().split_first_chunk::<8>()?;
        Some([u64::from_le_bytes(*low), u64::from_le_bytes(*rest.first_chunk::<8>()?)])
    }

    fn find(&self, hash: [u64; 2]) -> Option<&Seen> {
        let same = |number: &u32| at(&self.state.queue, self.base, *number).is_some_and(|s| s.hash == hash);
        self.table.find(hash[0], same).and_then(|number| at(&self.state.queue, self.base, *number))
    }

    fn push(&mut self, seen: Seen) {
        let (queue, base) = (&mut self.state.queue, self.base);
        let number = base.wrapping_add(queue.len() as u32);
        queue.push_back(seen);
        let same = |n: &u32| at(queue, base, *n).is_some_and(|s| s.hash == seen.hash);
        let rehash = |n: &u32| at(queue, base, *n).map_or(0, |s| s.hash[0]);
        match self.table.entry(seen.hash[0], same, rehash) {
            hashbrown::hash_table::Entry::Occupied(mut entry) => *entry.get_mut() = number,
            hashbrown::hash_table::Entry::Vacant(entry) => drop(entry.insert(number)),
        }
    }

    /// Drops what arrived more than the horizon ago.
    fn expire(&mut self) {
        let bound = self.state.newest.saturating_sub(self.horizon_us);
        while self.state.queue.front().is_some_and(|seen| seen.newest < bound) {
            self.drop_first();
        }
    }

    /// Drops the oldest entry; was it a key's current one?
    fn drop_first(&mut self) -> bool {
        let number = self.base;
        let Some(seen) = self.state.queue.front() else {
            return false;
        };
        let found = self.table.find_entry(seen.hash[0], |n| *n == number);
        let live = found.map(|entry| entry.remove()).is_ok();
        self.state.queue.pop_front();
        self.base = self.base.wrapping_add(1);
        live
    }
}

fn at(queue: &VecDeque<Seen>, base: u32, number: u32) -> Option<&Seen> {
    queue.get(number.wrapping_sub(base) as usize)
}

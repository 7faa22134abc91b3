//! Which request is to be executed when: pure, deterministic, time is an argument (milliseconds since the epoch).
//!
//! A request is open from when it is read until there is an answer, then answered until the pipeline has been
//! told, then closed: its key is remembered, so that a copy of its record does nothing. All of that is in the
//! journal. Of one receiver one request is on its way at a time, the oldest first. What cannot be begun in
//! time has failed.

use super::request::Request;
use crate::backoff;
use crate::engine::Change;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Beyond so many open requests no more are read.
pub const MAX_OPEN: usize = 1000;
/// So long after its time a key is remembered.
const REMEMBER_MS: i64 = 86_400_000;
/// Keys remembered at most; beyond it the oldest is forgotten.
const MAX_CLOSED: usize = 100_000;
/// Of what is older than this nobody waits for an outcome any more.
const OLD_MS: i64 = 600_000;
/// An answer is cut to this.
const MAX_MESSAGE_BYTES: usize = 256;
/// Kind of its entries in the journal.
const KIND: &str = "action";

/// A request and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Entry {
    Open(Box<Request>),
    Answered { request: Box<Request>, done: bool, message: String },
    Closed { key: String, forget_ms: i64 },
}

/// What a try brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// It is done
    Done(String),
    /// It was refused, or went wrong
    Failed(String),
    /// The receiver is not well; it may be tried again with the same key
    Later {
        /// It asks for this pause
        wait_ms: i64,
        /// Why
        message: String,
    },
}

/// A pause of a request that was tried. Not in the journal: after a restart the first try is at once.
#[derive(Debug, Default)]
struct Pause {
    failures: u32,
    until_ms: i64,
    message: String,
}

/// The requests.
#[derive(Debug, Default)]
pub struct Engine {
    entries: BTreeMap<u64, Entry>,
    by_key: BTreeMap<String, u64>,
    open: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    pauses: BTreeMap<u64, Pause>,
    /// Receivers to which one is on its way
    busy: BTreeSet<String>,
    dirty: BTreeSet<u64>,
}

impl Engine {
    /// As the journal's entries (kind, value) say.
    pub fn restore(entries: &[(String, String)]) -> Result<Engine> {
        let mut engine = Engine::default();
        for (_, value) in entries.iter().filter(|(kind, _)| kind == KIND) {
            let (number, entry): (u64, Entry) = serde_json::from_str(value).context("an action in the journal")?;
            engine.put(number, entry);
        }
        engine.dirty.clear();
        Ok(engine)
    }

    /// Takes a request; false if it does nothing, for it is known or nobody waits for it any more.
    pub fn take(&mut self, request: Request, now_ms: i64) -> bool {
        if self.by_key.contains_key(&request.key) || now_ms.saturating_sub(request.until_ms) > OLD_MS {
            return false;
        }
        let number = self.entries.keys().next_back().map_or(0, |last| last + 1);
        self.put(number, Entry::Open(Box::new(request)));
        true
    }

    /// What is to be tried now. What is too late has failed.
    pub fn begin(&mut self, now_ms: i64) -> Vec<Request> {
        let mut begun = Vec::new();
        for number in self.open.clone() {
            let Some(Entry::Open(request)) = self.entries.get(&number) else { continue };
            let request = (**request).clone();
            let way = way(&request);
            if self.busy.contains(way) {
                continue;
            }
            let pause = self.pauses.get(&number);
            if now_ms >= request.until_ms {
                let last = pause.map(|pause| format!("; the last try: {}", pause.message)).unwrap_or_default();
                self.answer(number, false, &format!("it could not be done in time{last}"));
            } else if pause.is_none_or(|pause| pause.until_ms <= now_ms) {
                self.busy.insert(way.into());
                begun.push(request);
            }
        }
        begun
    }

    /// Hears of a try.
    pub fn tried(&mut self, request: &Request, tried: Tried, now_ms: i64) {
        self.busy.remove(way(request));
        let Some(number) = self.by_key.get(&request.key).copied().filter(|number| self.open.contains(number)) else {
            return;
        };
        match tried {
            Tried::Done(message) => self.answer(number, true, &message),
            Tried::Failed(message) => self.answer(number, false, &message),
            Tried::Later { wait_ms, message } => {
                let pause = self.pauses.entry(number).or_default();
                pause.until_ms = now_ms.saturating_add(backoff::pause_ms(pause.failures, wait_ms));
                (pause.failures, pause.message) = (pause.failures + 1, message);
            }
        }
    }

    /// Outcomes that the pipelines do not know yet: request, done, message.
    pub fn outcomes(&self) -> Vec<(Request, bool, String)> {
        let outcome = |number: &u64| match self.entries.get(number) {
            Some(Entry::Answered { request, done, message }) => Some(((**request).clone(), *done, message.clone())),
            _ => None,
        };
        self.answered.iter().filter_map(outcome).collect()
    }

    /// The pipeline knows the outcome.
    pub fn told(&mut self, key: &str, now_ms: i64) {
        let Some(number) = self.by_key.get(key).copied() else { return };
        let Some(Entry::Answered { request, .. }) = self.entries.get(&number) else { return };
        let forget_ms = request.until_ms.max(now_ms).saturating_add(REMEMBER_MS);
        self.put(number, Entry::Closed { key: key.into(), forget_ms });
        let closed = self.entries.len() - self.open.len() - self.answered.len();
        let is_old = |entry: &Entry| matches!(entry, Entry::Closed { forget_ms, .. } if *forget_ms <= now_ms);
        let mut surplus = closed.saturating_sub(MAX_CLOSED);
        let gone: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::Closed { .. }))
            .map_while(|(number, entry)| {
                let goes = is_old(entry) || surplus > 0;
                surplus = surplus.saturating_sub(1);
                goes.then_some(*number)
            })
            .collect();
        gone.into_iter().for_each(|number| self.remove(number));
    }

    /// Requests without an answer.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Is one on its way?
    pub fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> Result<Vec<Change>> {
        let dirty = std::mem::take(&mut self.dirty);
        let change = |number: u64| {
            let value = self.entries.get(&number).map(|entry| serde_json::to_string(&(number, entry))).transpose()?;
            Ok(Change { kind: KIND, key: format!("{number:020}"), value })
        };
        dirty.into_iter().map(change).collect()
    }

    fn answer(&mut self, number: u64, done: bool, message: &str) {
        let Some(Entry::Open(request)) = self.entries.get(&number) else { return };
        let message = message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)].to_string();
        self.put(number, Entry::Answered { request: request.clone(), done, message });
        self.pauses.remove(&number);
    }

    fn put(&mut self, number: u64, entry: Entry) {
        let key = match &entry {
            Entry::Open(request) | Entry::Answered { request, .. } => request.key.clone(),
            Entry::Closed { key, .. } => key.clone(),
        };
        self.open.remove(&number);
        self.answered.remove(&number);
        match &entry {
            Entry::Open(_) => _ = self.open.insert(number),
            Entry::Answered { .. } => _ = self.answered.insert(number),
            Entry::Closed { .. } => {}
        }
        self.by_key.insert(key, number);
        self.entries.insert(number, entry);
        self.dirty.insert(number);
    }

    fn remove(&mut self, number: u64) {
        if let Some(Entry::Closed { key, .. }) = self.entries.remove(&number) {
            self.by_key.remove(&key);
        }
        self.dirty.insert(number);
    }
}

/// What is taken one after the other: the requests to a receiver, and those for topics.
fn way(request: &Request) -> &str {
    request.receiver.as_deref().unwrap_or("")
}

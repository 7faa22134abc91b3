//! Bounded lists of records that come more than once.

use serde_json::Value;
use std::collections::{HashSet, VecDeque};

/// The newest `MOST` records of a sort, each id once.
#[derive(Debug, Default)]
pub struct Newcomers<const MOST: usize> {
    /// Oldest first
    pub records: VecDeque<Value>,
    /// Of those that have one
    ids: HashSet<String>,
}

impl<const MOST: usize> Newcomers<MOST> {
    /// False if it was known.
    pub fn take(&mut self, record: Value) -> bool {
        if let Some(id) = record["id"].as_str()
            && !self.ids.insert(id.into())
        {
            return false;
        }
        self.records.push_back(record);
        if self.records.len() > MOST
            && let Some(oldest) = self.records.pop_front()
            && let Some(id) = oldest["id"].as_str()
        {
            self.ids.remove(id);
        }
        true
    }
}

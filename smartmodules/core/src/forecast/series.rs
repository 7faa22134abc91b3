//! The series that are remembered, by key and by when they were last seen.
//!
//! Every row that is looked at has a number, and a series is kept under that of its newest row: the first is
//! the one unseen for longest, which makes room for a new one. Cost: O(log n) per row.

use super::model::{Plan, Series};
use crate::stage::RestoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A series and its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    key: Box<[u8]>,
    pub series: Box<Series>,
}

/// All series of a stage.
#[derive(Debug, Default)]
pub(super) struct AllSeries {
    by_seen: BTreeMap<u64, Known>,
    by_key: BTreeMap<Box<[u8]>, u64>,
}

impl AllSeries {
    pub fn len(&self) -> usize {
        self.by_seen.len()
    }

    /// The series of a key, seen now; a new one if it must be.
    pub fn see(&mut self, key: &[u8], now: u64, plan: &Plan) -> &mut Series {
        let seen = self.by_key.get_mut(key).map(|seen| std::mem::replace(seen, now));
        let known = seen.and_then(|seen| self.by_seen.remove(&seen)).unwrap_or_else(|| {
            self.by_key.insert(key.into(), now);
            Known { key: key.into(), series: Box::new(Series::new(plan)) }
        });
        &mut self.by_seen.entry(now).or_insert(known).series
    }

    /// Forgets those unseen for longest beyond `most`; says how many.
    pub fn make_room(&mut self, most: usize) -> u64 {
        let mut evicted = 0;
        while self.by_seen.len() > most.max(1)
            && let Some((_, known)) = self.by_seen.pop_first()
        {
            self.by_key.remove(&known.key);
            evicted += 1;
        }
        evicted
    }

    /// For a snapshot.
    pub fn saved(&self) -> Vec<(u64, &Known)> {
        self.by_seen.iter().map(|(seen, known)| (*seen, known)).collect()
    }

    /// From a snapshot; refuses one that could not have been written.
    pub fn restored(saved: Vec<(u64, Known)>, rows: u64, plan: &Plan) -> Result<AllSeries, RestoreError> {
        let mut all = AllSeries::default();
        for (seen, known) in saved {
            let twice = all.by_seen.contains_key(&seen) || all.by_key.contains_key(&known.key);
            if twice || seen > rows || !known.series.fits(plan) {
                return Err(RestoreError(format!("series {seen} cannot be")));
            }
            all.by_key.insert(known.key.clone(), seen);
            all.by_seen.insert(seen, known);
        }
        Ok(all)
    }
}

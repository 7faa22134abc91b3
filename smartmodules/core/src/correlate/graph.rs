//! Who calls whom: the service map of the configuration, and calls learned from spans.
//!
//! Learned calls are forgotten when they were not seen for `memory`, and the one unseen for longest beyond
//! `max_pairs`. The time of a call is kept to the hour, so a stream of spans seldom moves the index. Cost:
//! O(log n) per span; a search visits at most [`MAX_VISITED`] services. Memory: about 200 bytes and the two
//! names per call, three times.

use super::config::Dependency;
use crate::alert::text::MAX_TEXT_BYTES;
use crate::stage::RestoreError;
use std::collections::{BTreeMap, BTreeSet};

/// A search for services ends here.
const MAX_VISITED: usize = 1024;
const HOUR_US: i64 = 3_600_000_000;

type Name = Box<str>;
type Adjacent = BTreeMap<Name, BTreeSet<Name>>;

/// The graph of calls.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// By caller, of the configuration
    fixed: Adjacent,
    /// By callee, of both
    callers: Adjacent,
    /// By caller, then by callee: the hour in which the call was seen last
    learned: BTreeMap<Name, BTreeMap<Name, i64>>,
    by_hour: BTreeSet<(i64, Name, Name)>,
    bytes: u64,
}

/// Learned calls as a snapshot has them: hour, caller, callee.
pub(super) type SavedCalls = Vec<(i64, Name, Name)>;

impl Graph {
    pub fn new(dependencies: &[Dependency]) -> Graph {
        let mut graph = Graph::default();
        for edge in dependencies {
            graph.fixed.entry(edge.from.as_str().into()).or_default().insert(edge.to.as_str().into());
            graph.callers.entry(edge.to.as_str().into()).or_default().insert(edge.from.as_str().into());
        }
        graph
    }

    /// Learns a call at `time`; false if it was seen in that hour or later.
    pub fn learn(&mut self, from: &str, to: &str, time: i64) -> bool {
        let (from, to) = (cut(from), cut(to));
        if from.is_empty() || to.is_empty() || from == to {
            return false;
        }
        let hour = time.div_euclid(HOUR_US);
        let seen = self.learned.get(from).and_then(|callees| callees.get(to)).copied();
        if seen.is_some_and(|seen| seen >= hour) {
            return false;
        }
        if let Some(seen) = seen {
            self.by_hour.remove(&(seen, from.into(), to.into()));
            self.bytes = self.bytes.saturating_sub(cost(from, to));
        }
        self.insert(hour, from, to);
        true
    }

    fn insert(&mut self, hour: i64, from: &str, to: &str) {
        self.learned.entry(from.into()).or_default().insert(to.into(), hour);
        self.callers.entry(to.into()).or_default().insert(from.into());
        self.by_hour.insert((hour, from.into(), to.into()));
        self.bytes += cost(from, to);
    }

    /// Forgets calls unseen since `since`, and the oldest beyond `most` calls or `bytes`; says how many.
    pub fn forget(&mut self, since: i64, most: usize, bytes: u64) -> u64 {
        let mut forgotten = 0;
        while let Some((hour, ..)) = self.by_hour.first()
            && (*hour < since.div_euclid(HOUR_US) || self.by_hour.len() > most || self.bytes > bytes)
            && let Some((_, from, to)) = self.by_hour.pop_first()
        {
            self.bytes = self.bytes.saturating_sub(cost(&from, &to));
            self.unlink(&from, &to);
            forgotten += 1;
        }
        forgotten
    }

    fn unlink(&mut self, from: &str, to: &str) {
        if let Some(callees) = self.learned.get_mut(from) {
            callees.remove(to);
            if callees.is_empty() {
                self.learned.remove(from);
            }
        }
        let stays = self.fixed.get(from).is_some_and(|callees| callees.contains(to));
        if let (false, Some(callers)) = (stays, self.callers.get_mut(to)) {
            callers.remove(from);
            if callers.is_empty() {
                self.callers.remove(to);
            }
        }
    }

    /// Estimate of the memory of learned calls.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Learned calls.
    pub fn len(&self) -> usize {
        self.by_hour.len()
    }

    fn callees<'g>(&'g self, from: &str) -> impl Iterator<Item = &'g str> + use<'g> {
        let fixed = self.fixed.get(from).into_iter().flatten();
        let learned = self.learned.get(from).into_iter().flat_map(BTreeMap::keys);
        fixed.chain(learned).map(|name| &**name)
    }

    /// Services that `from` calls, itself or through others, and by how many calls, up to `hops`.
    pub fn called_by<'g>(&'g self, from: &'g str, hops: u32) -> BTreeMap<&'g str, u32> {
        reach(from, hops, |at| self.callees(at))
    }

    /// Services that call `to`, themselves or through others, and by how many calls.
    pub fn callers_of<'g>(&'g self, to: &'g str, hops: u32) -> BTreeMap<&'g str, u32> {
        reach(to, hops, |at| self.callers.get(at).into_iter().flatten().map(|name| &**name))
    }

    /// For a snapshot.
    pub fn saved(&self) -> Vec<&(i64, Name, Name)> {
        self.by_hour.iter().collect()
    }

    /// From a snapshot, in place of what was learned; refuses one that could not have been written, and then
    /// changes nothing.
    pub fn restore(&mut self, saved: SavedCalls, most: usize) -> Result<(), RestoreError> {
        let sound = |name: &str| !name.is_empty() && name.len() <= MAX_TEXT_BYTES;
        let distinct: BTreeSet<(&str, &str)> = saved.iter().map(|(_, from, to)| (&**from, &**to)).collect();
        let fits = distinct.len() == saved.len() && saved.len() <= most;
        if !fits || distinct.iter().any(|(from, to)| from == to || !sound(from) || !sound(to)) {
            return Err(RestoreError("calls that cannot have been learned".into()));
        }
        self.forget(i64::MAX, 0, 0);
        saved.iter().for_each(|(hour, from, to)| self.insert(*hour, from, to));
        Ok(())
    }
}

/// A search in breadth.
fn reach<'g, I: Iterator<Item = &'g str>>(
    from: &'g str,
    hops: u32,
    next_to: impl Fn(&'g str) -> I,
) -> BTreeMap<&'g str, u32> {
    let mut found = BTreeMap::new();
    let mut edge = vec![from];
    for distance in 1..=hops {
        let mut next = Vec::new();
        for to in edge.into_iter().flat_map(&next_to) {
            if to != from && found.len() < MAX_VISITED && !found.contains_key(to) {
                found.insert(to, distance);
                next.push(to);
            }
        }
        edge = next;
    }
    found
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

fn cost(from: &str, to: &str) -> u64 {
    (200 + 3 * (from.len() + to.len())) as u64
}

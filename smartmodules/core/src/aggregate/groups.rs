//! The live groups, in order of creation, and their slices.
//!
//! A group is found by the bytes of its key: one hash, one comparison, no allocation. The hash
//! table holds positions only and is rebuilt after a restore and when groups went; its order is
//! never used. A slice lives from its first event until no window can use it; a group with nothing
//! left goes with it.

use super::acc::Acc;
use super::forest::Memory;
use super::plan::{AccSpec, Plan};
use super::sample::salt_of;
use super::session::Session;
use crate::row::same;
use crate::value::OwnedValue;
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::Hasher;

/// Estimated bytes of a group without its key, of a slice or session, and of an accumulator.
const GROUP_BYTES: u64 = 160;
const SLICE_BYTES: u64 = 48;
const ACC_BYTES: u64 = 24;

/// What one group has in one slice of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Slice {
    /// Number of the slice since the epoch
    pub index: i64,
    pub count: u32,
    /// Estimated memory
    pub bytes: u32,
    pub accs: Box<[Acc]>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Group {
    /// Number of the group in the stage's life
    pub number: u64,
    pub key: Box<[u8]>,
    /// Values of the group_by fields as the first event had them
    pub values: Box<[OwnedValue]>,
    /// Ascending
    pub slices: Vec<Slice>,
    /// Live sessions per window; empty without session windows
    pub sessions: Vec<Vec<Session>>,
    /// Training rows per isolation forest; empty until one has trained
    pub memories: Vec<Memory>,
}

/// All live groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Ascending by number
    list: Vec<Group>,
    next_number: u64,
    table: HashTable<u32>,
    /// Number of groups that have a slice, by the slice's index
    index: BTreeMap<i64, u32>,
    bytes: u64,
    /// Groups that lost their last session since the last purge
    emptied: u64,
}

/// What is saved of [`Groups`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<L> {
    list: L,
    #[serde(deserialize_with = "crate::stage::count")]
    next_number: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    emptied: u64,
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(key);
    hasher.finish()
}

impl Groups {
    /// The position of a group.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        let same = |at: &u32| self.list.get(*at as usize).is_some_and(|g| same(&g.key, key));
        self.table.find(hash(key), same).map(|at| *at as usize)
    }

    /// Adds a group that is not there yet; returns its position.
    pub fn create(&mut self, key: &[u8], values: Box<[OwnedValue]>) -> usize {
        let at = self.list.len();
        let group = Group {
            number: self.next_number,
            key: key.into(),
            values,
            slices: Vec::new(),
            sessions: Vec::new(),
            memories: Vec::new(),
        };
        self.next_number += 1;
        self.bytes += group_bytes(&group);
        self.list.push(group);
        let list = &self.list;
        let rehash = |at: &u32| list.get(*at as usize).map_or(0, |g| hash(&g.key));
        self.table.insert_unique(hash(key), at as u32, rehash);
        at
    }

    /// The group at a position.
    pub fn get_mut(&mut self, at: usize) -> Option<&mut Group> {
        self.list.get_mut(at)
    }

    /// The group at a position.
    pub fn get(&self, at: usize) -> Option<&Group> {
        self.list.get(at)
    }

    /// The first position of a number at or above `number`.
    pub fn position_from(&self, number: u64) -> usize {
        self.list.partition_point(|g| g.number < number)
    }

    /// The position of exactly this number.
    pub fn position(&self, number: u64) -> Option<usize> {
        let at = self.position_from(number);
        self.list.get(at).filter(|g| g.number == number).map(|_| at)
    }

    /// Number of live groups.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Estimated memory of all groups, slices and sessions.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// More memory is used.
    pub fn grew(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Less memory is used.
    pub fn shrank(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The group's slice, made if it is not there; true if no group had it before.
    pub fn slice(&mut self, at: usize, index: i64, accs: &[AccSpec]) -> Option<(&mut Slice, bool)> {
        let group = self.list.get_mut(at)?;
        let newest = group.slices.len().checked_sub(1);
        let place = match newest.and_then(|n| group.slices.get(n)) {
            Some(slice) if slice.index == index => Ok(group.slices.len() - 1),
            Some(slice) if slice.index < index => Err(group.slices.len()),
            _ => group.slices.binary_search_by_key(&index, |s| s.index),
        };
        match place {
            Ok(place) => group.slices.get_mut(place).map(|s| (s, false)),
            Err(place) => {
                let salt = salt_of(&group.key, index);
                let accs: Box<[Acc]> = accs.iter().map(|spec| Acc::new(&spec.kind, salt)).collect();
                let bytes = part_bytes(&accs);
                self.bytes += bytes;
                group.slices.insert(place, Slice { index, count: 0, bytes: bytes as u32, accs });
                let groups = self.index.entry(index).or_insert(0);
                *groups += 1;
                let first = *groups == 1;
                group.slices.get_mut(place).map(|s| (s, first))
            }
        }
    }

    /// The first slice with data at or after an index.
    pub fn first_slice_from(&self, index: i64) -> Option<i64> {
        self.index.range(index..).next().map(|(i, _)| *i)
    }

    /// A session of the group is no more, and so is the memory it took.
    pub fn session_went(&mut self, at: usize, bytes: u64) {
        self.shrank(bytes);
        if self.list.get(at).is_some_and(|g| g.is_empty()) {
            self.emptied += 1;
        }
    }

    /// Drops slices below `index`, then the groups for which `keep` does not speak and which have
    /// neither slice nor session. True if groups went. Looks at all groups, so it waits until there
    /// are such slices, or an eighth of the groups has lost its last session.
    pub fn purge(&mut self, index: i64, keep: impl Fn(&Group) -> bool) -> bool {
        let before = self.list.len();
        let old = self.index.range(..index).next().is_some();
        if !old && (self.emptied == 0 || self.emptied.saturating_mul(8) < before as u64) {
            return false;
        }
        let mut freed = 0;
        self.emptied = 0;
        self.list.retain_mut(|group| {
            if old {
                let count = group.slices.partition_point(|s| s.index < index);
                freed += group.slices.drain(..count).map(|s| u64::from(s.bytes)).sum::<u64>();
            }
            let live = !group.is_empty() || keep(group);
            if !live {
                freed += group_bytes(group) + group.memories.iter().map(Memory::bytes).sum::<u64>();
            }
            live
        });
        self.index = self.index.split_off(&index);
        self.bytes = self.bytes.saturating_sub(freed);
        let gone = self.list.len() < before;
        if gone {
            self.rebuild_table();
        }
        gone
    }

    fn rebuild_table(&mut self) {
        let list = &self.list;
        let rehash = |at: &u32| list.get(*at as usize).map_or(0, |g| hash(&g.key));
        self.table.clear();
        self.table.reserve(list.len(), rehash);
        for (at, group) in list.iter().enumerate() {
            self.table.insert_unique(hash(&group.key), at as u32, rehash);
        }
    }

    /// What a snapshot holds.
    pub fn saved(&self) -> Saved<&Vec<Group>> {
        Saved { list: &self.list, next_number: self.next_number, emptied: self.emptied }
    }

    /// From a snapshot; None if it is not one of this plan.
    pub fn restored(saved: Saved<Vec<Group>>, plan: &Plan) -> Option<Groups> {
        let Saved { list, next_number, emptied } = saved;
        let mut groups = Groups { list, next_number, emptied, ..Groups::default() };
        let (forests, accs, windows) = (plan.forests.len(), plan.accs.len(), plan.windows.len());
        let ascending = groups.list.is_sorted_by(|a, b| a.number < b.number);
        let fits = |g: &Group| {
            (g.memories.is_empty() || g.memories.len() == forests)
                && (g.sessions.is_empty() || g.sessions.len() == windows)
                && g.values.len() == plan.group_by.len()
                && g.number < groups.next_number
                && g.slices.is_sorted_by(|a, b| a.index < b.index)
                && g.slices.iter().all(|s| s.accs.len() == accs)
        };
        if !ascending || !groups.list.iter().all(fits) {
            return None;
        }
        for group in &groups.list {
            groups.bytes += group_bytes(group) + group.memories.iter().map(Memory::bytes).sum::<u64>();
            groups.bytes += group.slices.iter().map(|s| u64::from(s.bytes)).sum::<u64>();
            groups.bytes += group.sessions.iter().flatten().map(|s| s.bytes).sum::<u64>();
            for slice in &group.slices {
                *groups.index.entry(slice.index).or_insert(0) += 1;
            }
        }
        groups.rebuild_table();
        Some(groups)
    }
}

fn group_bytes(group: &Group) -> u64 {
    // The key's bytes are there once more, in the values.
    GROUP_BYTES + 2 * group.key.len() as u64
}

/// Estimated memory of a new slice or session.
pub(super) fn part_bytes(accs: &[Acc]) -> u64 {
    SLICE_BYTES + accs.iter().map(|a| ACC_BYTES + a.bytes()).sum::<u64>()
}

impl Group {
    /// Neither slice nor session?
    fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.sessions.iter().all(Vec::is_empty)
    }
}

impl Slice {
    /// Takes note of growth.
    pub fn grew(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes.min(u64::from(u32::MAX)) as u32);
    }
}

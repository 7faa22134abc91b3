//! Snapshots on a state topic: content-defined chunks, of which only new ones are written.
//!
//! A snapshot is a manifest record that lists the chunks of each stage's state by offset and hash.
//! States are cut where their content says so (FastCDC: Xia et al., USENIX ATC 2016), so what did not
//! change gives the same chunks again, wherever it has moved to, and is not written a second time.
//! When the chunks of a snapshot lie too far apart, all of them are written anew: reading one
//! snapshot is one pass over at most [`SPREAD`] times its size, and a state partition that has the
//! [`Room`] it says never loses a chunk that is needed.

use super::control::{Holder, SkipReason, SnapshotRef};
use anyhow::{Context, Result, bail, ensure};
use perfstream_log::{LogRecord, NewRecord, Read, Topics};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Bytes of a chunk: smallest, usual, largest.
const CHUNK_BYTES: (u32, u32, u32) = (4 << 10, 16 << 10, 64 << 10);
/// The chunks of a snapshot may lie this many times its size apart.
const SPREAD: u64 = 4;
/// Below this a snapshot is not written anew for being spread.
const MIN_SPREAD_BYTES: u64 = 16 << 20;
/// Chunks appended at once.
const APPEND_CHUNKS: usize = 64;
/// A record below the end of the partition must come within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a state partition holds; `deploy` makes it so.
pub const PARTITION_BYTES: u64 = 4 << 30;

/// How much a state partition holds before its oldest records go, and how many snapshots are to stay in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that it holds
    pub partition_bytes: u64,
    /// Snapshots that are to stay
    pub retain: u32,
}

impl Room {
    /// All but what manifests, the records' own fields and the segment that goes as a whole may take.
    fn usable_bytes(self) -> u64 {
        self.partition_bytes / 8 * 7
    }

    /// How many snapshots of `state_bytes` stay, 1 to `retain`, beside the one that is written next.
    pub fn kept(self, state_bytes: u64) -> u32 {
        let fit = (self.usable_bytes() / state_bytes.max(1)).saturating_sub(2);
        fit.clamp(1, u64::from(self.retain.max(1))) as u32
    }

    /// How far apart the chunks of a snapshot may lie, so that it is whole until [`kept`](Room::kept) newer ones
    /// are written.
    fn spread_bytes(self, state_bytes: u64) -> u64 {
        let newer = state_bytes.saturating_mul(u64::from(self.kept(state_bytes)) + 1);
        let wanted = state_bytes.saturating_mul(SPREAD).max(MIN_SPREAD_BYTES);
        wanted.min(self.usable_bytes().saturating_sub(newer))
    }

    /// Is one snapshot whole while the next is written?
    pub fn holds(self, state_bytes: u64) -> bool {
        state_bytes.saturating_mul(2) <= self.usable_bytes()
    }
}

/// The states of a chain between two calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct States {
    /// Of each stage, in order
    pub stages: Vec<Vec<u8>>,
    /// Offset of the first input record that is not in them
    pub next: i64,
    /// Offset of the first control entry that is not in them
    pub control: i64,
    /// Control offset of the configuration
    pub cut: i64,
    /// Events that passed the whole chain
    pub events_out: u64,
    /// Records written, by the kind's word
    pub written: BTreeMap<String, u64>,
    /// Input records left out
    pub skipped: BTreeMap<SkipReason, u64>,
}

impl States {
    /// Size of the stages' states.
    pub fn bytes(&self) -> u64 {
        self.stages.iter().map(|s| s.len() as u64).sum()
    }
}

/// What a manifest record holds, JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    holder: Holder,
    next: i64,
    control: i64,
    cut: i64,
    events_out: u64,
    written: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    skipped: BTreeMap<SkipReason, u64>,
    /// Bytes that the partition's writers have written before this record, this snapshot's chunks included
    total_bytes: u64,
    stages: Vec<Vec<Chunk>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Chunk {
    at: i64,
    hash: String,
    /// The manifest's `total_bytes` when it was written
    total_bytes: u64,
    bytes: u32,
}

/// A snapshot as it was read.
#[derive(Debug)]
pub struct Loaded {
    /// The states
    pub states: States,
    at: SnapshotRef,
    manifest: Manifest,
    manifest_bytes: u64,
}

impl Loaded {
    /// Who held the partition when it was taken.
    pub fn holder(&self) -> &Holder {
        &self.manifest.holder
    }
}

/// The snapshots of one partition.
#[derive(Debug)]
pub struct Snapshots {
    topic: String,
    partition: u32,
    holder: Holder,
    room: Room,
    newest: Option<Newest>,
}

/// The snapshot that the next one builds on.
#[derive(Debug)]
struct Newest {
    manifest: Manifest,
    /// Bytes that were written in all
    total_bytes: u64,
}

impl Snapshots {
    /// None yet.
    pub fn new(topic: &str, partition: u32, holder: Holder, room: Room) -> Snapshots {
        Snapshots { topic: topic.into(), partition, holder, room, newest: None }
    }

    /// Writes a snapshot.
    pub fn save(&mut self, log: &mut impl Topics, states: &States) -> Result<SnapshotRef> {
        let state_bytes = states.bytes();
        let (mut known, mut total_bytes) = (BTreeMap::new(), 0);
        if let Some(newest) = &self.newest {
            total_bytes = newest.total_bytes;
            let chunks = || newest.manifest.stages.iter().flatten();
            let oldest = chunks().map(|c| c.total_bytes - u64::from(c.bytes)).min().unwrap_or(total_bytes);
            if total_bytes - oldest <= self.room.spread_bytes(state_bytes) {
                known = chunks().map(|c| (c.hash.clone(), c.clone())).collect();
            }
        }
        let mut stages = Vec::with_capacity(states.stages.len());
        for state in &states.stages {
            stages.push(self.chunks(log, state, &mut known, &mut total_bytes)?);
        }
        fail::fail_point!("mid_snapshot");
        let manifest = Manifest {
            holder: self.holder.clone(),
            next: states.next,
            control: states.control,
            cut: states.cut,
            events_out: states.events_out,
            written: states.written.clone(),
            skipped: states.skipped.clone(),
            total_bytes,
            stages,
        };
        let value = serde_json::to_vec(&manifest)?;
        let hash = hash(&value);
        let at = self.append(log, b"manifest", &[&value])?;
        self.newest = Some(Newest { total_bytes: total_bytes + value.len() as u64, manifest });
        Ok(SnapshotRef { at, hash, next: states.next, control: states.control })
    }

    /// The chunks of a state; those that are not known are written.
    fn chunks(
        &self,
        log: &mut impl Topics,
        state: &[u8],
        known: &mut BTreeMap<String, Chunk>,
        total_bytes: &mut u64,
    ) -> Result<Vec<Chunk>> {
        let (min, usual, max) = CHUNK_BYTES;
        let cuts = fastcdc::v2020::FastCDC::new(state, min, usual, max);
        let pieces: Vec<(&[u8], String)> =
            cuts.map(|cut| &state[cut.offset..cut.offset + cut.length]).map(|piece| (piece, hash(piece))).collect();
        let mut seen = BTreeSet::new();
        let new: Vec<(&[u8], &String)> = pieces
            .iter()
            .filter(|(_, hash)| !known.contains_key(hash) && seen.insert(hash))
            .map(|(piece, hash)| (*piece, hash))
            .collect();
        for some in new.chunks(APPEND_CHUNKS) {
            let values: Vec<&[u8]> = some.iter().map(|(piece, _)| *piece).collect();
            let first = self.append(log, b"chunk", &values)?;
            for (n, (piece, hash)) in some.iter().enumerate() {
                *total_bytes += piece.len() as u64;
                let chunk = Chunk {
                    at: first + n as i64,
                    hash: (*hash).clone(),
                    total_bytes: *total_bytes,
                    bytes: piece.len() as u32,
                };
                known.insert((*hash).clone(), chunk);
            }
        }
        pieces.iter().map(|(_, hash)| known.get(hash).cloned().context("a chunk was just written")).collect()
    }

    /// Appends records that must stand side by side; the offset of the first.
    fn append(&self, log: &mut impl Topics, key: &[u8], values: &[&[u8]]) -> Result<i64> {
        let record = |value: &&[u8]| NewRecord { log_time_ms: 0, key: Some(key.to_vec()), value: value.to_vec() };
        let records: Vec<NewRecord> = values.iter().map(record).collect();
        let range = log.append(&self.topic, self.partition, &records)?;
        // A predecessor that is not yet dead may write here too; its records in between are no harm
        // if the chunks' places are known, which they are not then.
        ensure!(
            range.end - range.start == values.len() as i64,
            "another worker writes to {}/{} at the same time",
            self.topic,
            self.partition
        );
        Ok(range.start)
    }

    /// Reads a snapshot whole; any changed byte is an error.
    pub fn load(&self, log: &mut impl Topics, at: &SnapshotRef) -> Result<Loaded> {
        let record = self.records(log, at.at, at.at + 1, &mut |_| true)?.pop().context("the record is gone")?;
        ensure!(hash(&record.value) == at.hash, "the checksum of its manifest does not match");
        let manifest: Manifest = serde_json::from_slice(&record.value).context("it is not a manifest")?;
        let states = self.states(log, &manifest)?;
        Ok(Loaded { states, at: at.clone(), manifest, manifest_bytes: record.value.len() as u64 })
    }

    /// The next snapshots build on this one.
    pub fn build_on(&mut self, log: &mut impl Topics, loaded: Loaded) -> Result<()> {
        // What stands behind it was left by workers that died: it takes room, as much as it may be.
        let left = (log.extent(&self.topic, self.partition)?.end - loaded.at.at - 1).max(0) as u64;
        let total_bytes = loaded.manifest.total_bytes + loaded.manifest_bytes + left * u64::from(CHUNK_BYTES.2);
        self.newest = Some(Newest { manifest: loaded.manifest, total_bytes });
        Ok(())
    }

    /// All chunks in one pass.
    fn states(&self, log: &mut impl Topics, manifest: &Manifest) -> Result<States> {
        let wanted: BTreeMap<i64, &str> = manifest.stages.iter().flatten().map(|c| (c.at, c.hash.as_str())).collect();
        let mut chunks: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        if let (Some(first), Some(last)) = (wanted.keys().next(), wanted.keys().next_back()) {
            for record in self.records(log, *first, *last + 1, &mut |offset| wanted.contains_key(&offset))? {
                ensure!(
                    wanted.get(&record.offset).is_some_and(|h| *h == hash(&record.value)),
                    "the chunk at {} is damaged",
                    record.offset
                );
                chunks.insert(record.offset, record.value);
            }
        }
        let mut stages = Vec::new();
        for list in &manifest.stages {
            let mut state = Vec::with_capacity(list.iter().map(|c| c.bytes as usize).sum());
            for chunk in list {
                state.extend_from_slice(
                    chunks.get(&chunk.at).with_context(|| format!("the chunk at {} is gone", chunk.at))?,
                );
            }
            stages.push(state);
        }
        Ok(States {
            stages,
            next: manifest.next,
            control: manifest.control,
            cut: manifest.cut,
            events_out: manifest.events_out,
            written: manifest.written.clone(),
            skipped: manifest.skipped.clone(),
        })
    }

    fn records(
        &self,
        log: &mut impl Topics,
        from: i64,
        to: i64,
        wanted: &mut dyn FnMut(i64) -> bool,
    ) -> Result<Vec<LogRecord>> {
        let (mut at, mut found) = (from, Vec::new());
        while at < to {
            match log.read(&self.topic, self.partition, at, 8 << 20, PATIENCE)? {
                Read::Gap(range) => bail!("records {} to {} are gone", range.start, range.end),
                Read::Records(records) if records.is_empty() => bail!("record {at} did not come"),
                Read::Records(records) => {
                    at = records.last().map_or(to, |r| r.offset + 1);
                    found.extend(records.into_iter().filter(|r| r.offset < to && wanted(r.offset)));
                }
            }
        }
        Ok(found)
    }
}

/// 128 bits of BLAKE3, hexadecimal.
fn hash(bytes: &[u8]) -> String {
    perfstream_core::id::id(&[bytes])
}

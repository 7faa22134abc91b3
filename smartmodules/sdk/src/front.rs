//! What stages write that an SPU runs (`placement: spu-prefilter`): one record for each batch of the
//! log, whatever becomes of it. A chain that is silent makes the SPU skip what follows, and the
//! offsets and times that a consumer sees are not those of the source; so both stand inside, in the
//! [`Progress`], and the rows behind it carry their own.
//!
//! Value: `MAGIC`, the length of the progress (u32, little-endian), the progress in postcard
//! encoding, then the packed rows (`perfstream_core::row`), or nothing where none is left.

use crate::wire::{RawRecord, RecordWriter};
use perfstream_core::decode::DecodeCounts;
use perfstream_core::row::Output;
use perfstream_core::stage;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// First bytes of such a value; no UTF-8, and no packed batch.
const MAGIC: [u8; 4] = [0xFF, b'P', b'S', b'>'];

/// A batch that becomes more rows than this, bytes, is not sent but read by the worker: the SPU loses
/// an output that is larger than an answer, and answers are held in memory.
pub const MAX_ROWS_BYTES: usize = 16 << 20;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Offset of its first record
    pub first: i64,
    /// Offset behind its last record
    pub next: i64,
    /// Its newest log time, microseconds since the epoch
    pub log_time: i64,
    /// The newest time that the clock has to be compared with: `Decoder::take_newest`
    pub newest: i64,
    /// What each stage counted, in order. None: the rows could not be made or are too many, and whoever
    /// wants them must read the batch itself
    pub stages: Vec<Tally>,
}

/// What a stage counted in one batch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// By its decoder
    pub decode: DecodeCounts,
    /// By the stage, in the order of its counters
    pub counters: Vec<u64>,
}

impl Tally {
    /// What has come since `before`.
    pub fn since(self, before: &Tally) -> Tally {
        let decode = DecodeCounts {
            records: self.decode.records - before.decode.records,
            dead: self.decode.dead - before.decode.dead,
        };
        let counters = self.counters.iter().zip(&before.counters).map(|(now, then)| now - then).collect();
        Tally { decode, counters }
    }

    /// Adds another batch's.
    pub fn add(&mut self, more: &Tally) {
        self.decode.records += more.decode.records;
        self.decode.dead += more.decode.dead;
        self.counters.resize(self.counters.len().max(more.counters.len()), 0);
        self.counters.iter_mut().zip(&more.counters).for_each(|(sum, n)| *sum += n);
    }
}

impl Progress {
    /// Writes a record with this in front of `rows`.
    pub fn write(&self, rows: &Output, writer: &mut RecordWriter) {
        let head = stage::save(self);
        let rows_len = if rows.is_empty() { 0 } else { rows.packed_len() };
        let record = RawRecord { offset_delta: 0, timestamp_delta_ms: 0, key: None, value: &[] };
        writer.push_with(&record, MAGIC.len() + 4 + head.len() + rows_len, |dest| {
            dest.extend_from_slice(&MAGIC);
            dest.extend_from_slice(&(head.len() as u32).to_le_bytes());
            dest.extend_from_slice(&head);
            if rows_len > 0 {
                rows.pack_into(dest);
            }
        });
    }

    /// The progress of a value and its packed rows; None if it is no such value.
    pub fn read(value: &[u8]) -> Option<(Progress, &[u8])> {
        let rest = value.strip_prefix(&MAGIC)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (head, rows) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let progress: Progress = stage::load(head).ok()?;
        (progress.first < progress.next).then_some((progress, rows))
    }

    /// The offsets that a value is about.
    pub fn range(value: &[u8]) -> Option<Range<i64>> {
        Progress::read(value).map(|(progress, _)| progress.first..progress.next)
    }
}

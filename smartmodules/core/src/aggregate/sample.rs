//! Samples of events for isolation forests: a reservoir (Vitter 1985, algorithm R) per slice.
//!
//! Which rows it keeps depends on the seed, the group's key, the slice and the events alone. Cost:
//! one random number per event, and a copy of the features if it is kept.

use super::acc::{fits, value_bytes};
use crate::math::random::SplitMix64;
use crate::row::{Row, Slot};
use crate::value::OwnedValue;
use serde::{Deserialize, Serialize};

/// Rows that a slice keeps for an isolation forest.
pub(super) const ROWS: usize = 64;

/// A reservoir of feature rows, row-major.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    salt: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    seen: u64,
    pub cells: Vec<OwnedValue>,
}

impl Sample {
    /// An empty one; `salt` decides what it keeps.
    pub fn new(salt: u64) -> Sample {
        Sample { salt, seen: 0, cells: Vec::new() }
    }

    /// Takes the features of an event. Returns by how many bytes it grew.
    pub fn add(&mut self, features: &[Slot], row: &Row<'_>, room: bool) -> u64 {
        let Some(place) = self.place(features.len(), room) else {
            return 0;
        };
        let mut bytes = 0;
        for (at, slot) in features.iter().enumerate() {
            let value = OwnedValue::from(row.get(*slot));
            let value = if fits(&value) { value } else { OwnedValue::Null };
            bytes += self.put(place, at, features.len(), value);
        }
        bytes
    }

    /// The row that the next one takes the place of, if it is kept at all.
    fn place(&mut self, width: usize, room: bool) -> Option<usize> {
        self.seen += 1;
        let rows = self.cells.len() / width.max(1);
        if rows < ROWS && room {
            return Some(rows);
        }
        let mut random = SplitMix64::new(self.salt.wrapping_add(self.seen.wrapping_mul(0xD134_2543_DE82_EF95)));
        let place = random.below(self.seen) as usize;
        (place < rows).then_some(place)
    }

    fn put(&mut self, row: usize, at: usize, width: usize, value: OwnedValue) -> u64 {
        let bytes = value_bytes(&value);
        match self.cells.get_mut(row * width + at) {
            Some(cell) => {
                let before = value_bytes(cell);
                *cell = value;
                bytes.saturating_sub(before)
            }
            None => {
                self.cells.push(value);
                bytes
            }
        }
    }

    /// Takes the rows of another sample one after the other.
    pub fn merge(&mut self, other: Sample, width: usize) {
        let kept = (other.cells.len() / width.max(1)) as u64;
        let mut cells = other.cells.into_iter();
        for _ in 0..kept {
            let place = self.place(width, true);
            for at in 0..width {
                let cell = cells.next().unwrap_or_default();
                if let Some(place) = place {
                    self.put(place, at, width, cell);
                }
            }
        }
        self.seen += other.seen.saturating_sub(kept);
    }
}

/// FNV-1a: a hash that is the same on every machine.
pub(super) fn salt_of(key: &[u8], number: i64) -> u64 {
    let bytes = key.iter().copied().chain(number.to_le_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

//! Rows and the packed batch: how records travel between stages.
//!
//! A packed batch is one record value: `MAGIC`, the length of the rows (u32), the rows, then the
//! table of field names. Little-endian throughout. The magic is not valid UTF-8, so no JSON, CSV
//! or other text is ever taken for a batch; a forged or torn one reads as [`Corrupt`], never as a
//! panic. Row: `len u32 | kind u8 | offset i64 | log_time i64 | event_time i64 | key len u32
//! (MAX = none) | key | fields`; field: `name u32 | tag u8 | payload`.
//!
//! The name table of an output starts as the input's, so a row that a stage passes through is one
//! memory copy.

mod batch;
mod kind;
mod output;

pub use batch::{Batch, FieldIter, Fields, Row, Rows, Slot};
pub use kind::Kind;
pub use output::{Output, RowWriter};
pub(crate) use output::{append, same};

use crate::clock::NEVER;

/// First bytes of a packed batch.
pub const MAGIC: [u8; 4] = [0xFF, b'P', b'S', 0x01];

/// A stage stops emitting in one call at about this many bytes; the host drains the rest.
pub const OUTPUT_LIMIT_BYTES: usize = 3 << 20;

const HEADER: usize = 1 + 8 + 8 + 8 + 4;
const NO_KEY: u32 = u32::MAX;

/// What every row carries beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is
    pub kind: Kind,
    /// Offset of the input record it is, or that triggered it
    pub offset: i64,
    /// Log time of that record, microseconds since the epoch
    pub log_time: i64,
    /// Event time in microseconds since the epoch; [`NEVER`] if it has none
    pub event_time: i64,
}

/// The bytes are not a packed batch of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

/// A meta for tests and for rows that no record triggered.
impl Default for Meta {
    fn default() -> Self {
        Meta { kind: Kind::Event, offset: -1, log_time: 0, event_time: NEVER }
    }
}

//! Control calls: what a host asks of a stage beside processing records.

use crate::front::Tally;
use perfstream_core::Tick;
use serde::{Deserialize, Serialize};

/// Base offset that marks a control call. No log has it, so the same bytes in a log are data.
pub const CONTROL_BASE_OFFSET: i64 = i64::MIN;

/// A record with this value behind the output says that more waits: call [`Call::Drain`].
pub const MORE: &[u8] = &[0xFF, b'P', b'S', b'+'];

/// Chunks of a snapshot are at most this long.
pub const STATE_CHUNK_BYTES: usize = 512 << 10;

/// One control call: the value of the only record of the call, in postcard encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Time passes
    Tick(Tick),
    /// Emit what waits
    Drain,
    /// The snapshot's chunk number n; chunk 0 takes the snapshot. An empty reply is the end.
    State(u32),
    /// A chunk of a snapshot; the last one restores. Replies with an empty record, or an error text.
    Restore {
        /// Bytes of the chunk
        chunk: Vec<u8>,
        /// No chunk follows
        last: bool,
    },
    /// A reference or feedback record: JSON of [`perfstream_core::stage::Control`]
    Control(String),
    /// Replies with the counters as a JSON object
    Counters,
    /// The host's clock, microseconds since the epoch, while input still waits: records further in
    /// the future are not believed. It closes nothing, as the input that waits is older.
    Clock(i64),
    /// The last chunk of a snapshot that was taken with another configuration: takes from it what
    /// still has a meaning. Replies as `Restore`.
    Adopt {
        /// Bytes of the chunk
        chunk: Vec<u8>,
        /// The configuration it was taken with, as stood in `config`
        config: String,
    },
    /// Would this stage have made the same of a batch as one in an SPU did? Of the first stage, which
    /// decodes, with [`crate::front::Progress::newest`]. Replies `yes` or `no`.
    Agree(Option<i64>),
    /// Counts what the stage in the SPU counted
    Count(Tally),
}

impl Call {
    /// The record value.
    pub fn to_bytes(&self) -> Vec<u8> {
        perfstream_core::stage::save(self)
    }
}

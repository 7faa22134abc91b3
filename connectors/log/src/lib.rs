//! The logs that perfstream reads and writes.
//!
//! - [`embedded`]: `--data DIR`, one SQLite file.
//! - [`spill`]: a bounded copy on disk of what a worker has not come to yet.
//! - [`cluster`]: a Fluvio cluster, through one reader and one writer. Nothing else in perfstream
//!   reads or writes a topic: Fluvio's own consumer loses records, its own producer doubles them.
//! - [`Place`]: either of them.

pub mod cluster;
pub mod embedded;
mod partition;
mod place;
pub mod spill;
mod spu;
#[cfg(feature = "testing")]
pub mod testing;
mod topics;

pub use partition::partition_of_key;
pub use place::Place;
pub use spu::{SpuChain, SpuModule, SpuOutput, SpuRead};
pub use topics::{Read, Topics, inbox, read_range};

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Offset in its partition
    pub offset: i64,
    /// Log time, milliseconds since the epoch; [`NO_LOG_TIME`] if it has none
    pub log_time_ms: i64,
    /// Key
    pub key: Option<Vec<u8>>,
    /// Value
    pub value: Vec<u8>,
}

/// The log time of records from files: event time stands for it (Fluvio's "no timestamp").
pub const NO_LOG_TIME: i64 = -1;

/// A record to be appended; the log gives it its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Log time, milliseconds since the epoch; on a cluster the client's clock stands instead
    pub log_time_ms: i64,
    /// Key
    pub key: Option<Vec<u8>>,
    /// Value
    pub value: Vec<u8>,
}

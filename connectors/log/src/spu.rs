//! SmartModules that an SPU runs over a partition while it is read.
//!
//! The modules must write one record for each batch of the log, also where nothing is left of it, that
//! says which offsets it is about: all that Fluvio tells of a SmartModule's output is wrong or missing
//! (offset, time, end of the input), and a silent chain makes it skip records.

use std::ops::Range;

/// Modules in the order in which they run.
#[derive(Debug, Clone)]
pub struct SpuChain {
    /// At least one
    pub modules: Vec<SpuModule>,
    /// Size of one answer of the SPU; no output may be larger
    pub max_bytes: i32,
    /// The offsets that an output is about; None if it is none of these modules'
    pub range: fn(&[u8]) -> Option<Range<i64>>,
}

/// A SmartModule on the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpuModule {
    /// `group/name@version`
    pub uses: String,
    /// BLAKE3 of its WASM, hexadecimal; the cluster's must be the same
    pub hash: String,
    /// Key and value
    pub params: Vec<(String, String)>,
}

/// What became of a batch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpuOutput {
    /// The offsets that are next. Where reading began inside a batch, `value` is about ones before them
    /// too
    pub range: Range<i64>,
    /// What the modules wrote
    pub value: Vec<u8>,
}

/// What a read through an SPU's modules gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpuRead {
    /// The next outputs, without a hole; empty if none came in time
    Outputs(Vec<SpuOutput>),
    /// The log no longer has these
    Gap(Range<i64>),
    /// The SPU does not do it, and why: the records must be read themselves
    Refused(String),
}

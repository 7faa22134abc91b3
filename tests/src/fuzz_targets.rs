//! What the fuzzers run: one function of bytes per target; a panic is a find.
//!
//! The fuzz binaries (`tests/fuzz`) call these, and so does `tests/fuzz_corpus.rs` with every
//! input kept in `tests/fuzz/corpus`. So nothing here may depend on the fuzzer, on `crate::` paths
//! or on more than `core`, `sdk`, `perfstream::check` and the decoders of the collector and the sink.

mod chain;
mod collector;
mod configs;
mod expression;
mod machine;
mod packed_batch;
mod pipeline_yaml;
mod record_decode;
mod sink;
mod snapshot_decode;

pub use chain::chain;
pub use collector::{
    collect_events, collect_faro, collect_gzip, collect_otlp, collect_remote_write, collect_reports, collect_vitals,
};
pub use expression::expression;
pub use packed_batch::packed_batch;
pub use pipeline_yaml::pipeline_yaml;
pub use record_decode::record_decode;
pub use sink::{sink_alert, sink_words};
pub use snapshot_decode::snapshot_decode;

/// A target: bytes of any kind; panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by name: that of its binary and of its corpus folder.
pub const TARGETS: [(&str, Target); 15] = [
    ("record_decode", record_decode),
    ("expression", expression),
    ("pipeline_yaml", pipeline_yaml),
    ("snapshot_decode", snapshot_decode),
    ("packed_batch", packed_batch),
    ("chain", chain),
    ("collect_vitals", collect_vitals),
    ("collect_otlp", collect_otlp),
    ("collect_remote_write", collect_remote_write),
    ("collect_faro", collect_faro),
    ("collect_reports", collect_reports),
    ("collect_events", collect_events),
    ("collect_gzip", collect_gzip),
    ("sink_alert", sink_alert),
    ("sink_words", sink_words),
];

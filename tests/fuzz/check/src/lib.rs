//! `perfstream check` and nothing else of the crate `perfstream`, from the same source files: the
//! runner, Fluvio's engine and its compiler are no part of what is fuzzed, and take long to build.

#[path = "../../../../connectors/pipeline/src"]
mod source_files {
    pub mod check;
    pub mod detectors;
    pub mod diagnostic;
    pub mod frameworks;
    pub mod inlined;
    pub mod model;
    pub mod registry;
    pub mod report;
    pub mod source;
    pub mod tables;
    pub mod thresholds;
    pub mod yaml;
}
pub use source_files::*;

//! perfstream as a library: pipeline files in, checked; chains run.
//!
//! `main.rs` and `cli.rs` are the command around it.

pub mod analysis;
pub mod analyze;
pub mod chain;
pub mod check;
pub mod connector;
pub mod deploy;
pub mod detect;
pub mod detectors;
pub mod diagnostic;
pub mod docs;
pub mod exact;
pub mod explain;
pub mod frameworks;
pub mod generate;
pub mod host;
pub mod inlined;
pub mod model;
pub mod modules;
pub mod output;
pub mod params;
pub mod partition;
pub mod plan;
pub mod process;
pub mod registry;
pub mod report;
pub mod run;
pub mod schema;
pub mod source;
pub mod summary;
pub mod tables;
pub mod testing;
pub mod thresholds;
pub mod topics;
pub mod transforms;
pub mod yaml;

//! The targets of `tests/src/fuzz_targets.rs`, compiled with coverage.
//!
//! They are taken in as source, so that this build needs neither the runner nor Fluvio's engine.

#[path = "../../src"]
mod shared {
    pub mod fuzz_targets;
}
pub use shared::fuzz_targets;

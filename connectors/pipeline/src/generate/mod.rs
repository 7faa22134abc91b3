//! Seeded streams of real-user events with labelled faults, for demos, tests and backtests.
//!
//! What a healthy site looks like is in `model.rs`, what can go wrong in `faults.rs`. The same
//! options give the same bytes on every machine: the generator is ChaCha8, logarithms and
//! exponentials come from `libm` compiled from Rust, and values are rounded to 0.1 ms (CLS:
//! 0.0001). A fault changes only what it is about: all other events are those of the run without
//! it. One visit is one session and gives one value (CLS: its layout shifts).
//!
//! Lines stand in arrival order. An event arrives 0.1 to 20 s after it happened, most within 3 s.
//! Cost: about 2 µs per event on one core; memory holds only what has happened and not arrived.

mod args;
mod faults;
mod line;
mod model;
mod options;
mod random;
mod shifts;
mod stream;
#[cfg(test)]
mod tests;

pub use args::GenerateArgs;
pub use faults::{FaultKind, FaultSpec, Label};
pub use model::Metric;
pub use options::{GenerateOptions, Summary};
pub use stream::generate;

//! Statistics of the stages: pure arithmetic, no state of their own beyond the structs here.
//!
//! Deterministic: WASM gives the same bits as WASM, native differs only where `ln`, `exp` and the
//! like come in (each file says where), by less than 1e-9. Saved and restored bit-exact.

pub(crate) mod binomial;
pub mod calibrated;
pub mod encoder;
pub mod forest;
pub mod percentile;
pub mod random;
pub mod regression;
pub mod sketch;
pub mod summary;
pub mod values;

pub use calibrated::Calibrated;
pub use encoder::Encoder;
pub use forest::{Forest, ForestParams};
pub use percentile::{exact, exact_many};
pub use regression::{Fit, Moments};
pub use sketch::Sketch;
pub use summary::Summary;
pub use values::{Quantiles, Scratch, Values, quantiles};

#[cfg(test)]
mod tests;

//! Pure logic of the perfstream stages.
//!
//! Nothing here knows fluvio, does IO, reads a clock or draws a random number without a seed: a
//! stage's state and output are a function of its config and of the rows, ticks and control
//! records it was given, in order. The WASM boundary is `perfstream-sdk`, the host `perfstream`.
#![forbid(unsafe_code)]

pub mod aggregate;
pub mod alert;
pub mod classify;
pub mod clock;
pub mod cls;
pub mod config;
pub mod correlate;
pub mod dashboard;
pub mod decode;
pub mod detect;
pub mod duration;
pub mod enrich;
pub mod expr;
pub mod filter;
pub mod forecast;
pub mod id;
pub mod inp;
pub mod json;
pub mod math;
pub mod patterns;
pub mod ratings;
pub mod respond;
pub mod row;
pub mod sessionize;
pub mod stage;
pub mod time;
pub mod value;
pub mod zone;

#[cfg(test)]
#[allow(dead_code)] // not every stage's tests use every helper
pub(crate) mod testing;

pub use config::{Issue, Issues};
pub use duration::Span;
pub use row::{Kind, Meta, Output, Row};
pub use stage::{Context, Counters, Stage, Tick};
pub use value::Value;

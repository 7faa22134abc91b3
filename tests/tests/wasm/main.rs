//! Tests of the built modules. One binary, so that each module is compiled once.

mod determinism;
mod limits;
mod modules;
mod poison;
mod vectors;

//! perfstream and a real Fluvio cluster: one program, so that what waits in one test is used by another.

mod analyze;
mod collect;
mod commands;
mod deploy;
mod detect;
mod hazards;
mod instances;
mod responses;
mod sessions;
mod transforms;

#[path = "../common/mod.rs"]
mod common;
#[path = "../whole/mod.rs"]
mod whole;

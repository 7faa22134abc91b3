//! `cargo xtask gen`: files that are made from the stages' config structs.

use crate::command::{cargo, run};
use anyhow::Result;

/// Writes those that are stale. What they hold is `perfstream::docs`'s to say; the modules are not
/// needed for it.
pub fn write() -> Result<()> {
    run(cargo().args(["run", "--quiet", "--release", "--locked", "--package", "perfstream-tests", "--bin", "gen"]))
}

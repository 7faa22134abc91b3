//! A filter as one writes it with Fluvio's macro: it lets pass what has a number `n`. A record that is
//! no JSON is an `Err` (hazard H7), one without `n` a panic, which is a trap (H8), and what the macro
//! makes of the output leaks (H9).
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "the macro's glue")]

use fluvio_smartmodule::{Result, SmartModuleRecord, smartmodule};
use serde_json::Value;

/// Lets pass what has an `n`.
#[smartmodule(filter)]
pub fn numbered(record: &SmartModuleRecord) -> Result<bool> {
    let event: Value = serde_json::from_slice(record.value.as_ref())?;
    event["n"].as_u64().expect("a number");
    Ok(true)
}

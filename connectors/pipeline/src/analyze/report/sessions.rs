//! The session that a report is about.

use crate::run::newest::newest;
use crate::run::records::{SessionRecord, Status};
use anyhow::{Result, bail};
use perfstream_log::Place;

/// The newest record of a session. An error names the sessions there are.
pub fn session(place: &mut Place, id: &str) -> Result<SessionRecord> {
    let mut known = Vec::new();
    for status in newest(place, i64::MAX)?.into_values() {
        match status {
            Status::Session(session) if session.id == id => return Ok(session),
            Status::Session(session) => known.push(session.id),
            Status::Partition(_) => {}
        }
    }
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    bail!("there is no session `{id}`; there is {known}")
}

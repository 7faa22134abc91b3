//! Requests of others to a pipeline (verdicts, reference rows), and how its control topic keeps them.
//!
//! Anybody appends a request to the topic `PIPELINE-inbox`; only the pipeline's worker copies it into
//! the control topic, with the input offset behind which the chain sees it, so a replay sees it there
//! too.

use anyhow::{Context, Result};
use perfstream_core::Tick;
use perfstream_core::stage::Control;
use perfstream_log::{LogRecord, NewRecord};
use serde::{Deserialize, Serialize};

/// An entry of the control topic of a pipeline on the embedded log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// Time passed
    Tick(Tick),
    /// A request
    Request {
        /// Offset of the last input record before it; -1 before the first
        offset: i64,
        /// What is asked for
        record: Control,
    },
}

impl Entry {
    /// Of a record of the control topic.
    pub fn of(record: &LogRecord) -> Result<Entry> {
        serde_json::from_slice(&record.value).context("a control record")
    }

    /// Offset of the last input record before it.
    pub fn offset(&self) -> i64 {
        match self {
            Entry::Tick(tick) => tick.offset,
            Entry::Request { offset, .. } => *offset,
        }
    }

    /// As the control topic holds it.
    pub fn record(&self) -> Result<NewRecord> {
        let log_time_ms = match self {
            Entry::Tick(tick) => tick.time / 1000,
            Entry::Request { .. } => crate::host::NO_LOG_TIME,
        };
        Ok(NewRecord { log_time_ms, key: None, value: serde_json::to_vec(self)? })
    }
}

/// The request in a record of an inbox. What is none changes nothing and is logged.
pub fn request(topic: &str, record: &LogRecord) -> Option<Control> {
    match serde_json::from_slice(&record.value) {
        Ok(request) => Some(request),
        Err(error) => {
            tracing::warn!(offset = record.offset, "a record of `{topic}` is no request: {error}");
            None
        }
    }
}

//! Alerts to people and tools.
//!
//! `alert` decides what an alert is; the sink routes, groups, inhibits, repeats and delivers it:
//! topic → [`alert::Alert`] → [`engine::Engine`] (no IO, no clock) → [`journal::Journal`] (fsync)
//! → [`format`] → [`send`]. [`run`] is the loop around them.
//!
//! Actions that the stage `respond` requests go a way of their own: [`act`].
//!
//! A delivery is written to the journal before it is sent and again when it was accepted: a kill
//! between the two repeats that delivery with the same key, and nothing else.

#[cfg(feature = "deliver")]
pub mod act;
pub mod alert;
mod backoff;
pub mod config;
pub mod engine;
pub mod format;
pub mod guard;
#[cfg(feature = "deliver")]
pub mod journal;
pub mod matcher;
#[cfg(feature = "page")]
pub mod page;
#[cfg(feature = "deliver")]
pub mod remote_write;
pub mod routing;
#[cfg(feature = "deliver")]
pub mod run;
pub mod secret;
#[cfg(feature = "deliver")]
pub mod send;
pub mod silence;
pub mod text;
pub mod times;
#[cfg(feature = "deliver")]
mod try_out;

#[cfg(feature = "deliver")]
pub use try_out::{route_test, send_test};

//! Cumulative Layout Shift of one page view, entry by entry, as web-vitals 6 computes it.
//!
//! Direction and unit: larger is worse, no unit, usually 0 to 1. A shift with recent input is
//! ignored and touches nothing. Any other joins the open window if the window's sum is not 0, it
//! starts less than 1000 ms after the window's last shift and less than 5000 ms after its first;
//! else it opens a new window. CLS is the largest sum any window had; only a strictly larger one
//! replaces it. Plain f64 sums in arrival order: nothing is sorted, so a shift that arrives late
//! has a negative gap and joins.
//!
//! Differs from the library in one point, on purpose: the library compares once per observer
//! callback, which loses the first of two windows delivered together; here every shift compares.
//!
//! Cost: O(1) per shift and O(distinct sources) per source. Memory is bounded by
//! [`MAX_ENTRIES`] and [`MAX_SOURCES`] per window, two windows; beyond them shifts still count.

mod sources;

use crate::value::Value;
use serde::{Deserialize, Serialize};
use sources::{Sources, read_sources};

/// A gap of this or more closes the window, in milliseconds.
pub const GAP_MS: f64 = 1000.0;
/// A window spans less than this, in milliseconds.
pub const SPAN_MS: f64 = 5000.0;
/// A window keeps the indexes of this many shifts; later ones are summed only.
pub const MAX_ENTRIES: usize = 1024;

pub use sources::{MAX_SOURCE_BYTES, MAX_SOURCES};

/// One shift, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// Number of the entry, from 0, ignored ones included
    pub index: u64,
    /// Start in milliseconds
    pub start_time_ms: f64,
    /// Layout shift score
    pub value: f64,
    /// The first source that is an element, else the first; None if it has no source with a name
    pub target: Option<Box<str>>,
}

/// Shifts that count together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    sum: f64,
    first_ms: f64,
    last_ms: f64,
    #[serde(deserialize_with = "crate::stage::count")]
    count: u64,
    indexes: Vec<u64>,
    largest: Shift,
    sources: Sources,
}

/// The metric while it grows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cls {
    value: f64,
    open: Option<Window>,
    /// The winning window; None while it is the open one, or there is none.
    best: Option<Window>,
    best_is_open: bool,
    next_index: u64,
}

/// What it has come to.
#[derive(Debug, Clone, PartialEq)]
pub struct ClsResult<'a> {
    /// Sum of the winning window; 0 without any counted shift
    pub cls: f64,
    /// Indexes of the winning window's shifts, the first [`MAX_ENTRIES`] of them
    pub entries: &'a [u64],
    /// Shifts in the winning window
    pub count: u64,
    /// Largest shift of the winning window, the later of equals
    pub largest: Option<&'a Shift>,
    /// Distinct sources of the winning window as JSON texts, in order of first appearance
    pub sources: &'a [Box<str>],
}

impl Cls {
    /// Takes the next shift. `sources` is the entry's `sources`: an array of selectors or of
    /// objects with a `node`, `selector` or `target`; anything else is no source. A shift whose
    /// numbers are not finite is ignored.
    pub fn add(&mut self, start_time_ms: f64, value: f64, had_recent_input: bool, sources: Value<'_>) {
        self.add_at(self.next_index, start_time_ms, value, had_recent_input, sources);
    }

    /// [`Cls::add`] with the entry's number given; later numbers go on from it.
    pub fn add_at(&mut self, index: u64, start_ms: f64, value: f64, had_recent_input: bool, sources: Value<'_>) {
        self.next_index = index.saturating_add(1);
        if had_recent_input || !start_ms.is_finite() || !value.is_finite() {
            return;
        }
        let (list, target) = read_sources(sources);
        let shift = Shift { index, start_time_ms: start_ms, value, target };
        match &mut self.open {
            Some(window) if window.takes(start_ms) => window.push(shift),
            open => {
                let closed = open.replace(Window::new(shift));
                if self.best_is_open {
                    self.best = closed;
                    self.best_is_open = false;
                }
            }
        }
        let Some(window) = &mut self.open else { return };
        for source in list {
            window.sources.add(&source);
        }
        if window.sum > self.value {
            self.value = window.sum;
            self.best_is_open = true;
            self.best = None;
        }
    }

    /// A back/forward-cache restore or soft navigation: the metric starts again at 0 and the open
    /// window is dropped; the numbering of entries goes on.
    pub fn reset(&mut self) {
        *self = Cls { next_index: self.next_index, ..Cls::default() };
    }

    /// The metric as of now.
    pub fn result(&self) -> ClsResult<'_> {
        let best = if self.best_is_open { self.open.as_ref() } else { self.best.as_ref() };
        ClsResult {
            cls: self.value,
            entries: best.map_or(&[], |w| &w.indexes),
            count: best.map_or(0, |w| w.count),
            largest: best.map(|w| &w.largest),
            sources: best.map_or(&[], |w| w.sources.texts()),
        }
    }

    /// About how many bytes it holds.
    pub fn size_bytes(&self) -> u64 {
        let windows = self.open.iter().chain(&self.best);
        windows.map(|w| 128 + w.indexes.len() as u64 * 8 + w.sources.bytes()).sum()
    }

    /// Number of the entry that comes next.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }
}

impl Window {
    fn new(shift: Shift) -> Window {
        Window {
            sum: shift.value,
            first_ms: shift.start_time_ms,
            last_ms: shift.start_time_ms,
            count: 1,
            indexes: vec![shift.index],
            largest: shift,
            sources: Sources::default(),
        }
    }

    fn takes(&self, start_ms: f64) -> bool {
        self.sum != 0.0 && start_ms - self.last_ms < GAP_MS && start_ms - self.first_ms < SPAN_MS
    }

    fn push(&mut self, shift: Shift) {
        self.sum += shift.value;
        self.last_ms = shift.start_time_ms;
        self.count += 1;
        if self.indexes.len() < MAX_ENTRIES {
            self.indexes.push(shift.index);
        }
        if shift.value >= self.largest.value {
            self.largest = shift; // the later of equals, as the library attributes it
        }
    }
}

#[cfg(test)]
mod tests;

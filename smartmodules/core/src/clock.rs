//! Event time and processing time of one partition, as a stage sees them.

use crate::duration::Span;
use crate::row::Meta;
use crate::stage::Tick;
use serde::{Deserialize, Serialize};

/// A time no record has.
pub const NEVER: i64 = i64::MIN;

/// What a stage with deadlines knows of time, in microseconds since the epoch. The clock is the running maximum of
/// the rows' event times and the ticks; it never goes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageClock {
    /// The clock; [`NEVER`] before the first row or tick
    pub now: i64,
    /// Deadlines up to here are due
    pub due_until: i64,
    /// Offset and log time of the newest row or tick
    pub trigger: (i64, i64),
}

impl Default for StageClock {
    fn default() -> Self {
        StageClock { now: NEVER, due_until: NEVER, trigger: (-1, 0) }
    }
}

impl StageClock {
    /// Event time of a row; one without is at the clock.
    pub fn time_of(&self, meta: &Meta) -> i64 {
        match (meta.event_time, self.now) {
            (NEVER, NEVER) => meta.log_time,
            (NEVER, now) => now,
            (time, _) => time,
        }
    }

    /// The clock has come to the time of a row: what was due before it is due.
    pub fn reach(&mut self, time: i64) {
        self.now = self.now.max(time);
        self.due_until = self.due_until.max(self.now.saturating_sub(1));
    }

    /// A row is what causes the records that come.
    pub fn caused_by(&mut self, meta: &Meta) {
        self.trigger = (meta.offset, meta.log_time);
    }

    /// A tick, not the end of the input: what is due at its very time is due.
    pub fn tick(&mut self, tick: &Tick) {
        self.now = self.now.max(tick.time);
        self.due_until = self.due_until.max(tick.time);
        self.trigger = (tick.offset, tick.time);
    }
}

/// Watermark and processing time, in microseconds since the epoch. Both only grow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Clock {
    event_max: i64,
    processing: i64,
    /// Processing time when the last event arrived.
    last_event_at: i64,
    watermark: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock { event_max: NEVER, processing: NEVER, last_event_at: NEVER, watermark: NEVER }
    }
}

impl Clock {
    /// An event has arrived: its event time (if any) and log time move the clock.
    pub fn observe(&mut self, meta: &Meta, out_of_orderness: Span) {
        self.processing = self.processing.max(meta.log_time);
        if meta.event_time != NEVER {
            self.last_event_at = self.processing;
            self.event_max = self.event_max.max(meta.event_time);
            self.watermark = self.watermark.max(self.event_max.saturating_sub(out_of_orderness.us()));
        }
    }

    /// A tick: processing time moves; in a stream that has been silent for `idle_after` the
    /// watermark follows it at that distance. The end of the input moves both to the end of time.
    pub fn tick(&mut self, tick: &Tick, idle_after: Span) {
        if tick.end_of_input {
            (self.processing, self.watermark) = (i64::MAX, i64::MAX);
            return;
        }
        self.processing = self.processing.max(tick.time);
        if self.event_max == NEVER {
            return;
        }
        let silent = self.processing.saturating_sub(self.last_event_at);
        if silent >= idle_after.us() {
            // The stream stood at event_max when it fell silent; as much time has passed since.
            let moved = self.event_max.saturating_add(silent - idle_after.us());
            self.watermark = self.watermark.max(moved);
        }
    }

    /// No event older than this is expected; [`NEVER`] before the first event.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Running maximum of accepted log times and ticks; [`NEVER`] before the first.
    pub fn processing(&self) -> i64 {
        self.processing
    }
}

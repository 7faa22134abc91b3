//! Event time and processing time of one partition, as a stage sees them.

use crate::duration::Span;
use crate::row::Meta;
use crate::stage::Tick;
use serde::{Deserialize, Serialize};

/// A time no record has.
pub const NEVER: i64 = i64::MIN;

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

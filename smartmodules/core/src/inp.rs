//! Interaction to Next Paint of one page view, entry by entry, as web-vitals 6 computes it.
//!
//! Direction and unit: milliseconds, larger is worse. Entries without an interaction id are no
//! interactions. Entries of one id are one interaction, its latency the longest duration. The ten
//! longest interactions are kept, longest first, the earlier of equals first; INP is number
//! `min(len - 1, floor(count / 50))` of them, so the worst below 50 interactions, then the second
//! worst, and so on. `count` is the page's `interactionCount` where it is known, else
//! `(largest id - smallest id) / 7 + 1`, minus what was counted before the last reset.
//!
//! Three details of the library that show in results: the entry that is reported changes only when
//! the value does; delays come from all events of the frame (paint times at most 8 ms apart);
//! after a reset with interactions counted but none slow enough to be seen, INP is 8 ms.
//!
//! Cost: O(30) per entry, constant memory. Browsers round durations to 8 ms and hide those below
//! 16 ms; that cannot be undone here.

use serde::{Deserialize, Serialize};

/// Interactions kept.
const KEPT: usize = 10;
/// One step down the list per so many interactions: the 98th percentile.
const STEP: f64 = 50.0;
/// Browsers hand out interaction ids this far apart.
const ID_STEP: f64 = 7.0;
/// INP when interactions were counted but none was slow enough to be seen.
const UNSEEN_MS: f64 = 8.0;
/// Paint times this close are one frame.
const FRAME_MS: f64 = 8.0;
/// Recent frames kept beside those of the longest interactions.
const FRAMES: usize = 10;

/// One entry of type `event` or `first-input`. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// 0 if it belongs to no interaction
    pub interaction_id: f64,
    /// When the user acted
    pub start_time_ms: f64,
    /// From there to the next paint
    pub duration_ms: f64,
    /// Start and end of event processing, where known
    pub processing_ms: Option<(f64, f64)>,
}

impl Entry {
    fn is_finite(&self) -> bool {
        let (start, end) = self.processing_ms.unwrap_or_default();
        [self.interaction_id, self.start_time_ms, self.duration_ms, start, end].iter().all(|x| x.is_finite())
    }
}

/// Events painted together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Frame {
    number: u64,
    paint_ms: f64,
    processing_start_ms: f64,
    processing_end_ms: f64,
}

/// An interaction by the first of its longest entries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Interaction {
    entry: Entry,
    /// Number of its frame
    frame: Option<u64>,
}

/// What INP is at the moment, and the entry it was when it became that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reported {
    value_ms: f64,
    /// None for the 8 ms of interactions that were not seen
    entry: Option<Entry>,
    frame: Option<Frame>,
}

/// The metric while it grows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Inp {
    /// Longest first
    longest: Vec<Interaction>,
    frames: Vec<Frame>,
    next_frame: u64,
    reported: Option<Reported>,
    /// The page's own count, if it told
    told_count: Option<f64>,
    /// Smallest and largest id
    ids: Option<(f64, f64)>,
    /// Interactions before the last reset
    count_before: f64,
    /// Has there been a reset: back/forward cache or soft navigation?
    restored: bool,
}

/// What it has come to; all times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InpResult {
    /// The metric
    pub inp_ms: f64,
    /// The interaction it comes from; None for the 8 ms of interactions that were not seen
    pub interaction_id: Option<f64>,
    /// The three parts, which add up to the metric unless processing outlasts the paint
    pub parts: Option<Parts>,
}

/// The parts of an interaction, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// From the action to the start of its handlers
    pub input_delay_ms: f64,
    /// While handlers run
    pub processing_duration_ms: f64,
    /// From their end to the paint
    pub presentation_delay_ms: f64,
}

impl Inp {
    /// Takes the next entry, with the page's `interactionCount` at that time if it is known. An
    /// entry whose numbers are not finite is ignored.
    pub fn add(&mut self, entry: Entry, interaction_count: Option<f64>) {
        self.tell(interaction_count);
        if !entry.is_finite() {
            return;
        }
        let frame = self.frame_of(&entry);
        if entry.interaction_id != 0.0 {
            let id = entry.interaction_id;
            self.ids = Some(self.ids.map_or((id, id), |(low, high)| (low.min(id), high.max(id))));
            self.keep_if_long(Interaction { entry, frame });
        }
        self.update();
        self.forget_frames();
    }

    /// The page tells its `interactionCount` without an entry.
    pub fn set_interaction_count(&mut self, count: f64) {
        self.tell(Some(count));
        self.update();
    }

    /// A back/forward-cache restore or soft navigation: the metric starts again.
    pub fn reset(&mut self) {
        self.count_before = self.page_count();
        self.longest.clear();
        self.reported = None;
        self.restored = true;
    }

    /// The metric as of now; None if there was no interaction.
    pub fn result(&self) -> Option<InpResult> {
        let now = self.current()?;
        let Some(entry) = now.entry else {
            let parts = Parts { input_delay_ms: 0.0, processing_duration_ms: 0.0, presentation_delay_ms: now.value_ms };
            return Some(InpResult { inp_ms: now.value_ms, interaction_id: None, parts: Some(parts) });
        };
        let parts = now.frame.map(|frame| parts(&entry, &frame));
        Some(InpResult { inp_ms: now.value_ms, interaction_id: Some(entry.interaction_id), parts })
    }

    /// Interactions since the last reset.
    pub fn interaction_count(&self) -> f64 {
        (self.page_count() - self.count_before).max(0.0)
    }

    fn tell(&mut self, count: Option<f64>) {
        if let Some(count) = count.filter(|c| c.is_finite()) {
            self.told_count = Some(self.told_count.map_or(count, |known| known.max(count)));
        }
    }

    fn page_count(&self) -> f64 {
        let estimate = || self.ids.map_or(0.0, |(low, high)| (high - low) / ID_STEP + 1.0);
        self.told_count.unwrap_or_else(estimate)
    }

    /// The number of the frame that paints the entry, which now counts the entry in.
    fn frame_of(&mut self, entry: &Entry) -> Option<u64> {
        let (start, end) = entry.processing_ms?;
        let paint_ms = entry.start_time_ms + entry.duration_ms;
        let near = self.frames.iter_mut().rev().find(|f| (paint_ms - f.paint_ms).abs() <= FRAME_MS);
        let Some(frame) = near else {
            let number = self.next_frame;
            self.next_frame += 1;
            self.frames.push(Frame { number, paint_ms, processing_start_ms: start, processing_end_ms: end });
            return Some(number);
        };
        frame.processing_start_ms = frame.processing_start_ms.min(start);
        frame.processing_end_ms = frame.processing_end_ms.max(end);
        if let Some(Reported { frame: Some(known), .. }) = &mut self.reported
            && known.number == frame.number
        {
            *known = *frame;
        }
        Some(frame.number)
    }

    fn keep_if_long(&mut self, new: Interaction) {
        let same = |i: &&mut Interaction| i.entry.interaction_id == new.entry.interaction_id;
        match self.longest.iter_mut().find(same) {
            Some(known) if new.entry.duration_ms > known.entry.duration_ms => *known = new,
            Some(_) => return,
            None => self.longest.push(new),
        }
        // Stable, so the earlier of equals stays in front, and in an overfull list it stays in.
        self.longest.sort_by(|a, b| b.entry.duration_ms.total_cmp(&a.entry.duration_ms));
        self.longest.truncate(KEPT);
    }

    fn update(&mut self) {
        self.reported = self.current();
    }

    fn current(&self) -> Option<Reported> {
        let count = self.interaction_count();
        let Some(last) = self.longest.len().checked_sub(1) else {
            let unseen = Reported { value_ms: UNSEEN_MS, entry: None, frame: None };
            return if self.restored && count > 0.0 { Some(unseen) } else { self.reported };
        };
        let at = last.min((count / STEP) as usize);
        let candidate = self.longest.get(at)?;
        let value_ms = candidate.entry.duration_ms;
        if let Some(reported) = self.reported.filter(|r| r.value_ms == value_ms) {
            return Some(reported);
        }
        let frame = self.frames.iter().find(|f| Some(f.number) == candidate.frame).copied();
        Some(Reported { value_ms, entry: Some(candidate.entry), frame })
    }

    fn forget_frames(&mut self) {
        let Some(recent) = self.frames.len().checked_sub(FRAMES).filter(|n| *n > 0) else {
            return;
        };
        let old = self.frames.drain(..recent).collect::<Vec<_>>();
        let needed = old.into_iter().filter(|f| self.longest.iter().any(|i| i.frame == Some(f.number)));
        self.frames = needed.chain(self.frames.iter().copied()).collect();
    }
}

fn parts(entry: &Entry, frame: &Frame) -> Parts {
    // A handler of the frame may have begun before this action, or outlast the paint (a modal).
    let start = frame.processing_start_ms.max(entry.start_time_ms);
    let paint = (entry.start_time_ms + entry.duration_ms).max(start);
    let end = frame.processing_end_ms.min(paint);
    Parts {
        input_delay_ms: start - entry.start_time_ms,
        processing_duration_ms: end - start,
        presentation_delay_ms: paint - end,
    }
}

#[cfg(test)]
mod tests;

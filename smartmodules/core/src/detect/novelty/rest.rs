//! Rest after a high score: within a number of observations only a higher one is reported.
//!
//! A rolling maximum by a queue of falling scores. Cost: amortised O(1); memory: at most 16 scores.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Scores kept at once
const MOST: usize = 16;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rest {
    /// Observation number and evidence, falling
    high: VecDeque<(u32, f32)>,
}

impl Rest {
    /// Memory that it owns at most, in bytes.
    pub const HEAP_BYTES: usize = MOST * size_of::<(u32, f32)>();

    /// Whether the evidence of observation `n` is above that of each of the `rest` before it. Of more than
    /// [`MOST`] scores that fall, the last are not kept.
    pub fn above(&mut self, n: u32, evidence: f64, rest: u32) -> bool {
        while self.high.front().is_some_and(|&(at, _)| n.wrapping_sub(at) > rest) {
            self.high.pop_front();
        }
        let evidence = evidence as f32;
        let above = self.high.front().is_none_or(|&(_, high)| evidence > high);
        if evidence > 0.0 {
            while self.high.back().is_some_and(|&(_, last)| last <= evidence) {
                self.high.pop_back();
            }
            if self.high.len() < MOST {
                self.high.push_back((n, evidence));
            }
        }
        above
    }

    /// Could it have come to be?
    pub fn fits(&self) -> bool {
        self.high.len() <= MOST
    }
}

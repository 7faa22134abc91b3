//! One grid over one feature of a series, and how seldom it shows a cell never seen before.
//!
//! The grid has `q` cells over the range of the warm-up and five times that range in all; what lies
//! farther out falls into the last cell. A first visit is worth −log10 of the running rate of first
//! visits, at most 3. + − · / and comparisons but for that log10.

use serde::{Deserialize, Serialize};

const DECAY: f64 = 0.003;
const FLOOR: f64 = 1e-3;
const PRIOR: f64 = 0.002;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    q: u8,
    /// Cells are pairs of the last and this one
    pairs: bool,
    low: f64,
    width: f64,
    rate: f64,
    previous: Option<u8>,
    /// One bit per cell
    seen: Vec<u64>,
}

impl Stream {
    pub fn new(q: u8, pairs: bool) -> Stream {
        Stream { q, pairs, low: 0.0, width: 0.0, rate: PRIOR, previous: None, seen: Vec::new() }
    }

    /// Lays the grid over the range of the first values and visits their cells.
    pub fn lay(&mut self, values: &[f64]) {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = if high > low { high - low } else { (high.abs() * 0.05).max(1e-6) };
        (self.low, self.width) = (low, range / f64::from(self.q));
        let cells = 5 * usize::from(self.q) + 1;
        self.seen = vec![0; if self.pairs { cells * cells } else { cells }.div_ceil(64)];
        let new = values.iter().filter(|&&value| self.visit(value)).count();
        self.rate = (0.5 * new as f64 / values.len() as f64).clamp(PRIOR, 0.9);
    }

    /// What the cell of a value is worth, in decades; 0 if it was seen before.
    pub fn score(&mut self, value: f64) -> f64 {
        if self.visit(value) {
            let worth = -self.rate.log10();
            self.rate += (1.0 - self.rate) * DECAY;
            worth
        } else {
            self.rate = (self.rate * (1.0 - DECAY)).max(FLOOR);
            0.0
        }
    }

    pub fn bytes(&self) -> usize {
        size_of::<Stream>() + 8 * self.seen.capacity()
    }

    /// Marks the cell; true if it was not marked before.
    fn visit(&mut self, value: f64) -> bool {
        let q = f64::from(self.q);
        let cell = (((value - self.low) / self.width).floor().clamp(-2.0 * q, 3.0 * q) + 2.0 * q) as u8;
        let previous = self.previous.replace(cell);
        let bit = match (self.pairs, previous) {
            (true, Some(previous)) => usize::from(cell) * (5 * usize::from(self.q) + 1) + usize::from(previous),
            (true, None) => return false,
            (false, _) => usize::from(cell),
        };
        let (word, mask) = (&mut self.seen[bit / 64], 1 << (bit % 64));
        let new = *word & mask == 0;
        *word |= mask;
        new
    }
}

//! One stream of novelty: points of a feature seen before, at four resolutions, and how seldom a
//! new one comes.
//!
//! A resolution keeps leaders (Hartigan, "Clustering Algorithms", 1975, chapter 3): a point farther
//! than the radius from all of them is new and becomes one. The radius is a share of the range seen
//! so far, so the grain grows with the range and no grid has to be laid. A new point is worth
//! −log10 of the running rate of new points, the series' own measure of surprise: 0–3 decades. The
//! stream's worth is the mean over its resolutions.
//!
//! Distance is the larger of |Δx| / radius and |Δy| / y radius. Full resolutions forget the oldest
//! leader. + − × / and comparisons, and `libm::log10`, the same bits in native and WASM.
//! Cost: a pass over the leaders, at most 184.

use super::leader::Leader;
use crate::detect::tight;
use serde::{Deserialize, Serialize};

/// Resolutions of a stream
pub(super) const RESOLUTIONS: usize = 4;

/// One number per resolution.
pub(super) type Each<T> = [T; RESOLUTIONS];

/// A point as a stream sees it, and how to compare it.
pub(super) struct Seen {
    pub x: f64,
    pub radius: Each<f64>,
    /// Second coordinate, of points in a plane
    pub y: f64,
    pub y_radius: Each<f64>,
    /// Watches of eight hours since the series began; starts again at 256, after 85 days
    pub watch: u8,
}

impl Seen {
    /// A point on a line.
    pub fn at(x: f64, radius: Each<f64>, watch: u8) -> Seen {
        Seen { x, radius, y: 0.0, y_radius: [0.0; RESOLUTIONS], watch }
    }

    /// A point in a plane.
    pub fn beside(self, y: f64, y_radius: Each<f64>) -> Seen {
        Seen { y, y_radius, ..self }
    }
}

/// How fast the rate follows, its bounds, and how long and how many leaders stay.
pub(super) struct Pace {
    /// Weight of the newest point
    pub step: Each<f64>,
    /// Least rate
    pub floor: f64,
    /// Most leaders of a resolution
    pub leaders: Each<usize>,
    /// Watches after which a leader that met no point is forgotten, by streams that forget
    pub life: Each<u8>,
}

/// The state of one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream<L> {
    /// Points seen
    n: u32,
    /// Leaders of each resolution; they lie one after the other
    counts: Each<u8>,
    /// Running rate of new points of each resolution, 0–1
    rates: Each<f64>,
    leaders: Vec<L>,
}

impl<L> Default for Stream<L> {
    fn default() -> Self {
        Stream { n: 0, counts: [0; RESOLUTIONS], rates: [0.0; RESOLUTIONS], leaders: Vec::new() }
    }
}

impl<L: Leader> Stream<L> {
    /// What the point is worth, in decades; it is learned.
    pub fn observe(&mut self, seen: &Seen, pace: &Pace) -> f64 {
        self.n = self.n.saturating_add(1);
        let mut start = 0;
        let mut worth = 0.0;
        for at in 0..RESOLUTIONS {
            let step = (1.0 / f64::from(self.n)).max(pace.step[at]);
            if L::FORGETS {
                self.forget(at, start, seen.watch, pace.life[at]);
            }
            let rate = self.rates[at];
            if self.meets(at, start, seen) {
                self.rates[at] = (rate - step * rate).max(pace.floor);
            } else {
                if self.n > 1 {
                    worth -= libm::log10(rate);
                }
                self.rates[at] = rate + step * (1.0 - rate);
                self.lead(at, start, seen, pace.leaders[at]);
            }
            start += usize::from(self.counts[at]);
        }
        worth / RESOLUTIONS as f64
    }

    /// Could it have come to be, with so many leaders at most?
    pub fn fits(&self, leaders: Each<usize>) -> bool {
        let points: usize = self.counts.iter().map(|n| usize::from(*n)).sum();
        self.leaders.len() == points
            && self.counts.iter().zip(leaders).all(|(n, most)| usize::from(*n) <= most)
            && self.rates.iter().all(|rate| (0.0..=1.0).contains(rate))
    }

    /// Memory in bytes that it owns.
    pub fn heap_bytes(&self) -> usize {
        tight::bytes(&self.leaders)
    }

    /// Whether a leader of the resolution lies within its radius; where leaders are forgotten, all that
    /// do are refreshed.
    fn meets(&mut self, at: usize, start: usize, seen: &Seen) -> bool {
        let near = self.leaders[start..start + usize::from(self.counts[at])].iter_mut().filter(|l| l.is_near(at, seen));
        let mut met = false;
        for leader in near {
            met = true;
            if !L::FORGETS {
                break;
            }
            leader.meet(seen);
        }
        met
    }

    /// Adds the point to the leaders of the resolution.
    fn lead(&mut self, at: usize, start: usize, seen: &Seen, most: usize) {
        if usize::from(self.counts[at]) >= most {
            self.remove(at, start);
        }
        tight::insert(&mut self.leaders, start + usize::from(self.counts[at]), L::of(seen));
        self.counts[at] += 1;
    }

    /// Removes the leaders of the resolution that met no point for `life` watches.
    fn forget(&mut self, at: usize, start: usize, watch: u8, life: u8) {
        let mut i = start;
        while i < start + usize::from(self.counts[at]) {
            if watch.wrapping_sub(self.leaders[i].watch()) > life { self.remove(at, i) } else { i += 1 }
        }
    }

    fn remove(&mut self, at: usize, i: usize) {
        self.leaders.remove(i);
        self.counts[at] -= 1;
    }
}

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
//! Cost: a pass over the leaders, at most 4 × 64.

use serde::{Deserialize, Serialize};

/// Resolutions of a stream
pub(super) const RESOLUTIONS: usize = 4;

/// One number per resolution.
pub(super) type Each<T> = [T; RESOLUTIONS];

/// A point as a stream sees it, and how to compare it.
pub(super) struct Seen {
    x: f64,
    x_radius: Each<f64>,
    beside: Option<Beside>,
    memory: Option<Memory>,
}

/// The second coordinate of a point.
struct Beside {
    y: f64,
    radius: Each<f64>,
    /// Where y wraps around, or infinity
    period: f64,
}

/// When leaders are forgotten.
struct Memory {
    /// Hours since the series began; starts again at 65,536
    hour: u16,
    /// Hours after which a leader that met no point is forgotten
    life: Each<u16>,
}

impl Seen {
    /// A point on a line.
    pub fn at(x: f64, radius: Each<f64>) -> Seen {
        Seen { x, x_radius: radius, beside: None, memory: None }
    }

    /// A point in a plane, whose second coordinate wraps around at a period (infinity: does not).
    pub fn beside(self, y: f64, radius: Each<f64>, period: f64) -> Seen {
        Seen { beside: Some(Beside { y, radius, period }), ..self }
    }

    /// Seen by a stream that forgets leaders that met no point for `life` hours.
    pub fn forgetting(self, hour: u16, life: Each<u16>) -> Seen {
        Seen { memory: Some(Memory { hour, life }), ..self }
    }
}

/// How fast the rate follows, and its bounds.
pub(super) struct Pace {
    /// Weight of the newest point
    pub step: Each<f64>,
    /// Least rate
    pub floor: f64,
    /// Most leaders of a resolution
    pub leaders: usize,
}

/// The state of one stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Stream {
    /// Points seen
    n: u32,
    /// Running rate of new points of each resolution, 0–1
    rates: Each<f64>,
    /// Leaders of each resolution; they lie one after the other
    counts: Each<u16>,
    /// First coordinates
    x: Vec<f32>,
    /// Second coordinates; empty if the feature has but one
    y: Vec<f32>,
    /// Hour of the last point met; empty if the stream does not forget
    hours: Vec<u16>,
}

impl Stream {
    /// What the point is worth, in decades; it is learned.
    pub fn observe(&mut self, seen: &Seen, pace: &Pace) -> f64 {
        self.n = self.n.saturating_add(1);
        let mut start = 0;
        let mut worth = 0.0;
        for at in 0..RESOLUTIONS {
            let step = (1.0 / f64::from(self.n)).max(pace.step[at]);
            if let Some(memory) = &seen.memory {
                self.forget(at, start, memory.hour, memory.life[at]);
            }
            let rate = self.rates[at];
            if self.meets(at, start, seen) {
                self.rates[at] = (rate - step * rate).max(pace.floor);
            } else {
                if self.n > 1 {
                    worth -= libm::log10(rate);
                }
                self.rates[at] = rate + step * (1.0 - rate);
                self.lead(at, start, seen, pace.leaders);
            }
            start += usize::from(self.counts[at]);
        }
        worth / RESOLUTIONS as f64
    }

    /// Could it have come to be, of points that are `planar` or not, and forgotten or not?
    pub fn fits(&self, planar: bool, forgets: bool, leaders: usize) -> bool {
        let points: usize = self.counts.iter().map(|n| usize::from(*n)).sum();
        let filled = |list: usize, used: bool| list == if used { points } else { 0 };
        filled(self.x.len(), true)
            && filled(self.y.len(), planar)
            && filled(self.hours.len(), forgets)
            && self.counts.iter().all(|n| usize::from(*n) <= leaders)
            && self.rates.iter().all(|rate| (0.0..=1.0).contains(rate))
    }

    /// Memory that it owns, in bytes.
    pub fn heap_bytes(&self) -> usize {
        4 * self.x.capacity() + 4 * self.y.capacity() + 2 * self.hours.capacity()
    }

    /// Whether a leader of the resolution lies within its radius; those that do are refreshed.
    fn meets(&mut self, at: usize, start: usize, seen: &Seen) -> bool {
        let leaders = start..start + usize::from(self.counts[at]);
        let mut met = false;
        for i in leaders {
            if (f64::from(self.x[i]) - seen.x).abs() > seen.x_radius[at] {
                continue;
            }
            if let Some(beside) = &seen.beside {
                let apart = (f64::from(self.y[i]) - beside.y).abs();
                if apart.min(beside.period - apart) > beside.radius[at] {
                    continue;
                }
            }
            met = true;
            match &seen.memory {
                Some(memory) => self.hours[i] = memory.hour,
                None => break,
            }
        }
        met
    }

    /// Adds the point to the leaders of the resolution.
    fn lead(&mut self, at: usize, start: usize, seen: &Seen, most: usize) {
        if usize::from(self.counts[at]) >= most {
            self.remove(at, start);
        }
        let end = start + usize::from(self.counts[at]);
        insert(&mut self.x, end, seen.x as f32);
        if let Some(beside) = &seen.beside {
            insert(&mut self.y, end, beside.y as f32);
        }
        if let Some(memory) = &seen.memory {
            insert(&mut self.hours, end, memory.hour);
        }
        self.counts[at] += 1;
    }

    /// Removes the leaders of the resolution that met no point for `life` hours.
    fn forget(&mut self, at: usize, start: usize, hour: u16, life: u16) {
        let mut i = start;
        while i < start + usize::from(self.counts[at]) {
            if hour.wrapping_sub(self.hours[i]) > life { self.remove(at, i) } else { i += 1 }
        }
    }

    fn remove(&mut self, at: usize, i: usize) {
        self.x.remove(i);
        if !self.y.is_empty() {
            self.y.remove(i);
        }
        if !self.hours.is_empty() {
            self.hours.remove(i);
        }
        self.counts[at] -= 1;
    }
}

/// Inserts, with little room to spare: a process holds many series.
fn insert<T>(list: &mut Vec<T>, at: usize, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(8);
    }
    list.insert(at, value);
}

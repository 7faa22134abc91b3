//! The layout shifts of one visit, as raw entries.
//!
//! A visit's CLS target is split over one to three bursts of one to four shifts. Inside a burst
//! gaps are below 1 s, between bursts above it, so that the bursts are session windows of their
//! own. Some visits also click, and shift within 500 ms of it (`hadRecentInput`).

use super::random::Random;

/// One layout-shift entry; times in microseconds from the start of the visit.
pub(super) struct Shift {
    pub(super) at_us: i64,
    pub(super) value: f64,
    pub(super) had_recent_input: bool,
    pub(super) sources: [&'static str; 2],
}

const SOURCES: [&str; 8] =
    ["#hero", ".ad-banner", "#cookie-notice", "article>p", "#related", ".promo", "img.product", "#reviews"];

/// Shifts of an added burst.
pub(super) const BURST: usize = 4;

/// The shifts of a visit in time order. `total` is the sum over all that count.
pub(super) fn draw(random: &mut Random, total: f64) -> Vec<Shift> {
    let bursts = 1 + (random.unit() * random.unit() * 3.0) as usize;
    let mut at_us = (random.range(200.0, 1500.0) * 1000.0) as i64;
    let mut shifts = Vec::new();
    for burst in 0..bursts {
        if burst > 0 {
            at_us += (random.range(1100.0, 4000.0) * 1000.0) as i64;
        }
        for i in 0..1 + (random.unit() * 4.0) as usize {
            if i > 0 {
                at_us += (random.range(60.0, 850.0) * 1000.0) as i64;
            }
            let weight = random.range(0.3, 1.0);
            shifts.push(shift(random, at_us, weight, false));
        }
    }
    let weights: f64 = shifts.iter().map(|s| s.value).sum();
    for shift in &mut shifts {
        shift.value *= total / weights;
    }
    if random.unit() < 0.25 {
        let value = random.range(0.01, 0.3);
        let after_click_us = at_us + (random.range(1200.0, 4000.0) * 1000.0) as i64;
        shifts.push(shift(random, after_click_us, value, true));
    }
    shifts
}

/// Adds a burst that sums to `total` well after the last shift.
pub(super) fn add_burst(random: &mut Random, shifts: &mut Vec<Shift>, total: f64) {
    let mut at_us = shifts.last().map_or(0, |s| s.at_us) + 1_500_000;
    for _ in 0..BURST {
        at_us += (random.range(80.0, 230.0) * 1000.0) as i64;
        shifts.push(shift(random, at_us, total / BURST as f64, false));
    }
}

fn shift(random: &mut Random, at_us: i64, value: f64, had_recent_input: bool) -> Shift {
    let mut source = || SOURCES[(random.unit() * SOURCES.len() as f64) as usize % SOURCES.len()];
    // Whole tenths of a millisecond, as browsers give them.
    Shift { at_us: at_us / 100 * 100, value, had_recent_input, sources: [source(), source()] }
}

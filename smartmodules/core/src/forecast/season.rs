//! The profile of a season: what each part of it adds to the mean.
//!
//! One value per slot, at its beginning, and lines between them; a value is learned by the two slots that it
//! lies between, each by its share (the basis of linear interpolation), so what is read at a time is what was
//! learned at that time. In the unit of the series. Cost: O(1). Memory: 16 bytes per slot.

use super::model::Plan;
use serde::{Deserialize, Serialize};

/// Seasons over which it is learned.
const MEMORY_SEASONS: f64 = 5.0;

/// The profile of one series; empty without a season.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Profile(Vec<Slot>);

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Slot {
    offset: f64,
    /// Values it has learned, by its shares of them
    n: f64,
}

impl Profile {
    pub fn new(plan: &Plan) -> Profile {
        Profile(vec![Slot::default(); plan.slots])
    }

    /// What it adds at a time.
    pub fn at(&self, time: i64, plan: &Plan) -> f64 {
        let Some((slot, share)) = place(time, plan) else { return 0.0 };
        let of = |slot: usize| self.0.get(slot % plan.slots).map_or(0.0, |slot| slot.offset);
        of(slot) + (of(slot + 1) - of(slot)) * share
    }

    /// Learns how far a value lay from the mean.
    pub fn learn(&mut self, time: i64, deviation: f64, plan: &Plan) {
        let Some((slot, share)) = place(time, plan) else { return };
        let error = deviation - self.at(time, plan);
        // Values of a slot in one season, if none is missing.
        let values = (plan.season_us as f64 / plan.slots as f64 / plan.step_us as f64).max(1.0);
        for (slot, share) in [(slot, 1.0 - share), ((slot + 1) % plan.slots, share)] {
            if let Some(own) = self.0.get_mut(slot).filter(|_| share > 0.0) {
                own.n += share;
                own.offset += error * share * (1.0 / own.n.max(1.0)).max(1.0 / (MEMORY_SEASONS * values));
            }
        }
    }

    /// Could values have made it?
    pub fn fits(&self, plan: &Plan) -> bool {
        let possible = |slot: &Slot| slot.offset.abs() <= 1e36 && (0.0..=1e18).contains(&slot.n);
        self.0.len() == plan.slots && self.0.iter().all(possible)
    }
}

/// The slot that begins before a time, and how far the time is on the way to the next, 0 to 1.
fn place(time: i64, plan: &Plan) -> Option<(usize, f64)> {
    if plan.slots == 0 || plan.season_us <= 0 {
        return None;
    }
    let at = time.rem_euclid(plan.season_us) as f64 / plan.season_us as f64 * plan.slots as f64;
    Some(((at as usize).min(plan.slots - 1), at - at.floor()))
}

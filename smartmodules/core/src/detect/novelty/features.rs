//! What the streams of `novelty` look at: the value, how far values have spread, the hour of the day.
//!
//! + − × / and comparisons only.

use super::constants::Constants;
use serde::{Deserialize, Serialize};

const HOUR_US: f64 = 3.6e9;
const DAY_US: i64 = 86_400_000_000;
const WATCH_US: i64 = DAY_US / 3;

/// Longest pause that counts as time gone by; a longer one counts as this.
const PAUSE_US: i64 = 14 * DAY_US;

/// Values before deviations are clipped
const CLIP_AFTER: u64 = 50;

/// Lowest and highest value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// The range, at least the given share of the largest magnitude in it.
    pub fn width(self, least: f64) -> f64 {
        let magnitude = self.low.abs().max(self.high.abs());
        (self.high - self.low).max(magnitude * least).max(f64::MIN_POSITIVE)
    }

    fn widen(&mut self, value: f64, first: bool) {
        if first {
            *self = Range { low: value, high: value };
        } else {
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        }
    }

    /// Lets both ends draw near `centre` by the share.
    fn shrink(&mut self, centre: f64, share: f64) {
        self.low += share * (centre - self.low).max(0.0);
        self.high -= share * (self.high - centre).max(0.0);
    }
}

/// Running statistics of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Features {
    /// Values seen
    #[serde(deserialize_with = "crate::stage::count")]
    pub n: u64,
    /// The first value; leaders are stored relative to it
    pub origin: f64,
    /// Value before the newest, if nothing was missing between them
    pub previous: Option<f64>,
    /// Of all values
    pub range: Range,
    /// Of values, those long ago counting less
    pub recent: Range,
    /// Mean of the last hour or so
    pub mean: f64,
    /// Of `mean`
    pub mean_range: Range,
    /// Running mean
    pub centre: f64,
    /// Running mean absolute deviation from it
    pub spread: f64,
    /// Time of the first value, microseconds since 1970 UTC
    began_us: i64,
    /// Latest time of any value
    newest_us: i64,
}

impl Features {
    /// Could values up to `largest` have made it?
    pub fn fits(&self, largest: f64) -> bool {
        let ranges = [self.range, self.recent, self.mean_range];
        let ordered = |r: &Range| r.low <= r.high || self.n == 0;
        let numbers = ranges.iter().flat_map(|r| [r.low, r.high]).chain(self.previous);
        let within = |x: f64| x.abs() <= 2.0 * largest;
        numbers.chain([self.origin, self.mean, self.centre, self.spread]).all(within)
            && ranges.iter().all(ordered)
            && self.spread >= 0.0
    }

    /// Time passes and the value's hour-long mean is known; ranges are still those before it. Gives
    /// the hours since the value before.
    pub fn arrive(&mut self, time_us: i64, value: f64, constants: &Constants) -> f64 {
        if self.n == 0 {
            (self.origin, self.mean, self.began_us, self.newest_us) = (value, value, time_us, time_us);
            return 0.0;
        }
        let gone_us = time_us.saturating_sub(self.newest_us).clamp(0, PAUSE_US);
        self.newest_us = self.newest_us.max(time_us);
        let hours = gone_us as f64 / HOUR_US;
        self.mean += hours / (hours + constants.day_mean_hours) * (value - self.mean);
        // ln 2 of a half-life is the time constant
        let tau = constants.range_half_life_days * 24.0 / std::f64::consts::LN_2;
        self.recent.shrink(self.centre, hours / (hours + tau));
        hours
    }

    /// Learns the value that has arrived.
    pub fn learn(&mut self, value: f64, constants: &Constants) {
        let first = self.n == 0;
        self.n += 1;
        self.previous = Some(value);
        self.range.widen(value, first);
        self.recent.widen(value, first);
        self.mean_range.widen(self.mean, first);
        let step = (1.0 / self.n as f64).max(constants.spread_step);
        self.centre += step * (value - self.centre);
        let off = (value - self.centre).abs();
        let off =
            if self.n > CLIP_AFTER { off.min(constants.clip_spreads * self.spread + f64::MIN_POSITIVE) } else { off };
        self.spread += step * (off - self.spread);
    }

    /// Days between the first value and the latest.
    pub fn days(&self) -> f64 {
        self.newest_us.saturating_sub(self.began_us) as f64 / DAY_US as f64
    }

    /// Watches of eight hours between the first value and the latest; starts again at 256.
    pub fn watch(&self) -> u8 {
        (self.newest_us.saturating_sub(self.began_us) / WATCH_US) as u8
    }

    /// Hour of the day of a time, 0–24, UTC.
    pub fn hour_of_day(time_us: i64) -> f64 {
        time_us.rem_euclid(DAY_US) as f64 / HOUR_US
    }
}

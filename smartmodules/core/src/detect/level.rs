//! The expected value and range of a series: exponential smoothing with a profile of the day.
//!
//! Level and one offset per hour of the day (UTC), additive, as Holt and Winters without a trend;
//! the spread is the smoothed absolute error, × 1.2533 a standard deviation of normal errors. What
//! lies further than 3 spreads from the forecast is learned as if it lay there, so an anomaly moves
//! little (Gelper, Fried and Croux 2010). Smoothing is by time: a step of Δt has the weight Δt/(Δt + τ)
//! (the implicit Euler step of exponential decay, so no `exp`), τ a quarter of the window, at least the
//! plain mean while young; so irregular series are smoothed as regular ones are. A profile is used once it has seen two days.
//!
//! Values in the unit of the series, times in microseconds; any order is taken, a step back counts as
//! no time. Cost: O(1); 440 bytes. Where it fails: a series that changes its level every
//! few hours has a wide range; what comes once a week is not in the profile.

use serde::{Deserialize, Serialize};

/// Observations before there is a forecast.
const MIN_N: u64 = 16;
/// Spreads beyond which an error is cut.
const CUT: f64 = 3.0;
/// Mean absolute error → standard deviation, for normal errors: √(π/2).
const TO_SIGMA: f64 = 1.253_314_137_315_500_3;
const HOUR_US: i64 = 3_600_000_000;

/// Level, profile and spread of one series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Level {
    n: u64,
    level: f64,
    /// Smoothed absolute error
    error: f64,
    newest: i64,
    /// Offset of each hour of the day
    hours: Vec<f64>,
    /// Days in which each hour was seen, and the last of them
    days: Vec<(u8, i32)>,
}

/// What is expected of the next value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    pub expected: f64,
    /// Standard deviation of the error
    pub sigma: f64,
}

impl Forecast {
    /// The range that holds a normal error with the given quantile of the normal distribution.
    pub fn range(&self, z: f64) -> (f64, f64) {
        (self.expected - z * self.sigma, self.expected + z * self.sigma)
    }
}

/// How a level learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Smoothing {
    /// Time constant, microseconds
    pub tau_us: f64,
    pub seasonal: bool,
}

impl Level {
    /// The level, without the hour's offset.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Values it has learned.
    pub fn count(&self) -> u64 {
        self.n
    }

    /// What is expected at `time`; `None` while young, or if nothing ever varied.
    pub fn forecast(&self, time: i64) -> Option<Forecast> {
        let sigma = (self.error * TO_SIGMA).max(self.level.abs() * 1e-9);
        (self.n >= MIN_N && sigma > 0.0).then(|| Forecast { expected: self.level + self.offset(time), sigma })
    }

    /// Learns a value.
    pub fn learn(&mut self, time: i64, value: f64, smoothing: Smoothing) {
        if self.n == 0 {
            (self.level, self.newest) = (value, time);
        }
        let step = time.saturating_sub(self.newest).max(0) as f64;
        self.newest = self.newest.max(time);
        let young = 1.0 / (self.n + 1) as f64;
        let weight = (step / (step + smoothing.tau_us)).max(young);
        let offset = self.offset(time);
        let error = value - self.level - offset;
        let bound = CUT * self.error * TO_SIGMA;
        let held = if self.n < MIN_N { error } else { error.clamp(-bound, bound) };
        self.level += weight * held;
        if self.n > 0 {
            // The error learns more slowly than the level, and from the cut error: 3 spreads at most.
            let share = (weight / 2.0).max(1.0 / (self.n as f64).max(1.0)).min(1.0);
            self.error += share * (held.abs() - self.error);
        }
        self.n += 1;
        if smoothing.seasonal {
            self.learn_hour(time, value - self.level);
        }
    }

    /// Starts anew from one value and the spread that was.
    pub fn restart(&mut self, level: f64) {
        self.level = level;
        self.n = self.n.min(MIN_N);
    }

    /// Memory in bytes that it owns.
    pub fn bytes(&self) -> usize {
        8 * self.hours.len() + 8 * self.days.len()
    }

    /// What the hour of the day adds to the level.
    pub fn offset(&self, time: i64) -> f64 {
        let (hour, part) = (time.div_euclid(HOUR_US), time.rem_euclid(HOUR_US) as f64 / HOUR_US as f64);
        // Between the middles of two hours the profile is a line.
        let (from, share) = if part < 0.5 { (hour - 1, part + 0.5) } else { (hour, part - 0.5) };
        self.of_hour(from) * (1.0 - share) + self.of_hour(from + 1) * share
    }

    fn of_hour(&self, hour: i64) -> f64 {
        let at = hour.rem_euclid(24) as usize;
        match (self.hours.get(at), self.days.get(at)) {
            (Some(offset), Some((days, _))) if *days >= 2 => *offset,
            _ => 0.0,
        }
    }

    fn learn_hour(&mut self, time: i64, rest: f64) {
        if self.hours.is_empty() {
            (self.hours, self.days) = (vec![0.0; 24], vec![(0, i32::MIN); 24]);
        }
        let hour = time.div_euclid(HOUR_US);
        let (at, day) = (hour.rem_euclid(24) as usize, hour.div_euclid(24) as i32);
        let (Some(offset), Some((days, last))) = (self.hours.get_mut(at), self.days.get_mut(at)) else { return };
        if day > *last {
            (*days, *last) = (days.saturating_add(1), day);
        }
        // A few dozen values a day and hour: a week of them makes the profile.
        let bound = CUT * self.error * TO_SIGMA;
        let error = rest - *offset;
        let held = if self.n < 4 * MIN_N { error } else { error.clamp(-bound, bound) };
        *offset += held / 128.0;
    }
}

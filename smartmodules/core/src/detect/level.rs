//! The expected value and range of a series: exponential smoothing with a profile of the day.
//!
//! Level and one offset per hour of the day (UTC), additive, as Holt and Winters without a trend. The
//! spread is the smoothed absolute error, × 1.2533 a standard deviation of normal errors. A value that
//! stands for n events (a percentile, a mean, a share of them) has an error of σ₁/√n, so errors are
//! learned times √n and the range at 200 events is wider than at 2000; without a count n is 1. What lies
//! further than 3 spreads from the forecast is learned as if it lay there, so an anomaly moves little
//! (Gelper, Fried and Croux 2010). Smoothing is by time: a step of Δt has the weight Δt/(Δt + τ) (the
//! implicit Euler step of exponential decay, so no `exp`), τ a quarter of the window for the level,
//! seven windows for spread and profile, and at least the plain mean while young; so irregular
//! series are smoothed as regular ones are. A profile is used once it has seen two days.
//!
//! Values in the unit of the series, times in microseconds; any order is taken, a step back counts as
//! no time. Cost: O(1); 288 bytes for the profile. Where it fails: a series that changes its level every
//! few hours has a wide range; what comes once a week is not in the profile; an error that does not
//! shrink with the number of events, as a moving level's, is underestimated where there are many.

use serde::{Deserialize, Serialize};

/// Observations before there is a forecast.
const MIN_N: u64 = 16;
/// Spreads beyond which an error is cut.
const CUT: f64 = 3.0;
/// Mean absolute error → standard deviation, for normal errors: √(π/2).
const TO_SIGMA: f64 = 1.253_314_137_315_500_3;
/// In its first window a series' range is this much wider, less and less: a day is not known before it
/// was seen, and windows that overlap repeat each other.
const YOUNG: f64 = 2.0;
/// Windows over which the spread is learned: a threshold far out wants it well known.
const SPREAD_WINDOWS: f64 = 7.0;
/// Windows over which the profile is learned.
const PROFILE_WINDOWS: f64 = 7.0;
const HOUR_US: i64 = 3_600_000_000;

/// Level, profile and spread of one series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Level {
    #[serde(deserialize_with = "crate::stage::count")]
    n: u64,
    level: f64,
    /// Smoothed absolute error, times the root of the number of events
    error: f64,
    oldest: i64,
    newest: i64,
    /// By hour of the day; empty without a profile
    hours: Vec<Hour>,
}

/// What one hour of the day adds to the level.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Hour {
    offset: f32,
    /// Values seen
    n: u16,
    /// Days in which it was seen, and the last of them
    days: u8,
    last: i32,
}

/// What is expected of the next value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    pub expected: f64,
    /// Standard deviation of the error
    pub sigma: f64,
    /// How much wider the range is than σ says: 1, up to 3 within the first window
    pub doubt: f64,
}

impl Forecast {
    /// Half of the range's width.
    pub fn width(&self, z: f64) -> f64 {
        z * self.sigma * self.doubt
    }

    /// The range that holds a normal error with the given quantile of the normal distribution.
    pub fn range(&self, z: f64) -> (f64, f64) {
        let width = self.width(z);
        (self.expected - width, self.expected + width)
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

    /// What is expected at `time` of a value that stands for so many events; `None` below 16 values, or if
    /// nothing ever varied.
    pub fn forecast(&self, time: i64, events: f64, smoothing: Smoothing) -> Option<Forecast> {
        let sigma = (self.error * TO_SIGMA / root(events)).max(self.level.abs() * 1e-9);
        let seen = self.newest.saturating_sub(self.oldest) as f64 / (4.0 * smoothing.tau_us).max(1.0);
        let doubt = 1.0 + YOUNG * (1.0 - seen.min(1.0));
        (self.n >= MIN_N && sigma > 0.0).then(|| Forecast { expected: self.level + self.offset(time), sigma, doubt })
    }

    /// Learns a value that stands for so many events.
    pub fn learn(&mut self, time: i64, value: f64, events: f64, smoothing: Smoothing) {
        if self.n == 0 {
            (self.level, self.oldest, self.newest) = (value, time, time);
        }
        let step = time.saturating_sub(self.newest).max(0) as f64;
        self.newest = self.newest.max(time);
        let window = 4.0 * smoothing.tau_us;
        let weight = |tau: f64, n: u64| (step / (step + tau)).max(1.0 / n.saturating_add(1) as f64);
        let error = value - self.level - self.offset(time);
        let held = if self.n < MIN_N { error } else { self.held(error, events) };
        self.level += weight(smoothing.tau_us, self.n) * held;
        if self.n > 0 {
            // Errors of the first days, without a profile, are forgotten sooner.
            let half = self.newest.saturating_sub(self.oldest) as f64 / 2.0;
            let weight = weight((SPREAD_WINDOWS * window).min(half).max(1.0), self.n - 1);
            self.error += weight * (held.abs() * root(events) - self.error);
        }
        self.n += 1;
        if smoothing.seasonal {
            self.learn_hour(time, value - self.level, events, |n| weight(PROFILE_WINDOWS / 24.0 * window, n));
        }
    }

    /// An error, cut where it is no ordinary one.
    fn held(&self, error: f64, events: f64) -> f64 {
        let bound = CUT * self.error * TO_SIGMA / root(events);
        error.clamp(-bound, bound)
    }

    /// Could values have made it?
    pub fn fits(&self) -> bool {
        self.level.is_finite()
            && (0.0..f64::INFINITY).contains(&self.error)
            && matches!(self.hours.len(), 0 | 24)
            && self.hours.iter().all(|hour| hour.offset.is_finite())
    }

    /// Starts anew from what is usual now; profile and spread stay.
    pub fn restart(&mut self, value: f64) {
        self.level = value - self.offset(self.newest);
    }

    /// Memory in bytes that it owns.
    pub fn bytes(&self) -> usize {
        size_of::<Hour>() * self.hours.len()
    }

    /// What the hour of the day adds to the level.
    pub fn offset(&self, time: i64) -> f64 {
        let (hour, part) = (time.div_euclid(HOUR_US), time.rem_euclid(HOUR_US) as f64 / HOUR_US as f64);
        // Between the middles of two hours the profile is a line.
        let (from, share) = if part < 0.5 { (hour - 1, part + 0.5) } else { (hour, part - 0.5) };
        self.of_hour(from) * (1.0 - share) + self.of_hour(from + 1) * share
    }

    fn of_hour(&self, hour: i64) -> f64 {
        let known = self.hours.get(hour.rem_euclid(24) as usize).filter(|hour| hour.days >= 2);
        known.map_or(0.0, |hour| f64::from(hour.offset))
    }

    fn learn_hour(&mut self, time: i64, rest: f64, events: f64, weight: impl Fn(u64) -> f64) {
        if self.hours.is_empty() {
            self.hours = vec![Hour { last: i32::MIN, ..Hour::default() }; 24];
        }
        let number = time.div_euclid(HOUR_US);
        let (at, day) = (number.rem_euclid(24) as usize, number.div_euclid(24) as i32);
        let Some(mut hour) = self.hours.get(at).copied() else { return };
        if day > hour.last {
            (hour.days, hour.last) = (hour.days.saturating_add(1), day);
        }
        let error = rest - f64::from(hour.offset);
        let held = if hour.days <= 2 { error } else { self.held(error, events) };
        hour.offset += (weight(u64::from(hour.n)) * held) as f32;
        hour.n = hour.n.saturating_add(1);
        self.hours[at] = hour;
    }
}

/// The root of a number of events; none, or less than one, counts as one.
fn root(events: f64) -> f64 {
    events.max(1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::random::SplitMix64;

    const SMOOTHING: Smoothing = Smoothing { tau_us: 6.0 * HOUR_US as f64, seasonal: true };

    /// A normal error, of twelve uniform numbers.
    fn normal(random: &mut SplitMix64) -> f64 {
        (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
    }

    /// Three weeks of hours; an hour stands for 400 events by day and 25 at night, one event has σ = 100.
    fn weeks(random: &mut SplitMix64) -> Level {
        let mut level = Level::default();
        for hour in 0..21 * 24 {
            let events = if hour % 24 < 12 { 400.0 } else { 25.0 };
            let usual = if hour % 24 < 12 { 1000.0 } else { 800.0 };
            let value = usual + 100.0 / f64::sqrt(events) * normal(random);
            level.learn(hour * HOUR_US, value, events, SMOOTHING);
        }
        level
    }

    #[test]
    fn the_range_knows_the_hour_and_the_number_of_events() {
        let level = weeks(&mut SplitMix64::new(3));
        let at = |hour: i64, events| level.forecast((21 * 24 + hour) * HOUR_US, events, SMOOTHING).unwrap();
        let (day, night) = (at(6, 400.0), at(18, 25.0));
        assert!((day.expected - 1000.0).abs() < 40.0 && (night.expected - 800.0).abs() < 40.0, "{day:?} {night:?}");
        // σ₁/√n, and what the profile does not know is in it too.
        assert!((night.sigma / day.sigma - 4.0).abs() < 1e-9);
        assert!((20.0..60.0).contains(&night.sigma), "{night:?}");
        assert_eq!(day.doubt, 1.0);
    }

    #[test]
    fn a_young_range_is_wider_and_without_a_spread_there_is_none() {
        let mut level = Level::default();
        for minute in 0..15 {
            level.learn(60_000_000 * minute, 1000.0 + (minute % 3) as f64, 1.0, SMOOTHING);
        }
        assert_eq!(level.forecast(0, 1.0, SMOOTHING), None);
        level.learn(15 * 60_000_000, 1000.0, 1.0, SMOOTHING);
        let forecast = level.forecast(16 * 60_000_000, 1.0, SMOOTHING).unwrap();
        assert!((2.9..3.0).contains(&forecast.doubt), "{forecast:?}");
        let mut same = Level::default();
        (0..100).for_each(|n| same.learn(n, 0.0, 1.0, SMOOTHING));
        assert_eq!(same.forecast(100, 1.0, SMOOTHING), None);
    }

    #[test]
    fn an_anomaly_moves_little_and_a_new_start_keeps_the_profile() {
        let mut level = weeks(&mut SplitMix64::new(4));
        let (time, next) = ((21 * 24 + 6) * HOUR_US, (21 * 24 + 7) * HOUR_US);
        let before = level.forecast(time, 400.0, SMOOTHING).unwrap();
        level.learn(time, 1e6, 400.0, SMOOTHING);
        let after = level.forecast(next, 400.0, SMOOTHING).unwrap();
        assert!((after.expected - before.expected).abs() < 3.0 * before.sigma, "{before:?} {after:?}");
        level.restart(1500.0);
        let fresh = level.forecast(time, 400.0, SMOOTHING).unwrap();
        assert!((fresh.expected - 1500.0).abs() < 1e-6, "{fresh:?}");
        assert_eq!(fresh.sigma, after.sigma);
    }
}

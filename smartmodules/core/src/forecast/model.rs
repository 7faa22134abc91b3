//! One series and its forecasts: level, damped trend and a profile of the season, weighed by past errors.
//!
//! Time is cut into steps; of each the first value is learned. Six models of exponential smoothing run side
//! by side (Hyndman and Athanasopoulos, Forecasting, chapter 8): two levels, the last value and a damped
//! trend of the value without the season's profile, the season's mean with the profile, and a level without
//! a profile. Per horizon the forecast is their mean, weighted by how small their absolute errors at that
//! horizon were of late (Bates and Granger 1969; discounted, Stock and Watson 2004; here to the power −4 of the
//! mean absolute error, which a spike moves less than a square). The interval is the smoothed absolute error
//! of that mean times a factor, which grows at a miss and shrinks at a hit so that the stated share of outcomes
//! falls inside (Gibbs and Candès 2021). Nothing assumes that errors are normal or that rows do not overlap.
//! An error beyond 3 spreads is learned as one of 3 (Gelper, Fried and Croux 2010), but by the last value.
//!
//! Values in the unit of the series, times in microseconds. A gap of n steps moves the trend on by n steps
//! and teaches nothing. Cost: O(models × horizons) per learned value, no logarithm or power, so native and
//! WASM agree. Memory: 32 bytes per step of every horizon and 16 per slot of the profile. Where it fails: a
//! profile needs two seasons; a slot that never had a value counts as the mean; there is one season, so a
//! weekly one is asked for as `7d`; a value that jumps is followed by its h-step error only after h steps.

use super::season::Profile;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Models that run side by side.
pub(super) const MODELS: usize = 6;
/// Weights of a new value in the models' levels.
const ALPHA: [f64; MODELS] = [0.1, 0.4, 1.0, 0.4, 0.0, 0.4];
/// The model with a damped trend, and its constants.
const TREND: usize = 3;
const BETA: f64 = 0.2;
const PHI: f64 = 0.98;
/// The model that is the season's mean.
const MEAN: usize = 4;
/// The model that takes values as they are.
const PLAIN: usize = 5;
/// Standard deviations beyond which an error is cut.
const CUT: f64 = 3.0;
/// Values that are learned as they are.
const YOUNG: u64 = 16;
/// Least weight of a new error in the spread.
const SPREAD_WEIGHT: f64 = 0.02;
/// Seasons before the profile is used.
const SEASONS_MIN: i64 = 2;
/// Outcomes of a horizon before it has a forecast.
pub(super) const OUTCOMES_MIN: u64 = 8;
/// Least weight of a new error.
const ERROR_WEIGHT: f64 = 0.01;
/// How far the interval's factor moves at a miss.
const PACE: f64 = 0.05;
/// Bounds of the factor.
const FACTOR: (f64, f64) = (0.5, 20.0);
/// Mean absolute error → standard deviation, for normal errors: √(π/2).
const TO_SIGMA: f64 = 1.253_314_137_315_500_3;
/// Larger values are no numbers: what is said of them must fit an f32.
pub(super) const LARGEST: f64 = 1e30;

/// What all series of a stage have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub step_us: i64,
    /// 0: none
    pub season_us: i64,
    pub slots: usize,
    pub horizons_us: Vec<i64>,
    /// Share of outcomes inside of the interval
    pub interval: f64,
    /// Normal quantile of that share: where the factor begins
    pub z: f64,
}

/// A forecast for one horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// What is remembered of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    #[serde(deserialize_with = "crate::stage::count")]
    n: u64,
    /// First and newest step with a value
    first: i64,
    newest: i64,
    /// Mean of the last season or so
    mean: f64,
    /// Is the profile in use?
    seasonal: bool,
    profile: Profile,
    levels: [f64; MODELS],
    trend: f64,
    /// Smoothed absolute error of a level, which says what lies far off
    spread: f64,
    horizons: Vec<Horizon>,
}

/// How forecasts at one horizon have done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Horizon {
    /// Forecasts without an outcome yet: the step they are for, and what each model said
    pending: VecDeque<(i64, [f32; MODELS])>,
    #[serde(deserialize_with = "crate::stage::count")]
    outcomes: u64,
    errors: [f64; MODELS],
    /// Mean absolute error of the weighted mean
    error: f64,
    factor: f64,
}

impl Series {
    pub fn new(plan: &Plan) -> Series {
        let horizon = || Horizon {
            pending: VecDeque::new(),
            outcomes: 0,
            errors: [0.0; MODELS],
            error: 0.0,
            factor: plan.z * TO_SIGMA,
        };
        Series {
            n: 0,
            first: 0,
            newest: 0,
            mean: 0.0,
            seasonal: false,
            profile: Profile::new(plan),
            levels: [0.0; MODELS],
            trend: 0.0,
            spread: 0.0,
            horizons: plan.horizons_us.iter().map(|_| horizon()).collect(),
        }
    }

    /// Memory of a series that has all it can have.
    pub fn most_bytes(plan: &Plan) -> u64 {
        let pending: i64 = plan.horizons_us.iter().map(|h| steps(*h, plan) + 1).sum();
        (400 + 16 * plan.slots + 96 * plan.horizons_us.len()) as u64 + 32 * pending as u64
    }

    /// Does a value of this time belong before the newest one?
    pub fn is_late(&self, time: i64, plan: &Plan) -> bool {
        self.n > 0 && time.div_euclid(plan.step_us) < self.newest
    }

    /// Learns a value; false if its step has one already.
    pub fn learn(&mut self, time: i64, value: f64, plan: &Plan) -> bool {
        let step = time.div_euclid(plan.step_us);
        if self.n == 0 {
            (self.first, self.newest, self.mean, self.levels) = (step, step, value, [value; MODELS]);
        } else if step <= self.newest {
            return false;
        }
        let gap = step.saturating_sub(self.newest);
        self.newest = step;
        self.n += 1;
        for horizon in &mut self.horizons {
            horizon.judge(step, value, plan);
        }
        self.smooth(step, gap, value, plan);
        for at in 0..self.horizons.len() {
            let ahead = plan.horizons_us.get(at).map_or(1, |h| steps(*h, plan));
            let target = step.saturating_add(ahead);
            let said = self.models(ahead, target.saturating_mul(plan.step_us), plan).map(|x| x as f32);
            if let Some(horizon) = self.horizons.get_mut(at) {
                horizon.pending.push_back((target, said));
            }
        }
        true
    }

    /// The forecast at a horizon, seen from `time`; `None` while too little is known.
    pub fn forecast(&self, time: i64, at: usize, plan: &Plan) -> Option<Forecast> {
        let horizon = self.horizons.get(at).filter(|horizon| horizon.outcomes >= OUTCOMES_MIN)?;
        let target = time.saturating_add(*plan.horizons_us.get(at)?);
        let ahead = target.div_euclid(plan.step_us).saturating_sub(self.newest);
        let value = horizon.combine(&self.models(ahead, target, plan));
        let half = horizon.error * horizon.factor;
        Some(Forecast { value, low: value - half, high: value + half })
    }

    /// What the model with the trend expects of a series without a season.
    #[cfg(test)]
    pub fn damped_trend(&self, ahead: i64) -> f64 {
        self.levels[TREND] + self.trend * damped(ahead).0
    }

    /// What each model expects at `target`, `ahead` steps after the newest value.
    fn models(&self, ahead: i64, target: i64, plan: &Plan) -> [f64; MODELS] {
        let season = self.offset(target, plan);
        let mut said = self.levels.map(|level| level + season);
        said[TREND] += self.trend * damped(ahead).0;
        said[MEAN] = self.mean + season;
        said[PLAIN] -= season;
        said
    }

    /// Moves levels, trend, mean and profile on by a value.
    fn smooth(&mut self, step: i64, gap: i64, value: f64, plan: &Plan) {
        let time = step.saturating_mul(plan.step_us);
        let plain = value - self.offset(time, plan);
        let (sum, power) = damped(gap);
        let cut = self.cut(plain - self.levels[1], value);
        self.levels[TREND] += self.trend * sum;
        self.trend *= power;
        for (model, (level, alpha)) in self.levels.iter_mut().zip(ALPHA).enumerate() {
            let seen = if model == PLAIN { value } else { plain };
            let error = seen - *level + if alpha < 1.0 { cut } else { 0.0 };
            *level += alpha * error;
            if model == TREND {
                self.trend += alpha * BETA * error / gap.max(1) as f64;
            }
        }
        let passed = gap.saturating_mul(plan.step_us) as f64;
        let season = if plan.season_us > 0 { plan.season_us } else { 64 * plan.step_us } as f64;
        let value = value + cut;
        // The mean of values without the season: that of values would follow the season, and the profile would
        // miss what it followed.
        let rest = value - self.profile.at(time, plan) - self.mean;
        self.mean += rest * (passed / (passed + season)).max(1.0 / self.n as f64);
        self.profile.learn(time, value - self.mean, plan);
        self.begin_season(time, plan);
    }

    /// What an error is short of, so that it moves no model by more than 3 spreads; the spread follows.
    fn cut(&mut self, error: f64, value: f64) -> f64 {
        let most = CUT * TO_SIGMA * self.spread;
        // Twice as far at most: a spread that did not grow would never let a new level in.
        let young = self.n <= YOUNG;
        let taken = if young { error.abs() } else { error.abs().min(2.0 * most.max(1e-9 * value.abs())) };
        self.spread += (taken - self.spread) * (1.0 / self.n as f64).max(SPREAD_WEIGHT);
        if young { 0.0 } else { error.clamp(-most, most) - error }
    }

    /// From the second season on the profile is used.
    fn begin_season(&mut self, time: i64, plan: &Plan) {
        let seen = self.newest.saturating_sub(self.first).saturating_mul(plan.step_us);
        if self.seasonal || plan.season_us == 0 || seen < SEASONS_MIN.saturating_mul(plan.season_us) {
            return;
        }
        self.seasonal = true;
        // The levels were those of values; now they are those of values without the season.
        let offset = self.offset(time, plan);
        for (model, level) in self.levels.iter_mut().enumerate() {
            *level -= if model == PLAIN { 0.0 } else { offset };
        }
    }

    /// What the season adds at a time.
    fn offset(&self, time: i64, plan: &Plan) -> f64 {
        if self.seasonal { self.profile.at(time, plan) } else { 0.0 }
    }

    /// Could values have made it? For what comes from a snapshot.
    pub fn fits(&self, plan: &Plan) -> bool {
        let finite = |x: &f64| x.abs() <= 1e36;
        let own = self.levels.iter().chain([&self.mean, &self.trend, &self.spread]).all(finite)
            && self.spread >= 0.0
            && self.profile.fits(plan)
            && self.horizons.len() == plan.horizons_us.len()
            && [self.first, self.newest]
                .iter()
                .all(|step| step.unsigned_abs() <= i64::MAX as u64 / plan.step_us as u64);
        own && self.horizons.iter().zip(&plan.horizons_us).all(|(horizon, us)| {
            let targets = || horizon.pending.iter().map(|(target, _)| *target);
            let last = self.newest.saturating_add(steps(*us, plan));
            // In order and distinct between the newest step and the last, so there is a bound to them.
            targets().zip(targets().skip(1)).all(|(a, b)| a < b)
                && targets().all(|target| (self.newest..=last).contains(&target))
                && horizon.pending.iter().all(|(_, said)| said.iter().all(|x| x.is_finite()))
                && horizon.errors.iter().all(|x| (0.0..=1e80).contains(x))
                && (0.0..=1e40).contains(&horizon.error)
                && (FACTOR.0..=FACTOR.1).contains(&horizon.factor)
        })
    }
}

impl Horizon {
    /// Compares what was said of a step with what came.
    fn judge(&mut self, step: i64, value: f64, plan: &Plan) {
        while let Some((target, said)) = self.pending.front().copied().filter(|(target, _)| *target <= step) {
            self.pending.pop_front();
            // Steps without a value say nothing.
            if target < step {
                continue;
            }
            let said = said.map(f64::from);
            let miss = (value - self.combine(&said)).abs();
            if self.outcomes >= OUTCOMES_MIN {
                let outside = if miss > self.error * self.factor { 1.0 } else { 0.0 };
                let moved = self.factor + PACE * (outside - (1.0 - plan.interval)) * self.factor;
                self.factor = moved.clamp(FACTOR.0, FACTOR.1);
            }
            self.outcomes += 1;
            let weight = (1.0 / self.outcomes as f64).max(ERROR_WEIGHT);
            for (mean_error, said) in self.errors.iter_mut().zip(said) {
                *mean_error += weight * ((value - said).abs() - *mean_error);
            }
            self.error += weight * (miss - self.error);
        }
    }

    /// The mean of what the models say, by how well they have done.
    fn combine(&self, said: &[f64; MODELS]) -> f64 {
        let least = self.errors.iter().copied().fold(f64::INFINITY, f64::min);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (said, mean_error) in said.iter().zip(self.errors) {
            // Of one that never failed, alone or with others, the weight is 1.
            let ratio = if mean_error > least { least / mean_error } else { 1.0 };
            let ratio = ratio * ratio * ratio * ratio;
            sum += ratio * said;
            weights += ratio;
        }
        sum / weights
    }
}

/// Steps of a horizon.
pub(super) fn steps(horizon_us: i64, plan: &Plan) -> i64 {
    (horizon_us / plan.step_us).max(1)
}

/// φ + φ² + … + φⁿ and φⁿ.
fn damped(n: i64) -> (f64, f64) {
    let power = power(PHI, n.max(0));
    (PHI * (1.0 - power) / (1.0 - PHI), power)
}

/// By squaring: the same bits on every platform.
fn power(base: f64, n: i64) -> f64 {
    let (mut result, mut base, mut n) = (1.0, base, n.min(1 << 20));
    while n > 0 {
        if n & 1 == 1 {
            result *= base;
        }
        base *= base;
        n >>= 1;
    }
    result
}

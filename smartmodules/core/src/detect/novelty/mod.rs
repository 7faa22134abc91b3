//! `novelty`: a causal anomaly scorer for one series.
//!
//! A row is novel if nothing like it was seen before in this series. Five streams ask that:
//! - `level`: the value, at the grain of all values' range;
//! - `recent`: the value, at the grain of a range that fades within days, after weeks forgotten;
//! - `pair`: this and the last value;
//! - `day`: the last hour's mean beside the time of day, once three days have been seen;
//! - `residual`: the value less what is usual at that time of day, at the grain of its usual spread.
//!
//! A novelty is worth −log10 of how often the series has them ([`stream`]): a series that keeps producing them
//! silences itself, a quiet one speaks. So one threshold serves all series, 0.5. With e² the sum of the streams'
//! squared worths in decades, score = e² / (e² + half²): 0–1, 1 = anomalous. One stream at its rarest gives 0.78,
//! two 0.88, all 0.95.
//!
//! The score marks the beginning of something: within `rest` rows only a row more anomalous than
//! all of them scores again. Whether a series is still abnormal is told by `range` and `direction`.
//!
//! Strictly causal. + − × / and comparisons, and `libm::log10`: native and WASM agree to the bit. Cost about 1 µs
//! and at most 5 KiB per series (`cargo xtask bench novelty`). Where it fails: what has been seen before is never
//! novel, however bad; a change within the spread of the noise; a drift slower than the grain.

mod baseline;
mod constants;
mod features;
mod leader;
mod rest;
mod stream;
#[cfg(test)]
mod tests;

pub use constants::Constants;

use baseline::Baseline;
use features::{Features, Range};
use leader::{Daily, Fading, Line, Plane};
use rest::Rest;
use serde::{Deserialize, Serialize};
use stream::{Each, Pace, RESOLUTIONS, Seen, Stream};

/// Parameters of the method `novelty`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NoveltyConfig {
    /// Observations before the first score, 20 to 10,000. Default: 100.
    pub warm_up: u32,
    /// Observations after a high score in which only a higher one is reported, 0 to 200.
    /// Default: 60.
    pub rest: u32,
}

impl Default for NoveltyConfig {
    fn default() -> Self {
        NoveltyConfig { warm_up: 100, rest: 60 }
    }
}

/// Which way an observation leaves the expected range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Above the range
    Up,
    /// Below the range
    Down,
    /// Inside, or there is none
    None,
}

/// What is said about one observation.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// 0–1, 1 = anomalous; `None` while warming up or if the value is missing
    pub score: Option<f64>,
    /// The value that was expected, in the value's unit; `None` before anything was seen
    pub expected: Option<f64>,
    /// Lower and upper bound of ordinary values, in the value's unit
    pub range: Option<(f64, f64)>,
    /// Where the value lies beside the range
    pub direction: Direction,
    /// Name and contribution of each stream to the score before rest, in decades of novelty rate
    pub parts: Vec<(&'static str, f64)>,
    /// Observations it was compared with
    pub n: u64,
}

/// Values beyond this magnitude count as this, so that sums and squares stay finite
pub(super) const LARGEST: f64 = 1e30;

/// Names of the streams, in the order of [`Observation::parts`].
pub const STREAMS: [&str; 5] = ["level", "recent", "pair", "day", "residual"];

/// The state of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    warm_up: u32,
    rest: u32,
    features: Features,
    level: Stream<Line>,
    recent: Stream<Fading>,
    pair: Stream<Plane>,
    day: Stream<Daily>,
    residual: Stream<Fading>,
    high: Rest,
    baseline: Baseline,
    #[serde(skip, default = "standard")]
    constants: &'static Constants,
}

impl Novelty {
    /// The empty state of a series. Parameters out of range are taken as the nearest that is in it.
    pub fn new(config: &NoveltyConfig) -> Novelty {
        Novelty::with(config, standard())
    }

    /// As [`Novelty::new`], with other constants. They are not part of a snapshot.
    pub fn with(config: &NoveltyConfig, constants: &'static Constants) -> Novelty {
        Novelty {
            warm_up: config.warm_up.clamp(20, 10_000),
            rest: config.rest.min(200),
            features: Features::default(),
            level: Stream::default(),
            recent: Stream::default(),
            pair: Stream::default(),
            day: Stream::default(),
            residual: Stream::default(),
            high: Rest::default(),
            baseline: Baseline::default(),
            constants,
        }
    }

    /// Could it be the state of a series of this configuration? Asked of one from a snapshot.
    pub fn fits(&self, config: &NoveltyConfig) -> bool {
        let fresh = Novelty::new(config);
        let leaders = fresh.constants.leaders;
        (self.warm_up, self.rest) == (fresh.warm_up, fresh.rest)
            && self.level.fits(leaders)
            && self.recent.fits(leaders)
            && self.pair.fits(leaders)
            && self.day.fits(leaders)
            && self.residual.fits(leaders)
            && self.features.fits(LARGEST)
            && self.baseline.fits()
            && self.high.fits()
    }

    /// Scores the next observation of the series and learns it. The time is the observation's, in
    /// microseconds since 1970 UTC; any order is taken. A value that is not finite is missing.
    pub fn observe(&mut self, time_us: i64, value: Option<f64>) -> Observation {
        let n = self.features.n;
        let origin = self.features.origin;
        let expected = self.baseline.expected(time_us).map(|expected| expected + origin);
        let range = self.baseline.range(time_us).map(|(low, high)| (low + origin, high + origin));
        let mut seen = Observation { score: None, expected, range, direction: Direction::None, parts: Vec::new(), n };
        let Some(value) = value.filter(|v| v.is_finite()).map(|v| v.clamp(-LARGEST, LARGEST)) else {
            self.features.previous = None;
            return seen;
        };
        seen.direction = match range {
            Some((_, upper)) if value > upper => Direction::Up,
            Some((lower, _)) if value < lower => Direction::Down,
            _ => Direction::None,
        };
        let hours = self.features.arrive(time_us, value, self.constants);
        let evidence = self.evidence(time_us, value);
        self.features.learn(value, self.constants);
        self.baseline.learn(time_us, value - self.features.origin, hours, self.features.spread, self.constants);
        if n < u64::from(self.warm_up) {
            return seen;
        }
        seen.score = Some(self.score(n, &evidence));
        seen.parts = STREAMS.into_iter().zip(evidence).collect();
        seen
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        size_of::<Novelty>() + self.heap_bytes()
    }

    /// Memory in bytes that it owns.
    pub fn heap_bytes(&self) -> usize {
        self.level.heap_bytes()
            + self.recent.heap_bytes()
            + self.pair.heap_bytes()
            + self.day.heap_bytes()
            + self.residual.heap_bytes()
            + Rest::HEAP_BYTES
    }

    /// What each stream makes of the value, in decades.
    fn evidence(&mut self, time_us: i64, value: f64) -> [f64; STREAMS.len()] {
        let (features, constants) = (&self.features, self.constants);
        let cells = |range: Range, cells: Each<f64>| cells.map(|cells| range.width(constants.least_range) / cells);
        let (x, watch) = (value - features.origin, features.watch());
        let pairs = cells(features.range, constants.pair_cells);
        let means = cells(features.mean_range, constants.day_cells);
        let pace = Pace {
            step: constants.rate_step,
            floor: constants.rate_floor,
            leaders: constants.leaders,
            life: constants.life_days.map(|days| (days * 3.0) as u8),
        };
        let level = Seen::at(x, cells(features.range, constants.level_cells), watch);
        let recent = Seen::at(x, cells(features.recent, constants.level_cells), watch);
        let pair = features.previous.map(|last| Seen::at(x, pairs, watch).beside(last - features.origin, pairs));
        let hour_of_day = Features::hour_of_day(time_us);
        let day = Seen::at(features.mean - features.origin, means, watch).beside(hour_of_day, constants.day_hours);
        let least = constants.least_range * value.abs() / constants.level_cells[RESOLUTIONS - 1];
        let deviation = self.baseline.deviation();
        let off = constants.residual_radii.map(|radius| (radius * deviation).max(least));
        let residual = self.baseline.expected(time_us).map(|expected| Seen::at(x - expected, off, watch));
        let day = self.day.observe(&day, &pace);
        [
            self.level.observe(&level, &pace),
            self.recent.observe(&recent, &pace),
            pair.map_or(0.0, |pair| self.pair.observe(&pair, &pace)),
            if features.days() < constants.day_after_days { 0.0 } else { day },
            residual.map_or(0.0, |residual| self.residual.observe(&residual, &pace)),
        ]
    }

    fn score(&mut self, n: u64, evidence: &[f64]) -> f64 {
        let square: f64 = evidence.iter().map(|e| e * e).sum();
        let rest = self.rest.min((n as f64 * self.constants.rest_share) as u32);
        if self.high.above(n as u32, square, rest) {
            square / (square + self.constants.half * self.constants.half)
        } else {
            0.0
        }
    }
}

/// The constants that are shipped.
fn standard() -> &'static Constants {
    static STANDARD: Constants = Constants::STANDARD;
    &STANDARD
}

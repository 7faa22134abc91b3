//! One metric of one segment: all that is remembered of it, and what its methods say of a value.

use super::baseline::Baseline;
use super::drift::{Adwin, PageHinkley, PageHinkleyPlan, ks};
use super::episode::{Detection, Episode};
use super::level::{Forecast, Level};
use super::novelty::{Direction, Novelty};
use super::plan::{Method, Plan};
use super::score::{Finding, score_of};
use super::tight;
use super::window::Newest;
use serde::{Deserialize, Serialize};

/// A series without what it owns; a constant, for sizes differ between native and WASM.
pub(super) const FIXED_BYTES: usize = 1104;

/// Slots of a period of adaptation: their means are compared with as many before them.
pub(super) const SLOTS: usize = 42;

/// Page-Hinkley test of a series' forecast errors, in units of its expected error.
const ERRORS: PageHinkleyPlan = PageHinkleyPlan { min_n: 30, delta: 0.1, threshold: 15.0, alpha: 0.9999 };
/// Where numbers for ADWIN are cut, so that their squares stay finite.
const FAR: f64 = 1e9;
/// Confidence of ADWIN.
const ADWIN_DELTA: f64 = 0.002;

/// The state of a series.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Series {
    pub level: Level,
    pub newest: Newest,
    pub baseline: Baseline,
    novelty: Option<Novelty>,
    pub episode: Option<Box<Episode>>,
    /// The strongest detection since the series was as usual
    pub detection: Option<Box<Detection>>,
    pub drift: Drift,
    /// Until when the newest detection lets a later observation begin an anomaly
    pub armed_until: i64,
    /// Event time of the newest observation
    pub last: i64,
}

/// What was seen of a series' changes since it was last adapted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Drift {
    slot: Slot,
    errors: PageHinkley,
    /// Means of slots in `unit`
    values: Adwin,
    /// σ of the first value that was forecast: ADWIN wants numbers of the size of one
    unit: f64,
    /// Means of slots, oldest first
    means: Vec<f32>,
    pub performance: bool,
    pub concept: bool,
}

/// A slot that is being averaged.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Slot {
    index: i64,
    values: u32,
    sum: f64,
    /// Of those that were forecast: how many, and the sum of |error|/σ
    forecast: u32,
    errors: f64,
}

impl Series {
    /// An empty one.
    pub fn new(plan: &Plan) -> Series {
        let novelty = plan.methods.iter().find_map(|method| match method {
            Method::Novelty(config) => Some(Novelty::new(config)),
            _ => None,
        });
        Series { novelty, armed_until: i64::MIN, last: i64::MIN, ..Series::default() }
    }

    /// What a method other than the forest says of a value. `novelty` learns it at once.
    pub fn judge(
        &mut self,
        method: &Method,
        (time, value, events): (i64, f64, Option<u64>),
        forecast: Option<Forecast>,
        scratch: &mut Vec<f64>,
    ) -> Option<Finding> {
        match method {
            Method::Forest => None,
            Method::Statistical(plan) => plan.judge(&self.newest, value, scratch),
            Method::Trend(plan) => plan.judge(&self.newest, time, value),
            Method::Novelty(_) => novelty(self.novelty.as_mut()?, time, Some(value)),
            Method::Seasonal(plan) => {
                let forecast = forecast.filter(|_| events.unwrap_or(0) >= plan.min_events)?;
                let t = (value - forecast.expected).abs() / forecast.width(plan.z);
                Some(Finding {
                    score: score_of(t),
                    expected: Some(forecast.expected),
                    range: Some(forecast.range(plan.z)),
                    parts: Vec::new(),
                    n: self.level.count(),
                })
            }
        }
    }

    /// An observation without a value passes: only `novelty` wants to know.
    pub fn miss(&mut self, time: i64) {
        if let Some(novelty) = &mut self.novelty {
            novelty.observe(time, None);
        }
    }

    /// Learns a value after it was judged.
    pub fn learn(&mut self, (time, value, events): (i64, f64, f64), forecast: Option<Forecast>, plan: &Plan) {
        if plan.newest > 0 {
            self.newest.push(time, value, plan.newest);
        }
        let plain = value - self.level.offset(time);
        self.drift.add(time.div_euclid(plan.drift_slot_us), plain, forecast, value);
        self.level.learn(time, value, events, plan.smoothing);
        self.baseline.add(time, value, &plan.baseline);
        self.last = self.last.max(time);
    }

    /// Begins anew from its newest values.
    pub fn restart(&mut self) {
        self.baseline.restart();
        let mut newest: Vec<f64> = self.baseline.sample().collect();
        if let Some(median) = crate::math::exact(&mut newest, 0.5) {
            self.level.restart(median);
        }
        self.drift = Drift::default();
    }

    /// Memory in bytes: the struct and what it owns.
    pub fn bytes(&self) -> usize {
        FIXED_BYTES
            + self.newest.bytes()
            + self.baseline.bytes()
            + self.level.bytes()
            + self.novelty.as_ref().map_or(0, Novelty::heap_bytes)
            + tight::bytes(&self.drift.means)
            + self.drift.values.bytes()
            + self.episode.as_ref().map_or(0, |episode| episode.bytes())
            + self.detection.as_ref().map_or(0, |detection| detection.bytes())
    }

    /// Could this be a state of the plan?
    pub fn fits(&self, plan: &Plan) -> bool {
        let novelty = plan.methods.iter().find_map(|method| match method {
            Method::Novelty(config) => Some(config),
            _ => None,
        });
        // An open anomaly has all that its end tells.
        let told = |episode: &Episode| episode.told.as_ref().is_some_and(|told| told.fits(plan.feature_count()));
        let whole = |episode: &Episode| told(episode) && self.detection.is_some();
        let open = self.episode.as_ref().is_none_or(|episode| episode.anomaly_id.is_none() || whole(episode))
            && self.detection.as_ref().is_none_or(|detection| detection.fits(plan.methods.len()));
        let own =
            open && self.level.fits() && self.newest.fits(plan.newest) && self.baseline.fits() && self.drift.fits();
        own && match (&self.novelty, novelty) {
            (Some(novelty), Some(config)) => novelty.fits(config),
            (novelty, config) => novelty.is_none() && config.is_none(),
        }
    }
}

fn novelty(novelty: &mut Novelty, time: i64, value: Option<f64>) -> Option<Finding> {
    let seen = novelty.observe(time, value);
    let outside = match seen.direction {
        Direction::Up => 1.0,
        Direction::Down => -1.0,
        Direction::None => 0.0,
    };
    let parts = seen.parts.iter().map(|(_, worth)| *worth).chain([outside]).collect();
    Some(Finding { score: seen.score?, expected: seen.expected, range: seen.range, parts, n: seen.n })
}

impl Drift {
    /// Takes a value, freed of the hour's offset; tests at the end of each slot.
    fn add(&mut self, slot: i64, plain: f64, forecast: Option<Forecast>, value: f64) {
        if slot > self.slot.index || self.slot.values == 0 {
            self.close();
            self.slot = Slot { index: slot, ..Slot::default() };
        }
        let own = &mut self.slot;
        (own.values, own.sum) = (own.values.saturating_add(1), own.sum + plain);
        if let Some(f) = forecast {
            own.forecast = own.forecast.saturating_add(1);
            own.errors += ((value - f.expected) / f.sigma).abs().min(100.0);
            if self.unit == 0.0 {
                self.unit = f.sigma;
            }
        }
    }

    fn close(&mut self) {
        let Slot { values, sum, forecast, errors, .. } = self.slot;
        if values == 0 {
            return;
        }
        if forecast > 0 {
            self.performance |= self.errors.add(errors / f64::from(forecast), &ERRORS);
        }
        let mean = sum / f64::from(values);
        if self.unit > 0.0 {
            self.concept |= self.values.add((mean / self.unit).clamp(-FAR, FAR), ADWIN_DELTA, 1);
        }
        if self.means.len() >= 2 * SLOTS {
            self.means.remove(0);
        }
        tight::push(&mut self.means, mean as f32);
    }

    /// Kolmogorov-Smirnov test of the newest period and the one before it: D and p; `None` below two periods.
    pub fn distributions(&self) -> Option<(f64, f64)> {
        let (before, newest) = self.means.split_at_checked(SLOTS).filter(|(_, newest)| newest.len() == SLOTS)?;
        let numbers = |means: &[f32]| means.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        ks(&mut numbers(before), &mut numbers(newest))
    }

    /// Could values have made it?
    pub fn fits(&self) -> bool {
        self.means.len() <= 2 * SLOTS
            && self.values.fits()
            && self.errors.fits()
            && (0.0..f64::INFINITY).contains(&self.unit)
    }

    /// Mean of the newest values that are alike.
    pub fn mean(&self) -> f64 {
        self.values.mean() * self.unit
    }
}

//! What verdicts and drift change: weights and threshold.
//!
//! Feedback. With the combined score c of the strongest detection and the threshold θ (0.5 of a majority) the
//! detector claims an anomaly with p = 1/(1 + exp(−10 (c − θ))). A verdict y (1 true, 0 false) costs the logistic
//! loss −y ln p − (1 − y) ln(1 − p), and its reward is the step against the gradient: θ −= η m (y − p), and
//! wᵢ += η m (y − p) ∂c/∂wᵢ, η = 0.05; that derivative is the method's score in an average, its vote in a
//! majority, and 0 where the highest score counts. The weight m is 1 for what a person said; for
//! `resolved` after T hours it is 1/(1 + T) and y is 1: what is dealt with at once mattered. Weights stay
//! at least 0.02 and add up to 1; θ stays within half of the written threshold and half way to 1.
//!
//! Threshold adjustment. The scores of a period are counted in 50 classes; if more lay above θ than in the
//! period before, θ rises to the edge above which as many do, within the same bounds.
//!
//! `exp` may differ between native and WASM in the last digit.

use super::learning::{Feedback, FeedbackSource};
use super::plan::Plan;
use super::score::{boundary, pull};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Anomalies whose verdict is waited for; beyond it the oldest is forgotten.
const REMEMBERED: usize = 1024;
const ETA: f64 = 0.05;
const STEEPNESS: f64 = 10.0;
const LEAST_WEIGHT: f64 = 0.02;
const CLASSES: usize = 50;

/// Weights and threshold as they are now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    pub weights: Vec<f64>,
    pub threshold: f64,
    /// Scores since the last adjustment, by class
    classes: Vec<u64>,
    /// Share of scores above the threshold in the period before
    rate: Option<f64>,
    remembered: VecDeque<Remembered>,
    #[serde(deserialize_with = "crate::stage::count")]
    pub true_positives: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    pub false_positives: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Remembered {
    anomaly_id: Box<str>,
    /// Of the methods, and what they were together
    scores: Vec<f32>,
    score: f32,
}

impl Remembered {
    fn fits(&self, methods: usize) -> bool {
        let share = |x: &f32| (0.0..=1.0).contains(x);
        share(&self.score) && self.scores.len() == methods && self.scores.iter().all(share)
    }
}

impl Learned {
    /// As written.
    pub fn new(plan: &Plan) -> Learned {
        Learned {
            weights: plan.weights.clone(),
            threshold: plan.threshold,
            classes: vec![0; CLASSES],
            rate: None,
            remembered: VecDeque::new(),
            true_positives: 0,
            false_positives: 0,
        }
    }

    /// Counts a combined score.
    pub fn count(&mut self, score: f64) {
        let at = ((score * CLASSES as f64) as usize).min(CLASSES - 1);
        if let Some(class) = self.classes.get_mut(at) {
            *class = class.saturating_add(1);
        }
    }

    /// Remembers an anomaly, and the methods' scores, until its verdict.
    pub fn remember(&mut self, anomaly_id: &str, scores: Vec<f32>, score: f64) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(Remembered { anomaly_id: anomaly_id.into(), scores, score: score as f32 });
    }

    /// Learns from a verdict; false if it says nothing, or about nothing that is remembered.
    pub fn verdict(&mut self, id: &str, verdict: &str, resolution_s: Option<f64>, of: &Feedback, plan: &Plan) -> bool {
        let by_hand = of.sources.contains(&FeedbackSource::ManualValidation);
        let (truth, weight) = match verdict {
            "true_positive" if by_hand => (1.0, 1.0),
            "false_positive" if by_hand => (0.0, 1.0),
            "resolved" if of.sources.contains(&FeedbackSource::ResolutionTime) => {
                let hours = resolution_s.filter(|s| *s >= 0.0).unwrap_or(3600.0) / 3600.0;
                (1.0, 1.0 / (1.0 + hours))
            }
            _ => return false,
        };
        let Some(at) = self.remembered.iter().position(|r| *r.anomaly_id == *id) else { return false };
        let Some(Remembered { scores, score, .. }) = self.remembered.remove(at) else { return false };
        if truth > 0.5 {
            self.true_positives += 1
        } else {
            self.false_positives += 1
        }
        let over = f64::from(score) - boundary(plan.voting, self.threshold);
        let p = 1.0 / (1.0 + (-STEEPNESS * over).exp());
        let step = ETA * weight * (truth - p);
        for (own, score) in self.weights.iter_mut().zip(&scores) {
            *own = (*own + step * pull(plan.voting, f64::from(*score))).max(LEAST_WEIGHT);
        }
        let sum: f64 = self.weights.iter().sum();
        self.weights.iter_mut().for_each(|w| *w /= sum);
        self.threshold = bounded(self.threshold - step, plan);
        true
    }

    /// A period ends. If more scores lay above the threshold than in the one before and it `adjusts`, the
    /// threshold rises to where as many do; it never falls, for a calm period is no reason to be told more.
    /// Did it?
    pub fn end_period(&mut self, adjusts: bool, plan: &Plan) -> bool {
        let all: u64 = self.classes.iter().sum();
        if all == 0 {
            return false;
        }
        let before = self.threshold;
        let above = |edge: usize| self.classes.iter().skip(edge).sum::<u64>() as f64 / all as f64;
        let now = (self.threshold * CLASSES as f64).round() as usize;
        let allowed = self.rate.map(|rate| rate.max(1.0 / all as f64));
        if let Some(rate) = allowed.filter(|rate| adjusts && above(now) > *rate) {
            let edge = (now..CLASSES).find(|edge| above(*edge) <= rate).unwrap_or(CLASSES);
            self.threshold = bounded(edge as f64 / CLASSES as f64, plan);
        }
        self.rate = Some(above((self.threshold * CLASSES as f64).round() as usize));
        self.classes.fill(0);
        self.threshold != before
    }

    /// Could this be a state of the plan?
    pub fn fits(&self, plan: &Plan) -> bool {
        let methods = plan.methods.len();
        self.weights.len() == methods
            && self.weights.iter().all(|w| w.is_finite() && *w > 0.0)
            && self.threshold.is_finite()
            && self.classes.len() == CLASSES
            && self.classes.iter().all(|n| *n < 1 << 56)
            && self.remembered.len() <= REMEMBERED
            && self.remembered.iter().all(|known| known.fits(methods))
    }
}

fn bounded(threshold: f64, plan: &Plan) -> f64 {
    threshold.clamp(plan.threshold / 2.0, (1.0 + plan.threshold) / 2.0)
}

//! A detector: what its document says, and what the two presets stand for.
//!
//! The keys are those of the user's document, in snake_case. Unknown keys are errors.

use super::novelty::STREAMS;
use super::score::HALF;
use serde::{Deserialize, Serialize};

/// A detector. Every key may be left out; `preset` decides what `algorithm` then is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Detector {
    /// What `algorithm` is where it is left out: `best`, which is `novelty`, and `seasonal` where rows say how
    /// many events they stand for, either being enough; or `ensemble`, which is isolation-forest 0.4,
    /// statistical-threshold 0.3 and trend-analysis 0.3. Default: best.
    pub preset: Preset,
    /// The methods and how they vote. Default: that of `preset`.
    pub algorithm: Option<Algorithm>,
    /// Long names of the metrics it looks at; a value that is none of them is not scored. Default:
    /// first-contentful-paint, largest-contentful-paint, first-input-delay, cumulative-layout-shift,
    /// interaction-to-next-paint.
    pub metrics: Vec<String>,
    /// How small a change matters, 0 to 1: a deviation from the expected value below `1 - sensitivity` of the
    /// segment's baseline is not validated. 0.85 asks for 15 %. Default: 0.85.
    pub sensitivity: f64,
    /// How models learn.
    pub training: Training,
    /// The expected range of each series.
    pub thresholds: Thresholds,
    /// What is usual of each segment: what a change has to be a share of.
    pub baselines: Baselines,
    /// Learning from verdicts.
    pub feedback: Feedback,
    /// What happens when the data drift.
    pub adaptation: Adaptation,
    /// When a detection becomes an anomaly.
    pub validation: Validation,
}

impl Default for Detector {
    fn default() -> Self {
        Detector {
            preset: Preset::Best,
            algorithm: None,
            metrics: METRICS.iter().map(|(long, _)| long.to_string()).take(5).collect(),
            sensitivity: 0.85,
            training: Training::default(),
            thresholds: Thresholds::default(),
            baselines: Baselines::default(),
            feedback: Feedback::default(),
            adaptation: Adaptation::default(),
            validation: Validation::default(),
        }
    }
}

impl Detector {
    /// The algorithm: as written, or that of the preset.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.clone().unwrap_or_else(|| Algorithm::of(self.preset))
    }
}

/// Long and short names of metrics.
pub const METRICS: [(&str, &str); 6] = [
    ("first-contentful-paint", "fcp"),
    ("largest-contentful-paint", "lcp"),
    ("first-input-delay", "fid"),
    ("cumulative-layout-shift", "cls"),
    ("interaction-to-next-paint", "inp"),
    ("time-to-first-byte", "ttfb"),
];

/// The short name of a metric: `lcp`; a metric that is no web vital has one name.
pub fn short_name(metric: &str) -> &str {
    METRICS.iter().find(|(long, _)| *long == metric).map_or(metric, |(_, short)| short)
}

/// Named algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `novelty`, and `seasonal` where rows say how many events they stand for
    #[default]
    Best,
    /// isolation-forest 0.4, statistical-threshold 0.3 and trend-analysis 0.3
    Ensemble,
}

impl Preset {
    /// The preset of that name: an id that needs no document.
    pub fn parse(name: &str) -> Option<Preset> {
        match name {
            "best" => Some(Preset::Best),
            "ensemble" => Some(Preset::Ensemble),
            _ => None,
        }
    }
}

/// The methods and how they vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// Only `ensemble`, of one method or more.
    #[serde(rename = "type", default)]
    pub algorithm_type: AlgorithmType,
    /// The methods. At least one.
    pub methods: Vec<WeightedMethod>,
    /// How single scores become one: `weighted-average`, `majority` or `max`. Default:
    /// weighted-average.
    #[serde(default)]
    pub voting_strategy: Voting,
    /// The combined score from which an observation is a detection, 0 to 1. Default: 0.6.
    #[serde(default = "default_threshold")]
    pub threshold: f64,
}

pub(super) fn default_threshold() -> f64 {
    0.6
}

impl Algorithm {
    /// What a preset stands for.
    pub fn of(preset: Preset) -> Algorithm {
        let method = |name, weight| WeightedMethod { name, weight, parameters: Parameters::default() };
        let (methods, voting_strategy, threshold) = match preset {
            // Novelty alone is more than half of the weight, so it speaks of rows that say no number of events.
            Preset::Best => {
                let parameters = Parameters {
                    confidence_interval: Some(BEST_CONFIDENCE),
                    min_events: Some(1),
                    ..Parameters::default()
                };
                let seasonal = WeightedMethod { name: MethodName::Seasonal, weight: 1.0, parameters };
                (vec![method(MethodName::Novelty, 2.0), seasonal], Voting::Max, HALF)
            }
            Preset::Ensemble => {
                let methods = vec![
                    method(MethodName::IsolationForest, 0.4),
                    method(MethodName::StatisticalThreshold, 0.3),
                    method(MethodName::TrendAnalysis, 0.3),
                ];
                (methods, Voting::WeightedAverage, default_threshold())
            }
        };
        Algorithm { algorithm_type: AlgorithmType::Ensemble, methods, voting_strategy, threshold }
    }
}

/// Confidence of the range that `seasonal` of the preset `best` compares with: 5.3 σ, for 250 series are asked
/// 288 times a day.
const BEST_CONFIDENCE: f64 = 0.999_999_9;

/// The only type of algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AlgorithmType {
    /// Methods that vote
    #[default]
    Ensemble,
}

/// How single scores become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Voting {
    /// Mean of the scores by weight
    #[default]
    WeightedAverage,
    /// Weight of the methods that vote, as a share; a detection needs more than half of it, whatever `threshold` is
    /// (Littlestone and Warmuth 1994)
    Majority,
    /// The highest score
    Max,
}

/// One method and its weight. Every method gives a score of 0 to 1 that is 0.5 at its own boundary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WeightedMethod {
    /// Which method.
    pub name: MethodName,
    /// Share in the weighted average, above 0; weights need not add up to 1. Default: 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// Its parameters; one that is another method's is an error.
    #[serde(default)]
    pub parameters: Parameters,
}

fn one() -> f64 {
    1.0
}

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// How few random cuts set the observation apart from the training rows, across metrics
    IsolationForest,
    /// How far the value lies outside of what the newest values span
    StatisticalThreshold,
    /// How sure it is that the newest values rise or fall
    TrendAnalysis,
    /// How seldom the series has been where it is now
    Novelty,
    /// How far the value lies outside of the expected range of `thresholds`
    Seasonal,
}

impl MethodName {
    /// The word in `name`.
    pub const fn name(self) -> &'static str {
        match self {
            MethodName::IsolationForest => "isolation-forest",
            MethodName::StatisticalThreshold => "statistical-threshold",
            MethodName::TrendAnalysis => "trend-analysis",
            MethodName::Novelty => "novelty",
            MethodName::Seasonal => "seasonal",
        }
    }

    /// Names of what its score is made of, in order.
    pub(super) const fn parts(self) -> &'static [&'static str] {
        match self {
            MethodName::IsolationForest => &["rank"],
            MethodName::TrendAnalysis => &["slope_per_minute", "p_value", "effective_n"],
            MethodName::Novelty => &[STREAMS[0], STREAMS[1], STREAMS[2], STREAMS[3], STREAMS[4], "outside"],
            MethodName::StatisticalThreshold | MethodName::Seasonal => &[],
        }
    }
}

/// Parameters of all methods; each says whose it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// isolation-forest: share of the training rows that lie beyond its boundary, above 0 and up to
    /// 0.5. Default: 0.1.
    pub contamination: Option<f64>,
    /// isolation-forest: short names of the metrics that are looked at together, joined by segment and
    /// window end; `inp` stands in for `fid`. Default: all metrics of the detector.
    pub features: Option<Vec<String>>,
    /// isolation-forest: seed. Default: 42.
    pub random_state: Option<u64>,
    /// isolation-forest: number of trees, 1 to 1,000. Default: 100.
    pub trees: Option<u32>,
    /// isolation-forest: rows per tree, 2 to 4,096. Default: 256.
    pub sub_sample: Option<u32>,
    /// statistical-threshold: `iqr` beyond the quartiles, `z` by mean and standard deviation, `robust-z`
    /// by median and MAD; trend-analysis: `linear-regression`. Default: iqr; linear-regression.
    pub method: Option<Statistic>,
    /// statistical-threshold: its boundary in interquartile ranges or deviations (by default 2.5);
    /// seasonal: in half-widths of the expected range (by default 1). Above 0.
    pub multiplier: Option<f64>,
    /// seasonal: observations that stand for fewer events, or do not say for how many (the step's `count`), are
    /// not judged by it. Default: 0, it judges all.
    pub min_events: Option<u64>,
    /// statistical-threshold, trend-analysis: number of newest values, 8 to 2,000. Default: 100.
    pub window_size: Option<u32>,
    /// trend-analysis: confidence of the range expected next (by default 0.95); seasonal: of the expected range that
    /// it compares with (by default `thresholds.confidence`). Above 0 and below 1.
    pub confidence_interval: Option<f64>,
    /// trend-analysis: a slope is a trend if chance would give such a one less often than this.
    /// Default: 0.05.
    pub significance_threshold: Option<f64>,
    /// novelty: observations before the first score. Default: 100.
    pub warm_up: Option<u32>,
    /// novelty: observations after a high score in which only a higher one is reported. Default: 60.
    pub rest: Option<u32>,
}

/// What a method computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// Quartiles, and the range between them
    Iqr,
    /// Mean and standard deviation
    Z,
    /// Median, and the median distance from it
    RobustZ,
    /// Least squares over time
    LinearRegression,
}

pub use super::learning::{
    Adaptation, AdaptationMethod, BaselineMethod, Baselines, DerivedFeature, Feedback, FeedbackAdaptation,
    FeedbackSource, Frequency, Learning, Side, ThresholdAdaptation, Thresholds, Training, TrainingFeatures,
    TrainingMethod, Trigger, Validation,
};

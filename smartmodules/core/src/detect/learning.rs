//! The parts of a detector's document about learning: training, thresholds, baselines, feedback,
//! adaptation, and when a detection is believed.

use crate::duration::Span;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$word])* $variant),+ }
    };
}

const fn hours(n: i64) -> Span {
    Span::minutes(60 * n)
}

/// How models learn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Only `online`: every observation is learned after it was scored.
    pub method: TrainingMethod,
    /// Rows the forest is trained on, 64 to 100,000. Default: 1000.
    pub window_size: u32,
    /// How often the forest is grown anew, in event time. Default: 1h.
    pub update_frequency: Span,
    /// Training rows older than this are forgotten. Default: 7d.
    pub retention_period: Span,
    /// What a training row holds beside the metrics.
    pub features: TrainingFeatures,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            method: TrainingMethod::Online,
            window_size: 1000,
            update_frequency: hours(1),
            retention_period: hours(7 * 24),
            features: TrainingFeatures::default(),
        }
    }
}

words!(
    /// How models learn.
    TrainingMethod {
        /// Observation by observation
        #[default]
        Online,
    }
);

/// What a training row holds beside the metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TrainingFeatures {
    /// Fields whose values are categories, as page, browser, device. Default: none.
    pub categorical: Vec<String>,
    /// Fields whose values are numbers. `value` is the observation itself; `timestamp` orders the rows
    /// and gives the derived features, but is no coordinate of the forest: it only grows, so every
    /// new row would lie outside. Default: none.
    pub numerical: Vec<String>,
    /// Features of the event time, UTC: `hour-of-day`, `day-of-week`. Default: none.
    pub derived: Vec<DerivedFeature>,
}

words!(
    /// A feature of the event time, UTC.
    DerivedFeature {
        /// 0 to 23
        #[default]
        HourOfDay,
        /// 0 to 6, Monday first
        DayOfWeek,
    }
);

/// The expected range of each series: an exponentially smoothed level, with a profile of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Must an anomaly lie outside of the expected range? Default: true.
    pub dynamic: bool,
    /// Only `exponential-smoothing`.
    pub adaptation: ThresholdAdaptation,
    /// Learn a profile of the hours of the day; used once two days were seen. Default: true.
    pub seasonality: bool,
    /// Share of ordinary values inside of the range, above 0 and below 1. Default: 0.95.
    pub confidence: f64,
    /// The level follows with a time constant of a quarter of this. Default: 24h.
    pub baseline_window: Span,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            dynamic: true,
            adaptation: ThresholdAdaptation::ExponentialSmoothing,
            seasonality: true,
            confidence: 0.95,
            baseline_window: hours(24),
        }
    }
}

words!(
    /// How thresholds follow the data.
    ThresholdAdaptation {
        /// Level and profile of the day, each smoothed
        #[default]
        ExponentialSmoothing,
    }
);

/// What is usual of each segment: what a change has to be a share of, and what an anomaly is told beside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Baselines {
    /// Only `rolling-percentile`.
    pub method: BaselineMethod,
    /// The percentile, 0.01 to 99.99. Default: 75.
    pub percentile: f64,
    /// Over how much event time, up to 31d. Default: 24h.
    pub window: Span,
    /// How often it is computed anew, at least `window`/96. Default: 1h.
    pub update_frequency: Span,
    /// Fields whose values make a segment; each segment and metric is a series of its own. Default:
    /// page, browser.
    pub segmentation: Vec<String>,
}

impl Default for Baselines {
    fn default() -> Self {
        Baselines {
            method: BaselineMethod::RollingPercentile,
            percentile: 75.0,
            window: hours(24),
            update_frequency: hours(1),
            segmentation: ["page", "browser"].map(String::from).to_vec(),
        }
    }
}

words!(
    /// What a baseline is.
    BaselineMethod {
        /// A percentile of the newest values
        #[default]
        RollingPercentile,
    }
);

/// Learning from verdicts, which come as feedback records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Feedback {
    /// Do weights and threshold learn? Default: true.
    pub enabled: bool,
    /// Whose word counts: `manual-validation` (verdicts true_positive and false_positive) and
    /// `resolution-time` (verdict resolved; the sooner, the more it counts). Default: both.
    pub sources: Vec<FeedbackSource>,
    /// Only `reinforcement`: a verdict is a reward for the methods that voted.
    pub learning: Learning,
    /// Only `gradient-descent`: on the logistic loss of the verdict.
    pub adaptation: FeedbackAdaptation,
}

impl Default for Feedback {
    fn default() -> Self {
        Feedback {
            enabled: true,
            sources: vec![FeedbackSource::ManualValidation, FeedbackSource::ResolutionTime],
            learning: Learning::Reinforcement,
            adaptation: FeedbackAdaptation::GradientDescent,
        }
    }
}

words!(
    /// Whose word counts.
    FeedbackSource {
        /// A person said true_positive or false_positive
        #[default]
        ManualValidation,
        /// How long it took until it was resolved
        ResolutionTime,
    }
);

words!(
    /// What a verdict is to the methods.
    Learning {
        /// A reward
        #[default]
        Reinforcement,
    }
);

words!(
    /// How weights and threshold follow.
    FeedbackAdaptation {
        /// One step down the gradient of the loss
        #[default]
        GradientDescent,
    }
);

/// What happens when the data drift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Adaptation {
    /// Is drift looked for, and acted on? Default: true.
    pub enabled: bool,
    /// What counts as drift: `performance-drift`, forecasts that become worse (Page-Hinkley test), and
    /// `concept-drift`, values of another distribution (ADWIN, or a Kolmogorov-Smirnov test). Default: both.
    pub triggers: Vec<Trigger>,
    /// What is done then: `model-retraining`, `threshold-adjustment`. Default: both.
    pub methods: Vec<AdaptationMethod>,
    /// How often at most: `hourly`, `daily` or `weekly`, in event time. Default: weekly.
    pub frequency: Frequency,
}

impl Default for Adaptation {
    fn default() -> Self {
        Adaptation {
            enabled: true,
            triggers: vec![Trigger::PerformanceDrift, Trigger::ConceptDrift],
            methods: vec![AdaptationMethod::ModelRetraining, AdaptationMethod::ThresholdAdjustment],
            frequency: Frequency::Weekly,
        }
    }
}

words!(
    /// What counts as drift.
    Trigger {
        /// Forecasts become worse: Page-Hinkley test of their error
        #[default]
        PerformanceDrift,
        /// Values are of another distribution: ADWIN of their level, and Kolmogorov-Smirnov
        ConceptDrift,
    }
);

words!(
    /// What is done about drift.
    AdaptationMethod {
        /// Models begin anew from the newest values
        #[default]
        ModelRetraining,
        /// The threshold moves to where the detection rate was
        ThresholdAdjustment,
    }
);

words!(
    /// How often at most.
    Frequency {
        /// Once an hour
        Hourly,
        /// Once a day
        Daily,
        /// Once a week
        #[default]
        Weekly,
    }
);

impl Frequency {
    /// Its length.
    pub fn span(self) -> Span {
        match self {
            Frequency::Hourly => hours(1),
            Frequency::Daily => hours(24),
            Frequency::Weekly => hours(7 * 24),
        }
    }
}

/// When a detection becomes an anomaly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Validation {
    /// It has lasted this long, in event time. Default: 0s.
    pub min_duration: Span,
    /// This many observations in a row, the detection and those after it that stay outside of the
    /// expected range, 1 to 10,000. Default: 2.
    pub min_count: u32,
    /// Observations that stand for fewer events (the step's `count`) are no evidence. Default: 0.
    pub min_events: u64,
    /// Detections of a series less than this apart are one anomaly. Default: 10m.
    pub fold: Span,
    /// Which way matters: `up`, `down` or `both`. Default: both.
    pub direction: Side,
    /// A detection is excluded if a share in the step's `mix` has moved by more than this, 0 to 1.
    /// Default: 0.1.
    pub mix_shift: f64,
}

impl Default for Validation {
    fn default() -> Self {
        Validation {
            min_duration: Span::ZERO,
            min_count: 2,
            min_events: 0,
            fold: Span::minutes(10),
            direction: Side::Both,
            mix_shift: 0.1,
        }
    }
}

words!(
    /// Which way matters.
    Side {
        /// Values above the expected ones
        Up,
        /// Values below the expected ones
        Down,
        /// Both
        #[default]
        Both,
    }
);

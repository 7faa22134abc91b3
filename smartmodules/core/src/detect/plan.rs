//! The config, checked and made ready: every error at once, every default filled in.

use super::baseline::{BaselinePlan, SLOTS_MAX};
use super::config::DetectConfig;
use super::detector::{
    Detector, METRICS, MethodName, Parameters, Side, Statistic, Validation, Voting, WeightedMethod, default_threshold,
    short_name,
};
use super::forest::ForestPlan;
use super::learning::{DerivedFeature, Training};
use super::level::Smoothing;
use super::novelty::{NoveltyConfig, STREAMS};
use super::series::SLOTS;
use super::window::{StatisticalPlan, TrendPlan};
use crate::config::{Issue, Issues};
use crate::duration::Span;
use crate::math::ForestParams;
use crate::row::Kind;
use crate::value::Value;
use statrs::distribution::{ContinuousCDF, Normal};

/// A method, ready.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Method {
    Forest,
    Statistical(StatisticalPlan),
    Trend(TrendPlan),
    Novelty(NoveltyConfig),
    Seasonal(SeasonalPlan),
}

/// `seasonal`, ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SeasonalPlan {
    /// Standard deviations from the expected value to its boundary
    pub z: f64,
    pub min_events: u64,
}

/// All that a stage computes with.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Names and parameters, in the order of the file
    pub names: Vec<MethodName>,
    pub methods: Vec<Method>,
    /// As written, adding up to 1
    pub weights: Vec<f64>,
    pub voting: Voting,
    pub threshold: f64,
    /// Long names
    pub metrics: Vec<Box<str>>,
    /// Least change that matters, as a share of the expected value
    pub effect: f64,
    pub smoothing: Smoothing,
    /// Must an anomaly lie outside of the expected range?
    pub dynamic: bool,
    /// Quantile of the normal distribution for the range's confidence
    pub z: f64,
    pub baseline: BaselinePlan,
    /// Length of the slots whose means are tested for drift: 42 of them are a period of `adaptation`
    pub drift_slot_us: i64,
    pub validation: Validation,
    pub forest: Option<ForestPlan>,
    pub sources: Sources,
    /// Newest values that some method needs
    pub newest: usize,
}

/// Where the features of a forest row come from.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sources {
    /// Metrics looked at together, by number in `Plan::metrics`, and the one that stands in
    pub metrics: Vec<(usize, Option<usize>)>,
    pub value: bool,
    /// Fields of the row
    pub fields: Vec<String>,
    pub derived: Vec<DerivedFeature>,
}

impl Sources {
    /// Does a row of features know any of its metrics?
    pub(super) fn is_known(&self, features: &[Value<'_>]) -> bool {
        features.iter().take(self.metrics.len()).any(|value| !value.is_null())
    }
}

/// Quantile of the normal distribution that holds a share of it around the middle.
pub(super) fn z_of(confidence: f64) -> f64 {
    Normal::new(0.0, 1.0).map_or(1.96, |normal| normal.inverse_cdf(0.5 + confidence / 2.0))
}

impl Plan {
    /// Of a detector; everything that is wrong with it, with paths inside of the document.
    pub(super) fn new(detector: &Detector) -> Result<Plan, Issues> {
        let mut issues = Issues::new();
        let algorithm = detector.algorithm();
        ranges(detector, &mut issues);
        if algorithm.methods.is_empty() {
            let issue = Issue::error("algorithm.methods", "expected at least one method, found none");
            issues.push(issue.hint("leave `algorithm` out and write `preset: best`"));
        }
        let (mut forest, mut sources, mut methods) = (None, Sources::default(), Vec::new());
        for (at, method) in algorithm.methods.iter().enumerate() {
            let path = format!("algorithm.methods[{at}]");
            check_method(method, &path, &mut issues);
            let p = &method.parameters;
            let window = p.window_size.unwrap_or(100) as usize;
            methods.push(match method.name {
                MethodName::IsolationForest => {
                    let (plan, from) = forest_plan(detector, p, &path, &mut issues);
                    if forest.replace(plan).is_some() {
                        issues.push(Issue::error(
                            format!("{path}.name"),
                            "a detector has one isolation-forest, found two",
                        ));
                    }
                    sources = from;
                    Method::Forest
                }
                MethodName::StatisticalThreshold => Method::Statistical(StatisticalPlan {
                    statistic: p.method.unwrap_or(Statistic::Iqr),
                    multiplier: p.multiplier.unwrap_or(2.5),
                    window,
                }),
                MethodName::TrendAnalysis => Method::Trend(TrendPlan::new(
                    window,
                    p.confidence_interval.unwrap_or(0.95),
                    p.significance_threshold.unwrap_or(0.05),
                )),
                MethodName::Novelty => {
                    let defaults = NoveltyConfig::default();
                    Method::Novelty(NoveltyConfig {
                        warm_up: p.warm_up.unwrap_or(defaults.warm_up),
                        rest: p.rest.unwrap_or(defaults.rest),
                    })
                }
                MethodName::Seasonal => Method::Seasonal(SeasonalPlan {
                    z: z_of(p.confidence_interval.unwrap_or(detector.thresholds.confidence))
                        * p.multiplier.unwrap_or(1.0),
                    min_events: p.min_events.unwrap_or(0),
                }),
            });
        }
        crate::config::fail_on_errors(&issues)?;
        let sum: f64 = algorithm.methods.iter().map(|m| m.weight).sum();
        let window = |m: &Method| match m {
            Method::Statistical(plan) => plan.window,
            Method::Trend(plan) => plan.window,
            _ => 0,
        };
        Ok(Plan {
            names: algorithm.methods.iter().map(|m| m.name).collect(),
            newest: methods.iter().map(window).max().unwrap_or(0),
            methods,
            weights: algorithm.methods.iter().map(|m| m.weight / sum).collect(),
            voting: algorithm.voting_strategy,
            threshold: algorithm.threshold,
            metrics: detector.metrics.iter().map(|m| m.as_str().into()).collect(),
            effect: 1.0 - detector.sensitivity,
            smoothing: Smoothing {
                tau_us: detector.thresholds.baseline_window.us() as f64 / 4.0,
                seasonal: detector.thresholds.seasonality,
            },
            dynamic: detector.thresholds.dynamic,
            z: z_of(detector.thresholds.confidence),
            baseline: BaselinePlan {
                quantile: detector.baselines.percentile / 100.0,
                window_us: detector.baselines.window.us(),
                slot_us: detector.baselines.update_frequency.us(),
            },
            drift_slot_us: detector.adaptation.frequency.span().us() / SLOTS as i64,
            validation: detector.validation.clone(),
            forest,
            sources,
        })
    }

    /// The number of a metric among the features: the forest's, if it looks at it.
    pub(super) fn own_feature(&self, metric: usize) -> usize {
        let reads = |(own, stand_in): &(usize, Option<usize>)| *own == metric && *stand_in != Some(metric);
        self.sources.metrics.iter().position(reads).unwrap_or(self.features().len())
    }

    /// Names of the forest's features; none without one.
    pub(super) fn features(&self) -> &[Box<str>] {
        self.forest.as_ref().map_or(&[], |forest| &forest.features)
    }

    /// How many features there are in all: the forest's, the metric itself, and what `novelty` sees in it.
    pub(super) fn feature_count(&self) -> usize {
        self.features().len() + 1 + STREAMS.len()
    }

    /// The name of a feature by its number, and of the part of the metric that `novelty` looks at.
    pub(super) fn feature(&self, metric: usize, number: usize) -> (String, Option<&'static str>) {
        let features = self.features();
        let own = self.metrics.get(metric).map_or("", |m| short_name(m));
        match number.checked_sub(features.len()) {
            None => (features[number].to_string(), None),
            Some(stream) => (own.into(), stream.checked_sub(1).and_then(|at| STREAMS.get(at).copied())),
        }
    }

    /// Does this way of leaving the range matter?
    pub(super) fn matters(&self, up: bool) -> bool {
        match self.validation.direction {
            Side::Both => true,
            Side::Up => up,
            Side::Down => !up,
        }
    }
}

fn forest_plan(detector: &Detector, p: &Parameters, path: &str, issues: &mut Issues) -> (ForestPlan, Sources) {
    let position = |name: &str| detector.metrics.iter().position(|m| m == name || short_name(m) == name);
    let mut sources = Sources::default();
    let mut names: Vec<Box<str>> = Vec::new();
    let all: Vec<String> = detector.metrics.iter().map(|m| short_name(m).to_string()).collect();
    for (at, name) in p.features.as_ref().filter(|f| !f.is_empty()).unwrap_or(&all).iter().enumerate() {
        let stand_in = (name == "fid").then(|| position("inp")).flatten();
        match position(name).or(stand_in) {
            Some(metric) => {
                sources.metrics.push((metric, stand_in));
                names.push(name.as_str().into());
            }
            None => {
                let path = format!("{path}.parameters.features[{at}]");
                let issue = Issue::error(path, format!("`{name}` is none of the detector's metrics"));
                issues.push(issue.hint(format!("one of {}", all.join(", "))));
            }
        }
    }
    let features = &detector.training.features;
    sources.value = features.numerical.iter().any(|f| f == "value");
    let numbers = features.numerical.iter().filter(|f| *f != "value" && *f != "timestamp");
    sources.fields = features.categorical.iter().chain(numbers).cloned().collect();
    sources.derived = features.derived.clone();
    names.extend(sources.value.then(|| "value".into()));
    names.extend(sources.fields.iter().map(|f| f.as_str().into()));
    names.extend(sources.derived.iter().map(|d| match d {
        DerivedFeature::HourOfDay => "hour-of-day".into(),
        DerivedFeature::DayOfWeek => "day-of-week".into(),
    }));
    let params = ForestParams {
        trees: p.trees.unwrap_or(100),
        sub_sample: p.sub_sample.unwrap_or(256),
        seed: p.random_state.unwrap_or(42),
    };
    let plan = ForestPlan {
        params,
        contamination: p.contamination.unwrap_or(0.1),
        window: detector.training.window_size as usize,
        update_us: detector.training.update_frequency.us(),
        retention_us: detector.training.retention_period.us(),
        features: names,
    };
    (plan, sources)
}

/// A parameter of another method, or one out of range.
fn check_method(method: &WeightedMethod, path: &str, issues: &mut Issues) {
    use MethodName::{IsolationForest, Novelty, Seasonal, StatisticalThreshold, TrendAnalysis};
    let p = &method.parameters;
    let mut check = |name: &str, there: bool, of: &[MethodName]| {
        if there && !of.contains(&method.name) {
            let whose: Vec<&str> = of.iter().map(|m| m.name()).collect();
            let message = format!("`{}` has no parameter `{name}`", method.name.name());
            let issue = Issue::error(format!("{path}.parameters.{name}"), message);
            issues.push(issue.hint(format!("it is one of {}", whose.join(", "))));
        }
    };
    check("contamination", p.contamination.is_some(), &[IsolationForest]);
    check("features", p.features.is_some(), &[IsolationForest]);
    check("random_state", p.random_state.is_some(), &[IsolationForest]);
    check("trees", p.trees.is_some(), &[IsolationForest]);
    check("sub_sample", p.sub_sample.is_some(), &[IsolationForest]);
    check("method", p.method.is_some(), &[StatisticalThreshold, TrendAnalysis]);
    check("multiplier", p.multiplier.is_some(), &[StatisticalThreshold, Seasonal]);
    check("window_size", p.window_size.is_some(), &[StatisticalThreshold, TrendAnalysis]);
    check("confidence_interval", p.confidence_interval.is_some(), &[TrendAnalysis, Seasonal]);
    check("min_events", p.min_events.is_some(), &[Seasonal]);
    check("significance_threshold", p.significance_threshold.is_some(), &[TrendAnalysis]);
    check("warm_up", p.warm_up.is_some(), &[Novelty]);
    check("rest", p.rest.is_some(), &[Novelty]);
    let line = p.method == Some(Statistic::LinearRegression);
    if p.method.is_some() && line != (method.name == TrendAnalysis) {
        let expected = if method.name == TrendAnalysis { "linear-regression" } else { "iqr, z or robust-z" };
        issues.push(Issue::error(format!("{path}.parameters.method"), format!("expected {expected}")));
    }
    let path = format!("{path}.parameters");
    within(issues, &format!("{path}.contamination"), p.contamination, 1e-6, 0.5);
    within(issues, &format!("{path}.trees"), p.trees.map(f64::from), 1.0, 1000.0);
    within(issues, &format!("{path}.sub_sample"), p.sub_sample.map(f64::from), 2.0, 4096.0);
    within(issues, &format!("{path}.multiplier"), p.multiplier, 1e-3, 1e3);
    within(issues, &format!("{path}.window_size"), p.window_size.map(f64::from), 8.0, 2000.0);
    within(issues, &format!("{path}.confidence_interval"), p.confidence_interval, 0.01, 0.999_999_999);
    within(issues, &format!("{path}.significance_threshold"), p.significance_threshold, 1e-9, 0.5);
    within(issues, &format!("{path}.warm_up"), p.warm_up.map(f64::from), 20.0, 10_000.0);
    within(issues, &format!("{path}.rest"), p.rest.map(f64::from), 0.0, 200.0);
    within(issues, path.trim_end_matches(".parameters"), Some(method.weight), 1e-6, 1e6);
}

fn within(issues: &mut Issues, path: &str, value: Option<f64>, low: f64, high: f64) {
    if let Some(value) = value.filter(|v| !(low..=high).contains(v)) {
        issues.push(Issue::error(path, format!("expected {low} to {high}, found {value}")));
    }
}

/// Numbers of the document that are out of range.
fn ranges(detector: &Detector, issues: &mut Issues) {
    let mut check = |path: &str, value: f64, low: f64, high: f64| within(issues, path, Some(value), low, high);
    check("sensitivity", detector.sensitivity, 0.0, 1.0);
    check("algorithm.threshold", detector.algorithm().threshold, 0.0, 1.0);
    check("training.window_size", f64::from(detector.training.window_size), 64.0, 100_000.0);
    check("thresholds.confidence", detector.thresholds.confidence, 0.5, 0.999_999_999);
    check("baselines.percentile", detector.baselines.percentile, 0.01, 99.99);
    check("validation.min_count", f64::from(detector.validation.min_count), 1.0, 10_000.0);
    check("validation.mix_shift", detector.validation.mix_shift, 0.0, 1.0);
    if detector.baselines.window > Span::minutes(31 * 24 * 60) {
        let message = format!("expected up to 31d, found {}", detector.baselines.window);
        issues.push(Issue::error("baselines.window", message));
    }
    let (window, slot) = (detector.baselines.window.us(), detector.baselines.update_frequency.us());
    if slot <= 0 || window / slot.max(1) > SLOTS_MAX || window < slot {
        let message = format!(
            "expected 1 to {SLOTS_MAX} updates in a window, found {} in {}",
            detector.baselines.update_frequency, detector.baselines.window
        );
        issues.push(Issue::error("baselines.update_frequency", message));
    }
    for (path, span) in [
        ("training.update_frequency", detector.training.update_frequency),
        ("training.retention_period", detector.training.retention_period),
        ("thresholds.baseline_window", detector.thresholds.baseline_window),
        ("validation.fold", detector.validation.fold),
    ] {
        if span.us() <= 0 {
            issues.push(Issue::error(path, "expected a duration above 0s, found 0s"));
        }
    }
    if detector.metrics.is_empty() || detector.metrics.len() > 64 {
        let message = format!("expected 1 to 64 metrics, found {}", detector.metrics.len());
        issues.push(Issue::error("metrics", message));
    }
    for (at, metric) in detector.metrics.iter().enumerate() {
        if metric.is_empty() || detector.metrics[..at].iter().any(|m| short_name(m) == short_name(metric)) {
            let message = format!("expected a metric's name, each once, found `{metric}`");
            issues.push(Issue::error(format!("metrics[{at}]"), message));
        }
    }
}

/// What may be meant otherwise, and what is written and has no effect.
pub(super) fn doubts(detector: &Detector) -> Issues {
    let mut issues = Issues::new();
    for (at, metric) in detector.metrics.iter().enumerate() {
        if let Some(near) = misspelt(metric) {
            let message = format!("`{metric}` is no web vital: a metric of your own");
            issues.push(Issue::warning(format!("metrics[{at}]"), message).hint(format!("did you mean `{near}`?")));
        }
    }
    let algorithm = detector.algorithm();
    let forest = algorithm.methods.iter().any(|m| m.name == MethodName::IsolationForest);
    if !forest && detector.training != Training::default() {
        let issue = Issue::warning("training", "has no effect: only `isolation-forest` is trained");
        issues.push(issue.hint("leave it out, or add that method"));
    }
    if algorithm.voting_strategy == Voting::Majority && algorithm.threshold != default_threshold() {
        let issue = Issue::warning("algorithm.threshold", "has no effect: a majority is more than half of the weight");
        issues.push(issue.hint("leave it out, or vote by `weighted-average` or `max`"));
    }
    issues
}

/// The long name that a metric's name is almost.
fn misspelt(metric: &str) -> Option<&'static str> {
    let near = |long: &str| (1..=2).contains(&strsim::damerau_levenshtein(long, metric));
    METRICS.iter().map(|(long, _)| *long).find(|long| near(long))
}

/// Kinds that are looked at, and what is wrong with the step itself.
pub(super) fn check_step(config: &DetectConfig, metrics: &[Box<str>], issues: &mut Issues) -> [bool; Kind::ALL.len()] {
    within(issues, "max_segments", Some(f64::from(config.max_segments)), 1.0, 1e6);
    let mut kinds = [false; Kind::ALL.len()];
    for (at, name) in config.kinds.iter().enumerate() {
        match Kind::parse(name) {
            Some(kind) if !matches!(kind, Kind::DeadLetter | Kind::Late | Kind::Progress | Kind::Gap) => {
                kinds[kind as usize] = true;
            }
            _ => {
                let message = format!("expected a kind of record that has values, found `{name}`");
                issues.push(Issue::error(format!("kinds[{at}]"), message).hint("as event, window or session"));
            }
        }
    }
    for name in config.fields.keys() {
        if !metrics.iter().any(|m| **m == **name || short_name(m) == name) {
            let known: Vec<&str> = metrics.iter().map(|m| short_name(m)).collect();
            let issue = Issue::error(format!("fields.{name}"), format!("`{name}` is none of the detector's metrics"));
            issues.push(issue.hint(format!("one of {}", known.join(", "))));
        }
    }
    kinds
}

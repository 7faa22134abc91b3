//! Tests against other implementations and exact arithmetic; small ones stand beside their code.

mod encoder;
mod forest;
mod percentile;
mod regression;
mod sketch;
mod values;

use super::random::SplitMix64;

/// Reads a file of the repository's `tests/golden`.
fn golden<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The order statistics on both sides of the quantile, by sorting.
fn neighbours(values: &[f64], q: f64) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = ((sorted.len() - 1) as f64 * q) as usize;
    (sorted[below], sorted[(below + 1).min(sorted.len() - 1)])
}

/// Fails unless `answer` lies between the neighbours of the quantile, each widened by 0.1 %.
fn assert_near(answer: f64, values: &[f64], q: f64) {
    let (low, high) = neighbours(values, q);
    assert!(
        low - 1e-3 * low.abs() <= answer && answer <= high + 1e-3 * high.abs(),
        "q {q} of {} values: {answer} is not in {low} … {high}",
        values.len()
    );
}

/// Values that spread over many powers of ten: 10^-4 … 10^9.
fn log_uniform(random: &mut SplitMix64) -> f64 {
    10f64.powf(random.unit() * 13.0 - 4.0)
}

/// Roughly log-normal around 2,500, as page load times in milliseconds are.
fn load_time(random: &mut SplitMix64) -> f64 {
    let normal = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
    (2500.0 * (0.5 * normal).exp()).round()
}

/// State as the stages save and restore it.
fn restored<T: serde::Serialize + serde::de::DeserializeOwned>(state: &T) -> T {
    crate::stage::load(&crate::stage::save(state)).expect("own state loads")
}

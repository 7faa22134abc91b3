//! Regression against golden values of scipy, and its state.

use super::{golden, restored};
use crate::math::Moments;
use crate::math::random::SplitMix64;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
    slope: f64,
    intercept: f64,
    r2: Option<f64>,
    p_value: Option<f64>,
    slope_stderr: Option<f64>,
}

fn cases() -> Vec<Case> {
    golden("regression.json")
}

fn moments(points: impl Iterator<Item = (f64, f64)>) -> Moments {
    let mut moments = Moments::default();
    points.for_each(|(x, y)| moments.add(x, y));
    moments
}

/// Equal to 1e-9 of the greater, or of `scale` where rounding of that scale is what is left.
fn same(name: &str, ours: f64, scipy: f64, scale: f64) {
    let off = (ours - scipy).abs();
    assert!(off <= 1e-9 * ours.abs().max(scipy.abs()).max(scale), "{name}: {ours} {scipy}");
}

fn check(case: &Case, moments: &Moments) {
    let name = &case.name;
    let fit = moments.fit().expect("a line");
    assert_eq!(fit.n, case.x.len() as u64);
    same(name, fit.slope, case.slope, 0.0);
    same(name, fit.intercept, case.intercept, 0.0);
    // r, and so p and the error, is undefined for constant y: we say that the line explains nothing.
    same(name, fit.r2, case.r2.unwrap_or(0.0), 0.0);
    if fit.n < 3 {
        assert_eq!((fit.p_value, fit.slope_stderr), (None, None), "{name}");
        return;
    }
    let p = fit.p_value.expect("three points");
    match fit.r2 {
        1.0 => assert!(p == 0.0 && case.p_value.is_some_and(|p| p < 1e-9), "{name}"),
        _ => same(name, p, case.p_value.unwrap_or(1.0), 0.0),
    }
    same(name, fit.slope_stderr.expect("three points"), case.slope_stderr.unwrap_or(0.0), 0.0);
}

#[test]
fn equals_scipy() {
    let cases = cases();
    assert!(cases.len() >= 12);
    for case in &cases {
        check(case, &moments(case.x.iter().copied().zip(case.y.iter().copied())));
    }
}

#[test]
fn equals_scipy_when_merged_from_slices_and_restored() {
    for case in &cases() {
        for slice in [1, 2, 7] {
            let mut all = Moments::default();
            let points: Vec<(f64, f64)> = case.x.iter().copied().zip(case.y.iter().copied()).collect();
            for chunk in points.chunks(slice) {
                all.merge(&restored(&moments(chunk.iter().copied())));
                all.merge(&Moments::default());
            }
            check(case, &all);
        }
    }
}

#[test]
fn no_line() {
    assert_eq!(Moments::default().fit(), None);
    assert_eq!(moments([(1.0, 2.0)].into_iter()).fit(), None);
    assert_eq!(moments([(1.7e9, 2.0), (1.7e9, 3.0), (1.7e9, 4.0)].into_iter()).fit(), None);
    let with_nan = moments([(1.0, f64::NAN), (f64::INFINITY, 1.0), (1.0, 2.0)].into_iter());
    assert_eq!((with_nan.count(), with_nan.fit()), (1, None));
    assert_eq!(moments([(-1e308, 0.0), (1e308, 1.0), (0.0, 1e308)].into_iter()).fit(), None);
}

/// The slope must not depend on where x begins.
#[test]
fn an_epoch_origin_keeps_the_slope() {
    let mut random = SplitMix64::new(8);
    let points: Vec<(f64, f64)> =
        (0..5000).map(|n| (f64::from(n) * 0.5, 100.0 + random.unit() * 50.0 + f64::from(n) * 0.01)).collect();
    let near = moments(points.iter().copied()).fit().expect("a line");
    let far = moments(points.iter().map(|&(x, y)| (x + 1_717_200_000.0, y))).fit().expect("a line");
    same("slope", far.slope, near.slope, 0.0);
    same("r2", far.r2, near.r2, 0.0);
}

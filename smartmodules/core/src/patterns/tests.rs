//! Held against others (`tests/golden/patterns.json`, made by `patterns.py`), and: noise has no patterns.

use super::correlation::spearman;
use super::ranks::{hamed_rao, inflation};
use super::season::fisher;
use super::*;
use crate::math::random::SplitMix64;
use serde::Deserialize;

const MINUTE_US: i64 = 60_000_000;
const START_US: i64 = 1_767_600_000_000_000;

#[derive(Deserialize)]
struct Golden {
    trend: Vec<TrendCase>,
    shift: Vec<ShiftCase>,
    fisher: Vec<FisherCase>,
    spearman: Vec<SpearmanCase>,
}

#[derive(Deserialize)]
struct TrendCase {
    name: String,
    values: Vec<f64>,
    tau: f64,
    p_plain: f64,
    var_plain: f64,
    var_modified: f64,
    slope: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize)]
struct ShiftCase {
    name: String,
    values: Vec<f64>,
    statistic: f64,
    place: usize,
    p: f64,
}

#[derive(Deserialize)]
struct FisherCase {
    m: usize,
    share: Vec<f64>,
    p: Vec<f64>,
}

#[derive(Deserialize)]
struct SpearmanCase {
    a: Vec<f64>,
    b: Vec<f64>,
    rho: f64,
    p: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../../../tests/golden/patterns.json")).expect("the golden file")
}

fn series(values: &[f64]) -> Series {
    Series { start_us: START_US, step_us: 5 * MINUTE_US, values: values.iter().copied().map(Some).collect() }
}

fn near(found: f64, expected: f64, within: f64, what: &str) {
    assert!((found - expected).abs() <= within * expected.abs().max(1e-12), "{what}: {found}, not {expected}");
}

#[test]
fn trends_are_those_of_pymannkendall_and_scipy() {
    let mut plain = 0;
    for case in golden().trend {
        let found = trend(&series(&case.values)).expect("a trend");
        near(found.tau, case.tau, 1e-12, &case.name);
        near(found.slope, case.slope, 1e-12, &case.name);
        let rest: Vec<f64> = case.values.iter().enumerate().map(|(t, x)| x - found.slope * t as f64).collect();
        near(hamed_rao(&rest), case.var_modified / case.var_plain, 1e-9, &case.name);
        // Where memory is found p is larger, and the interval wider.
        assert!(found.p_value >= case.p_plain * (1.0 - 1e-9), "{}", case.name);
        if inflation(&rest) == 1.0 {
            plain += 1;
            // Theirs is 1 − cdf, which has no more digits.
            assert!((found.p_value - case.p_plain).abs() < 1e-12, "{}: {}", case.name, found.p_value);
            near(found.interval[0] / 12.0, case.low, 1e-9, &case.name);
            near(found.interval[1] / 12.0, case.high, 1e-9, &case.name);
        }
    }
    assert!((2..6).contains(&plain), "{plain} without memory");
}

#[test]
fn shifts_are_those_of_pyhomogeneity() {
    let mut equal = 0;
    for case in golden().shift {
        let found = shift(&series(&case.values)).expect("a shift");
        assert_eq!((found.statistic, found.n_before), (case.statistic, case.place), "{}", case.name);
        // Memory makes it larger.
        assert!(found.p_value >= case.p.min(1.0) * (1.0 - 1e-12), "{}: {} < {}", case.name, found.p_value, case.p);
        equal += usize::from((found.p_value - case.p).abs() < 1e-12);
    }
    assert!(equal >= 2, "{equal} without memory");
}

#[test]
fn the_largest_ordinate_is_as_rare_as_simulated() {
    for case in golden().fisher {
        for (share, p) in case.share.iter().zip(&case.p) {
            near(fisher(*share, case.m), *p, 0.1, &format!("{} ordinates", case.m));
        }
    }
}

#[test]
fn correlations_are_those_of_scipy() {
    for case in golden().spearman {
        let (rho, p) = spearman(&case.a, &case.b).expect("a correlation");
        near(rho, case.rho, 1e-12, "rho");
        near(p, case.p, 1e-9, "p");
    }
}

/// Normal by twelve uniform numbers (Irwin and Hall), with memory.
fn noise(random: &mut SplitMix64, n: usize, phi: f64) -> Vec<f64> {
    let mut normal = || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
    let mut last = normal() / (1.0 - phi * phi).sqrt();
    let mut next = || {
        last = phi * last + normal();
        last
    };
    (0..n).map(|_| next()).collect()
}

/// Of noise, at most the stated share has a pattern of each kind: ALPHA, doubled for noise with memory, which the tests
/// know only by estimate; within three deviations of 600 tries.
#[test]
fn noise_has_no_patterns() {
    let mut random = SplitMix64::new(11);
    const TRIES: usize = 600;
    for (phi, allowed) in [(0.0, ALPHA), (0.5, 2.0 * ALPHA)] {
        let mut found = [0; 4];
        for _ in 0..TRIES {
            let series = series(&noise(&mut random, 120, phi));
            found[0] += usize::from(trend(&series).is_some_and(|t| t.p_value <= ALPHA));
            found[1] += usize::from(shift(&series).is_some_and(|s| s.p_value <= ALPHA));
            found[2] += usize::from(season(&series).is_some_and(|s| s.p_value <= ALPHA));
            found[3] += usize::from(spikes(&series).is_some_and(|s| s.p_value <= ALPHA));
        }
        let bound = allowed * TRIES as f64 + 3.0 * (allowed * TRIES as f64).sqrt();
        println!("phi {phi}: {found:?} of {TRIES}, bound {bound:.1}");
        assert!(found.iter().all(|n| (*n as f64) <= bound), "phi {phi}: {found:?} of {TRIES}");
    }
}

#[test]
fn series_that_wander_do_not_correlate() {
    let mut random = SplitMix64::new(12);
    let mut told = 0;
    for _ in 0..40 {
        let many: Vec<Series> = (0..4).map(|_| series(&noise(&mut random, 100, 0.95))).collect();
        told += usize::from(!correlations(&many, |_, _| true).is_empty());
    }
    assert!(told <= 3, "{told} of 40 groups");
}

#[test]
fn what_is_there_is_found() {
    let mut random = SplitMix64::new(13);
    let mut with = |what: &dyn Fn(usize) -> f64| {
        let noise = noise(&mut random, 288, 0.3);
        patterns(&series(&(0..288).map(|t| 2000.0 + 40.0 * noise[t] + what(t)).collect::<Vec<_>>()), 8)
    };
    let [Pattern::Trend(t)] = &with(&|t| 2.0 * t as f64)[..] else { panic!("no trend alone") };
    assert!((t.slope_per_hour - 24.0).abs() < 2.0 && t.interval[0] < t.slope_per_hour, "{t:?}");
    let [Pattern::LevelShift(s)] = &with(&|t| if t >= 200 { 300.0 } else { 0.0 })[..] else { panic!("no shift alone") };
    assert!((198..=202).contains(&s.n_before) && (s.after - s.before - 300.0).abs() < 30.0, "{s:?}");
    let wave = |t: usize| 100.0 * (std::f64::consts::TAU * t as f64 / 36.0).sin();
    let [Pattern::Seasonality(s)] = &with(&wave)[..] else { panic!("no season alone") };
    assert!((s.period_ms - 36 * 300_000).abs() <= 300_000, "{s:?}");
    let [Pattern::PeriodicSpikes(s)] = &with(&|t| if t % 24 == 7 { 600.0 } else { 0.0 })[..] else {
        panic!("no spikes alone")
    };
    assert_eq!((s.period_ms, s.count, s.regular), (24 * 300_000, 12, 11));
    // A fault that ends is neither a trend nor a level.
    let fault = with(&|t| if (150..190).contains(&t) { 500.0 } else { 0.0 });
    assert!(!fault.iter().any(|p| matches!(p, Pattern::Trend(_) | Pattern::LevelShift(_))), "{fault:?}");
}

#[test]
fn one_that_follows_another_is_told_with_its_lag() {
    let mut random = SplitMix64::new(14);
    let (cause, own) = (noise(&mut random, 150, 0.5), noise(&mut random, 150, 0.5));
    let follows: Vec<f64> = (0..150).map(|t| if t < 3 { 0.0 } else { 2.0 * cause[t - 3] } + own[t]).collect();
    let all = [series(&follows), series(&cause), series(&noise(&mut random, 150, 0.5))];
    let found = correlations(&all, |_, _| true);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.first, one.second, one.lag_ms), (1, 0, 3 * 300_000));
    let text = sentence::together(
        &sentence::Subject { metric: "a".into(), ..Default::default() },
        &sentence::Subject { metric: "b".into(), segment: "page=/".into(), ..Default::default() },
        one,
    );
    assert!(text.starts_with("a and b of page=/ move together, the first 15m ahead (Spearman"), "{text}");
}

#[test]
fn few_values_gaps_and_equal_values_say_nothing() {
    assert!(patterns(&series(&[1.0; 10]), 1).is_empty());
    assert!(patterns(&series(&[1.0; 100]), 1).is_empty());
    let mut gaps = series(&(0..100).map(f64::from).collect::<Vec<_>>());
    assert!(!patterns(&gaps, 1).is_empty());
    gaps.values.iter_mut().step_by(3).for_each(|x| *x = None);
    assert!(patterns(&gaps, 1).is_empty(), "a third is missing");
    assert_eq!(Series::new(&[(0, f64::NAN)], 1), Series::default());
    assert!(season(&Series::default()).is_none() && spikes(&Series::default()).is_none());
}

#[test]
fn a_long_series_is_made_coarser() {
    let points: Vec<(i64, f64)> = (0..6001).map(|n| (START_US + n * MINUTE_US, n as f64)).collect();
    let series = Series::new(&points, MINUTE_US);
    assert_eq!((series.step_us, series.values.len(), series.values[0]), (4 * MINUTE_US, 1501, Some(1.5)));
    assert_eq!(Series::new(&[(5, 1.0), (5, 2.0)], 1).values, [Some(2.0)], "the later one stands");
}

#[test]
fn numbers_are_short() {
    let said: Vec<String> = [38.04, 4123.6, 0.01234, 0.0, -2.5, 150.25].into_iter().map(sentence::number).collect();
    assert_eq!(said, ["38.04", "4124", "0.0123", "0", "-2.5", "150.2"]);
    assert_eq!([86_400_000, 604_800_000, 7_200_000].map(sentence::span), ["day", "week", "2h"]);
}

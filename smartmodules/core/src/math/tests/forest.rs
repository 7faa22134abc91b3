//! Isolation forests against golden files of scikit-learn, and their state.

use super::{golden, restored};
use crate::math::random::SplitMix64;
use crate::math::{Calibrated, Encoder, Forest, ForestParams, exact};
use crate::value::OwnedValue;

#[derive(serde::Deserialize)]
struct Golden {
    trees: u32,
    sub_sample: u32,
    rows: Vec<Vec<serde_json::Value>>,
    mean_scores: Vec<f64>,
    median_single_seed_spearman: f64,
}

/// Ranks from 1, ties sharing their mean.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |x: f64| sorted.partition_point(|&y| y < x) as f64;
    let not_above = |x: f64| sorted.partition_point(|&y| y <= x) as f64;
    values.iter().map(|&x| (below(x) + not_above(x) + 1.0) / 2.0).collect()
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// The bound is asked of the default seed; the median of 21 seeds shows that it is no lucky one.
/// (The golden mean contains each of scikit-learn's seeds but none of ours: ours lie 0.002 lower.)
fn as_good_as_scikit_learn(name: &str) {
    let golden: Golden = golden(name);
    let width = golden.rows[0].len();
    let rows: Vec<OwnedValue> = golden.rows.iter().flatten().map(OwnedValue::from).collect();
    let rows = Encoder::fit(&rows, width).expect("rows").encode_rows(&rows);
    let correlation = |seed| {
        let params = ForestParams { trees: golden.trees, sub_sample: golden.sub_sample, seed };
        let forest = Calibrated::fit(&rows, width, params).expect("fits");
        let raw: Vec<f64> = rows.chunks_exact(width).map(|row| forest.forest().score(row)).collect();
        let rank: Vec<f64> = rows.chunks_exact(width).map(|row| forest.rank(row)).collect();
        let raw = spearman(&raw, &golden.mean_scores);
        assert!((raw - spearman(&rank, &golden.mean_scores)).abs() < 1e-9);
        raw
    };
    let ours = correlation(ForestParams::default().seed);
    let median = exact(&mut (0..21).map(correlation).collect::<Vec<_>>(), 0.5).expect("seeds");
    let theirs = golden.median_single_seed_spearman;
    println!("{name}: ours {ours:.4}, median of 21 seeds {median:.4}, scikit-learn {theirs:.4}");
    assert!(ours >= theirs - 0.02, "{name}: {ours} {theirs}");
    assert!(median >= theirs - 0.01, "{name}: {median} {theirs}");
}

#[test]
fn gaussian_with_outliers() {
    as_good_as_scikit_learn("forest_gaussian.json");
}

#[test]
fn load_times_with_categories() {
    as_good_as_scikit_learn("forest_lcp.json");
}

#[test]
fn anomalies_between_two_clusters() {
    as_good_as_scikit_learn("forest_clusters.json");
}

fn cloud(count: usize, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    (0..2 * count).map(|_| (0..6).map(|_| random.unit()).sum::<f64>()).collect()
}

/// The generator, the draws and the arithmetic are fixed: these figures change only on purpose.
#[test]
fn the_same_on_every_machine() {
    let forest = Calibrated::fit(&cloud(300, 9), 2, ForestParams::default()).expect("fits");
    let ranks = [[3.0, 3.0], [0.0, 0.0], [3.0, 5.5]].map(|row| forest.rank(&row));
    assert_eq!(ranks, [46.0 / 300.0, 1.0, 292.0 / 300.0]);
}

#[test]
fn rank_is_calibrated() {
    let rows = cloud(400, 10);
    let forest = Calibrated::fit(&rows, 2, ForestParams::default()).expect("fits");
    let mut ranks: Vec<f64> = rows.chunks_exact(2).map(|row| forest.rank(row)).collect();
    ranks.sort_by(f64::total_cmp);
    // Uniform over the training rows: the top tenth is a tenth of them.
    assert_eq!(ranks.iter().filter(|&&rank| rank > 0.9).count(), 40);
    assert!((ranks.iter().sum::<f64>() / 400.0 - 0.5).abs() < 1e-9);
    assert!(forest.rank(&[100.0, -100.0]) > 0.99);
    assert!(forest.rank(&[3.0, 3.0]) < 0.4);
    assert_eq!(forest.trained_on(), 400);
    let fresh = cloud(2000, 11);
    let share = fresh.chunks_exact(2).filter(|row| forest.rank(row) > 0.9).count() as f64 / 2000.0;
    assert!((0.05..0.2).contains(&share), "{share}");
}

#[test]
fn equal_rows_are_all_ordinary() {
    let forest = Calibrated::fit(&[5.0; 60], 3, ForestParams::default()).expect("fits");
    assert_eq!(forest.rank(&[5.0, 5.0, 5.0]), 0.5);
    assert!((forest.forest().score(&[5.0, 5.0, 5.0]) - 0.5).abs() < 1e-12);
}

#[test]
fn what_cannot_be_fitted() {
    let params = ForestParams::default();
    assert_eq!(Forest::fit(&[], 1, params), None);
    assert_eq!(Forest::fit(&[1.0], 1, params), None);
    assert_eq!(Forest::fit(&[1.0, 2.0], 0, params), None);
    assert_eq!(Forest::fit(&[1.0, 2.0, 3.0], 2, params), None);
    assert_eq!(Forest::fit(&[1.0, f64::NAN], 1, params), None);
    let none = ForestParams { trees: 0, sub_sample: 0, seed: 0 };
    let tiny = Forest::fit(&[1.0, 2.0], 1, none).expect("taken as 1 tree of 2 rows");
    assert!((tiny.score(&[1.0]) - 0.5).abs() < 1e-12);
    assert!(tiny.score(&[]).is_finite() && tiny.score(&[f64::NAN]).is_finite());
    let wide = Forest::fit(&[-1e308, 1e308, 0.0, 1e-308], 1, params).expect("clamped to f32");
    assert!(wide.score(&[1e300]) > 0.0);
}

#[test]
fn scores_stay_in_range_and_small() {
    let rows = cloud(1000, 12);
    let forest = Forest::fit(&rows, 2, ForestParams::default()).expect("fits");
    for row in rows.chunks_exact(2) {
        let score = forest.score(row);
        assert!(score > 0.0 && score <= 1.0);
    }
    assert!(forest.bytes() < 420_000, "{}", forest.bytes());
}

#[test]
fn restored_forests_score_the_same() {
    let rows = cloud(300, 13);
    let forest = Calibrated::fit(&rows, 2, ForestParams::default()).expect("fits");
    let again = restored(&forest);
    assert_eq!(forest, again);
    assert_eq!(forest.bytes(), again.bytes());
}

#[test]
fn damaged_state_does_not_panic() {
    let params = ForestParams { trees: 3, sub_sample: 16, seed: 1 };
    let good = crate::stage::save(&Calibrated::fit(&cloud(20, 14), 2, params).expect("fits"));
    let mut random = SplitMix64::new(15);
    for _ in 0..5000 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        if let Ok(forest) = crate::stage::load::<Calibrated>(&bytes) {
            forest.rank(&[1.0, 2.0]);
            forest.forest().score(&[1.0]);
        }
    }
}

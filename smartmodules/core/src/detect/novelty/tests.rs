//! What `novelty` must keep: agreement with a second implementation, bounds, restore, odd input.

use super::{Direction, Novelty, NoveltyConfig, STREAMS};
use crate::math::random::SplitMix64;
use proptest::prelude::*;
use serde::Deserialize;

const MINUTE_US: i64 = 60_000_000;
/// 184 leaders for each stream, of 3, 4, 6, 5 and 4 bytes, with room for three more; 16 scores that fall.
const MOST_BYTES: usize = 187 * 22 + 128;

#[derive(Deserialize)]
struct Case {
    name: String,
    times_us: Vec<i64>,
    values: Vec<Option<f64>>,
    scores: Vec<Option<f64>>,
}

/// `tests/golden/novelty.py` wrote the scores with a second implementation.
#[test]
fn agrees_with_the_second_implementation() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../../tests/golden/novelty.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let mut novelty = Novelty::new(&NoveltyConfig::default());
        assert!(case.scores.iter().flatten().any(|&score| score > 0.4), "{}: nothing scores", case.name);
        for (i, (&time, &value)) in case.times_us.iter().zip(&case.values).enumerate() {
            let score = novelty.observe(time, value).score;
            match (score, case.scores[i]) {
                (Some(ours), Some(theirs)) => {
                    assert!((ours - theirs).abs() < 1e-9, "{} row {i}: {ours} and {theirs}", case.name);
                }
                (ours, theirs) => assert_eq!(ours, theirs, "{} row {i}", case.name),
            }
        }
    }
}

/// Noise of a few percent, five minutes apart.
fn noise(rows: usize, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    (0..rows).map(|_| 100.0 + 4.0 * (random.unit() + random.unit() + random.unit() - 1.5)).collect()
}

fn feed(novelty: &mut Novelty, from: usize, values: &[f64]) -> Vec<super::Observation> {
    values.iter().enumerate().map(|(i, &v)| novelty.observe((from + i) as i64 * 5 * MINUTE_US, Some(v))).collect()
}

#[test]
fn a_step_scores_where_it_begins_and_leaves_the_range() {
    let mut novelty = Novelty::new(&NoveltyConfig::default());
    let before = feed(&mut novelty, 0, &noise(1000, 1));
    assert!(before[600..].iter().all(|seen| seen.score.unwrap() < 0.5), "noise alone scores");
    let after = feed(&mut novelty, 1000, &noise(20, 2).iter().map(|v| v * 1.5).collect::<Vec<_>>());
    assert!(after[0].score.unwrap() > 0.6, "{:?}", after[0]);
    assert!(after.iter().all(|seen| seen.direction == Direction::Up));
    let (low, high) = after[0].range.unwrap();
    let expected = after[0].expected.unwrap();
    assert!(low < expected && expected < high && (98.0..102.0).contains(&expected), "{low} {expected} {high}");
    assert_eq!(after[0].parts.iter().map(|p| p.0).collect::<Vec<_>>(), STREAMS);
    assert_eq!(after[0].n, 1000);
}

#[test]
fn a_day_without_its_peak_is_found_by_the_time_of_day() {
    let day = |i: usize, peak: bool| if peak && (96..192).contains(&(i % 288)) { 80.0 } else { 20.0 };
    let mut novelty = Novelty::new(&NoveltyConfig::default());
    let mut random = SplitMix64::new(3);
    let mut found = None;
    for i in 0..288 * 8 {
        let value = day(i, i / 288 != 6) + random.unit();
        let seen = novelty.observe(i as i64 * 5 * MINUTE_US, Some(value));
        if i >= 288 * 6 && found.is_none() && seen.parts.iter().any(|&(name, worth)| name == "day" && worth > 1.0) {
            found = Some(i % 288);
        }
    }
    assert!((96..192).contains(&found.unwrap()), "{found:?}");
}

#[test]
fn a_constant_is_never_novel() {
    let mut novelty = Novelty::new(&NoveltyConfig::default());
    let seen = feed(&mut novelty, 0, &[7.5; 500]);
    assert!(seen[..100].iter().all(|seen| seen.score.is_none()));
    assert!(seen[100..].iter().all(|seen| seen.score == Some(0.0)));
}

#[test]
fn a_missing_value_has_no_score_and_is_not_learned() {
    let mut novelty = Novelty::new(&NoveltyConfig::default());
    feed(&mut novelty, 0, &noise(200, 4));
    for missing in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
        let seen = novelty.observe(1_000_000 * MINUTE_US, missing);
        assert_eq!((seen.score, seen.n, seen.direction), (None, 200, Direction::None));
    }
}

#[test]
fn within_a_rest_only_a_higher_score_is_reported() {
    let mut novelty = Novelty::new(&NoveltyConfig { warm_up: 20, rest: 60 });
    feed(&mut novelty, 0, &noise(1200, 5));
    let first = feed(&mut novelty, 1200, &[300.0])[0].score.unwrap();
    assert!(first > 0.5);
    let after = feed(&mut novelty, 1201, &noise(60, 6));
    assert!(after.iter().all(|seen| seen.score.unwrap() == 0.0));
}

/// A value of any size and kind, mostly from a few families that fill the memory.
fn any_value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        8 => (0.0..1.0f64).prop_map(Some),
        4 => (1e-6..1.0f64).prop_map(|u| Some(1.0 / u)),
        2 => any::<f64>().prop_map(Some),
        1 => Just(None),
    ]
}

/// A step in time: mostly forward, sometimes none, back, or a leap.
fn any_step() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0..3_600_000_000i64, 2 => Just(0), 1 => -1_000_000_000..0i64, 1 => any::<i64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_input_is_scored_within_bounds(rows in prop::collection::vec((any_step(), any_value()), 1..1500)) {
        let mut novelty = Novelty::new(&NoveltyConfig { warm_up: 20, rest: 200 });
        let mut time: i64 = 0;
        for (step, value) in rows {
            time = time.wrapping_add(step);
            let seen = novelty.observe(time, value);
            prop_assert!(seen.score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{seen:?}");
            prop_assert!(seen.expected.is_none_or(f64::is_finite), "{seen:?}");
            prop_assert!(seen.range.is_none_or(|(low, high)| low <= high && low.is_finite() && high.is_finite()), "{seen:?}");
            prop_assert!(novelty.heap_bytes() <= MOST_BYTES, "{} bytes", novelty.heap_bytes());
        }
    }

    #[test]
    fn restored_anywhere_it_goes_on_with_the_same_bytes(
        rows in prop::collection::vec((any_step(), any_value()), 2..600),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut whole = Novelty::new(&NoveltyConfig { warm_up: 20, rest: 30 });
        let mut cut_up = whole.clone();
        let cut = cut.index(rows.len());
        let mut time: i64 = 0;
        for (i, (step, value)) in rows.into_iter().enumerate() {
            time = time.wrapping_add(step);
            if i == cut {
                let bytes = postcard::to_allocvec(&cut_up).unwrap();
                cut_up = postcard::from_bytes(&bytes).unwrap();
            }
            prop_assert_eq!(whole.observe(time, value), cut_up.observe(time, value));
        }
        prop_assert_eq!(postcard::to_allocvec(&whole).unwrap(), postcard::to_allocvec(&cut_up).unwrap());
    }
}

/// Noise of every kind fills the memory to its end; the bound holds there.
#[test]
fn a_full_memory_stays_within_its_bound() {
    let shapes: [fn(f64, usize) -> f64; 3] =
        [|u, _| u, |u, _| 1.0 / (u + 1e-9), |u, i| u + 1e-3 * (i as f64) * (i as f64)];
    for shape in shapes {
        let mut random = SplitMix64::new(11);
        let mut novelty = Novelty::new(&NoveltyConfig { warm_up: 20, rest: 200 });
        for i in 0..20_000 {
            novelty.observe(i as i64 * 5 * MINUTE_US, Some(shape(random.unit(), i)));
            assert!(novelty.heap_bytes() <= MOST_BYTES, "{} bytes at {i}", novelty.heap_bytes());
        }
    }
}

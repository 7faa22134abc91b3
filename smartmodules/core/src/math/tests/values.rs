//! Values kept exactly until they are too many, and their state.

use super::{assert_near, load_time, log_uniform, restored};
use crate::math::random::SplitMix64;
use crate::math::sketch::Sketch;
use crate::math::values::RAW_MAX;
use crate::math::{Quantiles, Scratch, Values, exact_many, quantiles};
use proptest::prelude::*;

const QS: [f64; 5] = [0.95, 0.75, 0.0, 1.0, 0.5];

fn cut(values: &[f64], parts: usize) -> Vec<Values> {
    let mut slices = vec![Values::default(); parts];
    for (at, &x) in values.iter().enumerate() {
        slices[(at * 7 + at / 3) % parts].add(x);
    }
    slices
}

fn ask(slices: &[Values]) -> Quantiles {
    quantiles(&slices.iter().collect::<Vec<_>>(), &QS, &mut Scratch::default())
}

fn exactly(values: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    exact_many(&mut values.to_vec(), &QS, &mut out);
    out
}

#[test]
fn exact_up_to_the_limit_and_said() {
    let mut random = SplitMix64::new(5);
    let mut scratch = Scratch::default();
    for n in [1, 2, 3, 10, 511, 512, 513, 700, 5000, 40_000] {
        let values: Vec<f64> = (0..n).map(|_| load_time(&mut random)).collect();
        for parts in [1, 3, 10] {
            let slices = cut(&values, parts);
            assert_eq!(slices.iter().map(Values::len).sum::<u64>(), n as u64);
            let answer = quantiles(&slices.iter().collect::<Vec<_>>(), &QS, &mut scratch);
            assert_eq!(answer.approximate, n > RAW_MAX);
            match answer.approximate {
                false => assert_eq!(answer.values, exactly(&values)),
                true => QS.iter().zip(&answer.values).for_each(|(&q, &x)| assert_near(x, &values, q)),
            }
        }
    }
}

#[test]
fn nothing_in_nothing_out() {
    assert_eq!(ask(&[]), Quantiles::default());
    assert_eq!(ask(&[Values::default(), Values::default()]), Quantiles::default());
    let mut values = Values::default();
    values.add(f64::NAN);
    values.add(f64::NEG_INFINITY);
    assert!(values.is_empty());
}

#[test]
fn small_values_are_small() {
    let mut values = Values::default();
    let sizes: Vec<usize> = (0..600)
        .map(|n| {
            values.add(f64::from(n) + 1.0);
            values.bytes()
        })
        .collect();
    assert_eq!(&sizes[..2], [24, 24]);
    for (at, &size) in sizes.iter().enumerate().take(RAW_MAX).skip(20) {
        assert!(size <= 24 + 13 * (at + 1), "{} values: {size} bytes", at + 1);
    }
}

/// The sum is known to lie in a dense range, in a wide one, and on both sides of zero.
#[test]
fn dense_and_sparse_merge_agree_with_one_sketch() {
    let mut random = SplitMix64::new(6);
    let kinds: [fn(&mut SplitMix64) -> f64; 4] = [
        load_time,
        log_uniform,
        |r| 10f64.powf(r.unit() * 500.0 - 250.0),
        |r| log_uniform(r) * if r.below(3) == 0 { -1.0 } else { 1.0 },
    ];
    for kind in kinds {
        let values: Vec<f64> = (0..6000).map(|_| kind(&mut random)).collect();
        let mut sketch = Sketch::default();
        values.iter().for_each(|&x| sketch.add(x));
        let expected: Vec<f64> = QS.iter().map(|&q| sketch.quantile(q).expect("not empty")).collect();
        for parts in [1, 4, 40] {
            assert_eq!(ask(&cut(&values, parts)), Quantiles { values: expected.clone(), approximate: true });
        }
        QS.iter().zip(&expected).for_each(|(&q, &x)| assert_near(x, &values, q));
    }
}

#[test]
fn damaged_state_does_not_panic() {
    let good: Vec<Vec<u8>> =
        [1, 2, 30, 900].map(|n| crate::stage::save(&cut(&(0..n).map(f64::from).collect::<Vec<_>>(), 1)[0])).to_vec();
    let mut random = SplitMix64::new(7);
    let mut scratch = Scratch::default();
    for round in 0..4000 {
        let mut bytes = good[round % good.len()].clone();
        for _ in 0..2 {
            let at = random.below(bytes.len().min(40) as u64) as usize;
            bytes[at] = random.next_u64() as u8;
        }
        if let Ok(mut values) = crate::stage::load::<Values>(&bytes) {
            values.add(1.0);
            values.merge_from(&values.clone());
            quantiles(&[&values, &values], &QS, &mut scratch);
        }
    }
}

#[test]
fn a_busy_slice_among_quiet_ones() {
    let mut random = SplitMix64::new(16);
    for busy in [600, 5000] {
        let mut values = Vec::new();
        let mut slices = vec![Values::default(); 10];
        for (at, slice) in slices.iter_mut().enumerate() {
            for _ in 0..if at == 4 { busy } else { at } {
                values.push(load_time(&mut random));
                slice.add(values[values.len() - 1]);
            }
        }
        let answer = ask(&slices);
        assert_eq!(answer, ask(&cut(&values, 1)));
        QS.iter().zip(&answer.values).for_each(|(&q, &x)| assert_near(x, &values, q));
        slices.rotate_left(4);
        let (first, rest) = slices.split_at_mut(1);
        rest.iter().for_each(|part| first[0].merge_from(part));
        assert_eq!(ask(first), answer);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn slices_merges_and_restores_do_not_show(
        values in prop::collection::vec(prop_oneof![1e-4..1e9f64, 0.0..0.5f64, -3.0..3.0f64, Just(0.0), Just(-0.0), Just(0.25)], 0..1500),
        parts in 1..12usize,
    ) {
        let one = cut(&values, 1);
        let many: Vec<Values> = cut(&values, parts).iter().map(restored).collect();
        let mut merged = Values::default();
        many.iter().for_each(|part| merged.merge_from(part));
        let answer = ask(&one);
        prop_assert_eq!(&ask(&many), &answer);
        prop_assert_eq!(&ask(&[merged]), &answer);
        for (&q, &x) in QS.iter().zip(&answer.values) {
            assert_near(x, &values, q);
        }
        prop_assert_eq!(restored(&one[0]).bytes(), one[0].bytes());
    }
}

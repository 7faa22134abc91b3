//! Exact percentiles against sorting.

use crate::math::{exact, exact_many};
use proptest::prelude::*;

#[test]
fn interpolates_as_numpy() {
    // np.percentile([15, 20, 35, 40, 50], [0, 25, 40, 50, 75, 95, 100])
    let mut values = [50.0, 15.0, 40.0, 20.0, 35.0];
    let mut out = Vec::new();
    exact_many(&mut values, &[0.0, 0.25, 0.4, 0.5, 0.75, 0.95, 1.0], &mut out);
    let expected = [15.0, 20.0, 29.0, 35.0, 40.0, 48.0, 50.0];
    out.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
    // np.percentile([1, 2, 3, 4], 75)
    assert_eq!(exact(&mut [4.0, 3.0, 2.0, 1.0], 0.75), Some(3.25));
}

#[test]
fn edges() {
    assert_eq!(exact(&mut [], 0.5), None);
    assert_eq!(exact(&mut [7.0], 0.99), Some(7.0));
    assert_eq!(exact(&mut [1.0, 2.0], 1.1), None);
    assert_eq!(exact(&mut [1.0, 2.0], f64::NAN), None);
    assert_eq!(exact(&mut [-f64::MAX, f64::MAX], 0.5), Some(0.0));
    let mut out = vec![1.0];
    exact_many(&mut [], &[0.5], &mut out);
    assert!(out.is_empty());
    exact_many(&mut [3.0, 1.0], &[-1.0, 2.0, f64::NAN], &mut out);
    assert_eq!(out, [1.0, 3.0, 1.0]);
}

proptest! {
    #[test]
    fn equals_sorting(values in prop::collection::vec(-1e9..1e9f64, 1..400), qs in prop::collection::vec(0.0..=1.0f64, 0..6)) {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let mut out = Vec::new();
        exact_many(&mut values.clone(), &qs, &mut out);
        prop_assert_eq!(out.len(), qs.len());
        for (&q, &answer) in qs.iter().zip(&out) {
            let h = (sorted.len() - 1) as f64 * q;
            let (low, high) = (sorted[h.floor() as usize], sorted[h.ceil() as usize]);
            let expected = low + (high - low) * h.fract();
            prop_assert!((answer - expected).abs() <= 1e-12 * low.abs().max(high.abs()));
            prop_assert!(low <= answer && answer <= high);
            prop_assert_eq!(exact(&mut values.clone(), q), Some(answer));
        }
    }
}

//! Statistics against river, scipy and numpy (`tests/golden/detect.py`).

use crate::detect::detector::{MethodName, Statistic};
use crate::detect::drift::{Adwin, PageHinkley, PageHinkleyPlan, ks};
use crate::detect::window::{Newest, StatisticalPlan, TrendPlan};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    streams: Vec<Stream>,
    pairs: Vec<Pair>,
    fences: Vec<Fences>,
    trends: Vec<Trend>,
}

#[derive(Deserialize)]
struct Stream {
    name: String,
    values: Vec<f64>,
    page_hinkley: Vec<usize>,
    adwin: Vec<AdwinSays>,
}

#[derive(Deserialize)]
struct AdwinSays {
    clock: u64,
    found: Vec<usize>,
    mean: f64,
}

#[derive(Deserialize)]
struct Pair {
    a: Vec<f64>,
    b: Vec<f64>,
    statistic: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Fences {
    values: Vec<f64>,
    iqr: [f64; 3],
    z: [f64; 3],
    robust_z: [f64; 3],
}

#[derive(Deserialize)]
struct Trend {
    y: Vec<f64>,
    slope_per_minute: f64,
    next: [f64; 2],
    effective_n: f64,
    p: f64,
}

fn golden() -> Golden {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/detect.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("detect.json")).expect("its form")
}

#[test]
fn drift_is_found_where_river_finds_it() {
    for stream in golden().streams {
        let plan = PageHinkleyPlan { min_n: 30, delta: 0.05, threshold: 10.0, alpha: 0.9999 };
        let mut test = PageHinkley::default();
        let at = |found: &mut dyn FnMut(f64) -> bool| -> Vec<usize> {
            stream.values.iter().enumerate().filter(|(_, x)| found(**x)).map(|(n, _)| n).collect()
        };
        assert_eq!(at(&mut |x| test.add(x, &plan)), stream.page_hinkley, "{}", stream.name);
        for says in &stream.adwin {
            let mut test = Adwin::default();
            let ours = at(&mut |x| test.add(x, 0.002, says.clock));
            assert_eq!(ours, says.found, "{} {}", stream.name, says.clock);
            assert!((test.mean() - says.mean).abs() < 1e-9, "{}: {} {}", stream.name, test.mean(), says.mean);
            assert!(test.bytes() < 2048);
        }
    }
}

/// The tail of scipy's is exact for small samples, ours Stephens' formula.
#[test]
fn distributions_are_as_far_apart_as_scipy_says() {
    for Pair { mut a, mut b, statistic, p } in golden().pairs {
        let (d, ours) = ks(&mut a, &mut b).expect("samples");
        assert!((d - statistic).abs() < 1e-12, "{d} {statistic}");
        assert!((ours - p).abs() < 0.03 && (p < 1e-4 || (ours / p - 1.0).abs() < 0.2), "{ours} {p}");
    }
    assert_eq!(ks(&mut [], &mut [1.0]), None);
}

#[test]
fn fences_are_numpys() {
    for fences in golden().fences {
        let mut newest = Newest::default();
        fences.values.iter().for_each(|x| newest.push(0, *x, 1000));
        let cases = [
            (Statistic::Iqr, 2.5, fences.iqr),
            (Statistic::Z, 3.0, fences.z),
            (Statistic::RobustZ, 3.5, fences.robust_z),
        ];
        for (statistic, multiplier, [expected, low, high]) in cases {
            let plan = StatisticalPlan { statistic, multiplier, window: 1000 };
            let judge = |x: f64| plan.judge(&newest, x, &mut Vec::new()).expect("enough values");
            let found = judge(high);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
            let (range, centre) = (found.range.expect("a range"), found.expected.expect("a centre"));
            assert!(near(range.0, low) && near(range.1, high) && near(centre, expected), "{statistic:?} {found:?}");
            // At the fence the score is a half; inside it is less, outside more.
            assert!((found.score - 0.5).abs() < 1e-6 && (judge(low).score - 0.5).abs() < 1e-6);
            assert!(judge(expected).score < 1e-9);
            assert!(judge(high * 1.5).votes() && !judge(expected + (high - expected) * 0.99).votes());
        }
    }
}

#[test]
fn trends_are_scipys_at_the_effective_number() {
    for trend in golden().trends {
        let mut newest = Newest::default();
        let (last, before) = trend.y.split_last().expect("points");
        for (n, y) in before.iter().enumerate() {
            newest.push(30_000_000 * n as i64, *y, 1000);
        }
        let plan = TrendPlan::new(1000, 0.95, 0.05);
        let found = plan.judge(&newest, 30_000_000 * before.len() as i64, *last).expect("enough points");
        let names = MethodName::TrendAnalysis.parts();
        let part = |name: &str| found.parts[names.iter().position(|part| *part == name).expect(name)];
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-7 * b.abs().max(1e-12);
        assert!(near(part("slope_per_minute"), trend.slope_per_minute), "{found:?}");
        assert!(near(part("effective_n"), trend.effective_n), "{found:?} {}", trend.effective_n);
        assert!(near(part("p_value"), trend.p), "{found:?} {}", trend.p);
        let range = found.range.expect("a range");
        assert!(near(range.0, trend.next[0]) && near(range.1, trend.next[1]), "{found:?} {:?}", trend.next);
        assert_eq!(found.votes(), trend.p <= 0.05);
    }
}

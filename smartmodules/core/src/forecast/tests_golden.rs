//! Held against statsmodels: `tests/golden/forecast.json`, made by `forecast.py` beside it.

use super::model::{Plan, Series};
use crate::duration::Span;
use serde::Deserialize;

const HOUR_US: i64 = 3_600_000_000;
const HORIZONS: [i64; 3] = [1, 12, 24];
/// Ours may have so many times the error of statsmodels, which was fitted to the series.
const WORSE: f64 = 1.15;

#[derive(Deserialize)]
struct Golden {
    holt: Holt,
    series: Vec<Whole>,
}

#[derive(Deserialize)]
struct Holt {
    values: Vec<f64>,
    forecasts: Vec<f64>,
}

#[derive(Deserialize)]
struct Whole {
    name: String,
    values: Vec<f64>,
    origins: Vec<Origin>,
}

/// The newest value that was known, and per horizon forecast, low and high.
#[derive(Deserialize)]
struct Origin {
    at: usize,
    said: Vec<[f64; 3]>,
}

fn golden() -> Golden {
    let text = include_str!("../../../../tests/golden/forecast.json");
    serde_json::from_str(text).expect("the golden file")
}

fn plan(season_us: i64) -> Plan {
    Plan {
        step_us: HOUR_US,
        season_us,
        slots: if season_us > 0 { 24 } else { 0 },
        horizons_us: HORIZONS.map(|h| h * HOUR_US).to_vec(),
        interval: 0.95,
        z: 1.959_963_984_540_054,
    }
}

#[test]
fn the_damped_trend_is_that_of_statsmodels() {
    let Golden { holt, .. } = golden();
    let plan = plan(0);
    let mut series = Series::new(&plan);
    for (hour, value) in holt.values.iter().enumerate() {
        assert!(series.learn(hour as i64 * HOUR_US, *value, &plan));
    }
    for (ahead, expected) in (1..).zip(&holt.forecasts) {
        let found = series.damped_trend(ahead);
        assert!((found - expected).abs() < 1e-9 * expected.abs(), "{ahead}: {found}, not {expected}");
    }
}

#[test]
fn errors_are_near_those_of_statsmodels_and_below_the_seasonal_naive() {
    for Whole { name, values, origins } in golden().series {
        let plan = plan(24 * HOUR_US);
        let mut series = Series::new(&plan);
        let (mut ours, mut theirs, mut naive) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        let (mut inside, mut inside_theirs) = ([0.0; 3], [0.0; 3]);
        for (at, value) in values.iter().enumerate() {
            let time = at as i64 * HOUR_US;
            series.learn(time, *value, &plan);
            let Some(origin) = origins.iter().find(|origin| origin.at == at) else { continue };
            for (i, h) in HORIZONS.into_iter().enumerate() {
                let outcome = values[at + h as usize];
                let forecast = series.forecast(time, i, &plan).expect("a forecast by now");
                ours[i] += (forecast.value - outcome).abs();
                inside[i] += f64::from(forecast.low <= outcome && outcome <= forecast.high);
                let [value, low, high] = origin.said[i];
                theirs[i] += (value - outcome).abs();
                inside_theirs[i] += f64::from(low <= outcome && outcome <= high);
                naive[i] += (values[at + h as usize - 24] - outcome).abs();
            }
        }
        let n = origins.len() as f64;
        for (i, h) in HORIZONS.into_iter().enumerate() {
            let (ours, theirs) = (ours[i] / naive[i], theirs[i] / naive[i]);
            println!(
                "{name}, {} ahead: error / seasonal naive {ours:.3}, statsmodels {theirs:.3}; inside {:.3}, statsmodels {:.3}; {n} origins",
                Span(h * HOUR_US),
                inside[i] / n,
                inside_theirs[i] / n
            );
            assert!(ours < 1.0 && ours <= WORSE * theirs, "{name}, {h}: {ours} against {theirs}");
            assert!((0.88..=1.0).contains(&(inside[i] / n)), "{name}, {h}: {} of {n} inside", inside[i]);
        }
    }
}

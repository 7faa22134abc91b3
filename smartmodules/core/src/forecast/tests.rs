//! Warm-up, horizons, intervals, gaps, what is missing or late, breaches, bounds, snapshots, and what is refused.

use super::*;
use crate::testing::{START_US, check_cuts, counter, run};
use serde_json::{Value as Json, json};

const CONFIG: &str =
    r#"{"field":"v","group_by":["page"],"horizons":["1m","5m"],"season":"1h","season_slots":12,"threshold":200}"#;

fn stage(config: &str) -> (ForecastStage, Fields) {
    let mut fields = Fields::default();
    let config = serde_json::from_str(config).expect("a config");
    (ForecastStage::new(config, &Context::default(), &mut fields).expect("a stage"), fields)
}

fn row(minute: i64, page: &str, value: &str) -> String {
    let seconds = START_US / 1_000_000 + 60 * minute;
    format!(r#"{{"kind":"window","timestamp":{seconds},"window":"w","page":"{page}","v":{value}}}"#)
}

/// A season of 60 minutes, 20 up and down, with a little that looks like noise.
fn seasonal(minute: i64) -> f64 {
    let triangle = (minute.rem_euclid(60) - 30).abs() as f64 / 30.0;
    100.0 + 40.0 * triangle + ((minute * 7919) % 101) as f64 / 101.0
}

fn rows(of: impl Iterator<Item = (i64, f64)>) -> Vec<String> {
    of.map(|(minute, value)| row(minute, "/", &format!("{value}"))).collect()
}

/// All that it writes, and of that the rows that it was given.
fn all_outputs(config: &str, lines: &[String]) -> Vec<Json> {
    let (mut stage, fields) = stage(config);
    run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn outputs(config: &str, lines: &[String]) -> Vec<Json> {
    given(all_outputs(config, lines))
}

/// The rows that are no records of its own.
fn given(rows: Vec<Json>) -> Vec<Json> {
    rows.into_iter().filter(|row| row["kind"] != "forecast").collect()
}

#[test]
fn a_record_per_series_and_step_says_what_is_expected() {
    let mut lines = rows((0..20).map(|minute| (minute, 100.0)));
    // A second row of a step, one without a number and a late one make none.
    lines.extend([row(19, "/", "101"), row(20, "/", "null"), row(3, "/", "100")]);
    let found = all_outputs(CONFIG, &lines);
    let records: Vec<&Json> = found.iter().filter(|row| row["kind"] == "forecast").collect();
    assert_eq!(records.len(), 12, "minutes 8 to 19");
    let last = records[11];
    let said =
        ["field", "window", "labels", "value", "threshold", "prediction", "prediction_low"].map(|name| &last[name]);
    assert_eq!(
        said,
        [&json!("v"), &json!("w"), &json!({ "page": "/" }), &json!(100.0), &json!(200.0), &json!(100.0), &json!(100.0)]
    );
    assert_eq!(last["prediction_time"], json!(START_US / 1000 + 20 * 60_000));
    let ids: std::collections::BTreeSet<&str> = records.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids.len(), 12);
    let quiet = CONFIG.replace('{', "{\"records\":false,");
    assert!(all_outputs(&quiet, &lines).iter().all(|row| row["kind"] != "forecast"));
}

#[test]
fn it_learns_the_season() {
    let lines = rows((0..300).map(|minute| (minute, seasonal(minute))));
    let found = outputs(CONFIG, &lines);
    let (mut ours, mut naive, mut inside, mut n) = (0.0, 0.0, 0.0, 0.0);
    for minute in 180..295 {
        let row = &found[minute as usize];
        let outcome = seasonal(minute + 5);
        ours += (row["forecast_v_5m"].as_f64().expect("a prediction") - outcome).abs();
        naive += (seasonal(minute) - outcome).abs();
        let (low, high) = (row["forecast_v_5m_low"].as_f64(), row["forecast_v_5m_high"].as_f64());
        inside += f64::from(low <= Some(outcome) && Some(outcome) <= high);
        n += 1.0;
    }
    assert!(ours < naive / 2.5, "{ours} against {naive}");
    assert!(inside / n >= 0.9, "{inside} of {n}");
    let last = &found[299];
    assert_eq!(last["prediction"], last["forecast_v_1m"], "{last}");
    assert_eq!(last["prediction_low"], last["forecast_v_1m_low"]);
    assert_eq!(last["prediction_high"], last["forecast_v_1m_high"]);
}

#[test]
fn what_is_not_known_is_absent() {
    let found = outputs(CONFIG, &rows((0..20).map(|minute| (minute, 100.0))));
    let first = |field: &str| found.iter().position(|row| row.get(field).is_some());
    // The eighth outcome of a forecast of one step is the ninth value; of five steps the thirteenth.
    assert_eq!((first("prediction"), first("forecast_v_1m"), first("forecast_v_5m")), (Some(8), Some(8), Some(12)));
    assert_eq!(found[19]["forecast_v_5m"], 100.0);
    assert_eq!(first("time_to_breach"), None, "no breach is in sight");
}

#[test]
fn bytes_do_not_depend_on_cuts_and_restarts() {
    let mut lines = rows((0..150).map(|minute| (minute, seasonal(minute))));
    lines.insert(20, row(3, "/", "100"));
    lines.insert(30, row(29, "/other", "null"));
    lines.insert(90, row(200, "/other", "7"));
    lines.push("@end".into());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_, counters) = check_cuts(|| stage(CONFIG), &lines);
    assert!(counters.contains(&("learned", 151)), "{counters:?}");
}

#[test]
fn of_a_step_the_first_row_is_learned_and_each_is_told() {
    let mut lines = rows((0..20).map(|minute| (minute, 100.0)));
    lines.push(lines[19].replace("100", "900"));
    let (mut stage, fields) = stage(CONFIG);
    let found = given(run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(counter(&stage, "learned"), 20);
    assert_eq!(found[20]["prediction"], 100.0);
    assert_eq!(found[20]["time_to_breach"], 0, "the value itself is beyond the threshold");
}

#[test]
fn a_missing_value_is_told_and_teaches_nothing() {
    let mut lines = rows((0..20).map(|minute| (minute, 100.0)));
    lines.push(row(20, "/", "null"));
    lines.push(row(21, "/", "1e99"));
    lines.push(row(22, "/", r#""text""#));
    let (mut stage, fields) = stage(CONFIG);
    let found = given(run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!((counter(&stage, "learned"), counter(&stage, "missing")), (20, 3));
    assert!(found[20..].iter().all(|row| row["prediction"] == 100.0), "{found:#?}");
}

#[test]
fn late_and_corrected_rows_pass_as_they_are() {
    let mut lines = rows((0..20).map(|minute| (minute, 100.0)));
    lines.push(row(3, "/", "900"));
    lines.push(row(20, "/", r#"900,"revision":1"#));
    let (mut stage, fields) = stage(CONFIG);
    let found = given(run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!((counter(&stage, "learned"), counter(&stage, "late_rows")), (20, 2));
    assert!(found[20..].iter().all(|row| row.get("prediction").is_none()), "{found:#?}");
}

#[test]
fn a_gap_teaches_nothing_and_the_season_is_still_known() {
    // Ten minutes of every hour are missing, and then two whole hours.
    let there = (0..240).chain(360..420).filter(|minute| minute % 60 < 50);
    let found = outputs(CONFIG, &rows(there.map(|minute| (minute, seasonal(minute)))));
    let back = &found[200];
    assert_eq!(back["timestamp"], "2026-01-01T06:00:00Z");
    let error = (back["forecast_v_5m"].as_f64().expect("a prediction") - seasonal(365)).abs();
    assert!(error < 8.0, "{back}");
}

#[test]
fn time_to_breach_is_on_the_way_to_the_predictions() {
    // Up by 1 a minute: at 180 it takes twenty minutes to 200, beyond the longest horizon; at 198 two, and a
    // damped trend expects it later.
    let found = outputs(CONFIG, &rows((0..99).map(|minute| (minute, 100.0 + minute as f64))));
    let at = |minute: usize| found[minute].get("time_to_breach").and_then(Json::as_f64);
    assert_eq!(at(80), None);
    let left = at(98).expect("a breach in sight");
    assert!((120_000.0..=300_000.0).contains(&left), "{left}");
    let below = CONFIG.replace("200}", r#"200,"breach":"below"}"#);
    let found = outputs(&below, &rows((0..20).map(|minute| (minute, 100.0))));
    assert_eq!(found[19]["time_to_breach"], 0);
}

#[test]
fn other_rows_pass() {
    let config = CONFIG.replace("\"field\"", "\"window\":\"w\",\"field\"");
    let (mut stage, fields) = stage(&config);
    let lines = [
        row(0, "/", "1").replace("\"w\"", "\"x\""),
        row(0, "/", "1").replace("\"v\"", "\"u\""),
        row(0, "/", "1").replace("window\",\"time", "session\",\"time"),
    ];
    run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((counter(&stage, "rows"), counter(&stage, "series")), (0, 0));
}

#[test]
fn fields_of_its_names_are_replaced() {
    let mut lines = rows((0..20).map(|minute| (minute, 100.0)));
    lines.push(row(20, "/", r#"100,"prediction":1,"time_to_breach":2"#));
    let found = outputs(CONFIG, &lines);
    assert_eq!((&found[20]["prediction"], found[20].get("time_to_breach")), (&json!(100.0), None));
}

#[test]
fn the_series_unseen_for_longest_is_forgotten() {
    let config = CONFIG.replace("\"field\"", "\"max_series\":2,\"field\"");
    let (mut stage, fields) = stage(&config);
    let lines = ["/a", "/b", "/a", "/c", "/b"].map(|page| row(0, page, "1"));
    run(&mut stage, &fields, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!((counter(&stage, "series"), counter(&stage, "evicted")), (2, 2));
}

#[test]
fn a_forged_state_is_refused() {
    let (mut stage, fields) = stage(CONFIG);
    run(&mut stage, &fields, &rows((0..70).map(|m| (m, seasonal(m)))).iter().map(String::as_str).collect::<Vec<_>>());
    let good = stage.snapshot();
    let (counts, saved): (Counts, Vec<(u64, Known)>) = load(&good).expect("its own snapshot");
    let mut twice = saved.clone();
    twice.extend(saved.clone());
    assert!(stage.restore(&save(&(&counts, twice))).is_err(), "a series twice");
    assert!(stage.restore(&save(&(Counts::default(), saved))).is_err(), "a series that no row has seen");
    assert!(stage.restore(&good[..good.len() - 1]).is_err());
    let (mut other, _) = self::stage(&CONFIG.replace("12", "24"));
    assert!(other.restore(&good).is_err(), "another profile");
    let (mut other, _) = self::stage(&CONFIG.replace("\"5m\"", "\"2m\""));
    assert!(other.restore(&good).is_err(), "more that waits than the horizon has steps");
    assert_eq!(stage.restore(&good), Ok(()));
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let config: ForecastConfig = serde_json::from_value(json!({
        "field": "", "kinds": ["alert"], "horizons": ["90s", "5m", "5m", "1d"], "step": "1m", "season": "1m",
        "season_slots": 1, "interval": 95, "max_series": 0,
    }))
    .expect("it can be read");
    let paths: Vec<String> = config.errors().into_iter().map(|issue| issue.path).collect();
    assert_eq!(
        paths,
        [
            "field",
            "kinds[0]",
            "horizons[0]",
            "horizons[2]",
            "horizons[3]",
            "season",
            "season_slots",
            "interval",
            "max_series"
        ]
    );
}

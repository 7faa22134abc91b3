//! Each module by itself: what it imports and exports, and what it does with plain JSON records
//! and no word from a runner, as `fluvio consume --smartmodule` calls it.

use fluvio_smartengine::SmartEngine;
use perfstream::chain::{Chain, ChainOptions, ChainSpec, Placement, StageSpec};
use perfstream::host::LogRecord;
use perfstream::host::engine::EngineHost;
use perfstream::host::wasmtime::WasmtimeHost;
use perfstream_core::decode::DecodeConfig;
use perfstream_tests::alone::{self, Alone};
use perfstream_tests::run::Line;
use perfstream_tests::{STAGES, module, wasm};
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};

#[test]
fn imports_are_copy_records_alone() {
    for stage in STAGES {
        let bytes = module(stage);
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload.expect("a module") {
                Payload::ImportSection(section) => {
                    imports.extend(
                        section.into_iter().map(|i| i.map(|i| format!("{}.{}", i.module, i.name)).expect("an import")),
                    );
                }
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|e| e.expect("an export").name.to_string()));
                }
                _ => {}
            }
        }
        assert_eq!(imports, ["env.copy_records"], "{stage}");
        for name in ["memory", "alloc", "init", "array_map"] {
            assert!(exports.iter().any(|e| e == name), "{stage} does not export {name}: {exports:?}");
        }
    }
}

/// What a module alone makes of records, in the host's words.
fn run(case: &Alone) -> Vec<(i64, Value)> {
    let host = WasmtimeHost::new(&module(case.stage), &case.params, 1 << 30);
    case.run(Box::new(host.unwrap_or_else(|e| panic!("{}: {e:#}", case.stage)))).expect("no trap")
}

fn kinds(rows: &[(i64, Value)]) -> Vec<(i64, &str)> {
    rows.iter().map(|(n, row)| (*n, row["kind"].as_str().unwrap_or("event"))).collect()
}

#[test]
fn filter_alone() {
    let rows = run(&alone::filter());
    assert_eq!(kinds(&rows), [(0, "event"), (2, "dead_letter")]);
    assert_eq!(rows[0].1, json!({ "value": 5, "page": "/" }));
    assert_eq!((&rows[1].1["reason"], &rows[1].1["offset"]), (&json!("invalid_json"), &json!(2)));
}

#[test]
fn enrich_alone() {
    let rows = run(&alone::enrich());
    assert_eq!(rows[0].1, json!({ "value": 2501, "hour-of-day": 9, "rating": "needs-improvement" }));
}

#[test]
fn classify_alone() {
    let rows = run(&alone::classify());
    let labels: Vec<_> = rows.iter().map(|(_, row)| &row["level"]).collect();
    assert_eq!(labels, [&json!("low"), &json!("high"), &json!("low")]);
    assert_eq!(kinds(&rows)[2].1, "window");
}

#[test]
fn aggregate_alone() {
    let rows = run(&alone::aggregate());
    assert_eq!(kinds(&rows), [(2, "window"), (4, "window")]);
    assert_eq!((&rows[0].1["count"], &rows[0].1["p50"]), (&json!(2), &json!(1.5)));
}

#[test]
fn sessionize_alone() {
    let rows = run(&alone::sessionize());
    let first = rows.iter().find(|(_, row)| row["kind"] == "session").expect("a session");
    let shift = first.1["cumulativeShift"].as_f64().expect("a number");
    assert!((shift - 0.3).abs() < 1e-12, "{}", first.1);
    assert_eq!(first.1["who"], 1);
}

#[test]
fn alert_alone() {
    let rows = run(&alone::alert());
    let alerts: Vec<_> = rows
        .iter()
        .filter(|(_, r)| r["kind"] == "alert")
        .map(|(n, r)| (*n, r["state"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(alerts, [(1, "firing"), (2, "resolved")]);
}

#[test]
fn detect_alone() {
    let rows = run(&alone::detect());
    let score = |n: usize| rows[n].1["detection_score"].as_f64();
    assert_eq!((rows.len(), score(3)), (41, None));
    assert!(score(39) < score(40), "{:?}", rows[40]);
    let preset = Alone {
        params: vec![("detector".into(), "ensemble".into())],
        lines: vec![r#"{"p75_lcp":1}"#.into()],
        ..alone::detect()
    };
    assert_eq!(run(&preset)[0].1["anomaly"], Value::Null);
}

#[test]
fn correlate_alone() {
    let rows = run(&alone::correlate());
    let told = rows.iter().filter(|(_, row)| row["kind"] == "incident");
    let told: Vec<_> = told.map(|(n, row)| (*n, row["anomalies"].as_i64(), row["cause"].as_str())).collect();
    assert_eq!(told, [(0, Some(1), Some("db")), (1, Some(2), Some("db"))]);
}

#[test]
fn forecast_alone() {
    let rows = run(&alone::forecast());
    let told: Vec<&Value> = rows.iter().map(|(_, row)| row).filter(|row| row["kind"] != "forecast").collect();
    assert_eq!((told.len(), &told[0]["prediction"]), (60, &Value::Null));
    let (low, high) = (told[59]["prediction_low"].as_f64(), told[59]["prediction_high"].as_f64());
    let foreseen = told[59]["prediction"].as_f64().expect("a prediction");
    assert!((105.0..115.0).contains(&foreseen), "{}", told[59]);
    assert!(low.is_some_and(|low| low <= foreseen) && high.is_some_and(|high| foreseen <= high), "{}", told[59]);
}

#[test]
fn respond_alone() {
    let rows = run(&alone::respond());
    let actions: Vec<_> = rows.iter().filter(|(_, row)| row["kind"] == "action").collect();
    let steps: Vec<_> = actions.iter().map(|(n, row)| (*n, row["step"].as_str(), row["target"].as_str())).collect();
    assert_eq!(steps, [(0, Some("dry_run"), Some("cart"))]);
}

#[test]
fn dashboard_alone() {
    let rows = run(&alone::dashboard());
    let of = |what: &str| -> Vec<&Value> {
        rows.iter().map(|(_, row)| row).filter(|row| row["kind"] == "dashboard" && row["type"] == what).collect()
    };
    assert_eq!(of("layout")[0]["layout"]["visualizations"][0]["field"], "p75_lcp");
    let values: Vec<_> = of("frame").into_iter().flat_map(|frame| frame["points"].as_array()).flatten().collect();
    assert_eq!(values.iter().map(|point| &point["value"]).collect::<Vec<_>>(), [5.0, 6.0]);
}

#[test]
fn the_same_in_fluvios_engine() {
    for case in alone::all() {
        let host = EngineHost::new(&SmartEngine::new(), case.stage, &module(case.stage), &case.params, 1 << 30);
        assert_eq!(case.run(Box::new(host.expect("a stage"))).expect("no trap"), run(&case), "{}", case.stage);
    }
}

#[test]
fn every_module_is_tried_alone() {
    assert_eq!(alone::all().iter().map(|case| case.stage).collect::<Vec<_>>(), STAGES);
}

#[test]
fn a_config_that_cannot_be_used_says_why() {
    for (stage, params, word) in [
        ("filter", &[("where", "value >")][..], "where"),
        ("classify", &[("field", "x")], "ranges"),
        ("aggregate", &[("config", r#"{"windws":[]}"#)], "windws"),
        ("alert", &[("config", "{")], "config"),
        ("detect", &[("detector", "nobody")], "Detector not found: nobody"),
        ("sessionize", &[("runtime", "{\"no\":1}")], "runtime"),
        ("enrich", &[("derive", r#"["weather"]"#)], "weather"),
    ] {
        let params: Vec<_> = params.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let error =
            WasmtimeHost::new(&module(stage), &params, 1 << 30).err().map(|e| format!("{e:#}")).unwrap_or_default();
        assert!(error.contains(word), "{stage}: {error}");
    }
}

#[test]
fn a_config_of_more_than_32_kib() {
    let rows: Vec<Value> =
        (0..850).map(|n| json!({ "page": format!("/page/{n}/ä"), "team": format!("team of page {n}") })).collect();
    let config = json!({
        "tables": { "teams": { "key": ["page"], "rows": rows } },
        "lookups": [{ "table": "teams", "fields": ["team"] }],
    })
    .to_string();
    assert!(config.len() > 40_000, "{}", config.len());
    let stage = StageSpec { name: "enrich".into(), stage: "enrich".into(), config };
    let spec = ChainSpec { pipeline: "long".into(), decode: DecodeConfig::default(), stages: vec![stage] };
    for placement in [Placement::Wasm, Placement::Engine] {
        let options = ChainOptions { placement, ..wasm() };
        let mut chain = Chain::new(&spec, &options).expect("a chain");
        let value = json!({ "page": "/page/799/ä" }).to_string().into_bytes();
        let record = LogRecord { offset: 0, log_time_ms: 0, key: None, value };
        let mut lines = Vec::new();
        chain.process(&[record], &mut |row| lines.push(Line::of(row))).expect("no trap");
        assert_eq!(lines[0].value()["team"], "team of page 799");
    }
}

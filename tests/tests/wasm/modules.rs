//! Each module by itself: what it imports and exports, and what it does with plain JSON records
//! and no word from a runner, as `fluvio consume --smartmodule` calls it.

use fluvio_smartengine::SmartEngine;
use perfstream::chain::{Chain, ChainOptions, ChainSpec, Placement, StageSpec};
use perfstream::host::engine::EngineHost;
use perfstream::host::wasmtime::WasmtimeHost;
use perfstream::host::{Hosted, LogRecord, StageHost};
use perfstream_core::decode::DecodeConfig;
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

type Params<'p> = &'p [(&'p str, &'p str)];

/// The records that a module alone makes of `lines`, in the host's words.
fn alone(stage: &str, params: Params<'_>, lines: &[&str]) -> Vec<(i64, Value)> {
    let params: Vec<_> = params.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let host = WasmtimeHost::new(&module(stage), &params, 1 << 30).unwrap_or_else(|e| panic!("{stage}: {e:#}"));
    consume(stage, Box::new(host), lines)
}

fn consume(stage: &str, host: Box<dyn StageHost>, lines: &[&str]) -> Vec<(i64, Value)> {
    let mut hosted = Hosted::new(stage, host);
    let record = |(n, line): (usize, &&str)| LogRecord {
        offset: 100 + n as i64,
        log_time_ms: 1_767_600_000_000 + n as i64 * 1000,
        key: Some(b"k".to_vec()),
        value: line.as_bytes().to_vec(),
    };
    let records: Vec<LogRecord> = lines.iter().enumerate().map(record).collect();
    let reply = hosted.records(&records).unwrap_or_else(|e| panic!("{stage}: {e:#}"));
    assert!(!reply.more, "{stage}: plain output is never cut");
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{stage}: {e}"));
    let records = reply.iter().unwrap_or_else(|e| panic!("{stage}: {e:#}"));
    records.map(|r| r.expect("a whole record")).map(|r| (r.offset_delta, json(r.value))).collect()
}

fn kinds(rows: &[(i64, Value)]) -> Vec<(i64, &str)> {
    rows.iter().map(|(n, row)| (*n, row["kind"].as_str().unwrap_or("event"))).collect()
}

#[test]
fn filter_alone() {
    let lines =
        [r#"{"value":5,"page":"/"}"#, r#"{"value":-1,"page":"/"}"#, "nonsense", r#"{"page":"/health","value":9}"#];
    let params = [
        ("where", "value > 0"),
        ("criteria", r#"[{"field":"page","operator":"equals","values":["/health"],"action":"exclude"}]"#),
    ];
    let rows = alone("filter", &params, &lines);
    assert_eq!(kinds(&rows), [(0, "event"), (2, "dead_letter")]);
    assert_eq!(rows[0].1, json!({ "value": 5, "page": "/" }));
    assert_eq!((&rows[1].1["reason"], &rows[1].1["offset"]), (&json!("invalid_json"), &json!(102)));
}

#[test]
fn enrich_alone() {
    let params = [
        ("derive", r#"["hour-of-day","rating"]"#),
        ("metric", "LCP"),
        ("time_zone", "Europe/Berlin"),
        ("drop", r#"["secret"]"#),
    ];
    let rows = alone("enrich", &params, &[r#"{"value":2501,"secret":"x"}"#]);
    assert_eq!(rows[0].1, json!({ "value": 2501, "hour-of-day": 9, "rating": "needs-improvement" }));
}

#[test]
fn classify_alone() {
    let params =
        [("field", "value"), ("ranges", r#"[{"max":10,"label":"low"},{"min":10,"label":"high"}]"#), ("as", "level")];
    let rows = alone("classify", &params, &[r#"{"value":10}"#, r#"{"value":10.5}"#, r#"{"kind":"window","value":1}"#]);
    let labels: Vec<_> = rows.iter().map(|(_, row)| &row["level"]).collect();
    assert_eq!(labels, [&json!("low"), &json!("high"), &json!("low")]);
    assert_eq!(kinds(&rows)[2].1, "window");
}

#[test]
fn aggregate_alone() {
    let windows = r#"[{"name":"w","type":"tumbling","size":"2s","functions":{"count":{"type":"count"},"p50":{"type":"percentile","parameter":50,"field":"value"}}}]"#;
    let lines = [r#"{"value":1}"#, r#"{"value":2}"#, r#"{"value":9}"#, r#"{"value":9}"#, r#"{"value":9}"#];
    let rows = alone("aggregate", &[("windows", windows)], &lines);
    assert_eq!(kinds(&rows), [(2, "window"), (4, "window")]);
    assert_eq!((&rows[0].1["count"], &rows[0].1["p50"]), (&json!(2), &json!(1.5)));
}

#[test]
fn sessionize_alone() {
    let lines = [
        r#"{"who":1,"value":0.1,"startTime":0}"#,
        r#"{"who":1,"value":0.2,"startTime":500}"#,
        r#"{"who":2}"#,
        r#"{"who":3}"#,
    ];
    let rows = alone("sessionize", &[("key", "who"), ("timeout", "2s"), ("method", "cls")], &lines);
    let first = rows.iter().find(|(_, row)| row["kind"] == "session").expect("a session");
    let shift = first.1["cumulativeShift"].as_f64().expect("a number");
    assert!((shift - 0.3).abs() < 1e-12, "{}", first.1);
    assert_eq!(first.1["who"], 1);
}

#[test]
fn alert_alone() {
    let rules = r#"[{"name":"slow","condition":"value > 10","severity":"critical"}]"#;
    let rows = alone(
        "alert",
        &[("rules", rules), ("group_by", "[\"page\"]")],
        &[r#"{"value":5,"page":"/"}"#, r#"{"value":11,"page":"/"}"#, r#"{"value":1,"page":"/"}"#],
    );
    let alerts: Vec<_> = rows
        .iter()
        .filter(|(_, r)| r["kind"] == "alert")
        .map(|(n, r)| (*n, r["state"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(alerts, [(1, "firing"), (2, "resolved")]);
}

#[test]
fn detect_alone() {
    let values = (0..40).map(|n| json!({ "cpu": 50 + n * 7 % 5 }).to_string());
    let lines: Vec<String> = values.chain([json!({ "cpu": 99 }).to_string()]).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let detector = json!({ "id": "cpu", "document": { "preset": "ensemble", "metrics": ["cpu"] } }).to_string();
    let rows = alone("detect", &[("detector", &detector)], &lines);
    let score = |n: usize| rows[n].1["detection_score"].as_f64();
    assert_eq!((rows.len(), score(3)), (41, None));
    assert!(score(39) < score(40), "{:?}", rows[40]);
    let preset = alone("detect", &[("detector", "ensemble")], &[r#"{"p75_lcp":1}"#]);
    assert_eq!(preset[0].1["anomaly"], Value::Null);
}

#[test]
fn correlate_alone() {
    let anomaly = |id: &str, service: &str| {
        json!({ "kind": "anomaly", "anomaly_id": id, "metric": "cpu", "service": service, "value": 9, "expected": 1,
                "started_at": "2026-01-01T00:00:00Z" })
        .to_string()
    };
    let lines = [anomaly("a", "db"), anomaly("b", "web")];
    let params = [("dependencies", r#"[{"from":"web","to":"db"}]"#), ("update_every", "0s")];
    let rows = alone("correlate", &params, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let told = rows.iter().filter(|(_, row)| row["kind"] == "incident");
    let told: Vec<_> = told.map(|(n, row)| (*n, row["anomalies"].as_i64(), row["cause"].as_str())).collect();
    assert_eq!(told, [(0, Some(1), Some("db")), (1, Some(2), Some("db"))]);
}

#[test]
fn forecast_alone() {
    let params = [
        ("field", "cpu"),
        ("step", "1s"),
        ("horizons", r#"["1s","5s"]"#),
        ("season", "0s"),
        ("group_by", "[]"),
        ("kinds", r#"["event"]"#),
    ];
    let lines: Vec<String> = (0..60).map(|n| json!({ "cpu": 50 + n }).to_string()).collect();
    let rows = alone("forecast", &params, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let told: Vec<&Value> = rows.iter().map(|(_, row)| row).filter(|row| row["kind"] != "forecast").collect();
    assert_eq!((told.len(), &told[0]["prediction"]), (60, &Value::Null));
    let (low, high) = (told[59]["prediction_low"].as_f64(), told[59]["prediction_high"].as_f64());
    let foreseen = told[59]["prediction"].as_f64().expect("a prediction");
    assert!((105.0..115.0).contains(&foreseen), "{}", told[59]);
    assert!(low.is_some_and(|low| low <= foreseen) && high.is_some_and(|high| foreseen <= high), "{}", told[59]);
}

#[test]
fn respond_alone() {
    let rules = json!([{ "name": "more", "on": "alert", "target": "{labels.service}",
        "action": { "kind": "scale", "receiver": "scaler", "name": "{labels.service}", "replicas": 3 } }]);
    let alert = |id: &str, state: &str| {
        json!({ "kind": "alert", "id": format!("{id}-{state}"), "alert_id": id, "state": state, "rule": "Slow",
            "labels": { "service": "cart" } })
        .to_string()
    };
    let lines = [alert("a", "firing"), alert("a", "resolved"), json!({ "value": 1 }).to_string()];
    let rows =
        alone("respond", &[("rules", &rules.to_string())], &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let actions: Vec<_> = rows.iter().filter(|(_, row)| row["kind"] == "action").collect();
    let steps: Vec<_> = actions.iter().map(|(n, row)| (*n, row["step"].as_str(), row["target"].as_str())).collect();
    assert_eq!(steps, [(0, Some("dry_run"), Some("cart"))]);
}

#[test]
fn dashboard_alone() {
    let panels = json!([{ "type": "current", "field": "p75_lcp", "group_by": ["page"] }, { "type": "timeline" }]);
    let params = [("id", "d"), ("visualizations", &panels.to_string() as &str)];
    let lines = [
        r#"{"kind":"window","p75_lcp":5,"page":"/"}"#,
        r#"{"kind":"window","p75_lcp":6,"page":"/"}"#,
        r#"{"value":1}"#,
    ];
    let rows = alone("dashboard", &params, &lines);
    let of = |what: &str| -> Vec<&Value> {
        rows.iter().map(|(_, row)| row).filter(|row| row["kind"] == "dashboard" && row["type"] == what).collect()
    };
    assert_eq!(of("layout")[0]["layout"]["visualizations"][0]["field"], "p75_lcp");
    let values: Vec<_> = of("frame").into_iter().flat_map(|frame| frame["points"].as_array()).flatten().collect();
    assert_eq!(values.iter().map(|point| &point["value"]).collect::<Vec<_>>(), [5.0, 6.0]);
}

#[test]
fn the_same_in_fluvios_engine() {
    let lines = [r#"{"value":10}"#, "", r#"{"value":10.5}"#];
    let params = [("field", "value"), ("ranges", r#"[{"max":10,"label":"low"}]"#)];
    let owned: Vec<_> = params.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let engine = fluvio_engine("classify", &owned);
    assert_eq!(consume("classify", engine, &lines), alone("classify", &params, &lines));
}

fn fluvio_engine(stage: &str, params: &[(String, String)]) -> Box<dyn StageHost> {
    Box::new(EngineHost::new(&SmartEngine::new(), stage, &module(stage), params, 1 << 30).expect("a stage"))
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

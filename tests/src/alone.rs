//! Each module by itself: parameters and plain JSON records as a Fluvio user would give them, without a
//! word from a runner.

use anyhow::{Result, ensure};
use perfstream::host::{Hosted, LogRecord, StageHost};
use serde_json::{Value, json};

/// Log time of the first record, milliseconds; a second to the next.
const START_MS: i64 = 1_767_600_000_000;

/// A module, its parameters, and records.
#[derive(Debug, Clone)]
pub struct Alone {
    /// Name of the stage
    pub stage: &'static str,
    /// As `fluvio consume --params` takes them
    pub params: Vec<(String, String)>,
    /// Values of records, in order
    pub lines: Vec<String>,
}

impl Alone {
    /// Its records as they stand in a topic.
    pub fn records(&self) -> Vec<LogRecord> {
        let record = |(n, line): (usize, &String)| LogRecord {
            offset: n as i64,
            log_time_ms: START_MS + n as i64 * 1000,
            key: Some(b"k".to_vec()),
            value: line.as_bytes().to_vec(),
        };
        self.lines.iter().enumerate().map(record).collect()
    }

    /// With the time in a field of the records, for a log that has a clock of its own.
    pub fn dated(mut self) -> Alone {
        for (n, line) in self.lines.iter_mut().enumerate() {
            if let Ok(Value::Object(mut fields)) = serde_json::from_str(line) {
                fields.insert("t".into(), (START_MS + n as i64 * 1000).into());
                *line = Value::Object(fields).to_string();
            }
        }
        self.params.push(("runtime".into(), json!({ "decode": { "time": { "field": "t" } } }).to_string()));
        self
    }

    /// What its module makes of them in a host: the values, each with the place of the record that gave it.
    pub fn run(&self, host: Box<dyn StageHost>) -> Result<Vec<(i64, Value)>> {
        self.run_on(host, &self.records())
    }

    /// What its module makes of records.
    pub fn run_on(&self, host: Box<dyn StageHost>, records: &[LogRecord]) -> Result<Vec<(i64, Value)>> {
        let mut hosted = Hosted::new(self.stage, host);
        let reply = hosted.records(records)?;
        ensure!(!reply.more, "plain output is never cut");
        let mut values = Vec::new();
        for record in reply.iter()? {
            let record = record?;
            values.push((record.offset_delta, serde_json::from_slice(record.value)?));
        }
        Ok(values)
    }
}

fn alone(stage: &'static str, params: &[(&str, &str)], lines: &[&str]) -> Alone {
    let params = params.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    Alone { stage, params, lines: lines.iter().map(|line| line.to_string()).collect() }
}

fn alone_with(stage: &'static str, params: &[(&str, &str)], lines: impl IntoIterator<Item = Value>) -> Alone {
    Alone { lines: lines.into_iter().map(|line| line.to_string()).collect(), ..alone(stage, params, &[]) }
}

/// One for every module.
pub fn all() -> Vec<Alone> {
    vec![
        filter(),
        enrich(),
        sessionize(),
        aggregate(),
        classify(),
        detect(),
        forecast(),
        correlate(),
        alert(),
        respond(),
        dashboard(),
    ]
}

/// A condition and a criterion; one record is not JSON.
pub fn filter() -> Alone {
    let criteria = r#"[{"field":"page","operator":"equals","values":["/health"],"action":"exclude"}]"#;
    let lines =
        [r#"{"value":5,"page":"/"}"#, r#"{"value":-1,"page":"/"}"#, "nonsense", r#"{"page":"/health","value":9}"#];
    alone("filter", &[("where", "value > 0"), ("criteria", criteria)], &lines)
}

/// Derived fields, and one that goes.
pub fn enrich() -> Alone {
    let params = [
        ("derive", r#"["hour-of-day","rating"]"#),
        ("metric", "LCP"),
        ("time_zone", "Europe/Berlin"),
        ("drop", r#"["secret"]"#),
    ];
    alone("enrich", &params, &[r#"{"value":2501,"secret":"x"}"#])
}

/// Two ranges.
pub fn classify() -> Alone {
    let params =
        [("field", "value"), ("ranges", r#"[{"max":10,"label":"low"},{"min":10,"label":"high"}]"#), ("as", "level")];
    alone("classify", &params, &[r#"{"value":10}"#, r#"{"value":10.5}"#, r#"{"kind":"window","value":1}"#])
}

/// Windows of two seconds, closed by the log time of what follows.
pub fn aggregate() -> Alone {
    let windows = r#"[{"name":"w","type":"tumbling","size":"2s","functions":{"count":{"type":"count"},"p50":{"type":"percentile","parameter":50,"field":"value"}}}]"#;
    let lines = [r#"{"value":1}"#, r#"{"value":2}"#, r#"{"value":9}"#, r#"{"value":9}"#, r#"{"value":9}"#];
    alone("aggregate", &[("windows", windows)], &lines)
}

/// A session of layout shifts that times out.
pub fn sessionize() -> Alone {
    let lines = [
        r#"{"who":1,"value":0.1,"startTime":0}"#,
        r#"{"who":1,"value":0.2,"startTime":500}"#,
        r#"{"who":2}"#,
        r#"{"who":3}"#,
    ];
    alone("sessionize", &[("key", "who"), ("timeout", "2s"), ("method", "cls")], &lines)
}

/// A rule over single records.
pub fn alert() -> Alone {
    let rules = r#"[{"name":"slow","condition":"value > 10","severity":"critical"}]"#;
    let lines = [r#"{"value":5,"page":"/"}"#, r#"{"value":11,"page":"/"}"#, r#"{"value":1,"page":"/"}"#];
    alone("alert", &[("rules", rules), ("group_by", "[\"page\"]")], &lines)
}

/// A detector document in its parameter; the last value is an outlier.
pub fn detect() -> Alone {
    let detector = json!({ "id": "cpu", "document": { "preset": "ensemble", "metrics": ["cpu"] } }).to_string();
    let lines = (0..40).map(|n| json!({ "cpu": 50 + n * 7 % 5 })).chain([json!({ "cpu": 99 })]);
    alone_with("detect", &[("detector", &detector)], lines)
}

/// Two anomalies of services of which one needs the other.
pub fn correlate() -> Alone {
    let anomaly = |id: &str, service: &str| {
        json!({ "kind": "anomaly", "anomaly_id": id, "metric": "cpu", "service": service, "value": 9, "expected": 1,
                "started_at": "2026-01-01T00:00:00Z" })
    };
    let params = [("dependencies", r#"[{"from":"web","to":"db"}]"#), ("update_every", "0s")];
    alone_with("correlate", &params, [anomaly("a", "db"), anomaly("b", "web")])
}

/// A straight line.
pub fn forecast() -> Alone {
    let params = [
        ("field", "cpu"),
        ("step", "1s"),
        ("horizons", r#"["1s","5s"]"#),
        ("season", "0s"),
        ("group_by", "[]"),
        ("kinds", r#"["event"]"#),
    ];
    alone_with("forecast", &params, (0..60).map(|n| json!({ "cpu": 50 + n })))
}

/// An alert that fires and is resolved, and an event.
pub fn respond() -> Alone {
    let rules = json!([{ "name": "more", "on": "alert", "target": "{labels.service}",
        "action": { "kind": "scale", "receiver": "scaler", "name": "{labels.service}", "replicas": 3 } }]);
    let alert = |id: &str, state: &str| {
        json!({ "kind": "alert", "id": format!("{id}-{state}"), "alert_id": id, "state": state, "rule": "Slow",
            "labels": { "service": "cart" } })
    };
    let lines = [alert("a", "firing"), alert("a", "resolved"), json!({ "value": 1 })];
    alone_with("respond", &[("rules", &rules.to_string())], lines)
}

/// Two panels.
pub fn dashboard() -> Alone {
    let panels = json!([{ "type": "current", "field": "p75_lcp", "group_by": ["page"] }, { "type": "timeline" }]);
    let lines = [
        r#"{"kind":"window","p75_lcp":5,"page":"/"}"#,
        r#"{"kind":"window","p75_lcp":6,"page":"/"}"#,
        r#"{"value":1}"#,
    ];
    alone("dashboard", &[("id", "d"), ("visualizations", &panels.to_string())], &lines)
}

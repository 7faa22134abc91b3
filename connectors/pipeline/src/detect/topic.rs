//! A detector over a topic, between two times: what was found, as one JSON document.
//!
//! Each partition runs through a chain of its own, `detect` and then `alert` with one rule (an anomaly
//! is open). The result, its anomalies, alerts and insights are stored in topics of those names.

use super::plot::{self, Point};
use super::stage;
use crate::chain::{Chain, ChainOptions, ChainSpec, StageSpec};
use crate::model::Topic;
use crate::run::usage::usage;
use anyhow::{Context, Result, bail};
use perfstream_core::decode::{DecodeConfig, TimeConfig};
use perfstream_core::row::{Fields, Row};
use perfstream_core::time::TimeParser;
use perfstream_core::{Kind, json as rows, time};
use perfstream_log::{LogRecord, NewRecord, Place, Read};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Read at once.
const BATCH_BYTES: usize = 1 << 20;
/// A record below the end of a cluster's partition is waited for this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Id of the detector
    pub id: String,
    /// Its document
    pub document: Value,
    /// Topic that is read
    pub topic: Topic,
    /// Parameters of the step beside the detector, as `window` and `fields`
    pub step: Value,
    /// Field with the event time
    pub time: String,
    /// Event times from here on, microseconds since the epoch
    pub from: Option<i64>,
    /// And before this
    pub to: Option<i64>,
    /// Rows shown of each list; all are counted
    pub limit: usize,
    /// Store what was found
    pub store: bool,
    /// Draw the series of the strongest anomaly into this file, or the first series
    pub plot: Option<PathBuf>,
}

impl Request {
    /// Fields that make a segment.
    fn segmentation(&self) -> Vec<String> {
        let written = serde_json::from_value(self.document["baselines"]["segmentation"].clone());
        written.unwrap_or_else(|_| ["page", "browser"].map(String::from).to_vec())
    }
}

/// Topics that results are stored in.
const STORES: [(&str, Kind); 3] = [("anomalies", Kind::Anomaly), ("alerts", Kind::Alert), ("insights", Kind::Insight)];

/// What was found so far.
#[derive(Debug, Default)]
struct Found {
    input: Vec<Value>,
    features: Vec<Value>,
    raw: Vec<Value>,
    /// Rows judged within the time window, and all of them
    rows: u64,
    judged: u64,
    /// Rows that say nothing of the detector's metrics
    passed: u64,
    detections: u64,
    dead: u64,
    records: Vec<(Kind, Value)>,
    /// By metric and segment, where a plot is asked for; with event times
    series: BTreeMap<(String, String), Vec<(i64, Point)>>,
    points: usize,
}

/// Points kept for a plot, of all series.
const POINTS_MAX: usize = 1_000_000;

/// Runs the detector; the result as JSON.
pub fn run(request: &Request, place: &mut Place, options: &ChainOptions) -> Result<Value> {
    let started = Instant::now();
    let Some(partitions) = place.partitions(&request.topic)? else { bail!("no topic `{}`", request.topic) };
    let mut found = Found::default();
    for partition in 0..partitions {
        let options = ChainOptions { partition, ..options.clone() };
        scan(request, place, partition, &options, &mut found).with_context(|| format!("partition {partition}"))?;
    }
    if found.judged == 0 && found.passed + found.dead > 0 {
        tracing::warn!(
            passed = found.passed,
            dead_letters = found.dead,
            "no record of `{}` was judged: see --time, --window and --field",
            request.topic
        );
    }
    found.keep_anomalies_of(request);
    let result = result(request, &found, started.elapsed());
    if request.store {
        for (topic, kind) in STORES {
            let values = found.records.iter().filter(|(k, _)| *k == kind).map(|(_, value)| value);
            let known = ids(place, topic)?;
            let new = values.filter(|value| value["id"].as_str().is_none_or(|id| !known.contains(id)));
            append(place, topic, &new.collect::<Vec<_>>())?;
        }
        append(place, "detections", &[&result])?;
    }
    // Last, so that what was found is stored whatever becomes of the picture.
    if let Some(path) = &request.plot {
        let ((metric, segment), points) = found.drawn()?;
        plot::svg(path, &format!("{metric} of {segment}, detector {}", request.id), &points)?;
    }
    Ok(result)
}

/// One partition through a chain of its own.
fn scan(request: &Request, place: &mut Place, partition: u32, options: &ChainOptions, found: &mut Found) -> Result<()> {
    let mut fields = Fields::default();
    let slots = ["detection", "detection_score"].map(|name| fields.slot(name));
    let mut chain = Chain::new(&spec(request), options)?.with_fields(fields);
    let segmentation = request.segmentation();
    let inside = |us: i64| request.from.is_none_or(|from| us >= from) && request.to.is_none_or(|to| us < to);
    let mut emit = |row: &Row<'_>| match row.meta.kind {
        Kind::Event if !row.has(slots[1]) => found.passed += 1,
        // What lies before the window is learned, and not told.
        Kind::Event => {
            found.judged += 1;
            if inside(row.meta.event_time) {
                let detections = row.get(slots[0]).to_json().as_array().cloned().unwrap_or_default();
                if request.plot.is_some() {
                    found.keep_points(row, &detections, &segmentation);
                }
                found.row(row, &detections, request.limit);
            }
        }
        Kind::Anomaly => found.records.push((Kind::Anomaly, json_of(row))),
        Kind::Alert | Kind::Insight if inside(row.meta.event_time) => {
            found.records.push((row.meta.kind, json_of(row)));
        }
        Kind::DeadLetter => found.dead += 1,
        _ => {}
    };
    let mut next = 0;
    loop {
        let records = read(place, &request.topic, partition, &mut next)?;
        if records.is_empty() {
            return Ok(());
        }
        chain.process(&records, &mut emit)?;
    }
}

impl Found {
    fn row(&mut self, row: &Row<'_>, detections: &[Value], limit: usize) {
        self.rows += 1;
        let raw: Vec<&Value> = detections.iter().filter(|d| d["detected"] == true).collect();
        self.detections += raw.len() as u64;
        let room = limit.saturating_sub(self.raw.len());
        let stamped = |d: &Value| {
            let mut d = d.clone();
            d["timestamp"] = time::format(row.meta.event_time).into();
            d
        };
        self.raw.extend(raw.into_iter().take(room).map(stamped));
        if self.input.len() < limit {
            let mut input = json_of(row);
            if let Some(fields) = input.as_object_mut() {
                ["anomaly", "anomaly_id", "detection_score", "detection_expected", "detection"]
                    .iter()
                    .for_each(|own| _ = fields.remove(*own));
            }
            self.input.push(input);
            let feature = |d: &Value| {
                let keys = ["metric", "value", "expected", "range", "baseline", "events", "score"];
                keys.iter().map(|key| (key.to_string(), d[*key].clone())).collect::<serde_json::Map<_, _>>()
            };
            self.features.push(detections.iter().map(feature).map(Value::Object).collect());
        }
    }

    /// What a plot shows of a row, up to a number of points.
    fn keep_points(&mut self, row: &Row<'_>, detections: &[Value], segmentation: &[String]) {
        let fields = json_of(row);
        let segment = segment_text(segmentation.iter().map(|name| (name.as_str(), &fields[name])));
        for of in detections.iter().take(POINTS_MAX - self.points) {
            let key = (of["metric"].as_str().unwrap_or_default().to_string(), segment.clone());
            let time = time::format(row.meta.event_time);
            let point = Point { time, value: of["value"].as_f64(), ..Point::of(of) };
            self.series.entry(key).or_default().push((row.meta.event_time, point));
            self.points += 1;
        }
    }

    /// The series of the strongest anomaly with its anomalies marked, or the first series.
    fn drawn(&self) -> Result<((String, String), Vec<Point>)> {
        let score = |anomaly: &Value| anomaly["score"].as_f64().unwrap_or_default();
        let strongest = self.validated().into_iter().max_by(|a, b| score(a).total_cmp(&score(b)));
        let key = match strongest {
            Some(anomaly) => series_of(anomaly),
            None => self.series.keys().next().context("no record was judged: there is nothing to draw")?.clone(),
        };
        let kept = self.series.get(&key).with_context(|| {
            format!("{} of {} is not among the first {POINTS_MAX} values: see --from and --to", key.0, key.1)
        })?;
        let time = |value: &Value| TimeParser::default().parse_text(value.as_str()?);
        let own = self.validated().into_iter().filter(|anomaly| series_of(anomaly) == key);
        let spans: Vec<(i64, i64)> =
            own.filter_map(|a| Some((time(&a["started_at"])?, time(&a["ended_at"]).unwrap_or(i64::MAX)))).collect();
        let mut points = kept.clone();
        points.sort_by_key(|(at, _)| *at);
        let marked = |(at, point): (i64, Point)| Point {
            anomaly: point.anomaly || spans.iter().any(|(start, end)| (*start..=*end).contains(&at)),
            ..point
        };
        Ok((key, points.into_iter().map(marked).collect()))
    }

    fn of_kind(&self, kind: Kind) -> Vec<&Value> {
        self.records.iter().filter(|(k, _)| *k == kind).map(|(_, value)| value).collect()
    }

    /// Anomalies of which a part lies within the time window; of the others the records go.
    fn keep_anomalies_of(&mut self, request: &Request) {
        let time = |value: &Value| TimeParser::default().parse_text(value.as_str()?);
        let ends = self.anomalies(|a| time(&a["ended_at"]));
        self.records.retain(|(kind, value)| {
            let id = id_of(value).unwrap_or_default();
            let ends_after = |from: i64| ends.get(&id).is_none_or(|end| *end >= from);
            let begins_before = |to: i64| time(&value["started_at"]).is_none_or(|start| start < to);
            *kind != Kind::Anomaly || request.from.is_none_or(ends_after) && request.to.is_none_or(begins_before)
        });
    }

    /// Something of each anomaly, by its id; of its records the last that has it.
    fn anomalies<'a, T>(&'a self, of: impl Fn(&'a Value) -> Option<T>) -> HashMap<String, T> {
        self.of_kind(Kind::Anomaly).into_iter().filter_map(|a| Some((id_of(a)?, of(a)?))).collect()
    }

    /// One record for each anomaly, in the order in which they began: that of its end if it has ended.
    fn validated(&self) -> Vec<&Value> {
        let newest = self.anomalies(Some);
        let opened = self.of_kind(Kind::Anomaly).into_iter().filter(|a| a["state"] == "open");
        opened.filter_map(|a| newest.get(&id_of(a)?).copied()).collect()
    }
}

/// Metric and segment of an anomaly.
fn series_of(anomaly: &Value) -> (String, String) {
    let labels = anomaly["segment"].as_object().into_iter().flatten();
    let metric = anomaly["metric"].as_str().unwrap_or_default().to_string();
    (metric, segment_text(labels.map(|(name, label)| (name.as_str(), label))))
}

/// `browser=chrome, page=/`
fn segment_text<'a>(labels: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let known = labels.filter(|(_, label)| !label.is_null());
    let mut parts: Vec<String> = known
        .map(|(name, label)| format!("{name}={}", label.as_str().map_or_else(|| label.to_string(), Into::into)))
        .collect();
    parts.sort();
    if parts.is_empty() { "all".into() } else { parts.join(", ") }
}

fn id_of(anomaly: &Value) -> Option<String> {
    anomaly["anomaly_id"].as_str().map(str::to_string)
}

fn spec(request: &Request) -> ChainSpec {
    // It ends with the anomaly, however far apart the rows are.
    let rule =
        json!({ "name": format!("{} anomaly", request.id), "condition": "anomaly = true", "resolve_after": "1d" });
    let alert = json!({ "group_by": request.segmentation(), "rules": [rule] });
    let time = TimeConfig { field: Some(request.time.clone()), ..TimeConfig::default() };
    ChainSpec {
        pipeline: "detect".into(),
        decode: DecodeConfig { time, ..DecodeConfig::default() },
        stages: vec![
            stage(&request.id, request.document.clone(), request.step.clone()),
            StageSpec { name: "alert".into(), stage: "alert".into(), config: alert.to_string() },
        ],
    }
}

fn json_of(row: &Row<'_>) -> Value {
    let mut text = Vec::new();
    rows::write_row(row, &mut text);
    serde_json::from_slice(&text).unwrap_or_default()
}

fn result(request: &Request, found: &Found, elapsed: Duration) -> Value {
    let anomalies = found.validated();
    let confidences: Vec<f64> = anomalies.iter().filter_map(|a| a["confidence"].as_f64()).collect();
    let confidence = (!confidences.is_empty()).then(|| confidences.iter().sum::<f64>() / confidences.len() as f64);
    let milliseconds = elapsed.as_secs_f64() * 1e3;
    let text = |us: Option<i64>| us.map(time::format);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let window = json!({ "from": text(request.from), "to": text(request.to) });
    let id = perfstream_core::id::id(&[
        request.id.as_bytes(),
        request.topic.as_bytes(),
        window.to_string().as_bytes(),
        &now.as_nanos().to_le_bytes(),
    ]);
    json!({
        "id": id,
        "detectorId": request.id,
        "streamId": &*request.topic,
        "timeWindow": window,
        "timestamp": time::format(now.as_micros() as i64),
        "data": {
            "input": found.input,
            "features": found.features,
            "raw": found.raw,
            "validated": anomalies,
        },
        "anomalies": anomalies,
        "insights": found.of_kind(Kind::Insight),
        "alerts": found.of_kind(Kind::Alert),
        "statistics": {
            "totalDataPoints": found.rows,
            "detections": found.detections,
            "deadLetters": found.dead,
            "anomaliesDetected": anomalies.len(),
            "anomalyRate": (found.rows > 0).then(|| anomalies.len() as f64 / found.rows as f64),
            "confidence": confidence,
            // Estimated: the weight of the methods that did not vote for an anomaly, on average.
            "falsePositiveRate": confidence.map(|c| 1.0 - c),
            "processingTime": milliseconds,
        },
        "performance": {
            // Milliseconds per row, reading included; rows before the window are judged too.
            "detectionLatency": (found.judged > 0).then(|| milliseconds / found.judged as f64),
            "throughput": found.judged as f64 / elapsed.as_secs_f64().max(1e-9),
            "resourceUsage": resources(),
        },
    })
}

/// CPU time and largest resident memory of this process, where the system tells (the latter on Linux).
fn resources() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let cpu = usage().ok().map(|(cpu, _)| cpu.as_secs_f64());
    json!({ "cpuSeconds": cpu, "maxResidentBytes": kib.map(|kib| kib << 10) })
}

/// Records from `next` on, which moves behind them; none at the end. What is gone is passed over.
pub(crate) fn read(place: &mut Place, topic: &str, partition: u32, next: &mut i64) -> Result<Vec<LogRecord>> {
    loop {
        let extent = place.extent(topic, partition)?;
        if *next >= extent.end {
            return Ok(Vec::new());
        }
        match place.read(topic, partition, (*next).max(extent.start), BATCH_BYTES, PATIENCE)? {
            Read::Gap(range) => *next = range.end,
            Read::Records(records) => {
                *next = records.last().map_or(*next, |last| last.offset + 1);
                return Ok(records);
            }
        }
    }
}

/// Ids of the records of a topic: a detector that looks at the same records again finds the same, which
/// stands there already.
pub(crate) fn ids(place: &mut Place, topic: &str) -> Result<HashSet<String>> {
    let mut ids = HashSet::new();
    for partition in 0..place.partitions(topic)?.unwrap_or(0) {
        let mut next = 0;
        loop {
            let records = read(place, topic, partition, &mut next)?;
            if records.is_empty() {
                break;
            }
            let parsed = records.iter().filter_map(|record| serde_json::from_slice::<Value>(&record.value).ok());
            ids.extend(parsed.filter_map(|value| Some(value["id"].as_str()?.to_string())));
        }
    }
    Ok(ids)
}

pub(crate) fn append(place: &mut Place, topic: &str, values: &[&Value]) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    if matches!(place, Place::Cluster(..)) && place.partitions(topic)?.is_none() {
        tracing::warn!("there is no topic `{topic}`: what was found is not stored there");
        return Ok(());
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let record = |value: &&Value| NewRecord {
        log_time_ms: now.as_millis() as i64,
        key: None,
        value: value.to_string().into_bytes(),
    };
    place.append(topic, 0, &values.iter().map(record).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Placement;
    use perfstream_log::embedded::Log;

    const START_S: i64 = 1_767_600_000;

    fn request(store: bool) -> Request {
        Request {
            id: "speed".into(),
            document: json!({ "preset": "ensemble", "metrics": ["largest-contentful-paint"] }),
            topic: Topic("windows".into()),
            step: json!({ "detail": true }),
            time: "timestamp".into(),
            from: None,
            to: None,
            limit: 20,
            store,
            plot: None,
        }
    }

    /// A log with windows of a page that becomes slow for a while.
    fn log(dir: &std::path::Path, rows: usize) -> Place {
        let value = |n: usize| (1000 + n * 37 % 101) * if (200..230).contains(&n) { 2 } else { 1 };
        let row = |n: usize| {
            let time = time::format((START_S + 30 * n as i64) * 1_000_000);
            json!({ "kind": "window", "timestamp": time, "page": "/", "p75_lcp": value(n), "count": 40 })
        };
        let rows = (0..rows).map(row).map(|v| v.to_string());
        let records = rows.chain(["nonsense".to_string()]).map(|text| NewRecord {
            log_time_ms: START_S * 1000,
            key: None,
            value: text.into_bytes(),
        });
        let records: Vec<NewRecord> = records.collect();
        let mut log = Log::open(dir).unwrap();
        log.commit(|writer| writer.append("windows", 0, &records).map(drop)).unwrap();
        Place::Embedded(Box::new(log))
    }

    fn native() -> ChainOptions {
        ChainOptions { placement: Placement::Native, ..ChainOptions::default() }
    }

    #[test]
    fn what_is_found_is_returned_stored_and_alerted_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = log(dir.path(), 300);
        let found = run(&request(true), &mut place, &native()).unwrap();
        assert_eq!((&found["detectorId"], &found["streamId"]), (&json!("speed"), &json!("windows")));
        let statistics = &found["statistics"];
        assert_eq!((&statistics["totalDataPoints"], &statistics["deadLetters"]), (&json!(300), &json!(1)));
        assert_eq!(statistics["anomaliesDetected"], 1);
        assert!((statistics["anomalyRate"].as_f64().unwrap() - 1.0 / 300.0).abs() < 1e-12);
        let confidence = statistics["confidence"].as_f64().unwrap();
        assert!((statistics["falsePositiveRate"].as_f64().unwrap() + confidence - 1.0).abs() < 1e-12);
        assert_eq!(found["anomalies"], found["data"]["validated"]);
        assert_eq!(found["anomalies"][0]["started_at"], "2026-01-05T09:40:00Z");
        assert_eq!(found["data"]["input"].as_array().map(Vec::len), Some(20));
        assert_eq!(found["data"]["input"][0]["p75_lcp"], 1000);
        assert_eq!(found["data"]["features"][0][0]["value"], 1000.0);
        assert!(found["data"]["raw"].as_array().is_some_and(|raw| raw.iter().all(|d| d["detected"] == true)));
        assert_eq!(found["alerts"][0]["anomaly_id"], found["anomalies"][0]["anomaly_id"]);
        assert!(found["performance"]["throughput"].as_f64().is_some_and(|rate| rate > 0.0));
        assert!(found["performance"]["resourceUsage"]["cpuSeconds"].as_f64().is_some_and(|s| s > 0.0));
        let alerts = found["alerts"].as_array().unwrap();
        assert_eq!(alerts.iter().map(|a| &a["transition"]).collect::<Vec<_>>(), ["firing", "resolved"]);
        run(&request(true), &mut place, &native()).unwrap();
        let Place::Embedded(log) = place else { panic!("an embedded log") };
        // Twice the same is stored once; that it was looked for is told each time.
        for (topic, count) in [("anomalies", 2), ("alerts", 2), ("detections", 2)] {
            assert_eq!(log.read(topic, 0, 0, 100).unwrap().len(), count, "{topic}");
        }
    }

    #[test]
    fn what_lies_outside_of_the_window_is_learned_and_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut place = log(dir.path(), 300);
        let at = |n: i64| Some((START_S + 30 * n) * 1_000_000);
        let before = Request { to: at(200), ..request(false) };
        let found = run(&before, &mut place, &native()).unwrap();
        assert_eq!((&found["statistics"]["totalDataPoints"], &found["anomalies"]), (&json!(200), &json!([])));
        let within = Request { from: at(195), to: at(210), ..request(false) };
        let found = run(&within, &mut place, &native()).unwrap();
        assert_eq!(found["statistics"]["totalDataPoints"], 15);
        assert_eq!(found["statistics"]["anomaliesDetected"], 1);
        assert_eq!(found["timeWindow"]["from"], "2026-01-05T09:37:30Z");
        // It began before, and has ended within or after: it is told with its end.
        let later = Request { from: at(205), to: at(290), ..request(false) };
        let found = run(&later, &mut place, &native()).unwrap();
        assert_eq!(found["statistics"]["anomaliesDetected"], 1);
        let anomaly = &found["anomalies"][0];
        assert_eq!((&anomaly["state"], &anomaly["started_at"]), (&json!("closed"), &json!("2026-01-05T09:40:00Z")));
        assert!(anomaly["ended_at"].is_string() && anomaly["peak_at"].is_string(), "{anomaly:#}");
        let after = Request { from: at(290), ..request(false) };
        assert_eq!(run(&after, &mut place, &native()).unwrap()["anomalies"], json!([]));
        // Without rows there is no rate.
        let nothing = Request { from: at(9000), ..request(false) };
        let found = run(&nothing, &mut place, &native()).unwrap();
        assert_eq!(found["statistics"]["anomalyRate"], Value::Null);
        assert_eq!(found["statistics"]["falsePositiveRate"], Value::Null);
        // The anomaly's series, with its marks.
        let file = dir.path().join("found.svg");
        run(&Request { plot: Some(file.clone()), ..request(false) }, &mut place, &native()).unwrap();
        let drawn = std::fs::read_to_string(&file).unwrap();
        assert!(drawn.contains("largest-contentful-paint of page=/, detector speed"), "{drawn}");
        assert!(drawn.matches("<circle").count() >= 30 && drawn.contains("<polygon"));
        let nothing = Request { from: at(9000), plot: Some(file), ..request(false) };
        assert!(run(&nothing, &mut place, &native()).unwrap_err().to_string().contains("nothing to draw"));
        let unknown = Request { topic: Topic("none".into()), ..request(false) };
        assert_eq!(run(&unknown, &mut place, &native()).unwrap_err().to_string(), "no topic `none`");
    }
}

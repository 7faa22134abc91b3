//! What servers send: OTLP and remote write over a real socket, and the limits that both have.

mod common;

use common::{Collector, gzip, lcp};
use perfstream_collector::Options;
use perfstream_collector::remote_write::messages::{Label, Request, Sample, SeriesTwo, TimeSeries, WriteRequest};
use perfstream_collector::store::{Batches, EmbeddedStore, Place, Store};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn gauge(points: Value) -> Value {
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "load", "gauge": {"dataPoints": points}}]}]}]})
}

fn good() -> String {
    gauge(json!([{"asDouble": 0.5}])).to_string()
}

fn text(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_default()
}

#[test]
fn otlp_answers_in_the_encoding_of_the_request() {
    let collector = Collector::start(Options::default());
    let (status, head, body) = collector.send("POST", "/v1/metrics", &[JSON], good().as_bytes());
    assert!(status == 200 && head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, "{}", "a partial success is said only where there is one");
    assert_eq!(collector.records("metrics-stream").len(), 1);

    let partly = gauge(json!([{"asDouble": 1}, {}, {}])).to_string();
    let (status, _, body) = collector.send("POST", "/v1/metrics", &[JSON], partly.as_bytes());
    let why = "number 1: missing_field: the metric has a point without a value";
    assert_eq!(
        (status, text(&body)),
        (200, json!({"partialSuccess": {"rejectedDataPoints": "2", "errorMessage": why}}))
    );
    assert_eq!(collector.records("dead-letters").len(), 2);

    let (status, _, body) = collector.send("POST", "/v1/logs", &[JSON], b"{");
    assert_eq!((status, &text(&body)["code"]), (400, &json!(3)));
    assert!(text(&body)["message"].as_str().is_some_and(|m| m.starts_with("no OTLP request: EOF")), "{body}");

    // An empty message is a whole one: a request, and an answer without partial success.
    let (status, head, body) = collector.send("POST", "/v1/traces", &[PROTOBUF], b"");
    assert!(status == 200 && head.contains("content-type: application/x-protobuf") && body.is_empty(), "{head}");
    let (status, head, body) = collector.send("POST", "/v1/traces", &[PROTOBUF], b"\x0a\x05x");
    assert!(status == 400 && head.contains("content-type: application/x-protobuf"), "{head}");
    // Status { code: 3, message }.
    assert!(body.starts_with("\x08\x03\x12") && body.contains("no OTLP request"), "{body:?}");

    for (headers, want) in
        [(&[][..], 415), (&[("content-type", "text/plain")], 415), (&[JSON, ("content-encoding", "br")], 415)]
    {
        assert_eq!(collector.send("POST", "/v1/metrics", headers, good().as_bytes()).0, want);
    }
    let zipped = [("content-type", "application/json; charset=utf-8"), ("content-encoding", "gzip")];
    assert_eq!(collector.send("POST", "/v1/metrics", &zipped, &gzip(good().as_bytes())).0, 200);
    assert_eq!(collector.send("POST", "/v1/metrics", &zipped, b"no gzip").0, 400);
    assert_eq!(collector.send("GET", "/v1/metrics", &[], b"").0, 405);
    assert_eq!(collector.send("POST", "/v1/other", &[JSON], b"{}").0, 404);
}

#[test]
fn limits_of_servers() {
    let options = Options { server_body_bytes: 2000, server_max_events: 3, ..Options::default() };
    let collector = Collector::start(Options { server_decompressed_bytes: 10_000, ..options });
    let post = |headers: &[(&str, &str)], body: &[u8]| collector.send("POST", "/v1/metrics", headers, body);
    let zipped = [JSON, ("content-encoding", "gzip")];
    let (status, _, body) = post(&[JSON], &[b' '; 2001]);
    assert_eq!((status, &text(&body)["code"]), (413, &json!(8)));
    let bomb = gzip(&vec![b' '; 1_000_000]);
    assert!(bomb.len() < 2000);
    let (status, _, body) = post(&zipped, &bomb);
    assert!(status == 413 && body.contains("10000 bytes after decompression"), "{status} {body}");
    let many = gauge(json!([{"asInt": 1}, {"asInt": 1}, {"asInt": 1}, {"asInt": 1}])).to_string();
    assert_eq!(post(&[JSON], many.as_bytes()).0, 413);
    let snappy = snap::raw::Encoder::new().compress_vec(&vec![0; 20_000]).unwrap();
    assert_eq!(collector.send("POST", "/api/v1/write", &V1, &snappy).0, 413);
}

#[test]
fn servers_have_tokens_of_their_own() {
    let options = Options { tokens: vec!["pub".into()], server_tokens: vec!["secret".into()], ..Options::default() };
    let collector = Collector::start(options);
    let (status, _, body) = collector.send("POST", "/v1/metrics?token=pub", &[JSON], good().as_bytes());
    assert_eq!((status, &text(&body)["code"]), (401, &json!(16)));
    let bearer = ("authorization", "Bearer secret");
    assert_eq!(collector.send("POST", "/v1/metrics", &[JSON, bearer], good().as_bytes()).0, 200);
    let body = pack(&WriteRequest { timeseries: vec![series("up", &[1.0])] });
    assert_eq!(collector.send("POST", "/api/v1/write", &V1, &body).0, 401);
    assert_eq!(collector.send("POST", "/api/v1/write", &[V1[0], V1[1], bearer], &body).0, 204);
    let faro = r#"{"logs":[{"level":"warn","message":"x"}]}"#;
    assert_eq!(collector.send("POST", "/collect", &[("x-api-key", "secret")], faro.as_bytes()).0, 401);
    assert_eq!(collector.send("POST", "/collect", &[("x-api-key", "pub")], faro.as_bytes()).0, 202);
    assert_eq!(collector.records("logs-stream").len(), 1);
}

const V1: [(&str, &str); 2] = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];

fn pack(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

fn series(name: &str, values: &[f64]) -> TimeSeries {
    let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
    TimeSeries {
        labels: vec![label("__name__", name), label("job", "node")],
        samples: values.iter().map(|value| Sample { value: *value, timestamp: 1000 }).collect(),
        histograms: Vec::new(),
    }
}

#[test]
fn remote_write_of_both_versions() {
    let collector = Collector::start(Options::default());
    let post = |headers: &[(&str, &str)], body: &[u8]| collector.send("POST", "/api/v1/write", headers, body);
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    assert_eq!(post(&V1, &pack(&WriteRequest { timeseries: vec![series("up", &[1.0, stale, f64::NAN])] })).0, 204);
    assert_eq!(collector.records("metrics-stream").len(), 1);
    assert_eq!(collector.records("dead-letters").len(), 0);
    let (_, _, metrics) = collector.send("GET", "/metrics", &[], b"");
    for line in [
        r#"perfstream_collector_skipped_events_total{reason="stale"} 1"#,
        r#"perfstream_collector_skipped_events_total{reason="not_finite"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    // What is good is written, and what is bad is not sent again.
    let (status, _, body) =
        post(&V1, &pack(&WriteRequest { timeseries: vec![series("", &[1.0]), series("up", &[2.0])] }));
    assert!(status == 400 && body == "number 0: missing_field: the series has no label `__name__`", "{status} {body}");
    assert_eq!(collector.records("metrics-stream").len(), 2);

    let two = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    let symbols = ["", "__name__", "up"].map(String::from).to_vec();
    let samples = vec![Sample { value: 1.0, timestamp: 1000 }];
    let timeseries = vec![SeriesTwo { labels_refs: vec![1, 2], samples, ..SeriesTwo::default() }];
    let (status, head, _) = post(&[two, V1[1]], &pack(&Request { symbols, timeseries }));
    assert!(status == 204 && head.contains("x-prometheus-remote-write-samples-written: 1"), "{status} {head}");
    assert!(head.contains("x-prometheus-remote-write-histograms-written: 0"), "{head}");

    assert_eq!(post(&V1, b"no snappy").0, 400);
    assert_eq!(post(&[V1[0]], b"").0, 415);
    assert_eq!(post(&[V1[0], ("content-encoding", "zstd")], b"").0, 415);
    assert_eq!(post(&[("content-type", "application/x-protobuf;proto=x.Y"), V1[1]], b"").0, 415);
}

/// An embedded log in which some topics are not there.
struct Lacking(EmbeddedStore, &'static [&'static str]);

impl Store for Lacking {
    fn partitions(&mut self, topic: &str) -> anyhow::Result<Option<u32>> {
        if self.1.contains(&topic) { Ok(None) } else { self.0.partitions(topic) }
    }

    fn write(&mut self, batches: Batches) -> BTreeMap<Place, String> {
        self.0.write(batches)
    }
}

fn lacking(topics: &'static [&'static str]) -> Collector {
    let dir = tempfile::tempdir().unwrap();
    let store = Lacking(EmbeddedStore::open(dir.path(), 1).unwrap(), topics);
    Collector::with(Options::default(), Box::new(store), dir)
}

#[test]
fn a_topic_that_is_not_there_costs_only_its_own_events() {
    let collector = lacking(&["fid-stream"]);
    let fid = r#"{"name":"FID","value":5,"id":"v4-9","page":"/a"}"#;
    let (status, answer) = collector.post(&format!("[{},{fid},7]", lcp(1)));
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (200, &json!(1), &json!(2)));
    assert_eq!(
        answer["events"][0],
        json!({"index": 1, "error": "no_topic", "found": "there is no topic `fid-stream`"})
    );
    assert_eq!(collector.records("lcp-stream").len(), 1);
    let reasons: Vec<Value> = collector.records("dead-letters").iter().map(|d| d["reason"].clone()).collect();
    assert_eq!(reasons, ["no_topic", "not_an_object"]);
    let (status, answer) = collector.post(fid);
    assert_eq!((status, &answer["accepted"]), (400, &json!(0)));
    // Without dead letters a bad event cannot be kept, so the sender keeps it.
    assert_eq!(lacking(&["dead-letters"]).post("[7]").0, 503);
}

#[test]
fn a_name_that_is_not_ours_is_refused() {
    let collector = Collector::start(Options { hosts: vec!["c.example".into()], ..Options::default() });
    let asked = |host: &str, origin: &str| {
        let body = lcp(1);
        let head = format!("POST /v1/vitals HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\nconnection: close\r\n");
        collector.raw(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())
    };
    // A page whose own name points here: its origin is then the collector's own.
    let (status, _, body) = asked("evil.example:8090", "http://evil.example:8090");
    assert!(status == 421 && body.contains("--allow-host"), "{status} {body}");
    assert_eq!(asked("c.example", "http://c.example").0, 204);
    let (status, _, _) = collector.raw(b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert_eq!(status, 421, "no route is left open");
}

#[test]
fn one_address_cannot_have_all_connections() {
    let collector = Collector::start(Options { max_connections_per_address: 2, ..Options::default() });
    let open = || TcpStream::connect(collector.address).unwrap();
    let held = [open(), open()];
    let status = || collector.send("GET", "/healthz", &[], b"").0;
    assert_eq!(status(), 503);
    drop(held);
    // The places are free when the server has seen that the connections are gone.
    while status() != 200 {}
}

#[test]
fn reports_of_the_browser() {
    let collector = Collector::start(Options { origins: vec!["https://shop.example".into()], ..Options::default() });
    let asked = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type, x-api-key, x-faro-session-id, idempotency-key"),
    ];
    let (status, head, _) = collector.send("OPTIONS", "/v1/reports", &asked, b"");
    assert!(status == 200 && head.contains("access-control-allow-origin: https://shop.example"), "{head}");
    for name in ["content-type", "x-api-key", "x-faro-session-id", "idempotency-key"] {
        assert!(
            head.lines().any(|l| l.starts_with("access-control-allow-headers") && l.contains(name)),
            "{name}: {head}"
        );
    }
    let body = json!([{"age": 5, "type": "deprecation", "url": "https://shop.example/a?b=c", "body": {"id": "UnloadHandler"}}, {}]);
    let headers = [("content-type", "application/reports+json"), ("origin", "https://shop.example")];
    assert_eq!(collector.send("POST", "/v1/reports", &headers, body.to_string().as_bytes()).0, 200);
    let records = collector.records("reports-stream");
    assert_eq!((records.len(), &records[0]["id"], &records[0]["page"]), (1, &Value::Null, &json!("/a")));
    assert_eq!(records[0]["attribute_id"], json!("UnloadHandler"));
}

#[test]
fn a_slow_body_of_a_server() {
    let collector = Collector::start(Options { body_timeout: Duration::from_millis(200), ..Options::default() });
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let (status, _, body) = collector.raw(format!("{head}content-length: 500\r\n\r\n{{").as_bytes());
    assert_eq!((status, &text(&body)["code"]), (408, &json!(4)));
}

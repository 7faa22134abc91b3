//! What browsers send, over a real socket, onto the embedded log.

mod common;

use common::{Collector, answer, gzip, lcp};
use flate2::Compression;
use flate2::write::GzEncoder;
use perfstream_collector::Options;
use perfstream_collector::store::{Batches, Place, Store};
use perfstream_log::embedded::Log;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

#[test]
fn each_content_type_and_the_log_has_it_at_204() {
    let collector = Collector::start(Options::default());
    let types =
        [Some("text/plain;charset=UTF-8"), Some("application/json"), Some("application/x-www-form-urlencoded"), None];
    for (n, content_type) in types.into_iter().enumerate() {
        let headers: Vec<(&str, &str)> = content_type.map(|t| ("content-type", t)).into_iter().collect();
        let (status, _, body) = collector.send("POST", "/v1/vitals", &headers, lcp(n as u32).as_bytes());
        assert_eq!((status, body.as_str()), (204, ""), "{content_type:?}");
        assert_eq!(collector.records("lcp-stream").len(), n + 1);
    }
    assert_eq!(collector.post(&format!("{}\n{}\n", lcp(10), lcp(11))).0, 204);
    assert_eq!(collector.post(&format!("[{},{}]", lcp(12), lcp(13))).0, 204);
    assert_eq!(collector.records("lcp-stream").len(), 8);
}

#[test]
fn a_record_lies_where_its_key_belongs() {
    let collector = Collector::start(Options::default());
    let pages: Vec<String> = (0..20).map(|n| format!("/p{n}")).collect();
    let body: Vec<Value> =
        pages.iter().map(|p| json!({"name": "FCP", "value": 5, "url": format!("https://x.example{p}?q")})).collect();
    assert_eq!(collector.post(&Value::from(body).to_string()).0, 204);
    let log = Log::open(collector.dir.path()).unwrap();
    for page in &pages {
        let partition = perfstream_log::partition_of_key(page.as_bytes(), 4);
        let found = log.read("fcp-stream", partition, 0, 100).unwrap();
        assert!(found.iter().any(|r| r.key.as_deref() == Some(page.as_bytes()) && r.log_time_ms > 0), "{page}");
    }
}

#[test]
fn a_bad_event_does_not_refuse_the_others() {
    let collector = Collector::start(Options::default());
    let (status, answer) =
        collector.post(&format!("[{}, {{\"name\":\"LCP\",\"value\":\"x\",\"page\":\"/\"}}, 7]", lcp(1)));
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (200, &json!(1), &json!(2)));
    assert_eq!(answer["events"][0], json!({"index": 1, "error": "wrong_type", "found": "`value` is no number"}));
    assert_eq!(collector.records("lcp-stream").len(), 1);
    let dead = collector.records("dead-letters");
    assert_eq!(dead.iter().map(|d| &d["reason"]).collect::<Vec<_>>(), ["wrong_type", "not_an_object"]);
    assert_eq!(dead[0]["sample"], r#"{"name":"LCP","page":"/","value":"x"}"#);
    let (_, _, metrics) = collector.send("GET", "/metrics", &[], b"");
    for line in [
        r#"perfstream_collector_records_total{topic="lcp-stream"} 1"#,
        r#"perfstream_collector_bad_events_total{reason="wrong_type"} 1"#,
        r#"perfstream_collector_requests_total{status="200"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let (status, answer) = collector.post("no json");
    assert_eq!((status, &answer["error"]), (400, &json!("no_events")));
    let (status, answer) = collector.post(r#"{"name":"XYZ"}"#);
    assert_eq!((status, &answer["accepted"]), (400, &json!(0)));
}

#[test]
fn gzip_and_a_gzip_bomb() {
    let collector = Collector::start(Options::default());
    let headers = [("content-encoding", "gzip")];
    let post = |body: &[u8]| collector.send("POST", "/v1/vitals", &headers, body);
    assert_eq!(post(&gzip(lcp(1).as_bytes())).0, 204);
    assert_eq!(collector.records("lcp-stream").len(), 1);
    // 20 MB of spaces are 20 kB of gzip.
    let bomb = gzip(&vec![b' '; 20_000_000]);
    assert!(bomb.len() < 64 << 10);
    let (status, _, body) = post(&bomb);
    assert!(status == 413 && body.contains("1048576 bytes after decompression"), "{status} {body}");
    assert_eq!(post(b"no gzip").0, 400);
    assert_eq!(collector.send("POST", "/v1/vitals", &[("content-encoding", "br")], b"x").0, 415);
}

#[test]
fn a_body_that_is_too_long() {
    let collector = Collector::start(Options { body_bytes: 1000, ..Options::default() });
    let long = vec![b' '; 1001];
    let (status, _, body) = collector.send("POST", "/v1/vitals", &[], &long);
    assert!(status == 413 && body.contains("1000 bytes as sent"), "{status} {body}");
    // Its length is not said beforehand.
    let chunked =
        b"POST /v1/vitals HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3e9\r\n";
    assert_eq!(collector.raw(&[&chunked[..], &long, b"\r\n0\r\n\r\n"].concat()).0, 413);
    let gzipped = b"POST /v1/vitals HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3e9\r\n";
    // A gzip member of stored bytes is longer than what it holds.
    let mut stored = GzEncoder::new(Vec::new(), Compression::none());
    stored.write_all(&[b' '; 2000]).unwrap();
    let stored = stored.finish().unwrap();
    assert_eq!(collector.raw(&[&gzipped[..], &stored[..1001], b"\r\n0\r\n\r\n"].concat()).0, 413);
    let many = format!("[{}{{}}]", "{},".repeat(400));
    let few = Collector::start(Options { max_events: 400, ..Options::default() });
    assert_eq!(few.post(&many).0, 413);
}

#[test]
fn a_slow_body_and_a_slow_head() {
    let short = Duration::from_millis(200);
    let collector = Collector::start(Options { body_timeout: short, header_timeout: short, ..Options::default() });
    let (status, _, body) =
        collector.raw(b"POST /v1/vitals HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500\r\n\r\n{\"name\"");
    assert!(status == 408 && body.contains("slow_body"), "{status} {body}");
    // hyper ends such a connection; without a timer it would wait for ever.
    let (status, _, _) = collector.raw(b"POST /v1/vitals HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    assert!(matches!(status, 0 | 408), "{status}");
}

#[test]
fn heads_and_connections_are_bounded() {
    let collector = Collector::start(Options { max_connections: 1, header_bytes: 8192, ..Options::default() });
    let big = "x".repeat(20_000);
    assert_eq!(collector.send("GET", "/healthz", &[("x-big", &big)], b"").0, 431);
    let first = TcpStream::connect(collector.address).unwrap();
    let refused = || collector.send("GET", "/healthz", &[], b"").0;
    // The place of the request before may be free only in a moment; the first connection then has it.
    while refused() == 200 {}
    first.shutdown(Shutdown::Both).unwrap();
    while refused() != 200 {}
}

#[test]
fn too_many_requests() {
    let collector = Collector::start(Options { rate_per_address: 1, ..Options::default() });
    let all: Vec<(u16, String, String)> =
        (0..4).map(|n| collector.send("POST", "/v1/vitals", &[], lcp(n).as_bytes())).collect();
    assert!(all.iter().take(2).all(|a| a.0 == 204), "{all:?}");
    let refused = all.iter().find(|a| a.0 == 429).expect("the burst is two");
    assert!(refused.1.contains("retry-after: ") && refused.2.contains("\"error\":\"rate\""), "{refused:?}");
    assert_eq!(collector.send("GET", "/healthz", &[], b"").0, 200, "health is not counted");
}

/// A token's rate is its own: it is spent by all addresses together, and another token's is left alone.
#[test]
fn too_many_requests_of_one_token() {
    let tokens = vec!["one".into(), "two".into()];
    let collector = Collector::start(Options { rate_per_token: 1, rate_per_address: 0, tokens, ..Options::default() });
    let post =
        |token: &str, n: u32| collector.send("POST", &format!("/v1/vitals?token={token}"), &[], lcp(n).as_bytes());
    let all: Vec<(u16, String, String)> = (0..4).map(|n| post("one", n)).collect();
    assert!(all.iter().take(2).all(|a| a.0 == 204), "{all:?}");
    let refused = all.iter().find(|a| a.0 == 429).expect("the burst is two");
    assert!(refused.1.contains("retry-after: ") && refused.2.contains("this token"), "{refused:?}");
    assert_eq!(post("two", 9).0, 204);
    assert_eq!(post("three", 9).0, 401, "a token that is not known has no rate");
}

#[test]
fn origins() {
    let collector = Collector::start(Options { origins: vec!["https://shop.example".into()], ..Options::default() });
    let post = |origin: &str| collector.send("POST", "/v1/vitals", &[("origin", origin)], lcp(1).as_bytes());
    let (status, head, _) = post("https://shop.example");
    assert!(status == 204 && head.contains("access-control-allow-origin: https://shop.example"), "{head}");
    let (status, head, body) = post("https://evil.example");
    assert!(status == 403 && !head.contains("access-control-allow-origin") && body.contains("evil"), "{head}");
    assert_eq!(post("http://localhost").0, 204, "the collector's own");
    let asked = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let (status, head, _) = collector.send("OPTIONS", "/v1/vitals", &asked, b"");
    assert!(status == 200 && head.contains("access-control-allow-headers: content-type"), "{status} {head}");
    let any = Collector::start(Options { origins: vec!["*".into()], ..Options::default() });
    let (status, head, _) = any.send("POST", "/v1/vitals", &[("origin", "https://a.example")], lcp(1).as_bytes());
    assert!(
        status == 204 && head.contains("access-control-allow-origin: *") && !head.contains("credentials"),
        "{head}"
    );
}

#[test]
fn tokens_and_topics() {
    let topics = BTreeMap::from([("requests".to_owned(), "requests:service".parse().unwrap())]);
    let options =
        Options { tokens: vec!["pub".into()], server_tokens: vec!["secret".into()], topics, ..Options::default() };
    let collector = Collector::start(options);
    let post =
        |path: &str, headers: &[(&str, &str)], body: &str| collector.send("POST", path, headers, body.as_bytes()).0;
    assert_eq!(post("/v1/vitals", &[], &lcp(1)), 401);
    assert_eq!(post("/v1/vitals?token=pub", &[], &lcp(1)), 204);
    assert_eq!(post("/v1/vitals", &[("x-perfstream-token", "pub")], &lcp(2)), 204);
    assert_eq!(post("/v1/vitals?token=pu", &[], &lcp(1)), 401);
    let event = r#"{"service":"cart","ms":12}"#;
    assert_eq!(post("/v1/events/requests?token=pub", &[], event), 401, "a public token writes vitals only");
    let bearer = [("authorization", "Bearer secret")];
    assert_eq!(post("/v1/events/requests", &bearer, event), 204);
    assert_eq!(post("/v1/events/other", &bearer, event), 404);
    let records = collector.records("requests");
    assert_eq!((records.len(), &records[0]["ms"]), (1, &json!(12)));
    assert!(records[0]["received"].is_string() && records[0]["timestamp"].is_string());
}

/// A log that takes nothing.
struct Broken;

impl Store for Broken {
    fn partitions(&mut self, _topic: &str) -> anyhow::Result<Option<u32>> {
        Ok(Some(1))
    }

    fn write(&mut self, batches: Batches) -> BTreeMap<Place, String> {
        batches.into_keys().map(|place| (place, "the disk at /secret is full".to_owned())).collect()
    }
}

#[test]
fn a_log_that_fails() {
    let collector = Collector::with(Options::default(), Box::new(Broken), tempfile::tempdir().unwrap());
    let (status, head, body) = collector.send("POST", "/v1/vitals", &[], lcp(1).as_bytes());
    assert!(status == 503 && head.contains("retry-after: 2") && !body.contains("secret"), "{status} {head} {body}");
}

#[test]
fn a_request_that_has_begun_is_answered_at_the_end() {
    let mut collector = Collector::start(Options::default());
    let body = lcp(1);
    let mut stream = TcpStream::connect(collector.address).unwrap();
    let head = format!(
        "POST /v1/vitals HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The handler asks for the body: the request has begun.
    let mut line = [0; 25];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line[..12], b"HTTP/1.1 100");
    let _ = collector.stop.take().unwrap().send(());
    stream.write_all(body.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).0, 204);
    collector.end();
    assert_eq!(collector.records("lcp-stream").len(), 1);
}

#[test]
fn the_script_and_unknown_paths() {
    let collector = Collector::start(Options::default());
    let (status, head, body) = collector.send("GET", "/perfstream.js", &[], b"");
    assert!(status == 200 && head.contains("text/javascript") && body.contains("sendBeacon"), "{head}");
    assert_eq!(collector.send("GET", "/healthz", &[], b"").2, "ok\n");
    assert_eq!(collector.send("GET", "/admin", &[], b"").0, 404);
    assert_eq!(collector.send("GET", "/v1/vitals", &[], b"").0, 405);
}

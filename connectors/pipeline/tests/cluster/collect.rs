//! `perfstream collect --cluster` on a real cluster: which topics it needs, and that every acknowledged
//! event is in its topic once, in the partition of its key.

use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{Topics, partition_of_key, read_range};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// `perfstream collect` as a process; what it says, line by line.
struct Collector {
    child: Child,
    address: SocketAddr,
    said: Receiver<String>,
}

impl Collector {
    fn start(cluster: &TestCluster, more: &[&str]) -> Collector {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfstream"));
        command.args(["collect", "--cluster", cluster.address(), "--listen", &address.to_string()]).args(more);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("a process");
        let lines = BufReader::new(child.stderr.take().expect("standard error")).lines();
        let (saying, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(saying.send(line))));
        Collector { child, address, said }
    }

    /// Waits for a line with this text; all that was said until then, or until it ended.
    fn until(&self, text: &str) -> String {
        let mut all = String::new();
        for line in &self.said {
            all.push_str(&line);
            all.push('\n');
            if line.contains(text) {
                break;
            }
        }
        all
    }

    fn post(&self, path: &str, kind: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {kind}\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0), serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All records of a topic with their partition and key.
fn records(cluster: &TestCluster, topic: &str) -> Vec<(u32, String, Value)> {
    let mut log = cluster.topics();
    let count = log.partitions(topic).expect("an answer").unwrap_or_default();
    let mut found = Vec::new();
    for partition in 0..count {
        let end = log.extent(topic, partition).expect("an answer").end;
        for record in read_range(&mut log, topic, partition, 0..end).expect("records") {
            let key = String::from_utf8(record.key.expect("a key")).expect("a text");
            found.push((partition, key, serde_json::from_slice(&record.value).expect("JSON")));
        }
    }
    found
}

#[test]
#[ignore = "needs a Fluvio server"]
fn an_acknowledged_event_is_in_its_topic_once() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    let mut collector = Collector::start(&cluster, &[]);
    let said = collector.until("nothing is ever this");
    assert!(said.contains("the cluster has no topic `dead-letters`") && said.contains("--create-topics"), "{said}");
    assert!(!collector.child.wait().expect("an end").success());

    let collector = Collector::start(&cluster, &["--create-topics", "4"]);
    assert!(collector.until("collecting at").contains("made the topic `metrics-stream`, 4 partitions"));
    let mut acknowledged = BTreeMap::new();
    for beacon in 0..30 {
        let event = |n: usize| {
            let (page, id) = (format!("/p{}", n % 7), format!("v6-{beacon}-{n}"));
            acknowledged.insert(id.clone(), page.clone());
            json!({"name": "LCP", "value": 1200, "id": id, "page": page})
        };
        let events: Vec<Value> = (0..10).map(event).collect();
        assert_eq!(collector.post("/v1/vitals", "text/plain", &json!(events).to_string()).0, 204);
    }
    let points: Vec<Value> =
        (0..50).map(|n| json!({"asInt": n, "timeUnixNano": format!("{}", 1_000_000 + n)})).collect();
    let metrics = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": points}}]}],
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}}]});
    assert_eq!(collector.post("/v1/metrics", "application/json", &metrics.to_string()), (200, json!({})));
    assert_eq!(collector.post("/v1/vitals", "text/plain", "[7]").0, 400);

    let found = records(&cluster, "lcp-stream");
    let pages: BTreeMap<String, String> =
        found.iter().map(|(_, key, value)| (value["metricId"].as_str().unwrap_or("?").into(), key.clone())).collect();
    assert_eq!((found.len(), pages), (300, acknowledged), "each once, under its page");
    let service = records(&cluster, "metrics-stream");
    assert_eq!(service.len(), 50);
    for (partition, key, _) in found.iter().chain(&service) {
        assert_eq!(*partition, partition_of_key(key.as_bytes(), 4), "{key}");
    }
    assert_eq!(records(&cluster, "dead-letters").len(), 1);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn events_of_a_missing_topic_are_dead_letters() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    for topic in ["dead-letters", "lcp-stream"] {
        cluster.create_topic(topic, 1, TopicOptions::default()).expect("a topic");
    }
    let collector = Collector::start(&cluster, &[]);
    let said = collector.until("collecting at");
    assert!(said.contains("has no topics cls-stream, fcp-stream") && !said.contains("lcp-stream"), "{said}");
    let event = |name: &str| json!({"name": name, "value": 5, "id": "v6-1", "page": "/a"});
    let (status, answer) = collector.post("/v1/vitals", "text/plain", &json!([event("LCP"), event("FCP")]).to_string());
    assert_eq!((status, &answer["events"][0]["error"]), (200, &json!("no_topic")), "{answer}");
    assert_eq!(records(&cluster, "lcp-stream").len(), 1);
    let dead = records(&cluster, "dead-letters");
    assert_eq!((dead.len(), &dead[0].2["detail"]), (1, &json!("there is no topic `fcp-stream`")));
}

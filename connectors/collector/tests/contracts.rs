//! Requests of other people's senders, recorded byte for byte (`contracts/README.md`), and what becomes
//! of them: answer and records, beside each as `NAME.json`. `PERFSTREAM_BLESS=1` writes those anew.

mod common;

use common::Collector;
use perfstream_collector::Options;
use perfstream_log::embedded::Log;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contracts");
    let mut found: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "http"));
    found.sort();
    found
}

/// The records by topic, without what is different each time.
fn records(collector: &Collector) -> Value {
    let log = Log::open(collector.dir.path()).unwrap();
    let mut topics = Map::new();
    for topic in log.topics().unwrap() {
        let partitions = log.partitions(&topic).unwrap().into_iter();
        let read = partitions.flat_map(|partition| log.read(&topic, partition, 0, 1000).unwrap());
        let shown = read.map(|record| {
            let mut value: Map<String, Value> = serde_json::from_slice(&record.value).unwrap();
            let received = value.remove("received");
            assert!(received.is_some(), "{topic}: {value:?}");
            value.retain(|name, value| name != "timestamp" || Some(&*value) != received.as_ref());
            json!({"key": record.key.map(|key| String::from_utf8_lossy(&key).into_owned()), "value": value})
        });
        topics.insert(topic.clone(), shown.collect());
    }
    Value::Object(topics)
}

#[test]
fn what_others_send_is_taken() {
    let recordings = recordings();
    assert!(recordings.len() >= 11, "{recordings:?}");
    for recording in recordings {
        let name = recording.display();
        let request = std::fs::read(&recording).unwrap();
        let body = request.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let (head, body) = request.split_at(body);
        // The sender would have kept the connection; the test reads to its end.
        let kept = |line: &&str| !line.to_lowercase().starts_with("connection:");
        let head: Vec<&str> = std::str::from_utf8(head).unwrap().split("\r\n").filter(kept).collect();
        let request = [head.join("\r\n").as_bytes(), b"\r\nConnection: close", body].concat();
        let collector = Collector::start(Options::default());
        let (status, _, answer) = collector.raw(&request);
        assert!((200..300).contains(&status), "{name}: {status} {answer}");
        let found = json!({"status": status, "answer": answer, "records": records(&collector)});
        let text = format!("{}\n", serde_json::to_string_pretty(&found).unwrap());
        let golden = recording.with_extension("json");
        if std::env::var_os("PERFSTREAM_BLESS").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&golden).unwrap(), text, "{name}");
    }
}

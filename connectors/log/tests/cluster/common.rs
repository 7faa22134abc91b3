//! What the tests share: Fluvio's client as a user has it by default, and reading all there is by ours.

use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Offset, RecordKey, TopicProducerConfig, TopicProducerConfigBuilder};
use futures_util::StreamExt;
use perfstream_log::cluster::{Reader, ReaderOptions};
use perfstream_log::testing::TestCluster;
use perfstream_log::{LogRecord, NewRecord, Read};
use std::ops::Range;
use std::time::Duration;

/// Long enough for any answer of a busy machine; a test that waits so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn record(value: impl Into<Vec<u8>>) -> NewRecord {
    NewRecord { log_time_ms: 0, key: None, value: value.into() }
}

/// Record `n` of a topic: its number, filled up to `bytes`.
pub(crate) fn numbered(n: i64, bytes: usize) -> Vec<u8> {
    let mut value = format!("{n:010} ").into_bytes();
    value.resize(bytes.max(value.len()), b'x');
    value
}

pub(crate) fn number(value: &[u8]) -> i64 {
    std::str::from_utf8(&value[..10]).unwrap().parse().unwrap()
}

/// Fluvio's own producer.
pub(crate) async fn produce(
    cluster: &TestCluster,
    topic: &str,
    config: Option<TopicProducerConfig>,
    values: impl IntoIterator<Item = Vec<u8>>,
) {
    let config = config.unwrap_or_else(|| TopicProducerConfigBuilder::default().build().unwrap());
    let producer = cluster.cluster().client().topic_producer_with_config(topic, config).await.unwrap();
    for value in values {
        producer.send(RecordKey::NULL, value).await.unwrap();
    }
    producer.flush().await.unwrap();
}

/// The offsets that Fluvio's own consumer gives of a backlog, until `last` or until it is silent for
/// two seconds.
pub(crate) async fn consume(
    cluster: &TestCluster,
    topic: &str,
    start: Offset,
    max_bytes: Option<i32>,
    last: i64,
) -> Vec<i64> {
    let mut config = ConsumerConfigExtBuilder::default();
    config.topic(topic).partition(0).offset_start(start);
    if let Some(max_bytes) = max_bytes {
        config.max_bytes(max_bytes);
    }
    let mut stream = cluster.cluster().client().consumer_with_config(config.build().unwrap()).await.unwrap();
    let mut offsets = Vec::new();
    while let Ok(Some(Ok(record))) = tokio::time::timeout(Duration::from_secs(2), stream.next()).await {
        offsets.push(record.offset());
        if record.offset() >= last {
            break;
        }
    }
    offsets
}

pub(crate) async fn reader(cluster: &TestCluster, topic: &str, from: i64, options: ReaderOptions) -> Reader {
    Reader::open(cluster.cluster().clone(), topic, 0, from, options).await.unwrap()
}

/// Reads on until offset `end` or behind it, and holds what comes to the reader's promise: every offset, once.
pub(crate) async fn read_to(reader: &mut Reader, end: i64) -> Vec<LogRecord> {
    let from = reader.position();
    let mut records = Vec::new();
    while reader.position() < end {
        match reader.next(4 << 20, LONG).await.unwrap() {
            Read::Records(more) if !more.is_empty() => records.extend(more),
            Read::Records(_) => panic!("no record at {}: {:?}", reader.position(), reader.trouble()),
            Read::Gap(range) => panic!("a gap {range:?}"),
        }
    }
    let expected: Range<i64> = from..reader.position();
    assert!(records.iter().map(|r| r.offset).eq(expected), "the reader leaves out or doubles");
    records
}

//! The reader and the writer on a real cluster, each beside what Fluvio's own client does.

use perfstream_log::testing::{Keep, TestCluster};
use perfstream_log::{NewRecord, Read, Topics, partition_of_key};
use std::time::Duration;

fn record(text: String) -> NewRecord {
    NewRecord { log_time_ms: 0, key: None, value: text.into_bytes() }
}

/// Reads until `end`.
fn read_all(topics: &mut impl Topics, topic: &str, partition: u32, end: i64, max_bytes: usize) -> Vec<(i64, Vec<u8>)> {
    let (mut at, mut found) = (0, Vec::new());
    while at < end {
        match topics.read(topic, partition, at, max_bytes, Duration::from_secs(10)).expect("a read") {
            Read::Gap(range) => at = range.end,
            Read::Records(records) => {
                assert!(!records.is_empty(), "record {at} did not come");
                at = records.last().expect("a record").offset + 1;
                found.extend(records.into_iter().map(|r| (r.offset, r.value)));
            }
        }
    }
    found
}

#[test]
#[ignore = "needs a Fluvio server"]
fn what_is_written_is_read() {
    let cluster = TestCluster::start();
    cluster.create("t", 2, Keep::default()).expect("a topic");
    let mut topics = cluster.connect().expect("a connection");
    assert_eq!(topics.partitions("t").expect("an answer"), Some(2));
    assert_eq!(topics.partitions("no-such").expect("an answer"), None);
    assert_eq!(topics.extent("t", 0).expect("an answer"), 0..0);
    let first = topics.append("t", 0, &[record("a".into()), record("b".into())]).expect("an append");
    let second = topics.append("t", 0, &[record("c".into())]).expect("an append");
    assert_eq!((first, second), (0..2, 2..3));
    assert_eq!(topics.extent("t", 0).expect("an answer"), 0..3);
    let all = read_all(&mut topics, "t", 0, 3, 1 << 20);
    assert_eq!(all.iter().map(|(o, v)| (*o, v.as_slice())).collect::<Vec<_>>(), [(0, &b"a"[..]), (1, b"b"), (2, b"c")]);
    // In the middle of a batch.
    let Read::Records(rest) = topics.read("t", 0, 1, 1 << 20, Duration::from_secs(10)).expect("a read") else {
        panic!("a gap")
    };
    assert_eq!(rest[0].offset, 1);
    assert!(rest[0].log_time_ms > 1_700_000_000_000);
    let Read::Records(none) = topics.read("t", 0, 3, 1 << 20, Duration::from_millis(100)).expect("a read") else {
        panic!("a gap")
    };
    assert!(none.is_empty());
    let keyed = NewRecord { key: Some(b"k".to_vec()), ..record("d".repeat(3 << 20)) };
    topics.append("t", 1, &[keyed.clone()]).expect("3 MiB");
    let Read::Records(large) = topics.read("t", 1, 0, 1, Duration::from_secs(10)).expect("a read") else {
        panic!("a gap")
    };
    assert_eq!((large[0].key.clone(), large[0].value.len()), (keyed.key, 3 << 20));
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_backlog_of_small_batches_is_complete() {
    let cluster = TestCluster::start();
    cluster.create("t", 1, Keep::default()).expect("a topic");
    let mut topics = cluster.connect().expect("a connection");
    let mut n = 0;
    while n < 60_000 {
        // 130 records of 125 bytes make a batch of 16 KiB, as Fluvio's producer has them.
        let batch: Vec<NewRecord> = (n..n + 130).map(|n| record(format!("{n:0>125}"))).collect();
        n = topics.append("t", 0, &batch).expect("an append").end;
    }
    let ours = read_all(&mut topics, "t", 0, n, 1 << 20);
    assert_eq!(ours.len() as i64, n);
    for (at, (offset, value)) in ours.iter().enumerate() {
        assert_eq!((*offset, value.as_slice()), (at as i64, format!("{at:0>125}").as_bytes()));
    }
    let naive = cluster.runtime().block_on(naive_count(&topics, "t", n));
    println!("Fluvio's own consumer read {naive} of {n} records; the reader {}", ours.len());
    assert!((naive as i64) < n, "Fluvio's consumer has been mended: this reader may not be needed any more");
}

/// Records that Fluvio's own consumer gives until the last one, with its defaults.
async fn naive_count(topics: &perfstream_log::cluster::ClusterTopics, topic: &str, end: i64) -> usize {
    use fluvio::consumer::{ConsumerConfigExtBuilder, RetryMode};
    use futures_util::StreamExt;
    let config = ConsumerConfigExtBuilder::default()
        .topic(topic)
        .partition(0)
        .offset_start(fluvio::Offset::beginning())
        .retry_mode(RetryMode::Disabled)
        .build()
        .expect("a configuration");
    let mut stream = topics.cluster().client().consumer_with_config(config).await.expect("a stream");
    let mut count = 0;
    while let Ok(Some(Ok(record))) = tokio::time::timeout(Duration::from_secs(5), stream.next()).await {
        count += 1;
        if record.offset + 1 >= end {
            break;
        }
    }
    count
}

#[test]
#[ignore = "needs a Fluvio server"]
fn keys_lie_where_fluvio_puts_them() {
    let cluster = TestCluster::start();
    cluster.create("t", 8, Keep::default()).expect("a topic");
    let mut topics = cluster.connect().expect("a connection");
    cluster.runtime().block_on(async {
        let producer = topics.cluster().client().topic_producer("t").await.expect("a producer");
        for n in 0..200 {
            producer.send(format!("/page/{n}"), "x").await.expect("a record");
        }
        producer.flush().await.expect("a flush");
    });
    let mut seen = 0;
    for partition in 0..8 {
        let end = topics.extent("t", partition).expect("an answer").end;
        let mut at = 0;
        while at < end {
            let Read::Records(records) =
                topics.read("t", partition, at, 1 << 20, Duration::from_secs(10)).expect("a read")
            else {
                panic!("a gap")
            };
            at = records.last().expect("a record").offset + 1;
            for record in records {
                assert_eq!(partition_of_key(&record.key.expect("a key"), 8), partition);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 200);
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_killed_spu_loses_and_doubles_nothing() {
    let mut cluster = TestCluster::start();
    cluster.create("t", 1, Keep::default()).expect("a topic");
    let mut writer = cluster.connect().expect("a connection");
    let mut reader = cluster.connect().expect("a connection");
    let (mut written, mut at, mut read) = (0, 0, Vec::new());
    for round in 0..4 {
        for _ in 0..50 {
            let batch: Vec<NewRecord> = (written..written + 10).map(|n| record(n.to_string())).collect();
            match writer.append("t", 0, &batch) {
                Ok(range) => written = range.end,
                // What is not known is read.
                Err(_) => written = writer.extent("t", 0).expect("an answer").end,
            }
            if let Read::Records(records) = reader.read("t", 0, at, 1 << 20, Duration::ZERO).expect("a read") {
                at = records.last().map_or(at, |r| r.offset + 1);
                read.extend(records);
            }
        }
        if round < 3 {
            cluster.kill_spu();
            cluster.start_spu().expect("a start");
        }
    }
    while at < written {
        let Read::Records(records) = reader.read("t", 0, at, 1 << 20, Duration::from_secs(30)).expect("a read") else {
            panic!("a gap")
        };
        assert!(!records.is_empty(), "record {at} of {written} did not come");
        at = records.last().expect("a record").offset + 1;
        read.extend(records);
    }
    let values: Vec<i64> = read.iter().map(|r| String::from_utf8_lossy(&r.value).parse().expect("a number")).collect();
    assert_eq!(values, (0..written).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a Fluvio server"]
fn what_retention_took_is_a_gap() {
    let cluster = TestCluster::start();
    let keep = Keep { segment_bytes: Some(16 << 10), seconds: Some(10) };
    cluster.create("t", 1, keep).expect("a topic");
    let mut topics = cluster.connect().expect("a connection");
    for n in 0..50 {
        topics.append("t", 0, &[record(format!("{n:0>4000}"))]).expect("an append");
    }
    let until = std::time::Instant::now() + Duration::from_secs(90);
    let start = loop {
        let start = topics.extent("t", 0).expect("an answer").start;
        if start > 0 || std::time::Instant::now() > until {
            break start;
        }
        std::thread::sleep(Duration::from_millis(250));
    };
    assert!(start > 0, "nothing was evicted within 90 s");
    let Read::Gap(gap) = topics.read("t", 0, 0, 1 << 20, Duration::from_secs(10)).expect("a read") else {
        panic!("records that are gone")
    };
    assert_eq!(gap.start, 0);
    assert!(gap.end >= start && gap.end <= 50, "{gap:?}");
    if gap.end < 50 {
        let Read::Records(rest) = topics.read("t", 0, gap.end, 1 << 20, Duration::from_secs(10)).expect("a read")
        else {
            return;
        };
        assert_eq!(rest.first().map(|r| r.offset), Some(gap.end));
    }
}

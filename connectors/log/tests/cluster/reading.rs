//! Reading without faults of network or server.

use crate::common::{consume, number, numbered, produce, read_to, reader, record};
use fluvio::metadata::topic::CompressionAlgorithm;
use fluvio::{Compression, Offset, TopicProducerConfigBuilder};
use perfstream_log::cluster::{Isolation, ReaderOptions};
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NO_LOG_TIME, Read, Topics};
use std::time::Duration;

/// H0 of the hazards: a backlog of more than 1 MiB, over many segments.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_backlog_is_read_whole() {
    const RECORDS: i64 = 60_000;
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let options = TopicOptions { segment_bytes: Some(2 << 20), ..TopicOptions::default() };
    cluster.create_topic("backlog", 1, options).unwrap();
    cluster.block_on(async {
        produce(&cluster, "backlog", None, (0..RECORDS).map(|n| numbered(n, 125))).await;
        let naive = consume(&cluster, "backlog", Offset::absolute(0).unwrap(), None, RECORDS - 1).await;
        println!("Fluvio's consumer: {} of {RECORDS} records", naive.len());
        assert!((naive.len() as i64) < RECORDS, "Fluvio's consumer loses none any more: see the reader's reason to be");

        let mut reader = reader(&cluster, "backlog", 0, ReaderOptions::default()).await;
        let records = read_to(&mut reader, RECORDS).await;
        assert!(records.iter().all(|r| number(&r.value) == r.offset && r.log_time_ms != NO_LOG_TIME));
        // Nothing more comes, and that is no error.
        assert_eq!(reader.next(1, Duration::ZERO).await.unwrap(), Read::Records(vec![]));
        assert_eq!(reader.position(), RECORDS);
    });
}

/// A batch that is larger than the answer: Fluvio's consumer passes over it.
#[test]
#[ignore = "needs a Fluvio server"]
fn an_answer_smaller_than_a_batch_grows() {
    const RECORDS: i64 = 40;
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("stump", 1, TopicOptions::default()).unwrap();
    cluster.block_on(async {
        let sizes = |n: i64| if n % 10 == 5 { 20_000 } else { 100 };
        produce(&cluster, "stump", None, (0..RECORDS).map(|n| numbered(n, sizes(n)))).await;
        let naive = consume(&cluster, "stump", Offset::absolute(0).unwrap(), Some(5_000), RECORDS - 1).await;
        println!("Fluvio's consumer: {} of {RECORDS} records", naive.len());
        assert!((naive.len() as i64) < RECORDS);

        let small = ReaderOptions { fetch_bytes: 5_000, ..ReaderOptions::default() };
        let mut reader = reader(&cluster, "stump", 0, small).await;
        let records = read_to(&mut reader, RECORDS).await;
        assert!(records.iter().all(|r| r.value == numbered(r.offset, sizes(r.offset))));
        assert!(reader.counters().short_batches > 0, "{:?}", reader.counters());
    });
}

/// Batches are sent whole; a start inside one must not bring what lies before it.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_start_inside_a_batch_cuts_it() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("inside", 1, TopicOptions::default()).unwrap();
    let records: Vec<_> = (0..100).map(|n| record(numbered(n, 20))).collect();
    assert_eq!(cluster.topics().append("inside", 0, &records).unwrap(), 0..100);
    cluster.block_on(async {
        for from in [1, 50, 99] {
            let mut reader = reader(&cluster, "inside", from, ReaderOptions::default()).await;
            let read = read_to(&mut reader, 100).await;
            assert!(read.iter().all(|r| number(&r.value) == r.offset));
        }
    });
}

/// Through the blocking trait: positions, several partitions, a step back, `max_bytes`.
#[test]
#[ignore = "needs a Fluvio server"]
fn partitions_are_read_each_from_its_own_position() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("several", 3, TopicOptions::default()).unwrap();
    let mut topics = cluster.topics();
    assert_eq!(topics.partitions("several").unwrap(), Some(3));
    assert_eq!(topics.partitions("severa").unwrap(), None);
    for partition in 0..3 {
        let count = 10 * (i64::from(partition) + 1);
        let records: Vec<_> = (0..count).map(|n| record(numbered(n, 100))).collect();
        assert_eq!(topics.append("several", partition, &records).unwrap(), 0..count);
        assert_eq!(topics.extent("several", partition).unwrap(), 0..count);
    }
    let mut next = [0, 0, 0];
    // Turn by turn, as a worker with several partitions does.
    while next != [10, 20, 30] {
        for partition in 0..3 {
            let from = next[partition as usize];
            let wait = if from < 10 * (i64::from(partition) + 1) { crate::common::LONG } else { Duration::ZERO };
            let Read::Records(records) = topics.read("several", partition, from, 350, wait).unwrap() else {
                panic!("no gap")
            };
            assert!(records.len() <= 3, "350 bytes are three records of 100");
            for record in records {
                assert_eq!(
                    (record.offset, number(&record.value)),
                    (next[partition as usize], next[partition as usize])
                );
                next[partition as usize] += 1;
            }
        }
    }
    let Read::Records(again) = topics.read("several", 2, 5, 100, crate::common::LONG).unwrap() else {
        panic!("no gap")
    };
    assert_eq!(again.iter().map(|r| r.offset).collect::<Vec<_>>(), [5]);
    let error = topics.extent("several", 3).unwrap_err();
    assert_eq!(format!("{error:#}"), "the cluster has no partition several/3");
    let error = topics.read("several", 3, 0, 1, Duration::ZERO).unwrap_err();
    assert_eq!(format!("{error:#}"), "the cluster has no partition several/3");
}

#[test]
#[ignore = "needs a Fluvio server"]
fn every_compression_is_read() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("compressed", 1, TopicOptions::default()).unwrap();
    let codecs = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd, Compression::None];
    cluster.block_on(async {
        for (index, compression) in codecs.into_iter().enumerate() {
            let config = TopicProducerConfigBuilder::default().compression(compression).build().unwrap();
            let first = index as i64 * 1000;
            produce(&cluster, "compressed", Some(config), (first..first + 1000).map(|n| numbered(n, 80))).await;
        }
        // Answers of this size are cut inside compressed batches too.
        let small = ReaderOptions { fetch_bytes: 4_000, ..ReaderOptions::default() };
        let mut reader = reader(&cluster, "compressed", 0, small).await;
        let records = read_to(&mut reader, 5000).await;
        assert!(records.iter().all(|r| r.value == numbered(r.offset, 80)));
    });
}

/// A topic that demands a compression gets it from the writer.
#[test]
#[ignore = "needs a Fluvio server"]
fn the_writer_compresses_as_the_topic_demands() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let options = TopicOptions { compression: CompressionAlgorithm::Zstd, ..TopicOptions::default() };
    cluster.create_topic("zstd", 1, options).unwrap();
    let records: Vec<_> = (0..100).map(|n| record(numbered(n, 50))).collect();
    assert_eq!(cluster.topics().append("zstd", 0, &records).unwrap(), 0..100);
    cluster.block_on(async {
        let mut reader = reader(&cluster, "zstd", 0, ReaderOptions::default()).await;
        assert!(read_to(&mut reader, 100).await.iter().all(|r| number(&r.value) == r.offset));
    });
}

/// 200 MB through one stream, in answers of 8 MiB. (A gigabyte takes too long beside other tests.)
#[test]
#[ignore = "needs a Fluvio server"]
fn much_data_flows_through_one_stream() {
    const RECORDS: i64 = 20_000;
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let options = TopicOptions { segment_bytes: Some(50 << 20), ..TopicOptions::default() };
    cluster.create_topic("much", 1, options).unwrap();
    let mut topics = cluster.topics();
    for first in (0..RECORDS).step_by(500) {
        let records: Vec<_> = (first..first + 500).map(|n| record(numbered(n, 10_000))).collect();
        assert_eq!(topics.append("much", 0, &records).unwrap(), first..first + 500);
    }
    cluster.block_on(async {
        let options = ReaderOptions { isolation: Isolation::ReadUncommitted, ..ReaderOptions::default() };
        let mut reader = reader(&cluster, "much", 0, options).await;
        let mut read = 0;
        while read < RECORDS {
            let Read::Records(records) = reader.next(1 << 20, crate::common::LONG).await.unwrap() else {
                panic!("no gap")
            };
            assert!(!records.is_empty(), "{:?}", reader.trouble());
            for record in records {
                assert_eq!((record.offset, number(&record.value)), (read, read));
                read += 1;
            }
        }
        // Cut batches cost a second sending, not a connection.
        let counters = reader.counters();
        assert!(counters.short_batches > 10 && counters.reconnects == 0, "{counters:?}");
    });
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_position_behind_the_end_is_an_error() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("short", 1, TopicOptions::default()).unwrap();
    let mut topics = cluster.topics();
    topics.append("short", 0, &[record("x")]).unwrap();
    let error = topics.read("short", 0, 7, 1, crate::common::LONG).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("offset 7 is behind the end of short/0, which is 1"), "{text}");
}

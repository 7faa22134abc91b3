//! Writing without faults of network or server.

use crate::common::{number, numbered, read_to, reader, record};
use fluvio::RecordKey;
use perfstream_log::cluster::{AppendError, ReaderOptions, Writer, WriterOptions};
use perfstream_log::testing::{TestCluster, TopicOptions};
use perfstream_log::{NewRecord, Topics, partition_of_key};

#[test]
#[ignore = "needs a Fluvio server"]
fn appends_keep_their_order_over_many_batches() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("order", 1, TopicOptions::default()).unwrap();
    cluster.block_on(async {
        let options = WriterOptions { batch_bytes: 2_000, ..WriterOptions::default() };
        let mut writer = Writer::new(cluster.cluster().clone(), options);
        let records: Vec<_> = (0..1000).map(|n| record(numbered(n, 90))).collect();
        assert_eq!(writer.append("order", 0, &records[..700]).await.unwrap(), 0..700);
        assert_eq!(writer.append("order", 0, &[]).await.unwrap(), 700..700);
        assert_eq!(writer.append("order", 0, &records[700..]).await.unwrap(), 700..1000);
        let mut reader = reader(&cluster, "order", 0, ReaderOptions::default()).await;
        assert!(read_to(&mut reader, 1000).await.iter().all(|r| number(&r.value) == r.offset));
    });
}

/// Fluvio's producer stops at 1 MiB; ours at what the SPU and the topic allow.
#[test]
#[ignore = "needs a Fluvio server"]
fn large_records_are_written_and_read() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("large", 1, TopicOptions::default()).unwrap();
    cluster.block_on(async {
        let producer = cluster.cluster().client().topic_producer("large").await.unwrap();
        let refused = match producer.send(RecordKey::NULL, numbered(0, 2 << 20)).await {
            Ok(_) => producer.flush().await.err(),
            Err(error) => Some(error),
        };
        println!("Fluvio's producer on 2 MiB: {refused:?}");
        assert!(refused.is_some());

        let mut writer = Writer::new(cluster.cluster().clone(), WriterOptions::default());
        let records: Vec<_> = [2 << 20, 10, 8 << 20, 31 << 20, 10]
            .into_iter()
            .enumerate()
            .map(|(n, bytes)| NewRecord { log_time_ms: 0, key: Some(vec![n as u8]), value: numbered(n as i64, bytes) })
            .collect();
        assert_eq!(writer.append("large", 0, &records).await.unwrap(), 0..5);
        // Answers of 8 MiB are smaller than one of these batches.
        let mut reader = reader(&cluster, "large", 0, ReaderOptions::default()).await;
        let read = read_to(&mut reader, 5).await;
        assert!(
            read.iter().zip(&records).all(|(read, written)| read.value == written.value && read.key == written.key)
        );

        let error = writer.append("large", 0, &[record("x"), record(vec![0; 32 << 20])]).await.unwrap_err();
        let AppendError::Refused { acknowledged: None, cause, .. } = error else { panic!("{error}") };
        assert!(cause.to_string().starts_with("record 1 of the append has 33554"), "{cause}");
        assert_eq!(writer.extent("large", 0).await.unwrap(), 0..5, "a refused append writes none of its records");
    });
}

/// A batch must fit into a segment of the topic, whatever the writer's own batch size is.
#[test]
#[ignore = "needs a Fluvio server"]
fn batches_fit_the_topics_segments() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let options = TopicOptions { segment_bytes: Some(20_000), ..TopicOptions::default() };
    cluster.create_topic("segments", 1, options).unwrap();
    let mut topics = cluster.topics();
    let records: Vec<_> = (0..500).map(|n| record(numbered(n, 1_000))).collect();
    assert_eq!(topics.append("segments", 0, &records).unwrap(), 0..500);
    let error = format!("{:#}", topics.append("segments", 0, &[record(vec![0; 20_000])]).unwrap_err());
    assert!(error.contains("a segment of 20000 bytes"), "{error}");
    cluster.block_on(async {
        let mut reader = reader(&cluster, "segments", 0, ReaderOptions::default()).await;
        assert!(read_to(&mut reader, 500).await.iter().all(|r| number(&r.value) == r.offset));
    });
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_missing_topic_is_named_at_once() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let error = cluster.topics().append("nowhere", 0, &[record("x")]).unwrap_err();
    let Some(AppendError::Refused { acknowledged: None, cause, .. }) = error.downcast_ref() else {
        panic!("{error:#}")
    };
    assert_eq!(format!("{cause:#}"), "the cluster has no partition nowhere/0");
}

/// The partition of a key is the one that Fluvio's default producer chooses.
#[test]
#[ignore = "needs a Fluvio server"]
fn keys_lie_where_fluvios_producer_puts_them() {
    const PARTITIONS: u32 = 8;
    let cluster = TestCluster::shared().expect("a Fluvio server");
    cluster.create_topic("keys", PARTITIONS, TopicOptions::default()).unwrap();
    cluster.block_on(async {
        let producer = cluster.cluster().client().topic_producer("keys").await.unwrap();
        let mut used = std::collections::BTreeSet::new();
        for n in 0..200 {
            let key = format!("/page/{n}{}", "ü".repeat(n % 7));
            let sent = producer.send(key.as_str(), "x").await.unwrap().wait().await.unwrap();
            assert_eq!(sent.partition_id(), partition_of_key(key.as_bytes(), PARTITIONS), "{key}");
            used.insert(sent.partition_id());
        }
        assert_eq!(used.len(), PARTITIONS as usize);
    });
}

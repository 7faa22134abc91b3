//! Reading and writing while network and server fail. Each test has a cluster of its own.

use crate::common::{LONG, consume, number, numbered, read_to, reader, record};
use fluvio::consumer::ConsumerConfigExtBuilder;
use fluvio::{Fluvio, FluvioClusterConfig, Offset, RecordKey};
use futures_util::StreamExt;
use perfstream_log::cluster::{AppendError, ClusterTopics, ReaderCounters, ReaderOptions, Writer, WriterOptions};
use perfstream_log::spill::{SpillOptions, Spilling};
use perfstream_log::testing::{TestCluster, TopicOptions, Traffic};
use perfstream_log::{NewRecord, Read, Topics};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

fn hasty() -> WriterOptions {
    let second = Duration::from_secs(1);
    WriterOptions { connect_within: second, commit_within: second, ..WriterOptions::default() }
}

fn wakeful() -> ReaderOptions {
    ReaderOptions { silence: Duration::from_secs(1), ..ReaderOptions::default() }
}

/// The record is written, the answer is lost. Fluvio's producer sends it again and again; ours says
/// that it does not know, and the log has the record once.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_lost_acknowledgement_is_no_second_record() {
    let cluster = TestCluster::start_behind_proxy().expect("a Fluvio server");
    cluster.create_topic("ours", 1, TopicOptions::default()).unwrap();
    cluster.create_topic("naive", 1, TopicOptions::default()).unwrap();
    let mut writer = Writer::new(cluster.cluster().clone(), hasty());
    cluster.block_on(async {
        assert_eq!(writer.append("ours", 0, &[record("first")]).await.unwrap(), 0..1);
        cluster.proxy().drop_responses();
        let error = writer.append("ours", 0, &[record("second")]).await.unwrap_err();
        assert!(matches!(error, AppendError::Indefinite { acknowledged: None, .. }), "{error}");
        assert_eq!(writer.extent("ours", 0).await.unwrap(), 0..2, "it is there, once");
        assert_eq!(writer.append("ours", 0, &[record("third")]).await.unwrap(), 2..3);
    });
    let naive = naive_producer_loses_answers(&cluster);
    println!("Fluvio's producer wrote one record {naive} times, and more to come");
    assert!(naive > 1);
}

/// Runs [`naive_producer`] in a process of its own, for its patience is an environment variable, and
/// counts the copies of its last record.
fn naive_producer_loses_answers(cluster: &TestCluster) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::naive_producer", "--ignored"])
        .envs([("FLV_SOCKET_WAIT", "1"), ("TEST_CLUSTER_ADDRESS", cluster.address())])
        .spawn()
        .unwrap();
    let copies = cluster.block_on(async {
        let mut reader = reader(cluster, "naive", 0, wakeful()).await;
        let first = read_to(&mut reader, 1).await;
        cluster.proxy().drop_responses();
        // This reader's connection is one of them: it makes a new one.
        let (mut last, mut copies) = (first.last().unwrap().value.clone(), 1);
        while copies == 1 {
            let next = reader.position() + 1;
            for record in read_to(&mut reader, next).await {
                copies = if record.value == last { copies + 1 } else { 1 };
                last = record.value;
            }
        }
        copies
    });
    child.kill().unwrap();
    child.wait().unwrap();
    copies
}

/// Sends different records until one gets no answer; Fluvio's producer with its own retries.
#[test]
#[ignore = "needs a Fluvio server"]
fn naive_producer() {
    let Ok(address) = std::env::var("TEST_CLUSTER_ADDRESS") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fluvio = Fluvio::connect_with_config(&FluvioClusterConfig::new(address)).await.unwrap();
        let producer = fluvio.topic_producer("naive").await.unwrap();
        for n in 0.. {
            let sent = producer.send(RecordKey::NULL, numbered(n, 20)).await.unwrap();
            if sent.wait().await.is_err() {
                break;
            }
        }
    });
}

/// The connection is there and carries nothing. Fluvio's consumer waits on it for ever.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_half_open_connection_is_found() {
    let cluster = TestCluster::start_behind_proxy().expect("a Fluvio server");
    cluster.create_topic("half", 1, TopicOptions::default()).unwrap();
    cluster.block_on(async {
        let mut writer = Writer::new(cluster.cluster().clone(), hasty());
        writer.append("half", 0, &[record("before")]).await.unwrap();
        let mut reader = reader(&cluster, "half", 0, wakeful()).await;
        read_to(&mut reader, 1).await;
        let mut config = ConsumerConfigExtBuilder::default();
        config.topic("half").partition(0).offset_start(Offset::absolute(0).unwrap());
        let mut naive = cluster.cluster().client().consumer_with_config(config.build().unwrap()).await.unwrap();
        assert!(naive.next().await.unwrap().is_ok());

        cluster.proxy().half_open();
        let mut writer = Writer::new(cluster.cluster().clone(), hasty());
        assert_eq!(writer.append("half", 0, &[record("after")]).await.unwrap(), 1..2);
        let read = read_to(&mut reader, 2).await;
        assert_eq!(read[0].value, b"after");
        assert_eq!(reader.counters().reconnects, 1);
        let naive = tokio::time::timeout(Duration::from_secs(1), naive.next()).await;
        assert!(naive.is_err(), "Fluvio's consumer finds half-open connections now");
    });
}

#[test]
#[ignore = "needs a Fluvio server"]
fn a_cut_network_loses_and_doubles_nothing() {
    let cluster = TestCluster::start_behind_proxy().expect("a Fluvio server");
    cluster.create_topic("cut", 1, TopicOptions::default()).unwrap();
    let proxy = cluster.proxy();
    cluster.block_on(async {
        let mut writer = Writer::new(cluster.cluster().clone(), WriterOptions::default());
        let records: Vec<_> = (0..5_000).map(|n| record(numbered(n, 1_000))).collect();
        assert_eq!(writer.append("cut", 0, &records).await.unwrap(), 0..5_000);
        let options = ReaderOptions { fetch_bytes: 100_000, ..ReaderOptions::default() };
        let mut reader = reader(&cluster, "cut", 0, options).await;
        let mut read = Vec::new();
        for end in [1_000, 2_000, 3_000, 5_000] {
            read.extend(read_to(&mut reader, end).await);
            proxy.set(Traffic::Cut);
            // While it is cut there is nothing to be had beyond what was fetched, and no error. The
            // client may wait for an answer that was lost before it notices.
            let started = std::time::Instant::now();
            loop {
                let Read::Records(records) = reader.next(1 << 20, Duration::from_millis(100)).await.unwrap() else {
                    panic!("no gap")
                };
                if records.is_empty() && reader.trouble().is_some() {
                    break;
                }
                read.extend(records);
                assert!(started.elapsed() < LONG, "the reader does not notice that it is cut off");
            }
            proxy.set(Traffic::Pass);
        }
        assert!(read.iter().map(|r| (r.offset, number(&r.value))).eq((0..5_000).map(|n| (n, n))));
        // The writer's connection was closed while it did nothing: it makes a new one.
        assert_eq!(writer.append("cut", 0, &records[..1]).await.unwrap(), 5_000..5_001);
    });
}

/// A writer and a reader at work while the SPU is killed and started again, three times.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_killed_spu_loses_and_doubles_nothing() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    cluster.create_topic("killed", 1, TopicOptions::default()).unwrap();
    let (killing, written, read) = (AtomicBool::new(true), AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_through_kills(&cluster, &killing, &written));
        let reading = scope.spawn(|| read_through_kills(&cluster, &killing, &written, &read));
        // Both, or the next kill could come while the reader still waits after the one before.
        let wait_for_more = || {
            let more = written.load(Ordering::SeqCst) + 1_000;
            let behind = || written.load(Ordering::SeqCst) < more || read.load(Ordering::SeqCst) < more;
            while behind() && !writing.is_finished() && !reading.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        wait_for_more();
        for _ in 0..3 {
            cluster.kill_spu();
            cluster.start_spu().unwrap();
            wait_for_more();
        }
        killing.store(false, Ordering::SeqCst);
        let unknown = writing.join().unwrap();
        let counters = reading.join().unwrap();
        println!("{} records, {unknown} appends without a known outcome, {counters:?}", written.load(Ordering::SeqCst));
        assert!(counters.reconnects >= 3, "{counters:?}");
    });
}

/// Appends numbered records until nothing is killed any more. After an unknown outcome it reads what
/// the log has and goes on from there.
fn write_through_kills(cluster: &TestCluster, killing: &AtomicBool, written: &AtomicI64) -> u32 {
    let mut topics = cluster.topics();
    let (mut next, mut unknown) = (0, 0);
    while killing.load(Ordering::SeqCst) {
        let batch: Vec<NewRecord> = (next..next + 20).map(|n| record(numbered(n, 100))).collect();
        match topics.append("killed", 0, &batch) {
            Ok(range) => {
                assert_eq!(range.start, next, "an append that was given up came later");
                next = range.end;
            }
            Err(error) => {
                assert!(matches!(error.downcast_ref(), Some(AppendError::Indefinite { .. })), "{error:#}");
                unknown += 1;
                // Numbers are offsets, so the end of the log is the number that comes next.
                next = extent_when_it_is_back(&mut topics).end;
            }
        }
        written.store(next, Ordering::SeqCst);
    }
    unknown
}

fn extent_when_it_is_back(topics: &mut ClusterTopics) -> std::ops::Range<i64> {
    let started = std::time::Instant::now();
    loop {
        match topics.extent("killed", 0) {
            Ok(extent) => return extent,
            Err(error) => assert!(started.elapsed() < 4 * LONG, "{error:#}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads along, and to the end; the numbers in the records are their offsets.
fn read_through_kills(
    cluster: &TestCluster,
    killing: &AtomicBool,
    written: &AtomicI64,
    read: &AtomicI64,
) -> ReaderCounters {
    cluster.block_on(async {
        let mut reader = reader(cluster, "killed", 0, ReaderOptions::default()).await;
        let mut next = 0;
        while killing.load(Ordering::SeqCst) || next < written.load(Ordering::SeqCst) {
            let Read::Records(records) = reader.next(1 << 20, Duration::from_millis(50)).await.unwrap() else {
                panic!("no gap")
            };
            for record in records {
                assert_eq!((record.offset, number(&record.value)), (next, next));
                next += 1;
            }
            read.store(next, Ordering::SeqCst);
        }
        reader.counters()
    })
}

/// What was given up while the SPU was down must not come up later: recovery has read the log by then.
#[test]
#[ignore = "needs a Fluvio server"]
fn a_record_that_was_given_up_is_not_written_later() {
    let cluster = TestCluster::start().expect("a Fluvio server");
    cluster.create_topic("given-up", 1, TopicOptions::default()).unwrap();
    let mut writer = Writer::new(cluster.cluster().clone(), hasty());
    let producer = cluster.block_on(async {
        writer.append("given-up", 0, &[record("before")]).await.unwrap();
        let producer = cluster.cluster().client().topic_producer("given-up").await.unwrap();
        producer.send(RecordKey::NULL, "naive, before").await.unwrap();
        producer.flush().await.unwrap();
        producer
    });
    cluster.kill_spu();
    cluster.block_on(async {
        // The first may be sent before the end of the connection is noticed; the second has none.
        writer.append("given-up", 0, &[record("given up")]).await.unwrap_err();
        let error = writer.append("given-up", 0, &[record("given up")]).await.unwrap_err();
        assert!(matches!(error, AppendError::Refused { acknowledged: None, .. }), "{error}");
        // Fluvio's producer: sent, not acknowledged in a second, dropped.
        let sent = producer.send(RecordKey::NULL, "naive, given up").await;
        let flushed = tokio::time::timeout(Duration::from_secs(1), producer.flush()).await;
        assert!(!matches!((sent, flushed), (Ok(_), Ok(Ok(())))));
        drop(producer);
    });
    cluster.start_spu().unwrap();
    let values = cluster.block_on(async {
        let mut reader = reader(&cluster, "given-up", 0, ReaderOptions::default()).await;
        let mut values: Vec<String> = Vec::new();
        while let Read::Records(records) = reader.next(1 << 20, Duration::from_secs(3)).await.unwrap() {
            if records.is_empty() && values.len() > 1 {
                break;
            }
            values.extend(records.into_iter().map(|r| String::from_utf8(r.value).unwrap()));
        }
        values
    });
    // Fluvio's producer may write its record still, as it stays in a queue that outlives it.
    println!("Fluvio's producer wrote what was given up: {}", values.contains(&"naive, given up".to_string()));
    assert_eq!(values[..2], ["before", "naive, before"]);
    assert!(!values.contains(&"given up".to_string()));
}

/// Retention took what was not read yet: ours says which range, Fluvio's consumer goes on in silence.
#[test]
#[ignore = "needs a Fluvio server"]
fn evicted_records_are_a_gap() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let options =
        TopicOptions { segment_bytes: Some(10_000), partition_bytes: Some(30_000), ..TopicOptions::default() };
    cluster.create_topic("evicted", 1, options).unwrap();
    let mut topics = cluster.topics();
    for first in (0..200).step_by(5) {
        let records: Vec<_> = (first..first + 5).map(|n| record(numbered(n, 1_000))).collect();
        topics.append("evicted", 0, &records).unwrap();
    }
    let started = std::time::Instant::now();
    let mut extent = topics.extent("evicted", 0).unwrap();
    // Segments go one after the other, until the partition is about as small as it was told to be.
    while extent.start == 0 || extent.end - extent.start > 45 {
        assert!(started.elapsed() < 4 * LONG, "the SPU does not evict: {extent:?}");
        std::thread::sleep(Duration::from_millis(50));
        extent = topics.extent("evicted", 0).unwrap();
    }
    let Read::Gap(gap) = topics.read("evicted", 0, 3, 1 << 20, LONG).unwrap() else { panic!("no gap") };
    // It may have let go of more since.
    let newest = topics.extent("evicted", 0).unwrap().start;
    assert!(gap.start == 3 && (extent.start..=newest).contains(&gap.end), "{gap:?} {extent:?} {newest}");
    cluster.block_on(async {
        let mut reader = reader(&cluster, "evicted", 3, ReaderOptions::default()).await;
        let Read::Gap(again) = reader.next(1, LONG).await.unwrap() else { panic!("no gap") };
        assert_eq!((again.start, again.end), (3, reader.position()));
        let records = read_to(&mut reader, 200).await;
        assert!(records.iter().all(|r| number(&r.value) == r.offset));
        assert_eq!(reader.counters().gaps, 1);
        let naive = consume(&cluster, "evicted", Offset::absolute(3).unwrap(), None, 199).await;
        println!("Fluvio's consumer, started at 3: {:?}", naive.first());
        assert_ne!(naive.first(), Some(&3));
    });
}

/// The same, read through a spill file: what a worker that lags had waiting is not lost with the topic's.
#[test]
#[ignore = "needs a Fluvio server"]
fn spilled_records_outlive_the_topics() {
    let cluster = TestCluster::shared().expect("a Fluvio server");
    let options =
        TopicOptions { segment_bytes: Some(10_000), partition_bytes: Some(30_000), ..TopicOptions::default() };
    cluster.create_topic("spilled", 1, options).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = SpillOptions { dir: dir.path().into(), limit_bytes: 1 << 20, lag_records: 5 };
    let mut slow = Spilling::on(cluster.topics(), cluster.topics(), "slow", "spilled", 0, options);
    let mut topics = cluster.topics();
    let mut produce = |first: i64| {
        let records: Vec<_> = (first..first + 5).map(|n| record(numbered(n, 1_000))).collect();
        topics.append("spilled", 0, &records).unwrap();
    };
    produce(0);
    produce(5);
    // It reads one record, and has no time for the next.
    let Read::Records(records) = slow.read("spilled", 0, 0, 1, LONG).unwrap() else { panic!("a gap") };
    let mut next = records[0].offset + 1;
    let started = std::time::Instant::now();
    for first in (10..200).step_by(5) {
        produce(first);
        // The SPU evicts at its own pace, and the copy must be ahead of it.
        while slow.spilled_bytes() < (first as u64 - 10) * 1_000 {
            assert!(started.elapsed() < LONG, "nothing is copied: {} bytes", slow.spilled_bytes());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    while slow.extent("spilled", 0).unwrap().start < 100 {
        assert!(started.elapsed() < 4 * LONG, "the SPU does not evict");
        std::thread::sleep(Duration::from_millis(50));
    }
    while next < 200 {
        let Read::Records(records) = slow.read("spilled", 0, next, 8_000, LONG).unwrap() else {
            panic!("{next} is lost")
        };
        for found in records {
            assert_eq!((found.offset, number(&found.value)), (next, next));
            next += 1;
        }
    }
}

/// H10 of the hazards: after a reconnect Fluvio's consumer of several partitions starts all of them
/// behind the last record of any; ours has a position per partition.
#[test]
#[ignore = "needs a Fluvio server"]
fn partitions_go_on_each_from_its_own_position() {
    let cluster = TestCluster::start_behind_proxy().expect("a Fluvio server");
    cluster.create_topic("uneven", 2, TopicOptions::default()).unwrap();
    let counts = [100, 10];
    let mut topics = cluster.topics();
    for (partition, count) in (0..).zip(counts) {
        let records: Vec<_> = (0..count).map(|n| record(numbered(n, 20))).collect();
        topics.append("uneven", partition, &records).unwrap();
        let Read::Records(read) = topics.read("uneven", partition, 0, 1 << 20, LONG).unwrap() else { panic!("no gap") };
        assert_eq!(read.len(), count as usize);
    }
    let mut config = ConsumerConfigExtBuilder::default();
    config.topic("uneven").offset_start(Offset::absolute(0).unwrap());
    let config = config.build().unwrap();
    let mut naive = cluster.block_on(async {
        let mut naive = cluster.cluster().client().consumer_with_config(config).await.unwrap();
        for _ in 0..110 {
            naive.next().await.unwrap().unwrap();
        }
        naive
    });
    cluster.proxy().set(Traffic::Cut);
    // The cut is noticed at once by both; what is read while it lasts is nothing.
    let Read::Records(none) = topics.read("uneven", 0, 100, 1, Duration::from_millis(500)).unwrap() else {
        panic!("no gap")
    };
    assert_eq!(none, []);
    cluster.proxy().set(Traffic::Pass);
    for (partition, count) in (0..).zip(counts) {
        topics.append("uneven", partition, &[record("new")]).unwrap();
        let Read::Records(read) = topics.read("uneven", partition, count, 1 << 20, LONG).unwrap() else {
            panic!("no gap")
        };
        assert_eq!(read.iter().map(|r| (r.offset, r.value.as_slice())).collect::<Vec<_>>(), [(count, &b"new"[..])]);
    }
    let more = cluster.block_on(async {
        let mut more = Vec::new();
        while let Ok(Some(Ok(record))) = tokio::time::timeout(Duration::from_secs(3), naive.next()).await {
            more.push((record.partition(), record.offset()));
        }
        more.sort_unstable();
        more
    });
    println!("Fluvio's consumer after the cut: {} records, {:?} to {:?}", more.len(), more.first(), more.last());
    assert_ne!(more, [(0, 100), (1, 10)], "Fluvio's consumer keeps a position per partition now");
}

/// The hazard H10: Fluvio's consumer of several partitions keeps one place for all of them. After a cut it
/// begins each partition where the last record, of whichever partition, was.
#[test]
#[ignore = "needs a Fluvio server"]
fn h10_each_partition_keeps_its_place_over_a_cut() {
    let cluster = TestCluster::start_behind_proxy().expect("a Fluvio server");
    cluster.create_topic("several", 2, TopicOptions::default()).unwrap();
    let records = |range: std::ops::Range<i64>| -> Vec<_> { range.map(|n| record(numbered(n, 20))).collect() };
    cluster.block_on(async {
        let mut writer = Writer::new(cluster.cluster().clone(), WriterOptions::default());
        let mut ours = Vec::new();
        for partition in 0..2 {
            let cluster = cluster.cluster().clone();
            ours.push(Reader::open(cluster, "several", partition, 0, wakeful()).await.unwrap());
        }
        let mut config = ConsumerConfigExtBuilder::default();
        config.topic("several").partition(0).partition(1).offset_start(Offset::absolute(0).unwrap());
        let mut stream = cluster.cluster().client().consumer_with_config(config.build().unwrap()).await.unwrap();
        let mut naive = Vec::new();
        // The last record before the cut is of partition 1, at a place that partition 0 is far behind of.
        for (partition, range) in [(0, 0..10), (1, 0..500)] {
            writer.append("several", partition, &records(range.clone())).await.unwrap();
            for _ in range {
                let record = tokio::time::timeout(LONG, stream.next()).await.unwrap().unwrap().unwrap();
                naive.push((record.partition(), record.offset()));
            }
        }
        for (reader, end) in ours.iter_mut().zip([10, 500]) {
            read_to(reader, end).await;
        }
        cluster.proxy().set(Traffic::Cut);
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.proxy().set(Traffic::Pass);
        let mut writer = Writer::new(cluster.cluster().clone(), WriterOptions::default());
        for partition in 0..2 {
            let from = if partition == 0 { 10 } else { 500 };
            writer.append("several", partition, &records(from..1_000)).await.unwrap();
        }
        for reader in &mut ours {
            read_to(reader, 1_000).await;
        }
        while let Ok(Some(Ok(record))) = tokio::time::timeout(Duration::from_secs(5), stream.next()).await {
            naive.push((record.partition(), record.offset()));
        }
        let once = (0..2).flat_map(|p| (0..1_000).map(move |offset| (p, offset)));
        let missing = once.clone().filter(|place| !naive.contains(place)).count();
        let doubled = naive.len() + missing - once.count();
        println!("of 2000 records Fluvio's consumer lost {missing} and doubled {doubled}");
        assert!(missing + doubled > 0, "Fluvio's consumer keeps a place for each partition now");
    });
}

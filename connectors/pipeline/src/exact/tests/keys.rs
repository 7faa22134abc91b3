//! What the keys `checkpoint` and `recovery` of a pipeline do.

use super::{Client, Job, PIPELINE, PartitionWorker, START, SimLog, deaths, feed, holds, job, log, run_to_end};
use crate::exact::control::{Entry, SnapshotRef, parse};
use crate::exact::worker::Recovered;
use crate::model::Recovery;
use std::time::Duration;

/// A worker that works `text` off to the end of its input.
fn work(log: &SimLog, job: Job) -> PartitionWorker<Client> {
    let mut worker = PartitionWorker::start(Client::new(log, 7), job, 0, START * 1_000_000).expect("a start");
    run_to_end(&mut worker, 200).expect("no fault");
    worker
}

/// What the newest advance names.
fn named(log: &SimLog) -> Vec<SnapshotRef> {
    let entries = log.all("control", 0);
    let advance = entries.iter().rev().find_map(|record| match parse(record) {
        Ok(Entry::Advance(advance)) => Some(advance),
        _ => None,
    });
    advance.expect("an advance").snapshots
}

fn snapshots(log: &SimLog) -> usize {
    log.all("state", 0).iter().filter(|r| r.key.as_deref() == Some(b"manifest")).count()
}

/// 120 events a second apart, and 67 s more in which the clock goes on.
#[test]
fn checkpoint_interval_is_the_time_between_two_snapshots() {
    for (interval_s, expected) in [(5, 26..=38), (20, 7..=10), (3600, 1..=1)] {
        let log = log(120);
        work(&log, Job { checkpoint: Duration::from_secs(interval_s), ..job(PIPELINE, "w") });
        let found = snapshots(&log);
        assert!(expected.contains(&found), "every {interval_s} s: {found} snapshots");
    }
}

/// The longer the interval, the more is processed again.
#[test]
fn checkpoint_interval_bounds_what_is_processed_again() {
    let again = |interval_s| {
        let log = log(120);
        drop(work(&log, Job { checkpoint: Duration::from_secs(interval_s), ..job(PIPELINE, "first") }));
        let worker = work(&log, job(PIPELINE, "second"));
        holds(&log).expect("the same records");
        worker.recovered().replayed
    };
    assert_eq!(again(3600), 113, "all but the batch before the only snapshot");
    assert!(again(5) <= 7, "a batch");
}

/// `retain` snapshots are named, and so many damaged ones less one are survived without going back to
/// the start.
#[test]
fn checkpoint_retain_is_how_many_snapshots_can_be_gone_back_to() {
    for retain in [1, 2, 5] {
        let log = log(120);
        drop(work(&log, Job { retain, ..job(PIPELINE, "first") }));
        let kept = named(&log);
        assert_eq!(kept.len(), retain as usize);
        assert!(kept.windows(2).all(|pair| pair[0].at > pair[1].at), "newest first: {kept:?}");
        for snapshot in &kept[..kept.len() - 1] {
            log.damage("state", 0, snapshot.at as usize);
        }
        let mut worker = PartitionWorker::start(Client::new(&log, 7), job(PIPELINE, "second"), 0, START * 1_000_000)
            .expect("a start");
        assert!(worker.recovered().state_bytes > 0, "the oldest of {retain} is used");
        assert_eq!(worker.recovered().replayed, 120 - kept[retain as usize - 1].next as u64);
        drop(worker);
        log.damage("state", 0, kept[retain as usize - 1].at as usize);
        worker = work(&log, job(PIPELINE, "third"));
        let recovered = Recovered { state_bytes: 0, replayed: 120, ..worker.recovered().clone() };
        assert_eq!(*worker.recovered(), recovered, "none is left: from the start");
        holds(&log).expect("the same records");
    }
}

/// `latest` goes on whatever changed, `safe` only with what it was, `empty` never.
#[test]
fn what_recovery_says_is_done() {
    for (recovery, changed, restarts) in [
        (Recovery::Latest, false, false),
        (Recovery::Latest, true, false),
        (Recovery::Safe, false, false),
        (Recovery::Safe, true, true),
        (Recovery::Empty, false, true),
        (Recovery::Empty, true, true),
    ] {
        let log = log(60);
        deaths(&log, &[], 7, false);
        for n in 60..90 {
            feed(&log, n);
        }
        let text = if changed { PIPELINE.replace("sum > 20", "sum > 25") } else { PIPELINE.to_string() };
        let again = Job { recovery, ..job(&text, "again") };
        let mut worker = PartitionWorker::start(Client::new(&log, 7), again, 0, START * 1_000_000).expect("a start");
        assert_eq!(worker.next(), if restarts { 0 } else { 60 }, "{recovery:?} {changed}");
        run_to_end(&mut worker, 200).expect("no fault");
        holds(&log).expect("what the control topic says");
        // Seen once, by the state that was kept or by the one that began anew.
        let input = worker.summary().expect("a summary").balance.input;
        assert_eq!(input, 90, "{recovery:?} {changed}");
    }
}

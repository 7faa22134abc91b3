//! Faults at every call, against a run of the chain over what the control topic says.

mod absence;
mod inbox;
mod keys;
mod room;

use super::audit;
use super::sim::{Client, Fault, SimLog};
use super::{Fenced, Job, PartitionWorker, RENEW_AFTER, SkipReason, StageFailed};
use crate::chain::{ChainOptions, Placement};
use crate::check;
use crate::model::Recovery;
use crate::plan::{Plan, PlanSpec};
use anyhow::Result;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

pub(crate) const PIPELINE: &str = "
apiVersion: perfstream/v1
kind: Pipeline
meta: { name: p }
input: { topic: in, schema: { timestamp: datetime, value: number, page: string }, partition_by: page, time: { field: timestamp } }
transforms:
  - uses: perfstream/filter@0.1.0
    with: { where: value > 0 }
  - uses: perfstream/aggregate@0.1.0
    with:
      group_by: [page]
      windows: [{ name: w, type: tumbling, size: 10s, functions: { sum: { type: sum, field: value }, n: { type: count } } }]
  - uses: perfstream/alert@0.1.0
    with: { rules: [{ name: high, condition: sum > 20, severity: warning, notification: [slack] }] }
output: { topic: out, partition_by: page, schema: { timestamp: datetime, page: string, sum: number } }
routes: { window: windows }
";

pub(crate) fn job(text: &str, instance: &str) -> Job {
    let report = check::check_text("test.yaml", text);
    assert!(!report.is_error(), "{}", report.render(false));
    let pipeline = report.into_pipelines().remove(0);
    let plan = PlanSpec::new(&pipeline).expect("a plan");
    Job {
        config: plan.hash().expect("a hash"),
        plan,
        chain: ChainOptions { placement: Placement::Native, ..ChainOptions::default() },
        control_topic: "control".into(),
        state_topic: "state".into(),
        inbox_topic: None,
        checkpoint: Duration::from_secs(5),
        retain: 3,
        recovery: Recovery::Latest,
        renew_after: RENEW_AFTER,
        keep_waiting: None,
        prefilter: false,
        careful: false,
        instance: instance.into(),
    }
}

const START: i64 = 1_767_600_000;

/// A log with `records` events, a second apart, some of them bad or late.
pub(crate) fn log(records: usize) -> SimLog {
    let log = SimLog::default();
    for topic in ["control", "state"] {
        log.create(topic, 1);
    }
    log.create("in", 1);
    for topic in Plan::of(&job(PIPELINE, "x").plan).expect("a plan").router.topics() {
        log.create(topic, 2);
    }
    for n in 0..records {
        feed(&log, n);
    }
    log
}

pub(crate) fn feed(log: &SimLog, n: usize) {
    let time = START + n as i64;
    let value = match n % 11 {
        3 => "{\"not json".to_string(),
        7 => format!("{{\"timestamp\":{},\"value\":3,\"page\":\"/late\"}}", time - 60),
        _ => format!("{{\"timestamp\":{time},\"value\":{},\"page\":\"/{}\"}}", n % 5, n % 3),
    };
    log.append("in", 0, time * 1000, None, value.as_bytes());
}

/// Steps until nothing is left to do, the clock about at the newest record: sometimes the worker is
/// behind, sometimes not.
fn run_to_end(worker: &mut PartitionWorker<Client>, steps: usize) -> Result<()> {
    for step in 0..steps as i64 {
        let now = (START + worker.next() + step / 3) * 1_000_000;
        worker.step(now, Duration::ZERO)?;
    }
    Ok(())
}

fn outputs(log: &SimLog) -> BTreeMap<(String, Vec<u8>), usize> {
    let topics: Vec<String> = Plan::of(&job(PIPELINE, "x").plan).expect("a plan").router.topics().to_vec();
    audit::written(&mut Client::new(log, 1000), &topics).expect("outputs")
}

fn golden(log: &SimLog) -> BTreeSet<(String, Vec<u8>)> {
    let job = job(PIPELINE, "x");
    audit::expected(&mut Client::new(log, 1000), "in", "control", 0, &job.chain).expect("an audit")
}

/// All outputs of the run without faults, and nothing else.
fn holds(log: &SimLog) -> std::result::Result<(), TestCaseError> {
    let found = outputs(log);
    let expected = golden(log);
    prop_assert!(!expected.is_empty());
    let keys: BTreeSet<_> = found.keys().cloned().collect();
    let missing: Vec<_> = expected.difference(&keys).map(|(t, v)| (t, String::from_utf8_lossy(v))).collect();
    let extra: Vec<_> = keys.difference(&expected).map(|(t, v)| (t, String::from_utf8_lossy(v))).collect();
    prop_assert!(missing.is_empty(), "missing {missing:?}");
    prop_assert!(extra.is_empty(), "extra {extra:?}");
    Ok(())
}

/// A worker that dies at a call, and its successors that die too; the last one lives.
fn deaths(log: &SimLog, faults: &[(u64, bool)], read_records: usize, prefilter: bool) {
    let job = |instance: &str| Job { prefilter, ..job(PIPELINE, instance) };
    for (n, (at, after)) in faults.iter().enumerate() {
        let fault = if *after { Fault::After } else { Fault::Before };
        let client = Client::with_fault(log, read_records, *at, fault);
        let started = PartitionWorker::start(client, job(&format!("w{n}")), 0, START * 1_000_000);
        if let Ok(mut worker) = started {
            // The error is the death.
            drop(run_to_end(&mut worker, 200));
        }
    }
    let last = Client::new(log, read_records);
    let mut worker = PartitionWorker::start(last, job("last"), 0, START * 1_000_000).expect("a start");
    run_to_end(&mut worker, 200).expect("no fault");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn deaths_change_nothing(
        faults in proptest::collection::vec((0u64..400, any::<bool>()), 1..6),
        read_records in 1usize..40,
        prefilter: bool,
    ) {
        let log = log(120);
        deaths(&log, &faults, read_records, prefilter);
        holds(&log)?;
        // No one was paused, so every answer that was lost is known: no copies at all.
        let copies: Vec<_> = outputs(&log).into_iter().filter(|(_, n)| *n > 1).collect();
        prop_assert!(copies.is_empty(), "copies {copies:?}");
    }

    #[test]
    fn a_paused_worker_adds_identical_copies_only(at in 0u64..300, successor_steps in 1usize..60, read_records in 1usize..40) {
        let log = log(120);
        let successor = Rc::new(RefCell::new(None));
        let (slot, shared) = (Rc::clone(&successor), log.clone());
        let pause = Fault::Pause(Box::new(move || {
            let client = Client::new(&shared, read_records);
            let mut worker = PartitionWorker::start(client, job(PIPELINE, "second"), 0, START * 1_000_000).expect("a start");
            run_to_end(&mut worker, successor_steps).expect("no fault");
            *slot.borrow_mut() = Some(worker);
        }));
        let client = Client::with_fault(&log, read_records, at, pause);
        let first = PartitionWorker::start(client, job(PIPELINE, "first"), 0, START * 1_000_000);
        let mut first_end = first.and_then(|mut worker| run_to_end(&mut worker, 200).map(|()| worker));
        if let Some(mut second) = successor.borrow_mut().take() {
            // Whoever claimed last goes on; the other one is told as soon as it wants to write.
            let second_end = run_to_end(&mut second, 200);
            let tick = |worker: &mut PartitionWorker<Client>| worker.step((START + 1000) * 1_000_000, Duration::ZERO);
            first_end = first_end.and_then(|mut worker| tick(&mut worker).map(|_| worker));
            let (first_end, second_end) = (first_end.map(drop), second_end.and_then(|()| tick(&mut second).map(drop)));
            let fenced = |end: &Result<()>| end.as_ref().is_err_and(|e| e.is::<Fenced>());
            prop_assert!(first_end.is_ok() != second_end.is_ok(), "{first_end:?} {second_end:?}");
            prop_assert!(fenced(&first_end) || fenced(&second_end), "{first_end:?} {second_end:?}");
        }
        holds(&log)?;
    }
}

#[test]
fn the_front_in_the_spu_counts_the_same() {
    let run = |prefilter| {
        let log = log(120);
        let job = Job { prefilter, ..job(PIPELINE, "w") };
        let mut worker = PartitionWorker::start(Client::new(&log, 10), job, 0, START * 1_000_000).expect("a start");
        let mut prefiltered = 0;
        for _ in 0..60 {
            let now = (START + worker.next()) * 1_000_000;
            prefiltered += worker.step(now, Duration::ZERO).expect("no fault").prefiltered;
        }
        holds(&log).expect("the same records");
        let summary = worker.finish().expect("an end");
        assert!(summary.balance.holds() && summary.balance.input == 120, "{:?}", summary.balance);
        (prefiltered, summary.stages[0].clone())
    };
    let ((none, alone), (most, with)) = (run(false), run(true));
    assert_eq!(none, 0);
    assert!((60..120).contains(&most), "{most}: some are refused, and reading begins inside batches");
    assert_eq!(with, alone);
}

#[test]
fn a_record_on_which_a_stage_fails_is_quarantined() {
    for prefilter in [false, true] {
        quarantines(prefilter);
    }
}

fn quarantines(prefilter: bool) {
    let log = log(40);
    for n in 40..80 {
        if n % 13 == 0 {
            log.append("in", 0, (START + n) * 1000, None, b"{\"POISON\":1}");
        }
        feed(&log, n as usize);
    }
    let mut careful = false;
    for n in 0..20 {
        let job = Job { careful, prefilter, ..job(PIPELINE, &format!("w{n}")) };
        let started = PartitionWorker::start(Client::new(&log, 7), job, 0, START * 1_000_000);
        match started.and_then(|mut worker| run_to_end(&mut worker, 200)) {
            Ok(()) => {
                holds(&log).expect("the same records");
                let letters =
                    outputs(&log).into_keys().filter(|(_, v)| String::from_utf8_lossy(v).contains("stage_failed"));
                assert_eq!(letters.count(), 3, "offsets 40 … 79 hold three poisoned records");
                return;
            }
            Err(error) => {
                let failed = error.downcast_ref::<StageFailed>().expect("a failed stage");
                assert_eq!(failed.quarantined, careful);
                careful = !careful;
            }
        }
    }
    panic!("the partition stands still");
}

#[test]
fn drop_oldest_keeps_the_newest_and_says_what_it_dropped() {
    let log = log(100);
    let dropping = Job { keep_waiting: Some(30), ..job(PIPELINE, "w") };
    let mut worker = PartitionWorker::start(Client::new(&log, 7), dropping, 0, START * 1_000_000).expect("a start");
    run_to_end(&mut worker, 200).expect("no fault");
    holds(&log).expect("the same records");
    let gaps: Vec<String> = outputs(&log)
        .into_keys()
        .map(|(_, v)| String::from_utf8_lossy(&v).into_owned())
        .filter(|v| v.contains("\"kind\":\"gap\""))
        .collect();
    assert_eq!(gaps.len(), 1);
    assert!(
        gaps[0].contains("\"from\":0") && gaps[0].contains("\"to\":70") && gaps[0].contains("drop_oldest"),
        "{gaps:?}"
    );
    // The count outlives its worker, in a snapshot and without one.
    let skipped = BTreeMap::from([(SkipReason::DropOldest, 70)]);
    assert_eq!(worker.summary().expect("a summary").skipped, skipped);
    drop(worker);
    for damaged in [false, true] {
        if damaged {
            (0..log.all("state", 0).len()).for_each(|n| log.damage("state", 0, n));
        }
        let mut next =
            PartitionWorker::start(Client::new(&log, 7), job(PIPELINE, "next"), 0, START * 1_000_000).expect("a start");
        assert_eq!(next.recovered().state_bytes == 0, damaged);
        let summary = next.summary().expect("a summary");
        assert_eq!((summary.skipped, summary.balance.input), (skipped.clone(), 30));
    }
}

#[test]
fn damaged_snapshots_are_survived() {
    let log = log(60);
    deaths(&log, &[(150, true)], 7, false);
    for offset in 0..log.all("state", 0).len() {
        log.damage("state", 0, offset);
    }
    for n in 60..120 {
        feed(&log, n);
    }
    deaths(&log, &[], 7, false);
    holds(&log).expect("the same records");
}

#[test]
fn an_older_snapshot_stands_in_for_a_damaged_one() {
    let log = log(120);
    deaths(&log, &[], 7, false);
    let manifests: Vec<usize> = (0..log.all("state", 0).len())
        .filter(|n| log.all("state", 0)[*n].key.as_deref() == Some(b"manifest"))
        .collect();
    assert!(manifests.len() > 2);
    log.damage("state", 0, manifests[manifests.len() - 1]);
    let client = Client::new(&log, 7);
    let worker = PartitionWorker::start(client, job(PIPELINE, "next"), 0, START * 1_000_000).expect("a start");
    assert_eq!(worker.next(), 120);
    holds(&log).expect("the same records");
}

#[test]
fn a_changed_rule_keeps_its_alert() {
    let alerts = |log: &SimLog| {
        let all = (0..2).flat_map(|p| log.all("alerts", p));
        all.map(|r| String::from_utf8_lossy(&r.value).into_owned())
            .filter(|a| a.contains("\"transition\":\"firing\""))
            .filter(|a| a.contains("\"page\":\"/0\""))
            .count()
    };
    // Every third record of page /0 is 9: it fires and stays firing.
    let high = |log: &SimLog, range: Range| {
        for n in range {
            let time = START + n as i64;
            let value = format!("{{\"timestamp\":{time},\"value\":9,\"page\":\"/0\"}}");
            log.append("in", 0, time * 1000, None, value.as_bytes());
        }
    };
    let log = log(0);
    high(&log, 0..40);
    deaths(&log, &[], 7, false);
    assert_eq!(alerts(&log), 1);
    high(&log, 40..80);
    let changed = PIPELINE.replace("sum > 20", "sum > 21");
    let mut worker =
        PartitionWorker::start(Client::new(&log, 7), job(&changed, "new"), 0, START * 1_000_000).expect("a start");
    run_to_end(&mut worker, 50).expect("no fault");
    let kept = log.all("alerts", 0).len() + log.all("alerts", 1).len();
    assert_eq!(kept, 1, "neither fired again nor resolved");
    assert_eq!((worker.next(), alerts(&log)), (80, 1), "the alert was open already");
    let cuts = log
        .all("control", 0)
        .iter()
        .filter(|r| {
            r.value.windows(7).any(|w| w == b"\"event\"") && String::from_utf8_lossy(&r.value).contains("\"cut\",")
        })
        .count();
    assert!(cuts >= 1);
    // A restart of the new configuration cuts no more.
    let before = log.all("control", 0).len();
    drop(worker);
    PartitionWorker::start(Client::new(&log, 7), job(&changed, "newer"), 0, START * 1_000_000).expect("a start");
    assert_eq!(log.all("control", 0).len(), before + 1, "a claim, nothing else");
}

type Range = std::ops::Range<usize>;

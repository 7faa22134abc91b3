//! What `errors` and `backpressure` of a pipeline lead to, over a log in memory.

use super::{Assignment, Running, run};
use crate::exact::sim::{Client, SimLog};
use crate::exact::tests::{PIPELINE, feed, job, log};
use crate::exact::{Job, StageFailed};
use crate::model::Errors;
use crate::summary::Summary;
use crate::topics;
use anyhow::{Result, bail};
use perfstream_log::spill::SpillOptions;
use perfstream_log::{NewRecord, Read, Topics};
use serde_json::Value;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A log of the pipeline [`PIPELINE`], with faults that a test turns on and off.
#[derive(Clone)]
struct World {
    log: SimLog,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// So many appends of windows are refused, all but the first
    refusals: AtomicI64,
    /// The worker gets no answer from its control topic
    stuck: AtomicBool,
    /// Offset of the oldest input that is left
    oldest: AtomicI64,
    /// Offset behind the newest input that was read
    read: AtomicI64,
}

impl World {
    fn new(records: usize) -> World {
        let log = log(records);
        log.create(topics::STATUS, 1);
        World { log, faults: Arc::default() }
    }

    fn client(&self) -> Client {
        Client::new(&self.log, 7).without("in", self.faults.oldest.load(Ordering::SeqCst))
    }

    fn run(&self, assignment: Assignment) -> Result<Summary> {
        let running = Running { stop_at_end: true, ..Running::default() };
        let mut summaries = run(&[assignment], &running, || Ok(self.clone()))?;
        Ok(summaries.remove(0))
    }

    /// What the partition told last.
    fn told(&self) -> Value {
        let all = self.log.all(topics::STATUS, 0);
        let mut all = all.iter().map(|r| serde_json::from_slice::<Value>(&r.value).expect("JSON"));
        all.rfind(|told| told["scope"] == "partition").expect("a status")
    }

    /// Records of all outputs that hold a text.
    fn outputs(&self, text: &str) -> usize {
        let topics = ["out", "windows", "alerts", "dead-letters", "gaps"];
        let known = |topic: &&str| self.client().partitions(topic).expect("an answer").is_some();
        let all = topics.iter().filter(|t| known(t)).flat_map(|t| (0..2).flat_map(|p| self.log.all(t, p)));
        all.filter(|r| String::from_utf8_lossy(&r.value).contains(text)).count()
    }
}

impl Topics for World {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        self.client().partitions(topic)
    }

    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        self.client().extent(topic, partition)
    }

    fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, _wait: Duration) -> Result<Read> {
        let read = self.client().read(topic, partition, from, max_bytes, Duration::ZERO)?;
        if let (Read::Records(records), true) = (&read, topic == "in") {
            self.faults.read.fetch_max(from + records.len() as i64, Ordering::SeqCst);
        }
        Ok(read)
    }

    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>> {
        // The first words in it are the claim and the configuration.
        while topic == "control" && self.log.all(topic, 0).len() > 4 && self.faults.stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let windows = topic == "windows" && (0..2).any(|p| !self.log.all(topic, p).is_empty());
        if windows && self.faults.refusals.fetch_sub(1, Ordering::SeqCst) > 0 {
            bail!("the SPU refuses");
        }
        self.client().append(topic, partition, records)
    }
}

fn assignment(errors: Errors) -> Assignment {
    Assignment { job: job(PIPELINE, "w"), partitions: vec![0], errors, spill: None }
}

/// A record on which a stage fails: it is looked for at once, after five more attempts, or never.
#[test]
fn errors_say_what_a_failing_stage_leads_to() {
    for (errors, recoveries) in
        [(Errors::SkipAndLog, Some(2)), (Errors::RetryWithBackoff, Some(7)), (Errors::Fail, None)]
    {
        let world = World::new(40);
        world.log.append("in", 0, -1, None, b"{\"POISON\":1}");
        (41..60).for_each(|n| feed(&world.log, n));
        let result = world.run(assignment(errors));
        let told = world.told();
        match recoveries {
            Some(recoveries) => {
                let summary = result.expect("the record is left out");
                assert_eq!((summary.balance.input, world.outputs("stage_failed")), (59, 1), "{errors:?}");
                assert_eq!((told["status"].as_str(), told["recoveries"].as_i64()), (Some("stopped"), Some(recoveries)));
            }
            None => {
                let error = result.expect_err("it stops");
                assert!(error.is::<StageFailed>(), "{error:#}");
                assert!(format!("{error:#}").contains("pipeline `p`, partition 0"), "{error:#}");
                assert_eq!((told["status"].as_str(), world.outputs("stage_failed")), (Some("failed"), 0));
                assert!(
                    told["last_error"].as_str().is_some_and(|e| e.contains("a stage failed on the record")),
                    "{told}"
                );
            }
        }
    }
}

/// A write that is refused four times, after the worker has come to work.
#[test]
fn errors_say_what_a_refused_write_leads_to() {
    let clean = World::new(120);
    clean.run(assignment(Errors::Fail)).expect("no fault");
    for errors in [Errors::SkipAndLog, Errors::RetryWithBackoff, Errors::Fail] {
        let world = World::new(120);
        world.faults.refusals.store(4, Ordering::SeqCst);
        let result = world.run(assignment(errors));
        let told = world.told();
        if errors == Errors::Fail {
            let error = format!("{:#}", result.expect_err("it stops"));
            assert!(error.contains("the SPU refuses"), "{error}");
            assert_eq!((&told["status"], &told["recoveries"]), (&Value::from("failed"), &Value::from(0)));
            continue;
        }
        assert_eq!(result.expect("it comes back").balance.input, 120);
        assert_eq!((&told["status"], &told["recoveries"]), (&Value::from("stopped"), &Value::from(4)));
        assert_eq!(world.outputs(""), clean.outputs(""), "{errors:?}: nothing is missing, and nothing there twice");
    }
}

/// What becomes of input that a stuck worker does not come to, and that the topic lets go of meanwhile.
#[test]
fn backpressure_says_what_becomes_of_records_that_wait() {
    let dir = tempfile::tempdir().expect("a directory");
    let spill = SpillOptions { dir: dir.path().into(), limit_bytes: 1 << 20, lag_records: 10 };
    let blocking = || assignment(Errors::Fail);
    let spilling = Assignment { spill: Some(spill), ..blocking() };
    let dropping = Assignment { job: Job { keep_waiting: Some(30), ..job(PIPELINE, "w") }, ..blocking() };
    for (name, assignment, reason) in [
        ("block", blocking(), Some("retention")),
        ("buffer-with-spill", spilling, None),
        ("drop-oldest", dropping, Some("drop_oldest")),
    ] {
        let world = World::new(200);
        let reads_ahead = assignment.spill.is_some();
        world.faults.stuck.store(true, Ordering::SeqCst);
        let result = Mutex::new(None);
        std::thread::scope(|scope| {
            scope.spawn(|| *result.lock().expect("a lock") = Some(world.run(assignment)));
            let started = Instant::now();
            let ahead = || world.faults.read.load(Ordering::SeqCst) == 200;
            // Who does not read ahead gets the time in which another one does.
            let patience = Duration::from_millis(if reads_ahead { 20_000 } else { 600 });
            while !ahead() && started.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(ahead(), reads_ahead, "{name}");
            if name != "drop-oldest" {
                world.faults.oldest.store(150, Ordering::SeqCst);
            }
            world.faults.stuck.store(false, Ordering::SeqCst);
        });
        let summary = result.into_inner().expect("a lock").expect("a result").expect("no fault");
        let skipped: u64 = summary.skipped.values().sum();
        assert_eq!(summary.balance.input + skipped, 200, "{name}");
        assert_eq!(summary.skipped.keys().map(|r| r.name()).next(), reason, "{name}");
        assert_eq!(world.outputs("\"kind\":\"gap\""), usize::from(reason.is_some()), "{name}");
        assert_eq!(world.told()["run"]["skipped"].as_object().map_or(0, |s| s.len()), usize::from(reason.is_some()));
    }
}

//! A partition that is evicted from, and the steps of the thread that reads ahead, one by one.

use super::*;
use anyhow::bail;

/// A partition that may be evicted from.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<(i64, Vec<LogRecord>)>>);

impl Fake {
    fn produce(&self, count: i64) {
        let mut log = self.0.lock().expect("a lock");
        for _ in 0..count {
            let offset = log.0 + log.1.len() as i64;
            let key = (offset % 3 > 0).then(|| format!("key {offset}").into_bytes());
            let value = format!("value {offset}").into_bytes();
            log.1.push(LogRecord { offset, log_time_ms: 1000 + offset, key, value });
        }
    }

    fn evict(&self, below: i64) {
        let mut log = self.0.lock().expect("a lock");
        let gone = (below - log.0) as usize;
        log.1.drain(..gone);
        log.0 = below;
    }
}

impl Topics for Fake {
    fn partitions(&mut self, _: &str) -> Result<Option<u32>> {
        Ok(Some(1))
    }

    fn extent(&mut self, _: &str, _: u32) -> Result<Range<i64>> {
        let log = self.0.lock().expect("a lock");
        Ok(log.0..log.0 + log.1.len() as i64)
    }

    /// Ten records at most.
    fn read(&mut self, _: &str, _: u32, from: i64, _: usize, _: Duration) -> Result<Read> {
        let log = self.0.lock().expect("a lock");
        if from < log.0 {
            return Ok(Read::Gap(from..log.0));
        }
        Ok(Read::Records(log.1.iter().skip((from - log.0) as usize).take(10).cloned().collect()))
    }

    fn append(&mut self, _: &str, _: u32, _: &[NewRecord]) -> Result<Range<i64>> {
        bail!("nothing is appended here")
    }
}

struct Case {
    fake: Fake,
    spilling: Spilling<Fake>,
    ahead: Ahead<Fake>,
    dir: tempfile::TempDir,
}

/// Without the thread: the test takes its steps.
fn case(fake: &Fake, dir: tempfile::TempDir, limit_bytes: u64) -> Case {
    let options = SpillOptions { dir: dir.path().into(), limit_bytes, lag_records: 20 };
    let mut spilling = Spilling { log: fake.clone(), topic: "in".into(), partition: 0, shared: None };
    let shared = spilling.open("lcp", &options).expect("a store");
    spilling.shared = Some(shared.clone());
    let ahead = Ahead { log: fake.clone(), topic: "in".into(), partition: 0, options, shared };
    Case { fake: fake.clone(), spilling, ahead, dir }
}

fn new_case(limit_bytes: u64) -> Case {
    let fake = Fake::default();
    fake.produce(100);
    case(&fake, tempfile::tempdir().expect("a directory"), limit_bytes)
}

impl Case {
    fn read(&mut self, from: i64) -> Read {
        self.spilling.read("in", 0, from, 1 << 20, Duration::ZERO).expect("a read")
    }

    fn offsets(&mut self, from: i64) -> Range<i64> {
        match self.read(from) {
            Read::Records(records) => {
                for (n, record) in records.iter().enumerate() {
                    let offset = from + n as i64;
                    let value = format!("value {offset}").into_bytes();
                    assert_eq!((record.offset, record.log_time_ms, &record.value), (offset, 1000 + offset, &value));
                    assert_eq!(record.key.is_some(), offset % 3 > 0);
                }
                from..from + records.len() as i64
            }
            Read::Gap(range) => panic!("a gap {range:?}"),
        }
    }

    fn all_steps(&mut self) {
        while self.ahead.step().expect("a step") {}
    }
}

#[test]
fn what_the_log_evicts_is_still_there() {
    let mut case = new_case(1 << 20);
    assert_eq!(case.offsets(0), 0..10);
    case.all_steps();
    case.fake.evict(95);
    assert_eq!(case.offsets(10), 10..100);
    assert_eq!(case.read(100), Read::Records(Vec::new()));
}

#[test]
fn a_worker_that_keeps_up_needs_no_copy() {
    let mut case = new_case(1 << 20);
    case.offsets(80);
    case.all_steps();
    assert_eq!(case.spilling.spilled_bytes(), 0);
    // Nor does one that has not read yet.
    case.ahead.shared.position.store(-1, Ordering::SeqCst);
    case.all_steps();
    assert_eq!(case.spilling.spilled_bytes(), 0);
}

#[test]
fn the_bound_holds_and_released_records_make_room() {
    let mut case = new_case(200);
    case.offsets(0);
    case.all_steps();
    let full = case.spilling.spilled_bytes();
    assert!((200..500).contains(&full), "{full}");
    let held = case.offsets(0).end;
    assert!(held < 100);
    case.fake.evict(90);
    assert_eq!(case.offsets(0), 0..held);
    // Beyond it records are as safe as the topic keeps them.
    assert_eq!(case.read(held), Read::Gap(held..90));
    case.spilling.release(held);
    assert_eq!(case.spilling.spilled_bytes(), 0);
}

#[test]
fn it_outlives_the_process() {
    let mut case = new_case(1 << 20);
    case.offsets(0);
    case.all_steps();
    let (fake, dir) = (case.fake.clone(), case.dir);
    drop((case.spilling, case.ahead));
    fake.evict(100);
    let mut next = self::case(&fake, dir, 1 << 20);
    assert_eq!(next.offsets(42), 42..100);
}

#[test]
fn two_processes_do_not_share_a_file() {
    let case = new_case(1 << 20);
    let options = case.ahead.options.clone();
    let mut second = Spilling { log: case.fake.clone(), topic: "in".into(), partition: 0, shared: None };
    assert!(second.open("lcp", &options).is_err());
    assert!(second.open("cls", &options).is_ok());
}

#[test]
fn records_of_a_topic_that_was_made_anew_are_not_used() {
    let mut case = new_case(1 << 20);
    case.offsets(0);
    case.all_steps();
    let dir = case.dir;
    drop((case.spilling, case.ahead));
    let fake = Fake::default();
    fake.produce(200);
    for record in &mut fake.0.lock().expect("a lock").1 {
        record.value = b"another".to_vec();
    }
    let next = self::case(&fake, dir, 1 << 20);
    assert_eq!(next.spilling.spilled_bytes(), 0);
}

#[test]
fn a_damaged_record_throws_the_copy_away() {
    let mut case = new_case(1 << 20);
    case.offsets(0);
    case.all_steps();
    case.ahead
        .shared
        .store()
        .connection
        .execute("UPDATE spill SET value = x'00' WHERE record = 50", [])
        .expect("damage");
    let Read::Records(records) = case.read(45) else { panic!("a gap") };
    assert_eq!((records[0].offset, records.len()), (45, 10), "the log's own records");
    assert_eq!(case.spilling.spilled_bytes(), 0);
}

#[test]
fn a_file_that_is_none_is_made_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("lcp-in-0.spill"), b"no database").expect("a file");
    let fake = Fake::default();
    fake.produce(50);
    let mut case = case(&fake, dir, 1 << 20);
    case.offsets(0);
    case.all_steps();
    assert!(case.spilling.spilled_bytes() > 0);
}

//! A log in memory that loses answers, dies at a chosen call, and lets others run in between.

use crate::chain::front::tests::in_spu;
use crate::exact::worker::traps;
use anyhow::{Result, anyhow, bail};
use perfstream_log::{LogRecord, NewRecord, Read, SpuChain, SpuOutput, SpuRead, Topics};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Records of a batch as the SPU has stored it.
const STORED_RECORDS: i64 = 7;
/// Of so many reads through an SPU one is refused.
const SPU_REFUSES: u64 = 9;

type Partitions = Vec<Vec<LogRecord>>;

/// The log itself; what is appended stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimLog {
    topics: Arc<Mutex<BTreeMap<String, Partitions>>>,
}

impl SimLog {
    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        let mut topics = self.topics.lock().expect("a lock");
        topics.insert(topic.into(), vec![Vec::new(); partitions as usize]);
    }

    pub(crate) fn append(&self, topic: &str, partition: u32, log_time_ms: i64, key: Option<&[u8]>, value: &[u8]) {
        let mut topics = self.topics.lock().expect("a lock");
        let list = &mut topics.get_mut(topic).expect("a topic")[partition as usize];
        let offset = list.len() as i64;
        list.push(LogRecord { offset, log_time_ms, key: key.map(<[u8]>::to_vec), value: value.to_vec() });
    }

    pub(crate) fn all(&self, topic: &str, partition: u32) -> Vec<LogRecord> {
        self.topics.lock().expect("a lock")[topic][partition as usize].clone()
    }

    pub(crate) fn damage(&self, topic: &str, partition: u32, offset: usize) {
        let mut topics = self.topics.lock().expect("a lock");
        let value = &mut topics.get_mut(topic).expect("a topic")[partition as usize][offset].value;
        let last = value.len() - 1;
        value[last / 2] ^= 1;
    }
}

/// What happens at a call.
pub(crate) enum Fault {
    /// The process dies before the call has an effect
    Before,
    /// It dies when the call has had its effect
    After,
    /// The process is paused while others run, and goes on
    Pause(Box<dyn FnOnce()>),
}

/// One process's connection.
pub(crate) struct Client {
    log: SimLog,
    /// Calls until the fault
    left: u64,
    fault: Option<Fault>,
    dead: bool,
    /// Records per read
    read_records: usize,
    spu_reads: u64,
    /// Topics whose records before an offset are gone
    evicted: BTreeMap<String, i64>,
}

impl Client {
    pub(crate) fn new(log: &SimLog, read_records: usize) -> Client {
        Client {
            log: log.clone(),
            left: 0,
            fault: None,
            dead: false,
            read_records,
            spu_reads: 0,
            evicted: BTreeMap::new(),
        }
    }

    /// With a fault at the call number `at`.
    pub(crate) fn with_fault(log: &SimLog, read_records: usize, at: u64, fault: Fault) -> Client {
        Client { left: at, fault: Some(fault), ..Client::new(log, read_records) }
    }

    /// Sees a topic without its records before an offset.
    pub(crate) fn without(mut self, topic: &str, before: i64) -> Client {
        self.evicted.insert(topic.into(), before);
        self
    }

    fn call<R>(&mut self, work: impl FnOnce(&mut BTreeMap<String, Partitions>) -> Result<R>) -> Result<R> {
        if self.dead {
            bail!("the process is dead");
        }
        let due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        let fault = if due { self.fault.take() } else { None };
        let dies_after = matches!(fault, Some(Fault::After));
        match fault {
            Some(Fault::Before) => {
                self.dead = true;
                bail!("the process dies")
            }
            Some(Fault::Pause(others)) => others(),
            Some(Fault::After) | None => {}
        }
        let result = work(&mut self.log.topics.lock().expect("a lock"));
        if dies_after {
            self.dead = true;
            bail!("the process dies, the answer is lost");
        }
        result
    }
}

fn list<'t>(
    topics: &'t mut BTreeMap<String, Partitions>,
    topic: &str,
    partition: u32,
) -> Result<&'t mut Vec<LogRecord>> {
    topics.get_mut(topic).and_then(|t| t.get_mut(partition as usize)).ok_or_else(|| anyhow!("no {topic}/{partition}"))
}

impl Topics for Client {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        self.call(|topics| Ok(topics.get(topic).map(|t| t.len() as u32)))
    }

    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        let start = self.evicted.get(topic).copied().unwrap_or(0);
        self.call(|topics| {
            let end = list(topics, topic, partition)?.len() as i64;
            Ok(start.min(end)..end)
        })
    }

    fn read(&mut self, topic: &str, partition: u32, from: i64, _max: usize, _wait: Duration) -> Result<Read> {
        let (count, start) = (self.read_records, self.evicted.get(topic).copied().unwrap_or(0));
        self.call(|topics| {
            if from < start {
                return Ok(Read::Gap(from..start));
            }
            let list = list(topics, topic, partition)?;
            let from = (from.max(0) as usize).min(list.len());
            let to = (from + count).min(list.len());
            Ok(Read::Records(list[from..to].to_vec()))
        })
    }

    fn read_spu(
        &mut self,
        topic: &str,
        partition: u32,
        from: i64,
        chain: &Arc<SpuChain>,
        _max: usize,
        _wait: Duration,
    ) -> Result<SpuRead> {
        let count = self.read_records as i64;
        self.spu_reads += 1;
        let refuses = self.spu_reads.is_multiple_of(SPU_REFUSES);
        self.call(|topics| {
            let list = list(topics, topic, partition)?;
            if refuses {
                return Ok(SpuRead::Refused("a fault of the SPU".into()));
            }
            let (mut outputs, mut next) = (Vec::new(), from);
            while next < (list.len() as i64).min(from + count) {
                let stored = next / STORED_RECORDS * STORED_RECORDS;
                let end = (stored + STORED_RECORDS).min(list.len() as i64);
                let batch = &list[stored as usize..end as usize];
                if traps(batch).is_err() {
                    return Ok(SpuRead::Refused("a trap".into()));
                }
                let value = in_spu(chain, batch);
                outputs.push(SpuOutput { range: next..end, value });
                next = end;
            }
            Ok(SpuRead::Outputs(outputs))
        })
    }

    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>> {
        self.call(|topics| {
            let list = list(topics, topic, partition)?;
            let first = list.len() as i64;
            for record in records {
                let offset = list.len() as i64;
                let (key, value) = (record.key.clone(), record.value.clone());
                list.push(LogRecord { offset, log_time_ms: record.log_time_ms, key, value });
            }
            Ok(first..list.len() as i64)
        })
    }
}

//! One thread writes what all requests bring: many requests, one commit, then their answers.
//!
//! A commit of the embedded log costs a sync of the disk; while one is under way the next requests
//! gather. The queue is bounded in bytes; a request that does not fit is refused at once.

use crate::counters::Counters;
use crate::record::Outgoing;
use crate::store::{Batches, Place, Store, partition};
use perfstream_log::NewRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Most requests that wait for the log.
const WAITING: usize = 4096;

/// A commit takes no more requests when it has so many bytes.
const COMMIT_BYTES: usize = 4 << 20;

/// Why records are not in the log, or perhaps not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Too much waits already
    Full,
    /// These topics are not there; nothing is written, and the records come back
    NoTopic(BTreeSet<String>, Vec<Outgoing>),
    /// The log failed; the text says how
    Failed(String),
    /// The log did not answer in time; the records may get there yet
    Slow,
}

struct Job {
    records: Vec<Outgoing>,
    answer: oneshot::Sender<Result<(), Refused>>,
}

/// Hands records to the writer thread.
pub struct Queue {
    jobs: mpsc::Sender<Job>,
    room: Semaphore,
    bytes: usize,
    commit_timeout: Duration,
}

impl Queue {
    /// Starts the writer thread, which ends when the queue is dropped and all is written.
    pub fn start(
        store: Box<dyn Store>,
        counters: Arc<Counters>,
        bytes: usize,
        commit_timeout: Duration,
    ) -> std::io::Result<(Queue, JoinHandle<()>)> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread =
            std::thread::Builder::new().name("log-writer".into()).spawn(move || write(store, waiting, &counters))?;
        let bytes = bytes.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Ok((Queue { jobs, room: Semaphore::new(bytes), bytes, commit_timeout }, thread))
    }

    /// Returns when the log has the records.
    pub async fn store(&self, records: Vec<Outgoing>) -> Result<(), Refused> {
        let size: usize = records.iter().map(Outgoing::size_bytes).sum();
        let size = u32::try_from(size.min(self.bytes)).unwrap_or(u32::MAX);
        let _room = self.room.try_acquire_many(size).map_err(|_| Refused::Full)?;
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(Job { records, answer }).map_err(|_| Refused::Full)?;
        match tokio::time::timeout(self.commit_timeout, answered).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Refused::Failed("the writer has ended".into())),
            Err(_) => Err(Refused::Slow),
        }
    }
}

fn write(mut store: Box<dyn Store>, mut waiting: mpsc::Receiver<Job>, counters: &Counters) {
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = size(&first);
        let mut jobs = vec![first];
        while bytes < COMMIT_BYTES
            && let Ok(job) = waiting.try_recv()
        {
            bytes += size(&job);
            jobs.push(job);
        }
        commit(store.as_mut(), jobs, counters);
    }
}

fn size(job: &Job) -> usize {
    job.records.iter().map(Outgoing::size_bytes).sum()
}

/// A request whose records are among those of a commit.
struct Placed {
    places: BTreeSet<Place>,
    answer: oneshot::Sender<Result<(), Refused>>,
}

fn commit(store: &mut dyn Store, jobs: Vec<Job>, counters: &Counters) {
    let now_ms = crate::now_us() / 1000;
    let (mut batches, mut counts, mut placed) = (Batches::new(), BTreeMap::new(), Vec::with_capacity(jobs.len()));
    let mut troubles = Vec::new();
    for job in jobs {
        // A topic that cannot be written fails the whole request before any of it is written.
        if let Err(error) = count_partitions(store, &job.records, &mut counts) {
            troubles.push(error.clone());
            // A request that no longer waits needs no answer; so below.
            drop(job.answer.send(Err(Refused::Failed(error))));
            continue;
        }
        let absent = |record: &Outgoing| counts.get(&record.topic).is_none_or(Option::is_none);
        let absent: BTreeSet<String> = job.records.iter().filter(|r| absent(r)).map(|r| r.topic.clone()).collect();
        if !absent.is_empty() {
            drop(job.answer.send(Err(Refused::NoTopic(absent, job.records))));
            continue;
        }
        let mut places = BTreeSet::new();
        for record in job.records {
            let count = counts.get(&record.topic).copied().flatten().unwrap_or(1);
            let place = (record.topic.clone(), partition(&record, count));
            let record = NewRecord { log_time_ms: now_ms, key: record.key, value: record.value };
            batches.entry(place.clone()).or_default().push(record);
            places.insert(place);
        }
        placed.push(Placed { places, answer: job.answer });
    }
    let sizes: Vec<(Place, u64)> =
        batches.iter().map(|(place, records)| (place.clone(), records.len() as u64)).collect();
    let failed = if batches.is_empty() { BTreeMap::new() } else { store.write(batches) };
    for (place, records) in sizes {
        if !failed.contains_key(&place) {
            counters.accepted(&place.0, records);
        }
    }
    troubles.extend(failed.values().cloned());
    troubles.iter().for_each(|error| tracing::error!("records are not in the log: {error}"));
    counters.commit(troubles.is_empty());
    for Placed { places, answer } in placed {
        let failure = places.iter().find_map(|place| failed.get(place).cloned());
        drop(answer.send(failure.map_or(Ok(()), |error| Err(Refused::Failed(error)))));
    }
}

/// Puts the number of partitions of each topic into `counts`; None for one that is not there.
fn count_partitions(
    store: &mut dyn Store,
    records: &[Outgoing],
    counts: &mut BTreeMap<String, Option<u32>>,
) -> Result<(), String> {
    for record in records {
        if !counts.contains_key(&record.topic) {
            let count = store.partitions(&record.topic).map_err(|error| format!("{error:#}"))?;
            counts.insert(record.topic.clone(), count);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Commits when told to; the topic `none` is not there, `unknown` cannot be looked up, `broken` fails.
    struct Told {
        begun: Sender<usize>,
        go: Receiver<()>,
    }

    impl Store for Told {
        fn partitions(&mut self, topic: &str) -> anyhow::Result<Option<u32>> {
            match topic {
                "none" => Ok(None),
                "unknown" => bail!("nobody answers"),
                _ => Ok(Some(4)),
            }
        }

        fn write(&mut self, batches: Batches) -> BTreeMap<Place, String> {
            let _ = self.begun.send(batches.values().map(Vec::len).sum());
            let _ = self.go.recv();
            batches.into_keys().filter(|p| p.0 == "broken").map(|p| (p, "disk full".to_owned())).collect()
        }
    }

    fn record(topic: &str) -> Vec<Outgoing> {
        vec![Outgoing { topic: topic.into(), key: Some(b"k".to_vec()), value: vec![b'x'; 90] }]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_requests_one_commit() {
        let ((begun, begins), (go, told)) = (channel(), channel());
        let store = Box::new(Told { begun, go: told });
        let (queue, writer) = Queue::start(store, Arc::default(), 500, Duration::from_secs(30)).unwrap();
        let queue = Arc::new(queue);
        let send = |topic: &'static str| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.store(record(topic)).await })
        };
        let first = send("a");
        assert_eq!(begins.recv().unwrap(), 1);
        let others = [send("a"), send("broken"), send("none"), send("unknown")];
        // Each holds its part of the 500 bytes as soon as it waits.
        while queue.room.available_permits() > 30 {
            tokio::task::yield_now().await;
        }
        assert_eq!(queue.store(record("a")).await, Err(Refused::Full));
        assert!(!first.is_finished());
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(begins.recv().unwrap(), 2, "of the other four, two have no topic");
        go.send(()).unwrap();
        let [a, broken, none, unknown] = others;
        assert_eq!(a.await.unwrap(), Ok(()));
        assert_eq!(broken.await.unwrap(), Err(Refused::Failed("disk full".into())));
        let returned = Refused::NoTopic(BTreeSet::from(["none".to_owned()]), record("none"));
        assert_eq!(none.await.unwrap(), Err(returned));
        assert_eq!(unknown.await.unwrap(), Err(Refused::Failed("nobody answers".into())));
        drop(queue);
        writer.join().unwrap();
    }

    #[tokio::test]
    async fn a_log_that_does_not_answer() {
        let ((begun, _begins), (_go, told)) = (channel(), channel());
        let (queue, _) =
            Queue::start(Box::new(Told { begun, go: told }), Arc::default(), 400, Duration::from_millis(1)).unwrap();
        assert_eq!(queue.store(record("a")).await, Err(Refused::Slow));
    }
}

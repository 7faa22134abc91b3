//! Actions: what the stage `respond` requests is executed, and the pipeline told how it went.
//!
//! topic → [`request::Request`] → [`engine::Engine`] (no IO, no clock) → journal (fsync) → receiver → journal → the
//! pipeline's inbox. A kill between execution and journal executes that request once more with the same
//! `Idempotency-Key`; once its answer is in the journal it is never executed again. A receiver by HTTP that is not well
//! is asked again with the same key until the request expires; a program is run once, whatever its status.

pub mod engine;
pub mod request;
mod send;

use crate::config::Receivers;
use crate::journal::{Journal, Position};
use crate::page::Connect;
use crate::run::Clock;
use crate::secret::Secrets;
use anyhow::{Context, Result};
use engine::{Engine, MAX_OPEN, Tried};
use perfstream_log::{NewRecord, Place, Read, inbox};
use request::Request;
use send::Actor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver as Heard, Sender as Tell};
use std::time::{Duration, Instant};

/// Read at once.
const READ_BYTES: usize = 1 << 20;
/// A cluster's partition is asked for this long.
const ASK: Duration = Duration::from_millis(20);
/// Where there is nothing, looks again after this.
const PAUSE: Duration = Duration::from_millis(100);
/// Partitions that appear are seen after this long, and a log that failed is opened again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// At a signal, what is on its way may end for this long.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Opens the log
    pub connect: Connect,
    /// Topic with action records
    pub topic: String,
    /// End when all that is there was tried
    pub once: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Requests that were done
    pub done: u64,
    /// Requests that were not
    pub failed: u64,
    /// Tries that failed and were, or are to be, repeated
    pub retries: u64,
    /// Records that are none of an action
    pub bad: u64,
    /// Copies of requests, and requests that nobody waits for any more
    pub ignored: u64,
}

/// The executor of actions at work.
pub struct Executor {
    engine: Engine,
    journal: Journal,
    options: Options,
    threads: BTreeMap<String, Tell<Request>>,
    heard: Heard<(Request, Tried)>,
    positions: BTreeMap<u32, Position>,
    looked: Option<Instant>,
    clock: Clock,
    summary: Summary,
}

/// The journal of actions lies beside that of the sink.
pub fn journal_path(sink: &Path) -> PathBuf {
    sink.with_extension("actions.db")
}

impl Executor {
    /// Resolves secrets, starts a thread for each receiver and takes up what the journal holds.
    pub fn new(receivers: &Receivers, secrets: &Secrets, journal: Journal, options: Options) -> Result<Executor> {
        let (tell, heard) = mpsc::channel();
        let mut threads = BTreeMap::new();
        for receiver in &receivers.receivers {
            let Some(actor) = Actor::new(receiver, secrets)? else { continue };
            let (to, requests) = mpsc::channel::<Request>();
            let tell = tell.clone();
            let work = move || {
                for request in requests {
                    let tried = actor.execute(&request);
                    if tell.send((request, tried)).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().name(format!("act by {}", receiver.name)).spawn(work)?;
            threads.insert(receiver.name.clone(), to);
        }
        let engine = Engine::restore(&journal.entries()?)?;
        let (positions, summary) = (BTreeMap::new(), Summary::default());
        Ok(Executor { engine, journal, options, threads, heard, positions, looked: None, clock: Clock::new(), summary })
    }

    /// Runs until `stop`, or with `once` until what is there was tried. An error is one of the journal, or with
    /// `once` one of the log.
    pub fn run(mut self, stop: &AtomicBool) -> Result<Summary> {
        let mut log = None;
        while !stop.load(Ordering::SeqCst) {
            match self.step(&mut log) {
                Ok(true) => continue,
                Ok(false) if self.options.once && !self.engine.is_busy() => break,
                Ok(false) => {}
                Err(error) if self.options.once => return Err(error),
                Err(error) => {
                    tracing::warn!("actions: the log does not answer, trying again: {error:#}");
                    (log, self.looked) = (None, None);
                    std::thread::sleep(LOOK_AGAIN);
                }
            }
            self.hear(PAUSE)?;
        }
        let until = Instant::now() + LAST_WAIT;
        while self.engine.is_busy() && Instant::now() < until {
            self.hear(PAUSE)?;
        }
        if let Some(place) = &mut log {
            self.tell(place)?;
        }
        Ok(self.summary)
    }

    /// Reads, begins what is due, hears, tells; false if there was nothing to do.
    fn step(&mut self, log: &mut Option<Place>) -> Result<bool> {
        let place = match log {
            Some(place) => place,
            None => log.insert((self.options.connect)()?),
        };
        let mut busy = self.engine.open() < MAX_OPEN && self.read(place)?;
        busy |= self.hear(Duration::ZERO)?;
        busy |= self.begin(place)?;
        Ok(self.tell(place)? || busy)
    }

    fn read(&mut self, place: &mut Place) -> Result<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.look(place)?;
            self.looked = Some(Instant::now());
        }
        let mut busy = false;
        for position in self.positions.values().cloned().collect::<Vec<_>>() {
            let (topic, partition) = (&position.topic, position.partition);
            let mut next = position.next;
            match place.read(topic, partition, next, READ_BYTES, ASK)? {
                Read::Gap(gone) => {
                    tracing::error!("records {} to {} of {topic}/{partition} are gone", gone.start, gone.end);
                    next = gone.end;
                }
                Read::Records(records) => {
                    for record in records {
                        next = record.offset + 1;
                        self.take(&record.value, &format!("{topic}/{partition}@{}", record.offset));
                    }
                }
            }
            if next != position.next {
                busy = true;
                let position = Position { next, ..position };
                self.journal.commit(&self.engine.changes()?, std::slice::from_ref(&position))?;
                self.positions.insert(position.partition, position);
            }
        }
        Ok(busy)
    }

    fn take(&mut self, value: &[u8], at: &str) {
        match Request::parse(value) {
            Ok(Some(request)) => {
                let taken = self.engine.take(request, self.clock.now_ms());
                self.summary.ignored += u64::from(!taken);
            }
            Ok(None) => {}
            Err(error) => {
                self.summary.bad += 1;
                tracing::warn!("{at} is no action record: {error}");
            }
        }
    }

    /// Finds partitions that are new. What is old has expired, so a first start begins at the oldest record.
    fn look(&mut self, place: &mut Place) -> Result<()> {
        let topic = self.options.topic.clone();
        for partition in 0..place.partitions(&topic)?.unwrap_or(0) {
            if self.positions.contains_key(&partition) {
                continue;
            }
            let position = match self.journal.position(&topic, partition)? {
                Some(position) => position,
                None => {
                    let start = place.extent(&topic, partition)?.start;
                    Position { topic: topic.clone(), partition, next: start, past: start }
                }
            };
            self.positions.insert(partition, position);
        }
        Ok(())
    }

    /// Hands out what is due; everything of it is in the journal. False if nothing was.
    fn begin(&mut self, place: &mut Place) -> Result<bool> {
        let begun = self.engine.begin(self.clock.now_ms());
        let busy = !begun.is_empty();
        for request in begun {
            let thread = request.receiver.as_ref().map(|name| self.threads.get(name));
            match thread {
                Some(Some(thread)) => thread.send(request).context("the thread of a receiver has ended")?,
                Some(None) => {
                    let name = request.receiver.as_deref().unwrap_or_default();
                    let why = format!("`{name}` is no receiver that takes actions");
                    self.take_note(&request, Tried::Failed(why));
                }
                None => {
                    let tried = send::append(place, &request);
                    self.take_note(&request, tried);
                }
            }
        }
        self.journal.commit(&self.engine.changes()?, &[])?;
        Ok(busy)
    }

    /// Hears of tries, and waits up to `wait` for the first; true if there was one.
    fn hear(&mut self, wait: Duration) -> Result<bool> {
        let mut next = match wait.is_zero() {
            true => self.heard.try_recv().ok(),
            false => self.heard.recv_timeout(wait).ok(),
        };
        let any = next.is_some();
        while let Some((request, tried)) = next {
            self.take_note(&request, tried);
            next = self.heard.try_recv().ok();
        }
        self.journal.commit(&self.engine.changes()?, &[])?;
        Ok(any)
    }

    fn take_note(&mut self, request: &Request, tried: Tried) {
        let Request { key, action, .. } = request;
        match &tried {
            Tried::Done(_) => tracing::info!(key, action, "done"),
            Tried::Failed(message) => tracing::error!(key, action, "failed: {message}"),
            Tried::Later { message, .. } => {
                self.summary.retries += 1;
                tracing::warn!(key, action, "not done, it will be tried again: {message}");
            }
        }
        self.engine.tried(request, tried, self.clock.now_ms());
    }

    /// Tells the pipelines how it went; false if there was nothing to tell.
    fn tell(&mut self, place: &mut Place) -> Result<bool> {
        let outcomes = self.engine.outcomes();
        for (request, done, message) in &outcomes {
            let value = request.outcome(*done, message).to_string().into_bytes();
            let record = NewRecord { log_time_ms: self.clock.now_ms(), key: None, value };
            place.append(&inbox(&request.pipeline), 0, &[record])?;
            self.engine.told(&request.key, self.clock.now_ms());
            let outcome = if *done { "done" } else { "failed" };
            (self.summary.done, self.summary.failed) =
                (self.summary.done + u64::from(*done), self.summary.failed + u64::from(!*done));
            metrics::counter!("perfstream_sink_actions_total", "outcome" => outcome).increment(1);
            self.journal.commit(&self.engine.changes()?, &[])?;
        }
        Ok(!outcomes.is_empty())
    }
}

/// Starts a thread that executes until `stop`.
pub fn spawn(executor: Executor, stop: Arc<AtomicBool>) -> Result<std::thread::JoinHandle<Result<Summary>>> {
    Ok(std::thread::Builder::new().name("actions".into()).spawn(move || executor.run(&stop))?)
}

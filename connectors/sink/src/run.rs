//! The loop: read records, begin what is due, send, hear what became of it.
//!
//! Each receiver has a thread of its own, so a slow one holds nobody up. Everything is in the journal
//! before the next thing happens.

use crate::config::Receivers;
use crate::engine::{Delivery, Engine, Outcome};
use crate::journal::{Journal, Position};
use crate::routing::Routing;
use crate::secret::Secrets;
use crate::send::{Sender, Sent};
use anyhow::{Context, Result};
use perfstream_log::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver as Heard, Sender as Tell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Waits this long for records before it looks what is due.
const WAIT: Duration = Duration::from_millis(200);
/// What `--metrics` says is this old at most.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// At a signal, what is on its way may arrive for this long; else it is sent again at the next start.
const LAST_WAIT: Duration = Duration::from_secs(10);

mod reading;

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Topic with alert records
    pub topic: String,
    /// Topic with silences
    pub silences: String,
    /// Topic with anomalies, of which notices tell
    pub anomalies: String,
    /// End when all that is there is read and was sent or failed; groups do not wait
    pub once: bool,
    /// On the first start, tell also of alerts that were over before
    pub past: bool,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records read
    pub records: u64,
    /// Records that are no alert records
    pub bad: u64,
    /// Notices that receivers have accepted
    pub notices: u64,
    /// Deliveries that failed and are sent again, each try counted
    pub failures: u64,
    /// Notices that receivers refused and that are given up
    pub refused: u64,
    /// Receivers for which something waits
    pub waiting: Vec<String>,
}

/// The sink at work.
pub struct Sink {
    options: Options,
    engine: Engine,
    journal: Journal,
    place: Place,
    /// By topic and partition
    positions: BTreeMap<(String, u32), Position>,
    threads: BTreeMap<String, Tell<Delivery>>,
    heard: Heard<(Delivery, Outcome)>,
    on_their_way: usize,
    known: Routing,
    unknown: BTreeSet<String>,
    clock: Clock,
    looked: Option<Instant>,
    measured: Option<Instant>,
    summary: Summary,
}

/// The wall clock at the start, moved on by the monotonic one: a jump of the former moves nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall_ms: i64,
    started: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { wall_ms: wall.as_millis() as i64, started: Instant::now() }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.wall_ms + self.started.elapsed().as_millis() as i64
    }
}

impl Sink {
    /// Resolves secrets, starts a thread for each receiver and takes up what the journal holds.
    pub fn new(
        receivers: &Receivers,
        secrets: &Secrets,
        journal: Journal,
        place: Place,
        options: Options,
    ) -> Result<Sink> {
        let routing = Routing::new(receivers)?;
        let engine = Engine::restore(routing.clone(), &journal.entries()?)?;
        let (tell, heard) = mpsc::channel();
        let clock = Clock::new();
        let mut threads = BTreeMap::new();
        for receiver in &receivers.receivers {
            let sender = Sender::new(receiver, receivers.page.as_deref(), secrets)?;
            let (to, deliveries) = mpsc::channel();
            let tell = tell.clone();
            std::thread::Builder::new()
                .name(format!("to {}", receiver.name))
                .spawn(move || deliver(&sender, &deliveries, &tell, clock))?;
            threads.insert(receiver.name.clone(), to);
        }
        Ok(Sink {
            options,
            engine,
            journal,
            place,
            positions: BTreeMap::new(),
            threads,
            heard,
            on_their_way: 0,
            known: routing,
            unknown: BTreeSet::new(),
            clock,
            looked: None,
            measured: None,
            summary: Summary::default(),
        })
    }

    /// Runs until `stop`, or with `once` to the end of what is there. An error is one of the journal, or
    /// with `once` one of the log.
    pub fn run(mut self, stop: &AtomicBool) -> Result<Summary> {
        while !stop.load(Ordering::SeqCst) {
            let idle = match self.read() {
                Ok(idle) => idle,
                Err(error) if self.options.once => return Err(error),
                Err(error) => {
                    tracing::warn!("cannot read {}, trying again: {error:#}", self.options.topic);
                    std::thread::sleep(Duration::from_secs(1));
                    true
                }
            };
            self.hear(Duration::ZERO)?;
            if self.has_read_the_past() && (idle || !self.options.once) {
                self.begin()?;
            }
            if self.measured.is_none_or(|measured| measured.elapsed() >= MEASURE_EVERY) {
                self.measure();
                self.measured = Some(Instant::now());
            }
            if self.options.once && idle && self.on_their_way == 0 {
                break;
            }
            if idle {
                self.hear(WAIT)?;
            }
        }
        let until = Instant::now() + LAST_WAIT;
        while self.on_their_way > 0 && Instant::now() < until {
            self.hear(WAIT)?;
        }
        self.summary.waiting = self.engine.undelivered();
        Ok(self.summary)
    }

    /// How things are, for `--metrics`.
    fn measure(&self) {
        metrics::counter!("perfstream_sink_records_total").absolute(self.summary.records);
        metrics::counter!("perfstream_sink_bad_records_total").absolute(self.summary.bad);
        metrics::gauge!("perfstream_sink_alerts_firing").set(self.engine.firing() as f64);
        metrics::gauge!("perfstream_sink_silences").set(self.engine.silences(self.clock.now_ms()).count() as f64);
        let waiting = self.engine.undelivered();
        for receiver in self.threads.keys() {
            let waits = f64::from(u8::from(waiting.contains(receiver)));
            metrics::gauge!("perfstream_sink_waiting", "receiver" => receiver.clone()).set(waits);
        }
    }

    fn begin(&mut self) -> Result<()> {
        let begun = self.engine.begin(!self.options.once, self.clock.now_ms());
        self.journal.commit(&self.engine.changes()?, &[])?;
        for delivery in begun {
            let thread = self.threads.get(&delivery.receiver).context("a receiver without a thread")?;
            thread.send(delivery).context("the thread of a receiver has ended")?;
            self.on_their_way += 1;
        }
        Ok(())
    }

    /// Hears of deliveries, and waits up to `wait` for the first.
    fn hear(&mut self, wait: Duration) -> Result<()> {
        let mut next = match wait.is_zero() {
            true => self.heard.try_recv().ok(),
            false => self.heard.recv_timeout(wait).ok(),
        };
        while let Some((delivery, outcome)) = next {
            self.on_their_way -= 1;
            self.count(&delivery, &outcome);
            self.engine.done(&delivery, outcome, self.clock.now_ms());
            next = self.heard.try_recv().ok();
        }
        self.journal.commit(&self.engine.changes()?, &[])
    }

    /// Counts what became of a delivery, for the summary and for `--metrics`.
    fn count(&mut self, delivery: &Delivery, outcome: &Outcome) {
        let receiver = || delivery.receiver.clone();
        let refused = match outcome {
            Outcome::Accepted => 0,
            Outcome::Refused { notices, .. } => notices.len() as u64,
            Outcome::Unavailable { .. } => {
                self.summary.failures += 1;
                metrics::counter!("perfstream_sink_failed_deliveries_total", "receiver" => receiver()).increment(1);
                return;
            }
        };
        let accepted = (delivery.notices.len() as u64).saturating_sub(refused);
        self.summary.notices += accepted;
        self.summary.refused += refused;
        metrics::counter!("perfstream_sink_notices_total", "receiver" => receiver()).increment(accepted);
        metrics::counter!("perfstream_sink_refused_total", "receiver" => receiver()).increment(refused);
    }
}

/// A receiver's thread: ends when the sink does.
fn deliver(sender: &Sender, deliveries: &Heard<Delivery>, tell: &Tell<(Delivery, Outcome)>, clock: Clock) {
    for delivery in deliveries {
        let (receiver, key) = (&delivery.receiver, &delivery.key);
        let Sent { outcome, message } = sender.send(&delivery, clock.now_ms());
        match &outcome {
            Outcome::Accepted => tracing::info!(receiver, key, notices = delivery.notices.len(), "delivered"),
            Outcome::Unavailable { .. } => {
                tracing::warn!(receiver, key, "not delivered, it will be sent again: {message}");
            }
            Outcome::Refused { notices, .. } => {
                tracing::error!(receiver, key, notices = notices.join(" "), "refused and given up: {message}");
            }
        }
        if tell.send((delivery, outcome)).is_err() {
            return;
        }
    }
}

//! Incidents: anomalies that belong together, what may have caused them, and the segment they lie in.
//!
//! An anomaly ([`anomaly`]) joins an open incident if it began within `window` of the incident's first or
//! newest beginning, or between them, and is tied to one of its anomalies: the same value of a shared
//! dimension, a call ([`graph`]), or a lagged link that is significant ([`links`]). If it is tied to several,
//! the younger are merged into the oldest. If to none, it begins an incident. Causes: [`rank`]. Segment:
//! [`segment`]. Inhibition: [`inhibit`].
//!
//! Every row passes; an incident's record follows the row, or the tick, that caused it: `open`, `updated` at
//! most once per `update_every`, `resolved` when all anomalies have ended or none was heard of for
//! `resolve_after`. The clock is the running maximum of event times and ticks. At the end of the input what is
//! new is told; what is open stays so.
//!
//! Cost: O(log n) per row that is no anomaly; an anomaly is compared with those of every incident in its
//! time; ranking causes takes 15 µs for 20 services, 1.2 ms for 200, natively (`tests_state::cost`). Memory:
//! half of `max_state_bytes` for incidents (about 0.5 KiB per anomaly, at most 4), a quarter each for links
//! and calls.
//! Where it fails: two incidents at one time that share a service are one; an anomaly that comes before its
//! cause by more than `window` is another's.

mod anomaly;
mod config;
mod graph;
mod incident;
mod inhibit;
mod join;
mod links;
mod rank;
mod record;
mod segment;
mod sentence;
mod state;
mod store;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_incidents;
#[cfg(test)]
mod tests_links;
#[cfg(test)]
mod tests_rank;
#[cfg(test)]
mod tests_state;

pub use config::{CorrelateConfig, Dependency, MetricKind, Traces};

use crate::config::{Issues, fail_on_errors};
use crate::row::{Fields, Kind, Output, Row, Slot};
use crate::stage::{Context, Counters, RestoreError, Stage, Tick, load, save};
use anomaly::Reader;
use graph::{Graph, SavedCalls};
use incident::{Incident, Pace, Reason};
use links::{Links, Rules, SavedOwned};
use rank::{Rank, rank};
use record::Telling;
use segment::segment;
use state::State;
use store::{Saved, Store};

/// The stage `correlate`.
#[derive(Debug)]
pub struct CorrelateStage {
    context: Context,
    window_us: i64,
    service: Box<str>,
    /// Names of the labels that are compared
    dimensions: Vec<Box<str>>,
    reader: Reader,
    /// Fields with caller and callee
    calls: Option<(Slot, Slot)>,
    rules: Rules,
    pace: Pace,
    rank: Rank,
    memory_us: i64,
    max_incidents: usize,
    max_calls: usize,
    store: Store,
    graph: Graph,
    links: Links,
    state: State,
}

impl Stage for CorrelateStage {
    const NAME: &'static str = "correlate";
    const STATE_VERSION: u32 = 1;
    type Config = CorrelateConfig;

    fn new(config: CorrelateConfig, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        fail_on_errors(&config.errors())?;
        let memory_us = config.memory.us();
        Ok(CorrelateStage {
            context: context.clone(),
            window_us: config.window.us(),
            service: config.service.as_str().into(),
            dimensions: config.dimensions().into_iter().map(Into::into).collect(),
            reader: Reader::new(&config, fields),
            calls: config.traces.as_ref().map(|traces| (fields.slot(&traces.from), fields.slot(&traces.to))),
            rules: Rules {
                lag_us: config.lag.us(),
                memory_us,
                significance: config.significance,
                min_coincidences: config.min_coincidences,
                max_series: config.max_series as usize,
                max_pairs: config.max_pairs as usize,
                bytes: context.max_state_bytes / 4,
            },
            pace: Pace {
                update_us: config.update_every.us(),
                resolve_us: config.resolve_after.us(),
                min_anomalies: config.min_anomalies,
                max_members: config.max_members as usize,
            },
            rank: Rank {
                kinds: config.kinds.iter().map(|(name, kind)| (name.as_str().into(), *kind)).collect(),
                hops: config.hops,
                lag_us: config.lag.us(),
            },
            memory_us,
            max_incidents: config.max_incidents as usize,
            max_calls: config.max_pairs as usize,
            store: Store::default(),
            graph: Graph::new(&config.dependencies),
            links: Links::default(),
            state: State::default(),
        })
    }

    fn warnings(config: &CorrelateConfig) -> Issues {
        config.doubts()
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        // What the host did not drain belongs before this row.
        while self.step(out) {}
        self.state.counts.input += (row.meta.kind == Kind::Event) as u64;
        out.pass(row);
        self.observe_time(row);
        if self.reader.is_asked(row) {
            self.hear(row, out);
        } else if row.meta.kind == Kind::Event {
            self.learn_call(row);
        }
        self.drain(out);
    }

    fn tick(&mut self, tick: &Tick, out: &mut Output) {
        while self.step(out) {}
        if tick.end_of_input {
            self.state.clock.trigger = (tick.offset, self.state.clock.now.max(0));
            self.state.ending = true;
        } else {
            self.state.clock.tick(tick);
        }
        self.drain(out);
    }

    fn pending(&self) -> bool {
        self.store.due(self.state.clock.due_until).is_some() || (self.state.ending && self.store.news().is_some())
    }

    fn drain(&mut self, out: &mut Output) {
        while !out.is_full() && self.step(out) {}
    }

    fn counters(&self) -> Counters {
        let c = &self.state.counts;
        vec![
            ("in", c.input),
            ("passed", c.input),
            ("anomalies", c.anomalies),
            ("ended", c.ended),
            ("unreadable", c.unreadable),
            ("unknown", c.unknown),
            ("incidents", c.incidents),
            ("resolved", c.resolved),
            ("merged", c.merged),
            ("not_kept", c.not_kept),
            ("open", self.store.len() as u64),
            ("calls", c.calls),
            ("known_calls", self.graph.len() as u64),
            ("series", self.links.len() as u64),
            ("pairs", self.links.pairs() as u64),
            ("evicted", c.evicted),
            ("forgotten", c.forgotten),
            ("state_bytes", self.store.bytes() + self.links.bytes() + self.graph.bytes()),
        ]
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&(&self.state, self.store.saved(), self.graph.saved(), self.links.saved()))
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let (state, saved, calls, links): (State, Saved<Incident>, SavedCalls, SavedOwned) = load(bytes)?;
        state.known.check()?;
        let store = Store::restored(saved, self.max_incidents, &self.pace)?;
        let links = Links::restored(links, &self.rules)?;
        self.graph.restore(calls, self.max_calls)?;
        (self.state, self.store, self.links) = (state, store, links);
        Ok(())
    }

    /// An edited service map forgets no incident. Links begin anew with another `lag` or `memory`; all does with
    /// another `service`, for the nodes are others.
    fn adopt(&mut self, bytes: &[u8], config: &CorrelateConfig) -> Result<(), RestoreError> {
        if *config.service != *self.service {
            return Err(RestoreError("`service` has changed, so no node is what it was".into()));
        }
        self.restore(bytes)?;
        if (config.lag.us(), config.memory.us()) != (self.rules.lag_us, self.rules.memory_us) {
            self.links = Links::default();
        }
        Ok(())
    }
}

impl CorrelateStage {
    /// The clock moves; a row without a time of its own is at the clock.
    fn observe_time(&mut self, row: &Row<'_>) {
        let clock = &mut self.state.clock;
        clock.reach(clock.time_of(&row.meta));
        clock.caused_by(&row.meta);
    }

    /// Learns the call that an event says.
    fn learn_call(&mut self, row: &Row<'_>) {
        let Some((from, to)) = self.calls else { return };
        let (Some(from), Some(to)) = (row.get(from).as_str(), row.get(to).as_str()) else { return };
        self.state.counts.calls += 1;
        if self.graph.learn(from, to, self.state.clock.now) {
            let since = self.state.clock.now.saturating_sub(self.memory_us);
            self.state.counts.forgotten += self.graph.forget(since, self.max_calls, self.context.max_state_bytes / 4);
        }
    }

    /// Does one thing that is due. False if nothing is.
    fn step(&mut self, out: &mut Output) -> bool {
        if let Some((time, number)) = self.store.due(self.state.clock.due_until) {
            let Some(mut incident) = self.store.take(number, &self.pace) else { return false };
            if incident.record_due(&self.pace) > time {
                self.resolve(incident, Reason::Silent, time, out);
                return true;
            }
            self.tell(&mut incident, None, time.max(self.state.clock.now), out);
            self.store.put(number, incident, &self.pace);
            return true;
        }
        let Some(number) = self.store.news().filter(|_| self.state.ending) else {
            self.state.ending = false;
            return false;
        };
        let Some(mut incident) = self.store.take(number, &self.pace) else { return false };
        self.tell(&mut incident, None, self.state.clock.now, out);
        self.store.put(number, incident, &self.pace);
        true
    }

    /// Ends an incident that is taken out. One that was never told of ends without a word.
    fn resolve(&mut self, mut incident: Incident, reason: Reason, time: i64, out: &mut Output) {
        self.state.counts.evicted += (reason == Reason::Evicted) as u64;
        if incident.is_told() {
            self.state.counts.resolved += 1;
            self.tell(&mut incident, Some((reason, None)), time, out);
        }
    }

    /// Writes a record of an incident.
    fn tell(&mut self, incident: &mut Incident, end: Option<(Reason, Option<&str>)>, time: i64, out: &mut Output) {
        self.state.counts.incidents += u64::from(!incident.is_told());
        let merged = matches!(end, Some((Reason::Merged, _)));
        // The other one goes on with all that it had.
        let causes = if merged { Vec::new() } else { rank(&incident.members, &self.graph, &self.rank) };
        let first = causes.first().map(|cause| cause.member);
        let segment = (!merged).then(|| segment(&incident.members, first, &self.state.known)).flatten();
        let telling = Telling {
            incident,
            causes: &causes,
            segment: segment.as_ref(),
            reason: end.map(|(reason, _)| reason),
            into: end.and_then(|(_, into)| into),
            service: &self.service,
            dimensions: &self.dimensions,
        };
        telling.write(&self.context, time, self.state.clock.trigger, out);
        incident.told = self.state.clock.now;
        incident.revision = incident.revision.saturating_add(1);
        incident.news = false;
    }
}

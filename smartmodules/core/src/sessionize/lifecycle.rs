//! From an event to its session, and from a session to its results.

use crate::decode::{Bad, dead_letter};
use crate::row::{Kind, Meta, Output, Row};
use crate::sessionize::Sessionize;
use crate::sessionize::config::SessionizeConfig;
use crate::sessionize::emit::{self, ClosedBy, Leaving};
use crate::sessionize::read::Event;
use crate::sessionize::session::Session;

/// When the session ends if no event follows, and by what.
pub(super) fn deadline(session: &Session, config: &SessionizeConfig) -> (i64, ClosedBy) {
    let idle = session.end_us.saturating_add(config.timeout.us());
    let long = session.first_us.saturating_add(config.max_length.us());
    if long < idle { (long, ClosedBy::MaxLength) } else { (idle, ClosedBy::Timeout) }
}

pub(super) fn key_bytes(session: &Session) -> Box<[u8]> {
    let mut key = Vec::new();
    session.key.as_value().write_key(&mut key);
    key.into()
}

impl Sessionize {
    pub(super) fn refuse(&mut self, row: &Row<'_>, bad: &Bad, out: &mut Output) {
        self.state.counts.dead += 1;
        let mut sample = Vec::new();
        crate::json::write_row(row, &mut sample);
        dead_letter(&self.context, &row.meta, row.key, bad, &sample, out);
    }

    pub(super) fn take(&mut self, row: &Row<'_>, event: &Event<'_>, time_us: i64, out: &mut Output) {
        let Some(number) = self.session_of(event, time_us) else {
            self.state.counts.late += 1;
            let by_us = self.state.clock.watermark().saturating_sub(time_us.saturating_add(self.config.timeout.us()));
            write_late(row, by_us, out);
            return;
        };
        if let Some(session) = self.state.sessions.get_mut(&number) {
            let before = session.bytes;
            session.add(row, event, time_us, &self.plan);
            self.bytes = (self.bytes + session.bytes).saturating_sub(before);
            if session.navigations.len() > self.config.max_navigations as usize {
                let mut header = session.header();
                let before = session.bytes;
                header.navigations.extend(session.pop_navigation());
                self.bytes = (self.bytes + session.bytes).saturating_sub(before);
                self.state.counts.evicted += 1;
                self.leave(header, ClosedBy::Evicted);
            }
        }
        while self.bytes > self.context.max_state_bytes && self.state.sessions.len() > 1 {
            self.make_room();
        }
        if self.config.pass_events {
            self.state.counts.passed += 1;
            out.pass(row);
        } else {
            self.state.counts.counted += 1;
        }
    }

    /// The session that the event belongs to, opened if need be; None if the event is late.
    fn session_of(&mut self, event: &Event<'_>, time_us: i64) -> Option<u64> {
        let mut key = Vec::new();
        event.key.write_key(&mut key);
        if let Some(number) = self.by_key.get(key.as_slice()).copied()
            && let Some(session) = self.state.sessions.get(&number)
        {
            let (end, by) = deadline(session, &self.config);
            if time_us < end {
                return Some(number);
            }
            self.close(number, by);
        }
        if time_us.saturating_add(self.config.timeout.us()) <= self.state.clock.watermark() {
            return None;
        }
        while self.state.sessions.len() >= self.config.max_sessions as usize {
            self.make_room();
        }
        let number = self.state.next_number;
        self.state.next_number += 1;
        let session = Session::new(event.key.into(), time_us, self.state.offset);
        self.by_key.insert(key.into(), number);
        self.by_deadline.insert((deadline(&session, &self.config).0, number));
        self.bytes += session.bytes;
        self.state.sessions.insert(number, session);
        Some(number)
    }

    /// Ends the session that would end first.
    fn make_room(&mut self) {
        while let Some((end, number)) = self.by_deadline.pop_first() {
            if let Some(by) = self.ends_at(end, number) {
                let early = end > self.state.clock.watermark();
                self.state.counts.evicted += early as u64;
                self.close(number, if early { ClosedBy::Evicted } else { by });
                return;
            }
        }
    }

    /// Does the session end then? If its end has moved on, it is put back with the right one.
    fn ends_at(&mut self, end: i64, number: u64) -> Option<ClosedBy> {
        let (now, by) = deadline(self.state.sessions.get(&number)?, &self.config);
        if now == end {
            return Some(by);
        }
        self.by_deadline.insert((now, number));
        None
    }

    fn close(&mut self, number: u64, by: ClosedBy) {
        let Some(session) = self.state.sessions.remove(&number) else {
            return;
        };
        self.by_key.remove(&key_bytes(&session));
        self.bytes = self.bytes.saturating_sub(session.bytes);
        self.leave(session, by);
    }

    fn leave(&mut self, session: Session, closed_by: ClosedBy) {
        let (offset, log_time) = (self.state.offset, self.state.log_time);
        self.state.leaving.push_back(Leaving { session, offset, log_time, closed_by });
    }

    /// Writes what has ended or is due, until done or, without `all`, the output is full.
    pub(super) fn flush(&mut self, out: &mut Output, all: bool) {
        let watermark = self.state.clock.watermark();
        while all || !out.is_full() {
            if let Some(leaving) = self.state.leaving.front_mut() {
                match leaving.session.pop_navigation() {
                    Some(navigation) => {
                        self.state.counts.results += 1;
                        emit::write(leaving, &navigation, &self.config, &self.plan, &self.context, out);
                    }
                    None => drop(self.state.leaving.pop_front()),
                }
                continue;
            }
            let Some((end, number)) = self.by_deadline.first().copied().filter(|(end, _)| *end <= watermark) else {
                return;
            };
            self.by_deadline.pop_first();
            if let Some(by) = self.ends_at(end, number) {
                self.close(number, if watermark == i64::MAX { ClosedBy::EndOfInput } else { by });
            }
        }
    }
}

/// The event as it came, of kind `late`, and by how much it is.
fn write_late(row: &Row<'_>, by_us: i64, out: &mut Output) {
    let mut late = out.row(Meta { kind: Kind::Late, ..row.meta }, row.key);
    // `kind` and `timestamp` are written from the meta.
    for (name, value) in row.fields().filter(|(name, _)| !matches!(*name, "kind" | "timestamp")) {
        late.field(name, value);
    }
    late.field("late_by_ms", by_us.div_euclid(1000));
}

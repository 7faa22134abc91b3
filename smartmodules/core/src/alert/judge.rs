//! What one row or one deadline does to the alerts.
//!
//! The order of records is that of rules for a row, and that of (time, age of the alert) for
//! deadlines. Cost: see the stage.

use super::config::Severity;
use super::record::{Record, alert_id};
use super::rule::Rule;
use super::state::{Change, Life, Phase, Policy, Transition};
use super::store::{Entry, Shown};
use super::text::{group_key, labels, shortened, values};
use super::{AlertStage, overflow};
use crate::clock::NEVER;
use crate::json::write_str;
use crate::row::{Kind, Meta, Output, Row};
use crate::value::Value;

/// A record's key beyond this is not kept for the records of its alert.
const MAX_RECORD_KEY_BYTES: usize = 256;

/// What the rules said about one row.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) applied: bool,
    /// The most severe firing alert: severity, rule, alert_id
    pub(super) worst: Option<(Severity, usize, Box<str>)>,
    pub(super) records: Vec<Record>,
}

impl AlertStage {
    /// Moves the clock, and gives the event time of the row. A row without one is judged at the
    /// clock. A dead letter's time is not believed.
    pub(super) fn observe(&mut self, meta: &Meta) -> i64 {
        let clock = &mut self.state.clock;
        let time = clock.time_of(meta);
        let believed = meta.event_time != NEVER && meta.kind != Kind::DeadLetter;
        if believed || self.looks_at[meta.kind as usize] {
            clock.reach(time);
        }
        clock.caused_by(meta);
        time
    }

    /// Puts one rule to a row.
    pub(super) fn judge(&mut self, index: usize, row: &Row<'_>, event_time: i64, verdict: &mut Verdict) {
        let Some(rule) = self.rules.get(index) else {
            return;
        };
        let Some(breach) = rule.judge(row, self.slots.window) else {
            return;
        };
        add(&mut self.state.evaluated, 1);
        if !verdict.applied {
            verdict.applied = true;
            group_key(&self.group_by, row, &mut self.group);
        }
        self.key.clear();
        self.key.extend_from_slice(&(index as u32).to_be_bytes());
        self.key.extend_from_slice(&self.group);
        let (number, mut entry) = match self.store.take_key(&self.key, &rule.policy) {
            Some(found) => found,
            None if breach => match self.open(index, row, verdict) {
                Some(opened) => opened,
                None => return,
            },
            None => return,
        };
        let Some(rule) = self.rules.get(index) else {
            return;
        };
        let clock = self.state.clock.now;
        let mut transitions = Vec::new();
        let news = entry.life.judge(breach, event_time, clock, &rule.policy, &mut transitions);
        let by_deadline = transitions.partition_point(|t| t.time < clock);
        let (before, now) = transitions.split_at(by_deadline);
        self.record(before, &mut entry, verdict);
        if news && (entry.life.phase != Phase::Idle || !now.is_empty()) {
            entry.shown = self.shown(index, row);
        }
        self.record(now, &mut entry, verdict);
        if entry.life.phase == Phase::Firing
            && verdict.worst.as_ref().is_none_or(|(severity, ..)| entry.life.severity > *severity)
        {
            verdict.worst = Some((entry.life.severity, index, entry.alert_id.clone()));
        }
        if let Some(rule) = self.rules.get(index) {
            self.store.put(number, entry, &rule.policy);
        }
    }

    /// A new alert, if there is room.
    fn open(&mut self, index: usize, row: &Row<'_>, verdict: &mut Verdict) -> Option<(u64, Entry)> {
        let entry = Entry {
            key: self.key.as_slice().into(),
            rule: index as u32,
            life: Life::default(),
            alert_id: "".into(),
            labels: labels(&self.group_by, row, &self.rules.get(index)?.labels).into(),
            record_key: row.key.filter(|key| key.len() <= MAX_RECORD_KEY_BYTES).map(Into::into),
            shown: self.shown(index, row),
        };
        let (dropped, fits) = self.store.make_room(&self.limit, &entry, self.state.clock.now, policies(&self.rules));
        let dropped = dropped + !fits as u64;
        add(&mut self.state.dropped, dropped);
        if dropped > 0 && self.state.overflow.is_none() {
            // Two overflows of one instant are two alerts.
            let start = self.state.clock.now.max(self.state.last_overflow.saturating_add(1));
            (self.state.overflow, self.state.last_overflow) = (Some(start), start);
            verdict.records.push(self.overflow(start, false));
        }
        fits.then(|| (self.store.number(), entry))
    }

    /// Counts transitions and makes their records.
    fn record(&mut self, transitions: &[Transition], entry: &mut Entry, verdict: &mut Verdict) {
        for transition in transitions {
            if transition.change == Change::Pending
                && let (Some(rule), Some(group)) = (self.rules.get(entry.rule as usize), entry.key.get(4..))
            {
                entry.alert_id = alert_id(&self.context, &rule.name, group, transition.start);
            }
            if self.count(transition, entry.rule) {
                verdict.records.push(Record::new(*transition, entry));
            }
        }
    }

    /// Counts a transition. Does it get a record?
    fn count(&mut self, transition: &Transition, rule: u32) -> bool {
        match transition.change {
            Change::Pending => {
                let waits = |policy: &Policy| policy.hold_us > 0 && !policy.absent;
                let waits = self.rules.get(rule as usize).is_some_and(|rule| waits(&rule.policy));
                return self.emit_pending && waits;
            }
            Change::Firing => {
                add(&mut self.state.firing, 1);
                add(&mut self.state.throttled, !transition.notify as u64);
            }
            Change::Unthrottled => {}
            Change::Escalated => add(&mut self.state.escalated, 1),
            Change::Resolved(_) => add(&mut self.state.resolved, 1),
        }
        true
    }

    /// Acts on the next deadline that is due. False if there is none.
    pub(super) fn step(&mut self, out: &mut Output) -> bool {
        let Some(step) = self.store.step(self.state.clock.due_until, policies(&self.rules)) else {
            return false;
        };
        if let Some((transition, entry)) = step
            && self.count(&transition, entry.rule)
        {
            self.emit(&Record::new(transition, &entry), out);
        }
        self.settle(out);
        true
    }

    /// Ends the alert about alerts when there is room again.
    pub(super) fn settle(&mut self, out: &mut Output) {
        if let Some(start) = self.state.overflow
            && self.store.is_calm(&self.limit)
        {
            self.state.overflow = None;
            self.emit(&self.overflow(start, true), out);
        }
    }

    fn overflow(&self, start: i64, ends: bool) -> Record {
        let (rule, clock) = (self.rules.len(), self.state.clock.now);
        overflow::record(&self.context, rule, start, clock, ends, self.limit.alerts)
    }

    pub(super) fn emit(&self, record: &Record, out: &mut Output) {
        if let Some(face) = self.faces.get(record.rule) {
            record.write(&self.context, face, self.state.clock.trigger, out);
        }
    }

    /// What a row says about a rule, for its records.
    fn shown(&self, rule: usize, row: &Row<'_>) -> Shown {
        let rule = self.rules.get(rule);
        Shown {
            values: rule.map(|rule| values(&rule.fields, row)).unwrap_or_default().into(),
            summary: rule.and_then(|rule| rule.summary.as_ref()).map(|template| template.fill(row).into()),
            window: shortened(row.get(self.slots.window)).into(),
            window_start: shortened(row.get(self.slots.window_start)).into(),
            window_end: shortened(row.get(self.slots.window_end)).into(),
            anomaly_id: shortened(row.get(self.slots.anomaly_id)).into(),
        }
    }

    /// Passes the row on; with the field `alert` if a rule applied, in place of one it had.
    pub(super) fn pass(&self, row: &Row<'_>, verdict: &Verdict, out: &mut Output) {
        if !verdict.applied {
            return out.pass(row);
        }
        let json = verdict.worst.as_ref().map(|(severity, rule, id)| self.alert_field(*severity, *rule, id));
        let alert = json.as_deref().map_or(Value::Null, Value::Json);
        if !row.has(self.slots.alert) {
            out.extend(row).field("alert", alert);
            return;
        }
        let mut copy = out.row(row.meta, row.key);
        for (name, value) in row.fields().filter(|(name, _)| *name != "alert") {
            copy.field(name, value);
        }
        copy.field("alert", alert);
    }

    fn alert_field(&self, severity: Severity, rule: usize, alert_id: &str) -> String {
        let mut json = Vec::from(b"{\"alert_id\":");
        write_str(alert_id, &mut json);
        json.extend_from_slice(b",\"rule\":");
        write_str(self.faces.get(rule).map_or("", |face| &face.rule), &mut json);
        json.extend_from_slice(b",\"state\":\"firing\",\"severity\":");
        write_str(severity.name(), &mut json);
        json.push(b'}');
        String::from_utf8(json).unwrap_or_default()
    }
}

/// Counts; a counter from a damaged snapshot may stand at its end.
pub(super) fn add(counter: &mut u64, n: u64) {
    *counter = counter.saturating_add(n);
}

/// Policies by rule number.
pub(super) fn policies<'r>(rules: &'r [Rule]) -> impl Fn(u32) -> Option<&'r Policy> {
    |rule| rules.get(rule as usize).map(|rule| &rule.policy)
}

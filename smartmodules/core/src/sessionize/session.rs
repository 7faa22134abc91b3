//! An open session: its navigations in order of appearance, each with its metric.

use crate::cls::Cls;
use crate::inp::Inp;
use crate::row::Row;
use crate::sessionize::config::Method;
use crate::sessionize::functions::{Accumulator, Bound};
use crate::sessionize::read::{Event, Navigation as Told, Shift, restarts};
use crate::value::{OwnedValue, Value};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// About what an empty session or navigation takes, in bytes.
const BASE_BYTES: u64 = 256;
/// About what an INP takes: ten interactions and twenty frames.
const INP_BYTES: u64 = 2048;

/// Everything of one key since its last idle time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) key: OwnedValue,
    /// Event time and offset of the event that opened it
    pub(crate) first_us: i64,
    pub(crate) first_offset: i64,
    /// Smallest and largest event time
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
    pub(crate) navigations: VecDeque<Navigation>,
    pub(crate) next_ordinal: u64,
    /// Number of the next shift
    pub(crate) next_shift: u64,
    pub(crate) bytes: u64,
}

/// One page view of a session, until the next load, restore or soft navigation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Navigation {
    pub(crate) ordinal: u64,
    /// Null until an event names it
    pub(crate) id: OwnedValue,
    pub(crate) navigation_type: Option<Box<str>>,
    pub(crate) start: OwnedValue,
    pub(crate) end_us: i64,
    pub(crate) events: u64,
    pub(crate) page: OwnedValue,
    pub(crate) metric: Metric,
    pub(crate) functions: Vec<Accumulator>,
    bytes: u64,
}

/// What the method keeps of a navigation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Metric {
    None,
    Cls(Box<Cls>),
    Inp(Box<Inp>),
}

/// What a navigation starts from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) method: Method,
    pub(crate) functions: Vec<Bound>,
}

impl Session {
    pub(crate) fn new(key: OwnedValue, time_us: i64, offset: i64) -> Session {
        let bytes = BASE_BYTES + text_bytes(&key);
        Session {
            key,
            first_us: time_us,
            first_offset: offset,
            start_us: time_us,
            end_us: time_us,
            navigations: VecDeque::new(),
            next_ordinal: 0,
            next_shift: 0,
            bytes,
        }
    }

    /// The same session without its navigations.
    pub(crate) fn header(&self) -> Session {
        Session { navigations: VecDeque::new(), key: self.key.clone(), ..*self }
    }

    /// Takes an event that belongs to it.
    pub(crate) fn add(&mut self, row: &Row<'_>, event: &Event<'_>, time_us: i64, plan: &Plan) {
        self.start_us = self.start_us.min(time_us);
        self.end_us = self.end_us.max(time_us);
        let at = self.navigation_of(&event.navigation, time_us, plan);
        let shift = event.shift.map(|s| Shift { index: self.next_shift, ..s });
        self.next_shift += shift.is_some() as u64;
        let Some(navigation) = self.navigations.get_mut(at) else {
            return;
        };
        let before = navigation.bytes;
        navigation.add(row, event, shift, time_us, plan);
        self.bytes = (self.bytes + navigation.bytes).saturating_sub(before);
    }

    /// Takes out the oldest navigation.
    pub(crate) fn pop_navigation(&mut self) -> Option<Navigation> {
        let navigation = self.navigations.pop_front()?;
        self.bytes = self.bytes.saturating_sub(navigation.bytes);
        Some(navigation)
    }

    /// The place of the navigation that the event belongs to; a new one if need be. In order of
    /// arrival: an event that names none belongs to the latest.
    fn navigation_of(&mut self, told: &Told<'_>, time_us: i64, plan: &Plan) -> usize {
        if let Some(kind) = told.reset.filter(|kind| restarts(kind)) {
            return self.open(told.id, Some(kind), told.start, time_us, plan);
        }
        let latest = self.navigations.len().checked_sub(1);
        let adopts = |n: &Navigation| told.id.is_null() || n.id == OwnedValue::Null;
        let found = latest.filter(|at| self.navigations.get(*at).is_some_and(|n| adopts(n) && n.may_be(told)));
        let named = || self.navigations.iter().rposition(|n| same(n.id.as_value(), told.id) && n.may_be(told));
        let found = found.or_else(|| if told.id.is_null() { None } else { named() });
        let Some(at) = found else {
            return self.open(told.id, told.navigation_type, told.start, time_us, plan);
        };
        if let Some(n) = self.navigations.get_mut(at) {
            n.learn(told);
        }
        at
    }

    fn open(&mut self, id: Value<'_>, kind: Option<&str>, start: Value<'_>, time_us: i64, plan: &Plan) -> usize {
        let restarted = kind.is_some_and(restarts);
        let metric = match (plan.method, self.navigations.back().map(|n| &n.metric)) {
            (Method::None, _) => Metric::None,
            (Method::Cls, _) => Metric::Cls(Box::default()),
            (Method::Inp, before) => {
                // The page's interaction count goes on over a restart, and only over that.
                let mut inp = match before {
                    Some(Metric::Inp(inp)) if restarted => inp.clone(),
                    _ => Box::default(),
                };
                if restarted {
                    inp.reset();
                }
                Metric::Inp(inp)
            }
        };
        self.navigations.push_back(Navigation {
            ordinal: self.next_ordinal,
            id: id.into(),
            navigation_type: kind.map(Into::into),
            start: start.into(),
            end_us: time_us,
            events: 0,
            page: OwnedValue::Null,
            metric,
            functions: plan.functions.iter().map(|f| f.start(plan.method)).collect(),
            bytes: 0,
        });
        self.next_ordinal += 1;
        self.navigations.len() - 1
    }
}

impl Navigation {
    /// Does nothing the event tells speak against its being of this navigation?
    fn may_be(&self, told: &Told<'_>) -> bool {
        match (&self.navigation_type, told.navigation_type) {
            (_, None) => true,
            (None, Some(kind)) => !restarts(kind),
            (Some(known), Some(kind)) if **known != *kind => false,
            (Some(_), Some(kind)) => {
                let start = self.start.as_value();
                !restarts(kind) || start.is_null() || told.start.is_null() || same(start, told.start)
            }
        }
    }

    fn learn(&mut self, told: &Told<'_>) {
        if self.id == OwnedValue::Null {
            self.id = told.id.into();
        }
        if self.start == OwnedValue::Null {
            self.start = told.start.into();
        }
        if self.navigation_type.is_none() {
            self.navigation_type = told.navigation_type.map(Into::into);
        }
    }

    fn add(&mut self, row: &Row<'_>, event: &Event<'_>, shift: Option<Shift<'_>>, time_us: i64, plan: &Plan) {
        self.events += 1;
        self.end_us = self.end_us.max(time_us);
        if !event.page.is_null() {
            self.page = event.page.into();
        }
        match (&mut self.metric, shift) {
            (Metric::Cls(cls), Some(s)) => cls.add_at(s.index, s.start_ms, s.value, s.had_recent_input, s.sources),
            (Metric::Inp(inp), _) => match (event.entry, event.interaction_count) {
                (Some(entry), count) => inp.add(entry, count),
                (None, Some(count)) => inp.set_interaction_count(count),
                (None, None) => {}
            },
            _ => {}
        }
        for (bound, state) in plan.functions.iter().zip(&mut self.functions) {
            let value = bound.slot.map(|slot| row.get(slot)).unwrap_or_default();
            bound.add(state, value, shift.as_ref());
        }
        self.bytes = self.size_bytes();
    }

    fn size_bytes(&self) -> u64 {
        let metric = match &self.metric {
            Metric::None => 0,
            Metric::Cls(cls) => cls.size_bytes(),
            Metric::Inp(_) => INP_BYTES,
        };
        let texts = text_bytes(&self.id) + text_bytes(&self.start) + text_bytes(&self.page);
        let functions: u64 = self.functions.iter().map(|f| 32 + f.size_bytes()).sum();
        BASE_BYTES + metric + texts + functions
    }
}

fn text_bytes(value: &OwnedValue) -> u64 {
    match value {
        OwnedValue::Str(s) | OwnedValue::Json(s) => s.len() as u64,
        _ => 0,
    }
}

/// `1` and `1.0` are the same.
fn same(a: Value<'_>, b: Value<'_>) -> bool {
    a == b || (a.as_f64().is_some() && a.as_f64() == b.as_f64())
}

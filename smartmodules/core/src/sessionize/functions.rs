//! The named results of a session: one accumulator for each function and navigation.

use crate::cls::Cls;
use crate::json::write_value;
use crate::row::{RowWriter, Slot};
use crate::sessionize::config::{Function, Method};
use crate::sessionize::read::Shift;
use crate::value::{OwnedValue, Value};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What one function has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Accumulator {
    /// The result is kept elsewhere: the number of events, or the CLS of method `cls`
    Shared,
    Cls(Box<Cls>),
    List {
        texts: Vec<Box<str>>,
        bytes: u64,
    },
    Number(Option<f64>),
    Last(OwnedValue),
}

/// A function with the slot of its field.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) name: Box<str>,
    pub(crate) function: Function,
    pub(crate) slot: Option<Slot>,
}

impl Bound {
    pub(crate) fn start(&self, method: Method) -> Accumulator {
        match &self.function {
            Function::Count {} => Accumulator::Shared,
            Function::ClsWithSessionGaps {} if method == Method::Cls => Accumulator::Shared,
            Function::ClsWithSessionGaps {} => Accumulator::Cls(Box::default()),
            Function::CollectList { .. } => Accumulator::List { texts: Vec::new(), bytes: 0 },
            Function::Sum { .. } => Accumulator::Number(Some(0.0)),
            Function::Min { .. } | Function::Max { .. } => Accumulator::Number(None),
            Function::Last { .. } => Accumulator::Last(OwnedValue::Null),
        }
    }

    /// Takes an event: the value of the function's field, and its shift if it is one.
    pub(crate) fn add(&self, state: &mut Accumulator, value: Value<'_>, shift: Option<&Shift<'_>>) {
        match (&self.function, state) {
            (Function::ClsWithSessionGaps {}, Accumulator::Cls(cls)) => {
                if let Some(s) = shift {
                    cls.add_at(s.index, s.start_ms, s.value, s.had_recent_input, s.sources);
                }
            }
            (Function::CollectList { distinct, limit, .. }, Accumulator::List { texts, bytes }) => {
                let mut list = List { texts, bytes, distinct: *distinct, limit: *limit };
                list.add(value);
            }
            (function, Accumulator::Number(known)) => {
                if let Some(x) = value.as_f64() {
                    *known = Some(fold(function, *known, x));
                }
            }
            (_, Accumulator::Last(last)) if !value.is_null() => *last = value.into(),
            _ => {}
        }
    }

    /// Writes the result. `events` and `cls` are what [`Accumulator::Shared`] stands for.
    pub(crate) fn write(&self, state: &Accumulator, events: u64, cls: Option<&Cls>, row: &mut RowWriter<'_>) {
        match state {
            Accumulator::Shared => match (&self.function, cls) {
                (Function::ClsWithSessionGaps {}, Some(cls)) => row.field(&self.name, cls.result().cls),
                _ => row.field(&self.name, events as i64),
            },
            Accumulator::Cls(cls) => row.field(&self.name, cls.result().cls),
            Accumulator::List { texts, .. } => row.field(&self.name, Value::Json(&array(texts))),
            Accumulator::Number(x) => row.field(&self.name, *x),
            Accumulator::Last(value) => row.field(&self.name, value.as_value()),
        };
    }
}

impl Accumulator {
    /// About how many bytes it holds.
    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Accumulator::Cls(cls) => cls.size_bytes(),
            Accumulator::List { bytes, .. } => *bytes,
            Accumulator::Last(OwnedValue::Str(s) | OwnedValue::Json(s)) => s.len() as u64,
            _ => 0,
        }
    }
}

fn fold(function: &Function, known: Option<f64>, x: f64) -> f64 {
    match (function, known) {
        (_, None) => x,
        (Function::Min { .. }, Some(k)) => k.min(x),
        (Function::Max { .. }, Some(k)) => k.max(x),
        (_, Some(k)) => k + x,
    }
}

/// A JSON array of JSON texts.
pub(crate) fn array(texts: &[Box<str>]) -> String {
    format!("[{}]", texts.join(","))
}

struct List<'s> {
    texts: &'s mut Vec<Box<str>>,
    bytes: &'s mut u64,
    distinct: bool,
    limit: usize,
}

impl List<'_> {
    fn add(&mut self, value: Value<'_>) {
        match value {
            Value::Null => {}
            Value::Json(text) if text.starts_with('[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
                items.iter().map(|i| i.get()).filter(|i| *i != "null").for_each(|i| self.push(i));
            }
            value => {
                let mut text = Vec::new();
                write_value(value, &mut text);
                self.push(&String::from_utf8_lossy(&text));
            }
        }
    }

    fn push(&mut self, text: &str) {
        if self.texts.len() >= self.limit || (self.distinct && self.texts.iter().any(|t| **t == *text)) {
            return;
        }
        *self.bytes += text.len() as u64 + 16;
        self.texts.push(text.into());
    }
}

//! Reading an event: which session and navigation it belongs to, and the entry it carries.

use crate::decode::Bad;
use crate::inp::Entry;
use crate::row::{Fields, Row, Slot};
use crate::sessionize::config::{Method, SessionizeConfig};
use crate::value::Value;

/// One layout shift.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shift<'r> {
    /// Number among the shifts of its session, from 0
    pub(crate) index: u64,
    pub(crate) start_ms: f64,
    pub(crate) value: f64,
    pub(crate) had_recent_input: bool,
    pub(crate) sources: Value<'r>,
}

/// An event as far as the stage reads it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'r> {
    pub(crate) key: Value<'r>,
    pub(crate) navigation: Navigation<'r>,
    pub(crate) page: Value<'r>,
    /// Its index is set by the session
    pub(crate) shift: Option<Shift<'r>>,
    pub(crate) entry: Option<Entry>,
    pub(crate) interaction_count: Option<f64>,
}

/// What an event says about its navigation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Navigation<'r> {
    /// Null if it does not say
    pub(crate) id: Value<'r>,
    pub(crate) navigation_type: Option<&'r str>,
    /// `navigationStartTime`, which tells two restores of one navigation apart
    pub(crate) start: Value<'r>,
    /// A record that marks a restart: its type
    pub(crate) reset: Option<&'r str>,
}

/// The slots of the fields that are read.
#[derive(Debug)]
pub(crate) struct Reader {
    key: Slot,
    key_name: Box<str>,
    navigation: Vec<Slot>,
    library_id: Option<Slot>,
    navigation_type: Slot,
    navigation_start: Slot,
    reset: Slot,
    page: Slot,
    shift: Option<ShiftSlots>,
    entry: Option<EntrySlots>,
}

#[derive(Debug)]
struct ShiftSlots {
    value: Slot,
    value_name: Box<str>,
    start: Slot,
    had_recent_input: Slot,
    sources: Slot,
}

#[derive(Debug)]
struct EntrySlots {
    id: Slot,
    start: Slot,
    duration: Slot,
    delay: [Slot; 2],
    proc: [Slot; 2],
    processing: [Slot; 2],
    count: Slot,
}

/// Is this the type of a navigation that restarts the metrics of a page?
pub(crate) fn restarts(navigation_type: &str) -> bool {
    matches!(navigation_type, "back-forward-cache" | "soft-navigation")
}

/// `v6-1795489639325-2080450923917`: the id of one metric of one page view.
fn is_library_id(value: Value<'_>) -> bool {
    let Some(version) = value.as_str().and_then(|s| s.strip_prefix('v')).and_then(|s| s.split('-').next()) else {
        return false;
    };
    !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())
}

impl Reader {
    pub(crate) fn new(config: &SessionizeConfig, fields: &mut Fields) -> Reader {
        let shift = config.reads_shifts().then(|| ShiftSlots {
            value: fields.slot(&config.value),
            value_name: config.value.as_str().into(),
            start: fields.slot(&config.start_time),
            had_recent_input: fields.slot(&config.had_recent_input),
            sources: fields.slot(&config.sources),
        });
        let entry = (config.method == Method::Inp).then(|| EntrySlots {
            id: fields.slot(&config.interaction_id),
            start: fields.slot(&config.start_time),
            duration: fields.slot(&config.duration),
            delay: [fields.slot(&config.delay), fields.slot("inputDelay")],
            proc: [fields.slot(&config.proc), fields.slot("processingDuration")],
            processing: [fields.slot("processingStart"), fields.slot("processingEnd")],
            count: fields.slot(&config.interaction_count),
        });
        Reader {
            key: fields.slot(&config.key),
            key_name: config.key.as_str().into(),
            navigation: config.navigation.iter().map(|name| fields.slot(name)).collect(),
            library_id: (!config.navigation.is_empty()).then(|| fields.slot("id")),
            navigation_type: fields.slot(&config.navigation_type),
            navigation_start: fields.slot("navigationStartTime"),
            reset: fields.slot(&config.reset),
            page: fields.slot(&config.page),
            shift,
            entry,
        }
    }

    pub(crate) fn read<'r>(&self, row: &Row<'r>, time_us: i64) -> Result<Event<'r>, Bad> {
        let key = row.get(self.key);
        match key {
            Value::Null | Value::Str("") => {
                return Err(Bad::new("missing_key", format!("`{}` names no session", self.key_name)));
            }
            Value::Json(_) => {
                let detail = format!("`{}` is an {}; a session key is a scalar", self.key_name, key.type_name());
                return Err(Bad::new("invalid_key", detail));
            }
            _ => {}
        }
        let navigation = self.navigation(row);
        let time_ms = time_us as f64 / 1000.0;
        let shift = match &self.shift {
            Some(slots) => slots.read(row, time_ms, &navigation)?,
            None => None,
        };
        let entry = match &self.entry {
            Some(slots) => slots.read(row, time_ms)?,
            None => None,
        };
        let interaction_count = self.entry.as_ref().and_then(|slots| row.get(slots.count).as_f64());
        Ok(Event { key, navigation, page: row.get(self.page), shift, entry, interaction_count })
    }

    fn navigation<'r>(&self, row: &Row<'r>) -> Navigation<'r> {
        let named = self.navigation.iter().map(|slot| row.get(*slot)).find(|v| !v.is_null());
        let library_id = || self.library_id.map(|slot| row.get(slot)).filter(|v| is_library_id(*v));
        Navigation {
            id: named.or_else(library_id).unwrap_or_default(),
            navigation_type: row.get(self.navigation_type).as_str().filter(|t| !t.is_empty()),
            start: row.get(self.navigation_start),
            reset: row.get(self.reset).as_str(),
        }
    }
}

fn wrong_type(name: &str, expected: &str, value: Value<'_>) -> Bad {
    Bad::new("invalid_value", format!("`{name}`: expected {expected}, found {}", value.type_name()))
}

/// The number, the default where the field is absent or null, or what is wrong.
fn number(value: Value<'_>, name: &str, default: f64) -> Result<f64, Bad> {
    match value {
        Value::Null => Ok(default),
        value => value.as_f64().ok_or_else(|| wrong_type(name, "a number", value)),
    }
}

impl ShiftSlots {
    /// None for a record that only marks a navigation.
    fn read<'r>(&self, row: &Row<'r>, time_ms: f64, nav: &Navigation<'r>) -> Result<Option<Shift<'r>>, Bad> {
        let is_marker = nav.reset.is_some() || nav.navigation_type.is_some();
        if is_marker && !row.has(self.value) {
            return Ok(None);
        }
        let value = row.get(self.value);
        let Some(value) = value.as_f64() else {
            return Err(wrong_type(&self.value_name, "a number", value));
        };
        let had_recent_input = match row.get(self.had_recent_input) {
            Value::Null => false,
            Value::Bool(yes) => yes,
            other => return Err(wrong_type("hadRecentInput", "a boolean", other)),
        };
        let start_ms = number(row.get(self.start), "startTime", time_ms)?;
        Ok(Some(Shift { index: 0, start_ms, value, had_recent_input, sources: row.get(self.sources) }))
    }
}

impl EntrySlots {
    /// None for a record that is no entry: it may tell the interaction count.
    fn read(&self, row: &Row<'_>, time_ms: f64) -> Result<Option<Entry>, Bad> {
        let id = number(row.get(self.id), "interactionId", 0.0)?;
        let duration = row.get(self.duration);
        if id == 0.0 && duration.is_null() {
            return Ok(None);
        }
        let Some(duration_ms) = duration.as_f64() else {
            return Err(wrong_type("duration", "a number", duration));
        };
        let start_time_ms = number(row.get(self.start), "startTime", time_ms)?;
        let first = |slots: &[Slot; 2]| slots.iter().find_map(|slot| row.get(*slot).as_f64());
        let [started, ended] = self.processing.map(|slot| row.get(slot).as_f64());
        let start = started.or_else(|| first(&self.delay).map(|delay| start_time_ms + delay));
        let end = ended.or_else(|| first(&self.proc).zip(start).map(|(proc, start)| start + proc));
        Ok(Some(Entry { interaction_id: id, start_time_ms, duration_ms, processing_ms: start.zip(end) }))
    }
}

//! Reference tables: rows by key, from the config and from reference records.
//!
//! A row is kept as the columns that somebody joins, nothing else. Cost: one hash and one compare
//! per lookup. Memory: at most `max_rows` rows per table and `max_state_bytes` for all of them; a
//! reference row beyond either is dropped and counted, a row that replaces one is taken if it fits.

use crate::value::{OwnedValue, Value};
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::hash::Hasher;

/// What a row costs beside its bytes: headers of the key, the row and the index, rounded up. By
/// decree, not `size_of`: WASM and native code must refuse the same rows.
const ROW_BYTES: u64 = 64;
const CELL_BYTES: u64 = 24;

/// The wanted columns of a row.
pub type Cells = Box<[OwnedValue]>;

/// Rows by key, in the order in which the keys came.
#[derive(Debug, Default)]
struct RowSet {
    entries: Vec<(Box<[u8]>, Cells)>,
    index: HashTable<u32>,
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(key);
    hasher.finish()
}

impl RowSet {
    fn find(&self, key: &[u8]) -> Option<usize> {
        let same = |at: &u32| self.entries.get(*at as usize).is_some_and(|(k, _)| **k == *key);
        self.index.find(hash(key), same).map(|at| *at as usize)
    }

    fn get(&self, key: &[u8]) -> Option<&Cells> {
        self.find(key).and_then(|at| self.entries.get(at)).map(|(_, cells)| cells)
    }

    fn put(&mut self, key: &[u8], cells: Cells) {
        if let Some((_, old)) = self.find(key).and_then(|at| self.entries.get_mut(at)) {
            *old = cells;
            return;
        }
        let at = self.entries.len() as u32;
        self.entries.push((key.into(), cells));
        let RowSet { entries, index } = self;
        index.insert_unique(hash(key), at, |at| entries.get(*at as usize).map_or(0, |(k, _)| hash(k)));
    }
}

fn cost(key: &[u8], cells: &[OwnedValue]) -> u64 {
    let text = |cell: &OwnedValue| match cell {
        OwnedValue::Str(s) | OwnedValue::Json(s) => s.len() as u64,
        _ => 0,
    };
    ROW_BYTES + key.len() as u64 + cells.iter().map(|c| CELL_BYTES + text(c)).sum::<u64>()
}

/// Why a row is not in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Not a JSON object; the word for what it is
    NotAnObject(&'static str),
    /// This key field is absent or null
    NoKey(String),
    /// The config has a row of this key already
    Duplicate,
    /// `max_rows` are there
    Rows,
    /// The tables' bytes are used up
    Bytes,
}

/// A reference table.
#[derive(Debug)]
pub struct Table {
    /// Its name
    pub name: String,
    /// Ways to identify a row: the first one whose fields a row all has is its key
    pub keys: Vec<Vec<String>>,
    /// Fields of a row that are kept
    pub columns: Vec<String>,
    max_rows: usize,
    base: RowSet,
    /// What reference records said; it hides `base`.
    changed: RowSet,
    /// Keys in `changed` that `base` does not have
    added: usize,
    /// Bytes of both
    bytes: u64,
    changed_bytes: u64,
}

/// What reference records changed in one table: its part of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub struct TableState {
    name: String,
    rows: Vec<(Box<[u8]>, Cells)>,
}

impl Table {
    /// An empty table.
    pub fn new(name: &str, keys: Vec<Vec<String>>, max_rows: usize) -> Table {
        Table {
            name: name.into(),
            keys,
            columns: Vec::new(),
            max_rows,
            base: RowSet::default(),
            changed: RowSet::default(),
            added: 0,
            bytes: 0,
            changed_bytes: 0,
        }
    }

    /// The column of a field; the same field gives the same column. Before any row is there.
    pub fn column(&mut self, field: &str) -> usize {
        if let Some(at) = self.columns.iter().position(|c| c == field) {
            return at;
        }
        self.columns.push(field.into());
        self.columns.len() - 1
    }

    /// Bytes that its rows take, by estimate.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has it no rows?
    pub fn is_empty(&self) -> bool {
        self.base.entries.is_empty() && self.changed.entries.is_empty()
    }

    /// The row of a key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&Cells> {
        if !self.changed.entries.is_empty()
            && let Some(cells) = self.changed.get(key)
        {
            return Some(cells);
        }
        self.base.get(key)
    }

    /// Takes a row of the config.
    pub fn configure(&mut self, row: &serde_json::Value, room: u64) -> Result<(), Refused> {
        let (key, cells) = self.read(row)?;
        if self.base.find(&key).is_some() {
            return Err(Refused::Duplicate);
        }
        if self.base.entries.len() >= self.max_rows {
            return Err(Refused::Rows);
        }
        let cost = cost(&key, &cells);
        if cost > room {
            return Err(Refused::Bytes);
        }
        self.bytes += cost;
        self.base.put(&key, cells);
        Ok(())
    }

    /// Takes a row of a reference record; `room` is how many more bytes all tables may take.
    pub fn update(&mut self, row: &serde_json::Value, room: u64) -> Result<(), Refused> {
        let (key, cells) = self.read(row)?;
        let old = self.changed.get(&key).map(|old| cost(&key, old));
        let fresh = old.is_none() && self.base.find(&key).is_none();
        if fresh && self.base.entries.len() + self.added >= self.max_rows {
            return Err(Refused::Rows);
        }
        let cost = cost(&key, &cells);
        let old = old.unwrap_or(0);
        if cost > room.saturating_add(old) {
            return Err(Refused::Bytes);
        }
        self.bytes = self.bytes + cost - old;
        self.changed_bytes = self.changed_bytes + cost - old;
        self.added += fresh as usize;
        self.changed.put(&key, cells);
        Ok(())
    }

    fn read(&self, row: &serde_json::Value) -> Result<(Vec<u8>, Cells), Refused> {
        let serde_json::Value::Object(map) = row else {
            return Err(Refused::NotAnObject(json_type(row)));
        };
        let cell = |name: &String| map.get(name).map_or(OwnedValue::Null, OwnedValue::from);
        let mut missing = None;
        for (which, fields) in self.keys.iter().enumerate() {
            let cells: Vec<OwnedValue> = fields.iter().map(cell).collect();
            let mut key = Vec::new();
            if write_key(which, cells.iter().map(OwnedValue::as_value), &mut key) {
                return Ok((key, self.columns.iter().map(cell).collect()));
            }
            missing = fields.iter().find(|f| map.get(*f).is_none_or(serde_json::Value::is_null));
        }
        Err(Refused::NoKey(missing.cloned().unwrap_or_default()))
    }

    /// What reference records changed.
    pub fn state(&self) -> TableState {
        TableState { name: self.name.clone(), rows: self.changed.entries.clone() }
    }

    /// Is this the state of a table of this name and these columns?
    pub fn fits(&self, state: &TableState) -> bool {
        self.name == state.name && state.rows.iter().all(|(_, cells)| cells.len() == self.columns.len())
    }

    /// Goes on from a state that [`Table::fits`].
    pub fn set_state(&mut self, state: TableState) {
        self.bytes -= self.changed_bytes;
        (self.changed, self.added, self.changed_bytes) = (RowSet::default(), 0, 0);
        for (key, cells) in state.rows {
            self.changed_bytes += cost(&key, &cells);
            self.added += self.base.find(&key).is_none() as usize;
            self.changed.put(&key, cells);
        }
        self.bytes += self.changed_bytes;
    }
}

/// Writes a key to the empty `key`; false if one of its values is null.
#[inline]
pub fn write_key<'v>(which: usize, values: impl Iterator<Item = Value<'v>>, key: &mut Vec<u8>) -> bool {
    key.push(which as u8);
    for value in values {
        if value.is_null() {
            return false;
        }
        value.write_key(key);
    }
    true
}

/// The JSON word for what a value is.
pub fn json_type(value: &serde_json::Value) -> &'static str {
    OwnedValue::from(value).as_value().type_name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Table {
        let mut table = Table::new("t", vec![vec!["id".into()], vec!["a".into(), "b".into()]], 3);
        table.column("x");
        table
    }

    fn find(table: &Table, which: usize, values: &[Value<'_>]) -> Option<OwnedValue> {
        let mut key = Vec::new();
        write_key(which, values.iter().copied(), &mut key);
        table.get(&key).map(|cells| cells[0].clone())
    }

    #[test]
    fn a_row_stands_under_the_first_key_it_has() {
        let mut t = table();
        t.configure(&json!({"id": 1, "a": "p", "b": "q", "x": "by id"}), 1 << 20).unwrap();
        t.configure(&json!({"a": "p", "b": "q", "x": "by pair"}), 1 << 20).unwrap();
        assert_eq!(find(&t, 0, &[Value::Float(1.0)]), Some(OwnedValue::Str("by id".into())));
        assert_eq!(find(&t, 1, &[Value::Str("p"), Value::Str("q")]), Some(OwnedValue::Str("by pair".into())));
        assert_eq!(find(&t, 0, &[Value::Str("1")]), None);
        assert_eq!(t.configure(&json!({"id": 1.0, "x": 2}), 1 << 20), Err(Refused::Duplicate));
        assert_eq!(t.configure(&json!({"id": null, "a": 1}), 1 << 20), Err(Refused::NoKey("b".into())));
        assert_eq!(t.configure(&json!([1]), 1 << 20), Err(Refused::NotAnObject("array")));
    }

    #[test]
    fn bounds_hold_and_bytes_are_given_back() {
        let mut t = table();
        t.configure(&json!({"id": 1, "x": "one"}), 1 << 20).unwrap();
        let base = t.bytes();
        t.update(&json!({"id": 1, "x": "a longer text than before"}), 1 << 20).unwrap();
        t.update(&json!({"id": 2, "x": "two"}), 1 << 20).unwrap();
        t.update(&json!({"id": 3, "x": "three"}), 1 << 20).unwrap();
        assert_eq!(t.update(&json!({"id": 4, "x": 4}), 1 << 20), Err(Refused::Rows));
        t.update(&json!({"id": 2, "x": "2"}), 0).unwrap();
        assert_eq!(t.update(&json!({"id": 2, "x": "bigger than two"}), 0), Err(Refused::Bytes));
        let state = t.state();
        let bytes = t.bytes();
        let mut fresh = table();
        fresh.configure(&json!({"id": 1, "x": "one"}), 1 << 20).unwrap();
        assert!(fresh.fits(&state));
        fresh.set_state(state);
        assert_eq!((fresh.bytes(), fresh.added), (bytes, 2));
        fresh.set_state(TableState { name: "t".into(), rows: Vec::new() });
        assert_eq!((fresh.bytes(), fresh.added), (base, 0));
        assert_eq!(find(&fresh, 0, &[Value::Int(1)]), Some(OwnedValue::Str("one".into())));
    }
}

//! What is done to one row, resolved to slots: read under the new names, write what is missing.
//!
//! New values wait in a scratch list, one place per field that may be written, so that later steps
//! see what earlier ones wrote. Then the row is either passed on with fields behind it, one memory
//! copy, or written anew if a field changes its name, goes, or gets another value.

use super::derive::{Derived, Facts};
use super::lookup::{Table, write_key};
use super::{Counts, context};
use crate::row::{Kind, Output, Row, RowWriter, Slot};
use crate::value::{OwnedValue, Value};
use rustc_hash::FxHashMap;

/// A field that gets another name.
#[derive(Debug)]
pub struct Rename {
    pub old: Box<str>,
    pub new: Box<str>,
    pub from: Slot,
    pub to: Slot,
    /// The old name may be a path into an object: then the value is copied.
    pub dotted: bool,
}

/// A field by the name that it has after `rename`.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    pub own: Slot,
    /// It comes from this rename, if that happens: its number, and where to read.
    pub from: Option<(usize, Slot)>,
    /// It goes away by this rename, if that happens.
    pub away: Option<usize>,
}

/// A field as a step reads it: from the row, or as an earlier step wrote it.
#[derive(Debug)]
pub struct Read {
    pub name: Name,
    /// A place in the scratch list, and a path inside the object there.
    pub written: Option<(usize, Option<Box<str>>)>,
}

/// A field that may be written.
#[derive(Debug)]
pub struct Target {
    pub text: Box<str>,
    pub name: Name,
    /// Dropped in the end: only for other steps to read.
    pub dropped: bool,
}

/// A join with a table.
#[derive(Debug)]
pub struct Join {
    pub table: usize,
    /// Keys to try, in order: which of the table's, and the fields to compare with it.
    pub keys: Vec<(usize, Vec<Read>)>,
    pub columns: Vec<Column>,
    /// The built-in context: `connection`, `device`
    pub builtin: Option<(Read, Read)>,
}

/// A column that a join adds.
#[derive(Debug)]
pub struct Column {
    pub column: usize,
    pub target: usize,
    pub default: OwnedValue,
    pub builtin: Builtin,
}

/// What the built-in context says about a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    Nothing,
    Network,
    DeviceSpecs,
}

/// What happens to a name when a row is written anew.
#[derive(Debug, Default, Clone, Copy)]
pub struct Touch {
    pub renamed: Option<usize>,
    pub replaced_by: Option<usize>,
    pub target: Option<usize>,
    pub dropped: bool,
}

/// Everything that is done to a row.
#[derive(Debug, Default)]
pub struct Plan {
    pub overwrite: bool,
    pub kinds: Vec<Kind>,
    pub renames: Vec<Rename>,
    pub targets: Vec<Target>,
    pub defaults: Vec<(usize, OwnedValue)>,
    pub joins: Vec<Join>,
    pub derived: Vec<(Derived, usize)>,
    /// `name`, `metric`, the value, the User-Agent; none if nothing of them is derived
    pub facts: Option<[Read; 4]>,
    pub drops: Vec<Slot>,
    pub touched: FxHashMap<Box<str>, Touch>,
}

/// New values of one row, by target.
pub type Scratch<'v> = Vec<Option<Value<'v>>>;

/// An empty list in the memory of a used one: the compiler collects in place.
pub fn recycle<'v>(mut used: Scratch<'_>) -> Scratch<'v> {
    used.clear();
    used.into_iter().map(|_| None).collect()
}

impl Plan {
    fn renames_now(&self, rename: usize, row: &Row<'_>) -> bool {
        self.renames.get(rename).is_some_and(|r| {
            row.has(r.from) && (row.get(r.to).is_null() || (self.overwrite && !row.get(r.from).is_null()))
        })
    }

    /// A field of the row after `rename`; None if it is not there.
    fn base<'r>(&self, name: &Name, row: &Row<'r>) -> Option<Value<'r>> {
        if let Some((rename, slot)) = name.from
            && self.renames_now(rename, row)
        {
            return Some(row.get(slot));
        }
        if let Some(rename) = name.away
            && self.renames_now(rename, row)
        {
            return None;
        }
        row.has(name.own).then(|| row.get(name.own))
    }

    fn read<'v>(&self, read: &Read, row: &Row<'v>, scratch: &Scratch<'v>) -> Value<'v> {
        if let Some((place, path)) = &read.written
            && let Some(value) = scratch.get(*place).copied().flatten()
        {
            return match (path, value) {
                (None, value) => value,
                (Some(path), Value::Json(text)) => crate::json::get_path(text, path).unwrap_or_default(),
                (Some(_), _) => Value::Null,
            };
        }
        self.base(&read.name, row).unwrap_or_default()
    }

    /// Writes a value, if the field has none yet or `overwrite` says so. A null is written only
    /// where nothing is.
    fn put<'v>(&self, target: usize, value: Value<'v>, overwrite: bool, row: &Row<'v>, scratch: &mut Scratch<'v>) {
        let Some(field) = self.targets.get(target) else {
            return;
        };
        let Some(place) = scratch.get_mut(target) else {
            return;
        };
        let current = place.or_else(|| self.base(&field.name, row));
        let wanted = match current {
            None => true,
            Some(current) => !value.is_null() && (overwrite || current.is_null()),
        };
        if wanted {
            *place = Some(value);
        }
    }

    /// Step `default`.
    pub fn fill_defaults<'v>(&'v self, row: &Row<'v>, scratch: &mut Scratch<'v>) {
        for (target, value) in &self.defaults {
            self.put(*target, value.as_value(), false, row, scratch);
        }
    }

    /// Steps `source` and `lookups`.
    pub fn join<'v>(
        &'v self,
        tables: &'v [Table],
        row: &Row<'v>,
        scratch: &mut Scratch<'v>,
        key: &mut Vec<u8>,
        counts: &mut Counts,
    ) {
        for join in &self.joins {
            let Some(table) = tables.get(join.table) else {
                continue;
            };
            let found = join.keys.iter().find_map(|(which, fields)| {
                // No key is built for a table without rows, such as a context that is built in.
                if table.is_empty() {
                    return None;
                }
                key.clear();
                let values = fields.iter().map(|f| self.read(f, row, scratch));
                if write_key(*which, values, key) { table.get(key) } else { None }
            });
            let mut known = found.is_some();
            for column in &join.columns {
                let mut value =
                    found.and_then(|cells| cells.get(column.column)).map_or(Value::Null, OwnedValue::as_value);
                if value.is_null()
                    && let Some(text) = self.builtin(join, column.builtin, row, scratch)
                {
                    known = true;
                    value = Value::Json(text);
                }
                if value.is_null() {
                    value = column.default.as_value();
                }
                self.put(column.target, value, self.overwrite, row, scratch);
            }
            counts.missed += !known as u64;
        }
    }

    fn builtin<'v>(&self, join: &Join, what: Builtin, row: &Row<'v>, scratch: &Scratch<'v>) -> Option<&'static str> {
        let (connection, device) = join.builtin.as_ref()?;
        match what {
            Builtin::Nothing => None,
            Builtin::Network => context::network(self.read(connection, row, scratch).as_str()?),
            Builtin::DeviceSpecs => context::device_specs(self.read(device, row, scratch).as_str()?),
        }
    }

    /// What `derive` needs of the row.
    pub fn facts<'v>(&self, row: &Row<'v>, scratch: &Scratch<'v>) -> Facts<'v> {
        let [name, metric, value, agent] = match &self.facts {
            Some(reads) => reads.each_ref().map(|read| self.read(read, row, scratch)),
            None => [Value::Null; 4],
        };
        Facts { event_time: row.meta.event_time, metric: [name, metric], value, agent }
    }

    /// Step `derive`: a value for every derived field.
    pub fn put_derived<'v>(&self, value: impl Fn(Derived) -> Value<'v>, row: &Row<'v>, scratch: &mut Scratch<'v>) {
        for (derived, target) in &self.derived {
            self.put(*target, value(*derived), self.overwrite, row, scratch);
        }
    }

    /// Writes the row.
    pub fn emit<'v>(&self, row: &Row<'v>, scratch: &mut Scratch<'v>, out: &mut Output) {
        if self.must_rewrite(row, scratch) {
            return self.rewrite(row, scratch, out);
        }
        if scratch.iter().all(Option::is_none) {
            return out.pass(row);
        }
        let mut writer = out.extend(row);
        self.append(scratch, &mut writer);
    }

    fn append(&self, scratch: &Scratch<'_>, writer: &mut RowWriter<'_>) {
        for (target, value) in self.targets.iter().zip(scratch) {
            if let Some(value) = value
                && !target.dropped
            {
                writer.field(&target.text, *value);
            }
        }
    }

    fn must_rewrite(&self, row: &Row<'_>, scratch: &Scratch<'_>) -> bool {
        (0..self.renames.len()).any(|r| self.renames_now(r, row))
            || self.drops.iter().any(|slot| row.has(*slot))
            || self.targets.iter().zip(scratch).any(|(t, value)| value.is_some() && row.has(t.name.own))
    }

    fn rewrite<'v>(&self, row: &Row<'v>, scratch: &mut Scratch<'v>, out: &mut Output) {
        let mut writer = out.row(row.meta, row.key);
        let touch = |name: &str| self.touched.get(name).copied().unwrap_or_default();
        for (name, value) in row.fields() {
            let mut this = touch(name);
            if this.replaced_by.is_some_and(|r| self.renames_now(r, row)) {
                continue;
            }
            let mut name = name;
            if let Some(rename) = this.renamed
                && self.renames_now(rename, row)
                && let Some(rename) = self.renames.get(rename)
            {
                name = &rename.new;
                this = touch(name);
            }
            if this.dropped {
                continue;
            }
            let new = this.target.and_then(|t| scratch.get_mut(t)).and_then(Option::take);
            writer.field(name, new.unwrap_or(value));
        }
        for (number, rename) in self.renames.iter().enumerate().filter(|(_, r)| r.dotted) {
            let this = touch(&rename.new);
            let written = this.target.and_then(|t| scratch.get(t)).is_some_and(Option::is_some);
            // A path into an object, not a field with a dot in its name: a copy.
            if !written
                && !this.dropped
                && self.renames_now(number, row)
                && !row.fields().any(|(n, _)| *n == *rename.old)
            {
                writer.field(&rename.new, row.get(rename.from));
            }
        }
        self.append(scratch, &mut writer);
    }
}

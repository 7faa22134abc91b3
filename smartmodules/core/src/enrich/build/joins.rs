//! Tables, the user context and the lookups of a config.

use super::Builder;
use crate::config::Issue;
use crate::enrich::config::{CONTEXT_FIELDS, CONTEXT_KEY, LookupConfig, SESSION, TableConfig, USER_CONTEXT};
use crate::enrich::config::{check_names, unknown};
use crate::enrich::lookup::{Refused, Table};
use crate::enrich::plan::{Builtin, Column, Join};
use crate::value::OwnedValue;
use std::collections::BTreeMap;

/// After this many bad rows of a table the rest is only counted.
const ROW_ISSUES: usize = 10;

impl Builder<'_> {
    pub(super) fn new_tables(&mut self) {
        let implied = (self.config.source.is_some() && !self.config.tables.contains_key(USER_CONTEXT))
            .then(|| (USER_CONTEXT.to_string(), TableConfig::default()));
        let tables: BTreeMap<_, _> =
            self.config.tables.iter().map(|(n, t)| (n.clone(), t.clone())).chain(implied).collect();
        for (name, table) in &tables {
            let path = format!("tables.{name}");
            check_names(&format!("{path}.key"), &table.key, &mut self.issues);
            let keys = match name == USER_CONTEXT {
                false => vec![table.key.clone()],
                true if table.key.is_empty() => {
                    vec![vec![SESSION.into()], CONTEXT_KEY.map(String::from).to_vec()]
                }
                true if table.key == [SESSION] => vec![table.key.clone()],
                true => vec![vec![SESSION.into()], table.key.clone()],
            };
            if keys.iter().any(Vec::is_empty) {
                self.error(
                    format!("{path}.key"),
                    "expected the fields that identify a row, found none",
                    "such as `key: [id]`",
                );
            }
            if table.max_rows == 0 || table.max_rows > u32::MAX as usize {
                let message = format!("expected 1 to {}, found {}", u32::MAX, table.max_rows);
                self.error(format!("{path}.max_rows"), message, "leave it out for 100000");
            }
            if let Some(file) = &table.file {
                let message = format!("expected rows, found the file `{file}`");
                self.error(
                    format!("{path}.file"),
                    message,
                    "only `perfstream` reads files, at deploy time; put the rows under `rows`",
                );
            }
            self.tables.push(Table::new(name, keys, table.max_rows));
        }
    }

    pub(super) fn source(&mut self) {
        check_names("fields", &self.config.fields, &mut self.issues);
        let Some(source) = &self.config.source else {
            if !self.config.fields.is_empty() {
                self.error("fields", "there is no `source` to take these fields from", "add `source: user-context`");
            }
            return;
        };
        if source != USER_CONTEXT {
            self.issues.push(unknown("source".into(), "source", source, &[USER_CONTEXT]));
        }
        let fields = match self.config.fields.is_empty() {
            true => CONTEXT_FIELDS.map(String::from).to_vec(),
            false => self.config.fields.clone(),
        };
        let Some(table) = self.tables.iter().position(|t| t.name == USER_CONTEXT) else {
            return;
        };
        let keys = self.tables.get(table).map(|t| t.keys.clone()).unwrap_or_default();
        let keys =
            keys.iter().enumerate().map(|(which, on)| (which, on.iter().map(|f| self.read(f)).collect())).collect();
        let [connection, device] = CONTEXT_KEY.map(|f| self.read(f));
        let builtin = self.config.builtin_context.then_some((connection, device));
        let mut columns = Vec::new();
        for field in &fields {
            let builtin = match field.as_str() {
                "network" => Builtin::Network,
                "device-specs" => Builtin::DeviceSpecs,
                _ => Builtin::Nothing,
            };
            columns.push(self.column(table, field, field, OwnedValue::Null, builtin));
        }
        self.plan.joins.push(Join { table, keys, columns, builtin });
    }

    fn column(&mut self, table: usize, field: &str, name: &str, default: OwnedValue, builtin: Builtin) -> Column {
        let column = self.tables.get_mut(table).map_or(0, |t| t.column(field));
        Column { column, target: self.target(name), default, builtin }
    }

    pub(super) fn lookup(&mut self, path: &str, lookup: &LookupConfig) {
        check_names(&format!("{path}.fields"), &lookup.fields, &mut self.issues);
        if lookup.fields.is_empty() {
            self.error(
                format!("{path}.fields"),
                "expected at least one field of the row, found none",
                "such as `fields: [name]`",
            );
        }
        for name in lookup.default.keys().filter(|n| !lookup.fields.contains(n)) {
            let known: Vec<&str> = lookup.fields.iter().map(String::as_str).collect();
            self.issues.push(unknown(format!("{path}.default.{name}"), "field", name, &known));
        }
        let Some(table) = self.tables.iter().position(|t| t.name == lookup.table && t.name != USER_CONTEXT) else {
            let issue = match lookup.table == USER_CONTEXT {
                true => Issue::error(format!("{path}.table"), format!("`{USER_CONTEXT}` is joined by its own rule"))
                    .hint("write `source: user-context` and `fields`"),
                false => {
                    let known: Vec<&str> = self.config.tables.keys().map(String::as_str).collect();
                    unknown(format!("{path}.table"), "table", &lookup.table, &known)
                }
            };
            return self.issues.push(issue);
        };
        let key = self.tables.get(table).and_then(|t| t.keys.first()).cloned().unwrap_or_default();
        let on = if lookup.on.is_empty() { &key } else { &lookup.on };
        if on.len() != key.len() {
            let message = format!(
                "expected {} fields, one for each of the key [{}], found {}",
                key.len(),
                key.join(", "),
                on.len()
            );
            self.error(format!("{path}.on"), message, "name them in the key's order");
        }
        let reads = on.iter().enumerate().map(|(i, f)| self.configured_read(format!("{path}.on[{i}]"), f)).collect();
        let mut columns = Vec::new();
        for field in &lookup.fields {
            let default = lookup.default.get(field).map_or(OwnedValue::Null, OwnedValue::from);
            let name = format!("{}{field}", lookup.prefix);
            columns.push(self.column(table, field, &name, default, Builtin::Nothing));
        }
        self.plan.joins.push(Join { table, keys: vec![(0, reads)], columns, builtin: None });
    }

    /// The rows, when it is known which columns are wanted.
    pub(super) fn table_rows(&mut self) {
        let mut room = self.context.max_state_bytes;
        for (name, config) in &self.config.tables {
            let Some(table) = self.tables.iter_mut().find(|t| t.name == *name) else {
                continue;
            };
            if table.keys.iter().any(Vec::is_empty) {
                continue;
            }
            let before = self.issues.len();
            let mut more = 0;
            for (i, row) in config.rows.iter().enumerate() {
                let used = table.bytes();
                let result = table.configure(row, room);
                room = room.saturating_sub(table.bytes() - used);
                let Err(refused) = result else { continue };
                if self.issues.len() - before >= ROW_ISSUES {
                    more += 1;
                    continue;
                }
                let (message, hint) = explain(&refused, config.max_rows, self.context.max_state_bytes);
                self.issues.push(Issue::error(format!("tables.{name}.rows[{i}]"), message).hint(hint));
                if matches!(refused, Refused::Rows | Refused::Bytes) {
                    break;
                }
            }
            if more > 0 {
                self.issues
                    .push(Issue::error(format!("tables.{name}.rows"), format!("{more} more rows are like that")));
            }
        }
    }
}

fn explain(refused: &Refused, max_rows: usize, max_bytes: u64) -> (String, &'static str) {
    match refused {
        Refused::NotAnObject(found) => (format!("expected an object, found {found}"), "such as `{ id: a, name: b }`"),
        Refused::NoKey(field) => {
            (format!("no value for the key field `{field}`"), "every row needs all key fields, not null")
        }
        Refused::Duplicate => ("an earlier row has the same key".into(), "remove one, or add a field to `key`"),
        Refused::Rows => (format!("more than {max_rows} rows"), "raise `max_rows`"),
        Refused::Bytes => {
            (format!("the tables take more than {max_bytes} bytes"), "raise `max_state_bytes`, or drop rows")
        }
    }
}

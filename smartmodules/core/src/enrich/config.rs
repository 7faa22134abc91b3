//! What stands under `with:` of an `enrich` step.

use super::derive::Derived;
use crate::config::{Issue, Issues, nearest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The table that `source: user-context` joins.
pub const USER_CONTEXT: &str = "user-context";

/// What `fields` is without being said.
pub const CONTEXT_FIELDS: [&str; 3] = ["location", "network", "device-specs"];

/// Field with the session of an event.
pub const SESSION: &str = "sessionId";

/// Fields by which `user-context` is joined where the session says nothing.
pub const CONTEXT_KEY: [&str; 2] = ["connection", "device"];

/// Parameters of `enrich`. Applied in this order: `rename`, `default`, `source`, `lookups`,
/// `derive`, `drop`; each sees the names and values that the steps before it left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fields to rename, `{old: new}`. Default: none. A field stays as it is in an event that
    /// already has a value under the new name (see `overwrite`). A dotted `old` copies the value
    /// out of a nested object.
    pub rename: BTreeMap<String, String>,
    /// Values for fields that are absent or null, `{field: value}`. Default: none.
    pub default: BTreeMap<String, serde_json::Value>,
    /// `user-context`: joins the table of that name, by `sessionId` if the event has one that the
    /// table knows, else by `connection` and `device`. Default: no such join.
    pub source: Option<String>,
    /// Fields of the user context to add, under these names. Default: `location`, `network`,
    /// `device-specs`. What nobody knows is null.
    pub fields: Vec<String>,
    /// Use the built-in network and device classes where the table `user-context` knows nothing.
    /// Default: true.
    pub builtin_context: bool,
    /// Reference tables by name. Default: none. Rows stand here, come from a file at deploy time,
    /// or as reference records while the pipeline runs.
    pub tables: BTreeMap<String, TableConfig>,
    /// Joins with tables, in order. Default: none.
    pub lookups: Vec<LookupConfig>,
    /// Fields to derive, under these names: `hour-of-day` (0 to 23), `day-of-week` (ISO: 1 is
    /// Monday, 7 Sunday), `rating`, `browser`, `device`, `os`. Default: none.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Derived>"))]
    pub derive: Vec<String>,
    /// Time zone of `hour-of-day` and `day-of-week`: an IANA name (`Europe/Berlin`) or a fixed
    /// offset (`+02:00`). Default: `UTC`.
    pub time_zone: String,
    /// Metric that `rating` rates: LCP, INP, CLS, FCP, TTFB or FID. Default: what the event says
    /// in `name` or `metric`, else the pipeline's name if that is a metric; otherwise the rating
    /// is null.
    pub metric: Option<String>,
    /// Field with the value that `rating` rates, milliseconds (CLS: no unit). Default: `value`.
    pub value_field: String,
    /// Field with the User-Agent text for `browser`, `device` and `os`. Default: `userAgent`. Its
    /// first 1024 bytes are read.
    pub user_agent: String,
    /// Do `rename`, `source`, `lookups` and `derive` replace a value that the event already has?
    /// Default: false; null counts as no value. A null never replaces a value.
    pub overwrite: bool,
    /// Fields to remove, at the very end. Default: none.
    pub drop: Vec<String>,
    /// Kinds of records to enrich, such as `event`, `window`, `session`. Default: `event`. Others
    /// are passed on unchanged.
    pub kinds: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            rename: BTreeMap::new(),
            default: BTreeMap::new(),
            source: None,
            fields: Vec::new(),
            builtin_context: true,
            tables: BTreeMap::new(),
            lookups: Vec::new(),
            derive: Vec::new(),
            time_zone: "UTC".into(),
            metric: None,
            value_field: "value".into(),
            user_agent: "userAgent".into(),
            overwrite: false,
            drop: Vec::new(),
            kinds: vec!["event".into()],
        }
    }
}

/// A reference table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TableConfig {
    /// Fields of a row that identify it. Required; only `user-context` does without: its rows
    /// stand under `sessionId`, or under `connection` and `device` if they have no session.
    pub key: Vec<String>,
    /// Rows, as objects. Default: none. Two rows with one key are an error.
    pub rows: Vec<serde_json::Value>,
    /// File with the rows (JSON array, JSON lines or CSV), read at deploy time by `perfstream`,
    /// which puts the rows in its place. Default: none.
    pub file: Option<String>,
    /// Most rows the table may have, at least 1. Default: 100000. A reference record that would
    /// add one more is dropped and counted in `reference_dropped`.
    pub max_rows: usize,
}

impl Default for TableConfig {
    fn default() -> Self {
        TableConfig { key: Vec::new(), rows: Vec::new(), file: None, max_rows: 100_000 }
    }
}

/// A join with a table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LookupConfig {
    /// Name of the table. Required.
    pub table: String,
    /// Fields of the event to compare with the table's `key`, in its order. Default: the fields
    /// of the same names. An event that lacks one of them, or has null, is a miss.
    pub on: Vec<String>,
    /// Fields of the row to add to the event. Required.
    pub fields: Vec<String>,
    /// Put in front of the added names. Default: nothing.
    pub prefix: String,
    /// Values for fields that the row does not have, or when there is no row, `{field: value}`
    /// by the name in `fields`. Default: null.
    pub default: BTreeMap<String, serde_json::Value>,
}

/// An issue about an unknown word, with the nearest known one or all of them.
pub(super) fn unknown(path: String, what: &str, name: &str, known: &[&str]) -> Issue {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no {what} to choose from"),
        None => format!("one of {}", known.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ")),
    };
    Issue::error(path, format!("unknown {what} `{name}`")).hint(hint)
}

/// Reports names that are empty or stand twice in a list.
pub(super) fn check_names(path: &str, names: &[String], issues: &mut Issues) {
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            issues.push(Issue::error(format!("{path}[{i}]"), "expected a field name, found an empty text"));
        } else if names.iter().take(i).any(|n| n == name) {
            issues.push(Issue::error(format!("{path}[{i}]"), format!("`{name}` stands here twice")).hint("remove one"));
        }
    }
}

/// Doubtful things that work.
pub(super) fn warnings(config: &Config) -> Issues {
    let mut issues = Issues::new();
    let derives = |names: &[Derived]| names.iter().any(|n| config.derive.iter().any(|d| d == n.name()));
    let mut idle = |path: &str, set: bool, needed: &[Derived]| {
        if set && !derives(needed) {
            let names: Vec<_> = needed.iter().map(|d| d.name()).collect();
            let message = format!("has no effect: `derive` has none of {}", names.join(", "));
            issues.push(Issue::warning(path, message));
        }
    };
    let plain = Config::default();
    idle("time_zone", config.time_zone != plain.time_zone, &[Derived::HourOfDay, Derived::DayOfWeek]);
    idle("metric", config.metric.is_some(), &[Derived::Rating]);
    idle("value_field", config.value_field != plain.value_field, &[Derived::Rating]);
    idle("user_agent", config.user_agent != plain.user_agent, &[Derived::Browser, Derived::Device, Derived::Os]);
    for name in config.tables.keys() {
        let joined = name == USER_CONTEXT && config.source.is_some();
        if !joined && !config.lookups.iter().any(|l| l.table == *name) {
            issues.push(Issue::warning(format!("tables.{name}"), "no lookup uses this table"));
        }
    }
    for (i, name) in config.drop.iter().enumerate() {
        if config.derive.contains(name) {
            let message = format!("`{name}` is derived, and then dropped");
            issues.push(Issue::warning(format!("drop[{i}]"), message));
        }
    }
    let mut read = Vec::new();
    if config.source.is_some() {
        read.extend([SESSION].into_iter().chain(CONTEXT_KEY).map(|f| (f, "source: user-context")));
    }
    if config.metric.is_none() && derives(&[Derived::Rating]) {
        read.extend([("name", "rating"), ("metric", "rating")]);
    }
    for (field, reader) in read {
        if config.rename.contains_key(field) && !config.rename.values().any(|new| new == field) {
            let message = format!("`{reader}` reads `{field}`, which is renamed before that");
            issues.push(Issue::warning(format!("rename.{field}"), message));
        }
    }
    if config.source.is_some() {
        let rows = config.tables.get(USER_CONTEXT).map_or(&[][..], |t| &t.rows);
        for (i, name) in config.fields.iter().enumerate() {
            if !CONTEXT_FIELDS.contains(&name.as_str()) && !rows.iter().any(|r| r.get(name).is_some()) {
                let message =
                    format!("no row of `{USER_CONTEXT}` has `{name}`: null until a reference record brings it");
                let issue = Issue::warning(format!("fields[{i}]"), message);
                issues.push(match nearest(name, CONTEXT_FIELDS) {
                    Some(near) => issue.hint(format!("did you mean `{near}`?")),
                    None => issue,
                });
            }
        }
    }
    issues
}

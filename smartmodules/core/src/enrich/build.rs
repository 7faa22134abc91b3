//! Config to plan and tables, with everything that is wrong with it.

mod joins;

use super::calendar::Calendar;
use super::config::{Config, check_names, unknown};
use super::derive::{Derived, Deriver, Metrics};
use super::lookup::Table;
use super::plan::{Name, Plan, Read, Rename, Target};
use crate::config::{Issue, Issues, fail_on_errors};
use crate::ratings::{METRICS, Metric};
use crate::row::{Fields, Kind};
use crate::stage::Context;
use crate::zone;

struct Builder<'b> {
    config: &'b Config,
    context: &'b Context,
    fields: &'b mut Fields,
    issues: Issues,
    plan: Plan,
    tables: Vec<Table>,
}

/// Resolves the config; every error at once.
pub fn build(config: &Config, context: &Context, fields: &mut Fields) -> Result<(Plan, Vec<Table>, Deriver), Issues> {
    let plan = Plan { overwrite: config.overwrite, ..Plan::default() };
    let mut b = Builder { config, context, fields, issues: Issues::new(), plan, tables: Vec::new() };
    b.kinds();
    b.renames();
    b.defaults();
    b.new_tables();
    b.source();
    for (i, lookup) in config.lookups.iter().enumerate() {
        b.lookup(&format!("lookups[{i}]"), lookup);
    }
    b.table_rows();
    let deriver = b.derive();
    b.drops();
    b.touched();
    fail_on_errors(&b.issues)?;
    match deriver {
        Some(deriver) => Ok((b.plan, b.tables, deriver)),
        None => Err(b.issues),
    }
}

impl Builder<'_> {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>, hint: &str) {
        self.issues.push(Issue::error(path, message).hint(hint));
    }

    fn kinds(&mut self) {
        check_names("kinds", &self.config.kinds, &mut self.issues);
        if self.config.kinds.is_empty() {
            self.error("kinds", "expected at least one kind, found none", "leave `kinds` out for events");
        }
        for (i, name) in self.config.kinds.iter().enumerate() {
            match Kind::parse(name) {
                Some(kind) => self.plan.kinds.push(kind),
                None => {
                    let known = Kind::ALL.map(Kind::name);
                    self.issues.push(unknown(format!("kinds[{i}]"), "kind", name, &known));
                }
            }
        }
    }

    fn renames(&mut self) {
        let renames = &self.config.rename;
        for (i, (old, new)) in renames.iter().enumerate() {
            let path = format!("rename.{old}");
            if old.is_empty() || new.is_empty() {
                self.error(path, "expected a field name, found an empty text", "write `old: new`");
            } else if old == new {
                self.error(path, format!("`{old}` is renamed to itself"), "remove it");
            } else if renames.contains_key(new) {
                self.error(
                    path,
                    format!("`{new}` is renamed itself"),
                    "a new name must not be an old one; use two steps",
                );
            } else if renames.values().take(i).any(|other| other == new) {
                self.error(path, format!("another field is renamed to `{new}` already"), "give each its own name");
            }
            let (from, to) = (self.fields.slot(old), self.fields.slot(new));
            let dotted = old.contains('.');
            self.plan.renames.push(Rename { old: old.as_str().into(), new: new.as_str().into(), from, to, dotted });
        }
    }

    fn name(&mut self, text: &str) -> Name {
        let own = self.fields.slot(text);
        let rename = |name: &str| self.plan.renames.iter().position(|r| *r.new == *name);
        let from = match (rename(text), text.split_once('.')) {
            (Some(r), _) => self.plan.renames.get(r).map(|rename| (r, rename.from)),
            (None, Some((first, rest))) => rename(first).and_then(|r| {
                let old = &self.plan.renames.get(r)?.old;
                Some((r, self.fields.slot(&format!("{old}.{rest}"))))
            }),
            _ => None,
        };
        let away = self.plan.renames.iter().position(|r| *r.old == *text && !r.dotted);
        Name { own, from, away }
    }

    fn read(&mut self, text: &str) -> Read {
        let place = |name: &str| self.plan.targets.iter().position(|t| *t.text == *name);
        let written = match (place(text), text.split_once('.')) {
            (Some(at), _) => Some((at, None)),
            (None, Some((first, rest))) => place(first).map(|at| (at, Some(rest.into()))),
            _ => None,
        };
        Read { name: self.name(text), written }
    }

    /// A field that the config names as one to be read.
    fn configured_read(&mut self, path: String, text: &str) -> Read {
        if let Some(new) = self.config.rename.get(text)
            && !text.contains('.')
        {
            self.error(
                path,
                format!("`{text}` is renamed to `{new}` before it is read here"),
                &format!("write `{new}`"),
            );
        }
        self.read(text)
    }

    fn target(&mut self, text: &str) -> usize {
        if let Some(at) = self.plan.targets.iter().position(|t| *t.text == *text) {
            return at;
        }
        let dropped = self.config.drop.iter().any(|d| d == text);
        let name = self.name(text);
        self.plan.targets.push(Target { text: text.into(), name, dropped });
        self.plan.targets.len() - 1
    }

    fn defaults(&mut self) {
        for (name, value) in &self.config.default {
            if name.is_empty() {
                self.error("default", "expected a field name, found an empty text", "write `field: value`");
            }
            let target = self.target(name);
            self.plan.defaults.push((target, value.into()));
        }
    }

    fn derive(&mut self) -> Option<Deriver> {
        check_names("derive", &self.config.derive, &mut self.issues);
        let reads = [
            self.read("name"),
            self.read("metric"),
            self.configured_read("value_field".into(), &self.config.value_field),
            self.configured_read("user_agent".into(), &self.config.user_agent),
        ];
        let mut wanted = Vec::new();
        for (i, name) in self.config.derive.iter().enumerate() {
            match Derived::parse(name) {
                Some(derived) => {
                    let target = self.target(name);
                    wanted.push(derived);
                    self.plan.derived.push((derived, target));
                }
                None => {
                    let known = Derived::ALL.map(Derived::name);
                    self.issues.push(unknown(format!("derive[{i}]"), "derived field", name, &known));
                }
            }
        }
        if wanted.iter().any(|d| !matches!(d, Derived::HourOfDay | Derived::DayOfWeek)) {
            self.plan.facts = Some(reads);
        }
        let fixed = self.config.metric.as_deref().map(|name| (name, Metric::find(name)));
        if let Some((name, None)) = fixed {
            self.issues.push(unknown("metric".into(), "metric", name, &METRICS.map(|m| m.short)));
        }
        let metrics = Metrics { fixed: fixed.and_then(|(_, m)| m), fallback: Metric::find(&self.context.pipeline) };
        let calendar = self.calendar()?;
        Some(Deriver::new(&wanted, calendar, metrics))
    }

    fn calendar(&mut self) -> Option<Calendar> {
        let name = &self.config.time_zone;
        let zone = zone::parse(name);
        if zone.is_none() {
            let message = format!("expected an IANA time zone or an offset, found `{name}`");
            self.error("time_zone", message, &zone::hint(name));
        }
        zone.map(Calendar::new)
    }

    fn drops(&mut self) {
        check_names("drop", &self.config.drop, &mut self.issues);
        for name in &self.config.drop {
            let slot = self.fields.slot(name);
            self.plan.drops.push(slot);
        }
    }

    fn touched(&mut self) {
        let touched = &mut self.plan.touched;
        for (number, rename) in self.plan.renames.iter().enumerate() {
            touched.entry(rename.old.clone()).or_default().renamed = Some(number);
            touched.entry(rename.new.clone()).or_default().replaced_by = Some(number);
        }
        for (number, target) in self.plan.targets.iter().enumerate() {
            touched.entry(target.text.clone()).or_default().target = Some(number);
        }
        for name in &self.config.drop {
            touched.entry(name.as_str().into()).or_default().dropped = true;
        }
    }
}

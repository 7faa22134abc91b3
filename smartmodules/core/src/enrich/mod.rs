//! Stage `enrich`: adds what is known about an event, and gives fields their names.
//!
//! Order: `rename`, `default`, `source: user-context`, `lookups`, `derive`, `drop`. A step sees
//! what the steps before it left. A value that the event has is kept unless `overwrite` is set;
//! null counts as no value. A join that finds no row writes null and counts in `missed`. Rows of
//! other kinds than `kinds` are passed on.
//!
//! Cost: one memory copy per row and one hash per join; a row is written anew only if a field
//! changes its name, goes, or gets another value. State: what reference records changed.

mod agent;
mod build;
mod calendar;
mod config;
mod context;
mod derive;
mod lookup;
mod plan;
#[cfg(test)]
mod tests;

pub use agent::{Agent, Agents};
pub use config::{Config, LookupConfig, TableConfig};
pub use derive::Derived;

use crate::config::Issues;
use crate::row::{Fields, Kind, Output, Row};
use crate::stage::{Context, Control, Counters, RestoreError, Stage, load, save};
use derive::Deriver;
use lookup::{Table, TableState};
use plan::{Plan, Scratch, recycle};
use serde::{Deserialize, Serialize};

/// The stage.
#[derive(Debug)]
pub struct Enrich {
    plan: Plan,
    tables: Vec<Table>,
    deriver: Deriver,
    counts: Counts,
    max_state_bytes: u64,
    scratch: Scratch<'static>,
    key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "crate::stage::count")]
    events: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    missed: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    reference_rows: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    reference_dropped: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    counts: Counts,
    tables: Vec<TableState>,
}

impl Stage for Enrich {
    const NAME: &'static str = "enrich";
    const STATE_VERSION: u32 = 1;
    type Config = Config;

    fn new(config: Config, context: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        let (plan, tables, deriver) = build::build(&config, context, fields)?;
        Ok(Enrich {
            plan,
            tables,
            deriver,
            counts: Counts::default(),
            max_state_bytes: context.max_state_bytes,
            scratch: Vec::new(),
            key: Vec::new(),
        })
    }

    fn warnings(config: &Config) -> Issues {
        config::warnings(config)
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        self.counts.events += (row.meta.kind == Kind::Event) as u64;
        let Enrich { plan, tables, deriver, counts, scratch, key, .. } = self;
        if !plan.kinds.contains(&row.meta.kind) {
            return out.pass(row);
        }
        let mut values: Scratch<'_> = recycle(std::mem::take(scratch));
        values.resize(plan.targets.len(), None);
        plan.fill_defaults(row, &mut values);
        plan.join(tables, row, &mut values, key, counts);
        if !plan.derived.is_empty() {
            let answers = deriver.derive(&plan.facts(row, &values));
            plan.put_derived(|derived| answers.get(derived), row, &mut values);
        }
        plan.emit(row, &mut values, out);
        *scratch = recycle(values);
    }

    /// A record for a table that is not here is another stage's.
    fn control(&mut self, control: &Control) {
        let Control::Reference { table, rows } = control else {
            return;
        };
        let used: u64 = self.tables.iter().map(Table::bytes).sum();
        let Some(table) = self.tables.iter_mut().find(|t| t.name == *table) else {
            return;
        };
        let others = used - table.bytes();
        for row in rows {
            let room = self.max_state_bytes.saturating_sub(others + table.bytes());
            match table.update(row, room) {
                Ok(()) => self.counts.reference_rows += 1,
                Err(_) => self.counts.reference_dropped += 1,
            }
        }
    }

    fn counters(&self) -> Counters {
        let Counts { events, missed, reference_rows, reference_dropped } = self.counts;
        vec![
            ("in", events),
            ("passed", events),
            ("dead", 0),
            ("missed", missed),
            ("reference_rows", reference_rows),
            ("reference_dropped", reference_dropped),
        ]
    }

    /// Reference records have changed no table.
    fn is_fresh(&self) -> bool {
        self.counts.reference_rows == 0
    }

    fn count(&mut self, added: &[u64]) {
        if let [events, _passed, _dead, missed, ..] = added {
            self.counts.events += events;
            self.counts.missed += missed;
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&State { counts: self.counts, tables: self.tables.iter().map(Table::state).collect() })
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let state: State = load(bytes)?;
        let fit =
            state.tables.len() == self.tables.len() && self.tables.iter().zip(&state.tables).all(|(t, s)| t.fits(s));
        if !fit {
            return Err(RestoreError("the snapshot is of other tables".into()));
        }
        for (table, state) in self.tables.iter_mut().zip(state.tables) {
            table.set_state(state);
        }
        self.counts = state.counts;
        Ok(())
    }
}

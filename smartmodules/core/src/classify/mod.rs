//! Stage `classify`: a label for a number, by the first range that holds it.
//!
//! A range holds `x` if `min <= x <= max`; a missing bound is open. The first match decides, so of
//! two ranges that share a border the one that stands first gets it: with `max: 0.25` before
//! `min: 0.25`, 0.25 belongs to the former (as web-vitals has it for CLS).
//!
//! Cost per row: a walk over the ranges; the row is copied, and rebuilt only if it already has a
//! field of the label's name. No memory but counters.

mod lint;
#[cfg(test)]
mod tests;

use crate::config::{Issues, fail_on_errors};
use crate::row::{Fields, Kind, Output, Row, Slot};
use crate::stage::{Context, Counters, RestoreError, Stage, load, save};
use serde::{Deserialize, Serialize};

/// Parameters of `classify`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClassifyConfig {
    /// Field with the number; a dotted name reaches into an object.
    pub field: String,
    /// Ranges and their labels, at least one. The first that holds the number decides.
    pub ranges: Vec<Range>,
    /// Name of the field that gets the label, or null if no range holds the number or there is no
    /// number. A field of that name is replaced. Default: the field's name and `_class`.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub r#as: Option<String>,
    /// Kinds of records that are classified (`event`, `window`, `session`, …): those listed get
    /// the label even if they lack the field (then null). Default: every kind, if it has the field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
}

/// A range of numbers with its label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Lowest number, in the field's unit; it belongs to the range unless a former range holds it.
    /// Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Highest number, in the field's unit, included. Default: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Label of the numbers in it.
    pub label: String,
}

impl Range {
    fn low(&self) -> f64 {
        self.min.unwrap_or(f64::NEG_INFINITY)
    }

    fn high(&self) -> f64 {
        self.max.unwrap_or(f64::INFINITY)
    }

    fn holds(&self, x: f64) -> bool {
        self.low() <= x && x <= self.high()
    }
}

/// The stage.
pub struct Classify {
    field: Slot,
    target: Slot,
    target_name: String,
    ranges: Vec<Range>,
    kinds: Vec<Kind>,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    #[serde(deserialize_with = "crate::stage::count")]
    events: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    passed: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    labelled: u64,
    #[serde(deserialize_with = "crate::stage::count")]
    unlabelled: u64,
}

impl Stage for Classify {
    const NAME: &'static str = "classify";
    const STATE_VERSION: u32 = 1;
    type Config = ClassifyConfig;

    fn new(config: ClassifyConfig, _: &Context, fields: &mut Fields) -> Result<Self, Issues> {
        fail_on_errors(&lint::errors(&config))?;
        let target_name = config.r#as.unwrap_or_else(|| format!("{}_class", config.field));
        Ok(Classify {
            field: fields.slot(&config.field),
            target: fields.slot(&target_name),
            target_name,
            ranges: config.ranges,
            kinds: config.kinds.iter().filter_map(|name| Kind::parse(name)).collect(),
            counts: Counts::default(),
        })
    }

    fn warnings(config: &ClassifyConfig) -> Issues {
        lint::warnings(config)
    }

    fn process(&mut self, row: &Row<'_>, out: &mut Output) {
        let event = (row.meta.kind == Kind::Event) as u64;
        self.counts.events += event;
        self.counts.passed += event;
        let wanted = match self.kinds.is_empty() {
            true => row.has(self.field),
            false => self.kinds.contains(&row.meta.kind),
        };
        if !wanted {
            return out.pass(row);
        }
        let label = row.get(self.field).as_f64().and_then(|x| self.ranges.iter().find(|r| r.holds(x)));
        match label {
            Some(_) => self.counts.labelled += 1,
            None => self.counts.unlabelled += 1,
        }
        let label = label.map(|range| range.label.as_str());
        if !row.has(self.target) {
            out.extend(row).field(&self.target_name, label);
            return;
        }
        let mut copy = out.row(row.meta, row.key);
        let mut replaced = false;
        for (name, value) in row.fields() {
            let ours = name == self.target_name;
            replaced |= ours;
            copy.field(name, if ours { label.into() } else { value });
        }
        // A dotted target can be there as a path into an object, which is no field of the row.
        if !replaced {
            copy.field(&self.target_name, label);
        }
    }

    fn counters(&self) -> Counters {
        vec![
            ("in", self.counts.events),
            ("passed", self.counts.passed),
            ("labelled", self.counts.labelled),
            ("unlabelled", self.counts.unlabelled),
        ]
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn count(&mut self, added: &[u64]) {
        let Counts { events, passed, labelled, unlabelled } = &mut self.counts;
        for (count, more) in [events, passed, labelled, unlabelled].into_iter().zip(added) {
            *count += more;
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        save(&self.counts)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.counts = load(bytes)?;
        Ok(())
    }
}

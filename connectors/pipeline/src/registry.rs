//! The stages that pipelines can use.

use perfstream_core::row::Fields;
use perfstream_core::sessionize::Sessionize;
use perfstream_core::{Context, Issues, Stage};
use perfstream_core::{aggregate::Aggregate, alert::AlertStage as Alert, classify::Classify, dashboard::Dashboard};
use perfstream_core::{
    correlate::CorrelateStage, detect::DetectStage, enrich::Enrich, filter::Filter, forecast::ForecastStage,
    respond::RespondStage,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The version of all stages of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The group of perfstream's own SmartModules.
pub const GROUP: &str = "perfstream";

/// A stage.
pub struct StageEntry {
    /// `filter`, `aggregate`, …
    pub name: &'static str,
    /// What it does, in one line
    pub summary: &'static str,
    /// What its state is made of, after "at most … of state per partition;"
    pub memory: &'static str,
    /// Can the SPU run it when this is its `with:` block? It must keep no state.
    pub stateless: fn(&Value) -> bool,
    schema: fn() -> Value,
    lint: fn(&str, &Context) -> Lint,
}

/// What a stage says of a `with:` block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lint {
    /// What it refuses or doubts
    pub issues: Issues,
    /// Why the block could not even be read: the byte of the JSON text, and what was expected
    pub unreadable: Option<(usize, String)>,
    /// Fields of a row that the stage reads
    pub reads: Vec<String>,
}

impl StageEntry {
    /// `perfstream/filter@0.1.0`
    pub fn uses(&self) -> String {
        format!("{GROUP}/{}@{VERSION}", self.name)
    }

    /// JSON Schema of the `with:` block.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// What the stage itself says of a `with:` block.
    pub fn lint(&self, config_json: &str, context: &Context) -> Lint {
        (self.lint)(config_json, context)
    }
}

/// The stage of that name.
pub fn find(name: &str) -> Option<&'static StageEntry> {
    STAGES.iter().find(|s| s.name == name)
}

/// The JSON Schema of a type, as all parts of this crate want it.
pub fn schema_of<T: JsonSchema>() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut schema: Value = schema.into();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}

fn lint<S: Stage>(config_json: &str, context: &Context) -> Lint {
    let config: S::Config = match serde_json::from_str(config_json) {
        Ok(config) => config,
        Err(error) => {
            let text = error.to_string();
            // The place is a column of JSON that the user has never seen.
            let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
            return Lint { unreadable: Some((error.column(), text.into())), ..Lint::default() };
        }
    };
    let mut issues = S::warnings(&config);
    let mut fields = Fields::default();
    if let Err(errors) = S::new(config, context, &mut fields) {
        issues.extend(errors);
    }
    Lint { issues, unreadable: None, reads: fields.names().map(str::to_string).collect() }
}

const fn entry<S>(summary: &'static str, memory: &'static str, stateless: fn(&Value) -> bool) -> StageEntry
where
    S: Stage,
    S::Config: JsonSchema,
{
    StageEntry { name: S::NAME, summary, memory, stateless, schema: schema_of::<S::Config>, lint: lint::<S> }
}

/// An `enrich` whose tables have their rows in the file: reference records cannot reach it elsewhere.
fn has_its_rows(with: &Value) -> bool {
    let filled = |table: &Value| {
        table.get("file").is_some_and(Value::is_string)
            || table.get("rows").and_then(Value::as_array).is_some_and(|rows| !rows.is_empty())
    };
    let tables = with.get("tables").and_then(Value::as_object);
    let joins_context = with.get("source").is_some_and(|source| !source.is_null());
    tables.is_none_or(|tables| tables.values().all(filled))
        && (!joins_context || tables.is_some_and(|tables| tables.contains_key("user-context")))
}

/// All stages, in the order in which a chain usually has them.
pub static STAGES: &[StageEntry] = &[
    entry::<Filter>(
        "Checks events against a typed schema, drops duplicates and what no condition asks for",
        "80 bytes per remembered key with `dedupe`, nothing without",
        |with| with.get("dedupe").is_none_or(Value::is_null),
    ),
    entry::<Enrich>(
        "Adds user context, rows of reference tables and derived fields to events",
        "the texts of its tables, 64 bytes per row and 24 per cell; `max_rows` rows each",
        has_its_rows,
    ),
    entry::<Sessionize>(
        "Groups events by a key into sessions and gives one result for each",
        "256 bytes per session and per navigation, 2 KiB more where INP is measured, and texts; `max_sessions` of `max_navigations`, beyond it the one that ends first ends early",
        |_| false,
    ),
    entry::<Aggregate>(
        "Computes functions over named windows of time, per group",
        "groups × live slices × (48 bytes + functions); beyond `max_groups` new groups count as `__other__`",
        |_| false,
    ),
    entry::<Classify>("Gives a number a label by the range that holds it", "it keeps none but counters", |_| true),
    entry::<DetectStage>(
        "Judges metrics of segments by an ensemble of methods, and tells validated anomalies",
        "8 to 16 KiB per series, by method, and one forest; beyond `max_segments` the segment unseen for longest is forgotten",
        |_| false,
    ),
    entry::<ForecastStage>(
        "Predicts a field of windows at stated horizons, with an interval and the time to a breach",
        "about 4 KiB per series with the default horizons, `max_series` of them; beyond it the series unseen for longest is forgotten",
        |_| false,
    ),
    entry::<CorrelateStage>(
        "Groups anomalies that belong together into incidents, and ranks their causes",
        "about 0.5 KiB per anomaly of an open incident, `max_incidents` of `max_members`; 0.4 KiB per series and 0.2 KiB per pair and call; beyond the bounds the oldest goes",
        |_| false,
    ),
    entry::<Alert>(
        "Decides which alerts are pending, firing and resolved, by rules",
        "about 1 KiB per alert, `max_alerts` of them",
        |_| false,
    ),
    entry::<RespondStage>(
        "Decides what is done about alerts and incidents, within limits, and whether it helped",
        "about 2 KiB per action, `max_actions` of them; beyond it new ones are suppressed",
        |_| false,
    ),
    entry::<Dashboard>(
        "Makes the records that a live page shows: the layout, values of windows, alerts and anomalies",
        "the frame that waits, 256 entries or 128 KiB",
        |_| false,
    ),
];

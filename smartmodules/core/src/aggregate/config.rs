//! What stands under `with:` of `aggregate`; the functions are in [`super::functions`].

pub use super::functions::*;
use crate::duration::Span;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Groups events by fields and computes functions over named windows of event time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AggregateConfig {
    /// Fields whose values make a group; empty = one group for everything. Default: empty.
    pub group_by: Vec<String>,
    /// The windows; each gives its own result rows. At least one.
    pub windows: Vec<WindowConfig>,
    /// Live groups at most, 1 to 10,000,000; events of further groups are counted together in the
    /// group `__other__`. Default: 100000.
    pub max_groups: u32,
    /// Pass events on after counting them, instead of consuming them. Default: false.
    pub pass_events: bool,
}

impl Default for AggregateConfig {
    fn default() -> Self {
        AggregateConfig { group_by: Vec::new(), windows: Vec::new(), max_groups: 100_000, pass_events: false }
    }
}

/// One named window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// Name, written into every row of this window; unique in the stage.
    pub name: String,
    /// How time is cut: `tumbling`, `sliding` or `session`.
    #[serde(rename = "type")]
    pub window_type: WindowType,
    /// Length of a tumbling or sliding window, up to 366 days.
    #[serde(default)]
    pub size: Option<Span>,
    /// A sliding window starts every `slide`; `size` must be a multiple of it.
    #[serde(default)]
    pub slide: Option<Span>,
    /// A session ends when its group has had no event for this long (event time).
    #[serde(default)]
    pub gap: Option<Span>,
    /// A session's events span less than this; then the next session starts. Default: no limit.
    #[serde(default, alias = "timeout")]
    pub max_length: Option<Span>,
    /// After its result a window takes late events for this long, and is corrected by rows with a
    /// higher `revision`. Default: 0s.
    #[serde(default)]
    pub allowed_lateness: Span,
    /// The clock that closes windows: `event-time` = the watermark, `processing-time` = log time
    /// and ticks. Windows hold events by event time in both cases. Default: event-time.
    #[serde(default)]
    pub trigger: Trigger,
    /// Results only when the trigger's clock crosses a multiple of this, those of several windows
    /// together. Default: as soon as a window closes (revisions: once per `slide`).
    #[serde(default)]
    pub output_interval: Option<Span>,
    /// What is computed: result field → function, written in this order. At least one.
    pub functions: Functions,
}

/// How time is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WindowType {
    /// `[k·size, (k+1)·size)`, aligned to the epoch
    Tumbling,
    /// `[k·slide, k·slide + size)`, aligned to the epoch
    Sliding,
    /// From a group's first event until it has been silent for `gap`
    Session,
}

/// The clock that closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The watermark: the newest event time less the pipeline's `out_of_orderness`
    #[default]
    EventTime,
    /// The running maximum of log times and ticks
    ProcessingTime,
}

/// Result fields and their functions, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Functions(pub Vec<(String, Function)>);

impl Serialize for Functions {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(name, function)| (name, function)))
    }
}

impl<'de> Deserialize<'de> for Functions {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Functions;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map from result field to function, as `p75: { type: percentile, … }`")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Functions, A::Error> {
                let mut list: Vec<(String, Function)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    let function = map.next_value().map_err(|e| A::Error::custom(format!("{name}: {e}")))?;
                    if list.iter().any(|(n, _)| *n == name) {
                        return Err(A::Error::custom(format!("the function `{name}` is there twice")));
                    }
                    list.push((name, function));
                }
                Ok(Functions(list))
            }
        }
        d.deserialize_map(InOrder)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Functions {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Functions".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let function = generator.subschema_for::<Function>();
        schemars::json_schema!({
            "type": "object",
            "description": "Result field → function, written in this order.",
            "minProperties": 1,
            "additionalProperties": function
        })
    }
}

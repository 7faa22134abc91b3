//! What stands under `with:` of `detect`.

use super::detector::Detector;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Scores the metrics of rows against what each segment usually does, and tells validated anomalies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DetectConfig {
    /// Id of a document of kind `Detector` among the files of the run; `best` and `ensemble` need none. Or a
    /// detector itself, as `{ id, document }`. Required.
    pub detector: DetectorRef,
    /// Field that holds a metric, by the metric's name. Default: the first that a row has of
    /// `p75_NAME`, `NAME`, `session_NAME`, NAME being the short name, as `p75_lcp`; `value` if the row's
    /// field `metric` is that name.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Name of the window it looks at; rows of others are told what their segment's state is. Default: all
    /// rows.
    #[serde(default)]
    pub window: Option<String>,
    /// Kinds of rows it looks at. Default: event, window, session.
    #[serde(default = "default_kinds")]
    pub kinds: Vec<String>,
    /// Field with the number of events that a row stands for. Default: count.
    #[serde(default = "default_count")]
    pub count: String,
    /// Fields with shares (0 to 1) that say who the traffic came from, as `mobile_share`: while one of them
    /// is not as usual, a change of the metric is put down to it. Default: none.
    #[serde(default)]
    pub mix: Vec<String>,
    /// Put `detection`, with every method's score, on every row. Default: false.
    #[serde(default)]
    pub detail: bool,
    /// Put `detection_expected` on every judged row: of each metric the expected value and range, as
    /// `{"lcp": {"value": 1500, "low": 1200, "high": 1800}}`. Default: false.
    #[serde(default)]
    pub expected: bool,
    /// Segments remembered, 1 to 1,000,000; beyond it the one unseen for longest is forgotten. Default:
    /// 10000.
    #[serde(default = "default_segments")]
    pub max_segments: u32,
}

fn default_kinds() -> Vec<String> {
    ["event", "window", "session"].map(String::from).to_vec()
}

fn default_count() -> String {
    "count".into()
}

fn default_segments() -> u32 {
    10_000
}

impl DetectConfig {
    /// A config that has only its detector.
    pub fn new(detector: DetectorRef) -> DetectConfig {
        DetectConfig {
            detector,
            fields: BTreeMap::new(),
            window: None,
            kinds: default_kinds(),
            count: default_count(),
            mix: Vec::new(),
            detail: false,
            expected: false,
            max_segments: default_segments(),
        }
    }
}

/// A detector by id, or itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum DetectorRef {
    /// `meta.name` of a document of kind `Detector`
    Id(String),
    /// The detector itself, as a stage has it that runs
    Inline(Box<Named>),
}

/// A detector and its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its id, which is in every record
    pub id: String,
    /// What its document says
    #[serde(default)]
    pub document: Detector,
}

// By hand: an untagged enum would hide what is wrong inside of the detector.
impl<'de> Deserialize<'de> for DetectorRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = DetectorRef;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the id of a Detector document")
            }
            fn visit_str<E>(self, id: &str) -> Result<DetectorRef, E> {
                Ok(DetectorRef::Id(id.into()))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<DetectorRef, A::Error> {
                let named = Named::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(DetectorRef::Inline(Box::new(named)))
            }
        }
        d.deserialize_any(Visitor)
    }
}

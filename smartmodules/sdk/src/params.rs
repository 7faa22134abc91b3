//! Parameters of a SmartModule: strings under keys, which cannot be listed.
//!
//! perfstream passes the whole `with:` block as JSON under `config` (split over `config.1`,
//! `config.2` … where it is longer than Fluvio's wire allows) and where the stage stands under
//! `runtime`. Plain Fluvio users may pass each top-level key on its own instead; a value that is
//! JSON is read as such, any other is text.

use fluvio_smartmodule::dataplane::core::Encoder;
use fluvio_smartmodule::dataplane::smartmodule::{SmartModuleInitOutput, SmartModuleInitRuntimeError};
use perfstream_core::decode::DecodeConfig;
use perfstream_core::{Context, Issue, Issues};
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// One parameter value on Fluvio's wire ends at 32,767 bytes; longer ones arrive as nothing.
pub const MAX_PARAM_BYTES: usize = 30_000;

/// What the stage writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputForm {
    /// One JSON object per record: for people, other modules and the end of a chain
    #[default]
    Json,
    /// One packed record per call: for the next perfstream stage
    Packed,
    /// One record per call, with what became of the batch in front: see [`crate::front`]
    Spu,
}

/// Where a stage stands and what it reads and writes: the parameter `runtime`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// Pipeline, stage, partition, limits
    pub context: Context,
    /// How records that are not packed are read
    pub decode: DecodeConfig,
    /// What is written
    pub output: OutputForm,
}

/// Splits a config into parameters that fit the wire.
pub fn to_params(config: &str, runtime: &Runtime) -> Vec<(String, String)> {
    let mut params = vec![("runtime".to_string(), serde_json::to_string(runtime).unwrap_or_default())];
    let mut rest = config;
    let mut part = 0;
    while part == 0 || !rest.is_empty() {
        let mut end = rest.len().min(MAX_PARAM_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let key = if part == 0 { "config".to_string() } else { format!("config.{part}") };
        params.push((key, rest[..end].to_string()));
        rest = &rest[end..];
        part += 1;
    }
    params
}

/// Reads config and runtime. `get` looks a parameter up.
pub fn from_params<'p, C: DeserializeOwned>(
    get: &impl Fn(&str) -> Option<&'p str>,
) -> Result<(C, String, Runtime), Issues> {
    let runtime = match get("runtime") {
        None => Runtime::default(),
        Some(text) => serde_json::from_str(text).map_err(|e| vec![Issue::error("runtime", e.to_string())])?,
    };
    let text = match get("config") {
        Some(first) => {
            let mut text = first.to_string();
            let mut part = 1;
            while let Some(more) = get(&format!("config.{part}")) {
                text.push_str(more);
                part += 1;
            }
            text
        }
        None => from_single_params::<C>(get),
    };
    let config = serde_json::from_str(&text).map_err(|e| vec![Issue::error("config", e.to_string())])?;
    Ok((config, text, runtime))
}

/// A config object from one parameter per top-level key.
fn from_single_params<'p, C: DeserializeOwned>(get: &impl Fn(&str) -> Option<&'p str>) -> String {
    let mut text = String::from("{");
    for field in field_names::<C>() {
        let Some(value) = get(field) else { continue };
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(*field).to_string());
        text.push(':');
        match serde_json::from_str::<&serde_json::value::RawValue>(value) {
            Ok(json) => text.push_str(json.get()),
            Err(_) => text.push_str(&serde_json::Value::from(value).to_string()),
        }
    }
    text.push('}');
    text
}

/// The field names of a struct, as its `Deserialize` asks for them.
pub fn field_names<C: DeserializeOwned>() -> &'static [&'static str] {
    struct Ask<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Ask<'_> {
        type Error = serde::de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("only asks for names"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
            unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    drop(C::deserialize(Ask(&mut names)));
    names
}

/// The bytes of a failed init: every issue, one a line.
pub fn init_error(stage: &str, issues: &[Issue], version: i16) -> Vec<u8> {
    let mut text = format!("{stage}: the configuration cannot be used");
    for issue in issues.iter().filter(|i| !i.warning) {
        text.push_str("\n  ");
        text.push_str(&issue.to_string());
    }
    // The hint is a string on Fluvio's wire, so it has the wire's limit.
    while text.len() > MAX_PARAM_BYTES {
        text.pop();
    }
    let error = SmartModuleInitRuntimeError { hint: text };
    let mut bytes = Vec::new();
    drop(SmartModuleInitOutput { error }.encode(&mut bytes, version));
    bytes
}

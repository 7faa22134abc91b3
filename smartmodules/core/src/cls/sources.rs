//! The `sources` of a layout shift: which elements moved.
//!
//! A source is a selector, or an object with one in `node`, `selector` or `target`; a nameless
//! object stands for itself. Cost: one parse of the JSON text per shift.

use crate::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A window keeps this many distinct sources.
pub const MAX_SOURCES: usize = 256;
/// A selector is cut to this many bytes; a nameless source that is longer is left out.
pub const MAX_SOURCE_BYTES: usize = 512;

/// Distinct sources in order of first appearance, each as JSON text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Sources {
    texts: Vec<Box<str>>,
    bytes: u64,
}

impl Sources {
    pub(super) fn add(&mut self, source: &str) {
        if self.texts.len() < MAX_SOURCES && !self.texts.iter().any(|s| **s == *source) {
            self.bytes += source.len() as u64 + 16;
            self.texts.push(source.into());
        }
    }

    pub(super) fn texts(&self) -> &[Box<str>] {
        &self.texts
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The sources of one entry as JSON texts (a selector where there is one), and its target.
pub(super) fn read_sources(sources: Value<'_>) -> (Vec<Box<str>>, Option<Box<str>>) {
    let mut list = Vec::new();
    let mut first = None;
    let mut element = None;
    let mut add = |source: Source| {
        if list.len() < MAX_SOURCES {
            list.extend(source.text);
        }
        if source.is_element && element.is_none() {
            element = source.name.clone();
        }
        first.get_or_insert(source.name);
    };
    match sources {
        Value::Str(name) => add(named(name)),
        Value::Json(text) if text.starts_with('[') => {
            // A row's JSON was parsed when it was decoded; a forged row has no sources.
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            items.iter().filter_map(|item| read_source(item.get())).for_each(add);
        }
        Value::Json(text) => read_source(text).into_iter().for_each(add),
        _ => {}
    }
    (list, element.or(first.flatten()))
}

struct Source {
    text: Option<Box<str>>,
    name: Option<Box<str>>,
    is_element: bool,
}

fn named(name: &str) -> Source {
    let mut end = name.len().min(MAX_SOURCE_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let name = &name[..end];
    let mut text = Vec::with_capacity(name.len() + 2);
    crate::json::write_str(name, &mut text);
    Source {
        text: Some(String::from_utf8_lossy(&text).into()),
        name: Some(name.into()),
        is_element: !is_text_node(name),
    }
}

/// `#text` is a text node's `nodeName`; the library writes it `TEXT`, also below a parent.
fn is_text_node(name: &str) -> bool {
    name == "#text" || name.rsplit('>').next() == Some("TEXT")
}

#[derive(Deserialize)]
struct SourceObject {
    #[serde(default)]
    node: serde_json::Value,
    #[serde(default)]
    selector: serde_json::Value,
    #[serde(default)]
    target: serde_json::Value,
    #[serde(default, rename = "nodeType")]
    node_type: serde_json::Value,
}

fn read_source(text: &str) -> Option<Source> {
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok().map(|name| named(&name)),
        b'{' => {
            let kept = (text.len() <= MAX_SOURCE_BYTES).then(|| text.into());
            let unnamed = || Source { text: kept, name: None, is_element: false };
            let Ok(object) = serde_json::from_str::<SourceObject>(text) else {
                return Some(unnamed());
            };
            let name = [&object.node, &object.selector, &object.target].into_iter().find_map(|v| v.as_str());
            let Some(name) = name else {
                return Some(unnamed());
            };
            let source = named(name);
            let is_element = object.node_type.as_i64().map_or(source.is_element, |t| t == 1);
            Some(Source { is_element, ..source })
        }
        _ => None, // null: the node is gone; numbers name nothing
    }
}

//! Parts of messages.

use super::Kind;
use crate::yaml::Node;
use jsonschema::JsonType;
use jsonschema::error::TypeKind;
use serde_json::Value;

pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

pub(super) fn one_of(options: &[String]) -> &'static str {
    if options.len() > 1 { "one of " } else { "" }
}

/// `` `topic` ``, or `this value` where there is no key.
pub(super) fn subject(node: &Node) -> String {
    match &node.name {
        Some(name) => format!("`{name}`"),
        None => "this value".into(),
    }
}

pub(super) fn types(kind: &TypeKind) -> Vec<&'static str> {
    let word = |t: JsonType| match t {
        JsonType::Array => "list",
        JsonType::Boolean => "boolean",
        JsonType::Integer => "whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "number",
        JsonType::Object => "map",
        JsonType::String => "string",
    };
    match kind {
        TypeKind::Single(t) => vec![word(*t)],
        TypeKind::Multiple(set) => set.iter().map(word).filter(|w| *w != "nothing").collect(),
    }
}

/// What a bound asks for, as the end of a sentence.
pub(super) fn bound(kind: &Kind, node: &Node) -> String {
    let found = node.describe();
    match kind {
        Kind::Minimum { limit } => format!("must be at least {limit}, found {found}"),
        Kind::Maximum { limit } => format!("must be at most {limit}, found {found}"),
        Kind::ExclusiveMinimum { limit } => format!("must be above {limit}, found {found}"),
        Kind::ExclusiveMaximum { limit } => format!("must be below {limit}, found {found}"),
        Kind::MinItems { limit } => format!("must have at least {limit} item{}", if *limit == 1 { "" } else { "s" }),
        Kind::MaxItems { limit } => format!("must have at most {limit} items, found {}", node.items().len()),
        Kind::MinProperties { limit } => {
            format!("must have at least {limit} key{}", if *limit == 1 { "" } else { "s" })
        }
        Kind::MaxProperties { limit } => format!("must have at most {limit} keys"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::UniqueItems => "has an item twice".into(),
        Kind::FalseSchema => "is not allowed here".into(),
        _ => format!("does not fit, found {found}"),
    }
}

pub(super) fn duration_hint(text: &str) -> Option<String> {
    let number = text.trim().split(|c: char| !(c.is_ascii_digit() || c == '.')).next().filter(|n| !n.is_empty())?;
    let unit = text.trim()[number.len()..].trim().to_lowercase();
    let unit = match &*unit {
        "" => return Some(format!("add a unit: `{number}s`, `{number}m`, `{number}h`")),
        u if u.starts_with("sec") => "s",
        u if u.starts_with("min") => "m",
        u if u.starts_with("hour") || u == "hr" || u == "hrs" => "h",
        u if u.starts_with("day") => "d",
        u if u.starts_with("week") => "w",
        u if u.starts_with("milli") || u == "msec" => "ms",
        u if u.starts_with("micro") || u == "µs" => "us",
        _ => return None,
    };
    Some(format!("write `{number}{unit}`"))
}

/// The first sentence of a description.
pub fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.find(". ") {
        Some(at) => text[..at].to_string(),
        None => text.trim_end_matches('.').to_string(),
    }
}

//! Parameters out of a JSON Schema: what `explain` lists and the tables of the READMEs.

use crate::check::structure::{options, resolve};
use serde_json::Value;

/// Schemas nest at most this deep; ours nest less.
const MAX_DEPTH: usize = 12;

/// One parameter of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Param<'a> {
    /// Its key
    pub name: &'a str,
    /// Must it be given?
    pub required: bool,
    /// Its schema
    pub schema: &'a Value,
    /// What it does: the doc comment of the config struct, without what it says of the default
    pub about: String,
    /// The default in words; empty if it is required
    pub default: String,
}

/// What a value is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape<'a> {
    /// An object with these parameters
    Object(&'a Value),
    /// An object whose `type` picks one of these (tag, value, schema)
    Tagged(Vec<(&'a str, String, &'a Value)>),
    /// Any keys, each with a value of this schema
    Map(&'a Value),
    /// A list of values of this schema
    List(&'a Value),
    /// A single value
    Plain,
}

/// The parameters of an object, required ones first, then by name.
pub fn params<'a>(root: &'a Value, schema: &'a Value) -> Vec<Param<'a>> {
    let mut all = Vec::new();
    collect(root, schema, &mut all, 0);
    all.sort_by_key(|p| (!p.required, p.name));
    all.dedup_by_key(|p| p.name);
    all
}

fn collect<'a>(root: &'a Value, schema: &'a Value, all: &mut Vec<Param<'a>>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let required = |name: &str| schema["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // A tag is explained by what it picks.
        let picked = property.get("const").and(schema["description"].as_str());
        let own = property["description"].as_str().or(resolve(root, property)["description"].as_str());
        let text = own.or(picked).unwrap_or_default();
        let (about, said) = split_default(text);
        // Some structs have a default for every key and say in words that one is needed.
        let required = required(name) || ["Required.", "Required;"].iter().any(|word| text.contains(word));
        let default = match (required, said, property.get("default")) {
            (true, ..) => String::new(),
            (_, Some(said), _) => said,
            (_, None, Some(value)) => plain(value),
            (_, None, None) => "none".into(),
        };
        all.push(Param { name, required, schema: property, about, default });
    }
    let target = resolve(root, schema);
    if !std::ptr::eq(target, schema) {
        collect(root, target, all, depth + 1);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect(root, part, all, depth + 1);
    }
}

/// What a schema's values are made of; `null` beside it does not count.
pub fn shape<'a>(root: &'a Value, schema: &'a Value) -> Shape<'a> {
    let schema = not_null(root, schema);
    if let Some(branches) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let tags: Option<Vec<_>> = branches.iter().map(|b| tag(root, b)).collect();
        if let Some(tags) = tags.filter(|t| !t.is_empty()) {
            return Shape::Tagged(tags);
        }
    }
    if schema.get("properties").is_some() {
        return Shape::Object(schema);
    }
    match schema.get("additionalProperties") {
        Some(values) if values.is_object() => return Shape::Map(values),
        _ => {}
    }
    match schema.get("items") {
        Some(items) if items.is_object() => Shape::List(items),
        _ => Shape::Plain,
    }
}

/// Follows references and `Option`s to what the value is when it is there.
fn not_null<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_DEPTH {
        let target = resolve(root, schema);
        let branches = target["anyOf"].as_array().map(|b| b.iter().filter(|s| s["type"] != "null").collect::<Vec<_>>());
        schema = match branches.as_deref() {
            Some([only]) => only,
            _ if std::ptr::eq(target, schema) => return schema,
            _ => target,
        };
    }
    schema
}

/// The key with a constant that tells this branch from the others.
fn tag<'a>(root: &'a Value, branch: &'a Value) -> Option<(&'a str, String, &'a Value)> {
    let target = resolve(root, branch);
    [branch, target].into_iter().find_map(|schema| {
        let mut constants = schema["properties"].as_object()?.iter().filter_map(|(k, v)| Some((k, v.get("const")?)));
        constants.next().map(|(key, value)| (key.as_str(), plain(value), branch))
    })
}

/// The type in words: `list of string`, `duration`, `one of a, b`.
pub fn type_words(root: &Value, schema: &Value) -> String {
    let words = options(root, schema);
    if !words.is_empty() {
        return words.join(" \\| ");
    }
    let reference = |s: &Value| s["$ref"].as_str().is_some_and(|r| r.ends_with("/Duration"));
    let inner = not_null(root, schema);
    let any = |s: &Value| s["anyOf"].as_array().is_some_and(|b| b.iter().any(reference));
    if reference(schema) || any(schema) {
        return "duration".into();
    }
    match shape(root, inner) {
        Shape::List(items) => return format!("list of {}", type_words(root, items)),
        Shape::Map(values) => {
            let values = type_words(root, values);
            return if values == "any" { "map".into() } else { format!("map to {values}") };
        }
        Shape::Object(_) | Shape::Tagged(_) => return "map".into(),
        Shape::Plain => {}
    }
    let word = |t: &str| match t {
        "integer" => "whole number".to_string(),
        "array" => "list".into(),
        "object" => "map".into(),
        other => other.into(),
    };
    match &inner["type"] {
        Value::String(t) => word(t),
        Value::Array(types) => {
            let types = types.iter().filter_map(Value::as_str).filter(|t| *t != "null").map(word);
            types.collect::<Vec<_>>().join(" or ")
        }
        _ => "any".into(),
    }
}

/// Takes `Default: x.` out of a doc comment: the rest, and `x`.
fn split_default(text: &str) -> (String, Option<String>) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some(at) = text.find("Default: ") else {
        let text = text.strip_suffix(" Required.").unwrap_or(&text);
        return (text.trim_end().to_string(), None);
    };
    let rest = &text[at + "Default: ".len()..];
    // The sentence ends at a full stop before a space, outside of brackets.
    let end = rest.char_indices().find(|(i, c)| *c == '.' && rest[i + 1..].chars().next().is_none_or(|n| n == ' '));
    let end = end.map_or(rest.len(), |(i, _)| i);
    let after = rest.get(end + 1..).unwrap_or_default().trim();
    let before = text[..at].trim_end().trim_end_matches('(').trim_end();
    let about = if after.is_empty() { before.to_string() } else { format!("{before} {after}") };
    (about, Some(rest[..end].to_string()))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_in_words() {
        for (text, about, default) in [
            ("A field. Default: value.", "A field.", Some("value")),
            ("Groups, 1 to 9. Default: [a.b, c]. More of it.", "Groups, 1 to 9. More of it.", Some("[a.b, c]")),
            ("Field with the name. Required.", "Field with the name.", None),
            ("Default: 0.1.", "", Some("0.1")),
            ("", "", None),
        ] {
            assert_eq!(split_default(text), (about.to_string(), default.map(String::from)), "{text}");
        }
    }
}

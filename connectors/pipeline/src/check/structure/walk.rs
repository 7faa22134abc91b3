//! Walks over a schema.

use super::MAX_BRANCHES;
use super::words::plain;
use serde_json::Value;

/// Names of all properties of a schema and of what it refers to.
pub fn collect_properties(root: &Value, schema: &Value, names: &mut Vec<String>, depth: usize) {
    if depth > MAX_BRANCHES {
        return;
    }
    for name in schema["properties"].as_object().into_iter().flat_map(|p| p.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect_properties(root, part, names, depth + 1);
    }
    let target = resolve(root, schema);
    if !std::ptr::eq(target, schema) {
        collect_properties(root, target, names, depth + 1);
    }
}

/// Follows `$ref` inside the document.
pub fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#'));
    pointer.and_then(|p| root.pointer(p)).unwrap_or(schema)
}

/// The words a schema allows, if it is a list of words.
pub fn options(root: &Value, schema: &Value) -> Vec<String> {
    let schema = resolve(root, schema);
    let words = |list: &Value| list.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
    if let Some(value) = schema.get("const") {
        return vec![plain(value)];
    }
    if schema.get("enum").is_some() {
        return words(&schema["enum"]);
    }
    let branches = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let mut all = Vec::new();
    for branch in branches.into_iter().flatten() {
        if branch["type"] == "null" {
            continue;
        }
        let words = options(root, branch);
        if words.is_empty() {
            return Vec::new();
        }
        all.extend(words);
    }
    all
}

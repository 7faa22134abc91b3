//! `perfstream schema`: one JSON Schema (draft 2020-12) for editors, with every stage's parameters
//! bound to its `uses`.

use crate::check::{detector_schema, framework_schema, pipeline_schema, receivers_schema};
use crate::model::DocumentKind;
use crate::registry::STAGES;
use serde_json::{Map, Value, json};

/// The schema of a document of a pipeline file.
pub fn schema() -> Value {
    let mut defs = Map::new();
    let pipeline = take_in(pipeline_schema().clone(), "", &mut defs);
    let framework = take_in(framework_schema().clone(), "", &mut defs);
    let detector = take_in(detector_schema().clone(), "Detector.", &mut defs);
    let receivers = take_in(receivers_schema().clone(), "Receivers.", &mut defs);
    let mut conditions = Vec::new();
    for stage in STAGES {
        let mut with = take_in(stage.schema(), &format!("{}.", stage.name), &mut defs);
        with["title"] = format!("Parameters of {}", stage.name).into();
        defs.insert(format!("{}.with", stage.name), with);
        conditions.push(json!({
            "if": { "properties": { "uses": { "const": stage.uses() } }, "required": ["uses"] },
            "then": { "properties": { "with": { "$ref": format!("#/$defs/{}.with", stage.name) } } },
        }));
    }
    if let Some(transform) = defs.get_mut("Transform") {
        let uses: Vec<String> = STAGES.iter().map(|s| s.uses()).collect();
        // Modules of others are allowed, so these are offered and not demanded.
        transform["properties"]["uses"]["examples"] = json!(uses);
        transform["allOf"] = conditions.into();
    }
    defs.insert("Pipeline".into(), pipeline);
    defs.insert("Framework".into(), framework);
    defs.insert("Detector".into(), detector);
    defs.insert("Receivers".into(), receivers);
    for (name, schema) in &mut defs {
        if let Some(object) = schema.as_object_mut() {
            object.entry("title").or_insert_with(|| name.as_str().into());
        }
    }
    let is = |kind: DocumentKind| json!({ "properties": { "kind": { "const": kind.name() } }, "required": ["kind"] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "perfstream document",
        "description": "A document of a perfstream file: a pipeline, or what pipelines refer to",
        "if": is(DocumentKind::Framework),
        "then": { "$ref": "#/$defs/Framework" },
        "else": {
            "if": is(DocumentKind::Detector),
            "then": { "$ref": "#/$defs/Detector" },
            "else": {
                "if": is(DocumentKind::Receivers),
                "then": { "$ref": "#/$defs/Receivers" },
                "else": { "$ref": "#/$defs/Pipeline" },
            },
        },
        "$defs": defs,
    })
}

/// Moves the definitions of a schema to `defs`, under `prefix`, and gives the rest.
fn take_in(mut schema: Value, prefix: &str, defs: &mut Map<String, Value>) -> Value {
    point_to(&mut schema, prefix);
    let own = schema.as_object_mut().and_then(|o| o.remove("$defs"));
    for (name, definition) in own.into_iter().filter_map(|d| d.as_object().cloned()).flatten() {
        defs.insert(format!("{prefix}{name}"), definition);
    }
    schema
}

fn point_to(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{prefix}{name}");
                        }
                    }
                    _ => point_to(value, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point_to(item, prefix)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::yaml;

    fn document(text: &str) -> Value {
        let mut out = Vec::new();
        yaml::parse(&Source::new("f", text), &mut out)[0].to_value()
    }

    #[test]
    fn the_examples_fit() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        for text in [include_str!("check/tests/lcp.yaml"), include_str!("check/tests/design.yaml")] {
            let found: Vec<_> =
                validator.iter_errors(&document(text)).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(found.is_empty(), "{found:#?}");
        }
        let detector =
            json!({ "apiVersion": "perfstream/v1", "kind": "Detector", "meta": { "name": "d" }, "preset": "best" });
        assert!(validator.is_valid(&detector));
        let unknown = json!({ "apiVersion": "perfstream/v1", "kind": "Detector", "meta": { "name": "d" }, "more": 1 });
        assert!(!validator.is_valid(&unknown));
    }

    #[test]
    fn a_wrong_parameter_of_a_stage_does_not_fit() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        for (right, wrong) in
            [("where: value", "wehre: value"), ("operator: in", "operator: inn"), ("kind: Pipeline", "kind: Pipelin")]
        {
            let text = include_str!("check/tests/lcp.yaml").replace(right, wrong);
            assert!(!validator.is_valid(&document(&text)), "{wrong}");
        }
    }

    #[test]
    fn everything_is_described() {
        fn look(path: &str, root: &Value, schema: &Value, missing: &mut Vec<String>) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                let has = |s: &Value| s["description"].as_str().is_some_and(|d| !d.is_empty());
                let target = crate::check::structure::resolve(root, property);
                // The constant of a tag is explained by the branch it picks.
                if !has(property) && !has(target) && property.get("const").is_none() {
                    missing.push(path.clone());
                }
                look(&path, root, property, missing);
            }
            for key in ["oneOf", "anyOf"] {
                for branch in schema[key].as_array().into_iter().flatten() {
                    look(path, root, branch, missing);
                }
            }
        }
        let schema = schema();
        let mut missing = Vec::new();
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            look(name, &schema, definition, &mut missing);
            assert!(definition["title"].is_string(), "{name}");
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }
}

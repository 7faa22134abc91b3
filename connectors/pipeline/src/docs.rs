//! Files that are made from the config structs: the parameter tables of the SmartModules' READMEs,
//! their `SmartModule.toml`, and the JSON Schema beside the shipped pipelines. A test fails when one
//! of them is stale.

use crate::check::stages;
use crate::check::structure::first_sentence;
use crate::params::{Param, Shape, params, shape, type_words};
use crate::registry::{GROUP, STAGES, StageEntry, VERSION, schema_of};
use perfstream_core::detect::Detector;
use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// All generated files below the repository's root, as they should be. A README without the
/// marks, or that is not there, is left alone.
///
/// The schemas are what `perfstream schema` prints.
pub fn generated(root: &Path) -> Vec<(PathBuf, String)> {
    let schema = format!("{:#}\n", crate::schema::schema());
    let status = format!("{:#}\n", crate::run::records::schema());
    let report = format!("{:#}\n", crate::analyze::report::schema());
    let schemas = [("schema.json", schema), ("status.schema.json", status), ("report.schema.json", report)];
    let mut files: Vec<_> = schemas.map(|(name, text)| (root.join("pipelines").join(name), text)).into();
    for stage in STAGES {
        let folder = root.join("smartmodules").join(stage.name);
        files.push((folder.join("SmartModule.toml"), smart_module_toml(stage)));
        let readme = folder.join("README.md");
        let text = std::fs::read_to_string(&readme).unwrap_or_default();
        if let Some(mut text) = between_marks(&text, "params", &tables(stage)) {
            // The stage whose parameters stand in documents of their own.
            if let Some(more) = between_marks(&text, "detector", &tables_of(&schema_of::<Detector>())) {
                text = more;
            }
            files.push((readme, text));
        }
    }
    files
}

fn between_marks(text: &str, name: &str, tables: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{tables}{end}{after}"))
}

/// What Fluvio's tools read about a module.
pub fn smart_module_toml(stage: &StageEntry) -> String {
    let mut text = format!(
        "# Made by `cargo xtask gen` from the stage's config struct.\n\
         [package]\nname = {}\ngroup = {}\nversion = {}\napiVersion = \"0.1.0\"\ndescription = {}\n\
         license = \"Apache-2.0\"\nvisibility = \"public\"\n",
        toml(stage.name),
        toml(GROUP),
        toml(VERSION),
        toml(stage.summary),
    );
    let config = "All parameters as one JSON object; a long one goes on in `config.1`, `config.2`, … It takes the place of the single ones below";
    let runtime = "Where the stage stands and what it reads and writes, as JSON; set by perfstream";
    let mut param = |name: &str, about: &str| {
        // Writing to a String never fails.
        let _ = write!(text, "\n[[params]]\nname = {}\ndescription = {}\noptional = true\n", toml(name), toml(about));
    };
    param("config", config);
    param("runtime", runtime);
    if let Some(structure) = stages::schema(stage.name) {
        let root = structure.schema();
        for p in params(root, root) {
            // Optional to Fluvio even where the stage needs it, since `config` may hold it.
            let needed = if p.required { " (required, here or in `config`)" } else { "" };
            param(p.name, &format!("{}{needed}", first_sentence(&p.about)));
        }
    }
    text
}

/// A basic TOML string.
fn toml(text: &str) -> String {
    let escaped: String = text
        .chars()
        .flat_map(|c| match c {
            '"' => vec!['\\', '"'],
            '\\' => vec!['\\', '\\'],
            c if c.is_control() => vec![' '],
            c => vec![c],
        })
        .collect();
    format!("\"{escaped}\"")
}

/// The parameter tables of a stage, as Markdown: the block itself, then everything in it that has
/// parameters of its own.
pub fn tables(stage: &StageEntry) -> String {
    stages::schema(stage.name).map_or_else(String::new, |structure| tables_of(structure.schema()))
}

/// The tables of a schema.
fn tables_of(root: &Value) -> String {
    let mut text = String::new();
    let mut waiting = vec![(String::new(), root)];
    let mut done: Vec<&Value> = Vec::new();
    while !waiting.is_empty() {
        let (path, schema) = waiting.remove(0);
        if done.iter().any(|d| std::ptr::eq(*d, schema)) {
            continue; // the same struct in two places; one table is enough
        }
        done.push(schema);
        if !path.is_empty() {
            let _ = write!(text, "\n`{path}`:\n\n");
        }
        let mut below = Vec::new();
        match shape(root, schema) {
            Shape::Tagged(branches) => tagged_table(root, &branches, &mut text),
            _ => {
                text.push_str("| parameter | type | default | what it does |\n|---|---|---|---|\n");
                for p in params(root, schema) {
                    let _ = writeln!(text, "| `{}` {}", p.name, cells(root, &p));
                    below.extend(nested(root, p.schema, &join(&path, p.name)));
                }
            }
        }
        waiting.splice(0..0, below);
    }
    text
}

/// One table for all that a tag can pick.
fn tagged_table(root: &Value, branches: &[(&str, String, &Value)], text: &mut String) {
    let key = branches.first().map_or("type", |(key, ..)| *key);
    let _ = write!(text, "| `{key}` | parameter | type | default | what it does |\n|---|---|---|---|---|\n");
    for (key, value, branch) in branches {
        let about = branch["description"].as_str().unwrap_or_default();
        let _ = writeln!(text, "| `{value}` | | | | {} |", cell(about));
        for p in params(root, branch).iter().filter(|p| p.name != *key) {
            let _ = writeln!(text, "| | `{}` {}", p.name, cells(root, p));
        }
    }
}

fn cells(root: &Value, p: &Param<'_>) -> String {
    let default = if p.required { "required" } else { &p.default };
    format!("| {} | {} | {} |", type_words(root, p.schema), cell(default), cell(&p.about))
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// What in a parameter has a table of its own.
fn nested<'a>(root: &'a Value, schema: &'a Value, path: &str) -> Option<(String, &'a Value)> {
    match shape(root, schema) {
        Shape::Object(object) => Some((path.to_string(), object)),
        Shape::Tagged(_) => Some((path.to_string(), crate::check::structure::resolve(root, schema))),
        Shape::List(items) => nested(root, items, &format!("{path}[]")),
        Shape::Map(values) => nested(root, values, &format!("{path}.NAME")),
        Shape::Plain => None,
    }
}

//! Reference tables from files: `tables: {NAME: {file: …}}` of `enrich` becomes inline rows.
//!
//! A stage does no IO, so the rows are read where the pipeline is planned: a JSON array, JSON lines
//! or CSV with a header line. The path is relative to the pipeline file.

use perfstream_core::Issue;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A table file is at most this long.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The config with every table file read in; None if it names none. The error stands at the path of
/// the key in the config.
pub fn inline(config: &str, pipeline_file: &str) -> Result<Option<String>, Issue> {
    let Ok(mut config) = serde_json::from_str::<Value>(config) else { return Ok(None) };
    let Some(tables) = config.get_mut("tables").and_then(Value::as_object_mut) else { return Ok(None) };
    let base = Path::new(pipeline_file).parent().unwrap_or(Path::new(""));
    let mut any = false;
    for (name, table) in tables.iter_mut() {
        let Some(table) = table.as_object_mut() else { continue };
        let Some(file) = table.get("file").and_then(Value::as_str).map(|f| base.join(f)) else { continue };
        let at = format!("tables.{name}.file");
        let rows = read(&file).map_err(|why| {
            Issue::error(at, format!("the table cannot be read: {why}")).hint(
                "a JSON array of objects, JSON lines, or CSV with a header line; the path is relative to this file",
            )
        })?;
        table.remove("file");
        match table.entry("rows").or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(inline) => inline.extend(rows),
            other => *other = Value::Array(rows),
        }
        any = true;
    }
    Ok(any.then(|| config.to_string()))
}

fn read(path: &PathBuf) -> Result<Vec<Value>, String> {
    let shown = path.display();
    let length = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?.len();
    if length > MAX_FILE_BYTES {
        return Err(format!("{shown} has {length} bytes; at most {MAX_FILE_BYTES} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("{shown}: {e}"))?;
    let is_csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let rows = if is_csv { csv_rows(&text) } else { json_rows(&text) };
    rows.map_err(|why| format!("{shown}: {why}"))
}

fn json_rows(text: &str) -> Result<Vec<Value>, String> {
    let rows: Vec<Value> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).map_err(|e| e.to_string())?,
        false => {
            serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().map_err(|e| e.to_string())?
        }
    };
    match rows.iter().position(|row| !row.is_object()) {
        Some(n) => Err(format!("row {} is not an object", n + 1)),
        None => Ok(rows),
    }
}

/// A cell is a number or a boolean where it reads as one, null where it is empty, else text.
fn csv_rows(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| e.to_string())?.clone();
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|e| e.to_string())?;
            let cell = |text: &str| match (text.is_empty(), serde_json::from_str::<Value>(text)) {
                (true, _) => Value::Null,
                (_, Ok(value @ (Value::Number(_) | Value::Bool(_)))) => value,
                _ => Value::from(text),
            };
            let row: Map<String, Value> =
                header.iter().zip(&record).map(|(name, text)| (name.to_string(), cell(text))).collect();
            Ok(Value::Object(row))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_rows() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("a.csv", "page,team,tier\n/checkout,payments,1\n\"/a,b\",,x\n");
        write("b.jsonl", "{\"page\":\"/x\"}\n{\"page\":\"/y\"}\n");
        write("c.json", "[{\"page\":\"/z\"}]");
        write("bad.json", "[1]");
        let pipeline = dir.path().join("p.yaml");
        let run = |file: &str| {
            let config =
                format!(r#"{{"tables":{{"t":{{"key":["page"],"rows":[{{"page":"/own"}}],"file":"{file}"}}}}}}"#);
            inline(&config, pipeline.to_str().unwrap())
        };
        let rows = |file: &str| {
            let config: Value = serde_json::from_str(&run(file).unwrap().unwrap()).unwrap();
            assert!(config["tables"]["t"].get("file").is_none());
            config["tables"]["t"]["rows"].clone()
        };
        assert_eq!(
            rows("a.csv"),
            serde_json::json!([
                {"page": "/own"}, {"page": "/checkout", "team": "payments", "tier": 1}, {"page": "/a,b", "team": null, "tier": "x"}
            ])
        );
        assert_eq!(rows("b.jsonl"), serde_json::json!([{"page": "/own"}, {"page": "/x"}, {"page": "/y"}]));
        assert_eq!(rows("c.json"), serde_json::json!([{"page": "/own"}, {"page": "/z"}]));
        assert!(run("bad.json").unwrap_err().message.contains("row 1 is not an object"));
        assert_eq!(run("none.csv").unwrap_err().path, "tables.t.file");
        assert_eq!(inline("{}", "p.yaml"), Ok(None));
    }
}

//! The output stream of a pipeline: results as the fields that `output.schema` names.
//!
//! A pipeline of windows makes one analysis record per window result, an event-driven one per
//! session, a continuous one per event. A column takes the value of its `from` expression, or of
//! the field of its own name; what no stage fills is null. A value of another type than the schema
//! says makes a dead letter instead of the record.

use perfstream_core::clock::NEVER;
use perfstream_core::expr::{Expr, Scalar};
use perfstream_core::json::{write_str, write_value};
use perfstream_core::row::{Fields, Slot};
use perfstream_core::{Issue, Kind, Row, Value, time};

/// Makes analysis records.
#[derive(Debug, Clone)]
pub struct Analysis {
    pipeline: String,
    kind: Kind,
    window: Option<String>,
    window_slot: Slot,
    id_slot: Slot,
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    word: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    EventTime,
    Field(Slot),
    Expression(Expr),
}

/// One column as the pipeline file has it: name, type word, `from`.
pub type ColumnSpec<'a> = (&'a str, &'a str, Option<&'a str>);

/// A record made of a row.
#[derive(Debug, PartialEq, Eq)]
pub struct Projected {
    /// [`Kind::Analysis`], or [`Kind::DeadLetter`] if a value is not what the schema says
    pub kind: Kind,
    /// The record
    pub json: Vec<u8>,
}

impl Analysis {
    /// `kind` is what results are; `window` narrows them to one named window. An error is a bad
    /// `from` expression, its path the column.
    pub fn new(
        pipeline: &str,
        kind: Kind,
        window: Option<&str>,
        columns: &[ColumnSpec<'_>],
        fields: &mut Fields,
    ) -> Result<Analysis, Issue> {
        let column = |(name, word, from): &ColumnSpec<'_>, fields: &mut Fields| {
            let source = match from {
                Some(text) => {
                    Source::Expression(Expr::parse(text, fields).map_err(|i| i.under(&format!("{name}.from")))?)
                }
                None if *name == "timestamp" => Source::EventTime,
                None => Source::Field(fields.slot(name)),
            };
            Ok::<_, Issue>(Column { name: name.to_string(), word: word.to_string(), source })
        };
        Ok(Analysis {
            pipeline: pipeline.to_string(),
            kind,
            window: window.map(str::to_string),
            window_slot: fields.slot("window"),
            id_slot: fields.slot("id"),
            columns: columns.iter().map(|c| column(c, fields)).collect::<Result<_, _>>()?,
        })
    }

    /// The analysis record of a row, if the row is a result.
    pub fn project(&self, row: &Row<'_>) -> Option<Projected> {
        if row.meta.kind != self.kind {
            return None;
        }
        if let Some(window) = &self.window
            && row.get(self.window_slot) != Value::Str(window)
        {
            return None;
        }
        let source = row.get(self.id_slot).as_str().unwrap_or_default();
        let offset = row.meta.offset.to_le_bytes();
        let id = perfstream_core::id::id(&[self.pipeline.as_bytes(), b"analysis", source.as_bytes(), &offset]);
        let mut json = format!("{{\"kind\":\"analysis\",\"id\":\"{id}\"").into_bytes();
        for column in &self.columns {
            json.push(b',');
            write_str(&column.name, &mut json);
            json.push(b':');
            let start = json.len();
            let found = column.write(row, &mut json);
            if !fits(&column.word, found) {
                let text = String::from_utf8_lossy(&json[start..]).into_owned();
                return Some(self.dead_letter(row, &id, column, &text));
            }
        }
        json.push(b'}');
        Some(Projected { kind: Kind::Analysis, json })
    }

    fn dead_letter(&self, row: &Row<'_>, id: &str, column: &Column, found: &str) -> Projected {
        let detail = format!("the output schema says `{}` is {}; found {found}", column.name, column.word);
        let mut sample = Vec::new();
        perfstream_core::json::write_row(row, &mut sample);
        sample.truncate(perfstream_core::decode::SAMPLE_BYTES);
        let letter = serde_json::json!({
            "kind": "dead_letter", "id": id, "pipeline": self.pipeline, "stage": "output", "offset": row.meta.offset,
            "reason": "output_schema", "detail": detail, "sample": String::from_utf8_lossy(&sample),
        });
        Projected { kind: Kind::DeadLetter, json: letter.to_string().into_bytes() }
    }
}

impl Column {
    /// Appends the value; returns its type word.
    fn write(&self, row: &Row<'_>, json: &mut Vec<u8>) -> &'static str {
        let value = match &self.source {
            Source::EventTime if row.meta.event_time == NEVER => Value::Null,
            Source::EventTime => {
                write_str(&time::format(row.meta.event_time), json);
                return "datetime";
            }
            Source::Field(slot) => row.get(*slot),
            Source::Expression(expr) => match expr.eval_row(row) {
                Scalar::Null => Value::Null,
                Scalar::Bool(b) => Value::Bool(b),
                Scalar::Num(x) => Value::Float(x),
                Scalar::Json(text) => {
                    write_value(Value::Json(text), json);
                    return Value::Json(text).type_name();
                }
                Scalar::Str(text) => {
                    write_str(&text, json);
                    return "string";
                }
            },
        };
        match value {
            Value::Float(x) if !x.is_finite() => write_value(Value::Null, json),
            value => write_value(value, json),
        }
        value.type_name()
    }
}

/// Null fits everything; a time stamp may be text or a number.
fn fits(word: &str, found: &str) -> bool {
    found == "null" || found == word || (word == "datetime" && matches!(found, "string" | "number"))
}

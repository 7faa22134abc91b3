//! JSON text: rows out, and paths into nested values.

use crate::clock::NEVER;
use crate::row::{Kind, Row};
use crate::time;
use crate::value::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Appends a row as one JSON object. An event is its fields as they came; every other kind starts
/// with `kind` and `timestamp` (its event time), by which [`crate::decode`] knows it again. An
/// event whose first field has that name starts with a space, so that it is not taken for one.
pub fn write_row(row: &Row<'_>, dest: &mut Vec<u8>) {
    dest.push(b'{');
    if row.meta.kind == Kind::Event && row.fields().next().is_some_and(|(name, _)| name == "kind") {
        dest.push(b' ');
    }
    let empty = dest.len();
    if row.meta.kind != Kind::Event {
        dest.extend_from_slice(b"\"kind\":\"");
        dest.extend_from_slice(row.meta.kind.name().as_bytes());
        dest.push(b'"');
        if row.meta.event_time != NEVER {
            dest.extend_from_slice(b",\"timestamp\":\"");
            dest.extend_from_slice(time::format(row.meta.event_time).as_bytes());
            dest.push(b'"');
        }
    }
    let stamped = row.meta.event_time != NEVER;
    for (name, value) in row.fields() {
        // A late event brings fields of its own by these names; no object has a name twice.
        if row.meta.kind != Kind::Event && (name == "kind" || stamped && name == "timestamp") {
            continue;
        }
        if dest.len() > empty {
            dest.push(b',');
        }
        write_str(name, dest);
        dest.push(b':');
        write_value(value, dest);
    }
    dest.push(b'}');
}

/// Appends a value.
pub fn write_value(value: Value<'_>, dest: &mut Vec<u8>) {
    match value {
        Value::Null => dest.extend_from_slice(b"null"),
        Value::Bool(true) => dest.extend_from_slice(b"true"),
        Value::Bool(false) => dest.extend_from_slice(b"false"),
        // Writing a number or a string into a Vec cannot fail.
        Value::Int(n) => drop(serde_json::to_writer(dest, &n)),
        Value::Float(x) => drop(serde_json::to_writer(dest, &x)),
        Value::Str(s) => write_str(s, dest),
        Value::Json(text) => dest.extend_from_slice(text.as_bytes()),
    }
}

/// Appends a JSON string.
pub fn write_str(s: &str, dest: &mut Vec<u8>) {
    drop(serde_json::to_writer(dest, s));
}

/// The value at a dotted path inside an object's JSON text, borrowed. A text with escapes cannot
/// be borrowed and reads as its JSON form.
pub fn get_path<'a>(text: &'a str, path: &str) -> Option<Value<'a>> {
    let mut text = text;
    for part in path.split('.') {
        text = member(text, part)?;
    }
    Some(scalar(text))
}

/// The JSON text of a member of an object's JSON text.
pub fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let object: BTreeMap<&str, &'a RawValue> = serde_json::from_str(object).ok()?;
    Some(object.get(name)?.get())
}

/// A JSON text as a value.
pub fn scalar(text: &str) -> Value<'_> {
    match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => match text.contains('\\') {
            true => Value::Json(text),
            false => Value::Str(&text[1..text.len() - 1]),
        },
        Some(b'[' | b'{') => Value::Json(text),
        _ => match text.parse::<i64>() {
            Ok(n) => Value::Int(n),
            Err(_) => text.parse().map_or(Value::Null, Value::Float),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeConfig, Decoder, Record};
    use crate::row::{Fields, Output, Rows};
    use crate::stage::Context;

    /// A record through a first stage, JSON, and a second stage: kinds and texts after each.
    fn twice(value: &str) -> [Vec<(Kind, String)>; 2] {
        let input = DecodeConfig { events_only: true, ..DecodeConfig::default() };
        let between = input.between_stages();
        let mut text = value.to_string();
        [input, between].map(|config| {
            let mut out = Output::default();
            let record = Record { offset: 0, log_time: 0, key: None, value: text.as_bytes() };
            Decoder::new(config, &Context::default()).decode(&record, &mut out);
            let (batch, none) = (out.as_batch(), Fields::default());
            let mut rows = Rows::new(&batch, &none, 0);
            let mut written = Vec::new();
            while let Some(Ok(row)) = rows.next() {
                let mut bytes = Vec::new();
                write_row(&row, &mut bytes);
                written.push((row.meta.kind, String::from_utf8(bytes).unwrap()));
            }
            text = written[0].1.clone();
            written
        })
    }

    #[test]
    fn an_event_stays_one_between_stages() {
        for value in [
            r#"{"kind":"window","p75":9}"#,
            r#"{"kind":"dead_letter","reason":"x"}"#,
            r#"{"kind":7}"#,
            r#"{"kind":"window","p75":9,"note":null}"#,
        ] {
            let [first, second] = twice(value);
            assert_eq!(first, second);
            assert_eq!(first, [(Kind::Event, value.replacen('{', "{ ", 1))]);
        }
        let [first, second] = twice(r#"{"p75":9,"kind":"window"}"#);
        assert_eq!((first[0].0, second[0].1.as_str()), (Kind::Event, r#"{"p75":9,"kind":"window"}"#));
    }

    #[test]
    fn limits_are_about_input_only() {
        let fields: Vec<String> =
            (0..1024).map(|n| format!("\"f{n}\":{}1{}", "[".repeat(63), "]".repeat(63))).collect();
        let [first, _] = twice(&format!("{{{}}}", fields.join(",")));
        assert_eq!(first[0].0, Kind::Event);
        let value = format!("{{{},\"one_more\":1}}", fields.join(","));
        assert_eq!(twice(&value)[0][0].0, Kind::DeadLetter);
        let between = DecodeConfig { events_only: true, ..DecodeConfig::default() }.between_stages();
        let mut out = Output::default();
        let record = Record { offset: 0, log_time: 0, key: None, value: value.as_bytes() };
        let mut decoder = Decoder::new(between, &Context::default());
        decoder.decode(&record, &mut out);
        assert_eq!(decoder.counts().dead, 0);
    }
}

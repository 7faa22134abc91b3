//! Texts of alert records: group key, labels, values, summary.
//!
//! What users' rows bring is cut to [`MAX_TEXT_BYTES`] per field, so an alert's size depends on
//! the config alone. Objects are written with their fields in the order given. Cost: linear in
//! the text. Nothing here fails.

use crate::config::Issue;
use crate::json::{write_str, write_value};
use crate::row::{Fields, Row, Slot};
use crate::value::Value;
use std::collections::BTreeMap;

/// An alert keeps at most this much of one field.
pub const MAX_TEXT_BYTES: usize = 256;
/// A longer group key is replaced by its hash.
const MAX_KEY_BYTES: usize = 512;

/// A field by name and slot.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) name: Box<str>,
    pub(crate) slot: Slot,
}

/// Slots by name.
pub(crate) fn named(name: &str, fields: &mut Fields) -> Named {
    Named { name: name.into(), slot: fields.slot(name) }
}

/// Writes what tells the row's group from others: names and values of its fields. The key is the
/// same however the config orders them, so `by` must be sorted.
pub(crate) fn group_key(by: &[Named], row: &Row<'_>, key: &mut Vec<u8>) {
    key.clear();
    for Named { name, slot } in by {
        let value = row.get(*slot);
        if !value.is_null() {
            Value::Str(name).write_key(key);
            value.write_key(key);
        }
    }
    if key.len() > MAX_KEY_BYTES {
        let hash = crate::id::id(&[key]);
        key.clear();
        key.extend_from_slice(hash.as_bytes());
    }
}

/// The group's fields and the rule's labels as one object, by name.
pub(crate) fn labels(by: &[Named], row: &Row<'_>, own: &BTreeMap<String, String>) -> String {
    let group = by.iter().map(|field| (&*field.name, row.get(field.slot))).filter(|(_, value)| !value.is_null());
    let own = own.iter().map(|(name, value)| (name.as_str(), Value::Str(value)));
    object(group.chain(own).collect::<BTreeMap<_, _>>())
}

/// The values of some fields as one object; an absent one is null.
pub(super) fn values(of: &[Named], row: &Row<'_>) -> String {
    object(of.iter().map(|field| (&*field.name, row.get(field.slot))))
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> String {
    let mut text = vec![b'{'];
    for (name, value) in fields {
        if text.len() > 1 {
            text.push(b',');
        }
        write_str(name, &mut text);
        text.push(b':');
        write_value(shortened(value), &mut text);
    }
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
}

/// The value, or as a string the beginning of a long one.
pub(crate) fn shortened(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Str(s) => Value::Str(cut(s)),
        Value::Json(s) if s.len() > MAX_TEXT_BYTES => Value::Str(cut(s)),
        other => other,
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Text with `{field}` placeholders.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(Box<str>),
    Field(Slot),
}

impl Template {
    /// Reads a template; the error has the byte offset.
    pub(crate) fn parse(text: &str, fields: &mut Fields) -> Result<Template, Issue> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(behind) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                literal.push_str(&brace[..1]);
                rest = behind;
                continue;
            }
            let offset = text.len() - brace.len();
            let name = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            match name {
                Some((name, behind)) if !name.trim().is_empty() && !name.contains('{') => {
                    pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
                    pieces.push(Piece::Field(fields.slot(name.trim())));
                    rest = behind;
                }
                _ => {
                    let issue = Issue::error("", "expected `{field}`, found a brace that is none").at(offset);
                    return Err(issue.hint("write `{{` or `}}` for a brace"));
                }
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal.into()));
        Ok(Template(pieces))
    }

    /// The text for a row.
    pub(super) fn fill(&self, row: &Row<'_>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Field(slot) => push_plain(shortened(row.get(*slot)), &mut text),
            }
        }
        text
    }

    /// As [`Template::fill`]; None if the row lacks one of the fields.
    pub(crate) fn fill_known(&self, row: &Row<'_>) -> Option<String> {
        let known = |piece: &Piece| !matches!(piece, Piece::Field(slot) if row.get(*slot).is_null());
        self.0.iter().all(known).then(|| self.fill(row))
    }

    /// The field, if the text is nothing but its placeholder.
    pub(crate) fn field_alone(&self) -> Option<Slot> {
        let mut pieces = self.0.iter().filter(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        match (pieces.next(), pieces.next()) {
            (Some(Piece::Field(slot)), None) => Some(*slot),
            _ => None,
        }
    }
}

/// Appends a value for people: text without quotes, numbers with at most three decimals.
fn push_plain(value: Value<'_>, text: &mut String) {
    match value {
        Value::Str(s) => text.push_str(s),
        // Beyond this a float has no decimals; `{:.3}` would print hundreds of digits.
        Value::Float(x) if x.abs() < 1e15 && (x == 0.0 || x.abs() >= 1e-3) => {
            let digits = format!("{x:.3}");
            text.push_str(digits.trim_end_matches('0').trim_end_matches('.'));
        }
        other => {
            let mut json = Vec::new();
            write_value(other, &mut json);
            text.push_str(&String::from_utf8_lossy(&json));
        }
    }
}

/// `page=/checkout, browser=Chrome` of an object's text.
pub(super) fn plain_object(json: &str) -> String {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let mut text = String::new();
    for (name, value) in &object {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        push_plain(crate::value::OwnedValue::from(value).as_value(), &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Meta, Output, Rows};

    fn with_row<T>(fields: &Fields, write: impl Fn(&mut crate::row::RowWriter<'_>), then: impl Fn(&Row<'_>) -> T) -> T {
        let mut out = Output::default();
        out.begin(&[]);
        write(&mut out.row(Meta::default(), None));
        let batch = out.as_batch();
        let mut rows = Rows::new(&batch, fields, 0);
        let row = rows.next().unwrap().unwrap();
        then(&row)
    }

    #[test]
    fn templates() {
        for (template, want) in [
            ("", ""),
            ("plain", "plain"),
            ("{page}: {p75} ms", "/a: 4321.988 ms"),
            ("{{{ page }}}", "{/a}"),
            ("{missing}|{tiny}|{n}|{ok}", "null|0.00001|7|true"),
        ] {
            let mut fields = Fields::default();
            let parsed = Template::parse(template, &mut fields).unwrap();
            let text = with_row(
                &fields,
                |row| {
                    row.field("page", "/a")
                        .field("p75", 4321.98765)
                        .field("tiny", 1e-5)
                        .field("n", 7_i64)
                        .field("ok", true);
                },
                |row| parsed.fill(row),
            );
            assert_eq!(text.replace("1e-5", "0.00001"), want, "{template}");
        }
        for (bad, at) in [("a {", 2), ("a }", 2), ("{}", 0), ("{a{b}", 0), ("é{ } ", 2)] {
            let issue = Template::parse(bad, &mut Fields::default()).unwrap_err();
            assert_eq!((issue.at, issue.warning), (Some(at), false), "{bad}");
        }
    }

    #[test]
    fn keys_and_texts_are_bounded_and_differ() {
        let mut fields = Fields::default();
        let by = [named("browser", &mut fields), named("page", &mut fields)];
        let keys: Vec<Vec<u8>> = ["é".repeat(1000), "é".repeat(1001), "x".into()]
            .iter()
            .map(|page| {
                with_row(
                    &fields,
                    |row| {
                        row.field("page", page).field("browser", Value::Null);
                    },
                    |row| {
                        let mut key = Vec::new();
                        group_key(&by, row, &mut key);
                        assert!(labels(&by, row, &BTreeMap::new()).len() < 300);
                        key
                    },
                )
            })
            .collect();
        assert!(keys.iter().all(|key| key.len() <= MAX_KEY_BYTES));
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        // The same value in another field is another group.
        let other = with_row(
            &fields,
            |row| _ = row.field("browser", "x"),
            |row| {
                let mut key = Vec::new();
                group_key(&by, row, &mut key);
                key
            },
        );
        assert_ne!(other, keys[2]);
    }

    #[test]
    fn objects_for_people() {
        assert_eq!(
            plain_object(r#"{"browser":"Chrome","p75":4000.5,"n":3,"x":null}"#),
            "browser=Chrome, n=3, p75=4000.5, x=null"
        );
        assert_eq!(plain_object("{}"), "");
    }
}

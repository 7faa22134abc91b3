//! Flat records of what services send: fixed fields first, then attributes under names that
//! expressions can say.
//!
//! A pipeline reads `a.b` as the field `b` of the object `a`. So an attribute `http.request.method`
//! becomes the field `http_request_method`: every character but letters, digits and `_` is a `_`.
//! An attribute whose name is that of a fixed field is `attribute_NAME`. Bounds: [`ATTRIBUTES`]
//! fields, texts of [`TEXT_BYTES`]; what is beyond is left out or cut, never an error.

use serde_json::{Map, Value};

/// Most attributes of a record; the rest are left out.
pub const ATTRIBUTES: usize = 64;

/// Longest text of an attribute, bytes; the rest is cut off.
pub const TEXT_BYTES: usize = 512;

/// Longest name of an attribute, bytes.
const NAME_BYTES: usize = 128;

/// Most elements of a list.
const LIST: usize = 16;

/// Fixed fields that are put in behind the attributes.
const LATER: [&str; 2] = ["id", "received"];

/// A record that is being made.
#[derive(Debug, Clone, Default)]
pub struct Flat {
    fields: Map<String, Value>,
    attributes: usize,
}

impl Flat {
    /// A fixed field; null is left out.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if !value.is_null() {
            self.fields.insert(name.into(), value);
        }
    }

    /// A fixed field of text, cut; an empty one is left out.
    pub fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.set(name, cut(text, TEXT_BYTES));
        }
    }

    /// A fixed field of a number; one that JSON cannot hold is left out.
    pub fn number(&mut self, name: &str, value: f64) {
        self.set(name, Value::from(value));
    }

    /// An attribute; fixed fields must be there before. Objects and null are left out.
    pub fn attribute(&mut self, name: &str, value: Value) {
        if self.attributes >= ATTRIBUTES {
            return;
        }
        let Some(value) = plain(value) else { return };
        let mut name = field_name(name);
        if name.is_empty() {
            return;
        }
        if self.fields.contains_key(&name) || LATER.contains(&name.as_str()) {
            name = format!("attribute_{name}");
        }
        self.attributes += 1;
        self.fields.insert(name, value);
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// The field `id`: a hash of all that is there, so that what is sent again has the same.
    pub fn set_id(&mut self) {
        let text = serde_json::to_vec(&self.fields).unwrap_or_default();
        self.set("id", perfstream_core::id::id(&[&text]));
    }

    /// The record.
    pub fn into_value(self) -> Value {
        Value::Object(self.fields)
    }
}

/// A name as a field of a record.
pub fn field_name(name: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    name.chars().take(NAME_BYTES).map(legal).collect()
}

/// At most so many bytes, at a boundary of characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Texts, numbers, booleans and lists of those.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(cut(&text, TEXT_BYTES).into()),
        Value::Array(list) => {
            let scalars = list.into_iter().filter(|v| !v.is_array()).filter_map(plain);
            Some(Value::Array(scalars.take(LIST).collect()))
        }
        scalar => Some(scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_stand_beside_fixed_fields() {
        let mut flat = Flat::default();
        flat.set("value", 5);
        flat.text("host", "");
        flat.number("nan", f64::NAN);
        flat.attribute("http.request.method", json!("GET"));
        flat.attribute("value", json!(7));
        flat.attribute("id", json!(7));
        flat.attribute("", json!(7));
        flat.attribute("deep", json!({"a": 1}));
        flat.attribute("tags", json!(["a", 1, [2], {"b": 3}, null]));
        let want = json!({"value": 5, "http_request_method": "GET", "attribute_value": 7, "attribute_id": 7, "tags": ["a", 1]});
        assert_eq!(flat.into_value(), want);
    }

    #[test]
    fn attributes_are_bounded() {
        let mut flat = Flat::default();
        for n in 0..100 {
            flat.attribute(&format!("a{n}"), json!("ä".repeat(500)));
        }
        let value = flat.into_value();
        let fields = value.as_object().unwrap();
        assert_eq!(fields.len(), ATTRIBUTES);
        assert!(fields.values().all(|v| v.as_str().unwrap().len() == TEXT_BYTES));
        assert_eq!(field_name(&"é".repeat(1000)).len(), NAME_BYTES);
    }
}

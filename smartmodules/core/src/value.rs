//! One field of a row, borrowed from the batch it lies in.

/// A typed field value. Numbers keep the form they had in JSON (`1` is `Int`, `1.0` is `Float`);
/// an array or object is kept as its compact JSON text and parsed only by who needs it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Value<'a> {
    /// JSON null, and what an absent field reads as (see [`crate::Row::has`]).
    #[default]
    Null,
    /// true or false
    Bool(bool),
    /// An integer that fits i64; larger ones are `Float`.
    Int(i64),
    /// A finite number; writers turn NaN and infinities into `Null`.
    Float(f64),
    /// Text
    Str(&'a str),
    /// Compact JSON text of an array or object
    Json(&'a str),
}

impl<'a> Value<'a> {
    /// The number, if it is one.
    pub fn as_f64(self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(n as f64),
            Value::Float(x) => Some(x),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// Null or absent?
    pub fn is_null(self) -> bool {
        matches!(self, Value::Null)
    }

    /// The words of the schema for what this is: null, boolean, number, string, array, object.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::Float(_) => "number",
            Value::Str(_) => "string",
            Value::Json(text) if text.starts_with('[') => "array",
            Value::Json(_) => "object",
        }
    }

    /// The parsed JSON value (cost: one parse for arrays and objects).
    pub fn to_json(self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => b.into(),
            Value::Int(n) => n.into(),
            Value::Float(x) => serde_json::Number::from_f64(x).map_or(serde_json::Value::Null, Into::into),
            Value::Str(s) => s.into(),
            Value::Json(text) => serde_json::from_str(text).unwrap_or(serde_json::Value::Null),
        }
    }

    /// Appends the value as part of a group key: a type byte, then bytes that cannot be confused
    /// with another value's (length-prefixed). `1` and `1.0` are one key.
    pub fn write_key(self, key: &mut Vec<u8>) {
        match self {
            Value::Null => key.push(0),
            Value::Bool(b) => key.extend_from_slice(&[1, b as u8]),
            Value::Int(_) | Value::Float(_) => {
                let x = self.as_f64().unwrap_or(0.0) + 0.0; // -0.0 and 0.0 are one key
                key.push(2);
                key.extend_from_slice(&x.to_bits().to_le_bytes());
            }
            Value::Str(s) => {
                key.push(3);
                key.extend_from_slice(&(s.len() as u32).to_le_bytes());
                crate::row::append(key, s.as_bytes());
            }
            Value::Json(s) => {
                key.push(4);
                key.extend_from_slice(&(s.len() as u32).to_le_bytes());
                key.extend_from_slice(s.as_bytes());
            }
        }
    }
}

/// A value that owns its bytes: what stages keep in their state.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub enum OwnedValue {
    /// See [`Value::Null`]
    #[default]
    Null,
    /// See [`Value::Bool`]
    Bool(bool),
    /// See [`Value::Int`]
    Int(i64),
    /// See [`Value::Float`]
    Float(f64),
    /// See [`Value::Str`]
    Str(Box<str>),
    /// See [`Value::Json`]
    Json(Box<str>),
}

impl From<Value<'_>> for OwnedValue {
    fn from(v: Value<'_>) -> Self {
        match v {
            Value::Null => OwnedValue::Null,
            Value::Bool(b) => OwnedValue::Bool(b),
            Value::Int(n) => OwnedValue::Int(n),
            Value::Float(x) => OwnedValue::Float(x),
            Value::Str(s) => OwnedValue::Str(s.into()),
            Value::Json(s) => OwnedValue::Json(s.into()),
        }
    }
}

impl From<&serde_json::Value> for OwnedValue {
    fn from(v: &serde_json::Value) -> Self {
        match v {
            serde_json::Value::Null => OwnedValue::Null,
            serde_json::Value::Bool(b) => OwnedValue::Bool(*b),
            serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => OwnedValue::Int(n),
                (None, Some(x)) => OwnedValue::Float(x),
                _ => OwnedValue::Null,
            },
            serde_json::Value::String(s) => OwnedValue::Str(s.as_str().into()),
            nested => OwnedValue::Json(nested.to_string().into()),
        }
    }
}

impl OwnedValue {
    /// The borrowed form.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            OwnedValue::Null => Value::Null,
            OwnedValue::Bool(b) => Value::Bool(*b),
            OwnedValue::Int(n) => Value::Int(*n),
            OwnedValue::Float(x) => Value::Float(*x),
            OwnedValue::Str(s) => Value::Str(s),
            OwnedValue::Json(s) => Value::Json(s),
        }
    }
}

macro_rules! from {
    ($($t:ty => |$x:ident| $e:expr),* $(,)?) => {$(
        impl<'a> From<$t> for Value<'a> {
            fn from($x: $t) -> Self { $e }
        }
    )*};
}
from! {
    bool => |x| Value::Bool(x),
    i64 => |x| Value::Int(x),
    f64 => |x| Value::Float(x),
    &'a str => |x| Value::Str(x),
    &'a String => |x| Value::Str(x),
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(x: Option<T>) -> Self {
        x.map_or(Value::Null, Into::into)
    }
}

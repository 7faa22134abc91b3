//! One JSON object into one row, in one pass over its bytes.

use super::Bad;
use crate::clock::NEVER;
use crate::json::write_str;
use crate::row::{Kind, RowWriter, same};
use crate::time::TimeParser;
use crate::value::Value;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Fields that mean something to the decoder.
pub(super) struct Wanted<'c> {
    pub(super) time_field: Option<&'c str>,
    pub(super) receive_field: Option<&'c str>,
    pub(super) events_only: bool,
    pub(super) max_fields: usize,
    pub(super) max_depth: usize,
}

/// What the object told.
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// None: no such field; Some(None): it is not a time stamp.
    pub(super) time: Option<Option<i64>>,
    pub(super) receive: Option<i64>,
}

impl Default for Seen {
    fn default() -> Self {
        Seen { kind: Kind::Event, time: None, receive: None }
    }
}

/// Guesses a field's name id from the record before: the records of a stream look alike.
#[derive(Debug, Default)]
pub(super) struct NameCache {
    /// Ids in the order of the last record's fields.
    order: Vec<u32>,
    /// Per id: the record that last had it, to find duplicates.
    seen_in: Vec<u64>,
    record: u64,
}

impl NameCache {
    /// A new record begins: no name has been seen in it.
    pub(super) fn next_record(&mut self) {
        self.record += 1;
    }

    /// The id of the record's `index`th name; None if the record had it before.
    pub(super) fn id(&mut self, name: &str, index: usize, row: &mut RowWriter<'_>) -> Option<u32> {
        let table = row.names();
        let guess = self.order.get(index).copied();
        let is = |id: &u32| table.get(*id).is_some_and(|known| same(known.as_bytes(), name.as_bytes()));
        let id = match guess.filter(is) {
            Some(id) => id,
            None => {
                let id = table.id(name);
                self.order.truncate(index);
                self.order.push(id);
                id
            }
        };
        let at = id as usize;
        if self.seen_in.len() <= at {
            self.seen_in.resize(at + 1, 0);
        }
        let again = std::mem::replace(&mut self.seen_in[at], self.record) == self.record;
        (!again).then_some(id)
    }
}

/// Reads `bytes` as one object into `row`.
pub(super) fn object(
    bytes: &[u8],
    wanted: &Wanted<'_>,
    names: &mut NameCache,
    times: &mut TimeParser,
    row: &mut RowWriter<'_>,
) -> Result<Seen, Bad> {
    names.next_record();
    let mut de = serde_json::Deserializer::from_slice(bytes);
    let visitor = ObjectVisitor { wanted, names, times, row };
    let seen = de.deserialize_any(visitor).and_then(|seen| de.end().map(|()| seen));
    seen.map_err(|e| classify(&e, bytes))
}

/// A parser's error as a reason. Our own carry theirs in front of a colon.
fn classify(error: &serde_json::Error, bytes: &[u8]) -> Bad {
    let text = error.to_string();
    for reason in ["duplicate_field", "too_deep", "too_many_fields", "not_an_object"] {
        if let Some(detail) = text.strip_prefix(reason) {
            let detail = detail.trim_start_matches(": ");
            let detail = detail.split(" at line ").next().unwrap_or(detail);
            return Bad::new(reason, detail);
        }
    }
    if let Err(e) = std::str::from_utf8(bytes) {
        return Bad::new("not_utf8", e.to_string());
    }
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        return Bad::new("invalid_json", "a byte order mark stands before the object");
    }
    if text.starts_with("number out of range") {
        return Bad::new("number_out_of_range", text);
    }
    Bad::new("invalid_json", text)
}

struct ObjectVisitor<'v, 'o, 'c> {
    wanted: &'v Wanted<'c>,
    names: &'v mut NameCache,
    times: &'v mut TimeParser,
    row: &'v mut RowWriter<'o>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_, '_, '_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut seen = Seen::default();
        let mut index = 0;
        while let Some(id) = map.next_key_seed(NameSeed { names: self.names, row: self.row, index })? {
            // The name is looked at only while the record's shape is new.
            let name = self.row.names().get(id).unwrap_or_default();
            if index == 0 && !self.wanted.events_only && name == "kind" {
                let value = map.next_value_seed(KindSeed)?;
                match value {
                    Ok(kind) => seen.kind = kind,
                    Err(text) => drop(self.row.id_field(id, Value::Str(&text))),
                }
                index += 1;
                continue;
            }
            let is_time = match seen.kind {
                Kind::Event => self.wanted.time_field == Some(name),
                _ => name == "timestamp",
            };
            let is_receive = self.wanted.receive_field == Some(name);
            let drop_field = is_time && seen.kind != Kind::Event;
            let role = Role { times: self.times, parse: is_time || is_receive, write: !drop_field };
            let max_depth = self.wanted.max_depth;
            let time = map.next_value_seed(ValueSeed { id, row: self.row, role, max_depth })?;
            if is_time {
                seen.time = Some(time);
            }
            if is_receive {
                seen.receive = time;
            }
            index += 1;
            let max = self.wanted.max_fields;
            if index > max {
                return Err(A::Error::custom(format!("too_many_fields: more than {max} fields")));
            }
        }
        self.names.order.truncate(index.max(16));
        Ok(seen)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Seen, E> {
        not_an_object("a boolean")
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Seen, E> {
        not_an_object("a number")
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Seen, E> {
        not_an_object("a number")
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Seen, E> {
        not_an_object("a number")
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<Seen, E> {
        not_an_object("a string")
    }
    fn visit_unit<E: Error>(self) -> Result<Seen, E> {
        not_an_object("null")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Seen, A::Error> {
        not_an_object("an array")
    }
}

fn not_an_object<E: Error>(found: &str) -> Result<Seen, E> {
    Err(E::custom(format!("not_an_object: expected a JSON object, found {found}")))
}

/// Reads a key to its name id; refuses a second one.
struct NameSeed<'v, 'o> {
    names: &'v mut NameCache,
    row: &'v mut RowWriter<'o>,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_> {
    type Value = u32;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<u32, D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed<'_, '_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<u32, E> {
        let again = || E::custom(format!("duplicate_field: the field `{name}` stands twice"));
        self.names.id(name, self.index, self.row).ok_or_else(again)
    }
}

/// Reads the value of `kind`: a known kind other than event, or the text it is.
struct KindSeed;

impl<'de> DeserializeSeed<'de> for KindSeed {
    type Value = Result<Kind, String>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        let text: String = serde::Deserialize::deserialize(d)?;
        Ok(Kind::parse(&text).filter(|k| *k != Kind::Event).ok_or(text))
    }
}

struct Role<'v> {
    times: &'v mut TimeParser,
    parse: bool,
    write: bool,
}

/// Writes a value into the row; returns it as a time if that is its role.
struct ValueSeed<'v, 'o> {
    id: u32,
    row: &'v mut RowWriter<'o>,
    role: Role<'v>,
    max_depth: usize,
}

impl ValueSeed<'_, '_> {
    fn scalar<E>(self, value: Value<'_>) -> Result<Option<i64>, E> {
        if self.role.write {
            self.row.id_field(self.id, value);
        }
        Ok(if self.role.parse { self.role.times.parse(value).filter(|t| *t != NEVER) } else { None })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = Option<i64>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<i64>, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_, '_> {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.scalar(Value::Null)
    }
    fn visit_bool<E: Error>(self, b: bool) -> Result<Self::Value, E> {
        self.scalar(Value::Bool(b))
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        self.scalar(Value::Int(n))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        self.scalar(i64::try_from(n).map_or(Value::Float(n as f64), Value::Int))
    }
    fn visit_f64<E: Error>(self, x: f64) -> Result<Self::Value, E> {
        self.scalar(Value::Float(x))
    }
    fn visit_str<E: Error>(self, s: &str) -> Result<Self::Value, E> {
        self.scalar(Value::Str(s))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        let (mut result, max_depth) = (Ok(()), self.max_depth);
        self.row.json_field(self.id, |dest| result = Nested { dest, depth: 1, max_depth }.visit_seq(seq));
        result.map(|()| None)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let (mut result, max_depth) = (Ok(()), self.max_depth);
        self.row.json_field(self.id, |dest| result = Nested { dest, depth: 1, max_depth }.visit_map(map));
        result.map(|()| None)
    }
}

/// Writes a nested value as compact JSON.
struct Nested<'v> {
    dest: &'v mut Vec<u8>,
    depth: usize,
    max_depth: usize,
}

impl Nested<'_> {
    fn inner(&mut self) -> Nested<'_> {
        Nested { dest: self.dest, depth: self.depth + 1, max_depth: self.max_depth }
    }

    fn scalar<E>(self, value: Value<'_>) -> Result<(), E> {
        crate::json::write_value(value, self.dest);
        Ok(())
    }

    fn check_depth<E: Error>(&self) -> Result<(), E> {
        match self.depth >= self.max_depth {
            true => Err(E::custom(format!("too_deep: nested deeper than {}", self.max_depth))),
            false => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(Value::Null)
    }
    fn visit_bool<E: Error>(self, b: bool) -> Result<(), E> {
        self.scalar(Value::Bool(b))
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<(), E> {
        self.scalar(Value::Int(n))
    }
    fn visit_u64<E: Error>(self, n: u64) -> Result<(), E> {
        self.scalar(i64::try_from(n).map_or(Value::Float(n as f64), Value::Int))
    }
    fn visit_f64<E: Error>(self, x: f64) -> Result<(), E> {
        self.scalar(Value::Float(x))
    }
    fn visit_str<E: Error>(self, s: &str) -> Result<(), E> {
        self.scalar(Value::Str(s))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.dest.push(b'[');
        let start = self.dest.len();
        loop {
            let before = self.dest.len();
            if before > start {
                self.dest.push(b',');
            }
            if seq.next_element_seed(self.inner())?.is_none() {
                self.dest.truncate(before);
                break;
            }
        }
        self.dest.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.check_depth()?;
        self.dest.push(b'{');
        let start = self.dest.len();
        loop {
            let before = self.dest.len();
            if before > start {
                self.dest.push(b',');
            }
            let Some(()) = map.next_key_seed(NestedKey(self.dest))? else {
                self.dest.truncate(before);
                break;
            };
            self.dest.push(b':');
            map.next_value_seed(self.inner())?;
        }
        self.dest.push(b'}');
        Ok(())
    }
}

struct NestedKey<'v>(&'v mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for NestedKey<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NestedKey<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        write_str(name, self.0);
        Ok(())
    }
}

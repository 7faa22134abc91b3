//! Which partition a record belongs to.

use perfstream_log::partition_of_key;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// The partition of a JSON record by the value of a field: the same key is always in the same
/// partition. Without a field, or where the record has none, it is the first.
pub fn partition_of(record: &[u8], field: Option<&str>, count: u32) -> u32 {
    let (Some(field), 2..) = (field, count) else { return 0 };
    match field_value(record, field) {
        Some(serde_json::Value::String(text)) => partition_of_key(text.as_bytes(), count),
        Some(value) => partition_of_key(value.to_string().as_bytes(), count),
        None => 0,
    }
}

fn field_value(record: &[u8], field: &str) -> Option<serde_json::Value> {
    let mut de = serde_json::Deserializer::from_slice(record);
    de.deserialize_map(OneField(field)).ok().flatten()
}

/// Reads one field and skips the rest.
struct OneField<'f>(&'f str);

impl<'de> Visitor<'de> for OneField<'_> {
    type Value = Option<serde_json::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match name == self.0 {
                true => found = Some(map.next_value()?),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn a_key_stays_in_its_partition() {
        let a = partition_of(br#"{"n":1,"page":"/a"}"#, Some("page"), 8);
        assert_eq!(partition_of(br#"{"page":"/a","n":{"x":[2]}}"#, Some("page"), 8), a);
        let used: std::collections::BTreeSet<u32> =
            (0..100).map(|n| partition_of(format!("{{\"page\":\"/{n}\"}}").as_bytes(), Some("page"), 8)).collect();
        assert_eq!(used.len(), 8);
        assert_eq!(partition_of(b"not json", Some("page"), 8), 0);
        assert_eq!(partition_of(br#"{"page":"/a"}"#, None, 8), 0);
    }
}

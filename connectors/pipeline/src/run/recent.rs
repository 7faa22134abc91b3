//! The newest records of the kinds that a session shows.

use crate::output::Emission;
use perfstream_core::Kind;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// So many of a kind are shown.
const SHOWN: usize = 10;
/// Kinds that are shown.
const KINDS: [Kind; 3] = [Kind::Alert, Kind::Insight, Kind::Forecast];

/// Of each kind the newest, in order, as they were written: at most ten, so that many of one kind leave room for
/// another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent(BTreeMap<Kind, VecDeque<Vec<u8>>>);

impl Recent {
    /// The newest of what was sent.
    pub fn of(sent: &[Emission]) -> Recent {
        let mut recent = Recent::default();
        for kind in KINDS {
            let newest: VecDeque<Vec<u8>> =
                sent.iter().rev().filter(|e| e.kind == kind).take(SHOWN).map(|e| e.record.value.clone()).collect();
            recent.0.insert(kind, newest.into_iter().rev().collect());
        }
        recent
    }

    /// Adds newer ones.
    pub fn extend(&mut self, newer: &Recent) {
        for (kind, values) in &newer.0 {
            let list = self.0.entry(*kind).or_default();
            list.extend(values.iter().cloned());
            list.drain(..list.len().saturating_sub(SHOWN));
        }
    }

    /// Those of a kind.
    pub fn of_kind(&self, kind: Kind) -> VecDeque<Value> {
        let values = self.0.get(&kind).into_iter().flatten();
        values.map(|value| serde_json::from_slice(value).unwrap_or_default()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfstream_log::NewRecord;

    fn sent(kind: Kind, numbers: std::ops::Range<u32>) -> Vec<Emission> {
        let emission = |n: u32| Emission {
            kind,
            topic: 0,
            record: NewRecord { log_time_ms: 0, key: None, value: n.to_string().into_bytes() },
        };
        numbers.map(emission).collect()
    }

    #[test]
    fn the_newest_of_each_kind_are_shown() {
        let mut recent = Recent::of(&[sent(Kind::Alert, 0..3), sent(Kind::Forecast, 0..500)].concat());
        recent.extend(&Recent::of(&sent(Kind::Alert, 3..12)));
        assert_eq!(recent.of_kind(Kind::Alert), (2..12).map(Value::from).collect::<VecDeque<_>>());
        assert_eq!(recent.of_kind(Kind::Forecast), (490..500).map(Value::from).collect::<VecDeque<_>>());
        assert!(recent.of_kind(Kind::Insight).is_empty());
    }
}

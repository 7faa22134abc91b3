//! Entries of the control topic, and which of them hold.

use crate::plan::PlanSpec;
use anyhow::{Context, Result};
use perfstream_core::stage::Control;
use perfstream_log::LogRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One entry of a control partition, JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// A worker takes the partition.
    Claim(Holder),
    /// The chain goes on.
    Advance(Advance),
    /// A record on which a stage failed is left out, in the advance before this one that holds it.
    Quarantine(Quarantine),
}

/// A record that no stage shall see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Who wrote it
    #[serde(flatten)]
    pub holder: Holder,
    /// Offset of the input record
    pub offset: i64,
    /// What the stage said
    pub detail: String,
}

/// Who holds a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Counts the claims of this partition
    pub epoch: u64,
    /// Tells two claims of one epoch apart; the first of them holds
    pub instance: String,
}

/// What the chain sees next: input `from..through`, then `controls` in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advance {
    /// Who wrote it
    #[serde(flatten)]
    pub holder: Holder,
    /// Offset of the first input record
    pub from: i64,
    /// Offset behind the last input record
    pub through: i64,
    /// The input is left out: it was lost, or dropped by policy
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
    /// What the chain sees behind the input
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlEvent>,
    /// Output `topic/partition` → offset behind the last record that was acknowledged before this
    pub written: BTreeMap<String, i64>,
    /// Control offset of the advance that holds the configuration; none: this one
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<i64>,
    /// Offset behind the last request of the inbox that is among the controls so far
    #[serde(default)]
    pub inbox: i64,
    /// Snapshots, newest first
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotRef>,
}

/// Why input was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Retention was shorter than the absence
    Retention,
    /// `backpressure: drop-oldest`
    DropOldest,
    /// The state up to here is lost: no snapshot can be used, and the input is gone
    StateLost,
}

impl SkipReason {
    /// The word in `gap` records.
    pub const fn name(self) -> &'static str {
        match self {
            SkipReason::Retention => "retention",
            SkipReason::DropOldest => "drop_oldest",
            SkipReason::StateLost => "state_lost",
        }
    }
}

/// What the chain sees beside input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ControlEvent {
    /// All input is read, and it is this late: microseconds since the epoch
    Tick {
        /// Microseconds since the epoch
        time: i64,
    },
    /// It is this late, and input waits
    Clock {
        /// Microseconds since the epoch
        time: i64,
    },
    /// From here on the chain is this one
    Cut {
        /// Hash of the plan and the modules
        config: String,
        /// The plan
        plan: Box<PlanSpec>,
        /// Start anew at this input offset, with no state; otherwise the stages keep theirs
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset: Option<i64>,
    },
    /// A reference or feedback record
    Control {
        /// The record
        record: Control,
    },
}

/// Where a snapshot is, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Offset of its manifest in the state partition
    pub at: i64,
    /// Hash of the manifest
    pub hash: String,
    /// Offset of the first input record that is not in it
    pub next: i64,
    /// Offset of the first control entry that is not in it
    pub control: i64,
}

/// Decides in log order which entries hold.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    holder: Option<Holder>,
}

impl Fold {
    /// Goes on behind a place where `holder` held the partition.
    pub fn after(holder: Holder) -> Fold {
        Fold { holder: Some(holder) }
    }

    /// Who holds the partition here.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Takes the next entry; false if it is void: a higher epoch stands before it, or the same epoch
    /// of another worker.
    pub fn accept(&mut self, entry: &Entry) -> bool {
        let (Entry::Claim(by)
        | Entry::Advance(Advance { holder: by, .. })
        | Entry::Quarantine(Quarantine { holder: by, .. })) = entry;
        match &self.holder {
            Some(now) if by.epoch < now.epoch => false,
            Some(now) if by.epoch == now.epoch => by == now && !matches!(entry, Entry::Claim(_)),
            _ => {
                self.holder = Some(by.clone());
                true
            }
        }
    }
}

/// Reads an entry; whatever else stands in the topic is an error that names its offset.
pub fn parse(record: &LogRecord) -> Result<Entry> {
    serde_json::from_slice(&record.value)
        .with_context(|| format!("record {} of the control topic is not perfstream's", record.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(epoch: u64, instance: &str) -> Entry {
        Entry::Claim(Holder { epoch, instance: instance.into() })
    }

    fn advance(epoch: u64, instance: &str) -> Entry {
        Entry::Advance(Advance {
            holder: Holder { epoch, instance: instance.into() },
            from: 0,
            through: 1,
            skipped: None,
            controls: vec![ControlEvent::Tick { time: 5 }],
            written: BTreeMap::new(),
            cut: Some(0),
            inbox: 0,
            snapshots: Vec::new(),
        })
    }

    #[test]
    fn the_first_of_the_highest_epoch_holds() {
        let mut fold = Fold::default();
        let log = [
            (claim(1, "a"), true),
            (advance(1, "a"), true),
            (claim(1, "b"), false),
            (advance(1, "b"), false),
            (claim(2, "b"), true),
            (advance(1, "a"), false),
            (advance(2, "b"), true),
            (claim(2, "c"), false),
        ];
        for (n, (entry, holds)) in log.iter().enumerate() {
            assert_eq!(fold.accept(entry), *holds, "{n}: {entry:?}");
        }
    }

    #[test]
    fn entries_survive_json() {
        let holder = Holder { epoch: 7, instance: "x".into() };
        let quarantine = Entry::Quarantine(Quarantine { holder, offset: 3, detail: "a trap".into() });
        for entry in [claim(7, "x"), advance(7, "x"), quarantine] {
            let value = serde_json::to_vec(&entry).expect("json");
            let record = LogRecord { offset: 3, log_time_ms: 0, key: None, value };
            assert_eq!(parse(&record).expect("an entry"), entry);
        }
        let strange = LogRecord { offset: 3, log_time_ms: 0, key: None, value: b"{}".to_vec() };
        assert!(parse(&strange).is_err());
    }
}

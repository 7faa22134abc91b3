//! An incident: anomalies that belong together, and when something must be said of it.

use super::anomaly::Anomaly;
use crate::clock::NEVER;
use serde::{Deserialize, Serialize};

/// A record's key beyond this is not kept.
pub(super) const MAX_KEY_BYTES: usize = 256;
/// An incident without its members: its own size, the shares of tree nodes, the allocator's.
const FIXED_BYTES: u64 = 512;

/// An anomaly in an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Member {
    pub anomaly: Anomaly,
    /// Node of the graph
    pub node: Box<str>,
    /// When it ended, if it has
    pub ended: Option<i64>,
    /// By what it belongs to the others
    pub link: Tie,
}

/// By what an anomaly belongs to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tie {
    /// It is the first
    First,
    /// The value of a shared dimension
    Shared,
    /// One service calls the other, itself or through others
    Call,
    /// One follows the other more often than chance has it
    Lag,
}

impl Tie {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Tie::First => "first",
            Tie::Shared => "shared",
            Tie::Call => "call",
            Tie::Lag => "lag",
        }
    }
}

/// Why an incident is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    AllEnded,
    Silent,
    Merged,
    Evicted,
}

impl Reason {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Reason::AllEnded => "all_ended",
            Reason::Silent => "silent",
            Reason::Merged => "merged",
            Reason::Evicted => "evicted",
        }
    }
}

/// When records are due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub update_us: i64,
    pub resolve_us: i64,
    pub min_anomalies: u32,
    pub max_members: usize,
}

/// Anomalies that belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Incident {
    pub id: Box<str>,
    /// Key of the record that opened it
    pub key: Option<Box<[u8]>>,
    pub members: Vec<Member>,
    /// Anomalies, those that are not kept included
    pub count: u32,
    /// Oldest and newest beginning of an anomaly
    pub first: i64,
    pub last: i64,
    /// Newest end of one; [`NEVER`] before
    pub ended: i64,
    /// Clock at the newest word of one of its anomalies
    pub heard: i64,
    /// Clock at its newest record; [`NEVER`] before
    pub told: i64,
    /// Records so far
    pub revision: u32,
    /// Has something changed since?
    pub news: bool,
}

impl Incident {
    pub fn new(id: Box<str>, key: Option<&[u8]>) -> Incident {
        Incident {
            id,
            key: key.filter(|key| key.len() <= MAX_KEY_BYTES).map(Into::into),
            members: Vec::new(),
            count: 0,
            first: i64::MAX,
            last: NEVER,
            ended: NEVER,
            heard: NEVER,
            told: NEVER,
            revision: 0,
            news: true,
        }
    }

    /// Takes an anomaly in; false if it is counted, and not kept.
    pub fn add(&mut self, member: Member, clock: i64, most: usize) -> bool {
        self.count = self.count.saturating_add(1);
        self.first = self.first.min(member.anomaly.onset);
        self.last = self.last.max(member.anomaly.onset);
        (self.heard, self.news) = (clock, true);
        let kept = self.members.len() < most;
        if kept {
            self.members.push(member);
        }
        kept
    }

    /// Takes in what a younger one has; says how many of its anomalies are not kept.
    pub fn merge(&mut self, other: Incident, most: usize) -> u64 {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.ended = self.ended.max(other.ended);
        self.heard = self.heard.max(other.heard);
        self.news = true;
        let room = most.saturating_sub(self.members.len());
        let lost = other.members.len().saturating_sub(room);
        self.members.extend(other.members.into_iter().take(room));
        lost as u64
    }

    /// An anomaly is known again: what it says now, if that is further off.
    pub fn update(&mut self, anomaly: Anomaly, clock: i64) {
        self.heard = clock;
        let Some(member) = self.members.iter_mut().find(|m| m.anomaly.id == anomaly.id) else { return };
        self.news |= member.ended.take().is_some();
        if anomaly.z > member.anomaly.z {
            (member.anomaly.value, member.anomaly.expected) = (anomaly.value, anomaly.expected);
            (member.anomaly.z, member.anomaly.events) = (anomaly.z, anomaly.events);
            self.news = true;
        }
    }

    /// An anomaly has ended at `time`, with its worst value.
    pub fn end(&mut self, id: &str, time: i64, worst: (Option<f64>, Option<f64>), clock: i64) {
        self.heard = clock;
        let Some(member) = self.members.iter_mut().find(|m| &*m.anomaly.id == id) else { return };
        if member.ended.is_none() {
            let time = time.max(member.anomaly.onset);
            member.ended = Some(time);
            self.ended = self.ended.max(time);
            self.news = true;
        }
        let anomaly = &mut member.anomaly;
        if let ((Some(value), Some(expected)), Some(old), Some(before)) = (worst, anomaly.value, anomaly.expected) {
            // The range is not kept: the distance grows as the difference does.
            let (grown, was) = ((value - expected).abs(), (old - before).abs());
            if grown > was && was > 0.0 {
                anomaly.z = (anomaly.z * (grown / was)).min(super::anomaly::MAX_Z);
            }
        }
        if worst.0.is_some() && worst.1.is_some() {
            (anomaly.value, anomaly.expected) = worst;
        }
    }

    /// Anomalies that have not ended, of those that are kept.
    pub fn open(&self) -> usize {
        self.members.iter().filter(|member| member.ended.is_none()).count()
    }

    /// Has a record of it been written?
    pub fn is_told(&self) -> bool {
        self.told != NEVER
    }

    /// When something is due: a record, or its end for lack of word.
    pub fn due(&self, pace: &Pace) -> i64 {
        self.record_due(pace).min(self.heard.saturating_add(pace.resolve_us))
    }

    /// When its next record is due; `i64::MAX` if nothing is new.
    pub fn record_due(&self, pace: &Pace) -> i64 {
        match (self.news && self.count >= pace.min_anomalies, self.told) {
            (false, _) => i64::MAX,
            (true, NEVER) => NEVER,
            // One microsecond less, so that `0s` means at once: what is due at the clock waits for its rows.
            (true, told) => told.saturating_add(pace.update_us).saturating_sub(1),
        }
    }

    /// Memory in bytes, at most.
    pub fn bytes(&self) -> u64 {
        let key = self.key.as_ref().map_or(0, |key| key.len()) + self.id.len();
        let member = |m: &Member| 128 + m.anomaly.bytes() + (m.node.len() + 2 * m.anomaly.id.len()) as u64;
        FIXED_BYTES + key as u64 + self.members.iter().map(member).sum::<u64>()
    }

    /// Could rows have made it?
    pub fn is_sound(&self, pace: &Pace) -> bool {
        let member = |m: &Member| {
            m.anomaly.is_sound()
                && m.node.len() <= super::anomaly::MAX_NODE_BYTES
                && (self.first..=self.last).contains(&m.anomaly.onset)
                && m.ended.is_none_or(|time| (m.anomaly.onset..=self.ended).contains(&time))
        };
        let kept = self.members.len();
        (1..=pace.max_members).contains(&kept)
            && self.count as usize >= kept
            && self.key.as_ref().is_none_or(|key| key.len() <= MAX_KEY_BYTES)
            && self.is_told() == (self.revision > 0)
            && self.members.iter().all(member)
            && self.open() > 0
    }
}

//! `--instance auto`: the workers of the same pipelines find each other and share the partitions.
//!
//! Every worker says on the topic `perfstream-members` that it lives, once a second. Who has been heard
//! of in the last ten seconds is alive; the I-th of the N alive, in the order of their names, takes the
//! share I/N. Clocks of other machines do not matter: a member is as old as its last word is here.
//! Nothing has to be exact, for two workers that both want a partition are told apart by its claims.

use super::load::Load;
use super::share::Share;
use crate::exact::worker::partitions_of;
use crate::topics;
use anyhow::Result;
use perfstream_log::{NewRecord, Read, Topics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two words of a member.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A member that was silent for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// Words that are read when a member joins.
const TAIL: i64 = 2000;
/// Words older than this, by log time, are of no interest when a member joins.
const OLD_MS: i64 = 60_000;
const READ_BYTES: usize = 256 << 10;

/// One word of a member.
#[derive(Debug, Serialize, Deserialize)]
struct Word {
    session: String,
    /// Members of other groups run other pipelines
    group: String,
    alive: bool,
    /// Empty while it has no partitions yet
    #[serde(default, skip_serializing_if = "Load::is_empty")]
    load: Load,
}

/// The workers of a group, as one of them sees them.
pub(super) struct Members<T> {
    log: T,
    session: String,
    group: String,
    next: i64,
    /// When each was heard of, and its load
    heard: BTreeMap<String, (Instant, Load)>,
}

impl<T: Topics> Members<T> {
    /// Among the workers that run the pipelines `group`; who never beats only looks on. `now_ms`: the
    /// clock, milliseconds since the epoch.
    pub(super) fn join(mut log: T, session: &str, group: &str, now_ms: i64) -> Result<Members<T>> {
        partitions_of(&mut log, topics::MEMBERS)?;
        let extent = log.extent(topics::MEMBERS, 0)?;
        let next = (extent.end - TAIL).max(extent.start);
        let mut members = Members { log, session: session.into(), group: group.into(), next, heard: BTreeMap::new() };
        members.listen(extent.end, now_ms - OLD_MS)?;
        Ok(members)
    }

    /// Says that it lives and listens to the others; its share among those alive.
    pub(super) fn beat(&mut self, load: Load) -> Result<Share> {
        self.say(true, load)?;
        let end = self.log.extent(topics::MEMBERS, 0)?.end;
        self.listen(end, i64::MIN)?;
        Ok(self.share(Instant::now()))
    }

    /// The loads of those alive that tell one, without a word of its own.
    pub(super) fn loads(&mut self) -> Result<Vec<Load>> {
        let end = self.log.extent(topics::MEMBERS, 0)?.end;
        self.listen(end, i64::MIN)?;
        self.forget(Instant::now());
        Ok(self.heard.values().map(|(_, load)| load).filter(|load| !load.is_empty()).cloned().collect())
    }

    /// The others need not wait until it is silent for long enough.
    pub(super) fn leave(mut self) -> Result<()> {
        self.say(false, Load::new())
    }

    fn forget(&mut self, now: Instant) {
        self.heard.retain(|_, (at, _)| now.duration_since(*at) < GONE_AFTER);
    }

    fn share(&mut self, now: Instant) -> Share {
        self.forget(now);
        self.heard.entry(self.session.clone()).or_insert((now, Load::new())).0 = now;
        let index = self.heard.keys().position(|s| *s == self.session).unwrap_or(0);
        Share { index: index as u32, count: self.heard.len() as u32 }
    }

    fn say(&mut self, alive: bool, load: Load) -> Result<()> {
        let word = Word { session: self.session.clone(), group: self.group.clone(), alive, load };
        let record = NewRecord { log_time_ms: 0, key: None, value: serde_json::to_vec(&word)? };
        self.log.append(topics::MEMBERS, 0, &[record]).map(drop)
    }

    /// Hears what was said up to `end`, but for words older than `from_ms`.
    fn listen(&mut self, end: i64, from_ms: i64) -> Result<()> {
        while self.next < end {
            let records = match self.log.read(topics::MEMBERS, 0, self.next, READ_BYTES, GONE_AFTER)? {
                Read::Gap(range) => {
                    self.next = range.end;
                    continue;
                }
                Read::Records(records) => records,
            };
            let Some(last) = records.last() else { break };
            self.next = last.offset + 1;
            for record in records.iter().filter(|r| r.log_time_ms >= from_ms) {
                // What is no word is nobody's.
                let Ok(word) = serde_json::from_slice::<Word>(&record.value) else { continue };
                if word.group != self.group {
                    continue;
                }
                match word.alive {
                    true => drop(self.heard.insert(word.session, (Instant::now(), word.load))),
                    false => drop(self.heard.remove(&word.session)),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::sim::{Client, SimLog};
    use crate::model::Resource;

    #[test]
    fn shares_follow_who_lives() {
        let log = SimLog::default();
        log.create(topics::MEMBERS, 1);
        let join = |name: &str, group: &str| Members::join(Client::new(&log, 3), name, group, 0).expect("a member");
        let (mut a, mut b, mut stranger) = (join("a", "lcp"), join("b", "lcp"), join("0", "cls"));
        assert_eq!(stranger.beat(Load::new()).expect("a beat"), Share { index: 0, count: 1 });
        assert_eq!(a.beat(Load::new()).expect("a beat"), Share { index: 0, count: 1 });
        assert_eq!(b.beat(Load::new()).expect("a beat"), Share { index: 1, count: 2 });
        assert_eq!(a.beat(Load::new()).expect("a beat"), Share { index: 0, count: 2 });
        let mut c = join("aa", "lcp");
        assert_eq!(c.beat(Load::new()).expect("a beat"), Share { index: 1, count: 3 });
        a.leave().expect("a last word");
        assert_eq!(c.beat(Load::new()).expect("a beat"), Share { index: 0, count: 2 });
        // Who only looks on counts for nothing, and hears loads.
        let mut on = join("000", "lcp");
        let half: Load = [(Resource::Cpu, 0.5)].into();
        assert_eq!(b.beat(half.clone()).expect("a beat"), Share { index: 1, count: 2 });
        assert_eq!(on.loads().expect("loads"), [half]);
        // Silence, as long as it takes.
        let later = Instant::now() + GONE_AFTER;
        assert_eq!(b.share(later), Share { index: 0, count: 1 });
    }
}

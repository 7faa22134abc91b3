//! From what was made of a request to the log, and what is answered.

use crate::decode::{Bad, Unreadable};
use crate::events::dead_letter;
use crate::http::Shared;
use crate::options::DEAD_LETTERS;
use crate::queue::Refused;
use crate::record::{Mapped, Outgoing};
use crate::refusal::Refusal;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Bad events that an answer lists; all are counted and dead letters.
const LISTED: usize = 20;

/// What became of the events of a request; the log has all of it.
pub(crate) struct Taken {
    /// Events whose records are in the log, or that have none
    pub(crate) good: usize,
    /// Events that are dead letters, by their number
    pub(crate) bad: Vec<(usize, Bad)>,
}

impl Shared {
    pub(crate) fn unreadable(&self, why: Unreadable, max_events: usize) -> Refusal {
        self.counters.bad("unreadable_body");
        Refusal::unreadable(why, max_events)
    }

    /// Stores the records, and of each bad event a dead letter; returns when the log has both. Events
    /// whose topic is not there become bad: a topic that nobody made must not hold up the others.
    pub(crate) async fn take(&self, mapped: Mapped, source: &str, received_us: i64) -> Result<Taken, Refusal> {
        if mapped.is_too_long() {
            return Err(Refusal::records_too_long());
        }
        let Mapped { events, records, mut bad, skipped, .. } = mapped;
        let mut records = records;
        loop {
            let dead = bad.iter().map(|(_, bad)| dead_letter(bad, source, received_us));
            let (owners, mut outgoing): (Vec<usize>, Vec<Outgoing>) = records.into_iter().unzip();
            outgoing.extend(dead);
            if outgoing.is_empty() {
                break;
            }
            match self.queue.store(outgoing).await {
                Ok(()) => break,
                Err(Refused::NoTopic(topics, returned)) if !topics.contains(DEAD_LETTERS) => {
                    let owned = owners.into_iter().zip(returned).collect();
                    records = without(&topics, owned, &mut bad);
                }
                Err(why) => return Err(Refusal::by_log(&why)),
            }
        }
        bad.iter().for_each(|(_, bad)| self.counters.bad(bad.reason));
        skipped.into_iter().for_each(|(reason, events)| self.counters.skipped(reason, events));
        Ok(Taken { good: events.saturating_sub(bad.len()), bad })
    }
}

/// The records of events that need none of these topics; the other events are bad.
fn without(
    topics: &BTreeSet<String>,
    records: Vec<(usize, Outgoing)>,
    bad: &mut Vec<(usize, Bad)>,
) -> Vec<(usize, Outgoing)> {
    let mut lost = BTreeMap::new();
    for (owner, record) in &records {
        if topics.contains(&record.topic) {
            lost.entry(*owner).or_insert_with(|| {
                let detail = format!("there is no topic `{}`", record.topic);
                Bad::new("no_topic", detail).with_sample(&record.value)
            });
        }
    }
    let left = records.into_iter().filter(|(owner, _)| !lost.contains_key(owner)).collect();
    bad.extend(lost);
    bad.sort_by_key(|(number, _)| *number);
    left
}

impl Taken {
    /// 204 when all are taken, 200 when some are, 400 when none is.
    pub(crate) fn answer(&self) -> Response {
        let status = match (self.good, self.bad.len()) {
            (_, 0) => return StatusCode::NO_CONTENT.into_response(),
            (0, _) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        let listed = |(index, bad): &(usize, Bad)| json!({ "index": index, "error": bad.reason, "found": bad.detail });
        let listed: Vec<Value> = self.bad.iter().take(LISTED).map(listed).collect();
        let body = json!({ "accepted": self.good, "rejected": self.bad.len(), "events": listed });
        (status, Json(body)).into_response()
    }

    /// The first bad event in words, for protocols that have one text; empty if there is none.
    pub(crate) fn first_trouble(&self) -> String {
        self.bad
            .first()
            .map(|(number, bad)| format!("number {number}: {}: {}", bad.reason, bad.detail))
            .unwrap_or_default()
    }
}

//! Sessions, from the topic `perfstream-status`.

use crate::detect::topic::read;
use crate::run::records::{Session, SessionRecord, Status};
use crate::topics;
use anyhow::{Result, bail};
use perfstream_log::Place;
use std::collections::BTreeMap;

/// The newest record of a session; of one that has only its partitions' records, their sum. An error names the sessions
/// there are.
pub fn session(place: &mut Place, id: &str) -> Result<SessionRecord> {
    if place.partitions(topics::STATUS)?.is_none() {
        bail!(
            "there is no topic `{}`: no session has run here (`perfstream run --follow` tells of itself)",
            topics::STATUS
        );
    }
    let (mut sessions, mut partitions) = (BTreeMap::new(), BTreeMap::<String, Session>::new());
    let mut next = place.extent(topics::STATUS, 0)?.start;
    loop {
        let records = read(place, topics::STATUS, 0, &mut next)?;
        if records.is_empty() {
            break;
        }
        // Another version's record, or nobody's, says nothing here.
        for status in records.iter().filter_map(|record| serde_json::from_slice(&record.value).ok()) {
            match status {
                Status::Session(session) => drop(sessions.insert(session.id.clone(), session)),
                Status::Partition(partition) => {
                    let name = partition.session.clone();
                    let start = || {
                        let (id, start_time) = (name.clone(), partition.timestamp.clone());
                        let analyzers = vec![partition.pipeline.clone()];
                        Session::new(SessionRecord { id, start_time, analyzers, ..SessionRecord::default() })
                    };
                    let session = partitions.entry(name.clone()).or_insert_with(start);
                    let timestamp = partition.timestamp.clone();
                    session.note(partition, Vec::new());
                    session.record(timestamp);
                }
            }
        }
    }
    for (name, mut session) in partitions {
        let timestamp = session.timestamp().to_string();
        sessions.entry(name).or_insert_with(|| session.record(timestamp));
    }
    let known: Vec<String> = sessions.keys().cloned().collect();
    match sessions.remove(id) {
        Some(session) => Ok(session),
        None => bail!(
            "there is no session `{id}`; there is {}",
            if known.is_empty() { "none".into() } else { known.join(", ") }
        ),
    }
}

//! Reading: alerts, silences, anomalies, and acknowledgements from the inboxes of the pipelines whose alerts are open.

use super::Sink;
use crate::alert::{ACKNOWLEDGED, Alert, Anomaly};
use crate::journal::Position;
use crate::silence::Ready;
use anyhow::{Result, bail};
use perfstream_log::{LogRecord, Place, Read, inbox};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// Partitions that appear are seen after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Read at once.
const READ_BYTES: usize = 1 << 20;
/// A cluster's partition is asked for this long.
const ASK: Duration = Duration::from_millis(20);

impl Sink {
    /// Reads what is there, partition by partition; true if there was nothing.
    pub(super) fn read(&mut self) -> Result<bool> {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
            self.look()?;
            self.looked = Some(Instant::now());
        }
        let mut idle = true;
        let positions: Vec<Position> = self.positions.values().cloned().collect();
        for position in positions {
            let (topic, partition) = (&position.topic, position.partition);
            match self.place.read(topic, partition, position.next, READ_BYTES, ASK)? {
                Read::Records(records) if records.is_empty() => {}
                Read::Records(records) => {
                    idle = false;
                    self.take(position, records)?;
                }
                Read::Gap(gone) => {
                    idle = false;
                    tracing::error!("records {} to {} of {topic}/{partition} are gone", gone.start, gone.end);
                    self.commit(Position { next: gone.end, ..position })?;
                }
            }
        }
        Ok(idle)
    }

    /// Finds partitions that are new.
    fn look(&mut self) -> Result<()> {
        let alerts = self.options.topic.clone();
        let count = match (self.place.partitions(&alerts)?, &self.place) {
            (Some(count), _) => count,
            // Its first record makes the topic.
            (None, Place::Embedded(_)) => 0,
            (None, Place::Cluster(..)) => bail!("there is no topic {alerts}"),
        };
        self.join(&alerts, count)?;
        // The others are there when something was said in them.
        let mut others = vec![self.options.silences.clone(), self.options.anomalies.clone()];
        others.extend(self.engine.pipelines().into_iter().map(inbox));
        for topic in others {
            let count = self.place.partitions(&topic)?.unwrap_or(0);
            self.join(&topic, count)?;
        }
        Ok(())
    }

    fn join(&mut self, topic: &str, partitions: u32) -> Result<()> {
        for partition in 0..partitions {
            let key = (topic.to_string(), partition);
            if self.positions.contains_key(&key) {
                continue;
            }
            let extent = self.place.extent(topic, partition)?;
            let known = self.journal.position(topic, partition)?;
            let is_new = known.is_none();
            let past = if self.options.past || self.looked.is_some() { extent.start } else { extent.end };
            let first = Position { topic: topic.into(), partition, next: extent.start, past };
            let mut position = known.unwrap_or(first);
            if topic == self.options.silences {
                // Nobody is told of anything before the silences that are there are known.
                position.past = extent.end;
            }
            if is_new {
                self.journal.commit(&[], std::slice::from_ref(&position))?;
            }
            self.positions.insert(key, position);
        }
        Ok(())
    }

    fn take(&mut self, position: Position, records: Vec<LogRecord>) -> Result<()> {
        let mut next = position.next;
        let now_ms = self.clock.now_ms();
        for record in records {
            next = record.offset + 1;
            let at = format!("{}/{}@{}", position.topic, position.partition, record.offset);
            match &position.topic {
                topic if *topic == self.options.topic => self.take_alert(&record, at, &position, now_ms),
                topic if *topic == self.options.silences => {
                    let taken = Ready::parse(&record.value).and_then(|silence| self.engine.silence(silence, now_ms));
                    taken.unwrap_or_else(|error| tracing::warn!("{at} is no silence: {error}"));
                }
                topic if *topic == self.options.anomalies => match Anomaly::parse(&record.value) {
                    Ok(anomaly) => self.engine.anomaly(anomaly),
                    Err(error) => tracing::warn!("{at} is no anomaly record: {error}"),
                },
                _ => {
                    if let Some(id) = acknowledged(&record.value) {
                        self.engine.acknowledge(&id, now_ms);
                    }
                }
            }
        }
        self.commit(Position { next, ..position })
    }

    fn take_alert(&mut self, record: &LogRecord, at: String, position: &Position, now_ms: i64) {
        self.summary.records += 1;
        match Alert::parse(&record.value, at.clone()) {
            Ok(alert) => {
                self.name_unknown(&alert);
                self.engine.take(alert, record.offset < position.past, now_ms);
            }
            Err(error) => {
                self.summary.bad += 1;
                tracing::warn!("{at} is no alert record: {error}");
            }
        }
    }

    /// Says once of each name that it is no receiver.
    fn name_unknown(&mut self, alert: &Alert) {
        for name in &alert.notification {
            if !self.known.knows(name) && self.unknown.len() < 1000 && self.unknown.insert(name.clone()) {
                tracing::warn!("rule {:?} names {name:?}, which is no receiver", alert.rule);
            }
        }
    }

    fn commit(&mut self, position: Position) -> Result<()> {
        self.journal.commit(&self.engine.changes()?, std::slice::from_ref(&position))?;
        self.positions.insert((position.topic.clone(), position.partition), position);
        Ok(())
    }

    pub(super) fn has_read_the_past(&self) -> bool {
        self.positions.values().all(|position| position.next >= position.past)
    }
}

/// The alert that a request to a pipeline acknowledges.
fn acknowledged(request: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Request {
        verdict: String,
        alert_id: String,
    }
    let request: Request = serde_json::from_slice(request).ok()?;
    (request.verdict == ACKNOWLEDGED).then_some(request.alert_id)
}

//! What the embedded log is told of a run, in the topic and the words of a cluster: every few seconds and
//! at the end, how each partition does and how the session does as a whole.

use super::Live;
use crate::run::cluster::{REPORT_EVERY, now};
use crate::run::records::{Session, SessionRecord, State, Status};
use crate::topics;
use anyhow::Result;
use perfstream_log::NewRecord;
use perfstream_log::embedded::Log;
use std::time::Instant;

pub(super) struct Told {
    id: String,
    session: Session,
    due: Instant,
}

impl Told {
    pub(super) fn new(record: SessionRecord) -> Told {
        Told { id: record.id.clone(), session: Session::new(record), due: Instant::now() }
    }

    pub(super) fn tell_if_due(&mut self, pipelines: &mut [Live], log: &mut Log) -> Result<()> {
        match self.due > Instant::now() {
            true => Ok(()),
            false => self.tell(pipelines, State::Running, log),
        }
    }

    pub(super) fn tell(&mut self, pipelines: &mut [Live], state: State, log: &mut Log) -> Result<()> {
        self.due = Instant::now() + REPORT_EVERY;
        let mut records = Vec::new();
        for live in pipelines {
            let worker = &mut live.worker;
            for (partition, place) in &mut live.partitions {
                let status = &mut place.status;
                (status.state, status.next) = (state, place.next);
                status.end = log.end(&live.plan.input_topic, *partition)?;
                status.summary = Some(worker.summary_of(*partition)?);
                let recent = std::mem::take(&mut status.recent);
                let record = status.report(&self.id, now());
                let key = format!("{}/{partition}", record.pipeline);
                self.session.note(record.clone(), &recent);
                records.push((key, Status::Partition(record)));
            }
        }
        let session = self.session.record(perfstream_core::time::format(now()));
        records.push((self.id.clone(), Status::Session(session)));
        let record = |(key, status): (String, Status)| -> Result<NewRecord> {
            let value = serde_json::to_vec(&status)?;
            Ok(NewRecord { log_time_ms: now() / 1000, key: Some(key.into_bytes()), value })
        };
        let records = records.into_iter().map(record).collect::<Result<Vec<_>>>()?;
        log.commit(|w| w.append(topics::STATUS, 0, &records).map(drop))
    }
}

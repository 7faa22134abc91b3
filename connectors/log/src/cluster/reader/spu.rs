//! The same reader, of what SmartModules in the SPU make of the records.

use super::super::Cluster;
use super::fetcher::Fetched;
use super::{Feed, ReaderCounters, ReaderOptions};
use crate::{SpuChain, SpuOutput, SpuRead};
use anyhow::{Result, anyhow};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Reads one topic partition through modules that the SPU runs.
pub struct SpuReader {
    feed: Feed,
    /// Offset that the output which is handed out next begins at
    position: i64,
    buffer: VecDeque<SpuOutput>,
}

impl SpuReader {
    /// As [`super::Reader::open`]; the SPU starts the modules anew for each connection.
    pub async fn open(
        cluster: Arc<Cluster>,
        topic: &str,
        partition: u32,
        from: i64,
        chain: Arc<SpuChain>,
        options: ReaderOptions,
    ) -> Result<SpuReader> {
        let options = ReaderOptions { fetch_bytes: chain.max_bytes, ..options };
        let feed = Feed::open(cluster, topic, partition, Some(chain), options).await?;
        Ok(SpuReader { feed, position: from, buffer: VecDeque::new() })
    }

    /// Offset of the record that comes next.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// What happened since it was opened.
    pub fn counters(&self) -> ReaderCounters {
        self.feed.counters()
    }

    /// The next outputs, about `max_bytes` of them or one, and of few records more than `max_records`;
    /// otherwise as [`super::Reader::next`].
    pub async fn next(&mut self, max_bytes: usize, max_records: i64, wait: Duration) -> Result<SpuRead> {
        let deadline = Instant::now() + wait;
        while self.buffer.is_empty() {
            match self.feed.receive(self.position, deadline).await? {
                Some(Fetched::Outputs(outputs)) => self.buffer.extend(outputs),
                Some(Fetched::Gap(range)) => {
                    self.position = range.end;
                    return Ok(SpuRead::Gap(range));
                }
                Some(Fetched::Refused(why)) => return Ok(SpuRead::Refused(why)),
                Some(Fetched::Records(_)) => {
                    return Err(anyhow!("records came where outputs of modules were asked for"));
                }
                None => return Ok(SpuRead::Outputs(Vec::new())),
            }
        }
        Ok(SpuRead::Outputs(self.take(max_bytes, max_records)?))
    }

    fn take(&mut self, max_bytes: usize, max_records: i64) -> Result<Vec<SpuOutput>> {
        let (mut bytes, mut taken) = (0, Vec::new());
        let from = self.position;
        while let Some(output) = self.buffer.front() {
            bytes += output.value.len();
            if !taken.is_empty() && (bytes > max_bytes || output.range.end - from > max_records) {
                break;
            }
            if output.range.start != self.position {
                return Err(anyhow!("an output at {} came where {} was expected", output.range.start, self.position));
            }
            self.position = output.range.end;
            taken.extend(self.buffer.pop_front());
        }
        Ok(taken)
    }
}

//! The embedded log through the same calls as a cluster's.

use super::Log;
use crate::{NewRecord, Read, Topics};
use anyhow::Result;
use std::ops::Range;
use std::time::Duration;

/// Records that a read looks at; it gives as many as `max_bytes` has room for.
const READ_RECORDS: usize = 1000;

/// A topic is there when it has records. Everything is kept, so there are no gaps; and a read does not
/// wait, so whoever follows a topic pauses by himself.
impl Topics for Log {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        Ok(Log::partitions(self, topic)?.last().map(|last| last + 1))
    }

    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        Ok(0..self.end(topic, partition)?)
    }

    fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, _wait: Duration) -> Result<Read> {
        let mut records = Log::read(self, topic, partition, from, READ_RECORDS)?;
        let mut bytes = 0;
        let fits = records.iter().take_while(|record| {
            bytes += record.value.len();
            bytes <= max_bytes
        });
        let fits = fits.count().max(1);
        records.truncate(fits);
        Ok(Read::Records(records))
    }

    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>> {
        let first = self.commit(|writer| writer.append(topic, partition, records))?;
        Ok(first..first + records.len() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_log_like_any_other() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut log: Box<dyn Topics> = Box::new(Log::open(dir.path())?);
        assert_eq!(log.partitions("t")?, None);
        let record = |value: &str| NewRecord { log_time_ms: 1, key: None, value: value.into() };
        assert_eq!(log.append("t", 1, &[record("abc"), record("d")])?, 0..2);
        assert_eq!((log.partitions("t")?, log.extent("t", 1)?, log.extent("t", 0)?), (Some(2), 0..2, 0..0));
        let mut read = |from, bytes| -> Result<Vec<Vec<u8>>> {
            let Read::Records(records) = log.read("t", 1, from, bytes, Duration::ZERO)? else { return Ok(Vec::new()) };
            Ok(records.into_iter().map(|record| record.value).collect())
        };
        assert_eq!(read(0, 2)?, [b"abc".to_vec()], "one at least");
        assert_eq!(read(0, 4)?, [b"abc".to_vec(), b"d".to_vec()]);
        assert!(read(2, 4)?.is_empty());
        Ok(())
    }
}

//! `backpressure: buffer-with-spill`: what a worker has not come to yet is copied to a file of its own,
//! up to a bound, so that a topic with short retention does not lose it.
//!
//! A thread reads ahead of the worker while that lags, and the worker finds the records in the file,
//! the same bytes under the same offsets. The file is a copy and no truth: a damaged record, or one
//! that the log has otherwise, throws it away. It outlives the process, so what was evicted while no
//! worker ran may still be there. Beyond the bound records wait in the topic alone, as with `block`.

use crate::embedded::checksum;
use crate::{LogRecord, NewRecord, Read, Topics};
use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OptionalExtension, params};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Copied at once.
const COPY_BYTES: usize = 4 << 20;
/// Between two looks at whether the worker lags.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After an error.
const PAUSE: Duration = Duration::from_secs(5);
/// Records that are worth a check against the log.
const CHECK_BYTES: usize = 1;

/// Where and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpillOptions {
    /// Directory of the files, one per topic partition and pipeline
    pub dir: PathBuf,
    /// Bytes of records that one file may hold
    pub limit_bytes: u64,
    /// Only a worker that lags by more than so many records is read ahead of
    pub lag_records: i64,
}

/// The file: records of one partition without a hole.
struct Store {
    connection: Connection,
    range: Range<i64>,
    bytes: u64,
}

impl Store {
    /// Opens the file for this process alone. A file that cannot be read is made anew.
    fn open(path: &Path) -> Result<Store> {
        let store = Store::open_as_it_is(path);
        match store {
            Err(error) if !is_busy(&error) => {
                tracing::warn!(path = %path.display(), "the spill file is thrown away: {error:#}");
                std::fs::remove_file(path).with_context(|| format!("spill file {}", path.display()))?;
                Store::open_as_it_is(path)
            }
            other => other,
        }
        .with_context(|| format!("spill file {}", path.display()))
    }

    fn open_as_it_is(path: &Path) -> Result<Store> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "TRUNCATE")?;
        // The file may lose its end with the machine: every record has a checksum.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(
            "BEGIN EXCLUSIVE;
             CREATE TABLE IF NOT EXISTS spill (record INTEGER PRIMARY KEY, log_time_ms INTEGER NOT NULL, key BLOB,
               value BLOB NOT NULL, crc INTEGER NOT NULL);
             COMMIT;",
        )?;
        let sums = "SELECT COUNT(*), COALESCE(MIN(record), 0), COALESCE(MAX(record) + 1, 0),
                    COALESCE(SUM(LENGTH(value) + COALESCE(LENGTH(key), 0)), 0) FROM spill";
        let (count, start, end, bytes): (i64, i64, i64, i64) =
            connection.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        ensure!(count == end - start, "it has a hole");
        Ok(Store { connection, range: start..end, bytes: bytes as u64 })
    }

    fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Adds records that go on where it ends, or begin it.
    fn push(&mut self, records: &[LogRecord]) -> Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        ensure!(self.is_empty() || first.offset == self.range.end, "a hole before record {}", first.offset);
        let transaction = self.connection.transaction()?;
        let mut bytes = 0;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO spill VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for record in records {
                let crc = checksum(record.log_time_ms, record.key.as_deref(), &record.value);
                insert.execute(params![record.offset, record.log_time_ms, record.key, record.value, crc])?;
                bytes += size(record);
            }
        }
        transaction.commit()?;
        let start = if self.is_empty() { first.offset } else { self.range.start };
        self.range = start..first.offset + records.len() as i64;
        self.bytes += bytes;
        Ok(())
    }

    /// Records from `from` on, about `max_bytes` of them or one.
    fn read(&self, from: i64, max_bytes: usize) -> Result<Vec<LogRecord>> {
        let mut select = self.connection.prepare_cached(
            "SELECT record, log_time_ms, key, value, crc FROM spill WHERE record >= ?1 ORDER BY record",
        )?;
        let mut rows = select.query([from])?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let record =
                LogRecord { offset: row.get(0)?, log_time_ms: row.get(1)?, key: row.get(2)?, value: row.get(3)? };
            let crc: u32 = row.get(4)?;
            let whole = crc == checksum(record.log_time_ms, record.key.as_deref(), &record.value);
            ensure!(whole && record.offset == from + records.len() as i64, "record {} is damaged", record.offset);
            bytes += size(&record) as usize;
            if !records.is_empty() && bytes > max_bytes {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// Lets go of what lies before `offset`; an empty file shrinks.
    fn release(&mut self, offset: i64) -> Result<()> {
        if self.is_empty() || offset <= self.range.start {
            return Ok(());
        }
        let freed = "SELECT SUM(LENGTH(value) + COALESCE(LENGTH(key), 0)) FROM spill WHERE record < ?1";
        let freed: Option<i64> = self.connection.query_row(freed, [offset], |row| row.get(0)).optional()?.flatten();
        self.connection.execute("DELETE FROM spill WHERE record < ?1", [offset])?;
        self.bytes = self.bytes.saturating_sub(freed.unwrap_or(0) as u64);
        self.range.start = offset.min(self.range.end);
        if self.is_empty() {
            self.bytes = 0;
            self.connection.execute_batch("VACUUM")?;
        }
        Ok(())
    }
}

fn size(record: &LogRecord) -> u64 {
    (record.value.len() + record.key.as_ref().map_or(0, Vec::len)) as u64
}

fn is_busy(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<rusqlite::Error>()
        .is_some_and(|e| e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy))
}

/// What the worker and the thread that reads ahead share.
struct Shared {
    store: Mutex<Store>,
    /// Offset of the worker's last read
    position: AtomicI64,
    /// The worker is gone
    stop: AtomicBool,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads ahead of a worker that lags.
struct Ahead<T> {
    log: T,
    topic: String,
    partition: u32,
    options: SpillOptions,
    shared: Arc<Shared>,
}

impl<T: Topics> Ahead<T> {
    /// Copies some records; false if there is nothing to do now.
    fn step(&mut self) -> Result<bool> {
        let position = self.shared.position.load(Ordering::SeqCst);
        let extent = self.log.extent(&self.topic, self.partition)?;
        let next = {
            let mut store = self.shared.store();
            if position > store.range.end {
                store.release(position)?;
            }
            let lags = position >= 0 && extent.end - position > self.options.lag_records;
            if !lags || store.bytes >= self.options.limit_bytes {
                return Ok(false);
            }
            if store.is_empty() { position } else { store.range.end }
        };
        if next >= extent.end {
            return Ok(false);
        }
        match self.log.read(&self.topic, self.partition, next, COPY_BYTES, LOOK_EVERY)? {
            Read::Records(records) => {
                self.shared.store().push(&records)?;
                Ok(!records.is_empty())
            }
            // The worker will meet the gap itself; behind it a new copy may begin.
            Read::Gap(_) => Ok(false),
        }
    }

    fn run(mut self) {
        while !self.shared.stop.load(Ordering::SeqCst) {
            match self.step() {
                Ok(true) => {}
                Ok(false) => std::thread::sleep(LOOK_EVERY),
                Err(error) => {
                    tracing::warn!(topic = self.topic, partition = self.partition, "cannot read ahead: {error:#}");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}

/// A log whose input topic is read through the file.
pub struct Spilling<T> {
    log: T,
    topic: String,
    partition: u32,
    shared: Option<Arc<Shared>>,
}

impl<T> Spilling<T> {
    /// The log as it is.
    pub fn off(log: T) -> Spilling<T> {
        Spilling { log, topic: String::new(), partition: 0, shared: None }
    }

    /// Lets go of spilled records before `offset`: no recovery will ask for them.
    pub fn release(&self, offset: i64) {
        if let Some(shared) = &self.shared
            && let Err(error) = shared.store().release(offset)
        {
            tracing::warn!("spilled records are not let go: {error:#}");
        }
    }

    /// Bytes of records in the file.
    pub fn spilled_bytes(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.store().bytes)
    }
}

impl<T: Topics + Send + 'static> Spilling<T> {
    /// Reads `topic`/`partition` through a file named after `owner`; `ahead` is a second connection. Without
    /// the file (another process has it, the disk is full) the log is read alone, with a warning.
    pub fn on(log: T, ahead: T, owner: &str, topic: &str, partition: u32, options: SpillOptions) -> Spilling<T> {
        let mut spilling = Spilling { log, topic: topic.into(), partition, shared: None };
        match spilling.open(owner, &options) {
            Ok(shared) => {
                let topic = topic.to_owned();
                let ahead = Ahead { log: ahead, topic, partition, options, shared: shared.clone() };
                std::thread::spawn(move || ahead.run());
                spilling.shared = Some(shared);
            }
            Err(error) => tracing::warn!(topic, partition, "nothing is spilled, records wait in the topic: {error:#}"),
        }
        spilling
    }

    fn open(&mut self, owner: &str, options: &SpillOptions) -> Result<Arc<Shared>> {
        std::fs::create_dir_all(&options.dir).with_context(|| format!("directory {}", options.dir.display()))?;
        let path = options.dir.join(format!("{owner}-{}-{}.spill", self.topic, self.partition));
        let mut store = Store::open(&path)?;
        if !self.agrees(&store)? {
            tracing::warn!(path = %path.display(), "the topic was made anew, its spilled records are thrown away");
            let end = store.range.end;
            store.release(end)?;
        }
        let (position, stop) = (AtomicI64::new(-1), AtomicBool::new(false));
        Ok(Arc::new(Shared { store: Mutex::new(store), position, stop }))
    }

    /// Does the log still hold the same records, as far as both have them?
    fn agrees(&mut self, store: &Store) -> Result<bool> {
        let extent = self.log.extent(&self.topic, self.partition)?;
        if store.is_empty() || extent.end < store.range.end {
            return Ok(store.is_empty());
        }
        let first = store.range.start.max(extent.start);
        if first >= store.range.end {
            return Ok(true);
        }
        let ours = store.read(first, CHECK_BYTES)?;
        let theirs = self.log.read(&self.topic, self.partition, first, CHECK_BYTES, Duration::from_secs(30))?;
        Ok(matches!(theirs, Read::Records(theirs) if theirs.first() == ours.first()))
    }
}

impl<T> Drop for Spilling<T> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.stop.store(true, Ordering::SeqCst);
        }
    }
}

impl<T: Topics> Topics for Spilling<T> {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        self.log.partitions(topic)
    }

    fn extent(&mut self, topic: &str, partition: u32) -> Result<Range<i64>> {
        self.log.extent(topic, partition)
    }

    fn read(&mut self, topic: &str, partition: u32, from: i64, max_bytes: usize, wait: Duration) -> Result<Read> {
        if let Some(shared) = self.shared.as_ref().filter(|_| topic == self.topic && partition == self.partition) {
            shared.position.store(from, Ordering::SeqCst);
            let mut store = shared.store();
            if store.range.contains(&from) {
                match store.read(from, max_bytes) {
                    Ok(records) => return Ok(Read::Records(records)),
                    Err(error) => {
                        tracing::warn!("spilled records are thrown away: {error:#}");
                        let end = store.range.end;
                        store.release(end)?;
                    }
                }
            }
        }
        self.log.read(topic, partition, from, max_bytes, wait)
    }

    fn append(&mut self, topic: &str, partition: u32, records: &[NewRecord]) -> Result<Range<i64>> {
        self.log.append(topic, partition, records)
    }
}

#[cfg(test)]
mod tests;

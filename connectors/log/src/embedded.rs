//! The embedded log (`--data DIR`): topics, snapshots and positions in one SQLite file.
//!
//! Why SQLite and not a file format of ours: it survives kills and torn tails, several processes
//! (`run`, `collect`, `sink`, `cat`) may use it at once, and the outputs of a batch, the position
//! behind it and the snapshot of the stages become durable in one transaction, which is all that
//! exactly-once needs here. Every record carries a CRC-32 of its bytes; a mismatch is an error
//! that names the record.

use crate::{LogRecord, NewRecord};
use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Layout of the file; another number is refused.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS records (
  topic INTEGER NOT NULL, partition INTEGER NOT NULL, record INTEGER NOT NULL,
  log_time_ms INTEGER NOT NULL, key BLOB, value BLOB NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (topic, partition, record)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
  pipeline TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
  PRIMARY KEY (pipeline, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshots (
  pipeline TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, stage INTEGER NOT NULL,
  control INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (pipeline, partition, next, stage)) WITHOUT ROWID;
";

/// A log directory, open in this process.
pub struct Log {
    connection: Connection,
    path: PathBuf,
}

/// The states of a chain's stages at one offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Offset of the first record not in it
    pub next: i64,
    /// Offset of the first control record not in it
    pub control: i64,
    /// State of each stage
    pub states: Vec<Vec<u8>>,
}

impl Log {
    /// Opens the log in `dir`, made where it is missing.
    pub fn open(dir: &Path) -> Result<Log> {
        std::fs::create_dir_all(dir).with_context(|| format!("log directory {}", dir.display()))?;
        let path = dir.join("log.db");
        Log::open_file(path.clone()).with_context(|| format!("log {}", path.display()))
    }

    fn open_file(path: PathBuf) -> Result<Log> {
        let connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: a commit is on disk before anything is acknowledged.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if format != 0 && format != FORMAT {
            bail!("the log has format {format}; this perfstream reads {FORMAT}");
        }
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        Ok(Log { connection, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all topics, sorted.
    pub fn topics(&self) -> Result<Vec<String>> {
        let mut statement = self.connection.prepare("SELECT name FROM topics ORDER BY name")?;
        let names = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(names)
    }

    /// Up to `max` records of a partition from offset `from` on.
    pub fn read(&self, topic: &str, partition: u32, from: i64, max: usize) -> Result<Vec<LogRecord>> {
        self.read_bytes(topic, partition, from, max, usize::MAX)
    }

    /// As [`read`](Log::read), but no more than `max_bytes` of keys and values, or one record.
    pub fn read_bytes(
        &self,
        topic: &str,
        partition: u32,
        from: i64,
        max: usize,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>> {
        let Some(id) = self.topic(topic)? else { return Ok(Vec::new()) };
        let mut statement = self.connection.prepare_cached(
            "SELECT record, log_time_ms, key, value, crc FROM records
             WHERE topic = ?1 AND partition = ?2 AND record >= ?3 ORDER BY record LIMIT ?4",
        )?;
        let mut rows = statement.query(params![id, partition, from, max as i64])?;
        let (mut records, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next()? {
            let record =
                LogRecord { offset: row.get(0)?, log_time_ms: row.get(1)?, key: row.get(2)?, value: row.get(3)? };
            let crc: u32 = row.get(4)?;
            if crc != checksum(record.log_time_ms, record.key.as_deref(), &record.value) {
                bail!("record {} of {topic}/{partition} is damaged: its checksum does not match", record.offset);
            }
            bytes = bytes.saturating_add(record.key.as_ref().map_or(0, Vec::len) + record.value.len());
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The offset behind the last record of a partition.
    pub fn end(&self, topic: &str, partition: u32) -> Result<i64> {
        end(&self.connection, topic, partition)
    }

    /// The partitions of a topic that hold records, in order.
    pub fn partitions(&self, topic: &str) -> Result<Vec<u32>> {
        let Some(id) = self.topic(topic)? else { return Ok(Vec::new()) };
        // From one partition to the next: DISTINCT would read every record.
        let mut next = self.connection.prepare_cached(
            "SELECT partition FROM records WHERE topic = ?1 AND partition > ?2 ORDER BY partition LIMIT 1",
        )?;
        let (mut found, mut last) = (Vec::new(), -1);
        while let Some(partition) = next.query_row(params![id, last], |row| row.get(0)).optional()? {
            found.push(partition);
            last = i64::from(partition);
        }
        Ok(found)
    }

    fn topic(&self, name: &str) -> Result<Option<i64>> {
        topic(&self.connection, name)
    }

    /// Offset of the first record of the input that no committed output covers.
    pub fn position(&self, pipeline: &str, partition: u32) -> Result<Option<i64>> {
        let mut statement =
            self.connection.prepare_cached("SELECT next FROM positions WHERE pipeline = ?1 AND partition = ?2")?;
        Ok(statement.query_row(params![pipeline, partition], |row| row.get(0)).optional()?)
    }

    /// The snapshots of a partition, newest first.
    pub fn snapshots(&self, pipeline: &str, partition: u32) -> Result<Vec<StoredSnapshot>> {
        let mut statement = self.connection.prepare(
            "SELECT next, control, state FROM snapshots WHERE pipeline = ?1 AND partition = ?2
             ORDER BY next DESC, stage",
        )?;
        let mut rows = statement.query(params![pipeline, partition])?;
        let mut found: Vec<StoredSnapshot> = Vec::new();
        while let Some(row) = rows.next()? {
            let (next, control, state): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            match found.last_mut().filter(|s| s.next == next) {
                Some(snapshot) => snapshot.states.push(state),
                None => found.push(StoredSnapshot { next, control, states: vec![state] }),
            }
        }
        Ok(found)
    }

    /// Everything that `write` does becomes durable at once, or nothing does.
    pub fn commit<T>(&mut self, write: impl FnOnce(&Writer<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = write(&Writer { transaction: &transaction })?;
        transaction.commit()?;
        Ok(value)
    }
}

/// Writes inside one transaction.
pub struct Writer<'t> {
    transaction: &'t Transaction<'t>,
}

impl Writer<'_> {
    /// Appends records; returns the offset of the first.
    pub fn append(&self, name: &str, partition: u32, records: &[NewRecord]) -> Result<i64> {
        self.transaction.prepare_cached("INSERT OR IGNORE INTO topics (name) VALUES (?1)")?.execute([name])?;
        let id = topic(self.transaction, name)?.context("a topic was just made")?;
        let first = end(self.transaction, name, partition)?;
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO records (topic, partition, record, log_time_ms, key, value, crc) VALUES (?1,?2,?3,?4,?5,?6,?7)",
        )?;
        for (n, record) in records.iter().enumerate() {
            let crc = checksum(record.log_time_ms, record.key.as_deref(), &record.value);
            let offset = first + n as i64;
            insert.execute(params![id, partition, offset, record.log_time_ms, record.key, record.value, crc])?;
        }
        Ok(first)
    }

    /// Says that all output of records before `next` is in this transaction or an earlier one.
    pub fn set_position(&self, pipeline: &str, partition: u32, next: i64) -> Result<()> {
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO positions (pipeline, partition, next) VALUES (?1, ?2, ?3)")?
            .execute(params![pipeline, partition, next])?;
        Ok(())
    }

    /// Stores a snapshot and drops all but the newest `retain`.
    pub fn set_snapshot(&self, pipeline: &str, partition: u32, snapshot: &StoredSnapshot, retain: u32) -> Result<()> {
        let mut insert = self.transaction.prepare_cached(
            "INSERT OR REPLACE INTO snapshots (pipeline, partition, next, stage, control, state) VALUES (?1,?2,?3,?4,?5,?6)",
        )?;
        for (n, state) in snapshot.states.iter().enumerate() {
            insert.execute(params![pipeline, partition, snapshot.next, n as i64, snapshot.control, state])?;
        }
        self.transaction.execute(
            "DELETE FROM snapshots WHERE pipeline = ?1 AND partition = ?2 AND next NOT IN
             (SELECT DISTINCT next FROM snapshots WHERE pipeline = ?1 AND partition = ?2 ORDER BY next DESC LIMIT ?3)",
            params![pipeline, partition, retain.max(1)],
        )?;
        Ok(())
    }
}

fn topic(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM topics WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

fn end(connection: &Connection, name: &str, partition: u32) -> Result<i64> {
    let mut statement = connection.prepare_cached(
        "SELECT max(record) FROM records WHERE topic = (SELECT id FROM topics WHERE name = ?1) AND partition = ?2",
    )?;
    let last: Option<i64> = statement.query_row(params![name, partition], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last + 1))
}

pub(crate) fn checksum(log_time_ms: i64, key: Option<&[u8]>, value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&log_time_ms.to_le_bytes());
    hasher.update(&key.map_or(u64::MAX, |k| k.len() as u64).to_le_bytes());
    hasher.update(key.unwrap_or_default());
    hasher.update(value);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: &[u8]) -> NewRecord {
        NewRecord { log_time_ms: 5, key: Some(b"k".to_vec()), value: value.to_vec() }
    }

    #[test]
    fn holds_any_bytes_and_numbers_them() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut log = Log::open(dir.path())?;
        let first = log.commit(|w| w.append("t", 0, &[record(b""), record(b"\x00\xff")]))?;
        let next = log.commit(|w| w.append("t", 0, &[record(b"x")]))?;
        assert_eq!((first, next, log.end("t", 0)?, log.end("t", 1)?, log.end("u", 0)?), (0, 2, 3, 0, 0));
        let read = Log::open(dir.path())?.read("t", 0, 1, 10)?;
        assert_eq!(
            read.iter().map(|r| (r.offset, r.value.clone())).collect::<Vec<_>>(),
            [(1, b"\x00\xff".to_vec()), (2, b"x".to_vec())]
        );
        Ok(())
    }

    #[test]
    fn a_failed_commit_leaves_nothing() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut log = Log::open(dir.path())?;
        let failed: Result<()> = log.commit(|w| {
            w.append("t", 0, &[record(b"x")])?;
            w.set_position("p", 0, 1)?;
            bail!("the disk is full")
        });
        assert!(failed.is_err());
        assert_eq!((log.end("t", 0)?, log.position("p", 0)?), (0, None));
        Ok(())
    }

    #[test]
    fn keeps_the_newest_snapshots() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut log = Log::open(dir.path())?;
        for next in 1..=5 {
            let snapshot = StoredSnapshot { next, control: 0, states: vec![vec![next as u8], vec![]] };
            log.commit(|w| w.set_snapshot("p", 0, &snapshot, 3))?;
        }
        let kept = log.snapshots("p", 0)?;
        assert_eq!(kept.iter().map(|s| s.next).collect::<Vec<_>>(), [5, 4, 3]);
        assert_eq!(kept[0].states, [vec![5], vec![]]);
        Ok(())
    }

    #[test]
    fn a_damaged_record_is_named() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut log = Log::open(dir.path())?;
        log.commit(|w| w.append("t", 0, &[record(b"x")]))?;
        log.connection.execute("UPDATE records SET value = x'00'", [])?;
        let error = log.read("t", 0, 0, 1).unwrap_err().to_string();
        assert_eq!(error, "record 0 of t/0 is damaged: its checksum does not match");
        Ok(())
    }
}

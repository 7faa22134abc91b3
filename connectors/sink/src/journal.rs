//! What the sink must not forget, in one SQLite file: how far it has read, open alerts, groups with what
//! was begun and sent, ids of alerts that are over.
//!
//! Each commit is on disk before it returns (`synchronous=FULL`). The file belongs to one sink at a
//! time: two would tell everything twice, so the second is refused.

use crate::engine::Change;
use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::path::Path;
use std::time::Duration;

/// Layout of the file; another number is refused.
const FORMAT: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS positions (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, past INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
  kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
";

/// How far a partition is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Topic
    pub topic: String,
    /// Partition
    pub partition: u32,
    /// Offset of the first record not taken
    pub next: i64,
    /// Offset behind the records that were there before the sink was first started
    pub past: i64,
}

/// The journal, open in this process alone.
pub struct Journal {
    connection: Connection,
}

impl Journal {
    /// Opens it, made where it is missing.
    pub fn open(path: &Path) -> Result<Journal> {
        Journal::open_file(path).map_err(in_use).with_context(|| format!("journal {}", path.display()))
    }

    fn open_file(path: &Path) -> Result<Journal> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_millis(200))?;
        // The lock is taken by the first write, and held to the end of the process.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if format != 0 && format != FORMAT {
            bail!("it has format {format}; this perfstream reads {FORMAT}");
        }
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))?;
        connection.pragma_update(None, "user_version", FORMAT)?;
        Ok(Journal { connection })
    }

    /// How far a partition is read; None if it never was.
    pub fn position(&self, topic: &str, partition: u32) -> Result<Option<Position>> {
        let mut statement =
            self.connection.prepare("SELECT next, past FROM positions WHERE topic = ?1 AND partition = ?2")?;
        let found = statement.query_row(params![topic, partition], |row| {
            Ok(Position { topic: topic.into(), partition, next: row.get(0)?, past: row.get(1)? })
        });
        Ok(found.optional()?)
    }

    /// Kind and value of every entry, for [`crate::engine::Engine::restore`].
    pub fn entries(&self) -> Result<Vec<(String, String)>> {
        let mut statement = self.connection.prepare("SELECT kind, value FROM entries ORDER BY kind, key")?;
        let entries = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(entries)
    }

    /// Everything here is on disk when it returns, or nothing.
    pub fn commit(&mut self, changes: &[Change], positions: &[Position]) -> Result<()> {
        if changes.is_empty() && positions.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for Change { kind, key, value } in changes {
            let sql = match value {
                Some(_) => "INSERT OR REPLACE INTO entries (kind, key, value) VALUES (?1, ?2, ?3)",
                None => "DELETE FROM entries WHERE kind = ?1 AND key = ?2 AND ?3 IS NULL",
            };
            transaction.prepare_cached(sql)?.execute(params![kind, key, value])?;
        }
        for p in positions {
            let sql = "INSERT OR REPLACE INTO positions (topic, partition, next, past) VALUES (?1, ?2, ?3, ?4)";
            transaction.prepare_cached(sql)?.execute(params![p.topic, p.partition, p.next, p.past])?;
        }
        Ok(transaction.commit()?)
    }
}

fn in_use(error: anyhow::Error) -> anyhow::Error {
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    match code {
        Some(rusqlite::ErrorCode::DatabaseBusy) => anyhow::anyhow!("another sink uses it"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_committed_and_belongs_to_one() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("sink.db");
        let position = Position { topic: "alerts".into(), partition: 1, next: 7, past: 3 };
        let change = |value: Option<&str>| Change { kind: "alert", key: "a".into(), value: value.map(String::from) };
        let mut journal = Journal::open(&path)?;
        assert_eq!(journal.position("alerts", 1)?, None);
        journal.commit(&[change(Some("{}"))], std::slice::from_ref(&position))?;
        let error = Journal::open(&path).err().map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(error.contains("another sink uses it"), "{error}");
        drop(journal);
        let mut journal = Journal::open(&path)?;
        assert_eq!(journal.position("alerts", 1)?, Some(position));
        assert_eq!(journal.entries()?, [("alert".to_string(), "{}".to_string())]);
        journal.commit(&[change(None)], &[])?;
        assert_eq!(journal.entries()?, []);
        Ok(())
    }
}

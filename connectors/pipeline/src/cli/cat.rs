//! `perfstream cat`: a topic of the embedded log as lines.

use super::print;
use anyhow::{Context, Result, bail};
use perfstream_log::embedded::Log;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Prints the records of a topic, or without one the topics.
pub(super) fn cat(topic: Option<&str>, data: &std::path::Path, follow: bool, from: i64, meta: bool) -> Result<()> {
    if !data.join("log.db").exists() {
        bail!("there is no embedded log in {}", data.display());
    }
    let log = Log::open(data)?;
    let topics = log.topics()?;
    let Some(topic) = topic else {
        return topics.iter().try_for_each(|name| print(&format!("{name}\n")));
    };
    if !topics.iter().any(|t| t == topic) && !follow {
        bail!("no topic `{topic}`; the log has {}", topics.join(", "));
    }
    let mut next: BTreeMap<u32, i64> = BTreeMap::new();
    loop {
        let mut idle = true;
        for partition in log.partitions(topic)? {
            let place = next.entry(partition).or_insert(from);
            let records = log.read(topic, partition, *place, 1000)?;
            let mut out = std::io::stdout().lock();
            for record in &records {
                *place = record.offset + 1;
                if meta {
                    let key = record.key.as_ref().map(|k| String::from_utf8_lossy(k));
                    write!(
                        out,
                        "{partition}\t{}\t{}\t{}\t",
                        record.offset,
                        record.log_time_ms,
                        key.unwrap_or_default()
                    )?;
                }
                out.write_all(&record.value)?;
                out.write_all(b"\n")?;
            }
            out.flush().context("standard output")?;
            idle &= records.is_empty();
        }
        if idle && !follow {
            return Ok(());
        }
        if idle {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

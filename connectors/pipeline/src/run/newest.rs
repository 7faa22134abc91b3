//! The newest words of the topic `perfstream-status`, in an embedded log or on a cluster.

use super::records::Status;
use crate::detect::topic::read;
use crate::topics;
use anyhow::{Result, bail};
use perfstream_log::Place;
use std::collections::BTreeMap;

/// The newest status records by key, of the topic's last so many records.
pub fn newest(log: &mut Place, last: i64) -> Result<BTreeMap<String, Status>> {
    if log.partitions(topics::STATUS)?.is_none() {
        bail!(
            "there is no topic `{}`: `perfstream deploy` makes it on a cluster, `perfstream run --data` in an embedded log",
            topics::STATUS
        );
    }
    let mut newest = BTreeMap::new();
    let extent = log.extent(topics::STATUS, 0)?;
    let mut next = extent.end.saturating_sub(last).max(extent.start);
    while next < extent.end {
        let records = read(log, topics::STATUS, 0, &mut next)?;
        if records.is_empty() {
            bail!("the status records cannot be read");
        }
        for record in records {
            let key = String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned();
            // Another version's record, or nobody's, says nothing here.
            if let Ok(value) = serde_json::from_slice(&record.value) {
                newest.insert(key, value);
            }
        }
    }
    Ok(newest)
}

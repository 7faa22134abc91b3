//! Outputs of one advance on their way to topics, and which of them are there already.

use crate::output::Emission;
use anyhow::{Context, Result, bail};
use perfstream_log::{NewRecord, Read, Topics, partition_of_key};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How much is read at once while looking for what is there already.
const SCAN_BYTES: usize = 4 << 20;
/// A record below the end of a partition must come within this time.
const SCAN_PATIENCE: Duration = Duration::from_secs(30);

/// Where a record goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Topic
    pub topic: String,
    /// Partition of it
    pub partition: u32,
}

impl Place {
    /// The key in [`super::control::Advance::written`].
    pub fn name(&self) -> String {
        format!("{}/{}", self.topic, self.partition)
    }
}

/// Records by place, in the order in which they were made.
pub type Batches = BTreeMap<Place, Vec<NewRecord>>;

/// The topics a pipeline writes, with their partition counts.
#[derive(Debug, Clone)]
pub struct OutputTopics {
    counts: BTreeMap<String, u32>,
}

impl OutputTopics {
    /// Asks the log; a topic that is not there is an error.
    pub fn find(log: &mut impl Topics, names: &[String]) -> Result<OutputTopics> {
        let mut counts = BTreeMap::new();
        for name in names {
            let Some(count) = log.partitions(name)? else {
                bail!("there is no topic `{name}` on the cluster; `perfstream deploy` creates it");
            };
            counts.insert(name.clone(), count.max(1));
        }
        Ok(OutputTopics { counts })
    }

    /// All places, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.counts
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(move |partition| Place { topic: topic.clone(), partition }))
    }

    /// Spreads emissions over the partitions: by their key as Fluvio does it, without a key by the
    /// partition of the input.
    pub fn batches(&self, names: &[String], emissions: Vec<Emission>, input_partition: u32) -> Result<Batches> {
        let mut batches = Batches::new();
        for emission in emissions {
            let topic = names[emission.topic].clone();
            let count = *self.counts.get(&topic).with_context(|| format!("the topic `{topic}` was not looked up"))?;
            let partition = match &emission.record.key {
                Some(key) => partition_of_key(key, count),
                None => input_partition % count,
            };
            batches.entry(Place { topic, partition }).or_default().push(emission.record);
        }
        Ok(batches)
    }
}

/// What makes two records copies of each other: key and value.
fn identity(key: Option<&[u8]>, value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.map_or(u64::MAX, |k| k.len() as u64).to_le_bytes());
    hasher.update(key.unwrap_or_default());
    hasher.update(value);
    let hash = hasher.finalize();
    std::array::from_fn(|n| hash.as_bytes()[n])
}

/// Takes out of `batches` what the output partitions hold from `written` on.
pub fn drop_written(log: &mut impl Topics, batches: &mut Batches, written: &BTreeMap<String, i64>) -> Result<()> {
    for (place, records) in batches.iter_mut() {
        let extent = log.extent(&place.topic, place.partition)?;
        let from = written.get(&place.name()).copied().unwrap_or(extent.start).max(extent.start);
        let there = identities(log, place, from, extent.end)?;
        records.retain(|r| !there.contains(&identity(r.key.as_deref(), &r.value)));
    }
    batches.retain(|_, records| !records.is_empty());
    Ok(())
}

fn identities(log: &mut impl Topics, place: &Place, from: i64, end: i64) -> Result<BTreeSet<[u8; 16]>> {
    let mut found = BTreeSet::new();
    let mut at = from;
    while at < end {
        match log.read(&place.topic, place.partition, at, SCAN_BYTES, SCAN_PATIENCE)? {
            Read::Gap(range) => at = range.end,
            Read::Records(records) if records.is_empty() => {
                bail!("{}: records {at} to {end} did not come within {SCAN_PATIENCE:?}", place.name())
            }
            Read::Records(records) => {
                at = records.last().map_or(end, |r| r.offset + 1);
                found.extend(records.iter().map(|r| identity(r.key.as_deref(), &r.value)));
            }
        }
    }
    Ok(found)
}

//! Topics and SmartModules of a cluster: what is there, making and removing them.

use super::Cluster;
use anyhow::{Context, Result};
use fluvio::metadata::objects::Metadata;
use fluvio::metadata::smartmodule::{SmartModuleMetadata, SmartModuleSpec, SmartModuleWasm};
use fluvio::metadata::topic::{CleanupPolicy, SegmentBasedPolicy, TopicSpec, TopicStorageConfig};
use std::collections::BTreeMap;

/// How a topic is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicKeep {
    /// Number of partitions
    pub partitions: u32,
    /// Copies of each
    pub replication: u32,
    /// How long full segments are kept, seconds; Fluvio's default is 7 days
    pub retention_s: Option<u32>,
    /// Size of a segment, bytes; Fluvio's default is 1 GiB
    pub segment_bytes: Option<u32>,
    /// Size of a partition beyond which its oldest segments go, bytes; Fluvio's default is 100 GB
    pub max_partition_bytes: Option<u64>,
}

impl TopicKeep {
    /// So many partitions, kept as Fluvio does by default.
    pub fn partitions(partitions: u32) -> TopicKeep {
        TopicKeep { partitions, replication: 1, retention_s: None, segment_bytes: None, max_partition_bytes: None }
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTopic {
    /// Number of partitions
    pub partitions: u32,
    /// How long full segments are kept, seconds
    pub retention_s: u32,
    /// Size of a partition beyond which its oldest segments go, bytes; None: Fluvio's default
    pub max_partition_bytes: Option<u64>,
    /// Does Fluvio drop duplicates in it?
    pub deduplication: bool,
}

/// A SmartModule as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModule {
    /// The key that it is stored under
    pub key: String,
    /// BLAKE3 of its WASM, hexadecimal
    pub hash: String,
}

impl Cluster {
    /// All topics by name.
    pub async fn topics(&self) -> Result<BTreeMap<String, FoundTopic>> {
        let all: Vec<Metadata<TopicSpec>> =
            self.look_up(async |admin| admin.all().await).await.context("cannot list the topics")?;
        let found = |spec: &TopicSpec| FoundTopic {
            partitions: spec.partitions(),
            retention_s: spec.retention_secs(),
            max_partition_bytes: spec.get_storage().and_then(|storage| storage.max_partition_size),
            deduplication: spec.get_deduplication().is_some(),
        };
        Ok(all.iter().map(|topic| (topic.name.clone(), found(&topic.spec))).collect())
    }

    /// Makes a topic.
    pub async fn create_topic(&self, name: &str, keep: &TopicKeep) -> Result<()> {
        let mut spec = TopicSpec::new_computed(keep.partitions, keep.replication, None);
        if let Some(seconds) = keep.retention_s {
            spec.set_cleanup_policy(CleanupPolicy::Segment(SegmentBasedPolicy { time_in_seconds: seconds }));
        }
        if keep.segment_bytes.is_some() || keep.max_partition_bytes.is_some() {
            spec.set_storage(TopicStorageConfig {
                segment_size: keep.segment_bytes,
                max_partition_size: keep.max_partition_bytes,
            });
        }
        self.look_up(async |admin| admin.create(name.to_string(), false, spec.clone()).await)
            .await
            .with_context(|| format!("cannot create the topic `{name}`"))
    }

    /// Removes a topic with all that is in it.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        self.look_up(async |admin| admin.delete::<TopicSpec>(name.to_string()).await)
            .await
            .with_context(|| format!("cannot delete the topic `{name}`"))
    }

    /// All SmartModules by `group/name@version`, or by their key if they have no package.
    pub async fn modules(&self) -> Result<BTreeMap<String, FoundModule>> {
        let all: Vec<Metadata<SmartModuleSpec>> = self
            .look_up(async |admin| admin.list_with_params::<SmartModuleSpec, String>(vec![], false).await)
            .await
            .context("cannot list the SmartModules")?;
        all.iter()
            .map(|module| {
                let name = module.spec.fqdn(&module.name).into_owned();
                let wasm = module.spec.wasm.as_raw_wasm().with_context(|| format!("the SmartModule {name}"))?;
                Ok((name, FoundModule { key: module.name.clone(), hash: hash(&wasm) }))
            })
            .collect()
    }

    /// Uploads a SmartModule; `package` is the text of its SmartModule.toml.
    pub async fn upload_module(&self, package: &str, wasm: &[u8]) -> Result<()> {
        let meta = SmartModuleMetadata::from_bytes(package.as_bytes())?;
        let name = meta.package.fqdn();
        let wasm = SmartModuleWasm::from_raw_wasm_bytes(wasm)?;
        let spec = SmartModuleSpec { meta: Some(meta), wasm, ..SmartModuleSpec::default() };
        // The cluster stores it under an id made of the package.
        self.look_up(async |admin| admin.create(name.clone(), false, spec.clone()).await)
            .await
            .with_context(|| format!("cannot upload the SmartModule {name}"))
    }

    /// Removes a SmartModule by its key.
    pub async fn delete_module(&self, key: &str) -> Result<()> {
        self.look_up(async |admin| admin.delete::<SmartModuleSpec>(key.to_string()).await)
            .await
            .with_context(|| format!("cannot delete the SmartModule `{key}`"))
    }
}

/// How [`FoundModule::hash`] is made.
pub fn hash(wasm: &[u8]) -> String {
    blake3::hash(wasm).to_hex().to_string()
}

//! A Fluvio cluster: connecting to it, and finding the SPU that leads a partition.

mod admin;
mod connection;
mod quick;
mod reader;
mod topics;
mod writer;

pub use admin::{FoundModule, FoundTopic, TopicKeep, hash as module_hash};
pub use fluvio::Isolation;
pub use reader::{Reader, ReaderCounters, ReaderOptions, SpuReader};
pub use topics::ClusterTopics;
pub use writer::{AppendError, Writer, WriterOptions};

use anyhow::{Context, Result, anyhow, bail};
use fluvio::config::TlsPolicy;
use fluvio::metadata::objects::Metadata;
use fluvio::metadata::partition::PartitionSpec;
use fluvio::metadata::spu::SpuSpec;
use fluvio::metadata::topic::TopicSpec;
use fluvio::{Fluvio, FluvioAdmin, FluvioClusterConfig};
use fluvio_socket::ClientConfig;
use quick::QuickConnector;
use std::future::Future;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long one answer of the system controller, or one connection, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Which cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The current profile of `~/.fluvio/config` (or `FLV_PROFILE_PATH`), TLS included
    #[default]
    Profile,
    /// `HOST:PORT` of the system controller, without TLS
    Address(String),
}

impl Target {
    fn config(&self) -> Result<FluvioClusterConfig> {
        match self {
            Target::Profile => FluvioClusterConfig::load().context("cannot read the Fluvio profile"),
            Target::Address(address) => Ok(FluvioClusterConfig::new(address.clone())),
        }
    }
}

/// A connection to a cluster.
pub struct Cluster {
    config: FluvioClusterConfig,
    fluvio: Fluvio,
    /// For look-ups; made anew when it fails, so that a restarted system controller is found again.
    admin: Mutex<Option<FluvioAdmin>>,
}

/// What a reader or writer has to know of a partition.
pub(crate) struct Place {
    /// The partition as the system controller describes it
    pub(crate) spec: PartitionSpec,
    /// How to reach the SPU that leads it
    pub(crate) spu: ClientConfig,
}

impl Cluster {
    /// Connects to the system controller.
    pub async fn connect(target: &Target) -> Result<Cluster> {
        Cluster::connect_by(target.config()?).await
    }

    /// Connects as a Fluvio profile says.
    pub(crate) async fn connect_by(config: FluvioClusterConfig) -> Result<Cluster> {
        let what = format!("cannot connect to a Fluvio cluster at {}", config.endpoint);
        let fluvio = within(ANSWER_WITHIN, Fluvio::connect_with_config(&config)).await.context(what)?;
        Ok(Cluster { config, fluvio, admin: Mutex::new(None) })
    }

    /// The client, for what is neither reading nor writing of records.
    pub fn client(&self) -> &Fluvio {
        &self.fluvio
    }

    /// A topic as it was made; None if there is none of that name.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicSpec>> {
        let named: Vec<Metadata<TopicSpec>> = self
            .look_up(async |admin| admin.list(vec![name.to_owned()]).await)
            .await
            .with_context(|| format!("cannot look up topic {name}"))?;
        // The filter gives every topic whose name contains the one asked for.
        Ok(named.into_iter().find(|topic| topic.name == name).map(|topic| topic.spec))
    }

    /// Where a partition is now; None if there is no such partition.
    pub(crate) async fn place(&self, topic: &str, partition: u32) -> Result<Option<Place>> {
        let what = || format!("cannot look up partition {topic}/{partition}");
        let key = format!("{topic}-{partition}");
        let partitions: Vec<Metadata<PartitionSpec>> =
            self.look_up(async |admin| admin.all().await).await.with_context(what)?;
        let Some(found) = partitions.into_iter().find(|p| p.name == key) else { return Ok(None) };
        let spus: Vec<Metadata<SpuSpec>> = self.look_up(async |admin| admin.all().await).await.with_context(what)?;
        let leader = found.spec.leader;
        let spu = spus
            .into_iter()
            .find(|spu| spu.spec.id == leader)
            .with_context(|| format!("SPU {leader}, the leader of {topic}/{partition}, is not registered"))?;
        Ok(Some(Place { spec: found.spec, spu: self.spu_config(&spu)? }))
    }

    fn spu_config(&self, spu: &Metadata<SpuSpec>) -> Result<ClientConfig> {
        let mut config = match self.config.tls {
            TlsPolicy::Disabled => ClientConfig::new("", Box::new(QuickConnector), self.config.use_spu_local_address),
            _ => ClientConfig::try_from(self.config.clone())?.with_prefix_sni_domain(&spu.name),
        };
        config.set_addr(match &spu.spec.public_endpoint_local {
            Some(local) if self.config.use_spu_local_address => format!("{}:{}", local.host, local.port),
            _ => spu.spec.public_endpoint.addr(),
        });
        Ok(config)
    }

    async fn look_up<T>(&self, ask: impl AsyncFn(&FluvioAdmin) -> Result<T>) -> Result<T> {
        let mut kept = self.admin.lock().await;
        let admin = match kept.take() {
            Some(admin) => admin,
            None => within(ANSWER_WITHIN, FluvioAdmin::connect_with_config(&self.config))
                .await
                .with_context(|| format!("cannot connect to the system controller at {}", self.config.endpoint))?,
        };
        let answer = within(ANSWER_WITHIN, ask(&admin)).await?;
        *kept = Some(admin);
        Ok(answer)
    }
}

/// Refuses a topic whose stored batches do not say which offsets they hold.
fn refuse_deduplication(topic: &str, spec: &PartitionSpec) -> Result<()> {
    if spec.deduplication.is_some() {
        bail!(
            "topic {topic} has Fluvio's `deduplication`, which leaves batches with fewer records than their offsets \
             say, so that lost records could not be told from dropped ones; make the topic without it and use \
             `input.dedupe` of the pipeline"
        );
    }
    Ok(())
}

/// The answer, or an error when it takes longer than `limit`.
async fn within<T, E: Into<anyhow::Error>>(limit: Duration, answer: impl Future<Output = Result<T, E>>) -> Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(anyhow!("no answer within {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a cluster, for that makes such a topic only when it has the SmartModule that drops.
    #[test]
    fn a_deduplicating_topic_is_refused() {
        let mut spec = PartitionSpec::default();
        assert!(refuse_deduplication("clicks", &spec).is_ok());
        spec.deduplication = Some(fluvio::metadata::topic::Deduplication::default());
        let error = refuse_deduplication("clicks", &spec).unwrap_err().to_string();
        assert!(error.starts_with("topic clicks has Fluvio's `deduplication`, which leaves batches"), "{error}");
        assert!(error.ends_with("make the topic without it and use `input.dedupe` of the pipeline"), "{error}");
    }
}

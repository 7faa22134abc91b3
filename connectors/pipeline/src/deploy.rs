//! `perfstream deploy` and `undeploy`: what a pipeline needs on a cluster, what is there, and the
//! steps from one to the other.

mod plan;

pub use plan::{Action, Found, Options, Step, Wanted, refused, removals, steps, wanted};

use crate::model::Pipeline;
use crate::modules::Modules;
use crate::plan::PlanSpec;
use crate::{docs, registry, topics};
use anyhow::{Context, Result, bail, ensure};
use perfstream_log::cluster::{ClusterTopics, module_hash};
use perfstream_log::{NewRecord, Read, Topics};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::runtime::Handle;

/// What was deployed under a name; the newest record of the name counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Deployment {
    /// Name of the deployment
    pub name: String,
    /// When, RFC 3339
    pub at: String,
    /// Names of its pipelines
    pub pipelines: BTreeSet<String>,
    /// Topics that perfstream made for it, outputs left out
    pub own_topics: BTreeSet<String>,
    /// Its output topics
    pub output_topics: BTreeSet<String>,
    /// `group/name@version` of its SmartModules
    pub modules: BTreeSet<String>,
}

/// What is on the cluster now.
pub fn look(log: &mut ClusterTopics, runtime: &Handle) -> Result<Found> {
    let (topics, modules) =
        runtime.block_on(async { anyhow::Ok((log.cluster().topics().await?, log.cluster().modules().await?)) })?;
    let deployments = match topics.contains_key(topics::DEPLOYMENTS) {
        true => deployments(log)?,
        false => Vec::new(),
    };
    Ok(Found { topics, modules, deployments })
}

/// Refuses to run stages of which the cluster has other bytes: a worker of the build that deployed them
/// would share their state. What is not deployed at all is nobody's.
pub fn agree(log: &ClusterTopics, runtime: &Handle, pipelines: &[Pipeline], modules: &Modules) -> Result<()> {
    let found = runtime.block_on(log.cluster().modules())?;
    for pipeline in pipelines {
        for stage in &PlanSpec::new(pipeline)?.chain.stages {
            let uses = format!("{}/{}@{}", registry::GROUP, stage.stage, registry::VERSION);
            let Some(there) = found.get(&uses) else { continue };
            let hash = module_hash(&modules.load(&stage.stage)?);
            ensure!(
                there.hash == hash,
                "pipeline `{}`: the cluster has other bytes under `{uses}`: hash {}, this perfstream {}. Run the perfstream \
                 that deployed it, or deploy this one's modules: `perfstream deploy … --replace-modules`",
                pipeline.meta.name,
                &there.hash[..12],
                &hash[..12]
            );
        }
    }
    Ok(())
}

/// The newest record of each name that still stands.
fn deployments(log: &mut impl Topics) -> Result<Vec<Deployment>> {
    let extent = log.extent(topics::DEPLOYMENTS, 0)?;
    let (mut at, mut found) = (extent.start, std::collections::BTreeMap::new());
    while at < extent.end {
        match log.read(topics::DEPLOYMENTS, 0, at, 4 << 20, Duration::from_secs(10))? {
            Read::Gap(range) => at = range.end,
            Read::Records(records) if records.is_empty() => bail!("the deployments cannot be read"),
            Read::Records(records) => {
                for record in records {
                    at = record.offset + 1;
                    let name = String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned();
                    match serde_json::from_slice::<Deployment>(&record.value) {
                        Ok(deployment) => drop(found.insert(name, deployment)),
                        // An empty record: undeployed.
                        Err(_) => drop(found.remove(&name)),
                    }
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Does the steps, and writes down what is deployed (None: nothing any more).
pub fn apply(
    log: &mut ClusterTopics,
    runtime: &Handle,
    steps: &[Step],
    modules: &Modules,
    name: &str,
    deployed: Option<&Deployment>,
) -> Result<()> {
    for step in steps {
        match &step.action {
            Action::CreateTopic(keep) => log.create(&step.name, keep)?,
            Action::UploadModule { replace } => {
                if let Some(key) = replace {
                    runtime.block_on(log.cluster().delete_module(key))?;
                }
                upload(log, runtime, &step.name, modules)?;
            }
            Action::DeleteTopic => runtime.block_on(log.cluster().delete_topic(&step.name))?,
            Action::DeleteModule { key } => runtime.block_on(log.cluster().delete_module(key))?,
            Action::Keep => {}
            Action::Refuse => bail!("{}: {}", step.name, step.reason),
        }
    }
    let value = match deployed {
        Some(deployment) => serde_json::to_vec(deployment)?,
        None => Vec::new(),
    };
    let record = NewRecord { log_time_ms: 0, key: Some(name.as_bytes().to_vec()), value };
    log.append(topics::DEPLOYMENTS, 0, &[record]).context("the deployment cannot be written down").map(drop)
}

fn upload(log: &mut ClusterTopics, runtime: &Handle, uses: &str, modules: &Modules) -> Result<()> {
    let stage = plan::stage_of(uses).with_context(|| format!("`{uses}` is no stage"))?;
    let entry = registry::find(stage).with_context(|| format!("there is no stage `{stage}`"))?;
    let wasm = modules.load(stage)?;
    runtime.block_on(log.cluster().upload_module(&docs::smart_module_toml(entry), &wasm))
}

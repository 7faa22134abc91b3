//! `perfstream run --cluster`: pipelines on a Fluvio cluster.

use super::cluster::{Assignment, Running};
use super::share::Share;
use crate::chain::ChainOptions;
use crate::exact::Job;
use crate::model::{Backpressure, Pipeline, Placement};
use crate::plan::PlanSpec;
use crate::summary::Summary;
use crate::topics;
use anyhow::{Context, Result, bail};
use perfstream_log::Topics;
use perfstream_log::cluster::{ClusterTopics, Target};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Records of a partition that may wait under `backpressure: drop-oldest`.
const KEEP_WAITING: i64 = 100_000;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which cluster
    pub target: Target,
    /// Which share of the partitions
    pub share: Share,
    /// Where to serve metrics
    pub metrics: Option<SocketAddr>,
    /// End when all input that is there is processed
    pub stop_at_end: bool,
    /// How the stages run
    pub chain: ChainOptions,
}

/// Runs until stopped by a signal (SIGTERM, SIGINT): every worker then takes a last snapshot.
pub fn run(pipelines: &[Pipeline], options: &Options) -> Result<Vec<Summary>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(address) = options.metrics {
        let _entered = runtime.enter();
        metrics_exporter_prometheus::PrometheusBuilder::new()
            .with_http_listener(address)
            .install()
            .with_context(|| format!("cannot serve metrics at {address}"))?;
    }
    let connect = || ClusterTopics::connect(runtime.handle().clone(), &options.target);
    let session = session();
    let mut log = connect()?;
    let assignments =
        pipelines.iter().map(|p| assignment(&mut log, p, options, &session)).collect::<Result<Vec<_>>>()?;
    if log.partitions(topics::STATUS)?.is_none() {
        tracing::warn!(
            "there is no topic `{}`: nobody will see how this worker does; `perfstream deploy` creates it",
            topics::STATUS
        );
    }
    drop(log);
    let running = Running { stop_at_end: options.stop_at_end, session, ..Running::default() };
    let stop = running.stop.clone();
    runtime.spawn(async move {
        if let Err(error) = signal().await {
            tracing::error!("signals are not heard: {error:#}");
            return;
        }
        tracing::info!("stopping: each worker takes a last snapshot");
        stop.store(true, Ordering::SeqCst);
    });
    super::cluster::run(&assignments, &running, connect)
}

async fn signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// A name no other process has.
fn session() -> String {
    perfstream_core::id::id(&[
        &std::process::id().to_le_bytes(),
        &super::cluster::now().to_le_bytes(),
        &rand::random::<[u8; 16]>(),
    ])[..16]
        .to_string()
}

fn assignment(log: &mut impl Topics, pipeline: &Pipeline, options: &Options, session: &str) -> Result<Assignment> {
    let name = &pipeline.meta.name;
    if pipeline.placement == Placement::SpuPrefilter {
        bail!("pipeline `{name}`: `placement: spu-prefilter` is not built yet; `worker` gives the same records");
    }
    let plan = PlanSpec::new(pipeline)?;
    let Some(partitions) = log.partitions(&plan.input_topic)? else {
        bail!(
            "pipeline `{name}`: there is no topic `{}` on the cluster; `perfstream deploy` creates it",
            plan.input_topic
        );
    };
    let inbox = topics::inbox(name);
    let inbox_topic = log.partitions(&inbox)?.map(|_| inbox);
    let job = Job {
        config: config(&plan, &options.chain)?,
        plan,
        chain: options.chain.clone(),
        control_topic: topics::control(name),
        state_topic: topics::state(name),
        inbox_topic,
        checkpoint: Duration::from_micros(pipeline.checkpoint.interval.us().max(0) as u64),
        retain: pipeline.checkpoint.retain,
        recovery: pipeline.recovery,
        keep_waiting: (pipeline.backpressure == Backpressure::DropOldest).then_some(KEEP_WAITING),
        careful: false,
        instance: session.to_string(),
    };
    Ok(Assignment { job, partitions: options.share.of(partitions), errors: pipeline.errors })
}

/// Hash of all that outputs depend on: the plan and the modules' bytes.
fn config(plan: &PlanSpec, chain: &ChainOptions) -> Result<String> {
    let mut parts = vec![plan.hash()?.into_bytes()];
    for stage in &plan.chain.stages {
        parts.push(blake3::hash(&chain.modules.load(&stage.stage)?).as_bytes().to_vec());
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(perfstream_core::id::id(&parts))
}

//! Commands about a cluster: deploy, undeploy, status, sessions.

use super::{Files, load, print};
use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use perfstream::deploy::{self, Options, Step};
use perfstream::modules::Modules;
use perfstream::run;
use perfstream::run::newest::newest;
use perfstream::run::records::{PartitionRecord, SessionRecord, State, Status};
use perfstream_log::Place;
use perfstream_log::cluster::{ClusterTopics, Target};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(ClapArgs)]
pub(super) struct ClusterArg {
    /// HOST:PORT of the cluster's system controller; without it the cluster of the current Fluvio profile
    #[arg(long, value_name = "HOST:PORT")]
    cluster: Option<String>,
}

impl ClusterArg {
    fn connect(&self) -> Result<(tokio::runtime::Runtime, ClusterTopics)> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let target = self.cluster.clone().map_or(Target::Profile, Target::Address);
        let log = ClusterTopics::connect(runtime.handle().clone(), &target)?;
        Ok((runtime, log))
    }
}

#[derive(ClapArgs)]
pub(super) struct DeployArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    cluster: ClusterArg,
    /// Name of the deployment; default: the framework of the pipelines, or the first one's name
    #[arg(long)]
    name: Option<String>,
    /// Partitions of topics that are made
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: u32,
    /// Copies of each partition
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    replication: u32,
    /// Show the steps, do nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove what an earlier deployment of this name had and this one has not; outputs stay
    #[arg(long)]
    prune: bool,
    /// Remove such output topics too
    #[arg(long, requires = "prune")]
    prune_data: bool,
    /// Put this build's modules in the place of others of the same version
    #[arg(long)]
    replace_modules: bool,
    /// Directory with STAGE.wasm files, instead of the modules built in
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
}

pub(super) fn deploy(args: &DeployArgs) -> Result<ExitCode> {
    let pipelines = load(&args.files)?;
    let first = pipelines.first().context("the files have no pipeline")?;
    let name =
        args.name.clone().unwrap_or_else(|| first.meta.framework.as_ref().unwrap_or(&first.meta.name).to_string());
    let modules = Modules::new(args.modules.as_deref());
    let options = Options {
        partitions: args.partitions,
        replication: args.replication,
        replace_modules: args.replace_modules,
        prune: args.prune,
        data: args.prune_data,
    };
    let at = perfstream_core::time::format(run::cluster::now());
    let wanted = deploy::wanted(&name, &at, &pipelines, &modules, &options)?;
    let (runtime, mut log) = args.cluster.connect()?;
    let found = deploy::look(&mut log, runtime.handle())?;
    let steps = deploy::steps(&wanted, &found, &options);
    show(&name, &steps)?;
    deploy::refused(&steps)?;
    if !args.dry_run {
        deploy::apply(&mut log, runtime.handle(), &steps, &modules, &name, Some(&wanted.deployment))?;
        print(&format!("deployed `{name}`\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(ClapArgs)]
pub(super) struct UndeployArgs {
    /// Name of the deployment; without it the deployments are listed
    name: Option<String>,
    #[command(flatten)]
    cluster: ClusterArg,
    /// Remove the output topics too
    #[arg(long)]
    data: bool,
    /// Show the steps, do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn undeploy(args: &UndeployArgs) -> Result<ExitCode> {
    let (runtime, mut log) = args.cluster.connect()?;
    let found = deploy::look(&mut log, runtime.handle())?;
    let names: Vec<&str> = found.deployments.iter().map(|d| d.name.as_str()).collect();
    let Some(name) = &args.name else {
        for d in &found.deployments {
            let pipelines: Vec<&str> = d.pipelines.iter().map(String::as_str).collect();
            print(&format!("{}  of {}  pipelines {}\n", d.name, d.at, pipelines.join(", ")))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(deployment) = found.deployments.iter().find(|d| d.name == *name) else {
        bail!(
            "nothing is deployed as `{name}`; there is {}",
            if names.is_empty() { "nothing".into() } else { names.join(", ") }
        );
    };
    let options = Options { partitions: 1, replication: 1, replace_modules: false, prune: true, data: args.data };
    let steps = deploy::removals(deployment, None, &found, &options);
    show(name, &steps)?;
    if !args.dry_run {
        deploy::apply(&mut log, runtime.handle(), &steps, &Modules::default(), name, None)?;
        print(&format!("undeployed `{name}`\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(name: &str, steps: &[Step]) -> Result<()> {
    let lines: String = steps.iter().map(|step| format!("{step}\n")).collect();
    print(&format!("deployment `{name}`:\n{lines}"))
}

/// Where status records are.
#[derive(ClapArgs)]
struct Told {
    /// Directory of an embedded log, in the place of a cluster
    #[arg(long, value_name = "DIR", conflicts_with = "cluster")]
    data: Option<PathBuf>,
    #[command(flatten)]
    cluster: ClusterArg,
}

#[derive(ClapArgs)]
pub(super) struct StatusArgs {
    /// Only this pipeline
    pipeline: Option<String>,
    #[command(flatten)]
    told: Told,
    /// One JSON object per partition, as it stands in the topic perfstream-status
    #[arg(long)]
    json: bool,
}

/// The newest status record of each partition.
pub(super) fn status(args: &StatusArgs) -> Result<ExitCode> {
    let newest = newest_records(&args.told)?;
    let partitions: Vec<&PartitionRecord> = newest
        .values()
        .filter_map(|status| match status {
            Status::Partition(p) if args.pipeline.as_ref().is_none_or(|name| p.pipeline == *name) => Some(p),
            _ => None,
        })
        .collect();
    if partitions.is_empty() {
        print("no worker has reported\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = run::cluster::now();
    for partition in partitions {
        print(&if args.json { format!("{}\n", serde_json::to_string(partition)?) } else { text(partition, now) })?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(ClapArgs)]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    told: Told,
    /// One JSON object per session, as it stands in the topic perfstream-status
    #[arg(long)]
    json: bool,
}

/// The newest record of each session, the newest session first.
pub(super) fn sessions(args: &SessionsArgs) -> Result<ExitCode> {
    let newest = newest_records(&args.told)?;
    let session = |status| match status {
        Status::Session(record) => Some(record),
        Status::Partition(_) => None,
    };
    let mut sessions: Vec<SessionRecord> = newest.into_values().filter_map(session).collect();
    sessions.sort_by(|a, b| b.start_time.cmp(&a.start_time));
    if sessions.is_empty() {
        print("no session has reported\n")?;
    }
    for session in sessions {
        print(&if args.json { format!("{}\n", serde_json::to_string(&session)?) } else { session_text(&session) })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A worker reports every five seconds: this many records are enough for hundreds of partitions.
const LAST: i64 = 20_000;

fn newest_records(told: &Told) -> Result<BTreeMap<String, Status>> {
    match &told.data {
        Some(dir) => newest(&mut Place::embedded(dir)?, LAST),
        None => {
            // The client lives on the runtime.
            let (_runtime, topics) = told.cluster.connect()?;
            newest(&mut Place::Cluster(Box::new(topics)), LAST)
        }
    }
}

fn age_s(timestamp: &str, now: i64) -> i64 {
    let reported = perfstream_core::time::TimeParser::default().parse_text(timestamp);
    reported.map_or(0, |t| (now - t) / 1_000_000)
}

fn session_text(session: &SessionRecord) -> String {
    let s = &session.statistics;
    let status = serde_json::to_value(session.status).unwrap_or_default();
    format!(
        "{}  {}  since {}\n  frameworks {}\n  analyzers {}  detectors {}  stages {}\n  events {}  alerts {}  anomalies {}  predictions {}  \
         {:.0}/s  latency p50 {} ms  p99 {} ms\n",
        session.id,
        status.as_str().unwrap_or("-"),
        session.start_time,
        session.frameworks.join(", "),
        session.analyzers.join(", "),
        session.detectors.len(),
        session.processors.len(),
        s.events_processed,
        s.alerts_triggered,
        s.anomalies_detected,
        s.predictions_generated,
        s.throughput,
        s.latency.p50_ms,
        s.latency.p99_ms,
    )
}

fn text(status: &PartitionRecord, now: i64) -> String {
    let (s, o) = (&status.statistics, &status.offsets);
    let age_s = age_s(&status.timestamp, now);
    let silent = match status.status == State::Running && age_s > 30 {
        true => ", SILENT SINCE: its worker is gone or stuck",
        false => "",
    };
    let mut text = format!(
        "{}/{}  {}  session {}  {age_s} s ago{silent}\n  lag {} records  next {}  end {}  snapshot {}  recoveries {}  \
         misplaced {}  prefiltered {}  spilled {} bytes\n  events {}  alerts {}  anomalies {}  predictions {}  dead letters {}  {:.0}/s  \
         latency p50 {} ms  p99 {} ms\n",
        status.pipeline,
        status.partition,
        status.status.name(),
        status.session,
        status.lag_records,
        o.next,
        o.end,
        o.snapshot.map_or("none yet".into(), |at| at.to_string()),
        status.recoveries,
        status.misplaced,
        status.prefiltered,
        status.spilled_bytes,
        s.events_processed,
        s.alerts_triggered,
        s.anomalies_detected,
        s.predictions_generated,
        status.run["dead"].as_u64().unwrap_or(0),
        s.throughput,
        s.latency.p50_ms,
        s.latency.p99_ms,
    );
    for (reason, records) in status.run["skipped"].as_object().into_iter().flatten() {
        text.push_str(&format!("  not analysed: {records} records ({reason})\n"));
    }
    for stage in status.run["stages"].as_array().into_iter().flatten() {
        text.push_str(&format!("  {}: {}\n", stage["stage"].as_str().unwrap_or("-"), stage["counters"]));
    }
    if let Some(error) = &status.last_error {
        text.push_str(&format!("  last error: {error}\n"));
    }
    text
}

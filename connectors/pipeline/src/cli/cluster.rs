//! Commands about a cluster: deploy, undeploy, status.

use super::{Files, load, print};
use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use perfstream::deploy::{self, Options, Step};
use perfstream::modules::Modules;
use perfstream::{run, topics};
use perfstream_log::Read;
use perfstream_log::Topics;
use perfstream_log::cluster::{ClusterTopics, Target};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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

#[derive(ClapArgs)]
pub(super) struct StatusArgs {
    /// Only this pipeline
    pipeline: Option<String>,
    #[command(flatten)]
    cluster: ClusterArg,
    /// One JSON object per partition, as it stands in the topic perfstream-status
    #[arg(long)]
    json: bool,
}

/// The newest status record of each partition.
pub(super) fn status(args: &StatusArgs) -> Result<ExitCode> {
    let (_runtime, mut log) = args.cluster.connect()?;
    if log.partitions(topics::STATUS)?.is_none() {
        bail!("there is no topic `{}`; `perfstream deploy` creates it", topics::STATUS);
    }
    let mut newest: BTreeMap<String, Value> = BTreeMap::new();
    let extent = log.extent(topics::STATUS, 0)?;
    // A worker reports every five seconds: this many records are enough for hundreds of partitions.
    let mut at = (extent.end - 20_000).max(extent.start);
    while at < extent.end {
        match log.read(topics::STATUS, 0, at, 4 << 20, Duration::from_secs(10))? {
            Read::Gap(range) => at = range.end,
            Read::Records(records) if records.is_empty() => bail!("the status records cannot be read"),
            Read::Records(records) => {
                for record in records {
                    at = record.offset + 1;
                    let key = String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned();
                    if let Ok(value) = serde_json::from_slice(&record.value) {
                        newest.insert(key, value);
                    }
                }
            }
        }
    }
    newest.retain(|_, v| args.pipeline.as_ref().is_none_or(|p| v["pipeline"] == p.as_str()));
    if newest.is_empty() {
        print("no worker has reported\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = run::cluster::now();
    for value in newest.values() {
        print(&if args.json { format!("{value}\n") } else { text(value, now) })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Value, now: i64) -> String {
    let word = |v: &Value| v.as_str().unwrap_or("-").to_string();
    let number = |v: &Value| v.as_f64().map_or("-".into(), |x| format!("{x:.0}"));
    let (s, o, run) = (&status["statistics"], &status["offsets"], &status["run"]);
    let reported = perfstream_core::time::TimeParser::default().parse_text(&word(&status["timestamp"]));
    let age_s = reported.map_or(0, |t| (now - t) / 1_000_000);
    let silent =
        if status["status"] == "running" && age_s > 30 { ", SILENT SINCE: its worker is gone or stuck" } else { "" };
    let mut text = format!(
        "{}/{}  {}  session {}  {age_s} s ago{silent}\n  lag {} records  next {}  end {}  snapshot {}  recoveries {}  misplaced {}\n  \
         events {}  alerts {}  anomalies {}  predictions {}  dead letters {}  {}/s  latency p50 {} ms  p99 {} ms\n",
        word(&status["pipeline"]),
        status["partition"],
        word(&status["status"]),
        word(&status["session"]),
        number(&status["lag_records"]),
        o["next"],
        o["end"],
        o["snapshot"],
        status["recoveries"],
        status["misplaced"],
        s["eventsProcessed"],
        s["alertsTriggered"],
        s["anomaliesDetected"],
        s["predictionsGenerated"],
        number(&run["dead"]),
        number(&s["throughput"]),
        s["latency"]["p50_ms"],
        s["latency"]["p99_ms"],
    );
    for stage in run["stages"].as_array().into_iter().flatten() {
        text.push_str(&format!("  {}: {}\n", word(&stage["stage"]), stage["counters"]));
    }
    if let Some(error) = status["last_error"].as_str() {
        text.push_str(&format!("  last error: {error}\n"));
    }
    text
}

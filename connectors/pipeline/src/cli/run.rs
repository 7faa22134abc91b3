//! `perfstream run`: pipelines over a file, the embedded log or a cluster.

use super::{Engine, Files, load};
use anyhow::{Result, bail};
use clap::Args as ClapArgs;
use perfstream::connector;
use perfstream::exact::RENEW_AFTER;
use perfstream::model::Pipeline;
use perfstream::plan::{Plan, PlanSpec};
use perfstream::run::share::Instance;
use perfstream::run::{self, RunOptions, session};
use perfstream::summary::Summary;
use perfstream::topics;
use perfstream_log::cluster::Target;
use perfstream_log::spill::SpillOptions;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(ClapArgs)]
pub(super) struct RunArgs {
    /// Pipeline files
    #[arg(required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// Only the pipeline of this name (may be given more than once)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// All pipelines of this framework, also those in the files that it names
    #[arg(long, value_name = "NAME", conflicts_with = "only")]
    framework: Option<String>,
    /// Run as a Fluvio connector: the configuration as `cdk deploy` passes it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "only", "framework", "cluster", "instance", "metrics", "data", "out", "input"])]
    config: Option<PathBuf>,
    /// File of NAME=value lines for `${{ secrets.NAME }}` in the configuration; without it the environment
    #[arg(long, value_name = "FILE", requires = "config")]
    secrets: Option<PathBuf>,
    /// Input: PATH if the pipelines read one topic, else TOPIC=PATH; `-` is standard input. With --data also
    /// PIPELINE-inbox=PATH: verdicts on anomalies, reference rows
    #[arg(long, value_name = "[TOPIC=]PATH")]
    input: Vec<String>,
    /// Directory of the embedded log: read from and written to, resumable
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write DIR/TOPIC.jsonl files
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    out: Option<PathBuf>,
    /// Wait for more input; windows close by time, not by the end of the input
    #[arg(long)]
    follow: bool,
    /// Run on a Fluvio cluster: HOST:PORT of its system controller, or without a value the cluster of
    /// the current Fluvio profile
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with_all = ["data", "out", "input"])]
    cluster: Option<Option<String>>,
    /// Which share of the partitions this worker takes: the I-th of N, counted from 0; `auto`: all workers
    /// that run these pipelines share them, however many there are at a time. Without it this process
    /// starts and drains workers on this machine, as `scaling` in the files says
    #[arg(long, value_name = "I/N|auto", requires = "cluster")]
    instance: Option<Instance>,
    /// Serve Prometheus metrics at this address, as 127.0.0.1:9464; workers that it starts take the ports after
    #[arg(long, value_name = "ADDRESS", requires = "cluster", overrides_with = "metrics")]
    metrics: Option<SocketAddr>,
    /// Directory for records that wait (`backpressure: buffer-with-spill`); by default in the user's cache
    #[arg(long, value_name = "DIR", requires = "cluster")]
    spill_dir: Option<PathBuf>,
    /// Disk that the waiting records of a partition may take, MiB; 0: they wait in the topic alone
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    spill_limit: u64,
    /// End, as at SIGTERM, when standard input ends: set for the workers that a supervisor starts
    #[arg(long, hide = true)]
    stop_with_parent: bool,
    /// End when all input that is there is processed (on a cluster; otherwise that is the default)
    #[arg(long)]
    stop_at_end: bool,
    /// Partitions of file input
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: u32,
    #[command(flatten)]
    engine: Engine,
}

/// Runs `perfstream run`.
pub(super) fn run(args: &RunArgs, json: bool) -> Result<ExitCode> {
    if let Some(config) = &args.config {
        return run_as_connector(args, &connector::read(config, args.secrets.as_deref())?, json);
    }
    let pipelines =
        load(&Files { files: args.files.clone(), only: args.only.clone(), framework: args.framework.clone() })?;
    if let Some(address) = &args.cluster {
        let place = (address.as_deref(), args.instance, args.metrics);
        return run_on_cluster(args, place, &pipelines, json);
    }
    let specs = pipelines.iter().map(PlanSpec::new).collect::<Result<Vec<_>>>()?;
    let plans = specs.iter().map(Plan::of).collect::<Result<Vec<_>>>()?;
    if args.input.is_empty() && args.data.is_none() {
        bail!(
            "nothing to read: give `--input [TOPIC=]PATH` (or `-`), `--data DIR` for the embedded log, or `--cluster` \
             for a Fluvio cluster"
        );
    }
    let inputs = inputs(&args.input, &plans)?;
    let inbox = inputs.keys().find(|topic| !plans.iter().any(|plan| plan.input_topic == **topic));
    if let Some(inbox) = inbox.filter(|_| args.data.is_none()) {
        bail!("`--input {inbox}=…`: verdicts are about what a log holds; add `--data DIR`");
    }
    let checkpoint = pipelines.iter().map(|p| p.checkpoint.interval.us()).min().unwrap_or(10_000_000);
    let chain = args.engine.options();
    let session = match args.data {
        None => None,
        Some(_) => {
            let configs = specs.iter().map(|spec| session::config(spec, &chain)).collect::<Result<Vec<_>>>()?;
            let parts = pipelines.iter().zip(&specs).zip(configs).map(|((p, spec), config)| (p, spec, config));
            Some(session::start(&session::name(), run::cluster::now(), parts))
        }
    };
    // A run over files alone has nothing to save.
    let signals =
        args.data.as_ref().map(|_| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build());
    let signals = signals.transpose()?;
    let options = RunOptions {
        inputs,
        stop: signals.as_ref().map(perfstream::process::stopped).unwrap_or_default(),
        data: args.data.clone(),
        out: args.out.clone(),
        follow: args.follow,
        partitions: args.partitions,
        progress: std::io::stderr().is_terminal() && !json,
        checkpoint: Duration::from_micros(checkpoint.max(0) as u64),
        retain: pipelines.iter().map(|p| p.checkpoint.retain).max().unwrap_or(3),
        chain,
        session,
    };
    // Of the pipelines of a file, those run whose topic has an input.
    let plans: Vec<Plan> = match options.data.is_none() && args.only.is_empty() {
        true => plans.into_iter().filter(|p| options.inputs.contains_key(&p.input_topic)).collect(),
        false => plans,
    };
    end_of_run(&run::run(&plans, &options)?, json)
}

fn run_as_connector(args: &RunArgs, config: &connector::Config, json: bool) -> Result<ExitCode> {
    let pipelines = load(&Files { files: config.pipelines.clone(), only: config.only.clone(), framework: None })?;
    let inputs: Vec<String> = pipelines.iter().map(|p| p.input.topic.to_string()).collect();
    if !inputs.contains(&config.topic) {
        bail!("`meta.topic: {}`: no chosen pipeline reads it; they read {}", config.topic, inputs.join(", "));
    }
    run_on_cluster(args, (config.cluster.as_deref(), Some(config.instance), config.metrics), &pipelines, json)
}

/// `place`: address of the cluster, share of the partitions, address of the metrics.
fn run_on_cluster(
    args: &RunArgs,
    place: (Option<&str>, Option<Instance>, Option<SocketAddr>),
    pipelines: &[Pipeline],
    json: bool,
) -> Result<ExitCode> {
    let (address, instance, metrics) = place;
    let options = run::fluvio::Options {
        target: address.map_or(Target::Profile, |a| Target::Address(a.to_string())),
        instance,
        arguments: std::env::args_os().skip(1).collect(),
        metrics,
        stop_at_end: args.stop_at_end,
        stop_with_parent: args.stop_with_parent,
        spill: (args.spill_limit > 0).then(|| SpillOptions {
            dir: args.spill_dir.clone().unwrap_or_else(spill_dir),
            limit_bytes: args.spill_limit << 20,
            lag_records: SPILL_LAG_RECORDS,
        }),
        renew_after: RENEW_AFTER,
        chain: args.engine.options(),
    };
    end_of_run(&run::fluvio::run(pipelines, &options)?, json)
}

/// A worker that lags by less is about to read the records anyway.
const SPILL_LAG_RECORDS: i64 = 20_000;

fn spill_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("perfstream/spill")
}

/// Prints the summaries; the status says whether the counters add up.
fn end_of_run(summaries: &[Summary], json: bool) -> Result<ExitCode> {
    let mut balanced = true;
    for summary in summaries {
        balanced &= summary.balance.holds();
        match json {
            true => eprintln!("{}", summary.json()),
            false => eprint!("{}", summary.text()),
        }
    }
    Ok(if balanced { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

/// `--input` values by topic. A bare path is legal when the pipelines read one topic; an inbox of theirs
/// must be named.
fn inputs(args: &[String], plans: &[Plan]) -> Result<BTreeMap<String, PathBuf>> {
    let mut topics: Vec<&str> = plans.iter().map(|p| p.input_topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let inboxes: Vec<String> = plans.iter().map(|p| topics::inbox(&p.spec.pipeline)).collect();
    let mut inputs = BTreeMap::new();
    for arg in args {
        let known = |topic: &str| topics.contains(&topic) || inboxes.iter().any(|inbox| inbox == topic);
        let named = arg.split_once('=').filter(|(topic, _)| known(topic));
        let (topic, path) = match (named, topics.as_slice()) {
            (Some(named), _) => named,
            (None, [only]) => (*only, arg.as_str()),
            (None, _) if arg.contains('=') && !PathBuf::from(arg).exists() => {
                bail!("`--input {arg}`: no selected pipeline reads that topic; the topics are {}", topics.join(", "))
            }
            (None, _) => bail!(
                "`--input {arg}`: the pipelines read {} topics ({}); say which as TOPIC=PATH, or choose pipelines with `--only`",
                topics.len(),
                topics.join(", ")
            ),
        };
        if inputs.insert(topic.to_string(), PathBuf::from(path)).is_some() {
            bail!("the topic `{topic}` has two inputs");
        }
    }
    Ok(inputs)
}

//! Commands and their options.

mod analyze;
mod cat;
mod cluster;
mod collect;
mod detect;
mod page;
mod place;
mod silence;
mod sink;

use anyhow::{Result, bail};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use perfstream::chain::{ChainOptions, Placement};
use perfstream::model::Pipeline;
use perfstream::modules::Modules;
use perfstream::plan::{Plan, PlanSpec};
use perfstream::run::RunOptions;
use perfstream::run::share::Instance;
use perfstream::summary::Summary;
use perfstream::{check, connector, explain, run, schema, testing, topics, transforms};
use perfstream_log::cluster::Target;
use perfstream_log::spill::SpillOptions;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Real-time performance analysis: pipelines of SmartModules over streams of events.
#[derive(Parser)]
#[command(
    name = "perfstream",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  perfstream check pipelines/web-vitals.yaml
  perfstream run pipelines/web-vitals.yaml --only lcp --input events.jsonl --out out/
  perfstream run pipelines/web-vitals.yaml --data log/ --follow
  perfstream cat alerts --data log/ --follow
  perfstream test pipelines/*.yaml"
)]
pub struct Args {
    /// How to write what happens
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Says everything that is wrong with pipeline files
    #[command(
        after_help = "Example:\n  perfstream check pipelines/*.yaml\n\nExit status: 0 nothing wrong (warnings allowed), 1 errors"
    )]
    Check {
        /// Pipeline files
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Text with source lines, or a JSON list
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        format: LogFormat,
    },
    /// Runs the `tests:` blocks of pipeline files through the real modules
    #[command(after_help = "Example:\n  perfstream test pipelines/web-vitals.yaml --only lcp")]
    Test {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        engine: Engine,
    },
    /// Shows a chain with every parameter, where it comes from and what it costs
    #[command(after_help = "Example:\n  perfstream explain pipelines/web-vitals.yaml --only lcp")]
    Explain {
        #[command(flatten)]
        files: Files,
    },
    /// Prints the JSON Schema of pipeline files, for editors, or of status records
    #[command(after_help = "Example:\n  perfstream schema > pipelines/schema.json")]
    Schema {
        /// Of what
        #[arg(long, value_enum, default_value_t = SchemaOf::Pipeline)]
        of: SchemaOf,
    },
    /// Runs pipelines over a file, standard input or the embedded log
    #[command(after_help = "\
Examples:
  perfstream run web-vitals.yaml --only lcp --input events.jsonl --out out/
  zcat events.gz | perfstream run web-vitals.yaml --only lcp --input -
  perfstream run web-vitals.yaml --input lcp-stream=lcp.jsonl --input cls-stream=cls.jsonl --out out/
  perfstream run web-vitals.yaml --data log/ --follow
  perfstream run web-vitals.yaml --only lcp --cluster localhost:9003 --metrics 127.0.0.1:9464

Without --out or --data the records are printed as JSON lines.")]
    Run(RunArgs),
    /// Prints a topic of the embedded log as JSON lines; without a topic, the list of topics
    #[command(after_help = "Example:\n  perfstream cat alerts --data log/ --follow")]
    Cat {
        /// Topic
        topic: Option<String>,
        /// Directory of the embedded log
        #[arg(long)]
        data: PathBuf,
        /// Wait for more
        #[arg(long)]
        follow: bool,
        /// Offset to start at, in each partition
        #[arg(long, default_value_t = 0)]
        from: i64,
        /// Print offset, log time and key around each value
        #[arg(long)]
        meta: bool,
    },
    /// Makes the topics and uploads the SmartModules that pipelines need on a Fluvio cluster
    #[command(after_help = "\
Examples:
  perfstream deploy web-vitals.yaml --cluster localhost:9003 --partitions 4 --dry-run
  perfstream deploy web-vitals.yaml --only lcp --only cls --prune

It shows every step first and can be repeated: what is there as it should be is kept.")]
    Deploy(cluster::DeployArgs),
    /// Removes a deployment: its modules, control and state topics; inputs always stay
    #[command(after_help = "Example:\n  perfstream undeploy web-vitals --cluster localhost:9003 --dry-run")]
    Undeploy(cluster::UndeployArgs),
    /// Shows how the workers on a cluster do: lag, offsets, counters, snapshots, dead letters
    #[command(after_help = "Example:\n  perfstream status --cluster localhost:9003")]
    Status(cluster::StatusArgs),
    /// Shows the analysis sessions on a cluster: what they run and their numbers
    Sessions(cluster::SessionsArgs),
    /// Prints the stateless front of a pipeline as Fluvio's own transforms file
    #[command(after_help = "\
Examples:
  perfstream transforms web-vitals.yaml --only lcp > lcp-front.yaml
  fluvio consume lcp-stream -B --transforms lcp-front.yaml

The modules must be on the cluster (`perfstream deploy`). Stages that keep state (dedupe, windows, sessions,
alerts) are left out: Fluvio loses their state with each connection.")]
    Transforms {
        #[command(flatten)]
        files: Files,
    },
    /// Judges a topic, or a series in a CSV file, by a detector
    #[command(after_help = "\
Examples:
  perfstream detect --csv cpu.csv --time timestamp --value cpu --out scores.csv --plot cpu.svg
  perfstream detect --csv cpu.csv --value cpu --preset ensemble
  perfstream detect web-vitals.yaml --detector web-vitals-anomaly-detector --topic web-vitals-windows \\
    --from 2026-01-05T08:00:00Z --to 2026-01-05T20:00:00Z --data log/")]
    Detect(Box<detect::DetectArgs>),
    /// Analyzes what a stream has: windows, anomalies, alerts, predictions, patterns, insights, recommendations
    #[command(after_help = "\
Examples:
  perfstream analyze lcp-stream pipelines/web-vitals.yaml --analyzer lcp --data log/
  perfstream analyze spans-stream pipelines/backend.yaml --analyzer services --cluster localhost:9003 \\
    --from 2026-01-05T08:00:00Z --to 2026-01-05T20:00:00Z --format json")]
    Analyze(Box<analyze::AnalyzeArgs>),
    /// Writes a report of a session's stream: HTML with plots, Markdown or JSON
    #[command(after_help = "\
Examples:
  perfstream report SESSION pipelines/web-vitals.yaml --stream lcp-stream --analyzer lcp --data log/ --out report.html
  perfstream report SESSION pipelines/web-vitals.yaml --stream lcp-stream --analyzer lcp --cluster --format md

A session is a process that runs pipelines; its records stand in the topic perfstream-status. An unknown id is
answered with those there are.")]
    Report(Box<analyze::ReportArgs>),
    /// Carries alerts from a topic to people and tools
    #[command(after_help = sink::EXAMPLES, args_conflicts_with_subcommands = true)]
    Sink(Box<sink::SinkArgs>),
    /// Takes events of browsers and servers over HTTP into topics
    #[command(after_help = "\
Examples:
  perfstream collect --data log/ --allow-origin https://shop.example
  perfstream collect --data log/ --topic requests:service --server-token-file tokens.txt
  perfstream collect --cluster localhost:9003 --create-topics 4 --token PUBLIC --country-header cf-ipcountry
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:8090 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf my-service
  prometheus.yml:  remote_write: [{ url: http://localhost:8090/api/v1/write }]

A page sends with one tag: <script src=\"https://COLLECTOR/perfstream.js\" defer></script>
An event is answered for (204) when the log has it. SIGTERM: open requests are answered, then it ends.")]
    Collect(Box<collect::CollectArgs>),
    /// Writes synthetic web-vitals events with labelled faults
    Generate(perfstream::generate::GenerateArgs),
}

#[derive(ClapArgs)]
struct Files {
    /// Pipeline files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Only the pipeline of this name (may be given more than once)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

#[derive(ClapArgs)]
struct Engine {
    /// Directory with STAGE.wasm files, instead of the modules built in
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// What runs the modules
    #[arg(long, value_enum, default_value_t = HostKind::Wasmtime)]
    host: HostKind,
    /// Memory of each stage, MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    stage_memory: usize,
}

/// What runs the modules; both give the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HostKind {
    /// wasmtime, directly
    Wasmtime,
    /// Fluvio's SmartEngine, as an SPU runs them
    Engine,
}

impl Engine {
    fn options(&self) -> ChainOptions {
        ChainOptions {
            modules: Modules::new(self.modules.as_deref()),
            placement: match self.host {
                HostKind::Wasmtime => Placement::Wasm,
                HostKind::Engine => Placement::Engine,
            },
            memory_limit_bytes: self.stage_memory << 20,
            // Rows, buffers and the allocator need room beside a stage's own state.
            max_state_bytes: (self.stage_memory as u64) << 19,
            ..ChainOptions::default()
        }
    }
}

/// What a schema is of.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaOf {
    /// Pipeline files
    Pipeline,
    /// Records of the topic perfstream-status
    Status,
    /// What `perfstream report --format json` writes
    Report,
}

#[derive(ClapArgs)]
struct RunArgs {
    /// Pipeline files
    #[arg(required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// Only the pipeline of this name (may be given more than once)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Run as a Fluvio connector: the configuration as `cdk deploy` passes it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "only", "cluster", "instance", "metrics", "data", "out", "input"])]
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

/// Runs the command; the code is the exit status.
pub fn run(args: Args) -> Result<ExitCode> {
    let json = args.log == LogFormat::Json;
    start_log(json);
    match args.command {
        Command::Check { files, format } => check_files(&files, format == LogFormat::Json),
        Command::Test { files, engine } => test(&files, &engine, json),
        Command::Explain { files } => {
            for pipeline in load(&files)? {
                print(&explain::explain(&pipeline))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Schema { of } => {
            let schema = match of {
                SchemaOf::Pipeline => schema::schema(),
                SchemaOf::Status => run::records::schema(),
                SchemaOf::Report => perfstream::analyze::report::schema(),
            };
            print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) => run_pipelines(&args, json),
        Command::Cat { topic, data, follow, from, meta } => {
            cat::cat(topic.as_deref(), &data, follow, from, meta)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Transforms { files } => {
            let pipelines = load(&files)?;
            let [pipeline] = pipelines.as_slice() else {
                let names: Vec<String> = pipelines.iter().map(|p| p.meta.name.to_string()).collect();
                bail!("a transforms file is one chain; choose a pipeline with `--only`: {}", names.join(", "));
            };
            print(&transforms::file(&PlanSpec::new(pipeline)?)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Deploy(args) => cluster::deploy(&args),
        Command::Undeploy(args) => cluster::undeploy(&args),
        Command::Status(args) => cluster::status(&args),
        Command::Detect(args) => detect::detect(&args),
        Command::Analyze(args) => analyze::analyze(&args),
        Command::Report(args) => analyze::report(&args),
        Command::Sink(args) => sink::sink(*args),
        Command::Sessions(args) => cluster::sessions(&args),
        Command::Collect(args) => collect::collect(*args),
        Command::Generate(args) => {
            args.run()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn start_log(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "warn,perfstream=info,perfstream_collector=info,perfstream_sink=info".into());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber cannot be set; there is only this one.
    let set = if json { builder.json().try_init() } else { builder.with_target(false).try_init() };
    drop(set);
}

fn print(text: &str) -> Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn check_files(files: &[PathBuf], json: bool) -> Result<ExitCode> {
    let report = check::check_files(files);
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report.json())?))?,
        false => print(&report.render(std::io::stdout().is_terminal()))?,
    }
    Ok(if report.is_error() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The selected pipelines of files without errors.
fn load(files: &Files) -> Result<Vec<Pipeline>> {
    let report = check::check_files(&files.files);
    if report.is_error() {
        eprint!("{}", report.render(std::io::stderr().is_terminal()));
        bail!("the files have errors; nothing was run");
    }
    let pipelines = report.into_pipelines();
    let names: Vec<String> = pipelines.iter().map(|p| p.meta.name.to_string()).collect();
    for only in &files.only {
        if !names.contains(only) {
            bail!("there is no pipeline `{only}` in these files; they have {}", names.join(", "));
        }
    }
    let chosen = |p: &Pipeline| files.only.is_empty() || files.only.contains(&p.meta.name.to_string());
    Ok(pipelines.into_iter().filter(chosen).collect())
}

fn test(files: &Files, engine: &Engine, json: bool) -> Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for pipeline in load(files)? {
        for result in testing::run(&pipeline, &engine.options())? {
            let ok = result.failures.is_empty();
            if ok {
                passed += 1
            } else {
                failed += 1
            }
            if json {
                let line = serde_json::json!({"pipeline": result.pipeline, "test": result.name, "passed": ok, "failures": result.failures});
                print(&format!("{line}\n"))?;
                continue;
            }
            print(&format!("{} {}: {}\n", if ok { "ok    " } else { "FAILED" }, result.pipeline, result.name))?;
            for failure in result.failures {
                print(&format!("    {failure}\n"))?;
            }
        }
    }
    print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(if failed > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn run_pipelines(args: &RunArgs, json: bool) -> Result<ExitCode> {
    if let Some(config) = &args.config {
        return run_as_connector(args, &connector::read(config, args.secrets.as_deref())?, json);
    }
    let pipelines = load(&Files { files: args.files.clone(), only: args.only.clone() })?;
    if let Some(address) = &args.cluster {
        let place = (address.as_deref(), args.instance, args.metrics);
        return run_on_cluster(args, place, &pipelines, json);
    }
    let plans = pipelines.iter().map(Plan::new).collect::<Result<Vec<_>>>()?;
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
    let options = RunOptions {
        inputs,
        data: args.data.clone(),
        out: args.out.clone(),
        follow: args.follow,
        partitions: args.partitions,
        progress: std::io::stderr().is_terminal() && !json,
        checkpoint: Duration::from_micros(checkpoint.max(0) as u64),
        retain: pipelines.iter().map(|p| p.checkpoint.retain).max().unwrap_or(3),
        chain: args.engine.options(),
    };
    // Of the pipelines of a file, those run whose topic has an input.
    let plans: Vec<Plan> = match options.data.is_none() && args.only.is_empty() {
        true => plans.into_iter().filter(|p| options.inputs.contains_key(&p.input_topic)).collect(),
        false => plans,
    };
    end_of_run(&run::run(&plans, &options)?, json)
}

fn run_as_connector(args: &RunArgs, config: &connector::Config, json: bool) -> Result<ExitCode> {
    let pipelines = load(&Files { files: config.pipelines.clone(), only: config.only.clone() })?;
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

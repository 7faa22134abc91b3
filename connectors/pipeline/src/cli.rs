//! Commands and their options.

mod analyze;
mod cat;
mod cluster;
mod collect;
mod detect;
mod page;
mod place;
mod run;
mod silence;
mod sink;

use anyhow::{Result, bail};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use perfstream::chain::{ChainOptions, Placement};
use perfstream::model::Pipeline;
use perfstream::modules::Modules;
use perfstream::plan::PlanSpec;
use perfstream::report::Report;
use perfstream::{check, explain, frameworks, schema, testing, transforms};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

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
  perfstream run web-vitals.yaml --framework web-vitals --data log/ --follow
  perfstream run web-vitals.yaml --only lcp --cluster localhost:9003 --metrics 127.0.0.1:9464

Without --out or --data the records are printed as JSON lines.")]
    Run(run::RunArgs),
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
    /// Shows how workers do: lag, offsets, counters, snapshots, dead letters
    #[command(after_help = "\
Examples:
  perfstream status --cluster localhost:9003
  perfstream status lcp --data log/")]
    Status(cluster::StatusArgs),
    /// Shows the analysis sessions: their frameworks, what they run, their numbers
    #[command(after_help = "\
Examples:
  perfstream sessions --cluster localhost:9003
  perfstream sessions --data log/ --json

Each process of `perfstream run` is a session. Its record holds its newest insights, alerts and predictions too.")]
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
    /// All pipelines of this framework, also those in the files that it names
    #[arg(long, value_name = "NAME", conflicts_with = "only")]
    framework: Option<String>,
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
                SchemaOf::Status => perfstream::run::records::schema(),
                SchemaOf::Report => perfstream::analyze::report::schema(),
            };
            print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) => run::run(&args, json),
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
    let report = checked(&files.files)?;
    if let Some(name) = &files.framework {
        return load_framework(&files.files, &frameworks::members(&report.documents, name)?);
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

/// The pipelines of a framework, of these files and of those that it names.
fn load_framework(files: &[PathBuf], members: &frameworks::Members) -> Result<Vec<Pipeline>> {
    let mut all = files.to_vec();
    let same = |a: &PathBuf, b: &PathBuf| a.canonicalize().ok() == b.canonicalize().ok();
    all.extend(members.files.iter().filter(|path| !files.iter().any(|given| same(path, given))).cloned());
    let pipelines = checked(&all)?.into_pipelines();
    Ok(pipelines.into_iter().filter(|p| members.pipelines.contains(&p.meta.name.to_string())).collect())
}

/// What files hold, if there is no error in them.
fn checked(files: &[PathBuf]) -> Result<Report> {
    let report = check::check_files(files);
    if report.is_error() {
        eprint!("{}", report.render(std::io::stderr().is_terminal()));
        bail!("the files have errors; nothing was run");
    }
    Ok(report)
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

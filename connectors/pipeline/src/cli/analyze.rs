//! `perfstream analyze` and `perfstream report`: an analyzer over what its stream has.

use super::detect::parse_time;
use super::place::place;
use super::{Engine, Files, load, print};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use perfstream::analyze::scan::Bounds;
use perfstream::analyze::{self, Outcome, Request, report, shortened};
use perfstream::model::Pipeline;
use perfstream_log::Place;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What both commands take.
#[derive(Args)]
struct Common {
    /// Pipeline to analyze with: `meta.name` of a document in the files
    #[arg(long, value_name = "NAME")]
    analyzer: String,
    /// Event times from here on, as 2026-01-05T08:00:00Z; what lies before is learned
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    from: Option<i64>,
    /// Event times before this
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    to: Option<i64>,
    /// Directory of the embedded log
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A Fluvio cluster: HOST:PORT of its system controller, or without a value that of the profile
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with = "data")]
    cluster: Option<Option<String>>,
    /// Entries shown and stored of each list; all are counted
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Do not store the analysis and its insights in the topics analyses and insights
    #[arg(long)]
    no_store: bool,
    #[command(flatten)]
    engine: Engine,
}

/// Options of `perfstream analyze`.
#[derive(Args)]
pub struct AnalyzeArgs {
    /// The pipeline's input topic
    stream: String,
    /// Pipeline files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// How the result is written
    #[arg(long, value_enum, default_value_t = AnalyzeFormat::Text)]
    format: AnalyzeFormat,
}

/// How an analysis is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnalyzeFormat {
    /// Sentences
    Text,
    /// The whole record
    Json,
}

/// Options of `perfstream report`.
#[derive(Args)]
pub struct ReportArgs {
    /// Id of a session, as `perfstream sessions` shows it
    session: String,
    /// Pipeline files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The pipeline's input topic
    #[arg(long, value_name = "TOPIC")]
    stream: String,
    #[command(flatten)]
    common: Common,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
    format: ReportFormat,
    /// Where it goes; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
}

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// One file for a browser or a printer
    Html,
    /// Markdown
    Md,
    /// The whole record, as pipelines/report.schema.json has it
    Json,
}

impl Common {
    /// The pipeline, which must read that topic.
    fn pipeline(&self, files: &[PathBuf], stream: &str) -> Result<Pipeline> {
        let mut pipelines = load(&Files { files: files.to_vec(), only: Vec::new(), framework: None })?;
        let known: Vec<String> =
            pipelines.iter().map(|p| format!("{} (reads {})", p.meta.name, p.input.topic)).collect();
        let Some(at) = pipelines.iter().position(|p| p.meta.name.to_string() == self.analyzer) else {
            bail!("there is no analyzer `{}` in these files; they have {}", self.analyzer, known.join(", "));
        };
        let pipeline = pipelines.swap_remove(at);
        if pipeline.input.topic.to_string() != stream {
            bail!(
                "`{}` reads `{}`, not `{stream}`; the files have {}",
                self.analyzer,
                pipeline.input.topic,
                known.join(", ")
            );
        }
        Ok(pipeline)
    }

    fn run(&self, pipeline: &Pipeline, place: &mut Place) -> Result<Outcome> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            bail!("`--from` is not before `--to`");
        }
        let request = Request {
            bounds: Bounds { from: self.from, to: self.to },
            limit: self.limit,
            store: !self.no_store,
            progress: std::io::stderr().is_terminal(),
        };
        analyze::run(&request, pipeline, place, &self.engine.options())
    }
}

/// Runs `perfstream analyze`.
pub fn analyze(args: &AnalyzeArgs) -> Result<ExitCode> {
    let pipeline = args.common.pipeline(&args.files, &args.stream)?;
    // The client of a cluster lives on this runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut place = place(args.common.data.as_deref(), args.common.cluster.as_ref(), runtime.handle())?;
    let analysis = args.common.run(&pipeline, &mut place)?.analysis;
    print(&match args.format {
        AnalyzeFormat::Json => format!("{}\n", serde_json::to_string_pretty(&shortened(analysis, args.common.limit))?),
        AnalyzeFormat::Text => report::text(&analysis),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `perfstream report`.
pub fn report(args: &ReportArgs) -> Result<ExitCode> {
    let pipeline = args.common.pipeline(&args.files, &args.stream)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut place = place(args.common.data.as_deref(), args.common.cluster.as_ref(), runtime.handle())?;
    let session = report::session(&mut place, &args.session)?;
    let outcome = args.common.run(&pipeline, &mut place)?;
    let report = report::Report::new(session, &outcome, &pipeline, args.common.limit);
    let text = match args.format {
        ReportFormat::Html => report.html(&outcome)?,
        ReportFormat::Md => report.markdown()?,
        ReportFormat::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
    };
    match args.out == Path::new("-") {
        true => print(&text)?,
        false => std::fs::write(&args.out, text).with_context(|| format!("cannot write {}", args.out.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

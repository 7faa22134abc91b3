//! `perfstream detect`: over a topic, or over a series in a CSV file.

use super::place::place;
use super::{Engine, print};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use perfstream::check::check_files;
use perfstream::detect::csv::Series;
use perfstream::detect::plot;
use perfstream::detect::topic::{Request, run};
use perfstream::detectors;
use perfstream::model::{DocumentKind, Topic};
use perfstream_core::time::TimeParser;
use serde_json::{Value, json};
use std::io::{BufWriter, IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `perfstream detect`.
#[derive(Args)]
pub struct DetectArgs {
    /// Files with the detector's document
    files: Vec<PathBuf>,
    /// Id of a document of kind Detector in those files
    #[arg(long, value_name = "ID", required_unless_present = "csv", conflicts_with = "preset")]
    detector: Option<String>,
    /// Topic whose records are judged
    #[arg(long, required_unless_present = "csv", conflicts_with = "csv")]
    topic: Option<String>,
    /// Window whose rows are judged, as `hour`; rows of others pass
    #[arg(long, value_name = "NAME", conflicts_with = "csv")]
    window: Option<String>,
    /// Field that holds a metric where it is not `p75_METRIC`, as lcp=p75_lcp_1h; may be repeated
    #[arg(long = "field", value_name = "METRIC=FIELD", value_parser = parse_field, conflicts_with = "csv")]
    fields: Vec<(String, String)>,
    /// Judge event times from here on, as 2026-01-05T08:00:00Z; what lies before is learned
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "csv")]
    from: Option<i64>,
    /// Judge event times before this
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "csv")]
    to: Option<i64>,
    /// Directory of the embedded log
    #[arg(long, value_name = "DIR", conflicts_with = "csv")]
    data: Option<PathBuf>,
    /// A Fluvio cluster: HOST:PORT of its system controller, or without a value that of the profile
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with_all = ["csv", "data"])]
    cluster: Option<Option<String>>,
    /// Rows shown of each list; all are counted
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// Do not store what was found in the topics anomalies, alerts, insights and detections
    #[arg(long)]
    no_store: bool,
    /// A series outside of any pipeline: a CSV file with a header line
    #[arg(long, value_name = "FILE", requires = "value")]
    csv: Option<PathBuf>,
    /// Column (or field of a record) with the time
    #[arg(long, value_name = "COLUMN", default_value = "timestamp")]
    time: String,
    /// Column with the value
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    value: Option<String>,
    /// A detector without a document
    #[arg(long, value_enum, default_value_t = PresetArg::Best)]
    preset: PresetArg,
    /// Where the result goes; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Draw the series, its expected range and what was found; of a topic the series of the strongest anomaly
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    engine: Engine,
}

/// A detector without a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PresetArg {
    /// isolation-forest 0.4, statistical-threshold 0.3, trend-analysis 0.3
    Ensemble,
    /// nothing like it was seen before, or beyond the range for so many events; the shipped pipelines' default
    Best,
}

impl PresetArg {
    /// An id that needs no document, and what it stands for.
    fn document(id: &str) -> Option<(String, Value)> {
        let preset = PresetArg::from_str(id, false).ok()?.to_possible_value()?;
        Some((id.into(), json!({ "preset": preset.get_name() })))
    }
}

pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    let time = TimeParser::default().parse_text(text);
    time.ok_or_else(|| format!("expected a time such as 2026-01-05T08:00:00Z, found `{text}`"))
}

fn parse_field(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(metric, field)| !metric.is_empty() && !field.is_empty());
    let (metric, field) =
        pair.ok_or_else(|| format!("expected METRIC=FIELD such as lcp=p75_lcp_1h, found `{text}`"))?;
    Ok((metric.into(), field.into()))
}

/// Runs the command.
pub fn detect(args: &DetectArgs) -> Result<ExitCode> {
    match (&args.csv, &args.value) {
        (Some(file), Some(value)) => over_csv(args, file, value)?,
        _ => over_topic(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The detector's document.
fn document(args: &DetectArgs, id: &str) -> Result<Value> {
    let report = check_files(&args.files);
    if report.is_error() {
        eprint!("{}", report.render(std::io::stderr().is_terminal()));
        bail!("the files have errors; nothing was run");
    }
    let named = report.documents.iter().filter(|d| d.kind == DocumentKind::Detector);
    let mut documents = named.filter_map(|d| detectors::of_document(&d.node));
    let found = documents.find(|(name, _)| name == id).or_else(|| PresetArg::document(id));
    Ok(found.with_context(|| format!("Detector not found: {id}"))?.1)
}

fn over_csv(args: &DetectArgs, file: &Path, value: &str) -> Result<()> {
    let series = Series::read(file, &args.time, value)?;
    let (id, mut document) = match &args.detector {
        Some(id) => (id.clone(), document(args, id)?),
        None => {
            let name = args.preset.to_possible_value().map(|value| value.get_name().to_string());
            let name = name.context("a preset has a name")?;
            (name.clone(), json!({ "preset": name }))
        }
    };
    of_one_series(&mut document);
    let found = series.score(&id, document, args.plot.is_some(), &args.engine.options())?;
    match args.out == Path::new("-") {
        true => series.write(&found.scores, stdout().lock())?,
        false => {
            let out =
                std::fs::File::create(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
            series.write(&found.scores, BufWriter::new(out))?;
        }
    }
    if let Some(path) = &args.plot {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        plot::svg(path, &format!("{name}: {value}, detector {id}"), &found.points)?;
    }
    Ok(())
}

/// A series of its own: one metric, no segments, no other features.
fn of_one_series(document: &mut Value) {
    document["metrics"] = json!(["value"]);
    document["baselines"]["segmentation"] = json!([]);
    if let Some(features) = document.pointer_mut("/training/features") {
        *features = json!({});
    }
    for method in document.pointer_mut("/algorithm/methods").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(parameters) = method.get_mut("parameters").and_then(Value::as_object_mut) {
            parameters.remove("features");
        }
    }
}

/// What the step `detect` is told beside its detector.
fn step(args: &DetectArgs) -> Value {
    let fields: serde_json::Map<String, Value> =
        args.fields.iter().map(|(m, f)| (m.clone(), f.as_str().into())).collect();
    json!({ "detail": true, "window": args.window, "fields": fields })
}

fn over_topic(args: &DetectArgs) -> Result<()> {
    let (Some(id), Some(topic)) = (&args.detector, &args.topic) else {
        bail!("give `--detector ID` and `--topic TOPIC`, or `--csv FILE`");
    };
    let request = Request {
        id: id.clone(),
        document: document(args, id)?,
        topic: Topic(topic.clone()),
        step: step(args),
        time: args.time.clone(),
        from: args.from,
        to: args.to,
        limit: args.limit,
        store: !args.no_store,
        plot: args.plot.clone(),
    };
    // The client of a cluster lives on this runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut place = place(args.data.as_deref(), args.cluster.as_ref(), runtime.handle())?;
    let result = run(&request, &mut place, &args.engine.options())?;
    let text = format!("{}\n", serde_json::to_string_pretty(&result)?);
    match args.out == Path::new("-") {
        true => print(&text),
        false => std::fs::write(&args.out, text).with_context(|| format!("cannot write {}", args.out.display())),
    }
}

//! The command line of `perfstream generate`.

use std::fs::File;
use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use perfstream_core::Span;
use perfstream_core::time::TimeParser;

use super::faults::FaultSpec;
use super::model::Metric;
use super::options::{GenerateOptions, Summary};
use super::stream::generate;

const EXAMPLES: &str = "\
Faults: KIND@START+DURATION[:MAGNITUDE][:SEGMENT], START from the start of the stream.
  step                 values × magnitude (1.3)
  ramp                 values × a factor growing from 1 to magnitude (2)
  spike                values × a factor growing to magnitude (4) in the middle, and back
  level-drop           values × magnitude (0.5)
  tail-only            the slowest × magnitude (2.5): p95 moves, p75 does not
  one-segment          values of one segment × magnitude (2); page=/checkout
  traffic-mix          magnitude (6) times the visits of a segment; the slowest page
  missing-data         this share (1) of the visits is missing
  late-and-duplicated  this share (0.2) comes 1 to 5 minutes late, and as many come twice
  clock-skew           time stamps wrong by magnitude (600) seconds, for a tenth or a segment
  cls-burst            every visit shifts by magnitude (0.3) once more; cls only

Examples:
  An hour of LCP with a slow deploy after 20 minutes, and the truth about it:
    perfstream generate --metric lcp --duration 1h --rate 2000 --seed 1 \\
      --fault step@20m+10m:1.3 --labels labels.jsonl --out events.jsonl
  A million INP events of 50 pages, Safari slow on the checkout page:
    perfstream generate --metric inp --events 1000000 --pages 50 \\
      --fault one-segment@2h+1h:3:page=/checkout,browser=safari --out inp.jsonl
  A run of a pipeline on generated layout shifts:
    perfstream generate --metric cls --fault cls-burst@30m+10m | perfstream run cls.yaml --input -

Equal options give equal bytes on every machine.";

/// Writes a seeded stream of real-user events, with labelled faults
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArgs {
    /// What is measured
    #[arg(long, value_enum, default_value = "lcp")]
    pub metric: Metric,
    /// Length of the stream in event time [default: 1h, or as long as --events takes]
    #[arg(long, value_parser = Span::parse)]
    pub duration: Option<Span>,
    /// Stop when this many lines are made
    #[arg(long, value_name = "COUNT")]
    pub events: Option<u64>,
    /// Visits per hour, averaged over a week; nights and week-ends have fewer
    #[arg(long, value_name = "PER_HOUR", default_value_t = 2000.0)]
    pub rate: f64,
    /// Equal seeds give equal bytes
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Start of the stream
    #[arg(long, value_name = "RFC3339", default_value = "2026-01-05T08:00:00Z", value_parser = parse_time)]
    pub start: i64,
    /// How many pages the site has; the n-th has 1/n of the visits of the first
    #[arg(long, default_value_t = 4)]
    pub pages: usize,
    /// What goes wrong; may be given several times
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<FaultSpec>,
    /// Where the truth about the faults goes, one JSON line each
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Where the events go, JSON lines in arrival order; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

fn parse_time(text: &str) -> Result<i64, String> {
    TimeParser::default()
        .parse_text(text)
        .ok_or_else(|| format!("expected a time such as 2026-01-05T08:00:00Z, found `{text}`"))
}

impl GenerateArgs {
    /// The options these arguments stand for.
    pub fn options(&self) -> GenerateOptions {
        let default = match self.events {
            Some(_) => Span::seconds(20 * 365 * 86_400),
            None => Span::minutes(60),
        };
        GenerateOptions {
            metric: self.metric,
            seed: self.seed,
            start: self.start,
            duration: self.duration.unwrap_or(default),
            events: self.events,
            rate_per_hour: self.rate,
            pages: self.pages,
            faults: self.faults.clone(),
        }
    }

    /// Writes the events and the labels. A reader that goes away (`| head`) is no error.
    pub fn run(&self) -> Result<()> {
        let result = if self.out == Path::new("-") {
            self.write(&mut BufWriter::new(stdout().lock()))
        } else {
            let file = File::create(&self.out).with_context(|| format!("cannot write {}", self.out.display()))?;
            self.write(&mut BufWriter::new(file))
        };
        let summary = match result {
            Err(e) if e.downcast_ref().is_some_and(is_broken_pipe) => return Ok(()),
            other => other?,
        };
        if let Some(path) = &self.labels {
            let mut text = String::new();
            for label in &summary.labels {
                text.push_str(&serde_json::to_string(label)?);
                text.push('\n');
            }
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        eprintln!("{} events, {} faults, seed {}", summary.events, summary.labels.len(), self.seed);
        Ok(())
    }

    fn write(&self, out: &mut dyn Write) -> Result<Summary> {
        match generate(&self.options(), out)? {
            Ok(summary) => Ok(summary),
            Err(issues) => {
                let lines: Vec<String> = issues.iter().map(|i| i.to_string()).collect();
                bail!("{}", lines.join("\n"))
            }
        }
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

//! `perfstream sink silence`: alerts that nobody is to be told of for a while.

use super::place::place;
use super::print;
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args as ClapArgs, Subcommand};
use perfstream_core::Span;
use perfstream_core::time::{self, TimeParser};
use perfstream_log::{NewRecord, Place, Read};
use perfstream_sink::silence::{Phase, Ready, Silence};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// The topic that they are in where nothing is said.
pub const SILENCES: &str = "silences";

pub const EXAMPLES: &str = "\
Examples:
  perfstream sink silence add page=/checkout --for 2h --comment \"deploy 1.4\" --data log/
  perfstream sink silence add 'page=~\"/shop/.*\"' 'severity!=critical' --for 30m --cluster localhost:9003
  perfstream sink silence list --data log/
  perfstream sink silence expire 1b9d6bcd4f0a --data log/

Matchers are those of routes: label=value, !=, =~, !~; also of alertname (the rule), severity, pipeline, stage.
A sink that runs hears of it at once. What fires still when a silence is over is told then; what came and went
meanwhile is not. Who was told of an alert before hears of its end.";

const READ_BYTES: usize = 1 << 20;
/// A cluster's partition is asked for this long.
const ASK: Duration = Duration::from_secs(2);

#[derive(Subcommand)]
pub enum SilenceCommand {
    /// Adds one, and prints its id
    Add {
        /// What labels an alert must have, all of them
        #[arg(required = true, value_name = "MATCHER")]
        matchers: Vec<String>,
        /// How long, such as 30m, 2h or 1d
        #[arg(long = "for", value_name = "DURATION", value_parser = Span::parse, conflicts_with = "until", required_unless_present = "until")]
        length: Option<Span>,
        /// Up to this time, such as 2026-12-24T18:00:00Z
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        until: Option<i64>,
        /// From this time on; default now
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        from: Option<i64>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        comment: String,
        /// Who wants it; default the user's name
        #[arg(long, value_name = "NAME")]
        author: Option<String>,
        #[command(flatten)]
        log: Log,
    },
    /// Lists those that are not over
    List {
        /// Those that are over too
        #[arg(long)]
        expired: bool,
        /// A JSON record per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        log: Log,
    },
    /// Ends some now
    Expire {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        log: Log,
    },
}

#[derive(ClapArgs)]
pub struct Log {
    /// Directory of the embedded log
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A Fluvio cluster: HOST:PORT of its system controller, or without a value that of the profile
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with = "data")]
    cluster: Option<Option<String>>,
    /// Topic with silences
    #[arg(long, value_name = "TOPIC", default_value = SILENCES)]
    silences: String,
}

/// Milliseconds since the epoch.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let us = TimeParser::default().parse_text(text);
    us.map(|us| us.div_euclid(1000))
        .ok_or_else(|| format!("expected a time such as 2026-12-24T18:00:00Z, found `{text}`"))
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// Runs the command.
pub fn silence(command: SilenceCommand) -> Result<ExitCode> {
    let now_ms = now_ms();
    match command {
        SilenceCommand::Add { matchers, length, until, from, comment, author, log } => {
            let from_ms = from.unwrap_or(now_ms);
            let until_ms = match (until, length) {
                (Some(until_ms), _) => until_ms,
                (None, Some(length)) => from_ms.saturating_add(length.us() / 1000),
                (None, None) => bail!("give `--for DURATION` or `--until TIME`"),
            };
            if until_ms <= now_ms {
                bail!("it would be over already, at {}", time::format(until_ms.saturating_mul(1000)));
            }
            let author = author.or_else(|| std::env::var("USER").ok()).unwrap_or_default();
            let silence = Silence::new(matchers, from_ms, until_ms, author, comment);
            Ready::new(silence.clone()).map_err(|error| anyhow!(error))?;
            Topic::open(&log)?.append(&silence, now_ms)?;
            print(&format!("{}\n", silence.id))?;
        }
        SilenceCommand::List { expired, json, log } => {
            let found = Topic::open(&log)?.newest()?;
            let shown = found.values().filter(|ready| expired || ready.phase(now_ms) != Phase::Expired);
            print(&if json { lines(shown)? } else { table(shown, now_ms)? })?;
        }
        SilenceCommand::Expire { ids, log } => {
            let mut topic = Topic::open(&log)?;
            let found = topic.newest()?;
            let live = |id: &str| found.get(id).filter(|ready| ready.phase(now_ms) != Phase::Expired);
            for id in &ids {
                if live(id).is_none() {
                    bail!("there is no silence `{id}` that is not over; see `perfstream sink silence list`");
                }
            }
            for ready in ids.iter().filter_map(|id| live(id)) {
                topic.append(&ready.silence.expired(now_ms), now_ms)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lines<'a>(silences: impl Iterator<Item = &'a Ready>) -> Result<String> {
    let mut text = String::new();
    for ready in silences {
        writeln!(text, "{}", serde_json::to_string(&ready.silence)?)?;
    }
    Ok(text)
}

fn table<'a>(silences: impl Iterator<Item = &'a Ready>, now_ms: i64) -> Result<String> {
    let mut text = String::new();
    for ready in silences {
        let Silence { id, matchers, starts_at, ends_at, created_by, comment, .. } = &ready.silence;
        let phase = ready.phase(now_ms).name();
        writeln!(text, "{id}  {phase:7}  {starts_at} to {ends_at}  {{{}}}", matchers.join(", "))?;
        let who = if created_by.is_empty() { "somebody" } else { created_by };
        writeln!(text, "{:12}  {who}: {comment}", "")?;
    }
    Ok(if text.is_empty() { "there are no silences\n".into() } else { text })
}

/// The topic of silences. The client of a cluster lives on the runtime.
struct Topic {
    place: Place,
    name: String,
    _runtime: Runtime,
}

impl Topic {
    fn open(log: &Log) -> Result<Topic> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let place = place(log.data.as_deref(), log.cluster.as_ref(), runtime.handle())?;
        Ok(Topic { place, name: log.silences.clone(), _runtime: runtime })
    }

    /// Appends a record. All are in one partition: of two records of a silence the later one holds.
    fn append(&mut self, silence: &Silence, now_ms: i64) -> Result<()> {
        if self.place.partitions(&self.name)?.is_none() {
            self.place.create(&self.name)?;
        }
        let record = NewRecord { log_time_ms: now_ms, key: None, value: serde_json::to_vec(silence)? };
        self.place.append(&self.name, 0, &[record]).with_context(|| format!("topic {}", self.name))
    }

    /// By id the newest record of each.
    fn newest(&mut self) -> Result<BTreeMap<String, Ready>> {
        let mut found = BTreeMap::new();
        if self.place.partitions(&self.name)?.is_none() {
            return Ok(found);
        }
        let extent = self.place.extent(&self.name, 0)?;
        let mut next = extent.start;
        while next < extent.end {
            match self.place.read(&self.name, 0, next, READ_BYTES, ASK)? {
                Read::Gap(gone) => next = gone.end,
                Read::Records(records) => {
                    for record in records {
                        next = record.offset + 1;
                        match Ready::parse(&record.value) {
                            Ok(ready) => drop(found.insert(ready.silence.id.clone(), ready)),
                            Err(error) => tracing::warn!("{}/0@{} is no silence: {error}", self.name, record.offset),
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

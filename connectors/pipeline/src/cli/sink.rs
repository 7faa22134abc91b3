//! `perfstream sink`: who is told of alerts.

use super::page::{self, PageArgs};
use super::place::place;
use super::print;
use super::silence::{self, SilenceCommand};
use anyhow::{Context, Result, anyhow, bail};
use clap::{Args as ClapArgs, Subcommand};
use perfstream::check::{self, receivers};
use perfstream::model::DocumentKind;
use perfstream_log::Place;
use perfstream_sink::config::Receivers;
use perfstream_sink::journal::Journal;
use perfstream_sink::page::Connect;
use perfstream_sink::run::{Options, Sink};
use perfstream_sink::secret::Secrets;
use perfstream_sink::{act, remote_write, route_test, send_test};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub const EXAMPLES: &str = "\
Examples:
  perfstream sink --config receivers.yaml --data log/
  perfstream sink --config receivers.yaml --cluster localhost:9003 --journal /var/lib/perfstream/sink.db
  perfstream sink --page 127.0.0.1:8080 --data log/
  perfstream sink send-test slack --config receivers.yaml
  perfstream sink route-test --config receivers.yaml --label severity=critical --label page=/checkout
  perfstream sink silence add page=/checkout --for 2h --comment deploy --data log/

On its first start it tells of alerts that fire; those that were over before are left out (--past tells them too).
Exit status: 0 at the end, 1 an error, or with --once a receiver that was not reached or refused a notice";

#[derive(ClapArgs)]
pub struct SinkArgs {
    #[command(subcommand)]
    command: Option<SinkCommand>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum SinkCommand {
    /// Sends a notice that is marked as a test, and then its end, to one receiver
    SendTest {
        /// Name of the receiver
        receiver: String,
        #[command(flatten)]
        config: Config,
    },
    /// Says who would be told of an alert, without sending anything
    RouteTest {
        /// A label of the alert, as severity=critical; may be repeated
        #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
        labels: Vec<(String, String)>,
        /// A receiver that the alert's rule names; may be repeated
        #[arg(long, value_name = "RECEIVER")]
        notification: Vec<String>,
        /// At this time, such as 2026-12-24T03:00:00Z; default now
        #[arg(long, value_name = "TIME", value_parser = silence::parse_time)]
        at: Option<i64>,
        #[command(flatten)]
        config: Config,
    },
    /// Alerts that nobody is to be told of for a while
    #[command(subcommand, after_help = silence::EXAMPLES)]
    Silence(SilenceCommand),
}

#[derive(ClapArgs)]
struct Config {
    /// File with one document of kind Receivers
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory with a file for each secret, mode 0600; without it environment variables
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
}

#[derive(ClapArgs)]
struct RunArgs {
    /// File with one document of kind Receivers
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with a file for each secret, mode 0600; without it environment variables
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// Directory of the embedded log
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A Fluvio cluster: HOST:PORT of its system controller, or without a value that of the profile
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with = "data")]
    cluster: Option<Option<String>>,
    /// Topic with alert records
    #[arg(long, default_value = "alerts")]
    topic: String,
    /// Topic with silences
    #[arg(long, value_name = "TOPIC", default_value = silence::SILENCES)]
    silences: String,
    /// Topic with anomalies, of which notices tell
    #[arg(long, value_name = "TOPIC", default_value = "anomalies")]
    anomalies: String,
    /// Topic with actions, which are executed where the document says `allow_actions: true`
    #[arg(long, value_name = "TOPIC", default_value = "actions")]
    actions: String,
    /// File of what is read and sent; with --data by default DIR/sink.db
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// End when what is there was sent or has failed; groups do not wait
    #[arg(long)]
    once: bool,
    /// On the first start, tell also of alerts that were over before
    #[arg(long)]
    past: bool,
    /// Serve how the sink does, for Prometheus, at http://ADDRESS/metrics
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    page: PageArgs,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("expected NAME=VALUE such as severity=critical, found `{text}`"))?;
    Ok((name.into(), value.into()))
}

/// Runs the command.
pub fn sink(args: SinkArgs) -> Result<ExitCode> {
    match (args.command, args.run) {
        (Some(SinkCommand::SendTest { receiver, config }), _) => {
            let receivers = load(&config.config)?;
            send_test(&receivers, &config.secrets(), &receiver)?;
            print(&format!("{receiver} has accepted a test alert and its end\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        (Some(SinkCommand::RouteTest { labels, notification, at, config }), _) => {
            let at_ms = at.unwrap_or_else(silence::now_ms);
            let told = route_test(&load(&config.config)?, labels.into_iter().collect(), &notification, at_ms)?;
            print(&told)?;
            Ok(ExitCode::SUCCESS)
        }
        (Some(SinkCommand::Silence(command)), _) => silence::silence(command),
        (None, run) => run_sink(&run),
    }
}

impl Config {
    fn secrets(&self) -> Secrets {
        Secrets { dir: self.secrets.clone() }
    }
}

/// The one document of kind Receivers of a file without errors.
fn load(path: &Path) -> Result<Receivers> {
    let report = check::check_files(&[path]);
    if report.is_error() {
        eprint!("{}", report.render(std::io::stderr().is_terminal()));
        bail!("the file has errors; nothing was sent");
    }
    let mut found = report.documents.iter().filter(|document| document.kind == DocumentKind::Receivers);
    let document = found.next().with_context(|| format!("{} has no document of kind Receivers", path.display()))?;
    if found.next().is_some() {
        bail!("{} has more than one document of kind Receivers", path.display());
    }
    Ok(receivers::read(&document.node)?)
}

fn run_sink(args: &RunArgs) -> Result<ExitCode> {
    if args.config.is_none() && !args.page.is_wanted() {
        bail!(
            "give `--config FILE` to tell people, `--page ADDRESS` to show them, or both; see `perfstream sink --help`"
        );
    }
    let receivers = args.config.as_deref().map(load).transpose()?;
    // The client of a cluster lives on this runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(address) = args.metrics {
        perfstream::process::serve_metrics(address, &runtime)?;
    }
    let log = place(args.data.as_deref(), args.cluster.as_ref(), runtime.handle())?;
    let stop = perfstream::process::stopped(&runtime);
    let connect = page::connect(args.data.clone(), args.cluster.clone(), &runtime);
    let page = args.page.serve(&runtime, connect.clone())?;
    let told = match &receivers {
        Some(receivers) => tell(args, receivers, log, connect, &stop),
        None => {
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(ExitCode::SUCCESS)
        }
    };
    page.map_or(Ok(()), |page| page.end(&runtime))?;
    told
}

/// Carries alerts to receivers, and values to stores.
fn tell(
    args: &RunArgs,
    receivers: &Receivers,
    log: Place,
    connect: Connect,
    stop: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let secrets = Secrets { dir: args.secrets.clone() };
    let journal = match (&args.journal, &args.data) {
        (Some(path), _) => path.clone(),
        (None, Some(dir)) => dir.join("sink.db"),
        (None, None) => bail!("give `--journal FILE`"),
    };
    let writers = write_out(args, receivers, &secrets, &journal, connect.clone(), stop)?;
    let actions = execute(args, receivers, &secrets, &journal, connect, stop)?;
    let journal = Journal::open(&journal)?;
    let (topic, silences, anomalies) = (args.topic.clone(), args.silences.clone(), args.anomalies.clone());
    let options = Options { topic, silences, anomalies, once: args.once, past: args.past };
    let summary = Sink::new(receivers, &secrets, journal, log, options)?.run(stop)?;
    eprintln!(
        "{} records, {} notices accepted, {} refused, {} deliveries failed, {} bad records",
        summary.records, summary.notices, summary.refused, summary.failures, summary.bad
    );
    if let Some(actions) = actions {
        let acted = actions.join().map_err(|_| anyhow!("the executor of actions died"))??;
        eprintln!(
            "actions: {} done, {} failed, {} tries repeated, {} ignored, {} bad records",
            acted.done, acted.failed, acted.retries, acted.ignored, acted.bad
        );
    }
    let mut refused_samples = 0;
    for (name, writer) in writers {
        let written = writer.join().map_err(|_| anyhow!("remote_write {name} died"))??;
        eprintln!(
            "remote_write {name}: {} samples accepted, {} refused, {} tries failed, {} bad records",
            written.samples, written.refused, written.failures, written.bad
        );
        refused_samples += written.refused;
    }
    if args.once && refused_samples > 0 {
        bail!("{refused_samples} samples were refused and are given up");
    }
    if args.once && !summary.waiting.is_empty() {
        bail!("not reached: {}; what is for them is in the journal", summary.waiting.join(", "));
    }
    if args.once && summary.refused > 0 {
        bail!("{} notices were refused and are given up", summary.refused);
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the executor of actions, where it is allowed.
fn execute(
    args: &RunArgs,
    receivers: &Receivers,
    secrets: &Secrets,
    journal: &Path,
    connect: Connect,
    stop: &Arc<AtomicBool>,
) -> Result<Option<JoinHandle<Result<act::Summary>>>> {
    if !receivers.allow_actions {
        return Ok(None);
    }
    let journal = Journal::open(&act::journal_path(journal))?;
    let options = act::Options { connect, topic: args.actions.clone(), once: args.once };
    act::spawn(act::Executor::new(receivers, secrets, journal, options)?, stop.clone()).map(Some)
}

type Written = JoinHandle<Result<remote_write::Summary>>;

/// Starts a thread for each store of `remote_write`.
fn write_out(
    args: &RunArgs,
    receivers: &Receivers,
    secrets: &Secrets,
    journal: &Path,
    connect: Connect,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<(String, Written)>> {
    let topic = args.page.dashboards().to_string();
    let options = remote_write::Options { connect, topic, once: args.once, past: args.past };
    let mut threads = Vec::new();
    for remote in &receivers.remote_write {
        let journal = Journal::open(&remote_write::journal_path(journal, &remote.name))?;
        let writer = remote_write::Writer::new(remote, secrets, journal, options.clone())?;
        let stop = stop.clone();
        let name = format!("write {}", remote.name);
        threads.push((remote.name.clone(), std::thread::Builder::new().name(name).spawn(move || writer.run(&stop))?));
    }
    Ok(threads)
}

//! `cargo xtask kill --sink`: the sink is killed (SIGKILL) while alerts come and receivers answer, again
//! and again.
//!
//! Two receivers: one hears of each transition by a request of its own, the other of groups by one
//! request, and refuses now and then for the moment. Afterwards both must have been told of every alert
//! and of its end, in this order. A notice may come twice only where a kill lay between, with the
//! same key and the same content, and of deliveries at most one for each kill and receiver.
//!
//! A third one executes actions, one for each alert: each must be executed under its one key, again only where
//! a kill lay between, and the pipeline be told of its outcome.

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Parser;
use perfstream_log::cluster::Target;
use perfstream_log::embedded::Log;
use perfstream_log::testing::TestCluster;
use perfstream_log::{NewRecord, Place, Read};
use perfstream_sink::act::{self, Executor};
use perfstream_sink::config::Receivers;
use perfstream_sink::journal::Journal;
use perfstream_sink::page::Connect;
use perfstream_sink::run::{Options, Sink};
use perfstream_sink::secret::Secrets;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const TOPIC: &str = "alerts";
/// Requests of `respond`.
const ACTIONS: &str = "actions";
/// Where outcomes go.
const INBOX: &str = "lcp-inbox";
/// Told of each transition by a request.
const EACH: &str = "each";
/// Told of groups.
const GROUPS: &str = "groups";
/// Executes actions.
const ACTS: &str = "acts";
const ALL_WITHIN: Duration = Duration::from_secs(120);
/// One in so many requests to `groups` is answered with 503.
const BUSY: u64 = 7;

#[derive(Parser, Clone)]
struct Args {
    /// Kills
    #[arg(long, default_value_t = 25)]
    rounds: u64,
    /// On a Fluvio cluster of its own instead of the embedded log
    #[arg(long)]
    cluster: bool,
    /// Seed of all that is random here
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Switch a protection off: each start has a `journal` of its own; the run must fail
    #[arg(long, value_parser = ["journal"])]
    without: Option<String>,
    /// Internal: be the sink of this directory or cluster
    #[arg(long, hide = true)]
    sink: Option<String>,
    /// Internal: its journal
    #[arg(long, hide = true)]
    journal: Option<PathBuf>,
    /// Internal: whom it tells
    #[arg(long, hide = true)]
    url: Option<String>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let (Some(place), Some(journal), Some(url)) = (&args.sink, &args.journal, &args.url) {
        sink(&args, place, journal, url)?;
        return Ok(ExitCode::SUCCESS);
    }
    let result = if args.cluster { on_cluster(&args) } else { embedded(&args) };
    match &result {
        Ok(told) => println!("{told}\n{} passed, 0 failed", args.rounds),
        Err(error) => println!("{error:#}\n0 passed, 1 failed"),
    }
    let failed_as_it_should = args.without.is_some();
    Ok(if result.is_ok() != failed_as_it_should { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The child process: a sink, until it is killed.
fn sink(args: &Args, place: &str, journal: &Path, url: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (cluster, handle, at) = (args.cluster, runtime.handle().clone(), place.to_string());
    let connect: Connect = Arc::new(move || match cluster {
        true => Place::cluster(handle.clone(), &Target::Address(at.clone())),
        false => Place::embedded(Path::new(&at)),
    });
    let place = connect()?;
    let receiver = |name: &str, format: &str| {
        json!({ "name": name, "allow_http": true, "allow_private": true,
            "webhook": { "url": format!("{url}/{name}"), "format": format } })
    };
    let route = |name: &str| json!({ "receiver": name, "matchers": [], "continue": true });
    let receivers: Receivers = serde_json::from_value(json!({
        "receivers": [receiver(EACH, "cloudevents"), receiver(GROUPS, "alertmanager"), receiver(ACTS, "json")],
        "route": { "group_wait": "5ms", "group_interval": "20ms", "routes": [route(EACH), route(GROUPS)] },
    }))?;
    let options = Options {
        topic: TOPIC.into(),
        silences: "silences".into(),
        anomalies: "anomalies".into(),
        once: false,
        past: true,
    };
    let options_of_actions = act::Options { connect, topic: ACTIONS.into(), once: false };
    let journal_of_actions = Journal::open(&act::journal_path(journal))?;
    let executor = Executor::new(&receivers, &Secrets::default(), journal_of_actions, options_of_actions)?;
    let _actions = act::spawn(executor, Arc::new(AtomicBool::new(false)))?;
    let journal = Journal::open(journal)?;
    Sink::new(&receivers, &Secrets::default(), journal, place, options)?.run(&AtomicBool::new(false))?;
    Ok(())
}

/// What receivers have accepted.
#[derive(Default)]
struct Heard {
    /// Which sink it is, by the kills before it
    generation: AtomicU64,
    requests: AtomicU64,
    accepted: Mutex<Vec<Accepted>>,
}

struct Accepted {
    generation: u64,
    receiver: String,
    key: String,
    body: Vec<u8>,
}

async fn hear(
    State(heard): State<Arc<Heard>>,
    UrlPath(receiver): UrlPath<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let number = heard.requests.fetch_add(1, Ordering::SeqCst);
    // Kills fall between a request and its answer too.
    tokio::time::sleep(Duration::from_millis(number % 5)).await;
    if receiver == GROUPS && number % BUSY == 0 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_string();
    let generation = heard.generation.load(Ordering::SeqCst);
    let accepted = Accepted { generation, receiver, key, body: body.to_vec() };
    heard.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(accepted);
    tokio::time::sleep(Duration::from_millis(number % 3)).await;
    StatusCode::OK
}

fn embedded(args: &Args) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let mut log = Log::open(dir.path())?;
    let append = |topic: &str, records: &[NewRecord]| log.commit(|w| w.append(topic, 0, records).map(drop));
    let told = rounds(args, &dir.path().display().to_string(), append)?;
    outcomes(&mut Place::embedded(dir.path())?, told)
}

fn on_cluster(args: &Args) -> Result<String> {
    let cluster = TestCluster::start().context("no Fluvio server")?;
    let target = Target::Address(cluster.address().into());
    let mut place = Place::cluster(cluster.runtime().handle().clone(), &target)?;
    [TOPIC, ACTIONS, INBOX].iter().try_for_each(|topic| place.create(topic))?;
    let told = rounds(args, cluster.address(), |topic, records| place.append(topic, 0, records))?;
    outcomes(&mut place, told)
}

/// The pipeline was told of the outcome of every action.
fn outcomes(place: &mut Place, (actions, told): (u64, String)) -> Result<String> {
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut next = 0;
    while next < place.extent(INBOX, 0)?.end {
        let Read::Records(records) = place.read(INBOX, 0, next, 1 << 20, Duration::from_secs(1))? else {
            bail!("outcomes are gone");
        };
        for record in records {
            next = record.offset + 1;
            let outcome: Value = serde_json::from_slice(&record.value)?;
            ensure!(outcome["done"] == true, "an action has failed: {outcome}");
            done.insert(outcome["action_id"].as_str().unwrap_or_default().into());
        }
    }
    ensure!(done.len() as u64 == actions, "of {actions} actions {} have an outcome", done.len());
    Ok(format!("{told}; the pipeline knows the outcome of all {actions} actions"))
}

/// Alerts come while sinks are killed; then what receivers have is held against what was there to be told.
fn rounds(args: &Args, place: &str, mut append: impl FnMut(&str, &[NewRecord]) -> Result<()>) -> Result<(u64, String)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let heard = Arc::new(Heard::default());
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/{receiver}", post(hear)).with_state(heard.clone());
    runtime.spawn(async move { axum::serve(listener, router).await });
    let journals = tempfile::tempdir()?;
    let mut random = StdRng::seed_from_u64(args.seed);
    let mut alerts = 0;
    for round in 0..args.rounds {
        heard.generation.store(round, Ordering::SeqCst);
        let mut child = start(args, place, &journal(args, journals.path(), round), &url)?;
        let until = Instant::now() + Duration::from_millis(random.random_range(20..500));
        while Instant::now() < until {
            append(TOPIC, &story(alerts, &mut random))?;
            append(ACTIONS, &[request(alerts)])?;
            alerts += 1;
            std::thread::sleep(Duration::from_millis(random.random_range(1..20)));
        }
        child.kill()?;
        child.wait()?;
        // A request that was sent is in the receiver's hands before the next sink begins.
        std::thread::sleep(Duration::from_millis(20));
    }
    heard.generation.store(args.rounds, Ordering::SeqCst);
    let mut last = start(args, place, &journal(args, journals.path(), args.rounds), &url)?;
    let result = wait_for_all(&heard, alerts);
    last.kill()?;
    last.wait()?;
    result?;
    let told = check(args, &heard.accepted.lock().unwrap_or_else(PoisonError::into_inner), alerts)?;
    Ok((alerts, told))
}

fn journal(args: &Args, dir: &Path, round: u64) -> PathBuf {
    dir.join(if args.without.is_some() { format!("{round}.db") } else { "sink.db".into() })
}

fn start(args: &Args, place: &str, journal: &Path, url: &str) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--sink", place, "--url", url, "--journal"]).arg(journal).args(args.cluster.then_some("--cluster"));
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// What is asked for because of an alert; it does not expire.
fn request(number: u64) -> NewRecord {
    let value = json!({
        "kind": "action", "action_id": format!("x{number}"), "pipeline": "lcp", "stage": "respond", "rule": "r",
        "step": "requested", "key": format!("x{number}:requested"), "action": "webhook", "receiver": ACTS,
        "timestamp": "2026-01-01T00:05:00Z", "until": "2999-01-01T00:00:00Z", "target": format!("/{number}"),
    });
    NewRecord { log_time_ms: 0, key: None, value: value.to_string().into_bytes() }
}

/// Records of an alert: it fires, may escalate, and ends.
fn story(number: u64, random: &mut StdRng) -> Vec<NewRecord> {
    let record = |state: &str, transition: &str, step: u64| {
        let value = json!({
            "kind": "alert", "alert_id": format!("a{number}"), "pipeline": "lcp", "stage": "alert",
            "rule": format!("Rule {}", number % 5), "state": state, "transition": transition, "step": step,
            "severity": "critical", "notify": true, "labels": { "page": format!("/{number}") },
            "timestamp": "2026-01-01T00:05:00Z", "started_at": "2026-01-01T00:05:00Z", "summary": "slow",
        });
        NewRecord { log_time_ms: 0, key: None, value: value.to_string().into_bytes() }
    };
    let mut records = vec![record("firing", "firing", 0)];
    if random.random_range(0..3) == 0 {
        records.push(record("firing", "escalated", 1));
    }
    records.push(record("resolved", "resolved", 0));
    records
}

/// Receiver, alert and state of everything that was accepted, in its order.
fn told(accepted: &[Accepted]) -> Result<Vec<(&str, String, bool)>> {
    let mut told = Vec::new();
    for one in accepted {
        let body: Value = serde_json::from_slice(&one.body).context("a body is no JSON")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        if one.receiver == ACTS {
            let id = text(&body["action_id"]);
            ensure!(one.key == format!("{id}:requested"), "{id} was executed under the key {}", one.key);
            // No beginning and end: to be executed is its end.
            told.push((ACTS, id, true));
            continue;
        }
        if one.receiver == EACH {
            told.push((EACH, text(&body["subject"]), body["type"] == "perfstream.alert.resolved"));
            continue;
        }
        for alert in body["alerts"].as_array().context("a group without alerts")? {
            told.push((GROUPS, text(&alert["fingerprint"]), alert["status"] == "resolved"));
        }
    }
    Ok(told)
}

fn wait_for_all(heard: &Heard, alerts: u64) -> Result<()> {
    let begun = Instant::now();
    loop {
        let ended: BTreeSet<(String, String)> = {
            let accepted = heard.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            let told = told(&accepted)?.into_iter().filter(|(_, _, over)| *over);
            told.map(|(receiver, alert, _)| (receiver.to_string(), alert)).collect()
        };
        if ended.len() as u64 >= 3 * alerts {
            // The last answer still has to be told.
            std::thread::sleep(Duration::from_secs(1));
            return Ok(());
        }
        if begun.elapsed() > ALL_WITHIN {
            bail!("of {alerts} alerts and actions, {} ends were told to three receivers", ended.len());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Order, copies and content.
fn check(args: &Args, accepted: &[Accepted], alerts: u64) -> Result<String> {
    let mut open: BTreeSet<(&str, String)> = BTreeSet::new();
    let mut over: BTreeSet<(&str, String)> = BTreeSet::new();
    for (receiver, alert, resolved) in told(accepted)? {
        let id = (receiver, alert);
        match resolved {
            false => drop(open.insert(id)),
            true => {
                let begun = receiver == ACTS || open.contains(&id);
                ensure!(begun, "{id:?}: its end was told before it was told of");
                over.insert(id);
            }
        }
    }
    ensure!(over.len() as u64 == 3 * alerts, "{} of {} ends were told", over.len(), 3 * alerts);
    let mut seen: BTreeMap<(&str, &str), &Accepted> = BTreeMap::new();
    let mut copies: BTreeMap<(&str, u64), BTreeSet<&str>> = BTreeMap::new();
    for one in accepted {
        let Some(first) = seen.get(&(one.receiver.as_str(), one.key.as_str())) else {
            seen.insert((&one.receiver, &one.key), one);
            continue;
        };
        ensure!(first.body == one.body, "{} has two contents", one.key);
        ensure!(first.generation < one.generation, "{} came twice from one sink", one.key);
        copies.entry((&one.receiver, one.generation)).or_default().insert(&one.key);
    }
    for ((receiver, generation), keys) in &copies {
        ensure!(keys.len() == 1, "kill {generation}: {} requests to {receiver} came again", keys.len());
    }
    let again: usize = copies.values().map(BTreeSet::len).sum();
    Ok(format!(
        "{} kills: {alerts} alerts and their ends were told to two receivers, in order, and as many actions executed; \
         of {} requests {again} came again after a kill, with the same key and content",
        args.rounds,
        accepted.len(),
    ))
}

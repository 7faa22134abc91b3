//! `cargo xtask kill --collector`: the collector is killed (SIGKILL) while clients send, again and again.
//!
//! Each beacon is sent once. Afterwards every event that was acknowledged must be in the log once, in
//! the partition of its key; of a beacon that was not, the log has what it has, but nothing twice.
//! Embedded, a beacon is in the log as a whole or not at all. A kill ends the process, not the
//! machine: what the disk would lose of unsynced writes is not seen here.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use perfstream_collector::cluster::ClusterStore;
use perfstream_collector::store::{Batches, EmbeddedStore, Place, Store};
use perfstream_collector::{Options, Server};
use perfstream_log::cluster::Target;
use perfstream_log::embedded::Log;
use perfstream_log::testing::TestCluster;
use perfstream_log::{Topics, partition_of_key, read_range};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PARTITIONS: u32 = 3;
const CLIENTS: u64 = 4;
/// Events in a beacon; half of them go to one topic, half to another.
const EVENTS: u64 = 10;
const TOPICS: [&str; 2] = ["lcp-stream", "cls-stream"];
const START_WITHIN: Duration = Duration::from_secs(30);

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
    /// Switch a protection off: `commit` answers some commits before the log has them; the run must fail
    #[arg(long, value_parser = ["commit"])]
    without: Option<String>,
    /// Internal: be the collector of this directory or cluster
    #[arg(long, hide = true)]
    collect: Option<String>,
    /// Internal: where it listens
    #[arg(long, hide = true)]
    listen: Option<SocketAddr>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let (Some(place), Some(listen)) = (&args.collect, args.listen) {
        collect(&args, place, listen)?;
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

/// The child process: a collector, until it is killed.
fn collect(args: &Args, place: &str, listen: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let store: Box<dyn Store> = match args.cluster {
        true => Box::new(ClusterStore::connect(runtime.handle().clone(), Target::Address(place.into()))?),
        false => Box::new(EmbeddedStore::open(Path::new(place), PARTITIONS)?),
    };
    let store: Box<dyn Store> = match args.without.is_some() {
        true => Box::new(Behind { store, held: VecDeque::new() }),
        false => store,
    };
    runtime.block_on(async {
        let options = Options { listen, rate_per_address: 0, ..Options::default() };
        let (server, _writer) = Server::bind(options, store).await?;
        server.serve(std::future::pending()).await
    })
}

/// Commits that a collector without the protection is behind. With one a kill may come just between a
/// commit and its answer, and nothing be lost.
const BEHIND: usize = 8;

/// A log that says of records that it has them when it has those of some commits before.
struct Behind {
    store: Box<dyn Store>,
    held: VecDeque<Batches>,
}

impl Store for Behind {
    fn partitions(&mut self, topic: &str) -> Result<Option<u32>> {
        self.store.partitions(topic)
    }

    fn write(&mut self, batches: Batches) -> BTreeMap<Place, String> {
        self.held.push_back(batches);
        let due = if self.held.len() > BEHIND { self.held.pop_front() } else { None };
        due.map(|batches| self.store.write(batches)).unwrap_or_default()
    }
}

/// What clients sent, by id of the beacon.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

fn embedded(args: &Args) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let sent = rounds(args, &dir.path().display().to_string())?;
    let log = Log::open(dir.path())?;
    let mut found = Vec::new();
    for topic in TOPICS {
        for partition in log.partitions(topic)? {
            for record in log.read(topic, partition, 0, usize::MAX >> 1)? {
                found.push((partition, record.key.unwrap_or_default(), record.value));
            }
        }
    }
    let others = check(&sent, &found)?;
    ensure!(others % EVENTS == 0, "a beacon that was not acknowledged is in the log in part");
    Ok(told(args, &sent, others))
}

fn on_cluster(args: &Args) -> Result<String> {
    let cluster = TestCluster::start().context("no Fluvio server")?;
    let needed = Options::default().needed_topics();
    ClusterStore::connect(cluster.runtime().handle().clone(), Target::Address(cluster.address().into()))?
        .prepare(&needed, Some(PARTITIONS))?;
    let sent = rounds(args, cluster.address())?;
    let mut log = cluster.topics();
    let mut found = Vec::new();
    for topic in TOPICS {
        for partition in 0..PARTITIONS {
            let end = log.extent(topic, partition)?.end;
            for record in read_range(&mut log, topic, partition, 0..end)? {
                found.push((partition, record.key.unwrap_or_default(), record.value));
            }
        }
    }
    let others = check(&sent, &found)?;
    Ok(told(args, &sent, others))
}

fn told(args: &Args, sent: &Sent, others: u64) -> String {
    format!(
        "{} kills: {} events were acknowledged, each is in the log once; {} were not, of these the log has {others}",
        args.rounds,
        sent.acknowledged.len() as u64 * EVENTS,
        sent.unknown.len() as u64 * EVENTS
    )
}

/// Starts a collector, sends, kills it at any time; so many times.
fn rounds(args: &Args, place: &str) -> Result<Sent> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut random = StdRng::seed_from_u64(args.seed);
    let mut all = Sent::default();
    for round in 0..args.rounds {
        let mut child = start(args, place, address)?;
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| std::thread::spawn(move || send_all(address, round, client))).collect();
        std::thread::sleep(Duration::from_millis(random.random_range(5..400)));
        child.kill()?;
        child.wait()?;
        for client in clients {
            let sent = client.join().map_err(|_| anyhow::anyhow!("a client died"))?;
            all.acknowledged.extend(sent.acknowledged);
            all.unknown.extend(sent.unknown);
        }
    }
    ensure!(!all.acknowledged.is_empty(), "nothing was acknowledged");
    Ok(all)
}

fn start(args: &Args, place: &str, address: SocketAddr) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--collect", place, "--listen", &address.to_string()]).args(args.cluster.then_some("--cluster"));
    if let Some(without) = &args.without {
        command.args(["--without", without]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the collector did not start: {status}");
        }
        ensure!(begun.elapsed() < START_WITHIN, "the collector does not listen");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(child)
}

/// One beacon after the other until the collector is gone.
fn send_all(address: SocketAddr, round: u64, client: u64) -> Sent {
    let mut sent = Sent::default();
    let Ok(mut stream) = TcpStream::connect(address) else { return sent };
    for serial in 0_u64.. {
        let id = format!("{round}-{client}-{serial}");
        match send(&mut stream, &beacon(&id)) {
            Ok(204) => drop(sent.acknowledged.insert(id)),
            // Refused, or cut off: the log may have it or not.
            _ => {
                sent.unknown.insert(id);
                return sent;
            }
        }
    }
    sent
}

fn beacon(id: &str) -> Vec<u8> {
    let event = |n: u64| match n % 2 {
        0 => format!("{{\"name\":\"LCP\",\"value\":1200,\"id\":\"{id}_{n}\",\"page\":\"/p{n}\"}}"),
        _ => format!("{{\"entryType\":\"layout-shift\",\"value\":0.1,\"startTime\":{n},\"id\":\"{id}_{n}\"}}"),
    };
    let events: Vec<String> = (0..EVENTS).map(event).collect();
    let body = format!("{{\"page\":\"/\",\"sessionId\":\"{id}\",\"events\":[{}]}}", events.join(","));
    let head = format!("POST /v1/vitals HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    (head + &body).into_bytes()
}

fn send(stream: &mut TcpStream, request: &[u8]) -> std::io::Result<u16> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    Ok(status.unwrap_or_default())
}

/// Holds the log against what was sent; how many of its events belong to no acknowledged beacon.
fn check(sent: &Sent, found: &[(u32, Vec<u8>, Vec<u8>)]) -> Result<u64> {
    let mut ids = BTreeSet::new();
    for (partition, key, value) in found {
        let value: Value = serde_json::from_slice(value).context("a record is no JSON")?;
        // A metric's id ends in its value.
        let id = value["metricId"].as_str().or(value["id"].as_str()).context("a record without id")?.to_owned();
        ensure!(*partition == partition_of_key(key, PARTITIONS), "{id} lies in the partition of another key");
        ensure!(!ids.contains(&id), "{id} is in the log twice");
        ids.insert(id);
    }
    for beacon in &sent.acknowledged {
        for n in 0..EVENTS {
            let id = format!("{beacon}_{n}");
            ensure!(ids.remove(&id), "{id} was acknowledged and is not in the log");
        }
    }
    for id in &ids {
        let beacon = id.split('_').next().unwrap_or_default();
        ensure!(sent.unknown.contains(beacon), "{id} is in the log, and nobody sent it");
    }
    Ok(ids.len() as u64)
}

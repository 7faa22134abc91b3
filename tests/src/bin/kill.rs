//! `cargo xtask kill`: workers are killed, paused and cut off while they run the shipped LCP pipeline, with the stages
//! for incidents and responses in it; the outputs must be those of a run without faults, and the counters exact.
//!
//! Embedded: the records of every topic equal those of a clean run, in order. Cluster: the set of
//! records equals what the input and the control topic say (`exact::audit`); kills alone leave no
//! copy of a record, pauses, kills of the SPU and a broken network only identical ones. A failpoint `…_off` switches a
//! protection off; a run that then still passes would show that this harness sees nothing.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use perfstream::chain::ChainOptions;
use perfstream::exact::audit;
use perfstream::model::{Pipeline, Placement};
use perfstream::modules::Modules;
use perfstream::plan::Plan;
use perfstream::run::{self, RunOptions};
use perfstream::summary::Summary;
use perfstream::{check, docs, registry, topics};
use perfstream_log::cluster::Target;
use perfstream_log::embedded::Log;
use perfstream_log::testing::{TestCluster, TopicOptions, Traffic};
use perfstream_log::{NO_LOG_TIME, NewRecord, Topics, partition_of_key};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// Named places of the worker on a cluster, and of the embedded run.
const CLUSTER_POINTS: [&str; 9] = [
    "after_read",
    "before_reserve",
    "after_reserve",
    "mid_batch",
    "before_emit",
    "mid_emit",
    "after_emit",
    "mid_snapshot",
    "after_snapshot",
];
/// The configuration is written down again this often, not after days.
const RENEW_AFTER: i64 = 15;
const EMBEDDED_POINTS: [&str; 2] = ["live_before_commit", "live_after_commit"];
/// Events before each kill.
const EVENTS_PER_ROUND: u64 = 1500;
const PARTITIONS: u32 = 2;
/// A worker that ends before it comes to its place is no kill; more rounds than this for each kill are a fault.
const MOST_ROUNDS: u64 = 4;
/// What is put into the shipped chain before the first of these lines: so all stages with state are killed while
/// they have something to do.
const MORE_STAGES: [(&str, &str); 2] = [
    ("  - uses: perfstream/alert@", include_str!("kill/incidents.yaml")),
    ("  # What the live page shows", include_str!("kill/responses.yaml")),
];
/// The detector that they name, which soon knows what is usual.
const DETECTOR: &str = include_str!("kill/detector.yaml");

#[derive(Parser, Clone)]
struct Args {
    /// Kills
    #[arg(long, default_value_t = 25)]
    rounds: u32,
    /// On a Fluvio cluster of its own instead of the embedded log
    #[arg(long)]
    cluster: bool,
    /// Kill the SPU instead of the worker
    #[arg(long, requires = "cluster")]
    spu: bool,
    /// Pause workers beside their successors instead of killing them
    #[arg(long, requires = "cluster")]
    pause: bool,
    /// Break the network between the worker and the SPU instead: cut, half open, answers lost
    #[arg(long, requires = "cluster")]
    network: bool,
    /// Where the stateless front of the chain runs
    #[arg(long, default_value = "worker", value_parser = ["worker", "spu-prefilter"])]
    placement: String,
    /// Seed of all that is random here
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Switch a protection off: `id_scan`, `suppression` or `epoch_check`; the run must fail
    #[arg(long)]
    without: Option<String>,
    /// Internal: work until the end of the input in this directory or at this cluster
    #[arg(long, hide = true)]
    worker: Option<String>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some(place) = &args.worker {
        return work(place, &args);
    }
    let result = match args.cluster {
        true => {
            let cluster = if args.network { TestCluster::start_behind_proxy() } else { TestCluster::start() };
            on_cluster(&args, cluster.context("no Fluvio server")?)
        }
        false => embedded(&args),
    };
    match &result {
        Ok(()) => println!("{} passed, 0 failed", args.rounds),
        Err(error) => println!("{error:#}\n0 passed, 1 failed"),
    }
    let failed_as_it_should = args.without.is_some();
    Ok(if result.is_ok() != failed_as_it_should { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The shipped LCP pipeline with [`MORE_STAGES`] and a snapshot every 300 ms; without `dedupe`, which keeps state, where the
/// SPU is to run its front.
fn pipeline(prefilter: bool) -> Result<Pipeline> {
    let path = perfstream_tests::root().join("pipelines/web-vitals.yaml");
    let mut text = std::fs::read_to_string(&path)?.replace("interval: 10s", "interval: 300ms");
    for (line, stages) in MORE_STAGES {
        // The first document is LCP's.
        text.insert_str(text.find(line).with_context(|| format!("no `{line}`"))?, stages);
    }
    text.push_str(DETECTOR);
    let report = check::check_text(&path.display().to_string(), &text);
    ensure!(!report.is_error(), "{}", report.render(false));
    let lcp = report.into_pipelines().into_iter().find(|p| p.meta.name.to_string() == "lcp");
    let mut lcp = lcp.context("no pipeline lcp")?;
    if prefilter {
        lcp.placement = Placement::SpuPrefilter;
        lcp.input.dedupe = None;
    }
    Ok(lcp)
}

impl Args {
    fn prefilter(&self) -> bool {
        self.placement == "spu-prefilter"
    }
}

fn chain() -> ChainOptions {
    let dir = std::env::var_os("PERFSTREAM_MODULES").map(PathBuf::from);
    ChainOptions { modules: Modules::new(dir.as_deref()), ..ChainOptions::default() }
}

/// The child process: a worker until the end of the input.
fn work(place: &str, args: &Args) -> Result<ExitCode> {
    let _failpoints = fail::FailScenario::setup();
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        told(info);
        std::process::abort();
    }));
    let summaries = match args.cluster {
        true => run::fluvio::run(
            &[pipeline(args.prefilter())?],
            &run::fluvio::Options {
                target: Target::Address(place.into()),
                instance: Some(run::share::Instance::default()),
                arguments: Vec::new(),
                metrics: None,
                stop_at_end: true,
                stop_with_parent: false,
                spill: None,
                renew_after: RENEW_AFTER,
                chain: chain(),
            },
        )?,
        false => {
            let pipeline = pipeline(false)?;
            let options = RunOptions {
                data: Some(place.into()),
                partitions: PARTITIONS,
                checkpoint: Duration::from_millis(300),
                chain: chain(),
                ..RunOptions::default()
            };
            run::run(&[Plan::new(&pipeline)?], &options)?
        }
    };
    for summary in summaries {
        println!("{}", summary.json());
    }
    Ok(ExitCode::SUCCESS)
}

/// Page, and the event number `n` as JSON: mostly good ones, some bad, late or sent twice.
fn event(n: u64) -> (String, Vec<u8>) {
    let mix = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let (page, browser) = (format!("/p{}", mix % 17), ["chrome", "safari", "firefox"][(mix / 17 % 3) as usize]);
    let late = if n.is_multiple_of(301) { 600_000 } else { 0 };
    let time = 1_767_600_000_000 + n * 100 - late;
    let id = if n.is_multiple_of(97) { n.saturating_sub(1) } else { n };
    // A page is slow for three of 24 minutes.
    let slower = if page == "/p3" && n / 1800 % 8 == 7 { 4 } else { 1 };
    let value = (500 + mix / 64 % 6000) * slower;
    let text = match n % 211 {
        5 => format!("{{\"timestamp\":{time},\"value\":"),
        _ => format!(
            "{{\"timestamp\":{time},\"value\":{value},\"page\":\"{page}\",\"browser\":\"{browser}\",\"device\":\"mobile\",\
             \"connection\":\"4g\",\"id\":\"v-{id}\"}}"
        ),
    };
    (page, text.into_bytes())
}

/// Events `from..to` by partition.
fn events(from: u64, to: u64, log_time_ms: i64) -> BTreeMap<u32, Vec<NewRecord>> {
    let mut batches: BTreeMap<u32, Vec<NewRecord>> = BTreeMap::new();
    for n in from..to {
        let (page, value) = event(n);
        let partition = partition_of_key(page.as_bytes(), PARTITIONS);
        batches.entry(partition).or_default().push(NewRecord { log_time_ms, key: Some(page.into_bytes()), value });
    }
    batches
}

/// How a worker ends.
enum End {
    /// At the k-th time it comes to a named place
    Point(&'static str, u32),
    /// After a time
    After(Duration),
    /// When all is done
    Done,
}

struct Workers {
    place: String,
    cluster: bool,
    placement: String,
    off: Option<String>,
    /// Deaths by place
    deaths: RefCell<BTreeMap<&'static str, u32>>,
}

impl Workers {
    fn start(&self, end: &End) -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--worker").arg(&self.place).args(self.cluster.then_some("--cluster"));
        command.arg("--placement").arg(&self.placement);
        let point = match end {
            End::Point(name, k) => Some(format!("{name}={}*off->panic", k)),
            _ => None,
        };
        let off = self.off.as_ref().map(|name| format!("{name}_off=return"));
        let points: Vec<String> = point.into_iter().chain(off).collect();
        command.env("FAILPOINTS", points.join(";"));
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?)
    }

    /// Runs a worker to its end; true if it was killed. One that did not come to its named place has ended by itself.
    fn run(&self, end: &End) -> Result<bool> {
        let mut child = self.start(end)?;
        if let End::After(time) = end {
            std::thread::sleep(*time);
            child.kill()?;
        }
        let killed = child.wait()?.signal().is_some();
        if killed {
            let place = match end {
                End::Point(name, _) => name,
                _ => "any time",
            };
            *self.deaths.borrow_mut().entry(place).or_default() += 1;
        }
        Ok(killed)
    }

    fn say_deaths(&self) {
        let deaths: Vec<String> = self.deaths.borrow().iter().map(|(place, n)| format!("{place} {n}")).collect();
        println!("killed at: {}", deaths.join(", "));
    }

    /// Lets it finish; its summary.
    fn finish(&self) -> Result<serde_json::Value> {
        let output = self.start(&End::Done)?.wait_with_output()?;
        ensure!(output.status.success(), "the last worker ended with {}", output.status);
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// First every named place in turn, then at random.
fn an_end(round: u64, random: &mut StdRng, points: &[&'static str]) -> End {
    if let Some(name) = points.get(round as usize) {
        return End::Point(name, 0);
    }
    match random.random_bool(0.6) {
        true => End::Point(points[random.random_range(0..points.len())], random.random_range(0..6)),
        false => End::After(Duration::from_millis(random.random_range(5..900))),
    }
}

fn embedded(args: &Args) -> Result<()> {
    let (dir, clean) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let mut random = StdRng::seed_from_u64(args.seed);
    let placement = args.placement.clone();
    let workers = Workers {
        place: dir.path().display().to_string(),
        cluster: false,
        placement,
        off: None,
        deaths: RefCell::default(),
    };
    let (mut rounds, mut deaths) = (0, 0);
    while deaths < args.rounds {
        append_embedded(dir.path(), rounds)?;
        deaths += u32::from(workers.run(&an_end(rounds, &mut random, &EMBEDDED_POINTS))?);
        rounds += 1;
        ensure!(rounds < MOST_ROUNDS * u64::from(args.rounds), "{deaths} kills in {rounds} rounds");
    }
    workers.say_deaths();
    let summary = workers.finish()?;
    for round in 0..rounds {
        append_embedded(clean.path(), round)?;
    }
    let expected = Workers { place: clean.path().display().to_string(), ..workers }.finish()?;
    for key in ["in", "counted", "filtered", "late", "duplicate", "dead"] {
        ensure!(summary[key] == expected[key], "{key}: {} killed, {} clean", summary[key], expected[key]);
    }
    let (found, wanted) = (contents(dir.path())?, contents(clean.path())?);
    ensure!(!wanted.is_empty(), "the clean run wrote nothing");
    for (topic, records) in &wanted {
        ensure!(found.get(topic) == Some(records), "the records of {}/{} differ", topic.0, topic.1);
    }
    ensure!(found.len() == wanted.len(), "topics {:?}, clean {:?}", found.keys(), wanted.keys());
    Ok(())
}

fn append_embedded(dir: &Path, round: u64) -> Result<()> {
    let batches = events(round * EVENTS_PER_ROUND, (round + 1) * EVENTS_PER_ROUND, NO_LOG_TIME);
    let mut log = Log::open(dir)?;
    log.commit(|w| batches.iter().try_for_each(|(p, records)| w.append("lcp-stream", *p, records).map(drop)))
}

type Contents = BTreeMap<(String, u32), Vec<Vec<u8>>>;

fn contents(dir: &Path) -> Result<Contents> {
    let log = Log::open(dir)?;
    let mut found = Contents::new();
    for topic in log.topics()? {
        for partition in log.partitions(&topic)? {
            let records = log.read(&topic, partition, 0, usize::MAX >> 1)?;
            found.insert((topic.clone(), partition), records.into_iter().map(|r| r.value).collect());
        }
    }
    Ok(found)
}

fn on_cluster(args: &Args, cluster: TestCluster) -> Result<()> {
    let plan = Plan::new(&pipeline(args.prefilter())?)?;
    let outputs = plan.router.topics().to_vec();
    let (control, state) = (topics::control("lcp"), topics::state("lcp"));
    for topic in outputs.iter().chain([&plan.input_topic, &control, &state]) {
        cluster.create_topic(topic, PARTITIONS, TopicOptions::default())?;
    }
    cluster.create_topic(topics::STATUS, 1, TopicOptions::default())?;
    let mut log = cluster.topics();
    let mut random = StdRng::seed_from_u64(args.seed);
    let workers = Workers {
        place: cluster.address().to_string(),
        cluster: true,
        placement: args.placement.clone(),
        off: args.without.clone(),
        deaths: RefCell::default(),
    };
    if args.prefilter() {
        for stage in ["filter", "enrich"] {
            let package = docs::smart_module_toml(registry::find(stage).context("a stage")?);
            let wasm = chain().modules.load(stage)?;
            cluster.block_on(cluster.cluster().upload_module(&package, &wasm))?;
        }
    }
    let (mut round, mut faults) = (0, 0);
    while faults < args.rounds {
        for (partition, records) in events(round * EVENTS_PER_ROUND, (round + 1) * EVENTS_PER_ROUND, 0) {
            append(&mut log, &plan.input_topic, partition, &records)?;
        }
        let happened = match (args.spu, args.pause, args.network) {
            (true, ..) => kill_spu(&workers, &cluster, &mut random).map(|()| true)?,
            (_, true, _) => pause(&workers, &mut random).map(|()| true)?,
            (.., true) => break_network(&workers, &cluster, &mut random).map(|()| true)?,
            _ => workers.run(&an_end(round, &mut random, &CLUSTER_POINTS))?,
        };
        faults += u32::from(happened);
        round += 1;
        ensure!(round < MOST_ROUNDS * u64::from(args.rounds), "{faults} kills in {round} rounds");
    }
    if !(args.spu || args.pause || args.network) {
        workers.say_deaths();
    }
    // The last worker has new records too, not only what its predecessors have reserved.
    let total = round * EVENTS_PER_ROUND + EVENTS_PER_ROUND;
    for (partition, records) in events(total - EVENTS_PER_ROUND, total, 0) {
        append(&mut log, &plan.input_topic, partition, &records)?;
    }
    for partition in 0..PARTITIONS {
        end(&mut log, &plan.input_topic, partition)?;
    }
    let summary = workers.finish()?;
    let mut log = cluster.topics();
    let (mut expected, mut counted, mut cuts) = (std::collections::BTreeSet::new(), Summary::default(), 0);
    for partition in 0..PARTITIONS {
        let repeated = audit::repeat(&mut log, &plan.input_topic, &control, partition, &chain())?;
        expected.extend(repeated.outputs);
        cuts += repeated.cuts;
        match counted.stages.is_empty() {
            true => counted = repeated.summary,
            false => counted.add(&repeated.summary),
        }
        let void = audit::void_advances(&mut log, &control, partition)?;
        ensure!(void <= 1, "a worker that had lost its partition went on: {void} advances of it are void");
    }
    let found = audit::written(&mut log, &outputs)?;
    ensure!(
        summary["in"] == total && summary["balanced"] == true,
        "{total} records went in, the counters say {summary}"
    );
    let (summary, counted) = (of_the_log(summary), of_the_log(counted.json()));
    for key in ["written", "skipped", "stages"] {
        ensure!(summary[key] == counted[key], "{key}: the counters say {}, the log {}", summary[key], counted[key]);
    }
    ensure!(!expected.is_empty(), "nothing was expected");
    let missing = expected.iter().filter(|o| !found.contains_key(*o)).count();
    let extra = found.keys().filter(|o| !expected.contains(*o)).count();
    let copies: usize = found.values().map(|n| n - 1).sum();
    if args.prefilter() {
        let records = prefiltered(&mut log)?;
        println!("{records} records seen in the SPU by workers that could still say so, {total} went in");
        ensure!(records > 0, "the SPU was asked in vain");
    }
    let mut topics: BTreeMap<&str, u32> = BTreeMap::new();
    for (topic, _) in &expected {
        *topics.entry(topic).or_default() += 1;
    }
    println!("expected: {topics:?}; the configuration was written down {cuts} times");
    ensure!(cuts > PARTITIONS as usize, "it was not renewed");
    let idle = ["alerts", "actions"].into_iter().find(|topic| !topics.contains_key(topic));
    ensure!(idle.is_none(), "the stages for {idle:?} had nothing to do");
    println!("{} records expected, {missing} missing, {extra} extra, {copies} copies", expected.len());
    ensure!(missing == 0 && extra == 0, "the outputs are not those of a run without faults");
    ensure!(copies == 0 || args.spu || args.pause || args.network, "{copies} records were written twice");
    Ok(())
}

/// Counters without those of the process: how large the memory of its modules has grown.
fn of_the_log(mut summary: serde_json::Value) -> serde_json::Value {
    for stage in summary["stages"].as_array_mut().into_iter().flatten() {
        stage["counters"].as_object_mut().map(|counters| counters.remove("memory_bytes"));
    }
    summary
}

/// Records that the SPU's modules saw, as the status records say.
fn prefiltered(log: &mut impl Topics) -> Result<u64> {
    let statuses = audit::written(log, &[topics::STATUS.to_string()])?;
    let mut most: BTreeMap<(String, u64), u64> = BTreeMap::new();
    for (_, value) in statuses.into_keys() {
        let status: serde_json::Value = serde_json::from_slice(&value)?;
        let worker = (status["session"].to_string(), status["partition"].as_u64().unwrap_or(0));
        let records = most.entry(worker).or_default();
        *records = status["prefiltered"].as_u64().unwrap_or(0).max(*records);
    }
    Ok(most.into_values().sum())
}

/// Appends although the SPU may be coming back; what is not known is looked up.
fn append(log: &mut impl Topics, topic: &str, partition: u32, records: &[NewRecord]) -> Result<()> {
    let before = end(log, topic, partition)?;
    let mut done = 0;
    while done < records.len() {
        if log.append(topic, partition, &records[done..]).is_ok() {
            return Ok(());
        }
        done = (end(log, topic, partition)? - before) as usize;
    }
    Ok(())
}

/// The end of a partition, once its SPU is there.
fn end(log: &mut impl Topics, topic: &str, partition: u32) -> Result<i64> {
    for _ in 0..300 {
        if let Ok(extent) = log.extent(topic, partition) {
            return Ok(extent.end);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(log.extent(topic, partition)?.end)
}

fn kill_spu(workers: &Workers, cluster: &TestCluster, random: &mut StdRng) -> Result<()> {
    let mut child = workers.start(&End::Done)?;
    std::thread::sleep(Duration::from_millis(random.random_range(20..1200)));
    cluster.kill_spu();
    cluster.start_spu()?;
    // It may have been starting when the SPU died: then it says so and ends with an error.
    child.wait().map(|_| ()).map_err(Into::into)
}

/// A worker loses its connections to the SPU in one of the ways of networks, and gets them back.
fn break_network(workers: &Workers, cluster: &TestCluster, random: &mut StdRng) -> Result<()> {
    let mut child = workers.start(&End::Done)?;
    let proxy = cluster.proxy();
    std::thread::sleep(Duration::from_millis(random.random_range(20..700)));
    match random.random_range(0..3) {
        0 => {}
        1 => proxy.half_open(),
        _ => proxy.drop_responses(),
    }
    std::thread::sleep(Duration::from_millis(random.random_range(50..500)));
    proxy.set(Traffic::Cut);
    std::thread::sleep(Duration::from_millis(random.random_range(20..300)));
    proxy.set(Traffic::Pass);
    // Where its first steps failed it says so and ends with an error.
    child.wait().map(drop).map_err(Into::into)
}

/// A worker is paused, a second one takes over, the first one wakes.
fn pause(workers: &Workers, random: &mut StdRng) -> Result<()> {
    let mut first = workers.start(&End::Done)?;
    std::thread::sleep(Duration::from_millis(random.random_range(20..700)));
    let pid = Pid::from_raw(first.id() as i32);
    if first.try_wait()?.is_some() {
        return Ok(());
    }
    kill(pid, Signal::SIGSTOP)?;
    let mut second = workers.start(&End::Done)?;
    std::thread::sleep(Duration::from_millis(random.random_range(200..1500)));
    kill(pid, Signal::SIGCONT)?;
    let (first, second) = (first.wait()?, second.wait()?);
    match first.success() || second.success() {
        true => Ok(()),
        false => bail!("neither the paused worker nor its successor came to the end"),
    }
}

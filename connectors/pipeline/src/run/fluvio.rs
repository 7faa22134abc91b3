//! `perfstream run --cluster`: pipelines on a Fluvio cluster.

use super::cluster::{Assignment, Running};
use super::fleet::Fleet;
use super::load::{Gauge, Load, Meter};
use super::members::{BEAT_EVERY, Members};
use super::records::Session;
use super::scale::Policy;
use super::session;
use super::share::{Instance, Share};
use crate::chain::ChainOptions;
use crate::deploy;
use crate::exact::{Fenced, Job};
use crate::model::{Backpressure, Pipeline, Placement};
use crate::plan::PlanSpec;
use crate::process::serve_metrics;
use crate::summary::Summary;
use crate::topics;
use anyhow::{Result, anyhow, bail};
use perfstream_log::Topics;
use perfstream_log::cluster::{ClusterTopics, Target};
use perfstream_log::spill::SpillOptions;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Records of a partition that may wait under `backpressure: drop-oldest`.
const KEEP_WAITING: i64 = 100_000;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which cluster
    pub target: Target,
    /// Which share of the partitions; None: as many workers as `scaling` says
    pub instance: Option<Instance>,
    /// The arguments of this program that run the pipelines, for the workers it starts
    pub arguments: Vec<OsString>,
    /// Where to serve metrics
    pub metrics: Option<SocketAddr>,
    /// End when all input that is there is processed
    pub stop_at_end: bool,
    /// End, as at a signal, when standard input ends: who started this worker is gone
    pub stop_with_parent: bool,
    /// Where records that wait are copied to, with `backpressure: buffer-with-spill`
    pub spill: Option<SpillOptions>,
    /// Control entries after which the configuration is written down again, see [`RENEW_AFTER`](crate::exact::RENEW_AFTER)
    pub renew_after: i64,
    /// How the stages run
    pub chain: ChainOptions,
}

/// Runs until stopped by a signal (SIGTERM, SIGINT): every worker then takes a last snapshot.
pub fn run(pipelines: &[Pipeline], options: &Options) -> Result<Vec<Summary>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(address) = options.metrics {
        serve_metrics(address, &runtime)?;
    }
    let connect = || ClusterTopics::connect(runtime.handle().clone(), &options.target);
    let session = session::name();
    let mut log = connect()?;
    deploy::agree(&log, runtime.handle(), pipelines, &options.chain.modules)?;
    if log.partitions(topics::STATUS)?.is_none() {
        tracing::warn!(
            "there is no topic `{}`: nobody will see how this worker does; `perfstream deploy` creates it",
            topics::STATUS
        );
    }
    let stop = stopped(&runtime, options.stop_with_parent);
    let mut process =
        Process { pipelines, options, session, connect: &connect, log, stop, started: super::cluster::now() };
    match options.instance {
        Some(Instance::Fixed(share)) => process.fixed(share),
        Some(Instance::Auto) => process.shared(),
        None => match process.fleet()? {
            Some(fleet) => process.supervise(&fleet),
            None => process.fixed(Share::default()),
        },
    }
}

/// Becomes true at a signal, or when standard input ends.
fn stopped(runtime: &Runtime, with_parent: bool) -> Arc<AtomicBool> {
    let stop = crate::process::stopped(runtime);
    if with_parent {
        let told = stop.clone();
        // A thread of its own: it is never joined, as a read of standard input cannot be ended.
        std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            told.store(true, Ordering::SeqCst);
        });
    }
    stop
}

/// This process, among others or alone.
struct Process<'r, C> {
    pipelines: &'r [Pipeline],
    options: &'r Options,
    session: String,
    connect: &'r C,
    log: ClusterTopics,
    /// A signal came
    stop: Arc<AtomicBool>,
    /// Microseconds since the epoch
    started: i64,
}

impl<C: Fn() -> Result<ClusterTopics> + Send + Sync> Process<'_, C> {
    fn assignments(&mut self, share: Share) -> Result<Vec<Assignment>> {
        let (options, session) = (self.options, &self.session);
        self.pipelines.iter().map(|p| assignment(&mut self.log, p, options, session, share)).collect()
    }

    fn running(&self, assignments: &[Assignment], stop: Arc<AtomicBool>) -> Running {
        let parts = self.pipelines.iter().zip(assignments.iter().map(|a| &a.job));
        let parts = parts.map(|(pipeline, job)| (pipeline, &job.plan, job.config.clone()));
        let (session, told) = (self.session.clone(), Session::new(session::start(&self.session, self.started, parts)));
        Running { stop, stop_at_end: self.options.stop_at_end, session, told, meter: Arc::new(Meter::default()) }
    }

    /// Workers of other pipelines share nothing with this one.
    fn group(&self) -> String {
        let names: Vec<String> = self.pipelines.iter().map(|p| p.meta.name.to_string()).collect();
        names.join(" ")
    }

    fn fixed(&mut self, share: Share) -> Result<Vec<Summary>> {
        let assignments = self.assignments(share)?;
        super::cluster::run(&assignments, &self.running(&assignments, self.stop.clone()), self.connect)
    }

    /// The workers that `scaling` asks for, if that may be more than one.
    fn fleet(&mut self) -> Result<Option<Fleet>> {
        let policy = Policy::of(self.pipelines);
        if policy.max == 1 || self.options.stop_at_end {
            return Ok(None);
        }
        let inputs: Vec<String> = self.pipelines.iter().map(|p| p.input.topic.to_string()).collect();
        let policy = policy.at_most(super::fleet::partitions(&mut self.log, &inputs)?);
        let arguments = self.options.arguments.clone();
        Ok((policy.max > 1).then_some(Fleet { policy, arguments, metrics: self.options.metrics }))
    }

    fn supervise(&mut self, fleet: &Fleet) -> Result<Vec<Summary>> {
        tracing::info!(min = fleet.policy.min, max = fleet.policy.max, "supervises workers, as `scaling` says");
        super::fleet::run((self.connect)()?, fleet, &self.group(), &self.stop)?;
        // Their numbers stand in the status topic; this process has none of its own.
        Ok(Vec::new())
    }

    /// Works on the share that the living workers leave to this one, anew whenever that changes.
    fn shared(&mut self) -> Result<Vec<Summary>> {
        let now_ms = super::cluster::now() / 1000;
        let mut members = Members::join((self.connect)()?, &self.session, &self.group(), now_ms)?;
        let policy = Policy::of(self.pipelines);
        let mut gauge = Gauge::new(policy.metrics, policy.targets)?;
        let mut last = Vec::new();
        while !self.stop.load(Ordering::SeqCst) {
            let share = settled(&mut members, &self.stop)?;
            tracing::info!(%share, "takes its share of the partitions");
            let assignments = self.assignments(share)?;
            let running = self.running(&assignments, Arc::new(AtomicBool::new(false)));
            let done = AtomicBool::new(false);
            let (result, watched) = std::thread::scope(|scope| {
                let watch = Watch { members: &mut members, gauge: &mut gauge, running: &running, share };
                let (stop, done) = (&self.stop, &done);
                let watcher = scope.spawn(move || watch.run(stop, done));
                let result = super::cluster::run(&assignments, &running, self.connect);
                // Without a partition there is nothing to run, only to wait for.
                let idle = assignments.iter().all(|a| a.partitions.is_empty()) && !self.options.stop_at_end;
                done.store(!idle, Ordering::SeqCst);
                (result, watcher.join())
            });
            watched.map_err(|_| anyhow!("the watch over the members died"))??;
            match result {
                Ok(summaries) => last = summaries,
                // Another worker was quicker to see that the shares have changed.
                Err(error) if error.is::<Fenced>() => continue,
                Err(error) => return Err(error),
            }
            if self.options.stop_at_end && !running.stop.load(Ordering::SeqCst) {
                break;
            }
        }
        members.leave()?;
        Ok(last)
    }
}

/// The share once two beats in a row gave the same.
fn settled<T: Topics>(members: &mut Members<T>, stop: &AtomicBool) -> Result<Share> {
    let mut share = members.beat(Load::new())?;
    loop {
        std::thread::sleep(BEAT_EVERY);
        let next = members.beat(Load::new())?;
        if next == share || stop.load(Ordering::SeqCst) {
            return Ok(next);
        }
        share = next;
    }
}

/// What goes on beside the work on a share.
struct Watch<'r, T> {
    members: &'r mut Members<T>,
    gauge: &'r mut Gauge,
    running: &'r Running,
    share: Share,
}

impl<T: Topics> Watch<'_, T> {
    /// Beats until the work is `done`; ends it when the share changes or a signal came.
    fn run(self, stop: &AtomicBool, done: &AtomicBool) -> Result<()> {
        let mut beat_at = Instant::now() + BEAT_EVERY;
        while !done.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
            let changed = match Instant::now() >= beat_at {
                true => {
                    beat_at = Instant::now() + BEAT_EVERY;
                    let load = self.gauge.read(&self.running.meter);
                    self.members.beat(load).map(|now| now != self.share)
                }
                false => Ok(false),
            };
            if stop.load(Ordering::SeqCst) || !matches!(changed, Ok(false)) {
                self.running.stop.store(true, Ordering::SeqCst);
                return changed.map(drop);
            }
        }
        Ok(())
    }
}

fn assignment(
    log: &mut impl Topics,
    pipeline: &Pipeline,
    options: &Options,
    session: &str,
    share: Share,
) -> Result<Assignment> {
    let name = &pipeline.meta.name;
    let plan = PlanSpec::new(pipeline)?;
    let Some(partitions) = log.partitions(&plan.input_topic)? else {
        bail!(
            "pipeline `{name}`: there is no topic `{}` on the cluster; `perfstream deploy` creates it",
            plan.input_topic
        );
    };
    let inbox = topics::inbox(name);
    let inbox_topic = log.partitions(&inbox)?.map(|_| inbox);
    let job = Job {
        config: session::config(&plan, &options.chain)?,
        plan,
        chain: options.chain.clone(),
        control_topic: topics::control(name),
        state_topic: topics::state(name),
        inbox_topic,
        checkpoint: Duration::from_micros(pipeline.checkpoint.interval.us().max(0) as u64),
        retain: pipeline.checkpoint.retain,
        recovery: pipeline.recovery,
        renew_after: options.renew_after,
        keep_waiting: (pipeline.backpressure == Backpressure::DropOldest).then_some(KEEP_WAITING),
        prefilter: pipeline.placement == Placement::SpuPrefilter,
        careful: false,
        instance: session.to_string(),
    };
    let spill = options.spill.clone().filter(|_| pipeline.backpressure == Backpressure::BufferWithSpill);
    Ok(Assignment { job, partitions: share.of(partitions), errors: pipeline.errors, spill })
}

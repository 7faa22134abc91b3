//! `perfstream run`: events from a file, standard input or the embedded log through a pipeline.

pub mod cluster;
mod file;
pub mod fleet;
pub mod fluvio;
mod live;
pub mod load;
mod members;
pub mod newest;
pub mod recent;
pub mod records;
pub mod requests;
pub mod scale;
pub mod session;
pub mod share;
pub mod status;
pub mod usage;
mod worker;

pub use worker::{Totals, Worker};

use self::records::SessionRecord;

use crate::chain::ChainOptions;
use crate::output::Lines;
use crate::plan::Plan;
use crate::summary::Summary;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Records handed to the chain at once.
pub const BATCH_RECORDS: usize = 1000;
/// or as many as make up this many bytes.
pub const BATCH_BYTES: usize = 1 << 20;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Files by topic; the path `-` is standard input
    pub inputs: BTreeMap<String, PathBuf>,
    /// Directory of the embedded log
    pub data: Option<PathBuf>,
    /// Directory for JSON lines
    pub out: Option<PathBuf>,
    /// Wait for more input
    pub follow: bool,
    /// Set it, and a run over the embedded log saves its state and ends
    pub stop: Arc<AtomicBool>,
    /// Partitions of input files
    pub partitions: u32,
    /// Show a progress bar
    pub progress: bool,
    /// Time between snapshots
    pub checkpoint: Duration,
    /// Snapshots kept
    pub retain: u32,
    /// How the stages run
    pub chain: ChainOptions,
    /// What the embedded log is told of the run, beside how its partitions do; None: nothing
    pub session: Option<SessionRecord>,
}

impl Default for RunOptions {
    /// To the end of what is there, one partition, and the defaults of a pipeline's `checkpoint`.
    fn default() -> RunOptions {
        RunOptions {
            inputs: BTreeMap::new(),
            data: None,
            out: None,
            follow: false,
            stop: Arc::default(),
            partitions: 1,
            progress: false,
            checkpoint: Duration::from_secs(10),
            retain: 3,
            chain: ChainOptions::default(),
            session: None,
        }
    }
}

/// Runs pipelines over their inputs; one summary each.
pub fn run(plans: &[Plan], options: &RunOptions) -> Result<Vec<Summary>> {
    if let Some(dir) = &options.data {
        return live::run(plans, options, dir);
    }
    let mut lines = match &options.out {
        Some(dir) => Lines::dir(dir)?,
        None => Lines::stdout(),
    };
    let mut summaries = Vec::new();
    for plan in plans {
        let Some(path) = options.inputs.get(&plan.input_topic) else {
            bail!(
                "the pipeline `{}` reads the topic `{}`, for which no input was given: add `--input {}=PATH`, or choose pipelines with `--only`",
                plan.spec.pipeline,
                plan.input_topic,
                plan.input_topic
            );
        };
        lines.prepare(plan.router.topics())?;
        summaries.push(file::run(plan, path, options, &mut lines)?);
        lines.flush()?;
    }
    Ok(summaries)
}

//! `--data DIR` or `--cluster`, as several commands take it.

use anyhow::{Result, bail};
use perfstream_log::Place;
use perfstream_log::cluster::Target;
use std::path::Path;
use tokio::runtime::Handle;

/// The log that the arguments name. The client of a cluster lives on the runtime.
pub fn place(data: Option<&Path>, cluster: Option<&Option<String>>, runtime: &Handle) -> Result<Place> {
    match (data, cluster) {
        (Some(dir), _) => Place::embedded(dir),
        (None, Some(address)) => {
            let target = address.as_ref().map_or(Target::Profile, |a| Target::Address(a.clone()));
            Place::cluster(runtime.clone(), &target)
        }
        (None, None) => bail!("give `--data DIR` for the embedded log, or `--cluster` for a Fluvio cluster"),
    }
}

//! A Fluvio cluster: connecting to it.

use anyhow::{Context, Result};
use fluvio::{Fluvio, FluvioClusterConfig};

/// Which cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The current profile of `~/.fluvio/config` (or `FLV_PROFILE_PATH`), TLS included
    #[default]
    Profile,
    /// `HOST:PORT` of the system controller, without TLS
    Address(String),
}

/// A connection to a cluster.
pub struct Cluster {
    fluvio: Fluvio,
}

impl Cluster {
    /// Connects to the system controller.
    pub async fn connect(target: &Target) -> Result<Cluster> {
        let fluvio = match target {
            Target::Profile => Fluvio::connect().await.context("cannot connect to the cluster of the Fluvio profile"),
            Target::Address(address) => Fluvio::connect_with_config(&FluvioClusterConfig::new(address.clone()))
                .await
                .with_context(|| format!("cannot connect to a Fluvio cluster at {address}")),
        }?;
        Ok(Cluster { fluvio })
    }

    /// The client, for what is neither reading nor writing of records.
    pub fn client(&self) -> &Fluvio {
        &self.fluvio
    }
}

//! What every command that keeps running needs: an end by signal, and its metrics.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// Waits for SIGTERM or SIGINT.
pub async fn signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Serves this process's metrics as `/metrics` at an address.
pub fn serve_metrics(address: SocketAddr, runtime: &Runtime) -> Result<()> {
    let _entered = runtime.enter();
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .with_http_listener(address)
        .install()
        .with_context(|| format!("cannot serve metrics at {address}"))
}

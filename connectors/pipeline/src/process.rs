//! What every command that keeps running needs: an end by signal, and its metrics.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Becomes true at SIGTERM or SIGINT.
pub fn stopped(runtime: &Runtime) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    runtime.spawn(async move {
        match signal().await {
            Ok(()) => {
                tracing::info!("stopping: what has begun is brought to an end");
                told.store(true, Ordering::SeqCst);
            }
            Err(error) => tracing::error!("signals are not heard: {error:#}"),
        }
    });
    stop
}

/// What the worker's metrics are.
fn describe() {
    metrics::describe_counter!("perfstream_records_total", "Input records processed");
    metrics::describe_counter!("perfstream_written_total", "Records written, by kind");
    metrics::describe_counter!("perfstream_skipped_records_total", "Input records that no stage has seen, by reason");
    metrics::describe_counter!(
        "perfstream_recoveries_total",
        "Times that a partition's worker came back after an error"
    );
    metrics::describe_gauge!("perfstream_position", "Next input offset");
    metrics::describe_gauge!("perfstream_lag_records", "Input records that wait");
    metrics::describe_gauge!("perfstream_spilled_bytes", "Bytes of records that wait on this machine's disk");
    metrics::describe_gauge!(
        "perfstream_latency_p99_ms",
        "From log time to acknowledged outputs, since the last report"
    );
    metrics::describe_gauge!("perfstream_load", "Share of a scaling target, by metric: 1 is at the target");
    metrics::describe_gauge!("perfstream_workers", "Worker processes that the supervisor has running");
    metrics::describe_gauge!("perfstream_fleet_load", "Load of all workers together");
}

/// Serves this process's metrics as `/metrics` at an address.
pub fn serve_metrics(address: SocketAddr, runtime: &Runtime) -> Result<()> {
    let _entered = runtime.enter();
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .with_http_listener(address)
        .install()
        .with_context(|| format!("cannot serve metrics at {address}"))?;
    describe();
    Ok(())
}

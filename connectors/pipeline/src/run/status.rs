//! How a worker does: records for the status topic, and the metrics endpoint.

use crate::exact::Progress;
use crate::summary::Summary;
use hdrhistogram::Histogram;
use perfstream_core::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

/// Latencies are kept up to this, milliseconds.
const MAX_LATENCY_MS: u64 = 3_600_000;

/// One partition of one pipeline, as its worker sees it.
#[derive(Debug, Clone)]
pub struct PartitionStatus {
    /// Name of the pipeline
    pub pipeline: String,
    /// Partition of the input
    pub partition: u32,
    /// `starting`, `running`, `recovering`, `stopped`, `fenced` or `failed`
    pub state: &'static str,
    /// What went wrong last
    pub last_error: Option<String>,
    /// Next input offset
    pub next: i64,
    /// Offset behind the newest input record
    pub end: i64,
    /// First input offset that the newest snapshot does not cover
    pub snapshot: Option<i64>,
    /// Records that belong in another partition by their key
    pub misplaced: u64,
    /// Bytes of records that wait on this machine's disk
    pub spilled_bytes: u64,
    /// Times that it came back after an error
    pub recoveries: u64,
    /// Numbers of all incarnations
    pub summary: Option<Summary>,
    /// From an event's log time to its outputs being acknowledged, milliseconds, since the last report
    pub latency_ms: Histogram<u64>,
    /// Input records since the last report
    pub records: u64,
    since: Instant,
}

impl PartitionStatus {
    /// Of a worker that starts.
    pub fn new(pipeline: &str, partition: u32) -> PartitionStatus {
        PartitionStatus {
            pipeline: pipeline.into(),
            partition,
            state: "starting",
            last_error: None,
            next: 0,
            end: 0,
            snapshot: None,
            misplaced: 0,
            spilled_bytes: 0,
            recoveries: 0,
            summary: None,
            latency_ms: latencies(),
            records: 0,
            since: Instant::now(),
        }
    }

    /// Takes note of a step that ended at `now`, microseconds since the epoch; its latency, milliseconds.
    pub fn note(&mut self, progress: &Progress, now: i64) -> Option<u64> {
        self.records += progress.records;
        let newest = progress.newest_log_time_ms.filter(|ms| *ms >= 0);
        let latency_ms = newest.map(|newest| (now / 1000 - newest).clamp(0, MAX_LATENCY_MS as i64) as u64);
        if let Some(latency_ms) = latency_ms {
            self.latency_ms.saturating_record(latency_ms);
        }
        let labels = [("pipeline", self.pipeline.clone()), ("partition", self.partition.to_string())];
        metrics::counter!("perfstream_records_total", &labels).increment(progress.records);
        for (kind, n) in &progress.written {
            let kind = [("pipeline", self.pipeline.clone()), ("kind", kind.name().to_string())];
            metrics::counter!("perfstream_written_total", &kind).increment(*n);
        }
        metrics::gauge!("perfstream_position", &labels).set(self.next as f64);
        latency_ms
    }

    /// Records not yet processed.
    pub fn lag_records(&self) -> i64 {
        (self.end - self.next).max(0)
    }

    /// The status record of worker `session`; begins a new interval.
    pub fn report(&mut self, session: &str, now_us: i64) -> Value {
        let labels = [("pipeline", self.pipeline.clone()), ("partition", self.partition.to_string())];
        metrics::gauge!("perfstream_lag_records", &labels).set(self.lag_records() as f64);
        metrics::gauge!("perfstream_spilled_bytes", &labels).set(self.spilled_bytes as f64);
        metrics::gauge!("perfstream_latency_p99_ms", &labels).set(self.latency_ms.value_at_quantile(0.99) as f64);
        let seconds = self.since.elapsed().as_secs_f64().max(1e-3);
        let throughput = self.records as f64 / seconds;
        let none = BTreeMap::new();
        let written = self.summary.as_ref().map_or(&none, |s| &s.written);
        let count = |kind: Kind| written.get(&kind).copied().unwrap_or(0);
        let quantile = |q| self.latency_ms.value_at_quantile(q);
        let processed = self.summary.as_ref().map_or(0, |s| s.balance.input);
        let status = json!({
            "kind": "statistics",
            "timestamp": perfstream_core::time::format(now_us),
            "session": session,
            "pipeline": self.pipeline,
            "partition": self.partition,
            "status": self.state,
            "last_error": self.last_error,
            "statistics": {
                "eventsProcessed": processed,
                "anomaliesDetected": count(Kind::Anomaly),
                "alertsTriggered": count(Kind::Alert),
                "predictionsGenerated": count(Kind::Forecast),
                "latency": { "p50_ms": quantile(0.5), "p95_ms": quantile(0.95), "p99_ms": quantile(0.99), "max_ms": self.latency_ms.max() },
                "throughput": throughput,
            },
            "offsets": { "next": self.next, "end": self.end, "snapshot": self.snapshot },
            "lag_records": self.lag_records(),
            "misplaced": self.misplaced,
            "spilled_bytes": self.spilled_bytes,
            "recoveries": self.recoveries,
            "run": self.summary.as_ref().map(Summary::json),
        });
        self.latency_ms.reset();
        (self.records, self.since) = (0, Instant::now());
        status
    }
}

fn latencies() -> Histogram<u64> {
    // Two digits: a latency of 100 ms is known to 1 ms. The bounds are constants that it takes.
    Histogram::new_with_bounds(1, MAX_LATENCY_MS, 2).unwrap_or_else(|_| unreachable!("constant bounds"))
}

//! How a partition's worker does: what its status records are made of, and its metrics.

use super::recent::Recent;
use super::records::{Latency, Offsets, PartitionRecord, State, Statistics, StatusKind};
use crate::exact::Progress;
use crate::summary::Summary;
use hdrhistogram::Histogram;
use serde_json::Value;
use std::time::Instant;

/// Latencies are kept up to this, milliseconds.
const MAX_LATENCY_MS: u64 = 3_600_000;

/// One partition of one pipeline, as its worker sees it.
#[derive(Debug, Clone)]
pub struct PartitionStatus {
    /// Name of the pipeline
    pub pipeline: String,
    /// Topic of the input
    pub input: String,
    /// Partition of the input
    pub partition: u32,
    /// How it does
    pub state: State,
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
    /// Records that the SPU's modules have seen in the place of the worker's
    pub prefiltered: u64,
    /// Times that it came back after an error
    pub recoveries: u64,
    /// Numbers of all incarnations
    pub summary: Option<Summary>,
    /// From an event's log time to its outputs being acknowledged, milliseconds, since the last report
    pub latency_ms: Histogram<u64>,
    /// Input records since the last report
    pub records: u64,
    /// Alerts, insights and forecasts since the last report, the newest of them
    pub recent: Recent,
    since: Instant,
}

impl PartitionStatus {
    /// Of a worker that starts.
    pub fn new(pipeline: &str, input: &str, partition: u32) -> PartitionStatus {
        PartitionStatus {
            pipeline: pipeline.into(),
            input: input.into(),
            partition,
            state: State::Starting,
            last_error: None,
            next: 0,
            end: 0,
            snapshot: None,
            misplaced: 0,
            spilled_bytes: 0,
            prefiltered: 0,
            recoveries: 0,
            summary: None,
            latency_ms: latencies(),
            records: 0,
            recent: Recent::default(),
            since: Instant::now(),
        }
    }

    /// Takes note of a step that ended at `now`, microseconds since the epoch; its latency, milliseconds.
    pub fn note(&mut self, progress: &Progress, now: i64) -> Option<u64> {
        self.records += progress.records;
        self.prefiltered += progress.prefiltered;
        self.recent.extend(&progress.recent);
        let newest = progress.newest_log_time_ms.filter(|ms| *ms >= 0);
        let latency_ms = newest.map(|newest| (now / 1000 - newest).clamp(0, MAX_LATENCY_MS as i64) as u64);
        if let Some(latency_ms) = latency_ms {
            self.latency_ms.saturating_record(latency_ms);
        }
        let labels = [("pipeline", self.pipeline.clone()), ("partition", self.partition.to_string())];
        metrics::counter!("perfstream_records_total", &labels).increment(progress.records);
        if let Some((reason, n)) = progress.skipped {
            let reason = [("pipeline", self.pipeline.clone()), ("reason", reason.name().to_string())];
            metrics::counter!("perfstream_skipped_records_total", &reason).increment(n);
        }
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
    pub fn report(&mut self, session: &str, now_us: i64) -> PartitionRecord {
        let labels = [("pipeline", self.pipeline.clone()), ("partition", self.partition.to_string())];
        metrics::gauge!("perfstream_lag_records", &labels).set(self.lag_records() as f64);
        metrics::gauge!("perfstream_spilled_bytes", &labels).set(self.spilled_bytes as f64);
        metrics::gauge!("perfstream_latency_p99_ms", &labels).set(self.latency_ms.value_at_quantile(0.99) as f64);
        let quantile = |q| self.latency_ms.value_at_quantile(q);
        let latency = Latency {
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            max_ms: self.latency_ms.max(),
        };
        let throughput = self.records as f64 / self.since.elapsed().as_secs_f64().max(1e-3);
        let record = PartitionRecord {
            kind: StatusKind::Statistics,
            timestamp: perfstream_core::time::format(now_us),
            session: session.into(),
            pipeline: self.pipeline.clone(),
            input: self.input.clone(),
            partition: self.partition,
            status: self.state,
            last_error: self.last_error.clone(),
            statistics: Statistics::new(self.summary.as_ref(), latency, throughput),
            offsets: Offsets { next: self.next, end: self.end, snapshot: self.snapshot },
            lag_records: self.lag_records(),
            misplaced: self.misplaced,
            prefiltered: self.prefiltered,
            spilled_bytes: self.spilled_bytes,
            recoveries: self.recoveries,
            run: self.summary.as_ref().map_or(Value::Null, Summary::json),
        };
        self.latency_ms.reset();
        (self.records, self.since) = (0, Instant::now());
        record
    }
}

fn latencies() -> Histogram<u64> {
    // Two digits: a latency of 100 ms is known to 1 ms. The bounds are constants that it takes.
    Histogram::new_with_bounds(1, MAX_LATENCY_MS, 2).unwrap_or_else(|_| unreachable!("constant bounds"))
}

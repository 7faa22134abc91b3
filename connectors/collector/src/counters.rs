//! What happened, for `GET /metrics`.
//!
//! A recorder of its own for each collector, not the process's: `metrics` allows only one of those.

use metrics::{counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Counters of one collector. Labels are of bounded lists: statuses, topics, reasons.
pub struct Counters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Default for Counters {
    fn default() -> Counters {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Counters { recorder, handle }
    }
}

impl Counters {
    /// A request was answered.
    pub fn request(&self, status: u16) {
        self.count("perfstream_collector_requests_total", "status", status.to_string(), 1);
    }

    /// Records are in the log.
    pub fn accepted(&self, topic: &str, records: u64) {
        self.count("perfstream_collector_records_total", "topic", topic.to_owned(), records);
    }

    /// An event could not be taken.
    pub fn bad(&self, reason: &'static str) {
        self.count("perfstream_collector_bad_events_total", "reason", reason.to_owned(), 1);
    }

    /// Events said nothing that a record could hold.
    pub fn skipped(&self, reason: &'static str, events: u64) {
        self.count("perfstream_collector_skipped_events_total", "reason", reason.to_owned(), events);
    }

    /// A connection was refused, as there were too many.
    pub fn refused_connection(&self) {
        with_local_recorder(&self.recorder, || counter!("perfstream_collector_refused_connections_total").increment(1));
    }

    /// The log took a batch, or did not.
    pub fn commit(&self, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.count("perfstream_collector_commits_total", "result", result.to_owned(), 1);
    }

    /// Connections that are open now.
    pub fn connections(&self, open: usize) {
        with_local_recorder(&self.recorder, || gauge!("perfstream_collector_connections").set(open as f64));
    }

    /// All of them as Prometheus text.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    fn count(&self, name: &'static str, label: &'static str, value: String, by: u64) {
        with_local_recorder(&self.recorder, || counter!(name, label => value).increment(by));
    }
}

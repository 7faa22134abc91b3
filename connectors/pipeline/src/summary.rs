//! What became of the input: the five counters, which must add up.

use crate::exact::SkipReason;
use perfstream_core::Kind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Counters of every stage of a chain, in order.
pub type StageCounters = Vec<(String, BTreeMap<String, u64>)>;

/// Every record that came in is in exactly one of the other five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    /// Records read
    pub input: u64,
    /// in a window or session, or passed to the end of the chain
    pub counted: u64,
    /// dropped by a rule
    pub filtered: u64,
    /// too late for every window
    pub late: u64,
    /// seen before
    pub duplicate: u64,
    /// dead letters
    pub dead: u64,
}

impl Balance {
    /// From the stages' counters, and the events that left the chain.
    pub fn new(stages: &StageCounters, events_out: u64) -> Balance {
        let sum = |name: &str| stages.iter().filter_map(|(_, c)| c.get(name)).sum::<u64>();
        // A stage that consumes events counts them; one that also passes them on does not end them.
        let consumed: u64 = stages
            .iter()
            .filter_map(|(_, c)| Some(c.get("counted")?.saturating_sub(c.get("passed").copied().unwrap_or(0))))
            .sum();
        Balance {
            input: stages.first().and_then(|(_, c)| c.get("decode_records")).copied().unwrap_or(0),
            counted: consumed + events_out,
            filtered: sum("filtered"),
            late: sum("late"),
            duplicate: sum("duplicate"),
            dead: sum("dead") + sum("decode_dead"),
        }
    }

    /// Do they add up?
    pub fn holds(&self) -> bool {
        self.input == self.counted + self.filtered + self.late + self.duplicate + self.dead
    }
}

/// The end of a run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Name of the pipeline
    pub pipeline: String,
    /// What became of the input
    pub balance: Balance,
    /// Records written by kind
    pub written: BTreeMap<Kind, u64>,
    /// Input records that no stage has seen, by why: each range has a `gap` record
    pub skipped: BTreeMap<SkipReason, u64>,
    /// Counters by stage
    pub stages: StageCounters,
    /// From the first record to the last
    pub elapsed: Duration,
}

impl Summary {
    /// Adds the numbers of another partition of the same pipeline.
    pub fn add(&mut self, other: &Summary) {
        for (kind, n) in &other.written {
            *self.written.entry(*kind).or_default() += n;
        }
        for (reason, n) in &other.skipped {
            *self.skipped.entry(*reason).or_default() += n;
        }
        for ((_, counters), (_, more)) in self.stages.iter_mut().zip(&other.stages) {
            for (name, n) in more {
                *counters.entry(name.clone()).or_default() += n;
            }
        }
        let (sum, more) = (&mut self.balance, &other.balance);
        sum.input += more.input;
        sum.counted += more.counted;
        sum.filtered += more.filtered;
        sum.late += more.late;
        sum.duplicate += more.duplicate;
        sum.dead += more.dead;
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// For people.
    pub fn text(&self) -> String {
        let b = &self.balance;
        let rate = b.input as f64 / self.elapsed.as_secs_f64().max(1e-9);
        let mut text = format!(
            "{}: in {} = counted {} + filtered {} + late {} + duplicate {} + dead {}{}\n",
            self.pipeline,
            b.input,
            b.counted,
            b.filtered,
            b.late,
            b.duplicate,
            b.dead,
            if b.holds() { "" } else { "   THIS DOES NOT ADD UP: please report it" },
        );
        let written: Vec<String> = self.written.iter().map(|(kind, n)| format!("{} {n}", kind.name())).collect();
        let written = if written.is_empty() { "nothing".to_string() } else { written.join(", ") };
        let seconds = self.elapsed.as_secs_f64();
        text.push_str(&format!("  written: {written}\n"));
        let skipped: Vec<String> = self.skipped.iter().map(|(reason, n)| format!("{n} ({})", reason.name())).collect();
        if !skipped.is_empty() {
            text.push_str(&format!("  not analysed: {}\n", skipped.join(", ")));
        }
        text.push_str(&format!("  {rate:.0} records/s ({seconds:.2} s)\n"));
        text
    }

    /// For machines.
    pub fn json(&self) -> serde_json::Value {
        let b = &self.balance;
        let written: BTreeMap<&str, u64> = self.written.iter().map(|(kind, n)| (kind.name(), *n)).collect();
        let skipped: BTreeMap<&str, u64> = self.skipped.iter().map(|(reason, n)| (reason.name(), *n)).collect();
        serde_json::json!({
            "pipeline": self.pipeline, "in": b.input, "counted": b.counted, "filtered": b.filtered, "late": b.late,
            "duplicate": b.duplicate, "dead": b.dead, "balanced": b.holds(), "written": written,
            "skipped": skipped,
            "elapsed_ms": self.elapsed.as_millis() as u64,
            "stages": self.stages.iter().map(|(n, c)| serde_json::json!({"stage": n, "counters": c})).collect::<Vec<_>>(),
        })
    }
}

//! The parts of a web vital, where events carry them: which part is to be mended.
//!
//! The attribution build of the library web-vitals tells the parts of each page view, and their sum is the metric. The
//! analyzer's own filters run over the events, then means by segment; means add up where percentiles do not. The part
//! to mend is the one that exceeds its share most: for LCP the shares of https://web.dev/articles/optimize-lcp (40 % time
//! to first byte, 10 % load delay, 40 % load duration, 10 % render delay); elsewhere no shares are published, and it is
//! the largest.

use super::look::{Look, labels, segment};
use super::scan::Bounds;
use crate::chain::{Chain, ChainOptions, ChainSpec, StageSpec};
use anyhow::Result;
use perfstream_core::{Kind, Row, Tick, json as rows};
use perfstream_log::LogRecord;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Window in which means are made; they are weighed by their events afterwards.
const WINDOW: &str = "5m";

/// A metric and its parts, with the share that each should have at most.
struct Metric {
    name: &'static str,
    parts: &'static [(&'static str, f64)],
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "lcp",
        parts: &[
            ("timeToFirstByte", 0.4),
            ("resourceLoadDelay", 0.1),
            ("resourceLoadDuration", 0.4),
            ("elementRenderDelay", 0.1),
        ],
    },
    Metric { name: "inp", parts: &[("inputDelay", 0.0), ("processingDuration", 0.0), ("presentationDelay", 0.0)] },
    Metric { name: "fcp", parts: &[("timeToFirstByte", 0.0), ("firstByteToFCP", 0.0)] },
    Metric {
        name: "ttfb",
        parts: &[
            ("waitingDuration", 0.0),
            ("cacheDuration", 0.0),
            ("dnsDuration", 0.0),
            ("connectionDuration", 0.0),
            ("requestDuration", 0.0),
        ],
    },
];

/// Sums of means times events, and events, by segment and part.
type Sums = BTreeMap<String, BTreeMap<&'static str, (f64, f64)>>;

/// Facts about the parts, by segment.
pub type PartFacts = BTreeMap<String, Vec<(String, Value)>>;

/// Collects the parts while an analysis runs.
pub struct Parts {
    spec: Option<ChainSpec>,
    metric: &'static Metric,
    chains: BTreeMap<u32, Chain>,
    sums: Sums,
}

impl Parts {
    /// Of an analyzer of one of the web vitals, by the names of its fields; others have none.
    pub fn new(chain: &ChainSpec, look: &Look) -> Option<Parts> {
        let has = |metric: &&Metric| {
            look.fields
                .iter()
                .any(|field| field.name.split('_').any(|word| word == metric.name) && field.source == "value")
        };
        let metric = METRICS.iter().find(has)?;
        let front = chain.stages.iter().take_while(|stage| !matches!(&*stage.stage, "aggregate" | "sessionize"));
        let mut functions = Map::new();
        for (part, _) in metric.parts {
            functions.insert(format!("mean_{part}"), json!({ "type": "mean", "field": part }));
            functions
                .insert(format!("count_{part}"), json!({ "type": "count", "where": format!("{part} IS NOT NULL") }));
        }
        let window = json!({ "name": "parts", "type": "tumbling", "size": WINDOW, "functions": functions });
        let config = json!({ "group_by": look.group_by, "windows": [window] });
        let aggregate = StageSpec { name: "parts".into(), stage: "aggregate".into(), config: config.to_string() };
        let stages = front.cloned().chain([aggregate]).collect();
        Some(Parts {
            spec: Some(ChainSpec { stages, ..chain.clone() }),
            metric,
            chains: BTreeMap::new(),
            sums: Sums::new(),
        })
    }

    /// Takes records of a partition; nothing is done until one of them names a part.
    pub fn take(
        &mut self,
        (look, bounds): (&Look, Bounds),
        records: &[LogRecord],
        options: &ChainOptions,
    ) -> Result<()> {
        let Some(spec) = &self.spec else { return Ok(()) };
        let partition = options.partition;
        if !self.chains.contains_key(&partition) {
            let names = |record: &LogRecord| {
                self.metric.parts.iter().any(|(part, _)| memchr::memmem::find(&record.value, part.as_bytes()).is_some())
            };
            if !records.iter().any(names) {
                return Ok(());
            }
            self.chains.insert(partition, Chain::new(spec, options)?);
        }
        let Some(chain) = self.chains.get_mut(&partition) else { return Ok(()) };
        let (sums, metric) = (&mut self.sums, self.metric);
        chain.process(records, &mut |row| add(sums, metric, (look, bounds), row))
    }

    /// Closes the windows; facts by segment: the mean of each part (`NAME`), its share of all (`NAME_share`), and the
    /// part to mend (`METRIC_part`).
    pub fn finish(mut self, look: &Look, bounds: Bounds) -> Result<PartFacts> {
        let end = Tick { time: 0, offset: -1, end_of_input: true };
        for chain in self.chains.values_mut() {
            let (sums, metric) = (&mut self.sums, self.metric);
            chain.tick(&end, &mut |row| add(sums, metric, (look, bounds), row))?;
        }
        let metric = self.metric;
        Ok(self.sums.into_iter().map(|(segment, parts)| (segment, facts(metric, &parts))).collect())
    }
}

fn add(sums: &mut Sums, metric: &'static Metric, (look, bounds): (&Look, Bounds), row: &Row<'_>) {
    if row.meta.kind != Kind::Window || !bounds.hold(row.meta.event_time) {
        return;
    }
    let mut text = Vec::new();
    rows::write_row(row, &mut text);
    let record: Value = serde_json::from_slice(&text).unwrap_or_default();
    let segment = segment(&look.group_by, &labels(&look.group_by, &record));
    for (part, _) in metric.parts {
        let (mean, count) = (&record[format!("mean_{part}")], &record[format!("count_{part}")]);
        if let Some((mean, count)) = mean.as_f64().zip(count.as_f64()) {
            let sum = sums.entry(segment.clone()).or_default().entry(part).or_default();
            *sum = (sum.0 + mean * count, sum.1 + count);
        }
    }
}

fn facts(metric: &Metric, sums: &BTreeMap<&'static str, (f64, f64)>) -> Vec<(String, Value)> {
    let mean = |part: &str| sums.get(part).filter(|(_, n)| *n > 0.0).map(|(sum, n)| sum / n);
    let total: f64 = metric.parts.iter().filter_map(|(part, _)| mean(part)).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let known = metric.parts.iter().filter_map(|(part, share)| Some((*part, *share, mean(part)?)));
    let mut facts = Vec::new();
    let mut worst: Option<(f64, &str)> = None;
    for (part, share, mean) in known {
        facts.push((part.to_string(), json!(mean)));
        facts.push((format!("{part}_share"), json!(mean / total)));
        let excess = mean / total - share;
        if worst.is_none_or(|(most, _)| excess > most) {
            worst = Some((excess, part));
        }
    }
    facts.extend(worst.map(|(_, part)| (format!("{}_part", metric.name), json!(part))));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_exceeds_its_share_is_the_one_to_mend() {
        let sums = [
            ("timeToFirstByte", (8000.0, 10.0)),
            ("resourceLoadDelay", (6000.0, 10.0)),
            ("resourceLoadDuration", (5000.0, 10.0)),
            ("elementRenderDelay", (1000.0, 10.0)),
        ];
        let facts: BTreeMap<String, Value> = facts(&METRICS[0], &sums.into()).into_iter().collect();
        // 40 % is what it may have; the load delay has 30 % instead of 10.
        assert_eq!(facts["timeToFirstByte_share"], 0.4);
        assert_eq!((&facts["resourceLoadDelay"], &facts["lcp_part"]), (&json!(600.0), &json!("resourceLoadDelay")));
        assert!(super::facts(&METRICS[0], &BTreeMap::new()).is_empty());
    }
}

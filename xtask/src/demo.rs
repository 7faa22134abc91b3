//! `cargo xtask demo`: recorded browser events through the shipped pipelines, and what came out.

use crate::build;
use crate::command::{root, show, target};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const PIPELINE: &str = "pipelines/web-vitals.yaml";
const RECORDING: &str = "tests/recording/events";
/// Lines that are mixed into the LCP events.
const BROKEN: &str = "tests/demo/broken-lcp.jsonl";

/// Builds, runs, and shows one screen of results.
pub fn run() -> Result<()> {
    let perfstream = build::all()?;
    let dir = target().join("demo");
    let out = dir.join("out");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    let inputs = inputs(&dir)?;
    println!("\nTwenty minutes of recorded browser events ({RECORDING}),");
    println!("broken ones among them ({BROKEN}), through {PIPELINE}:\n");
    let mut command = Command::new(&perfstream);
    command.args(["run", PIPELINE, "--out"]).arg(&out).current_dir(root());
    for (topic, file) in &inputs {
        command.args(["--input", &format!("{topic}={}", file.display())]);
    }
    if !command.status().context("perfstream could not be started")?.success() {
        bail!("`{}` failed", show(&command));
    }
    windows(&records(&out.join("web-vitals-windows.jsonl"))?);
    alerts(&records(&out.join("alerts.jsonl"))?);
    sessions(&records(&out.join("cls-sessions.jsonl"))?);
    refused(&records(&out.join("dead-letters.jsonl"))?, &records(&out.join("late-events.jsonl"))?);
    next_steps(&perfstream, &out);
    Ok(())
}

/// Topic and file of every input that the pipelines read.
fn inputs(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let text = std::fs::read_to_string(root().join(PIPELINE)).with_context(|| PIPELINE.to_string())?;
    let topic = |line: &'_ str| line.strip_prefix("  topic: ")?.split_whitespace().next().map(str::to_string);
    let read: Vec<String> = text.lines().filter_map(topic).collect();
    let mut inputs = Vec::new();
    for name in ["lcp", "cls", "fcp", "inp", "inp-events", "ttfb"] {
        let topic = format!("{name}-stream");
        let file = root().join(RECORDING).join(format!("{name}.jsonl"));
        if read.contains(&topic) {
            inputs.push((topic, if name == "lcp" { with_broken(&file, dir)? } else { file }));
        }
    }
    Ok(inputs)
}

/// The recording with the broken lines in its middle.
fn with_broken(file: &Path, dir: &Path) -> Result<PathBuf> {
    let events = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let broken = std::fs::read_to_string(root().join(BROKEN)).with_context(|| BROKEN.to_string())?;
    let half = events.lines().count() / 2;
    let lines = events.lines().take(half).chain(broken.lines()).chain(events.lines().skip(half));
    let mixed = dir.join("lcp.jsonl");
    std::fs::write(&mixed, lines.map(|line| format!("{line}\n")).collect::<String>())?;
    Ok(mixed)
}

/// A topic's records; a topic without records has no file.
fn records(file: &Path) -> Result<Vec<Value>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| file.display().to_string())).collect()
}

/// The slowest window of each page and browser.
fn windows(records: &[Value]) {
    let mut worst: BTreeMap<(String, String), &Value> = BTreeMap::new();
    for record in records.iter().filter(|r| r["window"] == "five_minutes" && r["p75_lcp"].is_number()) {
        let slot = worst.entry((text(&record["page"]), text(&record["browser"]))).or_insert(record);
        if record["p75_lcp"].as_f64() > slot["p75_lcp"].as_f64() {
            *slot = record;
        }
    }
    let mut rows: Vec<_> = worst.into_iter().collect();
    rows.sort_by(|a, b| number(&b.1["p75_lcp"]).total_cmp(&number(&a.1["p75_lcp"])));
    let rows = rows.iter().take(5).map(|((page, browser), record)| {
        let alert = match &record["alert"]["rule"] {
            Value::String(rule) => format!("{rule}, {}", text(&record["alert"]["state"])),
            _ => String::new(),
        };
        let slope = rounded(&record["trend_slope"], 0);
        vec![page.clone(), browser.clone(), clock(&record["timestamp"]), rounded(&record["p75_lcp"], 0), slope, alert]
    });
    println!("\nSlowest pages: LCP over 5 minutes, the worst window of each page and browser");
    print!("{}", table(&["page", "browser", "window end", ">p75 ms", ">slope ms/min", "alert"], rows));
}

/// For each rule the worst alert: as it began, and how it stands at the end.
fn alerts(records: &[Value]) {
    let mut all: BTreeMap<String, (&Value, &Value)> = BTreeMap::new();
    for record in records {
        // An alert that comes back has its id again, and another start.
        let key = format!("{} {}", text(&record["alert_id"]), text(&record["started_at"]));
        let (first, last) = all.entry(key).or_insert((record, record));
        if record["transition"] == "firing" {
            *first = record;
        }
        *last = record;
    }
    let mut rules: BTreeMap<String, Vec<(&Value, &Value)>> = BTreeMap::new();
    for (first, last) in all.values() {
        rules.entry(text(&last["rule"])).or_default().push((first, last));
    }
    let mut rows = Vec::new();
    for (rule, mut alerts) in rules {
        alerts.sort_by_key(|(first, last)| {
            (last["severity"] != "critical", last["ended_at"].is_string(), text(&first["started_at"]))
        });
        let Some((first, last)) = alerts.first() else { continue };
        let state = format!("{} {}", clock(&first["started_at"]), text(&last["state"]));
        let severity = text(&last["severity"]);
        let count = alerts.len().to_string();
        rows.push(vec![severity, rule, count, labels(&first["labels"]), state, values(&first["values"])]);
    }
    rows.sort();
    println!("\nAlerts: {} (in {} records); of each rule the most severe", all.len(), records.len());
    print!("{}", table(&["severity", "rule", ">alerts", "for", "since, now", "values at the start"], rows));
}

/// CLS sessions by stability, and the worst.
fn sessions(records: &[Value]) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for record in records {
        *counts.entry(text(&record["stability"])).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}")).collect();
    println!("\nLayout stability: {} sessions: {}", records.len(), counts.join(", "));
    let mut worst: Vec<&Value> = records.iter().collect();
    worst.sort_by(|a, b| number(&b["cumulativeShift"]).total_cmp(&number(&a["cumulativeShift"])));
    let rows = worst.iter().take(3).map(|r| {
        let sources = r["shiftSources"].as_array().into_iter().flatten().take(3).map(text).collect::<Vec<_>>();
        vec![text(&r["sessionId"]), text(&r["page"]), rounded(&r["cumulativeShift"], 3), sources.join(" ")]
    });
    print!("{}", table(&["session", "page", ">CLS", "what shifted"], rows));
}

/// What was refused, by reason.
fn refused(dead: &[Value], late: &[Value]) {
    let mut reasons: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for record in dead {
        reasons.entry(text(&record["reason"])).or_default().push(record);
    }
    let rows = reasons.iter().map(|(reason, records)| {
        let detail = records.first().map(|r| text(&r["detail"])).unwrap_or_default();
        vec![reason.clone(), records.len().to_string(), detail]
    });
    println!("\nDead letters: {} (and {} too late); nothing else was lost", dead.len(), late.len());
    print!("{}", table(&["reason", ">records", "the first says"], rows));
}

fn next_steps(perfstream: &Path, out: &Path) {
    let short = |path: &Path| path.strip_prefix(root()).unwrap_or(path).display().to_string();
    println!("\nAll records are in {}. To go on:", short(out));
    for (arguments, what) in [
        (format!("explain {PIPELINE} --only lcp"), "what the chain does, every parameter"),
        (format!("test {PIPELINE}"), "its own tests, through the same modules"),
        (format!("run {PIPELINE} --only lcp --input YOUR.jsonl"), "your own events"),
        ("generate --help".to_string(), "synthetic events with labelled faults"),
    ] {
        println!("  {} {arguments:<60} {what}", short(perfstream));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NEG_INFINITY)
}

fn rounded(value: &Value, digits: usize) -> String {
    value.as_f64().map_or_else(|| "-".into(), |n| format!("{n:.digits$}"))
}

/// `09:12:30` of an RFC 3339 time.
fn clock(value: &Value) -> String {
    let text = text(value);
    text.get(11..19).map_or(text.clone(), str::to_string)
}

/// `p75_lcp 6200` for what is known.
fn values(values: &Value) -> String {
    let known = values.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null());
    let shown = known.map(|(name, v)| match v.as_f64() {
        Some(n) if n.abs() >= 10.0 => format!("{name} {n:.0}"),
        Some(n) => format!("{name} {n:.3}"),
        None => format!("{name} {}", text(v)),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Page first: that is what one looks for.
fn labels(labels: &Value) -> String {
    let mut named: Vec<(&String, String)> =
        labels.as_object().into_iter().flatten().map(|(k, v)| (k, text(v))).collect();
    named.sort_by_key(|(name, _)| *name != "page");
    named.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
}

/// Columns as wide as they need; `>` before a title aligns it to the right.
fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let head = titles.iter().map(|t| t.trim_start_matches('>').to_string()).collect();
    let mut lines: Vec<Vec<String>> = vec![head];
    lines.extend(rows);
    if lines.len() == 1 {
        return "  none\n".into();
    }
    let width = |n: usize| lines.iter().filter_map(|l| l.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(titles).zip(&widths).map(|((cell, title), width)| match title.starts_with('>') {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        out.push_str(&format!("  {}\n", cells.collect::<Vec<_>>().join("   ").trim_end()));
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_string(), "10".into()], vec!["long".into(), "2".into()]];
        let text = super::table(&["name", ">n"], rows);
        assert_eq!(text, "  name    n\n  a      10\n  long    2\n");
        assert_eq!(super::table(&["name"], []), "  none\n");
    }
}

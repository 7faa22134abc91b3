//! Streams: generated events as log records, with what real streams also have mixed in.

use crate::random::Random;
use crate::run::Step;
use perfstream::generate::{GenerateOptions, Metric, generate};
use perfstream::host::{LogRecord, NO_LOG_TIME};
use perfstream_core::Value;
use perfstream_core::time::TimeParser;

/// Lines of the generator, `events` of them or a few more.
///
/// # Panics
/// If the options are not possible.
pub fn generated(metric: Metric, seed: u64, events: u64, faults: &[&str]) -> Vec<Vec<u8>> {
    let options = GenerateOptions {
        metric,
        seed,
        events: Some(events),
        rate_per_hour: 6000.0,
        faults: faults.iter().map(|f| f.parse().unwrap_or_else(|e| panic!("{f}: {e:?}"))).collect(),
        ..GenerateOptions::default()
    };
    let mut bytes = Vec::new();
    match generate(&options, &mut bytes) {
        Ok(Ok(_)) => {}
        Ok(Err(issues)) => panic!("{issues:?}"),
        Err(error) => panic!("{error}"),
    }
    bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Puts bad records between the lines, one for about `every`.
pub fn with_poison(lines: Vec<Vec<u8>>, poison: &[Vec<u8>], every: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let mut mixed = Vec::new();
    for line in lines {
        if !poison.is_empty() && random.one_in(every) {
            mixed.push(poison[random.below(poison.len())].clone());
        }
        mixed.push(line);
    }
    mixed
}

/// Lines of a file: no log times, and the end closes everything.
pub fn file(lines: &[Vec<u8>]) -> Vec<Step> {
    let records = lines.iter().enumerate().map(|(n, line)| {
        Step::Record(LogRecord { offset: n as i64, log_time_ms: NO_LOG_TIME, key: None, value: line.clone() })
    });
    records.chain([Step::End]).collect()
}

/// Lines of a live log: log times two seconds behind the newest event time, a key for every third
/// record, and a tick for every `tick_every` records; the stream then falls silent and only ticks
/// come, for an hour.
pub fn live(lines: &[Vec<u8>], tick_every: usize, seed: u64) -> Vec<Step> {
    let (mut random, mut times) = (Random::new(seed), TimeParser::default());
    let (mut newest, mut steps) = (0, Vec::new());
    for (n, line) in lines.iter().enumerate() {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        if let Some(time) = value["timestamp"].as_str().and_then(|t| times.parse(Value::Str(t))) {
            newest = newest.max(time);
        }
        let now = newest + 2_000_000;
        if random.one_in(tick_every) {
            steps.push(Step::Tick(now));
        }
        let key = (n % 3 == 0).then(|| format!("k{}", n % 7).into_bytes());
        steps.push(Step::Record(LogRecord {
            offset: 1000 + n as i64,
            log_time_ms: now / 1000,
            key,
            value: line.clone(),
        }));
    }
    steps.extend((1..=60).map(|minute| Step::Tick(newest + minute * 60_000_000)));
    steps
}

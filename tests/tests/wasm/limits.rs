//! Memory stays where it is: of a long stream, of many groups, and of snapshots of it.

use fluvio_smartengine::SmartEngine;
use perfstream::chain::{Chain, ChainOptions, ChainSpec};
use perfstream::host::engine::EngineHost;
use perfstream::host::{Hosted, LogRecord, NO_LOG_TIME};
use perfstream::summary::Balance;
use perfstream_core::{Kind, Tick, time};
use perfstream_tests::run::Line;
use perfstream_tests::{module, naive, plan, wasm};
use serde_json::Value;
use std::collections::BTreeMap;

const START: i64 = 1_767_600_000_000_000;

struct Stream {
    chain: Chain,
    next: i64,
    events_out: u64,
    rows: BTreeMap<Kind, u64>,
}

impl Stream {
    fn new(spec: &ChainSpec, options: &ChainOptions) -> Stream {
        Stream { chain: Chain::new(spec, options).expect("a chain"), next: 0, events_out: 0, rows: BTreeMap::new() }
    }

    /// Feeds `count` records made by `line`, in batches of 1000.
    fn feed(&mut self, count: i64, line: &dyn Fn(i64) -> String, look: &mut dyn FnMut(Line)) {
        let end = self.next + count;
        while self.next < end {
            let offsets = self.next..(self.next + 1000).min(end);
            self.next = offsets.end;
            let records: Vec<LogRecord> = offsets
                .map(|offset| LogRecord {
                    offset,
                    log_time_ms: NO_LOG_TIME,
                    key: None,
                    value: line(offset).into_bytes(),
                })
                .collect();
            let rows = &mut self.rows;
            let mut emit = |row: &perfstream_core::Row<'_>| {
                *rows.entry(row.meta.kind).or_default() += 1;
                look(Line::of(row));
            };
            self.chain.process(&records, &mut emit).expect("no trap");
        }
    }

    fn end(&mut self, look: &mut dyn FnMut(Line)) {
        let tick = Tick { time: 0, offset: self.next - 1, end_of_input: true };
        self.chain.tick(&tick, &mut |row| look(Line::of(row))).expect("no trap");
    }

    /// Bytes of linear memory of each stage.
    fn memory(&mut self) -> Vec<(String, u64)> {
        let counters = self.chain.counters().expect("counters");
        counters.into_iter().map(|(name, c)| (name, c["memory_bytes"])).collect()
    }

    fn balance(&mut self) -> Balance {
        self.events_out = self.rows.get(&Kind::Event).copied().unwrap_or(0);
        Balance::new(&self.chain.counters().expect("counters"), self.events_out)
    }
}

/// An event of a steady stream, 20 of them each second: some late, doubled, filtered or broken.
/// LCP in milliseconds, or layout shifts.
fn event(n: i64, lcp: bool) -> String {
    let at = match n % 97 {
        13 => START + n * 50_000 - 600_000_000, // ten minutes late
        _ => START + n * 50_000,
    };
    let id = if n % 89 == 7 { n - 1 } else { n };
    let page = if n % 83 == 5 { "/health".into() } else { format!("/p{}", n * 7 % 20) };
    let (time, value) = (time::format(at.max(START)), 500 + n * 7919 % 4000);
    let value = if lcp { format!("{value}.25") } else { format!("0.0{value}") };
    if n % 101 == 3 {
        return format!("{{\"timestamp\":\"{time}\",\"value\":");
    }
    let device = ["mobile", "desktop"][n as usize % 2];
    format!(
        "{{\"timestamp\":\"{time}\",\"id\":\"i{id}\",\"value\":{value},\"page\":\"{page}\",\"browser\":\"chrome\",\"device\":\"{device}\",\"connection\":\"4g\",\"sessionId\":\"s{}\"}}",
        n / 50
    )
}

/// 400,000 records: the first 300,000 may still touch a page or a few, the last 100,000 touch none.
fn stays_flat(path: &str) -> BTreeMap<Kind, u64> {
    let mut stream = Stream::new(&plan(path).spec, &wasm());
    let event = |n| event(n, path.contains("lcp"));
    stream.feed(100_000, &event, &mut drop);
    let first = stream.memory();
    stream.feed(200_000, &event, &mut drop);
    let warm = stream.memory();
    stream.feed(100_000, &event, &mut drop);
    assert_eq!(stream.memory(), warm, "{path}");
    assert!(first.iter().zip(&warm).all(|(a, b)| b.1 <= a.1 + (1 << 20)), "{path}: {first:?} to {warm:?}");
    assert!(warm.iter().all(|(_, bytes)| *bytes < 16 << 20), "{path}: {warm:?}");
    stream.end(&mut drop);
    let balance = stream.balance();
    assert!(balance.holds() && balance.input == 400_000, "{path}: {balance:?}");
    assert!(balance.dead > 1000 && balance.filtered > 1000 && balance.duplicate > 1000, "{path}: {balance:?}");
    stream.rows
}

#[test]
fn windows_leak_nothing() {
    let rows = stays_flat("cases/chains/lcp.yaml");
    assert!(rows[&Kind::Window] > 10_000 && rows[&Kind::Late] > 1000, "{rows:?}");
}

#[test]
fn sessions_leak_nothing() {
    let rows = stays_flat("cases/chains/cls.yaml");
    assert!(rows[&Kind::Session] > 3000, "{rows:?}");
}

#[test]
fn snapshots_leak_nothing() {
    let mut stream = Stream::new(&plan("cases/chains/cls.yaml").spec, &wasm());
    stream.feed(20_000, &|n| event(n, false), &mut drop);
    let mut warm = Vec::new();
    for n in 0..60 {
        let state = stream.chain.snapshot().expect("a snapshot");
        assert!(state.iter().all(|s| !s.is_empty()));
        if n == 20 {
            warm = stream.memory();
        }
    }
    assert_eq!(stream.memory(), warm);
}

/// A bomb of distinct groups: beyond the cap they share one bucket, one alert says so, memory stays,
/// and the groups that were there before are counted right.
#[test]
fn groups_are_capped() {
    let mut plan = plan("bench/lcp.yaml");
    let stage = plan.spec.stages.last_mut().expect("a stage");
    stage.config = stage.config.replacen('{', "{\"max_groups\":5000,", 1);
    let bomb = |n: i64| {
        let at = time::format(START + n * 10_000);
        let page = if n % 10 == 0 { "/old".into() } else { format!("/{n}") };
        format!("{{\"timestamp\":\"{at}\",\"value\":{},\"page\":\"{page}\",\"browser\":\"b\"}}", 1000 + n % 7)
    };
    let mut stream = Stream::new(&plan.spec, &wasm());
    let (mut old, mut other, mut alerts, mut total) = (0, 0, 0, 0);
    let mut look = |line: Line| match line.kind {
        Kind::Alert => alerts += 1,
        Kind::Window => {
            let row: Value = line.value();
            // One of ten slides that hold an event: the windows aligned to five minutes are disjoint.
            let end = row["window_end"].as_i64().expect("an end");
            if end % 300_000 == 0 {
                let count = row["count"].as_u64().expect("a count");
                total += count;
                match row["page"].as_str() {
                    Some("/old") => old += count,
                    Some("__other__") => other += count,
                    _ => {}
                }
            }
        }
        _ => {}
    };
    stream.feed(60_000, &bomb, &mut look);
    let warm = stream.memory();
    stream.feed(60_000, &bomb, &mut look);
    let memory = stream.memory();
    stream.end(&mut look);
    assert!(memory[1].1 <= warm[1].1 + (1 << 20), "{warm:?} to {memory:?}");
    assert_eq!(old, 12_000, "the group that was there before");
    assert_eq!(total, 120_000, "every event once");
    assert!(other > 90_000, "{other} events of further groups");
    assert_eq!(alerts, 1, "one alert about the cap");
    assert!(stream.balance().holds(), "{:?}", stream.balance());
}

/// A stage that may have less memory than it needs ends with an error, not with a wrong answer.
#[test]
fn a_memory_cap_is_an_error() {
    let spec = plan("bench/lcp.yaml").spec;
    let options = ChainOptions { memory_limit_bytes: 4 << 20, ..wasm() };
    let Ok(mut chain) = Chain::new(&spec, &options) else {
        return;
    };
    let line = |n: i64| {
        format!("{{\"timestamp\":\"{}\",\"value\":7,\"page\":\"/{n}\",\"browser\":\"b\"}}", time::format(START + n))
    };
    let records = |from: i64| {
        (from..from + 1000).map(|n| LogRecord {
            offset: n,
            log_time_ms: NO_LOG_TIME,
            key: None,
            value: line(n).into_bytes(),
        })
    };
    let failed = (0..100).find_map(|n| chain.process(&records(n * 1000).collect::<Vec<_>>(), &mut |_| {}).err());
    let error = format!("{:#}", failed.expect("100,000 groups do not fit 4 MiB"));
    assert!(error.contains("aggregate"), "{error}");
}

/// Gigabytes of output through one instance in Fluvio's own engine, with the memory an SPU gives: what
/// came out before it died, and the error.
fn gigabytes(wasm: &[u8], wanted_bytes: usize) -> (usize, Option<String>) {
    let host = EngineHost::new(&SmartEngine::new(), "filter", wasm, &[], 1 << 30).expect("a stage");
    let mut stage = Hosted::new("filter", Box::new(host));
    let pad = "x".repeat(200_000);
    let record = |n: i64| LogRecord {
        offset: n,
        log_time_ms: 1,
        key: None,
        value: format!("{{\"n\":{n},\"pad\":\"{pad}\"}}").into_bytes(),
    };
    let (mut out_bytes, mut next) = (0, 0);
    while out_bytes < wanted_bytes {
        let records: Vec<LogRecord> = (next..next + 20).map(record).collect();
        next += 20;
        match stage.records(&records) {
            Ok(reply) => out_bytes += reply.records.len(),
            Err(error) => return (out_bytes, Some(format!("{error:#}"))),
        }
    }
    (out_bytes, None)
}

/// The hazard H9: what Fluvio's macro makes of a filter keeps all that it ever put out.
#[test]
fn h9_more_than_a_gigabyte_through_one_instance() {
    let (naive_bytes, error) = gigabytes(&naive(), 1_300_000_000);
    assert!(error.is_some(), "Fluvio's macro no longer leaks: {naive_bytes} bytes came out");
    println!("by the macro {naive_bytes} bytes came out, then: {}", error.unwrap_or_default());
    let (our_bytes, error) = gigabytes(&module("filter"), 1_300_000_000);
    assert_eq!(error, None, "after {our_bytes} bytes");
}

//! Equal seeds give equal bytes; visits follow the curves; options are checked.

mod faults;

use std::collections::HashSet;

use clap::Parser;
use perfstream_core::Span;
use perfstream_core::time::TimeParser;
use serde_json::Value;

use super::*;

const MINUTE: i64 = 60_000_000;

fn options(metric: Metric, seed: u64, faults: &[&str]) -> GenerateOptions {
    GenerateOptions {
        metric,
        seed,
        rate_per_hour: 30_000.0,
        faults: faults.iter().map(|f| f.parse().unwrap()).collect(),
        ..GenerateOptions::default()
    }
}

fn bytes(options: &GenerateOptions) -> (Vec<u8>, Vec<Label>) {
    let mut out = Vec::new();
    let summary = generate(options, &mut out).unwrap().unwrap();
    assert_eq!(summary.events as usize, out.iter().filter(|b| **b == b'\n').count());
    (out, summary.labels)
}

struct Event {
    us: i64,
    value: f64,
    row: Value,
}

impl Event {
    fn text(&self, field: &str) -> &str {
        self.row[field].as_str().unwrap()
    }
}

/// The events in arrival order, `us` from the start of the stream.
fn events(options: &GenerateOptions) -> (Vec<Event>, Vec<Label>) {
    let (out, labels) = bytes(options);
    let mut times = TimeParser::default();
    let parse = |line: &[u8]| {
        let row: Value = serde_json::from_slice(line).unwrap();
        let us = times.parse_text(row["timestamp"].as_str().unwrap()).unwrap() - options.start;
        Event { us, value: row["value"].as_f64().unwrap(), row }
    };
    let lines = out.split(|b| *b == b'\n').filter(|l| !l.is_empty());
    (lines.map(parse).collect(), labels)
}

fn quantile(values: impl Iterator<Item = f64>, q: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    assert!(values.len() > 50, "only {} values", values.len());
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q) as usize]
}

/// Quantile `q` of the values in minutes `from..to`.
fn at(events: &[Event], from: i64, to: i64, q: f64) -> f64 {
    quantile(events.iter().filter(|e| (from * MINUTE..to * MINUTE).contains(&e.us)).map(|e| e.value), q)
}

fn near(found: f64, expected: f64, tolerance: f64, what: &str) {
    let off = (found / expected - 1.0).abs();
    assert!(off <= tolerance, "{what}: expected {expected} ± {}, found {found}", expected * tolerance);
}

#[test]
fn same_seed_same_bytes() {
    let all = [
        "step@1m+2m",
        "ramp@4m+2m",
        "spike@8m+2m",
        "level-drop@12m+2m",
        "tail-only@16m+2m",
        "one-segment@20m+2m",
        "traffic-mix@24m+2m",
        "missing-data@28m+2m:0.5",
        "late-and-duplicated@32m+2m",
        "clock-skew@36m+2m",
    ];
    for metric in [Metric::Lcp, Metric::Fcp, Metric::Ttfb, Metric::Inp, Metric::Fid, Metric::Cls] {
        let mut one = options(metric, 1, &all);
        one.rate_per_hour = 3000.0;
        let first = bytes(&one);
        assert_eq!(first, bytes(&one), "{metric:?}");
        one.seed = 2;
        assert_ne!(first.0, bytes(&one).0, "{metric:?}");
    }
}

#[test]
fn the_bytes_are_those_of_every_machine() {
    // Written down once; another machine, or a new version of a dependency, must give the same.
    for (metric, expected) in
        [(Metric::Lcp, "a70ebb30c1d77f009865a0deb2892b3f"), (Metric::Cls, "9699c88c532b1b60fe305e0c50d0afb4")]
    {
        let out = bytes(&options(metric, 7, &["ramp@10m+20m:1.7", "spike@40m+5m"])).0;
        assert_eq!(perfstream_core::id::id(&[&out]), expected, "{metric:?}");
    }
}

#[test]
fn arrivals_follow_the_day_and_the_rate() {
    let mut spec = options(Metric::Fid, 91, &[]);
    spec.duration = Span::parse("7d").unwrap();
    spec.start -= 8 * 3_600_000_000;
    spec.rate_per_hour = 150.0;
    let events = events(&spec).0;
    near(events.len() as f64, 150.0 * 168.0, 0.02, "a week");
    let hour = |h: i64| events.iter().filter(|e| e.us / 3_600_000_000 % 24 == h).count() as f64;
    near(hour(20) / hour(3), (1.75 + 1.45) / (0.28 + 0.30), 0.15, "evening to night");
    let day = |d: i64| events.iter().filter(|e| e.us / 86_400_000_000 == d).count() as f64;
    near(day(5) / day(0), 0.83 / 1.08, 0.05, "Saturday to Monday");
}

#[test]
fn every_event_is_complete_and_in_order() {
    for metric in [Metric::Lcp, Metric::Inp, Metric::Cls] {
        let (events, _) = events(&options(metric, 101, &[]));
        let mut latest = 0;
        for e in &events {
            for field in ["timestamp", "id", "page", "browser", "device", "connection", "sessionId"] {
                assert!(!e.text(field).is_empty(), "{field}");
            }
            assert!(e.value > 0.0);
            assert!(latest - e.us <= 20_000_000);
            latest = latest.max(e.us);
        }
        let ids: HashSet<&str> = events.iter().map(|e| e.text("id")).collect();
        assert_eq!(ids.len(), events.len());
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: GenerateArgs,
}

#[test]
fn command_line() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|c| c.args.options());
    let options = parse("x --metric cls --duration 2h --rate 50 --seed 9 --start 2026-03-01T00:00:00Z --fault spike@20m+10m --fault one-segment@1m+1m:2.5:page=/a:b,device=mobile").unwrap();
    assert_eq!((options.metric, options.seed, options.duration), (Metric::Cls, 9, Span::minutes(120)));
    let fault = &options.faults[1];
    assert_eq!((fault.magnitude, fault.start, fault.duration), (2.5, Span::minutes(1), Span::minutes(1)));
    assert_eq!(fault.segment, [("page".into(), "/a:b".into()), ("device".into(), "mobile".into())]);
    assert_eq!(options.faults[0].magnitude, 4.0);
    let segment_only: FaultSpec = "traffic-mix@1s+1s:page=/x:y".parse().unwrap();
    assert_eq!((segment_only.magnitude, segment_only.segment[0].1.as_str()), (6.0, "/x:y"));
    for (bad, said) in [
        ("step", "expected KIND@START"),
        ("stepp@1m+1m", "expected one of step, ramp"),
        ("step@1m", "expected START+DURATION"),
        ("step@1m+x", "expected a duration"),
        ("step@1m+1m:fast", "expected a number as magnitude"),
        ("step@1m+1m:2:mobile", "expected DIMENSION=VALUE"),
    ] {
        let error = bad.parse::<FaultSpec>().unwrap_err();
        assert!(error.contains(said), "{bad}: {error}");
    }
    assert!(parse("x --events 5").unwrap().duration > Span::minutes(100_000));
}

#[test]
fn events_stop_the_stream() {
    let mut spec = options(Metric::Lcp, 1, &[]);
    (spec.events, spec.duration) = (Some(1234), Span::parse("10d").unwrap());
    assert_eq!(events(&spec).0.len(), 1234);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let mut spec = options(
        Metric::Lcp,
        1,
        &[
            "cls-burst@1m+1m",
            "step@2h+1m",
            "missing-data@1m+0s:7",
            "step@1m+1m:nan",
            "step@1m+1m:2:page=/no,planet=mars",
        ],
    );
    (spec.rate_per_hour, spec.pages, spec.start) = (f64::NAN, 0, -1);
    let issues = generate(&spec, &mut Vec::new()).unwrap().unwrap_err();
    let text: Vec<String> = issues.iter().map(|i| i.to_string()).collect();
    for said in [
        "rate: expected 0.001 to 1e9",
        "pages: expected 1 to 100000",
        "start: expected a time",
        "fault[0]: cls-burst: expected metric cls, found lcp",
        "fault[1]: starts at 2h",
        "fault[2]: missing-data: expected a share",
        "fault[2]: missing-data: expected a duration",
        "fault[3]: step: expected a factor",
        "fault[4]: step: expected a page out of /",
        "fault[4]: step: expected one of page, browser, device, connection, found `planet`",
    ] {
        assert!(text.iter().any(|line| line.starts_with(said)), "{said} not in {text:#?}");
    }
    assert_eq!(issues.len(), 10);
}

//! The same bytes out, however records were cut into batches, in whatever form they travel between
//! stages, wherever the chain was stopped and restored, and in either host of the modules; native
//! code agrees in everything but floats, and in those to 1e-9.

use perfstream::chain::{Chain, ChainOptions, Placement};
use perfstream::generate::Metric;
use perfstream::host::Lines;
use perfstream::plan::Plan;
use perfstream_core::stage::Control;
use perfstream_core::{Kind, Tick};
use perfstream_tests::poison::cases;
use perfstream_tests::random::Random;
use perfstream_tests::run::{Line, Ran, Schedule, Step, counters, run};
use perfstream_tests::{feed, plan, wasm};
use serde_json::Value;

/// Bad records of a size that streams have.
fn poison() -> Vec<Vec<u8>> {
    let fields = [("timestamp".to_string(), "\"2026-01-05T08:00:00Z\"".to_string())];
    let records = cases("cases/poison").into_iter().map(|c| c.record(&fields));
    records.filter(|r| r.len() < 2000).collect()
}

/// Generated events with late, duplicate and bad ones among them.
fn lines(metric: Metric, seed: u64, events: u64) -> Vec<Vec<u8>> {
    let faults = ["late-and-duplicated@0s+20m:0.1", "step@3m+10m:2.5"];
    let mut lines = feed::generated(metric, seed, events, &faults);
    // Every fortieth comes again under another id, as if it had happened an hour before.
    for n in (40..lines.len()).step_by(40).rev() {
        let text = String::from_utf8_lossy(&lines[n]).into_owned();
        let late = text.replacen("-05T08:", "-05T07:", 1).replacen("\"id\":\"", "\"id\":\"late-", 1);
        lines.insert(n, late.into_bytes());
    }
    feed::with_poison(lines, &poison(), 30, seed)
}

/// As [`lines`], with microseconds in the time stamps.
fn fine_lines(metric: Metric, seed: u64, events: u64) -> Vec<Vec<u8>> {
    let fine = |(n, line): (usize, Vec<u8>)| match String::from_utf8(line) {
        Ok(text) => {
            text.replacen("Z\"", &format!("{:03}Z\"", n * 7 % 1000), 1).replacen(":00000Z", ":00.000Z", 1).into_bytes()
        }
        Err(other) => other.into_bytes(),
    };
    lines(metric, seed, events).into_iter().enumerate().map(fine).collect()
}

/// The first place where two runs differ.
fn difference(found: &Ran, expected: &Ran) -> Option<String> {
    let pairs = found.lines.iter().zip(&expected.lines);
    if let Some((n, (a, b))) = pairs.enumerate().find(|(_, (a, b))| a != b) {
        return Some(format!("row {n}: {a:#?}\ninstead of {b:#?}"));
    }
    if found.lines.len() != expected.lines.len() {
        let longer = if found.lines.len() > expected.lines.len() { found } else { expected };
        let next = &longer.lines[found.lines.len().min(expected.lines.len())];
        return Some(format!("{} rows instead of {}; the next is {next:#?}", found.lines.len(), expected.lines.len()));
    }
    for (a, b) in found.counters.iter().zip(&expected.counters) {
        if a != b {
            return Some(format!("counters {a:?}\ninstead of {b:?}"));
        }
    }
    (found != expected).then(|| format!("{:?} instead of {:?}", found.balance, expected.balance))
}

/// A way to cut a stream: batches of about `length`, stopped at some records and around some ticks.
fn schedule(random: &mut Random, steps: &[Step], length: usize, stops: usize) -> Schedule {
    let mut schedule = Schedule::default();
    schedule.cuts.extend((1..steps.len()).filter(|_| random.one_in(length)));
    schedule.restarts.extend((0..stops).map(|_| 1 + random.below(steps.len() - 1)));
    let ticks: Vec<usize> = (0..steps.len()).filter(|at| !matches!(steps[*at], Step::Record(_))).collect();
    if stops > 0 && !ticks.is_empty() {
        // Right before a tick, and right behind one.
        schedule.restarts.insert(ticks[random.below(ticks.len())]);
        schedule.restarts.insert((ticks[random.below(ticks.len())] + 1).min(steps.len() - 1));
    }
    schedule
}

/// Holds 20 ways of running a stream to the bytes of the plainest one; returns that.
fn check(plan: &Plan, steps: &[Step], seed: u64) -> Ran {
    let expected = run(&plan.spec, &wasm(), steps, &Schedule::default()).expect("no trap");
    assert!(expected.balance.holds(), "{:?}", expected.balance);
    let mut random = Random::new(seed);
    for way in 0..20 {
        let length = [1, 2, 7, 50, 400, steps.len()][way % 6];
        let stops = [0, 1, 3][way % 3];
        let options = ChainOptions { packed: way % 4 < 2, ..wasm() };
        let schedule = schedule(&mut random, steps, length, stops);
        let found = run(&plan.spec, &options, steps, &schedule).expect("no trap");
        if let Some(what) = difference(&found, &expected) {
            let packed = options.packed;
            panic!(
                "{}: way {way}, seed {seed}: packed {packed}, batches of about {length}, restarts at {:?}:\n{what}",
                plan.spec.pipeline, schedule.restarts
            );
        }
    }
    let native = ChainOptions { placement: Placement::Native, ..wasm() };
    let native = run(&plan.spec, &native, steps, &schedule(&mut random, steps, 20, 3)).expect("native");
    agree(&native, &expected);
    expected
}

/// Exact but for floats.
fn agree(native: &Ran, wasm: &Ran) {
    assert_eq!(native.counters, wasm.counters, "native counters");
    assert_eq!(native.lines.len(), wasm.lines.len(), "native rows");
    for (a, b) in native.lines.iter().zip(&wasm.lines) {
        let plain = |l: &Line| Line { json: String::new(), ..l.clone() };
        let same = plain(a) == plain(b) && (a.json == b.json || close(&a.value(), &b.value()));
        assert!(same, "native {a:#?}\nWASM {b:#?}");
    }
}

fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap_or_default(), y.as_f64().unwrap_or_default());
            (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| close(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|((k, x), (l, y))| k == l && close(x, y))
        }
        _ => a == b,
    }
}

/// The stream was about something: every part of the balance, and these kinds of rows.
fn covers(ran: &Ran, kinds: &[Kind]) {
    let b = &ran.balance;
    for (what, n) in [("counted", b.counted), ("duplicate", b.duplicate), ("dead", b.dead)] {
        assert!(n > 0, "nothing {what}: {b:?}");
    }
    for kind in kinds {
        assert!(ran.count(*kind) > 3, "{} rows of kind {}", ran.count(*kind), kind.name());
    }
}

#[test]
fn windows_of_a_file() {
    let plan = plan("cases/chains/lcp.yaml");
    let ran = check(&plan, &feed::file(&lines(Metric::Lcp, 11, 1200)), 1);
    covers(&ran, &[Kind::Window, Kind::Alert, Kind::Late, Kind::DeadLetter]);
    let of = |name: &str| ran.lines.iter().filter(|l| l.kind == Kind::Window && l.value()["window"] == name).count();
    for name in ["one_minute", "five_minutes", "now", "visits"] {
        assert!(of(name) > 5, "{} rows of {name}", of(name));
    }
}

#[test]
fn windows_of_a_live_log() {
    let plan = plan("cases/chains/lcp.yaml");
    let ran = check(&plan, &feed::live(&fine_lines(Metric::Lcp, 12, 1200), 20, 5), 2);
    covers(&ran, &[Kind::Window, Kind::Alert, Kind::Late, Kind::DeadLetter]);
}

#[test]
fn sessions_of_a_live_log() {
    let plan = plan("cases/chains/cls.yaml");
    let ran = check(&plan, &feed::live(&lines(Metric::Cls, 13, 1500), 20, 6), 3);
    covers(&ran, &[Kind::Session, Kind::Alert, Kind::DeadLetter]);
}

#[test]
fn detection_of_a_file_and_of_a_live_log() {
    let plan = plan("cases/chains/detect.yaml");
    for (steps, seed) in
        [(feed::file(&lines(Metric::Lcp, 19, 1500)), 7), (feed::live(&lines(Metric::Lcp, 20, 1500), 20, 10), 8)]
    {
        let ran = check(&plan, &steps, seed);
        covers(&ran, &[Kind::Window, Kind::Anomaly, Kind::Incident, Kind::Alert, Kind::Action, Kind::DeadLetter]);
        covers(&ran, &[Kind::Forecast]);
        let anomalies: Vec<Value> = ran.lines.iter().filter(|l| l.kind == Kind::Anomaly).map(Line::value).collect();
        for state in ["open", "closed"] {
            assert!(anomalies.iter().any(|a| a["state"] == state), "no anomaly is {state}");
        }
        let rows: Vec<Value> = ran.lines.iter().map(Line::value).collect();
        for field in ["prediction", "forecast_p75_lcp_30s_low", "time_to_breach"] {
            assert!(rows.iter().any(|row| row["kind"] == "window" && row[field].is_number()), "no row has {field}");
        }
        let slow_soon = |row: &&Value| row["kind"] == "alert" && row["rule"] == "slow soon";
        assert!(rows.iter().filter(slow_soon).count() > 1, "no alert of what is to come");
        let actions = rows.iter().filter(|row| row["kind"] == "action").filter_map(|row| row["step"].as_str());
        let steps: std::collections::BTreeSet<&str> = actions.collect();
        for step in ["dry_run", "suppressed", "not_recovered", "awaiting_approval"] {
            assert!(steps.contains(step), "no action is {step}: {steps:?}");
        }
    }
}

/// Windows of a page of eight hours, with bursts that are slower each time, and a level that rises in the third hour.
fn slow_at_times() -> Vec<Vec<u8>> {
    let mut random = Random::new(31);
    let row = |n: usize| {
        let slow = if n % 97 >= 90 { 2.0 + n as f64 / 240.0 } else { 1.0 } * if n >= 240 { 1.4 } else { 1.0 };
        let value = 1000.0 * slow * (0.95 + 0.001 * random.below(100) as f64);
        let time = perfstream_core::time::format((1_767_600_000 + 30 * n as i64) * 1_000_000);
        let row =
            serde_json::json!({ "timestamp": time, "id": n.to_string(), "page": "/", "p75_lcp": value, "count": 50 });
        row.to_string().into_bytes()
    };
    let twice = |n: usize, line: Vec<u8>| std::iter::repeat_n(line, if n % 50 == 7 { 2 } else { 1 });
    let lines: Vec<Vec<u8>> = (0..960).map(row).enumerate().flat_map(|(n, line)| twice(n, line)).collect();
    feed::with_poison(lines, &poison(), 30, 31)
}

/// Puts a verdict behind the record that opened each anomaly, and one on an anomaly that nobody knows.
fn with_verdicts(steps: Vec<Step>, plan: &Plan) -> Vec<Step> {
    let plain = run(&plan.spec, &wasm(), &steps, &Schedule::default()).expect("no trap");
    let opened: Vec<(i64, String)> = plain
        .lines
        .iter()
        .filter(|l| l.kind == Kind::Anomaly)
        .map(|l| (l.offset, l.value()))
        .filter(|(_, a)| a["state"] == "open")
        .map(|(offset, a)| (offset, a["anomaly_id"].as_str().expect("an id").to_string()))
        .collect();
    let verdict = |n: usize, id: &str| {
        Step::Control(Control::Feedback {
            alert_id: id.into(),
            verdict: ["true_positive", "resolved", "false_positive"][n % 3].into(),
            anomaly_id: None,
            resolution_time_s: (n % 3 == 1).then_some(90.0),
        })
    };
    let mut with = vec![verdict(0, "nobody")];
    for step in steps {
        let of = match &step {
            Step::Record(record) => opened.iter().position(|(offset, _)| *offset == record.offset),
            _ => None,
        };
        with.push(step);
        with.extend(of.map(|n| verdict(n, &opened[n].1)));
    }
    with
}

#[test]
fn verdicts_and_drift_between_records() {
    let plan = plan("cases/chains/learning.yaml");
    for (steps, seed) in [(feed::file(&slow_at_times()), 11), (feed::live(&slow_at_times(), 20, 13), 12)] {
        let steps = with_verdicts(steps, &plan);
        let ran = check(&plan, &steps, seed);
        covers(&ran, &[Kind::Event, Kind::Anomaly, Kind::Insight, Kind::DeadLetter]);
        let insights: Vec<Value> = ran.lines.iter().filter(|l| l.kind == Kind::Insight).map(Line::value).collect();
        let of = |what: &str| insights.iter().filter(|i| i["insight"] == what).collect::<Vec<_>>();
        for verdict in ["false_positive", "true_positive", "resolved"] {
            assert!(
                of("feedback").iter().any(|i| i["verdict"] == verdict && i["before"] != i["after"]),
                "{insights:#?}"
            );
        }
        assert!(of("adaptation").iter().any(|i| i["before"] != i["after"]), "{insights:#?}");
        // The one that nobody knows, and at most one that is none any more since θ has risen.
        assert!((1..=2).contains(&ran.counters[1].1["feedback_ignored"]));
    }
}

#[test]
fn what_a_page_shows_of_a_live_log() {
    let plan = plan("cases/chains/dashboard.yaml");
    let ran = check(&plan, &feed::live(&lines(Metric::Lcp, 22, 1500), 20, 12), 10);
    covers(&ran, &[Kind::Window, Kind::Alert, Kind::Dashboard, Kind::DeadLetter]);
    let shown: Vec<Value> = ran.lines.iter().filter(|l| l.kind == Kind::Dashboard).map(Line::value).collect();
    for part in ["points", "events"] {
        let filled = shown.iter().filter(|record| record[part].as_array().is_some_and(|list| !list.is_empty()));
        assert!(filled.count() > 3, "no frame has {part}");
    }
    assert!(shown.iter().any(|record| record["type"] == "layout"), "no layout");
}

#[test]
fn interactions_of_a_live_log() {
    let plan = plan("cases/chains/inp.yaml");
    let recorded = include_str!("../../recording/events/inp-events.jsonl").lines().map(|line| line.as_bytes().to_vec());
    let ran = check(&plan, &feed::live(&feed::with_poison(recorded.collect(), &poison(), 30, 21), 20, 11), 9);
    assert!(ran.balance.counted > 1000 && ran.balance.dead > 3, "{:?}", ran.balance);
    assert!(ran.count(Kind::Session) > 50, "{} sessions", ran.count(Kind::Session));
}

#[test]
fn alerts_on_events_and_ticks() {
    let plan = plan("cases/chains/alerts.yaml");
    let ran = check(&plan, &feed::live(&lines(Metric::Lcp, 14, 1500), 8, 7), 4);
    covers(&ran, &[Kind::Event, Kind::Alert, Kind::DeadLetter]);
    let alerts: Vec<Value> = ran.lines.iter().filter(|l| l.kind == Kind::Alert).map(Line::value).collect();
    for state in ["pending", "firing", "resolved"] {
        assert!(alerts.iter().any(|a| a["state"] == state), "no alert is {state}");
    }
    assert!(alerts.iter().any(|a| a["severity"] == "critical"), "no alert escalates");
}

#[test]
fn a_stream_cut_at_every_record() {
    let plan = plan("cases/chains/alerts.yaml");
    let steps = feed::live(&lines(Metric::Lcp, 15, 150), 10, 8);
    let expected = run(&plan.spec, &wasm(), &steps, &Schedule::default()).expect("no trap");
    for packed in [true, false] {
        let options = ChainOptions { packed, ..wasm() };
        let everywhere = Schedule { restarts: (1..steps.len()).collect(), ..Schedule::default() };
        for schedule in [Schedule::singles(steps.len()), everywhere] {
            let found = run(&plan.spec, &options, &steps, &schedule).expect("no trap");
            assert_eq!(difference(&found, &expected), None, "packed {packed}");
        }
    }
}

#[test]
fn fluvios_own_engine_gives_the_same() {
    let plan = plan("cases/chains/cls.yaml");
    let steps = feed::live(&lines(Metric::Cls, 16, 600), 20, 9);
    let schedule = schedule(&mut Random::new(5), &steps, 40, 0);
    let expected = run(&plan.spec, &wasm(), &steps, &Schedule::default()).expect("no trap");
    for packed in [true, false] {
        let options = ChainOptions { placement: Placement::Engine, packed, ..wasm() };
        let found = run(&plan.spec, &options, &steps, &schedule).expect("no trap");
        assert_eq!(difference(&found, &expected), None, "packed {packed}");
    }
}

/// The way of file input: lines without a copy of each.
#[test]
fn lines_of_a_file_are_records() {
    let plan = plan("cases/chains/cls.yaml");
    let lines = lines(Metric::Cls, 18, 800);
    let steps = feed::file(&lines);
    let expected = run(&plan.spec, &wasm(), &steps, &Schedule::default()).expect("no trap");
    let mut chain = Chain::new(&plan.spec, &wasm()).expect("a chain");
    let (mut found, mut batch) = (Vec::new(), Lines::default());
    for line in &lines {
        batch.push(line);
        if batch.len() == 33 {
            chain.process_lines(&mut batch, &mut |row| found.push(Line::of(row))).expect("no trap");
            batch.advance();
        }
    }
    chain.process_lines(&mut batch, &mut |row| found.push(Line::of(row))).expect("no trap");
    let end = Tick { time: 0, offset: lines.len() as i64 - 1, end_of_input: true };
    chain.tick(&end, &mut |row| found.push(Line::of(row))).expect("no trap");
    assert_eq!(found, expected.lines);
    assert_eq!(counters(&mut chain).expect("counters"), expected.counters);
}

#[test]
fn csv_lines() {
    let text = include_str!("../../cases/chains/lcp.yaml");
    let text =
        text.replace("topic: lcp-stream", "topic: lcp-stream\n  format: csv").replace(", receive_field: received", "");
    let report = perfstream::check::check_text("csv.yaml", &text);
    let shown = report.render(false);
    let [pipeline] = &report.into_pipelines()[..] else { panic!("{shown}") };
    let plan = Plan::new(pipeline).expect("a plan");
    let row = |line: Vec<u8>| {
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        let cell = |name: &str| event[name].as_str().map_or_else(|| event[name].to_string(), String::from);
        let cells = ["timestamp", "id", "value", "page", "browser", "device", "connection"].map(cell);
        cells.map(|c| format!("\"{c}\"")).join(",").into_bytes()
    };
    let good: Vec<Vec<u8>> = feed::generated(Metric::Lcp, 17, 300, &[]).into_iter().map(row).collect();
    let bad = [b"1,2".to_vec(), b"\"open".to_vec(), b"\xff,,,,,,".to_vec(), b"\"a\"b,,,,,,".to_vec()];
    let steps = feed::file(&feed::with_poison(good, &bad, 20, 3));
    let expected = run(&plan.spec, &wasm(), &steps, &Schedule::default()).expect("no trap");
    let json = ChainOptions { packed: false, ..wasm() };
    let found = run(&plan.spec, &json, &steps, &schedule(&mut Random::new(6), &steps, 9, 2)).expect("no trap");
    assert_eq!(difference(&found, &expected), None);
    assert!(expected.balance.holds() && expected.balance.dead > 3, "{:?}", expected.balance);
    assert_eq!(expected.balance.counted, 300, "{:?}", expected.balance);
}

//! Whole chains on structured streams: how records were cut into batches must not show.
//!
//! Chains: filter → enrich → aggregate → alert, and filter → sessionize → classify → alert, each
//! stage behind its bytes. Held for two cuts of the same stream, one of them stopped and restored
//! on its way: the same rows in the same order, the same counters, and at every stage each event in
//! exactly one counter.

use super::configs::START_US;
use super::machine::{Entry, Line, Machine};
use arbitrary::{Arbitrary, Unstructured};
use perfstream_core::decode::{DecodeConfig, TimeConfig};
use perfstream_core::{Context, Kind, Span, Tick};
use perfstream_sdk::params::{OutputForm, Runtime};
use std::fmt::Write;

const MAX_STEPS: usize = 24;

const FILTER: &str = r#"{"dedupe":{"key":["id"],"horizon":"10s","max_keys":4},"where":"value >= 0 AND value < 60000",
    "criteria":[{"field":"page","operator":"in","values":["/health"],"action":"exclude"}]}"#;
const CLASSIFY: &str = r#"{"field":"cumulativeShift","as":"stability","ranges":[{"max":0.1,"label":"good"},{"max":0.25,"label":"fair"},{"min":0.25,"label":"poor"}]}"#;
const ENRICH: &str =
    r#"{"default":{"connection":"4g"},"source":"user-context","derive":["hour-of-day","rating"],"metric":"LCP"}"#;
const SESSIONIZE: &str = r#"{"key":"sessionId","timeout":"5s","max_length":"20s","method":"cls","max_sessions":3,"max_navigations":2,
    "functions":{"n":{"type":"count"},"pages":{"type":"collect-list","field":"page","distinct":true,"limit":3}}}"#;
const AGGREGATE: &str = r#"{"group_by":["page"],"max_groups":3,"windows":[
    {"name":"t","type":"tumbling","size":"5s","allowed_lateness":"3s","functions":{"n":{"type":"count"},"p":{"type":"percentile","parameter":75,"field":"value"}}},
    {"name":"s","type":"sliding","size":"20s","slide":"5s","trigger":"processing-time","output_interval":"10s","functions":{
        "line":{"type":"linear-regression","field":"value"},"sd":{"type":"stddev","field":"value"},
        "pages":{"type":"collect-list","field":"browser","distinct":true,"limit":3}}},
    {"name":"v","type":"session","gap":"4s","max_length":"12s","allowed_lateness":"2s","functions":{"cls":{"type":"cls-with-session-gaps"},"high":{"type":"max","field":"value"}}}]}"#;
const ALERT: &str = r#"{"group_by":["page"],"max_alerts":3,"emit_pending":true,"kinds":["window","session"],"rules":[
    {"name":"slow","condition":"p > 1000 OR cumulativeShift > 0.1","severity":"warning","notification":["slack"],"throttle":"5s","for":"2s","resolve_after":"3s","summary":"{page}: {p}"},
    {"name":"high","condition":"high > 5000 OR n > 3","severity":"critical","notification":["pagerduty"],"throttle":"1s"}],
    "escalation":{"enabled":true,"levels":[{"duration":"3s","severity":"error"},{"duration":"9s","severity":"critical"}]}}"#;

/// A stream and two ways to run it.
#[derive(Debug, Arbitrary)]
struct Case {
    /// Which chain
    sessions: bool,
    /// Records carry log times and ticks come; otherwise it is a file
    live: bool,
    /// State limit so low that the stages must let go
    narrow: bool,
    /// Batch sizes of the second run, over and over
    cuts: Vec<u8>,
    /// Before which step the second run is stopped and restored
    restart: Option<u8>,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Event(Event),
    Later(Event),
    /// Tenths of a second that pass, then a tick (in a live stream)
    Tick(u8),
    /// A record that is anything
    Bytes(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
struct Event {
    /// Tenths of a second by which event time is ahead of or behind the stream
    lead: i8,
    /// Tenths of a second since the step before
    gap: u8,
    id: u8,
    page: u8,
    session: u8,
    value: Number,
    /// Which of the rarer fields are there
    extra: u8,
}

#[derive(Debug, Arbitrary)]
enum Number {
    Small(u16),
    Fraction(u16),
    Any(f64),
    Whole(i64),
    Null,
    Text,
    Absent,
}

enum Input {
    Record(Entry),
    Tick(Tick),
}

/// See the module.
pub fn chain(data: &[u8]) {
    let Ok(case) = Case::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let inputs = inputs(&case);
    let (out, counters) = run(&case, &inputs, &[], None);
    let restart = case.restart.map(|n| n as usize % (inputs.len() + 1));
    let (cut, cut_counters) = run(&case, &inputs, &case.cuts, restart);
    if out != cut {
        let at = out.iter().zip(&cut).take_while(|(a, b)| a == b).count();
        panic!("row {at} differs:\n{:?}\n{:?}\nin {case:?}", out.get(at), cut.get(at));
    }
    assert_eq!(counters, cut_counters, "counters by cut");
    let records = inputs.iter().filter(|i| matches!(i, Input::Record(_))).count() as u64;
    balance(records, &counters);
}

/// Every event that enters a stage is in exactly one counter, and what passes enters the next.
fn balance(records: u64, counters: &[Vec<(String, u64)>]) {
    let of = |stage: &[(String, u64)], name: &str| stage.iter().find(|(n, _)| n == name).map_or(0, |(_, v)| *v);
    let mut entered = records - of(&counters[0], "decode_dead");
    assert_eq!(of(&counters[0], "decode_records"), records);
    for (n, stage) in counters.iter().enumerate() {
        let ends = ["passed", "counted", "filtered", "late", "duplicate", "dead"].map(|name| of(stage, name));
        assert_eq!(of(stage, "in"), entered, "stage {n}: {stage:?}");
        assert_eq!(ends.iter().sum::<u64>(), entered, "stage {n}: {stage:?}");
        entered = of(stage, "passed");
    }
}

fn inputs(case: &Case) -> Vec<Input> {
    let (mut now_ms, mut offset) = (START_US / 1000, 0i64);
    let mut inputs = Vec::new();
    for step in case.steps.iter().take(MAX_STEPS) {
        let value = match step {
            Step::Tick(tenths) => {
                now_ms += *tenths as i64 * 100;
                if case.live {
                    inputs.push(Input::Tick(Tick { time: now_ms * 1000, offset: offset - 1, end_of_input: false }));
                }
                continue;
            }
            Step::Event(event) => {
                now_ms += event.gap as i64 * 20;
                json(event, now_ms)
            }
            Step::Later(event) => {
                now_ms += event.gap as i64 * 500;
                json(event, now_ms)
            }
            Step::Bytes(bytes) => bytes.clone(),
        };
        let log_time_ms = if case.live { now_ms } else { -1 };
        inputs.push(Input::Record(Entry { offset, log_time_ms, value }));
        offset += 1;
    }
    inputs.push(Input::Tick(Tick { time: now_ms * 1000, offset: offset - 1, end_of_input: true }));
    inputs
}

fn json(event: &Event, now_ms: i64) -> Vec<u8> {
    let time = now_ms + event.lead as i64 * 100;
    let page = ["/", "/a", "/b", "/c", "/health"][event.page as usize % 5];
    let mut text = format!("{{\"timestamp\":{time},\"page\":\"{page}\"");
    let mut add = |args: std::fmt::Arguments<'_>| text.write_fmt(args).unwrap_or_default();
    match event.value {
        Number::Small(n) => add(format_args!(",\"value\":{n}")),
        Number::Fraction(n) => add(format_args!(",\"value\":{}", n as f64 / 65_536.0)),
        Number::Any(x) if x.is_finite() => add(format_args!(",\"value\":{x:e}")),
        Number::Whole(n) => add(format_args!(",\"value\":{n}")),
        Number::Text => add(format_args!(",\"value\":\"slow\"")),
        Number::Any(_) | Number::Null => add(format_args!(",\"value\":null")),
        Number::Absent => {}
    }
    let bit = |n: u8| event.extra & (1 << n) != 0;
    if event.session != 0 {
        add(format_args!(",\"sessionId\":\"s{}\"", event.session % 6));
    }
    if bit(0) {
        add(format_args!(",\"id\":\"i{}\"", event.id % 8));
    }
    if bit(1) {
        add(format_args!(",\"startTime\":{}", event.id as i64 * 50));
    }
    if bit(2) {
        add(format_args!(",\"sources\":[\"#x\",\"#y{}\"]", event.id % 3));
    }
    if bit(3) {
        add(format_args!(",\"navigationId\":\"n{}\"", event.id % 3));
    }
    if bit(4) {
        add(format_args!(",\"hadRecentInput\":true"));
    }
    if bit(5) {
        add(format_args!(",\"browser\":\"b{}\"", event.id % 3));
    }
    if bit(6) {
        add(format_args!(",\"reset\":\"back-forward-cache\""));
    }
    if bit(7) {
        add(format_args!(",\"kind\":\"window\",\"navigationType\":\"reload\""));
    }
    text.push('}');
    text.into_bytes()
}

fn line(case: &Case) -> Line {
    // Numbers as in `configs`.
    let stages: [(usize, &str); 4] = match case.sessions {
        false => [(0, FILTER), (1, ENRICH), (3, AGGREGATE), (5, ALERT)],
        true => [(0, FILTER), (2, SESSIONIZE), (4, CLASSIFY), (5, ALERT)],
    };
    let time = TimeConfig {
        field: Some("timestamp".into()),
        out_of_orderness: Span::seconds(2),
        idle_after: Span::seconds(5),
        ..TimeConfig::default()
    };
    let machine = |(at, (n, config)): (usize, (usize, &str))| {
        let context = Context {
            pipeline: "fuzz".into(),
            stage: format!("s{at}"),
            max_state_bytes: if case.narrow { 4096 } else { 1 << 20 },
            ..Context::default()
        };
        let decode = DecodeConfig { time: time.clone(), events_only: at == 0, ..DecodeConfig::default() };
        Machine::new(n, config, &Runtime { context, decode, output: OutputForm::Packed })
    };
    Line { stages: stages.into_iter().enumerate().map(machine).collect(), out: Vec::new() }
}

type Ran = (Vec<(Kind, String)>, Vec<Vec<(String, u64)>>);

/// Runs the stream in batches of these sizes (none: as long as ticks allow).
fn run(case: &Case, inputs: &[Input], cuts: &[u8], restart: Option<usize>) -> Ran {
    let mut line = line(case);
    let mut sizes = cuts.iter().cycle().map(|size| (*size as usize % 8) + 1);
    let mut size = sizes.next().unwrap_or(usize::MAX);
    let mut batch = Vec::new();
    for (n, input) in inputs.iter().enumerate() {
        if restart == Some(n) {
            line.records(&std::mem::take(&mut batch));
            line = restarted(case, line);
        }
        match input {
            Input::Record(entry) => {
                batch.push(entry.clone());
                if batch.len() >= size {
                    line.records(&std::mem::take(&mut batch));
                    size = sizes.next().unwrap_or(usize::MAX);
                }
            }
            Input::Tick(tick) => {
                line.records(&std::mem::take(&mut batch));
                line.tick(*tick);
            }
        }
    }
    let counters = line.stages.iter_mut().map(Machine::counters).collect();
    (line.out, counters)
}

fn restarted(case: &Case, mut old: Line) -> Line {
    let mut fresh = line(case);
    for (to, from) in fresh.stages.iter_mut().zip(&mut old.stages) {
        to.restore(&from.snapshot()).expect("its own snapshot");
    }
    fresh.out = old.out;
    fresh
}

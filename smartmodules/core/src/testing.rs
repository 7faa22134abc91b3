//! Runs a stage natively over JSON lines, for the tests of the stages.
//!
//! A line is one JSON record, or `@tick TIME` (RFC 3339 or an epoch number), or `@control JSON`, or `@end` for
//! the end of the input. A record's event time is its field `timestamp`; without that field its log time.
//! Log times are one second apart from 2026-01-01T00:00:00Z on; offsets count from 0. A record
//! with another `kind` in front (`{"kind":"window",…}`) becomes a row of that kind.

use crate::decode::{DecodeConfig, Decoder, Record, TimeConfig};
use crate::json::write_row;
use crate::row::{Fields, Output, Rows};
use crate::stage::{Context, Counters, Stage, Tick};
use crate::time::TimeParser;
use crate::value::Value;

/// 2026-01-01T00:00:00Z in microseconds.
pub(crate) const START_US: i64 = 1_767_225_600_000_000;

/// Rows emitted by `stage` over `lines`, all in one batch as far as ticks allow.
pub(crate) fn run<S: Stage>(stage: &mut S, fields: &Fields, lines: &[&str]) -> Vec<serde_json::Value> {
    run_cut(stage, fields, lines, usize::MAX)
}

/// The same in batches of at most `size` records.
pub(crate) fn run_cut<S: Stage>(stage: &mut S, fields: &Fields, lines: &[&str], size: usize) -> Vec<serde_json::Value> {
    let mut feed = Feed::default();
    let mut outputs = Vec::new();
    feed.run(stage, fields, lines, size, &mut outputs);
    outputs
}

/// Runs `make()` over the lines whole, record by record, and stopped and restored before every
/// record; the outputs and counters must be the same. Returns them.
pub(crate) fn check_cuts<S: Stage>(
    make: impl Fn() -> (S, Fields),
    lines: &[&str],
) -> (Vec<serde_json::Value>, Counters) {
    let (mut stage, fields) = make();
    let whole = run(&mut stage, &fields, lines);
    let counters = stage.counters();
    for size in [1, 2, 7] {
        let (mut stage, fields) = make();
        assert_eq!(run_cut(&mut stage, &fields, lines, size), whole, "in batches of {size}");
        assert_eq!(stage.counters(), counters, "in batches of {size}");
    }
    let (mut stage, _) = make();
    let (mut feed, mut outputs) = (Feed::default(), Vec::new());
    for line in lines {
        let state = stage.snapshot();
        let (mut next, fields) = make();
        next.restore(&state).expect("its own snapshot");
        assert_eq!(next.snapshot(), state, "a snapshot survives being restored");
        feed.run(&mut next, &fields, &[line], 1, &mut outputs);
        stage = next;
    }
    assert_eq!(outputs, whole, "restored before every record");
    assert_eq!(stage.counters(), counters, "restored before every record");
    (whole, counters)
}

/// The value of one counter.
pub(crate) fn counter<S: Stage>(stage: &S, name: &str) -> u64 {
    stage.counters().iter().find(|(n, _)| *n == name).map_or_else(|| panic!("no counter `{name}`"), |(_, n)| *n)
}

/// Hands lines to a stage; keeps the offset from one call to the next.
#[derive(Default)]
pub(crate) struct Feed {
    offset: i64,
}

impl Feed {
    pub(crate) fn run<S: Stage>(
        &mut self,
        stage: &mut S,
        fields: &Fields,
        lines: &[&str],
        size: usize,
        outputs: &mut Vec<serde_json::Value>,
    ) {
        let mut rest = lines;
        while let Some(line) = rest.first() {
            if let Some(control) = line.strip_prefix("@control ") {
                stage.control(&serde_json::from_str(control).expect("a control record behind @control"));
                rest = &rest[1..];
                continue;
            }
            if let Some(tick) = self.tick(line) {
                let mut out = Output::default();
                out.begin(&[]);
                stage.tick(&tick, &mut out);
                settle(stage, &mut out, outputs);
                rest = &rest[1..];
                continue;
            }
            let records = rest.iter().take(size).take_while(|l| !l.starts_with('@')).count();
            self.batch(stage, fields, &rest[..records], outputs);
            rest = &rest[records..];
        }
    }

    fn tick(&self, line: &str) -> Option<Tick> {
        let offset = self.offset - 1;
        if line == "@end" {
            return Some(Tick { time: 0, offset, end_of_input: true });
        }
        let text = line.strip_prefix("@tick ")?;
        let number = text.parse::<f64>().map(Value::Float);
        let time = TimeParser::default().parse(number.unwrap_or(Value::Str(text))).expect("a time behind @tick");
        Some(Tick { time, offset, end_of_input: false })
    }

    fn batch<S: Stage>(
        &mut self,
        stage: &mut S,
        fields: &Fields,
        lines: &[&str],
        outputs: &mut Vec<serde_json::Value>,
    ) {
        let mut input = Output::default();
        input.begin(&[]);
        let context = Context { stage: "decode".into(), ..Context::default() };
        let mut by_log_time = Decoder::new(DecodeConfig::default(), &context);
        let time = TimeConfig { field: Some("timestamp".into()), ..TimeConfig::default() };
        let mut by_field = Decoder::new(DecodeConfig { time, ..DecodeConfig::default() }, &context);
        for line in lines {
            let log_time = START_US + self.offset * 1_000_000;
            let record = Record { offset: self.offset, log_time, key: None, value: line.as_bytes() };
            let decoder = if line.contains("\"timestamp\"") { &mut by_field } else { &mut by_log_time };
            decoder.decode(&record, &mut input);
            self.offset += 1;
        }
        let batch = input.as_batch();
        let mut rows = Rows::new(&batch, fields, 0);
        let mut out = Output::default();
        out.begin(batch.names());
        while let Some(row) = rows.next() {
            stage.process(&row.expect("a whole row"), &mut out);
            if stage.pending() {
                settle(stage, &mut out, outputs);
                out.begin(batch.names());
            }
        }
        settle(stage, &mut out, outputs);
    }
}

/// Takes what was emitted, then drains what waits.
fn settle<S: Stage>(stage: &mut S, out: &mut Output, outputs: &mut Vec<serde_json::Value>) {
    outputs.extend(json_rows(out));
    while stage.pending() {
        out.begin(&[]);
        stage.drain(out);
        assert!(!out.is_empty() || !stage.pending(), "drain makes progress");
        outputs.extend(json_rows(out));
    }
}

/// The rows of an output as JSON.
pub(crate) fn json_rows(out: &Output) -> Vec<serde_json::Value> {
    let batch = out.as_batch();
    let fields = Fields::default();
    let mut rows = Rows::new(&batch, &fields, 0);
    let mut values = Vec::new();
    while let Some(row) = rows.next() {
        let mut text = Vec::new();
        write_row(&row.expect("a whole row"), &mut text);
        values.push(serde_json::from_slice(&text).expect("a row is a JSON object"));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Issues;
    use crate::row::Row;
    use serde_json::json;

    struct Pass(u64);

    impl Stage for Pass {
        const NAME: &'static str = "pass";
        const STATE_VERSION: u32 = 1;
        type Config = ();
        fn new(_: (), _: &Context, _: &mut Fields) -> Result<Self, Issues> {
            Ok(Pass(0))
        }
        fn process(&mut self, row: &Row<'_>, out: &mut Output) {
            self.0 += 1;
            out.extend(row).field("n", self.0 as i64).field("offset", row.meta.offset);
        }
        fn counters(&self) -> Counters {
            vec![("passed", self.0)]
        }
        fn snapshot(&self) -> Vec<u8> {
            crate::stage::save(&self.0)
        }
        fn restore(&mut self, bytes: &[u8]) -> Result<(), crate::stage::RestoreError> {
            self.0 = crate::stage::load(bytes)?;
            Ok(())
        }
    }

    #[test]
    fn rows_go_through_in_order() {
        let lines = [r#"{"a":1}"#, "@tick 2026-01-01T00:00:10Z", r#"{"a":2}"#, r#"{"a":3}"#, "@end"];
        let (outputs, counters) = check_cuts(|| (Pass(0), Fields::default()), &lines);
        assert_eq!(outputs[2], json!({"a": 3, "n": 3, "offset": 2}));
        assert_eq!(counters, [("passed", 3)]);
    }
}

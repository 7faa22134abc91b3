//! A chain that takes what its front made elsewhere is at every moment the chain that has seen the
//! records: the same rows, the same states.

use super::{FrontBatch, front_len, spu_chain};
use crate::chain::{Chain, ChainOptions, ChainSpec, Placement};
use crate::check;
use crate::host::native::native;
use crate::host::{Hosted, LogRecord};
use crate::plan::PlanSpec;
use perfstream_core::stage::Control;
use perfstream_core::{Row, Tick};
use perfstream_log::{SpuChain, SpuOutput};
use perfstream_sdk::front::MAX_ROWS_BYTES;
use proptest::prelude::*;
use serde_json::json;

const START_MS: i64 = 1_767_600_000_000;

/// Native modules in the place of an SPU's: what they write of a batch, one call each.
pub(crate) fn in_spu(chain: &SpuChain, batch: &[LogRecord]) -> Vec<u8> {
    let mut stages: Vec<Hosted> = chain.modules.iter().map(|m| start(&m.uses, &m.params)).collect();
    let (first, later) = stages.split_first_mut().expect("a front");
    let mut reply = first.records(batch).expect("no trap");
    for stage in later {
        reply = stage.forward(batch[0].offset, batch[0].log_time_ms, &reply.records).expect("no trap");
    }
    let mut records = reply.iter().expect("records");
    let value = records.next().expect("never silent").expect("a record").value.to_vec();
    assert!(records.next().is_none(), "one record for each batch");
    value
}

fn start(uses: &str, params: &[(String, String)]) -> Hosted {
    let stage = uses.trim_start_matches("perfstream/").split('@').next().expect("a name");
    Hosted::new(stage, native(stage, params).expect("a start"))
}

const FRONT: &str = "
  - uses: perfstream/filter@0.1.0
    with: { where: value > 0 }
  - uses: perfstream/enrich@0.1.0
    with:
      tables: { pages: { key: [page], rows: [{ page: /0, owner: a }, { page: /1, owner: b }] } }
      lookups: [{ table: pages, fields: [owner] }]
  - uses: perfstream/classify@0.1.0
    with: { field: value, ranges: [{ max: 2, label: low }, { min: 2, label: high }] }";
const AGGREGATE: &str = "
  - uses: perfstream/aggregate@0.1.0
    with:
      group_by: [page]
      windows: [{ name: w, type: tumbling, size: 10s, functions: { sum: { type: sum, field: value } } }]";

fn spec(transforms: &str, receive_field: bool) -> ChainSpec {
    let receive = if receive_field { ", receive_field: received" } else { "" };
    let text = format!(
        "apiVersion: perfstream/v1\nkind: Pipeline\nmeta: {{ name: p }}\n\
         input: {{ topic: in, schema: {{ timestamp: datetime, value: number, page: string }}, \
         time: {{ field: timestamp, max_future_skew: 5s{receive} }} }}\ntransforms:{transforms}\noutput: {{ topic: out }}\n"
    );
    let report = check::check_text("test.yaml", &text);
    assert!(!report.is_error(), "{}", report.render(false));
    PlanSpec::new(&report.into_pipelines()[0]).expect("a plan").chain
}

fn options() -> ChainOptions {
    ChainOptions { placement: Placement::Native, ..ChainOptions::default() }
}

/// Record `n`, of a kind that `dice` chooses.
fn record(n: i64, dice: u8) -> LogRecord {
    let second = START_MS / 1000 + n;
    let event = |time: i64, value: i64| {
        format!("{{\"timestamp\":{time},\"value\":{value},\"page\":\"/{}\",\"received\":{second}}}", n % 3)
    };
    let value = match dice % 8 {
        0 => "{\"torn".to_string(),
        1 => event(second, -1),
        2 => event(second - 60, 3),
        3 => event(second + 40, 3),
        4 => "{\"timestamp\":1,\"value\":\"no number\",\"page\":7}".into(),
        _ => event(second, i64::from(dice / 8)),
    };
    // A producer whose clock is ahead, now and then.
    let ahead_ms = if dice.is_multiple_of(13) { 20_000 } else { 0 };
    LogRecord { offset: n, log_time_ms: second * 1000 + ahead_ms, key: None, value: value.into_bytes() }
}

struct Run {
    chain: Chain,
    rows: Vec<String>,
}

impl Run {
    fn new(spec: &ChainSpec) -> Run {
        Run { chain: Chain::new(spec, &options()).expect("a chain"), rows: Vec::new() }
    }

    fn with(&mut self, work: impl FnOnce(&mut Chain, &mut dyn FnMut(&Row<'_>)) -> anyhow::Result<bool>) -> bool {
        let rows = &mut self.rows;
        work(&mut self.chain, &mut |row| {
            let mut text = format!("{:?} ", row.meta).into_bytes();
            perfstream_core::json::write_row(row, &mut text);
            rows.push(String::from_utf8(text).expect("UTF-8"));
        })
        .expect("no trap")
    }

    fn records(&mut self, records: &[LogRecord]) {
        self.with(|chain, emit| chain.process(records, emit).map(|()| true));
    }

    fn tick(&mut self, n: i64) {
        let tick = Tick { time: (START_MS + n * 1000) * 1000, offset: n - 1, end_of_input: false };
        self.with(|chain, emit| chain.tick(&tick, emit).map(|()| true));
    }
}

fn batch(spu: &SpuChain, records: &[LogRecord]) -> FrontBatch {
    let range = records[0].offset..records[0].offset + records.len() as i64;
    FrontBatch::new(SpuOutput { range, value: in_spu(spu, records) }).expect("a batch")
}

/// Runs both ways; how many batches were taken from the SPU.
fn both_ways(spec: &ChainSpec, dice: &[u8], batch_len: usize, ticks: bool) -> usize {
    let spu = spu_chain(spec, &options()).expect("a front");
    let (mut whole, mut taking) = (Run::new(spec), Run::new(spec));
    let records: Vec<LogRecord> = dice.iter().enumerate().map(|(n, d)| record(n as i64, *d)).collect();
    let mut taken = 0;
    for records in records.chunks(batch_len) {
        let batch = batch(&spu, records);
        assert!(batch.is_whole(front_len(spec).expect("a front")));
        whole.records(records);
        match taking.with(|chain, emit| chain.process_front(std::slice::from_ref(&batch), emit)) {
            true => taken += 1,
            false => taking.records(records),
        }
        if ticks {
            let n = batch.range.end;
            whole.tick(n);
            taking.tick(n);
        }
        assert_eq!(taking.rows, whole.rows);
        assert_eq!(taking.chain.snapshot().expect("a state"), whole.chain.snapshot().expect("a state"));
        assert_eq!(taking.chain.counters().expect("counters"), whole.chain.counters().expect("counters"));
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_states_are_the_same_either_way(
        dice in proptest::collection::vec(any::<u8>(), 1..120),
        batch_len in 1usize..20,
        ticks: bool,
        receive_field: bool,
        all_in_front: bool,
    ) {
        let transforms = if all_in_front { FRONT.to_string() } else { format!("{FRONT}{AGGREGATE}") };
        let spec = spec(&transforms, receive_field);
        prop_assert_eq!(front_len(&spec).expect("a front"), 3);
        let taken = both_ways(&spec, &dice, batch_len, ticks);
        // Without a clock nothing is too far in the future; with receipts it is found there too.
        prop_assert!(ticks || receive_field || taken == dice.len().div_ceil(batch_len));
    }
}

#[test]
fn batches_that_hold_no_record_of_the_future_are_taken() {
    let spec = spec(&format!("{FRONT}{AGGREGATE}"), false);
    let calm = [5u8, 1, 2, 7, 14, 15, 20, 22, 0x45, 0x46];
    assert_eq!(both_ways(&spec, &calm, 2, true), 5);
    // The first batch comes before the first tick.
    assert_eq!(both_ways(&spec, &[3; 10], 2, true), 1);
}

#[test]
fn a_reference_record_ends_it() {
    let spec = spec(FRONT, false);
    let spu = spu_chain(&spec, &options()).expect("a front");
    let mut run = Run::new(&spec);
    let records: Vec<LogRecord> = (0..4).map(|n| record(n, 5)).collect();
    let take = |run: &mut Run, records: &[LogRecord]| {
        let batch = batch(&spu, records);
        run.with(|chain, emit| chain.process_front(&[batch], emit))
    };
    assert!(take(&mut run, &records[..2]));
    let before = run.chain.counters().expect("counters");
    let rows = vec![json!({ "page": "/0", "owner": "z" })];
    run.chain.control(&Control::Reference { table: "pages".into(), rows }).expect("no trap");
    assert!(!take(&mut run, &records[2..]));
    let after = run.chain.counters().expect("counters");
    assert_eq!((before[0].1["in"], after[0].1["in"]), (2, 2), "a batch that is not taken is not counted");
}

#[test]
fn what_is_too_large_or_has_no_log_time_is_left_to_the_worker() {
    let spec = spec(FRONT, false);
    let spu = spu_chain(&spec, &options()).expect("a front");
    let mut records: Vec<LogRecord> = (0..3).map(|n| record(n, 5)).collect();
    assert!(batch(&spu, &records).is_whole(3));
    records.iter_mut().for_each(|r| r.log_time_ms = 0);
    let untimed = batch(&spu, &records);
    assert!(!untimed.is_whole(3));
    assert_eq!((untimed.progress.first, untimed.progress.next), (0, 3));
    // Bytes that are no events become dead letters, which are many times larger.
    let bad = |n| LogRecord { offset: n, value: b"x".to_vec(), ..record(0, 5) };
    let few: Vec<LogRecord> = (0..1000).map(bad).collect();
    let few = batch(&spu, &few);
    let many: Vec<LogRecord> = (0..100_000).map(bad).collect();
    let many = batch(&spu, &many);
    assert!(few.is_whole(3) && few.rows().len() * 100 > MAX_ROWS_BYTES);
    assert!(!many.is_whole(3) && many.rows().is_empty());
    assert_eq!((many.progress.first, many.progress.next), (0, 100_000));
}

#[test]
fn a_batch_that_was_entered_in_the_middle_is_not_whole() {
    let spec = spec(FRONT, false);
    let spu = spu_chain(&spec, &options()).expect("a front");
    let records: Vec<LogRecord> = (0..4).map(|n| record(n, 5)).collect();
    let value = in_spu(&spu, &records);
    assert_eq!((spu.range)(&value), Some(0..4));
    let cut = FrontBatch::new(SpuOutput { range: 2..4, value: value.clone() }).expect("a batch");
    assert!(!cut.is_whole(3));
    // Offsets are counted from the batch's: what a producer wrote into a record is its word alone.
    for len in 0..value.len() {
        assert!((spu.range)(&value[..len]).is_none_or(|range| range == (0..4)));
    }
    assert!((spu.range)(b"{\"page\":\"/\"}").is_none());
}

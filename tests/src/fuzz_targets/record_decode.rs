//! The decoder on bytes that nobody promised anything about.
//!
//! Input: one byte of settings, one that limits the size, then records between bytes 0x1E. Held:
//! every record gives exactly one row; dead letters are counted; each row is one JSON object; a
//! decoder that goes on from a saved state gives the same rows as one that ran through.

use perfstream_core::decode::{DecodeConfig, Decoder, Format, Record, TimeConfig};
use perfstream_core::row::{Batch, Fields, Rows};
use perfstream_core::{Context, Kind, Output, Span, Tick};

const START_US: i64 = 1_767_225_600_000_000;

/// See the module.
pub fn record_decode(data: &[u8]) {
    let [settings, size, rest @ ..] = data else {
        return;
    };
    let config = config(*settings, *size);
    let records: Vec<&[u8]> = rest.split(|b| *b == 0x1E).collect();
    let log_times = settings & 0x20 == 0;
    let ticks = settings & 0x40 != 0;
    let whole = run(&config, &records, log_times, ticks, false);
    assert_eq!(run(&config, &records, log_times, ticks, true), whole, "a restored decoder goes another way");
}

fn config(settings: u8, size: u8) -> DecodeConfig {
    let format = [Format::Json, Format::Csv, Format::Raw, Format::Json][(settings & 3) as usize];
    let time = TimeConfig {
        field: (settings & 4 != 0).then(|| "timestamp".into()),
        receive_field: (settings & 8 != 0).then(|| "received".into()),
        out_of_orderness: Span::seconds(2),
        ..TimeConfig::default()
    };
    let columns = ["timestamp", "value", "received", "page"].map(String::from).to_vec();
    let max_record_bytes = if size == 0 { 1 << 20 } else { size as usize * 16 };
    DecodeConfig {
        format,
        columns,
        time,
        max_record_bytes,
        events_only: settings & 0x10 != 0,
        ..DecodeConfig::default()
    }
}

fn run(config: &DecodeConfig, records: &[&[u8]], log_times: bool, ticks: bool, restart: bool) -> Vec<(Kind, String)> {
    let context = Context::default();
    let mut decoder = Decoder::new(config.clone(), &context);
    let mut out = Output::default();
    out.begin(&[]);
    for (n, value) in records.iter().enumerate() {
        let offset = n as i64;
        if restart {
            let state = decoder.state();
            decoder = Decoder::new(config.clone(), &context);
            decoder.set_state(state);
        }
        if ticks {
            decoder.tick(&Tick { time: START_US + offset * 1_000_000, offset: offset - 1, end_of_input: false });
        }
        let log_time = if log_times { START_US + offset * 500_000 } else { perfstream_core::clock::NEVER };
        decoder.decode(&Record { offset, log_time, key: Some(b"k"), value }, &mut out);
        assert_eq!(out.len(), n + 1, "one row per record");
    }
    let counts = decoder.counts();
    let packed = out.pack();
    let batch = Batch::parse(&packed).expect("our own batch");
    let mut fields = Fields::default();
    fields.slot("value");
    fields.slot("location.country");
    let rows = rows(&batch, &fields);
    let dead =
        rows.iter().filter(|(kind, text)| *kind == Kind::DeadLetter && text.contains("\"sample\"")).count() as u64;
    assert_eq!((counts.records, rows.len()), (records.len() as u64, records.len()));
    // A record may say of itself that it is a dead letter.
    assert!(counts.dead <= dead, "{} dead letters counted, {dead} written", counts.dead);
    rows
}

/// Every row as JSON, which it must be.
fn rows(batch: &Batch<'_>, fields: &Fields) -> Vec<(Kind, String)> {
    let mut reader = Rows::new(batch, fields, 0);
    let mut rows = Vec::new();
    while let Some(row) = reader.next() {
        let row = row.expect("our own row");
        let mut text = Vec::new();
        perfstream_core::json::write_row(&row, &mut text);
        let text = String::from_utf8(text).expect("JSON is UTF-8");
        let parsed: Result<&serde_json::value::RawValue, _> = serde_json::from_str(&text);
        assert!(parsed.is_ok_and(|json| json.get().starts_with('{')), "not a JSON object: {text}");
        rows.push((row.meta.kind, text));
    }
    rows
}

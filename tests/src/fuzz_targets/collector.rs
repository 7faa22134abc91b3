//! The collector's decoders on bytes that nobody promised anything about: bodies of requests.
//!
//! Input: one byte of settings, then the body as it is after decompression. Held: every event is
//! taken, bad or skipped; every record is a JSON object with times that the stages can read, a topic
//! that the collector names, and a bounded size; the same bytes give the same records.

use perfstream_collector::client::{Client, Sender};
use perfstream_collector::decode::{Unreadable, items};
use perfstream_collector::gzip::{self, Unpackable};
use perfstream_collector::otlp::{self, Encoding, Signal};
use perfstream_collector::record::{Mapped, RECORDS_BYTES};
use perfstream_collector::remote_write::{self, Version};
use perfstream_collector::{EventTopic, Options, events, faro, reports, vitals};
use perfstream_core::Value as CoreValue;
use perfstream_core::enrich::Agents;
use perfstream_core::time::TimeParser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;

const RECEIVED_US: i64 = 1_767_225_600_000_000;
const MAX_EVENTS: usize = 100;
/// A topic of plain events.
const EVENTS: &str = "requests";
const MAX_BYTES: usize = 1 << 20;

type Made = Result<Mapped, Unreadable>;

/// `/v1/vitals`: beacons and raw entries, in an envelope or not.
pub fn collect_vitals(data: &[u8]) {
    with(data, |settings, body, sender| {
        let mut mapped = Mapped::default();
        for item in items(body, MAX_EVENTS, settings & 1 == 0)? {
            mapped.event(item.and_then(|event| vitals::records(&event, sender.client, RECEIVED_US)));
        }
        Ok(mapped)
    });
}

/// OTLP of each kind, as protocol buffers and as JSON.
pub fn collect_otlp(data: &[u8]) {
    with(data, |settings, body, sender| {
        let signal = [Signal::Metrics, Signal::Logs, Signal::Traces][usize::from(settings % 3)];
        let encoding = if settings & 0x80 == 0 { Encoding::Protobuf } else { Encoding::Json };
        otlp::records(signal, encoding, body, sender, MAX_EVENTS)
    });
}

/// Remote write; the body is packed here, or else (a bit of the settings) is the snappy block itself.
pub fn collect_remote_write(data: &[u8]) {
    with(data, |settings, body, _| {
        let version = if settings & 1 == 0 { Version::One } else { Version::Two };
        let packed = match settings & 2 == 0 {
            true => snappy(body),
            false => body.to_vec(),
        };
        remote_write::records(version, &packed, RECEIVED_US, MAX_EVENTS, MAX_BYTES)
    });
}

/// Faro's payload.
pub fn collect_faro(data: &[u8]) {
    with(data, |_, body, sender| faro::records(body, sender, MAX_EVENTS));
}

/// The Reporting API.
pub fn collect_reports(data: &[u8]) {
    with(data, |_, body, sender| reports::records(body, sender, MAX_EVENTS));
}

/// `/v1/events/NAME`: plain events of servers, keyed or not.
pub fn collect_events(data: &[u8]) {
    with(data, |settings, body, _| {
        let name = if settings & 2 == 0 { EVENTS.to_string() } else { format!("{EVENTS}:service") };
        let topic: EventTopic = name.parse().expect("a topic");
        let mut mapped = Mapped::default();
        for item in items(body, MAX_EVENTS, settings & 1 == 0)? {
            mapped.event(item.and_then(|event| Ok(vec![events::record(&event, &topic, RECEIVED_US)?])));
        }
        Ok(mapped)
    });
}

/// gzip of servers' bodies: the bytes as they are, and behind the head of a member of stored or packed data.
pub fn collect_gzip(data: &[u8]) {
    let [settings, packed @ ..] = data else { return };
    let limit = 1usize << (settings % 16);
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for packed in [packed.to_vec(), [&head[..], packed].concat()] {
        match gzip::unpack(&packed, limit) {
            Ok(whole) => {
                assert!(whole.len() <= limit);
                // The same bytes need exactly this room.
                assert_eq!(gzip::unpack(&packed, whole.len()), Ok(whole.clone()));
                if let Some(less) = whole.len().checked_sub(1) {
                    assert_eq!(gzip::unpack(&packed, less), Err(Unpackable::TooLong));
                }
            }
            Err(Unpackable::TooLong) => {
                assert!(gzip::unpack(&packed, limit / 2) == Err(Unpackable::TooLong), "less room is enough");
            }
            Err(Unpackable::Broken(why)) => assert!(!why.is_empty()),
        }
    }
}

fn with(data: &[u8], decode: impl Fn(u8, &[u8], &Sender<'_>) -> Made) {
    let [settings, body @ ..] = data else { return };
    let agents = Mutex::<Agents>::default();
    // Half of them come from a page.
    let page = (settings & 0x40 != 0).then(|| "/page".to_owned());
    let client =
        Client { browser: "chrome".into(), device: "desktop".into(), connection: "4g".into(), country: None, page };
    let sender = Sender { client: &client, agents: &agents, received_us: RECEIVED_US };
    let made = decode(*settings, body, &sender);
    assert_eq!(decode(*settings, body, &sender), made, "the same bytes give other records");
    if let Ok(mapped) = made {
        check(&mapped);
    }
}

fn check(mapped: &Mapped) {
    let topics = BTreeMap::from([(EVENTS.to_string(), EVENTS.parse().expect("a topic"))]);
    let known = Options { topics, ..Options::default() }.needed_topics();
    let skipped: u64 = mapped.skipped.values().sum();
    let mut taken: Vec<usize> = mapped.records.iter().map(|(event, _)| *event).collect();
    taken.dedup();
    assert!(mapped.events <= MAX_EVENTS && mapped.bad.len() as u64 + skipped <= mapped.events as u64);
    assert!(taken.iter().chain(mapped.bad.iter().map(|(event, _)| event)).all(|event| *event < mapped.events));
    assert!(mapped.bad.iter().all(|(event, bad)| !taken.contains(event) && !bad.reason.is_empty()));
    let mut parser = TimeParser::default();
    let mut bytes = 0;
    for (_, record) in &mapped.records {
        bytes += record.size_bytes();
        assert!(known.contains(&record.topic), "{}", record.topic);
        assert!(record.key.is_some() || record.topic == EVENTS, "a record without a key");
        let value: Value = serde_json::from_slice(&record.value).expect("JSON");
        // A server's own time is the stages' business.
        let own = if record.topic == EVENTS { None } else { Some("timestamp") };
        for name in own.into_iter().chain(["received"]) {
            let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
            assert!(parser.parse(CoreValue::Str(text)).is_some(), "`{name}` is `{text}`");
        }
    }
    assert!(bytes <= RECORDS_BYTES);
}

/// A snappy block of literals alone, which any reader takes: a length, then pieces of up to 60 bytes.
fn snappy(body: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut left = body.len();
    while left >= 0x80 {
        block.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    block.push(left as u8);
    for piece in body.chunks(60) {
        block.push(((piece.len() - 1) << 2) as u8);
        block.extend_from_slice(piece);
    }
    block
}

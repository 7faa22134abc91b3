//! Remote write requests made by hand; those of Prometheus are in `tests/contracts`.

use super::messages::{Label, Metadata, SeriesTwo, TimeSeries};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const LIMIT: usize = 1 << 20;

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> TimeSeries {
    TimeSeries {
        labels: labels.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect(),
        samples: samples.iter().map(|(value, timestamp)| Sample { value: *value, timestamp: *timestamp }).collect(),
        histograms: Vec::new(),
    }
}

fn pack(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

fn read(version: Version, message: &impl Message) -> Mapped {
    records(version, &pack(message), 0, 100, LIMIT).unwrap()
}

fn values(mapped: &Mapped) -> Vec<Value> {
    mapped
        .records
        .iter()
        .map(|(_, record)| {
            let mut value: Value = serde_json::from_slice(&record.value).unwrap();
            assert!(value.as_object_mut().unwrap().remove("id").is_some_and(|id| id.is_string()));
            value
        })
        .collect()
}

#[test]
fn a_sample_becomes_a_record() {
    let labels =
        [("__name__", "node_load1"), ("job", "node"), ("instance", "web-1:9100"), ("zone", "a"), ("value", "x")];
    let mapped = read(Version::One, &WriteRequest { timeseries: vec![series(&labels, &[(0.5, 1500)])] });
    assert_eq!(
        values(&mapped),
        [json!({"timestamp": "1970-01-01T00:00:01.5Z", "received": "1970-01-01T00:00:00Z", "source": "remote-write",
            "service": "node", "job": "node", "host": "web-1", "instance": "web-1:9100", "metric": "node_load1",
            "value": 0.5, "zone": "a", "attribute_value": "x"})]
    );
    let (_, record) = &mapped.records[0];
    assert_eq!((record.topic.as_str(), record.key.as_deref()), ("metrics-stream", Some(&b"node"[..])));
    let again = read(Version::One, &WriteRequest { timeseries: vec![series(&labels, &[(0.5, 1500)])] });
    assert_eq!(mapped, again, "what is sent again has the same id");
}

#[test]
fn what_no_record_can_hold_is_counted() {
    let samples = [(f64::from_bits(STALE), 1), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 1)];
    let mut one = series(&[("__name__", "up")], &samples);
    one.histograms.push(messages::Unread {});
    let mapped = read(Version::One, &WriteRequest { timeseries: vec![one] });
    assert_eq!((mapped.events, mapped.records.len(), mapped.bad.len()), (5, 1, 0));
    let skipped: Vec<_> = mapped.skipped.into_iter().collect();
    assert_eq!(skipped, [("native_histogram", 1), ("not_finite", 2), ("stale", 1)]);
}

#[test]
fn a_bad_series_does_not_refuse_the_others() {
    let timeseries =
        vec![series(&[("job", "x")], &[(1.0, 1)]), series(&[("__name__", "up")], &[(1.0, 1), (1.0, i64::MAX)])];
    let mapped = read(Version::One, &WriteRequest { timeseries });
    let bad: Vec<_> = mapped.bad.iter().map(|(n, bad)| (*n, bad.reason, bad.sample.as_str())).collect();
    assert_eq!(bad, [(0, "missing_field", "job=x "), (2, "bad_time", "__name__=up ")]);
    assert_eq!(mapped.records.len(), 1);
}

#[test]
fn version_two_has_symbols_type_and_unit() {
    let symbols = ["", "__name__", "requests_total", "job", "cart", "requests"].map(String::from).to_vec();
    let good = SeriesTwo {
        labels_refs: vec![1, 2, 3, 4],
        samples: vec![Sample { value: 7.0, timestamp: 0 }],
        metadata: Some(Metadata { r#type: 1, unit_ref: 5 }),
        histograms: Vec::new(),
    };
    let odd = SeriesTwo { labels_refs: vec![1, 2, 3], ..good.clone() };
    let outside = SeriesTwo { labels_refs: vec![1, 99], ..good.clone() };
    let mapped = read(Version::Two, &Request { symbols, timeseries: vec![good, odd, outside] });
    let first = &values(&mapped)[0];
    assert_eq!(
        (&first["metric"], &first["type"], &first["unit"], &first["service"]),
        (&json!("requests_total"), &json!("counter"), &json!("requests"), &json!("cart"))
    );
    assert_eq!(mapped.bad.iter().map(|(_, bad)| bad.reason).collect::<Vec<_>>(), ["bad_reference", "bad_reference"]);
}

#[test]
fn limits_and_nonsense() {
    let many = WriteRequest { timeseries: vec![series(&[("__name__", "up")], &[(1.0, 1); 101])] };
    assert_eq!(records(Version::One, &pack(&many), 0, 100, LIMIT), Err(Unreadable::TooMany(101)));
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 2 << 20]).unwrap();
    assert_eq!(records(Version::One, &bomb, 0, 100, LIMIT), Err(Unreadable::TooLong(2 << 20)));
    for nonsense in [&b"no snappy"[..], b"", &pack(&Label { name: "x".into(), value: "y".into() })] {
        assert!(matches!(records(Version::One, nonsense, 0, 100, LIMIT), Err(Unreadable::NoEvents(_))));
    }
}

#[test]
fn a_short_body_cannot_ask_for_gigabytes() {
    let names: Vec<String> = (0..64).map(|n| format!("label{n}")).collect();
    let long = "x".repeat(512);
    let mut labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
    labels.push(("__name__", "up"));
    let request = WriteRequest { timeseries: vec![series(&labels, &vec![(1.0, 1); 10_000])] };
    let mapped = records(Version::One, &pack(&request), 0, 10_000, LIMIT).unwrap();
    assert!(mapped.is_too_long() && mapped.records.is_empty());
}

#[test]
fn hosts() {
    for (instance, want) in
        [("web-1:9100", "web-1"), ("[::1]:9100", "::1"), ("web-1", "web-1"), ("", ""), ("http://a:b", "http://a:b")]
    {
        assert_eq!(host(instance), want);
    }
}

proptest! {
    #[test]
    fn takes_any_message(body: Vec<u8>, two: bool) {
        let version = if two { Version::Two } else { Version::One };
        let packed = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        let _ = records(version, &packed, 0, 100, LIMIT);
        let _ = records(version, &body, 0, 100, LIMIT);
    }
}

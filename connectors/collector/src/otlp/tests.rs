//! OTLP requests made by hand, each as JSON and as protocol buffers; other senders' are in `tests/contracts`.

use super::*;
use crate::client::Client;
use perfstream_core::enrich::Agents;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Mutex;

fn read(signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Mapped, Unreadable> {
    let client = Client::new(&http::HeaderMap::new(), &mut Agents::default(), None);
    records(signal, encoding, body, &Sender { client: &client, agents: &Mutex::default(), received_us: 0 }, 20)
}

fn of_json(signal: Signal, body: &Value) -> Mapped {
    let mapped = read(signal, Encoding::Json, body.to_string().as_bytes()).unwrap();
    // The same message as protocol buffers gives the same records.
    let text = body.to_string();
    let bytes = match signal {
        Signal::Metrics => json::message::<ExportMetricsServiceRequest>(text.as_bytes()).unwrap().encode_to_vec(),
        Signal::Logs => json::message::<ExportLogsServiceRequest>(text.as_bytes()).unwrap().encode_to_vec(),
        Signal::Traces => json::message::<ExportTraceServiceRequest>(text.as_bytes()).unwrap().encode_to_vec(),
    };
    assert_eq!(read(signal, Encoding::Protobuf, &bytes).unwrap(), mapped);
    mapped
}

fn found(mapped: &Mapped) -> Vec<Value> {
    mapped.records.iter().map(|(_, record)| serde_json::from_slice(&record.value).unwrap()).collect()
}

fn without_id(mut record: Value) -> Value {
    record.as_object_mut().unwrap().remove("id");
    record
}

fn attribute(key: &str, value: Value) -> Value {
    json!({"key": key, "value": value})
}

fn resource() -> Value {
    json!({"attributes": [attribute("service.name", json!({"stringValue": "cart"})),
        attribute("host.name", json!({"stringValue": "web-1"})), attribute("process.pid", json!({"intValue": "7"}))]})
}

fn metrics(list: Value) -> Value {
    json!({"resourceMetrics": [{"resource": resource(), "scopeMetrics": [{"metrics": list}]}]})
}

#[test]
fn gauges_and_sums() {
    let point = json!({"timeUnixNano": "1500000000", "startTimeUnixNano": 1000000000, "asInt": "5",
        "attributes": [attribute("http.route", json!({"stringValue": "/a"})), attribute("value", json!({"boolValue": true}))]});
    let sum = json!({"name": "requests", "unit": "1", "unknown": {"x": 1},
        "sum": {"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true}});
    let gauge = json!({"name": "load", "gauge": {"dataPoints": [{"asDouble": 0.5, "exemplars": null}]}});
    let mapped = of_json(Signal::Metrics, &metrics(json!([sum, gauge])));
    let records: Vec<Value> = found(&mapped).into_iter().map(without_id).collect();
    assert_eq!(
        records,
        [
            json!({"timestamp": "1970-01-01T00:00:01.5Z", "start": "1970-01-01T00:00:01Z",
                "received": "1970-01-01T00:00:00Z", "source": "otlp", "service": "cart", "host": "web-1",
                "metric": "requests", "unit": "1", "type": "sum", "temporality": "cumulative", "monotonic": true,
                "value": 5, "http_route": "/a", "attribute_value": true}),
            json!({"timestamp": "1970-01-01T00:00:00Z", "received": "1970-01-01T00:00:00Z", "source": "otlp",
                "service": "cart", "host": "web-1", "metric": "load", "type": "gauge", "value": 0.5}),
        ]
    );
    assert!(mapped.records.iter().all(|(_, r)| r.topic == METRICS && r.key.as_deref() == Some(b"cart")));
}

#[test]
fn histograms_and_summaries() {
    let explicit = json!({"name": "a", "histogram": {"aggregationTemporality": 1, "dataPoints": [{"count": "5", "sum": 60,
        "bucketCounts": ["2", 2, "1"], "explicitBounds": [10, 20], "min": 4, "max": 30}, {"count": "2", "sum": 3}]}});
    let exponential = json!({"name": "b", "exponentialHistogram": {"dataPoints": [{"count": "8", "scale": 0,
        "positive": {"offset": 1, "bucketCounts": ["4", "4"]}}]}});
    let summary = json!({"name": "c", "summary": {"dataPoints": [{"count": "4", "sum": 8,
        "quantileValues": [{"quantile": 0.5, "value": 2}, {"quantile": 1, "value": 5}, {"quantile": 0.99, "value": "NaN"}]}]}});
    let records = found(&of_json(Signal::Metrics, &metrics(json!([explicit, exponential, summary]))));
    let number = |n: usize, name: &str| records[n].get(name).and_then(Value::as_f64);
    assert_eq!(records[0]["temporality"], json!("delta"));
    assert_eq!(
        ["count", "sum", "mean", "min", "max", "p50"].map(|name| number(0, name).unwrap()),
        [5.0, 60.0, 12.0, 4.0, 30.0, 12.5]
    );
    assert_eq!((number(1, "count"), number(1, "mean"), number(1, "p50")), (Some(2.0), Some(1.5), None));
    assert_eq!((number(2, "p50"), &records[2]["type"]), (Some(4.0), &json!("exponential_histogram")));
    assert_eq!((number(3, "p50"), number(3, "max"), number(3, "p99")), (Some(2.0), Some(5.0), None));
}

#[test]
fn what_no_metric_can_hold() {
    let points = json!([{"asDouble": "NaN"}, {"flags": 1}, {}]);
    let odd = json!({"histogram": {"dataPoints": [{"count": "1", "bucketCounts": ["1"], "explicitBounds": [1]}]}});
    let mapped = of_json(Signal::Metrics, &metrics(json!([{"name": "x", "gauge": {"dataPoints": points}}, odd, {}])));
    let bad: Vec<_> = mapped.bad.iter().map(|(n, bad)| (*n, bad.reason)).collect();
    // As JSON a NaN is a point without a value; as protocol buffers it is a NaN (below).
    assert_eq!(bad, [(0, "missing_field"), (2, "missing_field"), (3, "bad_histogram"), (4, "no_data")]);
    assert_eq!(mapped.skipped.get("no_recorded_value"), Some(&1));
    let mut request: ExportMetricsServiceRequest =
        json::message(metrics(json!([{"gauge": {"dataPoints": [{"asDouble": 1}]}}])).to_string().as_bytes()).unwrap();
    if let Some(opentelemetry_proto::tonic::metrics::v1::metric::Data::Gauge(gauge)) =
        &mut request.resource_metrics[0].scope_metrics[0].metrics[0].data
    {
        gauge.data_points[0].value =
            Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble(f64::INFINITY));
    }
    let mapped = read(Signal::Metrics, Encoding::Protobuf, &request.encode_to_vec()).unwrap();
    assert_eq!((mapped.events, mapped.skipped.get("not_finite")), (1, Some(&1)));
}

fn span(more: Value) -> Value {
    let mut span = json!({"traceId": "0102030405060708090A0B0C0D0E0F10", "spanId": "0102030405060708", "name": "GET /a",
        "kind": 2, "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1005500000"});
    span.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    json!({"resourceSpans": [{"resource": resource(), "scopeSpans": [{"spans": [span]}]}]})
}

#[test]
fn a_span_becomes_a_record() {
    let attributes = json!([attribute("http.route", json!({"stringValue": "/a/:id"})),
        attribute("http.request.method", json!({"stringValue": "GET"})),
        attribute("http.response.status_code", json!({"intValue": 503})),
        attribute("tags", json!({"arrayValue": {"values": [{"stringValue": "x"}, {"intValue": "2"}]}})),
        attribute("user", json!({"kvlistValue": {"values": [attribute("plan", json!({"stringValue": "pro"}))]}})),
        attribute("empty", json!({"arrayValue": {}})), {"value": {"stringValue": "no key"}},
        attribute("later", json!({"newKindOfValue": {"deep": [1]}}))]);
    let more = json!({"attributes": attributes, "parentSpanId": "ff02030405060708", "status": {"message": "down"}});
    let mapped = of_json(Signal::Traces, &span(more));
    assert_eq!(
        found(&mapped),
        [json!({"timestamp": "1970-01-01T00:00:01.0055Z", "start": "1970-01-01T00:00:01Z",
            "received": "1970-01-01T00:00:00Z", "source": "otlp", "service": "cart", "host": "web-1",
            "id": "0102030405060708090a0b0c0d0e0f10-0102030405060708", "traceId": "0102030405060708090a0b0c0d0e0f10",
            "spanId": "0102030405060708", "parentSpanId": "ff02030405060708", "name": "GET /a", "kind": "server",
            "duration_ms": 5.5, "status": "unset", "status_message": "down", "status_code": 503, "error": true,
            "route": "/a/:id", "method": "GET", "tags": ["x", 2], "user_plan": "pro", "empty": []})]
    );
}

#[test]
fn spans_that_are_none() {
    for (more, reason) in [
        (json!({"spanId": ""}), "bad_id"),
        (json!({"traceId": "00000000000000000000000000000000"}), "bad_id"),
        (json!({"endTimeUnixNano": "5"}), "bad_time"),
        (json!({"endTimeUnixNano": null}), "missing_field"),
    ] {
        let mapped = of_json(Signal::Traces, &span(more));
        assert_eq!(mapped.bad.iter().map(|(_, bad)| bad.reason).collect::<Vec<_>>(), [reason]);
        assert_eq!(mapped.bad[0].1.sample, "cart: GET /a");
    }
}

fn logs(list: Value) -> Value {
    json!({"resourceLogs": [{"resource": resource(), "scopeLogs": [{"logRecords": list}]}]})
}

#[test]
fn log_records() {
    let records = found(&of_json(
        Signal::Logs,
        &logs(json!([
            {"timeUnixNano": "1000000000", "severityNumber": 17, "severityText": "ERR", "body": {"stringValue": "boom"},
                "traceId": "0102030405060708090a0b0c0d0e0f10", "attributes": [attribute("a.b", json!({"doubleValue": 0.5}))]},
            {"observedTimeUnixNano": "2000000000", "severityText": "Notice", "eventName": "start",
                "body": {"kvlistValue": {"values": [attribute("port", json!({"intValue": "80"}))]}}},
            {}
        ])),
    ));
    let first = json!({"timestamp": "1970-01-01T00:00:01Z", "received": "1970-01-01T00:00:00Z", "source": "otlp",
        "service": "cart", "host": "web-1", "severity": "error", "severity_number": 17, "message": "boom",
        "traceId": "0102030405060708090a0b0c0d0e0f10", "a_b": 0.5});
    assert_eq!(records[0], first);
    let fields = (&records[1]["timestamp"], &records[1]["severity"], &records[1]["event"], &records[1]["message"]);
    assert_eq!(fields, (&json!("1970-01-01T00:00:02Z"), &json!("notice"), &json!("start"), &json!("{\"port\":80}")));
    assert_eq!(records[2].get("severity"), None);
}

#[test]
fn a_web_vital_goes_the_way_of_a_beacon() {
    let firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0";
    let text = |text: &str| json!({"stringValue": text});
    let body = json!({"kvlistValue": {"values": [attribute("name", text("lcp")), attribute("id", text("v4-1")),
        attribute("value", json!({"doubleValue": 1200.5})), attribute("delta", json!({"intValue": "3"}))]}});
    let context = json!([
        attribute("url.full", text("https://shop.example/cart?x=1")),
        attribute("user_agent.original", text(firefox)),
        attribute("session.id", text("s1"))
    ]);
    let in_body =
        json!({"eventName": "browser.web_vital", "timeUnixNano": "1000000000", "body": body, "attributes": context});
    let in_attributes = json!({"attributes": [attribute("event.name", text("browser.web_vital")),
        attribute("browser.web_vital.name", text("inp")), attribute("browser.web_vital.value", json!({"intValue": 80})),
        attribute("url.path", text("/a"))]});
    let nameless = json!({"eventName": "browser.web_vital"});
    let mapped = of_json(Signal::Logs, &logs(json!([in_body, in_attributes, nameless])));
    let topics: Vec<&str> = mapped.records.iter().map(|(_, record)| record.topic.as_str()).collect();
    assert_eq!(topics, ["lcp-stream", "inp-stream"]);
    let first = json!({"timestamp": "1970-01-01T00:00:01Z", "received": "1970-01-01T00:00:00Z", "page": "/cart",
        "browser": "firefox", "device": "desktop", "connection": "unknown", "sessionId": "s1", "id": "v4-1-1200.5",
        "metricId": "v4-1", "value": 1200.5, "delta": 3.0});
    assert_eq!(found(&mapped)[0], first);
    assert_eq!(mapped.bad[0].1.reason, "missing_field");
}

#[test]
fn limits_and_nonsense() {
    let many = metrics(json!([{"gauge": {"dataPoints": vec![json!({"asInt": 1}); 21]}}]));
    let text = many.to_string();
    assert_eq!(read(Signal::Metrics, Encoding::Json, text.as_bytes()), Err(Unreadable::TooMany(21)));
    for signal in [Signal::Metrics, Signal::Logs, Signal::Traces] {
        for (encoding, body) in
            [(Encoding::Json, &b"{"[..]), (Encoding::Json, b"[]x"), (Encoding::Protobuf, b"\x0a\x05x")]
        {
            assert!(matches!(read(signal, encoding, body), Err(Unreadable::NoEvents(_))));
        }
        assert_eq!(read(signal, Encoding::Protobuf, b"").unwrap(), Mapped::default());
        assert_eq!(read(signal, Encoding::Json, b"{}").unwrap(), Mapped::default());
    }
    let deep = format!("{}1{}", "{\"body\":".repeat(5000), "}".repeat(5000));
    assert!(read(Signal::Logs, Encoding::Json, deep.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn takes_any_bytes(body: Vec<u8>, signal in 0..3_usize) {
        let signal = [Signal::Metrics, Signal::Logs, Signal::Traces][signal];
        let _ = read(signal, Encoding::Protobuf, &body);
        let _ = read(signal, Encoding::Json, &body);
    }
}

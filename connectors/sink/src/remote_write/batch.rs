//! Records of dashboards to requests.

use super::messages::{Label, Sample, TimeSeries, WriteRequest};
use crate::page::metrics::{self, Labels};
use crate::page::model::{self, Sampled};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series whose newest time is remembered; beyond it all are forgotten, and a sample may be refused as old.
const MAX_SERIES: usize = 100_000;

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    labels: Arc<Labels>,
    time_ms: i64,
    value: f64,
}

/// Values that wait to be sent.
#[derive(Debug, Default)]
pub struct Batch {
    values: Vec<Value>,
    /// Time of the newest value that was taken, by series
    newest: BTreeMap<Arc<Labels>, i64>,
}

impl Batch {
    /// Takes the points of a record; what is no newer than what was taken of its series is left out, since a
    /// store keeps the first value of a time. An error says why it is no record of a dashboard.
    pub fn take(&mut self, record: &[u8]) -> Result<(), serde_json::Error> {
        for Sampled { key, time_ms, value, expected } in model::points(record)? {
            let labels = metrics::labels(&key);
            if let Some(expected) = expected {
                self.add("perfstream_expected_value", &labels, time_ms, expected);
            }
            self.add("perfstream_value", &labels, time_ms, value);
        }
        Ok(())
    }

    fn add(&mut self, name: &str, labels: &Labels, time_ms: i64, value: f64) {
        let mut labels = labels.clone();
        labels.push(("__name__".into(), name.into()));
        labels.sort();
        if self.newest.get(&labels).is_some_and(|newest_ms| *newest_ms >= time_ms) {
            return;
        }
        if self.newest.len() >= MAX_SERIES && !self.newest.contains_key(&labels) {
            self.newest.clear();
        }
        let labels = Arc::new(labels);
        self.newest.insert(labels.clone(), time_ms);
        self.values.push(Value { labels, time_ms, value });
    }

    /// All that wait, those of a series oldest first.
    pub fn drain(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.values)
    }
}

/// The body of a request: protocol buffers, compressed by Snappy's block format.
pub fn encode(values: &[Value]) -> Result<Vec<u8>, snap::Error> {
    let mut series: BTreeMap<&Labels, Vec<Sample>> = BTreeMap::new();
    for Value { labels, time_ms, value } in values {
        series.entry(labels).or_default().push(Sample { value: *value, timestamp: *time_ms });
    }
    let one = |(labels, samples): (&Labels, Vec<Sample>)| TimeSeries {
        labels: labels.iter().map(|(name, value)| Label { name: name.clone(), value: value.clone() }).collect(),
        samples,
    };
    let request = WriteRequest { timeseries: series.into_iter().map(one).collect() };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_samples_in_order_and_once() {
        let frame = |points: &[(i64, f64)]| {
            let points: Vec<String> = points
                .iter()
                .map(|(time_ms, value)| {
                    format!(
                        r#"{{"field":"p75","metric":"lcp","window":"one_minute","time_ms":{time_ms},
                        "labels":{{"page":"/a"}},"value":{value},"expected":{{"value":2}}}}"#
                    )
                })
                .collect();
            format!(
                r#"{{"type":"frame","dashboard":"d","pipeline":"lcp","points":[{}],"events":[]}}"#,
                points.join(",")
            )
        };
        let mut batch = Batch::default();
        batch.take(frame(&[(1, 10.0), (2, 20.0), (2, 21.0), (1, 11.0)]).as_bytes()).unwrap();
        batch.take(br#"{"type":"layout","dashboard":"d","pipeline":"lcp","layout":{}}"#).unwrap();
        assert!(batch.take(b"no record").is_err());
        let values = batch.drain();
        assert_eq!(values.len(), 4);
        let bytes = snap::raw::Decoder::new().decompress_vec(&encode(&values).unwrap()).unwrap();
        let request = WriteRequest::decode(&*bytes).unwrap();
        let series: Vec<(String, Vec<(i64, f64)>)> = request
            .timeseries
            .iter()
            .map(|series| {
                let labels: Vec<String> = series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
                (labels.join(","), series.samples.iter().map(|s| (s.timestamp, s.value)).collect())
            })
            .collect();
        let labels =
            |name: &str| format!("__name__={name},field=p75,metric=lcp,page=/a,pipeline=lcp,window=one_minute");
        assert_eq!(
            series,
            [
                (labels("perfstream_expected_value"), vec![(1, 2.0), (2, 2.0)]),
                (labels("perfstream_value"), vec![(1, 10.0), (2, 20.0)]),
            ]
        );
        batch.take(frame(&[(2, 20.0), (3, 30.0)]).as_bytes()).unwrap();
        assert_eq!(batch.drain().len(), 2, "what was sent is not sent again");
    }
}

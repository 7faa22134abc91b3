//! Data points of metrics to records of `metrics-stream`.
//!
//! A gauge or a sum has `value`; a histogram, an exponential histogram and a summary have `count`,
//! `sum`, `mean`, `min`, `max` and quantiles (`quantiles`). All are in the metric's own `unit`.
//! Numbers are handed on as they came: the value of a sum with `temporality: cumulative` counts
//! since `start`, one with `delta` since the point before.

use super::attributes::put;
use super::quantiles::{Distribution, QUANTILES};
use super::resource::Origin;
use super::{METRICS, micros};
use crate::decode::Bad;
use crate::fields::Flat;
use crate::record::{Mapped, Outgoing};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, SummaryDataPoint,
};
use perfstream_core::time::format;

/// The flag of a point that says only that its series has ended.
const NO_RECORDED_VALUE: u32 = 1;

/// Data points of a request.
pub(super) fn count(request: &ExportMetricsServiceRequest) -> usize {
    metrics(request).map(|(_, metric)| points(metric)).sum()
}

fn metrics(request: &ExportMetricsServiceRequest) -> impl Iterator<Item = (usize, &Metric)> {
    let resources = request.resource_metrics.iter().enumerate();
    resources.flat_map(|(n, resource)| {
        resource.scope_metrics.iter().flat_map(move |scope| scope.metrics.iter().map(move |metric| (n, metric)))
    })
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 1,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

/// A record for each data point.
pub(super) fn records(request: &ExportMetricsServiceRequest, received_us: i64) -> Mapped {
    let mut mapped = Mapped::default();
    let origins: Vec<Origin> =
        request.resource_metrics.iter().map(|r| Origin::new(r.resource.as_ref(), received_us)).collect();
    for (n, metric) in metrics(request) {
        if mapped.is_too_long() {
            break;
        }
        if let Some(origin) = origins.get(n) {
            Series { origin, metric, received_us }.add(&mut mapped);
        }
    }
    mapped
}

/// What all points of a metric have.
struct Series<'a> {
    origin: &'a Origin,
    metric: &'a Metric,
    received_us: i64,
}

impl Series<'_> {
    fn add(&self, mapped: &mut Mapped) {
        match &self.metric.data {
            None => mapped.event(Err(self.bad("no_data", "is neither gauge, sum, histogram nor summary"))),
            Some(Data::Gauge(data)) => {
                data.data_points.iter().for_each(|point| self.number(point, "gauge", None, mapped));
            }
            Some(Data::Sum(data)) => {
                let sum = Some((data.aggregation_temporality, data.is_monotonic));
                data.data_points.iter().for_each(|point| self.number(point, "sum", sum, mapped));
            }
            Some(Data::Histogram(data)) => {
                let temporality = data.aggregation_temporality;
                data.data_points.iter().for_each(|point| self.histogram(point, temporality, mapped));
            }
            Some(Data::ExponentialHistogram(data)) => {
                let temporality = data.aggregation_temporality;
                data.data_points.iter().for_each(|point| self.exponential(point, temporality, mapped));
            }
            Some(Data::Summary(data)) => data.data_points.iter().for_each(|point| self.summary(point, mapped)),
        }
    }

    fn number(&self, point: &NumberDataPoint, kind: &str, sum: Option<(i32, bool)>, mapped: &mut Mapped) {
        if point.flags & NO_RECORDED_VALUE != 0 {
            return mapped.skip("no_recorded_value");
        }
        let value = match point.value {
            None => return mapped.event(Err(self.bad("missing_field", "has a point without a value"))),
            Some(Number::AsInt(value)) => serde_json::Value::from(value),
            Some(Number::AsDouble(value)) if value.is_finite() => value.into(),
            Some(Number::AsDouble(_)) => return mapped.skip("not_finite"),
        };
        let mut flat = self.begin(kind, point.time_unix_nano, point.start_time_unix_nano);
        flat.set("value", value);
        if let Some((temporality, monotonic)) = sum {
            flat.set("temporality", temporality_name(temporality));
            flat.set("monotonic", monotonic);
        }
        mapped.event(Ok(vec![self.end(flat, &point.attributes)]));
    }

    fn histogram(&self, point: &HistogramDataPoint, temporality: i32, mapped: &mut Mapped) {
        if point.flags & NO_RECORDED_VALUE != 0 {
            return mapped.skip("no_recorded_value");
        }
        // Without buckets count and sum are all there is.
        let bare = point.bucket_counts.is_empty() && point.explicit_bounds.is_empty();
        let distribution = Distribution::explicit(point);
        if distribution.is_none() && !bare {
            let detail = "has a histogram whose bounds do not ascend or do not fit its counts";
            return mapped.event(Err(self.bad("bad_histogram", detail)));
        }
        let mut flat = self.begin("histogram", point.time_unix_nano, point.start_time_unix_nano);
        flat.set("temporality", temporality_name(temporality));
        statistics(&mut flat, point.count, point.sum, [point.min, point.max]);
        if let Some(distribution) = distribution {
            quantiles(&mut flat, &distribution);
        }
        mapped.event(Ok(vec![self.end(flat, &point.attributes)]));
    }

    fn exponential(&self, point: &ExponentialHistogramDataPoint, temporality: i32, mapped: &mut Mapped) {
        if point.flags & NO_RECORDED_VALUE != 0 {
            return mapped.skip("no_recorded_value");
        }
        let mut flat = self.begin("exponential_histogram", point.time_unix_nano, point.start_time_unix_nano);
        flat.set("temporality", temporality_name(temporality));
        statistics(&mut flat, point.count, point.sum, [point.min, point.max]);
        quantiles(&mut flat, &Distribution::exponential(point));
        mapped.event(Ok(vec![self.end(flat, &point.attributes)]));
    }

    /// The quantiles of a summary are the sender's own; those that have no field are left out.
    fn summary(&self, point: &SummaryDataPoint, mapped: &mut Mapped) {
        if point.flags & NO_RECORDED_VALUE != 0 {
            return mapped.skip("no_recorded_value");
        }
        let mut flat = self.begin("summary", point.time_unix_nano, point.start_time_unix_nano);
        let at = |quantile: f64| point.quantile_values.iter().find(|q| q.quantile == quantile).map(|q| q.value);
        statistics(&mut flat, point.count, Some(point.sum), [at(0.0), at(1.0)]);
        for (name, quantile) in QUANTILES {
            if let Some(value) = at(quantile) {
                flat.number(name, value);
            }
        }
        mapped.event(Ok(vec![self.end(flat, &point.attributes)]));
    }

    fn begin(&self, kind: &str, time: u64, start: u64) -> Flat {
        let mut flat = self.origin.record(micros(time).unwrap_or(self.received_us));
        flat.text("metric", &self.metric.name);
        flat.text("unit", &self.metric.unit);
        flat.set("type", kind);
        if let Some(start) = micros(start) {
            flat.set("start", format(start));
        }
        flat
    }

    fn end(&self, mut flat: Flat, attributes: &[KeyValue]) -> Outgoing {
        put(&mut flat, attributes, &[]);
        flat.set_id();
        self.origin.outgoing(METRICS, flat)
    }

    fn bad(&self, reason: &'static str, what: &str) -> Bad {
        let sample = format!("{}: {}", self.origin.service, self.metric.name);
        Bad::new(reason, format!("the metric {what}")).with_sample(sample.as_bytes())
    }
}

fn statistics(flat: &mut Flat, count: u64, sum: Option<f64>, [min, max]: [Option<f64>; 2]) {
    flat.set("count", count);
    for (name, value) in [("sum", sum), ("min", min), ("max", max)] {
        if let Some(value) = value {
            flat.number(name, value);
        }
    }
    if let Some(sum) = sum.filter(|_| count > 0) {
        flat.number("mean", sum / count as f64);
    }
}

fn quantiles(flat: &mut Flat, distribution: &Distribution) {
    for (name, quantile) in QUANTILES {
        if let Some(value) = distribution.quantile(quantile) {
            flat.number(name, value);
        }
    }
}

/// None where the sender does not say it.
fn temporality_name(temporality: i32) -> Option<&'static str> {
    match temporality {
        1 => Some("delta"),
        2 => Some("cumulative"),
        _ => None,
    }
}

//! The messages of remote write 1.0 that are sent.
//!
//! Source: the specification's protocol buffer definitions; the numbers are normative.

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// Series
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A series with some of its samples, oldest first.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// In the order of names, `__name__` among them
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Samples
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Label {
    /// Name
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A sample.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// Value
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

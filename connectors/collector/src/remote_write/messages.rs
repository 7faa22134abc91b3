//! The messages of remote write, with the fields that are read.
//!
//! Source: the specifications' protocol buffer definitions; the numbers are normative. Histograms
//! are only counted, so their fields are not listed.

/// A message whose fields are not read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Unread {}

/// `prometheus.WriteRequest` of version 1.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    /// Series
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// A series of version 1.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Labels, `__name__` among them
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Samples
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Unread>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Label {
    /// Name
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A sample, the same in both versions.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// Value
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Epoch milliseconds
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Every text once; the first is empty
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// Series
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<SeriesTwo>,
}

/// A series of version 2.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SeriesTwo {
    /// Names and values by turns, as places in the symbols
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// Samples
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Unread>,
    /// Type and unit
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
}

/// What a series of version 2.0 is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Metadata {
    /// Type of the metric; 0: not said
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Place of its unit in the symbols
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}

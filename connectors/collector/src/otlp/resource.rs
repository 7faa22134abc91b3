//! The fields that all records of a resource have.

use super::attributes::text;
use crate::fields::Flat;
use crate::record::Outgoing;
use opentelemetry_proto::tonic::resource::v1::Resource;
use perfstream_core::time::format;

/// Service of a resource that does not say one, as the specification has it.
const UNKNOWN: &str = "unknown_service";

/// Field and the attributes that it comes from, the first that is there.
const FIELDS: [(&str, &[&str]); 9] = [
    ("host", &["host.name", "k8s.node.name", "host.id"]),
    ("instance", &["service.instance.id"]),
    ("namespace", &["service.namespace", "k8s.namespace.name"]),
    ("release", &["service.version"]),
    ("environment", &["deployment.environment.name", "deployment.environment"]),
    ("region", &["cloud.region"]),
    ("zone", &["cloud.availability_zone"]),
    ("pod", &["k8s.pod.name"]),
    ("container", &["k8s.container.name", "container.name"]),
];

/// What records of one resource begin with. Other attributes of a resource are left out: they
/// would stand in each record.
pub(super) struct Origin {
    pub(super) service: String,
    flat: Flat,
    received: String,
}

impl Origin {
    pub(super) fn new(resource: Option<&Resource>, received_us: i64) -> Origin {
        let attributes = resource.map_or(&[][..], |resource| resource.attributes.as_slice());
        let service = text(attributes, "service.name").filter(|name| !name.is_empty()).unwrap_or(UNKNOWN);
        let service = crate::fields::cut(service, crate::fields::TEXT_BYTES).to_owned();
        let mut flat = Flat::default();
        flat.set("source", "otlp");
        flat.set("service", service.as_str());
        for (name, keys) in FIELDS {
            if let Some(found) = keys.iter().find_map(|key| text(attributes, key)) {
                flat.text(name, found);
            }
        }
        Origin { service, flat, received: format(received_us) }
    }

    /// A record of this resource at a time, microseconds.
    pub(super) fn record(&self, time_us: i64) -> Flat {
        let mut flat = self.flat.clone();
        flat.set("timestamp", format(time_us));
        flat
    }

    /// The finished record, with its receive time.
    pub(super) fn outgoing(&self, topic: &str, mut flat: Flat) -> Outgoing {
        flat.set("received", self.received.as_str());
        Outgoing::new(topic, Some(&self.service), &flat.into_value())
    }
}

//! Names of the topics that a pipeline has on a cluster beside its input and outputs.

/// Where workers say how they do; shared by all pipelines, one partition.
pub const STATUS: &str = "perfstream-status";

/// Where workers say that they live, to share partitions; one partition.
pub const MEMBERS: &str = "perfstream-members";

/// What is deployed; one partition.
pub const DEPLOYMENTS: &str = "perfstream-deployments";

/// What the chain saw and in which order; as many partitions as the input.
pub fn control(pipeline: &str) -> String {
    format!("{pipeline}-control")
}

/// Snapshots; as many partitions as the input.
pub fn state(pipeline: &str) -> String {
    format!("{pipeline}-state")
}

pub use perfstream_log::inbox;

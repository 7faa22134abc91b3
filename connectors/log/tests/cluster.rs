//! Reading and writing on a real cluster, where Fluvio's own consumer and producer lose and double.
//!
//! Each hazard is first shown with Fluvio's client as it comes, then with ours.

#[path = "cluster/common.rs"]
mod common;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/reading.rs"]
mod reading;
#[path = "cluster/writing.rs"]
mod writing;

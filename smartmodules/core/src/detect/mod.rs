//! Detection: scorers and detectors over series.

pub mod best;

//! The SmartModule `aggregate`: [`perfstream_core::aggregate::Aggregate`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::aggregate::Aggregate);

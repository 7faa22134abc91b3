//! The SmartModule `filter`: [`perfstream_core::filter::Filter`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::filter::Filter);

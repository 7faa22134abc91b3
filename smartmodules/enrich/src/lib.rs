//! The SmartModule `enrich`: [`perfstream_core::enrich::Enrich`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::enrich::Enrich);

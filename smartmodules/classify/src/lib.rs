//! The SmartModule `classify`: [`perfstream_core::classify::Classify`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::classify::Classify);

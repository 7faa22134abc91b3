//! The SmartModule `dashboard`: [`perfstream_core::dashboard::Dashboard`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::dashboard::Dashboard);

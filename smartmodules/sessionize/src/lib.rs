//! The SmartModule `sessionize`: [`perfstream_core::sessionize::Sessionize`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::sessionize::Sessionize);

//! The SmartModule `correlate`: [`perfstream_core::correlate::CorrelateStage`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::correlate::CorrelateStage);

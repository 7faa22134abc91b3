//! The SmartModule `detect`: [`perfstream_core::detect::DetectStage`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::detect::DetectStage);

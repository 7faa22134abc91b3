//! The SmartModule `respond`: [`perfstream_core::respond::RespondStage`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::respond::RespondStage);

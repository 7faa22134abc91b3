//! The SmartModule `alert`: [`perfstream_core::alert::AlertStage`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::alert::AlertStage);

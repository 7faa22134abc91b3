//! The SmartModule `forecast`: [`perfstream_core::forecast::ForecastStage`] behind the WASM boundary.

perfstream_sdk::stage!(perfstream_core::forecast::ForecastStage);

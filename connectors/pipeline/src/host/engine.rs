//! Stages in Fluvio's own engine: the same code path as an SPU's, one chain per stage, so that
//! each has a memory cap of its own and the host sees what passes between them.

use super::StageHost;
use anyhow::Result;
use fluvio_smartengine::{SmartEngine, SmartModuleChainBuilder, SmartModuleChainInstance, SmartModuleConfig};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleInput;
use perfstream_sdk::wire::{RawRecord, RecordWriter};

/// A stage in a chain of one.
pub struct EngineHost {
    chain: SmartModuleChainInstance,
}

impl EngineHost {
    /// Compiles and initialises a module. `memory_limit` caps its linear memory, in bytes.
    pub fn new(
        engine: &SmartEngine,
        name: &str,
        wasm: &[u8],
        params: &[(String, String)],
        memory_limit: usize,
    ) -> Result<EngineHost> {
        let mut config = SmartModuleConfig::builder();
        config.smartmodule_names(vec![name.to_string()]);
        for (key, value) in params {
            config.param(key, value);
        }
        let mut builder = SmartModuleChainBuilder::default();
        builder.set_store_memory_limit(memory_limit);
        builder.add_smart_module(config.build()?, wasm.to_vec());
        Ok(EngineHost { chain: builder.initialize(engine)? })
    }
}

impl StageHost for EngineHost {
    fn call(&mut self, base_offset: i64, base_timestamp_ms: i64, records: &[u8]) -> Result<Vec<u8>> {
        let input = SmartModuleInput::new(records.to_vec(), base_offset, base_timestamp_ms);
        let output = self.chain.process(input)?;
        if let Some(error) = output.error {
            anyhow::bail!("{error}");
        }
        let mut writer = RecordWriter::default();
        for record in &output.successes {
            writer.push(&RawRecord {
                offset_delta: record.preamble.offset_delta(),
                timestamp_delta_ms: record.timestamp_delta(),
                key: record.key().map(|k| k.as_ref()),
                value: record.value().as_ref(),
            });
        }
        Ok(writer.into_bytes())
    }
}

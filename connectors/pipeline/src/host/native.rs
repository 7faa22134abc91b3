//! Stages as native code, behind the same bytes: the oracle that WASM is held against.

use super::{StageHost, StageRecord};
use anyhow::{Result, anyhow, bail};
use perfstream_core::{Stage, aggregate, alert, classify, enrich, filter, sessionize};
use perfstream_sdk::Module;
use perfstream_sdk::wire::{Records, write_input};

/// The ABI version both sides speak.
const VERSION: i16 = 22;

/// A stage of type `S` in this process.
struct NativeHost<S: Stage> {
    module: Module<S>,
    input: Vec<u8>,
}

impl<S: Stage + Send> StageHost for NativeHost<S> {
    fn call(&mut self, base_offset: i64, base_timestamp_ms: i64, records: &[u8]) -> Result<Vec<StageRecord>> {
        self.input.clear();
        write_input(&mut self.input, base_offset, base_timestamp_ms, records, VERSION);
        self.module.call(&self.input, VERSION).map_err(|e| anyhow!("{e}"))?;
        let output = self.module.output();
        let mut replies = Vec::new();
        for record in Records::new(&output[..output.len() - 1]).map_err(|_| anyhow!("torn output"))? {
            let record = record.map_err(|_| anyhow!("torn output"))?;
            replies.push(StageRecord {
                offset_delta: record.offset_delta,
                timestamp_delta_ms: record.timestamp_delta_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.to_vec(),
            });
        }
        Ok(replies)
    }
}

/// A native instance of the stage `name`.
pub fn native(name: &str, params: &[(String, String)]) -> Result<Box<dyn StageHost>> {
    Ok(match name {
        "filter" => host::<filter::Filter>(params)?,
        "enrich" => host::<enrich::Enrich>(params)?,
        "sessionize" => host::<sessionize::Sessionize>(params)?,
        "aggregate" => host::<aggregate::Aggregate>(params)?,
        "classify" => host::<classify::Classify>(params)?,
        "alert" => host::<alert::AlertStage>(params)?,
        other => bail!("no stage `{other}`"),
    })
}

fn host<S: Stage + Send + 'static>(params: &[(String, String)]) -> Result<Box<dyn StageHost>> {
    let get = |key: &str| params.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
    match Module::<S>::new(&get) {
        Ok(module) => Ok(Box::new(NativeHost { module, input: Vec::new() })),
        Err(issues) => {
            let text: Vec<String> = issues.iter().map(ToString::to_string).collect();
            bail!("{}: {}", S::NAME, text.join("; "))
        }
    }
}

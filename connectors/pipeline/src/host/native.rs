//! Stages as native code, behind the same bytes: the oracle that WASM is held against.

use super::StageHost;
use anyhow::{Result, anyhow, bail};
use perfstream_core::{
    Stage, aggregate, alert, classify, correlate, dashboard, detect, enrich, filter, forecast, respond, sessionize,
};
use perfstream_sdk::Module;
use perfstream_sdk::wire::write_input;

/// The ABI version both sides speak.
const VERSION: i16 = 22;

/// A stage of type `S` in this process.
struct NativeHost<S: Stage> {
    module: Module<S>,
    input: Vec<u8>,
}

impl<S: Stage + Send> StageHost for NativeHost<S> {
    fn call(&mut self, base_offset: i64, base_timestamp_ms: i64, records: &[u8]) -> Result<Vec<u8>> {
        self.input.clear();
        write_input(&mut self.input, base_offset, base_timestamp_ms, records, VERSION);
        self.module.call(&self.input, VERSION).map_err(|e| anyhow!("{e}"))?;
        let output = self.module.output();
        // The last byte says that no error follows.
        Ok(output[..output.len() - 1].to_vec())
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
        "dashboard" => host::<dashboard::Dashboard>(params)?,
        "detect" => host::<detect::DetectStage>(params)?,
        "forecast" => host::<forecast::ForecastStage>(params)?,
        "correlate" => host::<correlate::CorrelateStage>(params)?,
        "respond" => host::<respond::RespondStage>(params)?,
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

//! Stages in wasmtime itself: the same modules and calls as [`super::engine`], without its costs.
//!
//! Fluvio's engine encodes a batch byte by byte and meters fuel; here a batch is one copy in and
//! one copy out, compiled modules are shared between partitions, and the only import is
//! `copy_records`, so a module that wants more does not start. A test holds both hosts to equal
//! bytes.

use super::StageHost;
use anyhow::{Context, Result, anyhow, bail};
use fluvio_smartmodule::dataplane::core::{Decoder, Encoder};
use fluvio_smartmodule::dataplane::smartmodule::{
    SmartModuleExtraParams, SmartModuleInitInput, SmartModuleInitOutput, SmartModuleOutput,
};
use perfstream_sdk::wire::{input_head, input_tail};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};
use wasmtime::{
    CacheConfig, Caller, Config, Engine, Instance, Linker, Memory, Module, Store, StoreLimits, StoreLimitsBuilder,
    TypedFunc,
};

/// The ABI version both sides speak: the engine's default.
const VERSION: i16 = 22;

/// What `copy_records` was last told, and the memory cap.
struct Guest {
    given: (u32, u32),
    limits: StoreLimits,
}

/// One instance of a module.
pub struct WasmtimeHost {
    store: Store<Guest>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    transform: TypedFunc<(u32, u32, u32), i32>,
}

/// The engine, and every module compiled so far by the hash of its bytes.
struct Cache {
    engine: Engine,
    modules: Mutex<BTreeMap<[u8; 32], Module>>,
}

fn cache() -> Result<&'static Cache> {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    if let Some(cache) = CACHE.get() {
        return Ok(cache);
    }
    let mut config = Config::new();
    // Compiled code is kept in the user's cache directory; without one every start compiles.
    let mut files = CacheConfig::new();
    if let Some(dir) = cache_dir() {
        files.with_directory(dir);
        config.cache(wasmtime::Cache::new(files).ok());
    }
    let engine = Engine::new(&config)?;
    Ok(CACHE.get_or_init(|| Cache { engine, modules: Mutex::default() }))
}

/// `$XDG_CACHE_HOME/perfstream` or `~/.cache/perfstream`.
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p: &PathBuf| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("perfstream"))
}

/// The compiled module; compiled once in a process.
fn module(wasm: &[u8]) -> Result<Module> {
    let cache = cache()?;
    let hash = *blake3::hash(wasm).as_bytes();
    let mut modules = cache.modules.lock().map_err(|_| anyhow!("a thread died while compiling"))?;
    if let Some(module) = modules.get(&hash) {
        return Ok(module.clone());
    }
    let module = Module::new(&cache.engine, wasm)?;
    modules.insert(hash, module.clone());
    Ok(module)
}

impl WasmtimeHost {
    /// Compiles (or finds) and initialises a module. `memory_limit` caps its linear memory, in bytes.
    pub fn new(wasm: &[u8], params: &[(String, String)], memory_limit: usize) -> Result<WasmtimeHost> {
        let module = module(wasm)?;
        let limits = StoreLimitsBuilder::new().memory_size(memory_limit).trap_on_grow_failure(true).build();
        let mut store = Store::new(module.engine(), Guest { given: (0, 0), limits });
        store.limiter(|guest| &mut guest.limits);
        let mut linker = Linker::new(module.engine());
        linker.func_wrap("env", "copy_records", |mut caller: Caller<'_, Guest>, ptr: u32, len: u32| {
            caller.data_mut().given = (ptr, len);
        })?;
        let instance = linker.instantiate(&mut store, &module)?;
        let memory = instance.get_memory(&mut store, "memory").context("the module exports no memory")?;
        let alloc = instance.get_typed_func(&mut store, "alloc")?;
        let transform = instance.get_typed_func(&mut store, "array_map")?;
        let mut host = WasmtimeHost { store, memory, alloc, transform };
        host.init(&instance, params)?;
        Ok(host)
    }

    fn init(&mut self, instance: &Instance, params: &[(String, String)]) -> Result<()> {
        let init: TypedFunc<(u32, u32, u32), i32> = instance.get_typed_func(&mut self.store, "init")?;
        let params: BTreeMap<String, String> = params.iter().cloned().collect();
        let input = SmartModuleInitInput { params: SmartModuleExtraParams::from(params) };
        let mut bytes = Vec::new();
        input.encode(&mut bytes, VERSION)?;
        let status = self.enter(&init, &[&bytes])?;
        if status >= 0 {
            return Ok(());
        }
        let mut output = SmartModuleInitOutput::default();
        output.decode(&mut self.given()?, VERSION)?;
        bail!("{}", output.error.hint)
    }

    /// Writes the parts of an input into the guest, one behind the other, and calls `function` on it.
    fn enter(&mut self, function: &TypedFunc<(u32, u32, u32), i32>, parts: &[&[u8]]) -> Result<i32> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u32::try_from(len).context("a batch is at most 4 GiB")?;
        let ptr = self.alloc.call(&mut self.store, len)?;
        let mut at = ptr as usize;
        for part in parts {
            self.memory.write(&mut self.store, at, part)?;
            at += part.len();
        }
        self.store.data_mut().given = (0, 0);
        function.call(&mut self.store, (ptr, len, VERSION as u32))
    }

    /// What the guest handed over in the last call.
    fn given(&self) -> Result<&[u8]> {
        let (ptr, len) = self.store.data().given;
        let end = (ptr as usize).checked_add(len as usize).context("the module gave an address out of range")?;
        self.memory.data(&self.store).get(ptr as usize..end).context("the module gave an address out of range")
    }
}

impl StageHost for WasmtimeHost {
    fn call(&mut self, base_offset: i64, base_timestamp_ms: i64, records: &[u8]) -> Result<Vec<u8>> {
        let len = u32::try_from(records.len()).context("a batch is at most 4 GiB")?;
        let (head, tail) = (input_head(base_offset, len), input_tail(base_timestamp_ms, VERSION));
        let transform = self.transform.clone();
        let status = self.enter(&transform, &[&head, records, &tail])?;
        if status < 0 {
            bail!("the module refused its input with status {status}");
        }
        let given = self.given()?;
        // The last byte says that no error follows; ours never sends one.
        let (error, successes) = given.split_last().context("the module gave no output")?;
        if *error != 0 {
            let mut output = SmartModuleOutput::default();
            output.decode(&mut &*given, VERSION)?;
            bail!("{:?}", output.error);
        }
        Ok(successes.to_vec())
    }
}

//! Fluvio's calling convention: pointers and lengths in, `copy_records` out.

use crate::module::Module;
use crate::params;
use fluvio_smartmodule::dataplane::core::Decoder;
use fluvio_smartmodule::dataplane::smartmodule::{
    SmartModuleInitErrorStatus, SmartModuleInitInput, SmartModuleTransformErrorStatus,
};
use perfstream_core::Stage;

/// The host must never be handed an address at or above 2 GiB: it reads them as signed.
const MAX_INPUT_BYTES: u32 = 1 << 30;

// Without the module name the linker of newer toolchains refuses the undefined symbol.
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn copy_records(ptr: i32, len: i32);
}

/// Hands bytes to the host, which copies them before it returns.
fn give(bytes: &[u8]) {
    // SAFETY: the pointer and length are those of a live slice, the host only reads them, and it
    // does so after the exported function returned: `bytes` lies in a buffer of `Guest`, which
    // lives in a static and is not touched before the next call.
    unsafe { copy_records(bytes.as_ptr() as i32, bytes.len() as i32) }
}

/// The one instance of a module: its input buffer and its stage.
pub struct Guest<S: Stage> {
    input: Vec<u8>,
    module: Option<Module<S>>,
    error: Vec<u8>,
}

impl<S: Stage> Default for Guest<S> {
    fn default() -> Self {
        Guest { input: Vec::new(), module: None, error: Vec::new() }
    }
}

impl<S: Stage> Guest<S> {
    /// The input buffer, at least `len` long. Out of memory traps: the host writes unchecked at
    /// whatever is returned.
    pub fn alloc(&mut self, len: u32) -> *mut u8 {
        if len > MAX_INPUT_BYTES {
            std::process::abort();
        }
        if self.input.len() < len as usize {
            self.input.resize(len as usize, 0);
        }
        self.input.as_mut_ptr()
    }

    /// The bytes the host wrote: only ever inside the buffer it was given.
    fn written(&self, ptr: u32, len: u32) -> Option<&[u8]> {
        let offset = (ptr as usize).checked_sub(self.input.as_ptr() as usize)?;
        self.input.get(offset..offset.checked_add(len as usize)?)
    }

    /// Builds the stage from its parameters.
    pub fn init(&mut self, ptr: u32, len: u32, version: u32) -> i32 {
        let mut init = SmartModuleInitInput::default();
        let decoded = match self.written(ptr, len) {
            Some(mut bytes) => Decoder::decode(&mut init, &mut bytes, version as i16).is_ok(),
            None => false,
        };
        if !decoded {
            return SmartModuleInitErrorStatus::DecodingInput as i32;
        }
        match Module::new(&|key| init.params.get(key).map(String::as_str)) {
            Ok(module) => {
                self.module = Some(module);
                0
            }
            Err(issues) => {
                self.error = params::init_error(S::NAME, &issues, version as i16);
                give(&self.error);
                SmartModuleInitErrorStatus::InitError as i32
            }
        }
    }

    /// One batch of records, or one control call.
    pub fn call(&mut self, ptr: u32, len: u32, version: u32) -> i32 {
        let input = std::mem::take(&mut self.input);
        let offset = (ptr as usize).wrapping_sub(input.as_ptr() as usize);
        let bytes = input.get(offset..offset.wrapping_add(len as usize));
        let status = match (&mut self.module, bytes) {
            (Some(module), Some(bytes)) => match module.call(bytes, version as i16) {
                Ok(count) => {
                    give(module.output());
                    count
                }
                Err(wire_error) => wire_error as i32,
            },
            _ => SmartModuleTransformErrorStatus::DecodingBaseInput as i32,
        };
        self.input = input;
        status
    }
}

//! The WASM boundary: a [`perfstream_core::Stage`] as a Fluvio SmartModule.
//!
//! [`stage!`] exports Fluvio's ABI (`alloc`, `init`, `array_map`) by hand, because the glue of
//! `#[smartmodule]` leaks every output buffer (a pass-through dies after about 0.9 GB) and decodes
//! and re-encodes each record at each stage. Here the input buffer and the output buffer are
//! reused, the input is walked in place, and between stages a batch travels as one packed record
//! (`perfstream_core::row`).
//!
//! - [`module`]: a call's bytes in, its bytes out; the same code runs natively in tests
//! - [`wire`]: Fluvio's record encoding, in place
//! - [`params`]: parameters to a stage's config
//! - [`front`]: what stages write that an SPU runs
//! - [`call`]: control calls (tick, drain, state, restore, reference, feedback, counters), marked
//!   by a base offset that no log record has
pub mod call;
pub mod front;
pub mod module;
pub mod params;
pub mod wire;

pub use call::{CONTROL_BASE_OFFSET, Call, MORE};
pub use module::Module;
pub use params::{OutputForm, Runtime};

#[doc(hidden)]
pub use perfstream_core as core;

/// Exports a stage as a SmartModule. Nothing is exported in native builds.
#[macro_export]
macro_rules! stage {
    ($stage:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)] // exported names; the one unsafe call is `sdk::abi::give`
        mod abi {
            use ::std::cell::RefCell;

            ::std::thread_local! {
                static HOST: RefCell<$crate::abi::Guest<$stage>> = RefCell::default();
            }

            /// Room for the host's input; the same buffer every time.
            #[unsafe(no_mangle)]
            pub extern "C" fn alloc(len: u32) -> *mut u8 {
                HOST.with_borrow_mut(|guest| guest.alloc(len))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn init(ptr: u32, len: u32, version: u32) -> i32 {
                HOST.with_borrow_mut(|guest| guest.init(ptr, len, version))
            }

            #[unsafe(no_mangle)]
            pub extern "C" fn array_map(ptr: u32, len: u32, version: u32) -> i32 {
                HOST.with_borrow_mut(|guest| guest.call(ptr, len, version))
            }
        }
    };
}

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod abi;

//! See `tests/src/fuzz_targets/packed_batch.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perfstream_fuzz::fuzz_targets::packed_batch(data));

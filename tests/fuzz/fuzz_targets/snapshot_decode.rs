//! See `tests/src/fuzz_targets/snapshot_decode.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perfstream_fuzz::fuzz_targets::snapshot_decode(data));

//! See `tests/src/fuzz_targets/collector.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perfstream_fuzz::fuzz_targets::collect_events(data));

//! See `tests/src/fuzz_targets/sink.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perfstream_fuzz::fuzz_targets::sink_alert(data));

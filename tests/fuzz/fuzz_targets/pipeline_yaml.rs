//! See `tests/src/fuzz_targets/pipeline_yaml.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| perfstream_fuzz::fuzz_targets::pipeline_yaml(data));

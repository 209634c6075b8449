//! The fuzzer's way into the target `sessions`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::sessions::run(input));

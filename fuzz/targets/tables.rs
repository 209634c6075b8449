//! The fuzzer's way into the target `tables`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::tables::run(input));

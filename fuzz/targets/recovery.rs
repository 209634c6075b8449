//! The fuzzer's way into the target `recovery`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::recovery::run(input));

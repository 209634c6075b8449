//! The fuzzer's way into the target `requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::requests::run(input));

//! The fuzzer's way into the target `websockets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::websockets::run(input));

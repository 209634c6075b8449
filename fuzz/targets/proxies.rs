//! The fuzzer's way into the target `proxies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzzed::proxies::run(input));

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mission_fuzz::configs::run(input));

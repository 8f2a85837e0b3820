#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mission_fuzz::documents::run(input));

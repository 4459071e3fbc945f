//! Any bytes as an urlencoded form, starting with what Emby and Jellyfin send.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| watchstate_fuzz::read_form(body));

//! Any bytes as the body of a webhook, starting with what Tautulli sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| watchstate_fuzz::read_json(body));

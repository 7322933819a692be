//! Any bytes start a coded video sequence of AV1 or none.
#![no_main]

use focus_rtp::av1::starts_av1_key_frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    assert_eq!(starts_av1_key_frame(payload), payload.first().is_some_and(|first| first & 8 != 0));
});

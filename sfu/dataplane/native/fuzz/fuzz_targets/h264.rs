//! Any bytes start a key frame of H.264 or none; an aggregate of nothing but slices starts none.
#![no_main]

use focus_rtp::h264::starts_h264_key_frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    if starts_h264_key_frame(payload) {
        assert!(payload.iter().any(|byte| matches!(byte & 0x1F, 5 | 7)));
    }
});

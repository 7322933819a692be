//! Any bytes are a VP9 descriptor or refused; what follows a descriptor does not matter.
#![no_main]

use focus_rtp::vp9::parse_vp9;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let Ok(read) = parse_vp9(payload) else { return };
    assert!(!read.starts_key_frame() || read.starts_frame());
    assert_eq!(parse_vp9(&payload[..payload.len().min(4)]), Ok(read));
});

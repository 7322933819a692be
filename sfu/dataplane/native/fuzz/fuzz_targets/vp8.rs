//! Any bytes are a VP8 descriptor or refused, and a head written anew says what it was told to.
#![no_main]

use focus_rtp::vp8::{frame_size, parse_vp8, write_vp8_head};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let Ok(read) = parse_vp8(payload) else { return };
    frame_size(payload, read);
    let mut written = Vec::new();
    write_vp8_head(payload, read, 0x1234, 0x56, 0x17, &mut written);
    let grown = usize::from(read.picture_id_bits() == 7);
    assert_eq!(written.len(), read.size_bytes() + grown);
    written.extend_from_slice(&payload[read.size_bytes()..]);
    let again = parse_vp8(&written).expect("what was read can be written");
    assert_eq!(again.size_bytes(), read.size_bytes() + grown);
    assert_eq!(again.picture_id(), read.picture_id().map(|_| 0x1234));
    assert_eq!(again.tl0_pic_idx(), read.tl0_pic_idx().map(|_| 0x56));
    assert_eq!(again.key_idx(), read.key_idx().map(|_| 0x17));
    assert_eq!((again.temporal_id(), again.layer_sync()), (read.temporal_id(), read.layer_sync()));
    assert_eq!(
        (again.starts_frame(), again.starts_key_frame()),
        (read.starts_frame(), read.starts_key_frame())
    );
});

//! Any bytes are the value of an element or refused.
#![no_main]

use focus_rtp::extensions::{
    MAX_NAME_BYTES, parse_audio_level, parse_name, parse_transport_sequence_number, serialise_audio_level,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    if let Ok(name) = parse_name(value) {
        assert_eq!(name.as_bytes(), value);
        assert!(name.len() <= MAX_NAME_BYTES && name.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
    if let Ok(level) = parse_audio_level(value) {
        assert_eq!(serialise_audio_level(level), value[..1]);
    }
    if let Ok(number) = parse_transport_sequence_number(value) {
        assert_eq!(number.to_be_bytes(), value);
    }
});

//! Any bytes are a STUN message or refused, and a message written again has the same attributes.
#![no_main]

use focus_ice::{MAX_ATTRIBUTES, StunMessage, serialise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = StunMessage::parse(data) else { return };
    let attributes: Vec<(u16, &[u8])> = message.attributes().collect();
    assert!(attributes.len() <= MAX_ATTRIBUTES);
    assert!(!message.is_signed_with("password") || message.is_signed());
    let mut written = Vec::new();
    serialise(
        &mut written,
        message.class,
        message.method,
        message.transaction_id,
        &attributes,
        Some("password"),
    );
    if attributes.len() + 2 > MAX_ATTRIBUTES {
        return; // no room for what a signed message has besides
    }
    let again = StunMessage::parse(&written).expect("what was read can be written");
    assert_eq!((again.class, again.method), (message.class, message.method));
    assert_eq!(again.transaction_id, message.transaction_id);
    assert!(again.attributes().eq(attributes));
    assert!(again.is_signed_with("password") && !again.is_signed_with("another"));
});
